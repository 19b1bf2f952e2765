/*-------------------------------------------------------------------------
 * timeline.h
 *		The open time of a calendar: how much of it lies before an instant, and
 *		at which instant so much of it has passed.
 *
 * Model: B(t) counts the open microseconds from 2000-01-01 00:00 UTC to t, as
 * negative numbers before; of the wall clock, which is always open, B(t) = t.
 * Open time is kept as segments, sorted instants of opening beside B at each of
 * them, in chunks of 2^45 microseconds (407 days) that begin at multiples of
 * that.  A segment that lies in two chunks is two segments, which differ from
 * one in nothing that is asked here.
 *
 * A chunk is divided into slots, by time (of 19 hours) and by open time, which
 * say where to begin to look; so an answer takes the same few steps whatever the
 * span and however many holidays it has.
 *
 * Chunks are made when they are first needed.  What lies between them and the
 * origin is gone through once and only its sum is kept: a calendar that is asked
 * of the last months holds one or two chunks and 600 numbers.
 *
 * Memory: a calendar's own context.  Chunks beyond hotdash.calendar_cache are
 * dropped, all but the one in use.
 *
 * Caveats: instants before 1800 and after 2399 are refused with 22008.  Nothing
 * here is told when the rules of a zone change: the server has to be restarted.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_TIMELINE_H
#define HD_SLA_TIMELINE_H

#include "postgres.h"

#include "core/compat.h"
#include "datatype/timestamp.h"
#include "sla/days.h"

/* The instants that calendars know of: 1800-01-01 and 2400-01-01, 00:00 UTC. */
#define HD_SLA_FIRST_INSTANT ((int64) HD_SLA_FIRST_DAY * USECS_PER_DAY)
#define HD_SLA_LAST_INSTANT ((int64) HD_SLA_LAST_DAY * USECS_PER_DAY)

#define HD_SLA_CHUNK_BITS 45
#define HD_SLA_SLOT_BITS 9
#define HD_SLA_SLOTS (1 << HD_SLA_SLOT_BITS)

/* Chunks before the origin, and all of them. */
#define HD_SLA_CHUNKS_BEFORE 180
#define HD_SLA_CHUNKS (HD_SLA_CHUNKS_BEFORE + 359)

/*
 * The segments of a chunk.  The first is none: it is as long as nothing and
 * begins with the chunk, so that there is one before each instant.
 */
typedef struct HdSlaChunk
{
	int n;
	int base_bits;						 /* so wide are the slots of open time */
	uint16 by_time[HD_SLA_SLOTS + 1];	 /* the last segment that begins with the slot or before */
	uint16 by_base[HD_SLA_SLOTS + 1];	 /* the same, of open time */
	int64 points[FLEXIBLE_ARRAY_MEMBER]; /* n openings, then B of each, then B of the end */
} HdSlaChunk;

typedef struct HdSlaCalendar
{
	MemoryContext context;
	bool always; /* the wall clock: nothing below is used */
	int npieces; /* parts of time with rules of their own, the earliest first */
	HdSlaRules **pieces;
	int low;					   /* base is known from here */
	int high;					   /* to here */
	Size size;					   /* of the chunks */
	int64 base[HD_SLA_CHUNKS + 1]; /* B where each chunk begins; of the last, where it ends */
	HdSlaChunk *chunks[HD_SLA_CHUNKS];
} HdSlaCalendar;

/* hotdash.calendar_cache: memory for compiled calendars in a session, in kB. */
extern int hd_sla_setting_calendar_cache;

/* Bytes of the chunks of all calendars of the session. */
extern Size hd_sla_timeline_used;

/* The wall clock. */
extern HdSlaCalendar hd_sla_wall_clock;

/*
 * hd_sla_timeline_make
 *		The calendar of some rules, the earliest first, each of which governs the
 *		dates up to where the next begins.  context: the calendar's own, in which
 *		the rules are too.
 * hd_sla_timeline_free
 *		Delete it with its context.
 */
extern HdSlaCalendar *hd_sla_timeline_make(MemoryContext context, HdSlaRules **pieces, int npieces);
extern void hd_sla_timeline_free(HdSlaCalendar *calendar);

/*
 * hd_sla_timeline_load
 *		Make a chunk, which is not there.
 * hd_sla_timeline_refuse
 *		Raise 22008 for an instant that calendars do not know.
 */
extern HdSlaChunk *hd_sla_timeline_load(HdSlaCalendar *calendar, int chunk);
HD_NORETURN extern void hd_sla_timeline_refuse(TimestampTz instant);

/*
 * hd_sla_timeline_same
 *		Whether two calendars are open at the same times before an instant.
 * hd_sla_timeline_ever_opens
 *		Whether a calendar is open at any time.
 */
extern bool hd_sla_timeline_same(HdSlaCalendar *a, HdSlaCalendar *b, TimestampTz until);
extern bool hd_sla_timeline_ever_opens(HdSlaCalendar *calendar);

/*
 * hd_sla_moment
 *		The instant at which the open microsecond with a number begins: the last
 *		with B(t) <= number.  infinity (DT_NOEND) and -infinity (DT_NOBEGIN) where
 *		there is none in the time that calendars know of.
 */
extern TimestampTz hd_sla_moment(HdSlaCalendar *calendar, int64 number);

static inline const HdSlaChunk *
hd_sla_timeline_chunk(HdSlaCalendar *calendar, TimestampTz instant)
{
	int chunk = (int) (instant >> HD_SLA_CHUNK_BITS) + HD_SLA_CHUNKS_BEFORE;

	if (likely(calendar->chunks[chunk] != NULL))
		return calendar->chunks[chunk];
	return hd_sla_timeline_load(calendar, chunk);
}

/* The last of the sorted points from one to another, by number, that is not beyond a value. */
static inline int
hd_sla_timeline_last(const int64 *points, int from, int to, int64 value)
{
	while (to - from > 8)
	{
		int middle = from + (to - from) / 2;

		if (points[middle] <= value)
			from = middle;
		else
			to = middle - 1;
	}
	while (from < to && points[from + 1] <= value)
		from++;
	return from;
}

/* The segment of a chunk that an instant lies in or behind. */
static inline int
hd_sla_timeline_segment(const HdSlaChunk *chunk, TimestampTz instant)
{
	int slot = (int) (instant >> (HD_SLA_CHUNK_BITS - HD_SLA_SLOT_BITS)) & (HD_SLA_SLOTS - 1);

	return hd_sla_timeline_last(chunk->points, chunk->by_time[slot], chunk->by_time[slot + 1],
								instant);
}

/*
 * hd_sla_business_at
 *		B of an instant.
 */
static inline int64
hd_sla_business_at(HdSlaCalendar *calendar, TimestampTz instant)
{
	const HdSlaChunk *chunk;
	const int64 *base;
	int64 passed;
	int i;

	if (unlikely(instant < HD_SLA_FIRST_INSTANT || instant > HD_SLA_LAST_INSTANT))
		hd_sla_timeline_refuse(instant);
	if (calendar->always)
		return instant;
	chunk = hd_sla_timeline_chunk(calendar, instant);
	i = hd_sla_timeline_segment(chunk, instant);
	base = chunk->points + chunk->n + i;
	passed = instant - chunk->points[i];
	return base[0] + Min(passed, base[1] - base[0]);
}

/*
 * hd_sla_business_open
 *		Whether a calendar is open at an instant.
 */
static inline bool
hd_sla_business_open(HdSlaCalendar *calendar, TimestampTz instant)
{
	const HdSlaChunk *chunk;
	const int64 *base;
	int i;

	if (unlikely(instant < HD_SLA_FIRST_INSTANT || instant > HD_SLA_LAST_INSTANT))
		hd_sla_timeline_refuse(instant);
	if (calendar->always)
		return true;
	chunk = hd_sla_timeline_chunk(calendar, instant);
	i = hd_sla_timeline_segment(chunk, instant);
	base = chunk->points + chunk->n + i;
	return instant - chunk->points[i] < base[1] - base[0];
}

/*
 * hd_sla_business_instant
 *		The instant of a point in business time: the first with B(t) >= b, or,
 *		where a point at closing time means the next opening, the last with
 *		B(t) <= b.  Infinite as hd_sla_moment says.
 */
static inline TimestampTz
hd_sla_business_instant(HdSlaCalendar *calendar, int64 b, bool at_open)
{
	TimestampTz moment = hd_sla_moment(calendar, at_open ? b : b - 1);

	return (at_open || TIMESTAMP_NOT_FINITE(moment)) ? moment : moment + 1;
}

/*
 * hd_sla_business_past
 *		The greatest b whose instant is before another one.
 */
static inline int64
hd_sla_business_past(HdSlaCalendar *calendar, TimestampTz now, bool at_open)
{
	return at_open ? hd_sla_business_at(calendar, now) - 1 : hd_sla_business_at(calendar, now - 1);
}

#endif /* HD_SLA_TIMELINE_H */
