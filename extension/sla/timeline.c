/*-------------------------------------------------------------------------
 * timeline.c
 *		The open time of a calendar.
 *
 * Model: see timeline.h.  A chunk is made from the dates whose intervals may
 * reach into it: their spans are put in order, where they are not, and those
 * that touch or overlap are made one.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/timeline.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The spans of a chunk while it is made. */
typedef struct Gathering
{
	TimestampTz from;
	TimestampTz to;
	int n;
	int room;
	HdSlaSpan *spans;
} Gathering;

int hd_sla_setting_calendar_cache = 4096;
Size hd_sla_timeline_used = 0;
HdSlaCalendar hd_sla_wall_clock = {.always = true};

HdSlaCalendar *
hd_sla_timeline_make(MemoryContext context, HdSlaRules **pieces, int npieces)
{
	HdSlaCalendar *calendar = MemoryContextAllocZero(context, sizeof(HdSlaCalendar));

	calendar->context = context;
	calendar->pieces = pieces;
	calendar->npieces = npieces;
	calendar->low = HD_SLA_CHUNKS_BEFORE;
	calendar->high = HD_SLA_CHUNKS_BEFORE;
	return calendar;
}

void
hd_sla_timeline_refuse(TimestampTz instant)
{
	ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					errmsg("%s is out of range for business time", timestamptz_to_str(instant)),
					errdetail("Calendars know the time from 1800-01-01 to 2400-01-01 UTC.")));
}

/*
 * Making chunks
 */

static TimestampTz
chunk_start(int chunk)
{
	return (int64) (chunk - HD_SLA_CHUNKS_BEFORE) * (INT64CONST(1) << HD_SLA_CHUNK_BITS);
}

static int
chunk_of(TimestampTz instant)
{
	return (int) (instant >> HD_SLA_CHUNK_BITS) + HD_SLA_CHUNKS_BEFORE;
}

static int32
date_of(TimestampTz instant)
{
	int64 days = instant / USECS_PER_DAY;

	return (int32) ((days * USECS_PER_DAY > instant) ? days - 1 : days);
}

static void
add_span(Gathering *gathering, HdSlaSpan span)
{
	span.from = Max(span.from, gathering->from);
	span.to = Min(span.to, gathering->to);
	if (span.from >= span.to)
		return;
	if (gathering->n == gathering->room)
	{
		gathering->room *= 2;
		gathering->spans = repalloc_huge(gathering->spans, gathering->room * sizeof(HdSlaSpan));
	}
	gathering->spans[gathering->n++] = span;
}

/* What rules open of the dates from one to before another. */
static void
gather(Gathering *gathering, const HdSlaRules *rules, int32 from, int32 until)
{
	HdZoneStretch stretch = {0};
	HdSlaDay day;

	for (int32 date = from; date < until; date++)
	{
		hd_sla_day(rules, &stretch, date, &day);
		for (int i = 0; i < day.n; i++)
			add_span(gathering, day.open[i]);
	}
}

/* The open spans of a chunk, for the caller to pfree; their sum. */
static int64
spans_of(const HdSlaCalendar *calendar, int chunk, Gathering *gathering)
{
	int64 sum = 0;
	int32 first;
	int32 end;

	gathering->from = Max(chunk_start(chunk), HD_SLA_FIRST_INSTANT);
	gathering->to = Min(chunk_start(chunk + 1), HD_SLA_LAST_INSTANT);
	gathering->n = 0;
	gathering->room = 1024;
	gathering->spans = palloc(gathering->room * sizeof(HdSlaSpan));
	first = date_of(gathering->from) - HD_SLA_REACH;
	end = date_of(gathering->to) + HD_SLA_REACH;
	for (int i = 0; i < calendar->npieces; i++)
	{
		int32 from = (i == 0) ? first : Max(calendar->pieces[i]->from, first);
		int32 until = (i + 1 == calendar->npieces) ? end : Min(calendar->pieces[i + 1]->from, end);

		gather(gathering, calendar->pieces[i], from, until);
	}
	gathering->n = hd_sla_spans_join(gathering->spans, gathering->n);
	for (int i = 0; i < gathering->n; i++)
		sum += gathering->spans[i].to - gathering->spans[i].from;
	return sum;
}

/* For each of the slots and the end of the last one: the last point that is not beyond its beginning. */
static void
index_points(uint16 *index, const int64 *points, int n, int bits)
{
	int last = 0;

	for (int slot = 0; slot <= HD_SLA_SLOTS; slot++)
	{
		int64 start = points[0] + ((int64) slot << bits);

		while (last + 1 < n && points[last + 1] <= start)
			last++;
		index[slot] = (uint16) last;
	}
}

static HdSlaChunk *
build(MemoryContext context, const Gathering *gathering, TimestampTz start, int64 base)
{
	int n = gathering->n + 1;
	HdSlaChunk *chunk =
		MemoryContextAllocHuge(context, offsetof(HdSlaChunk, points) + (2 * n + 1) * sizeof(int64));
	int64 *opens = chunk->points;
	int64 *bases = chunk->points + n;

	opens[0] = start;
	bases[0] = bases[1] = base;
	for (int i = 1; i < n; i++)
	{
		const HdSlaSpan *span = &gathering->spans[i - 1];

		opens[i] = span->from;
		bases[i + 1] = bases[i] + (span->to - span->from);
	}
	chunk->n = n;
	chunk->base_bits = 0;
	while (((bases[n] - base) >> chunk->base_bits) >= HD_SLA_SLOTS)
		chunk->base_bits++;
	index_points(chunk->by_time, opens, n, HD_SLA_CHUNK_BITS - HD_SLA_SLOT_BITS);
	index_points(chunk->by_base, bases, n, chunk->base_bits);
	return chunk;
}

/* Go through a chunk for its sum alone. */
static int64
sum_of(const HdSlaCalendar *calendar, int chunk)
{
	Gathering gathering;
	int64 sum = spans_of(calendar, chunk, &gathering);

	pfree(gathering.spans);
	CHECK_FOR_INTERRUPTS();
	return sum;
}

/* Have base be known at the beginning of the chunks from one to another. */
static void
reach(HdSlaCalendar *calendar, int low, int high)
{
	while (calendar->high < high)
	{
		calendar->base[calendar->high + 1] =
			calendar->base[calendar->high] + sum_of(calendar, calendar->high);
		calendar->high++;
	}
	while (calendar->low > low)
	{
		calendar->base[calendar->low - 1] =
			calendar->base[calendar->low] - sum_of(calendar, calendar->low - 1);
		calendar->low--;
	}
}

static void
drop_chunks(HdSlaCalendar *calendar)
{
	for (int i = 0; i < HD_SLA_CHUNKS; i++)
	{
		if (calendar->chunks[i] != NULL)
			pfree(calendar->chunks[i]);
		calendar->chunks[i] = NULL;
	}
	hd_sla_timeline_used -= calendar->size;
	calendar->size = 0;
}

void
hd_sla_timeline_free(HdSlaCalendar *calendar)
{
	hd_sla_timeline_used -= calendar->size;
	MemoryContextDelete(calendar->context);
}

HdSlaChunk *
hd_sla_timeline_load(HdSlaCalendar *calendar, int chunk)
{
	Gathering gathering;
	HdSlaChunk *made;

	reach(calendar, chunk, chunk);
	(void) spans_of(calendar, chunk, &gathering);
	if (calendar->size > (Size) hd_sla_setting_calendar_cache * 1024)
		drop_chunks(calendar);
	made = build(calendar->context, &gathering, chunk_start(chunk), calendar->base[chunk]);
	pfree(gathering.spans);
	calendar->size += GetMemoryChunkSpace(made);
	hd_sla_timeline_used += GetMemoryChunkSpace(made);
	calendar->chunks[chunk] = made;
	reach(calendar, chunk, chunk + 1);
	return made;
}

/*
 * Finding moments
 */

/* The chunk that has the open microsecond with a number; -1: none before it, HD_SLA_CHUNKS: none from there on. */
static int
find_chunk(HdSlaCalendar *calendar, int64 number)
{
	while (number >= calendar->base[calendar->high])
	{
		if (calendar->high == HD_SLA_CHUNKS)
			return HD_SLA_CHUNKS;
		reach(calendar, calendar->low, calendar->high + 1);
	}
	while (number < calendar->base[calendar->low])
	{
		if (calendar->low == 0)
			return -1;
		reach(calendar, calendar->low - 1, calendar->high);
	}
	return hd_sla_timeline_last(calendar->base, calendar->low, calendar->high - 1, number);
}

static TimestampTz
wall_moment(int64 number)
{
	if (number < HD_SLA_FIRST_INSTANT)
		return DT_NOBEGIN;
	return (number < HD_SLA_LAST_INSTANT) ? number : DT_NOEND;
}

TimestampTz
hd_sla_moment(HdSlaCalendar *calendar, int64 number)
{
	const HdSlaChunk *chunk;
	const int64 *bases;
	int k;
	int i;

	if (calendar->always)
		return wall_moment(number);
	k = find_chunk(calendar, number);
	if (unlikely(k < 0 || k == HD_SLA_CHUNKS))
		return (k < 0) ? DT_NOBEGIN : DT_NOEND;
	chunk = calendar->chunks[k];
	if (unlikely(chunk == NULL))
		chunk = hd_sla_timeline_load(calendar, k);
	bases = chunk->points + chunk->n;
	k = (int) ((number - bases[0]) >> chunk->base_bits);
	i = hd_sla_timeline_last(bases, chunk->by_base[k], chunk->by_base[k + 1], number);
	return chunk->points[i] + (number - bases[i]);
}

/*
 * Comparing
 */

/* Whether two calendars have the same rules for all dates before one. */
static bool
same_rules(const HdSlaCalendar *a, const HdSlaCalendar *b, int32 until)
{
	for (int i = 0;; i++)
	{
		bool more_a = i < a->npieces && (i == 0 || a->pieces[i]->from < until);
		bool more_b = i < b->npieces && (i == 0 || b->pieces[i]->from < until);

		if (!more_a || !more_b)
			return more_a == more_b;
		if (i > 0 && a->pieces[i]->from != b->pieces[i]->from)
			return false;
		if (!hd_sla_days_same(a->pieces[i], b->pieces[i], until))
			return false;
	}
}

static bool
same_spans(const Gathering *a, const Gathering *b, TimestampTz until)
{
	for (int i = 0;; i++)
	{
		bool more_a = i < a->n && a->spans[i].from < until;
		bool more_b = i < b->n && b->spans[i].from < until;

		if (!more_a || !more_b)
			return more_a == more_b;
		if (a->spans[i].from != b->spans[i].from ||
			Min(a->spans[i].to, until) != Min(b->spans[i].to, until))
			return false;
	}
}

bool
hd_sla_timeline_same(HdSlaCalendar *a, HdSlaCalendar *b, TimestampTz until)
{
	bool same = true;

	until = Min(until, HD_SLA_LAST_INSTANT);
	if (same_rules(a, b, date_of(until) + HD_SLA_REACH))
		return true;
	/* they may be the same all the same; where they are not, it is more likely to show late */
	for (int chunk = chunk_of(until); same && chunk >= 0; chunk--)
	{
		Gathering of_a;
		Gathering of_b;

		(void) spans_of(a, chunk, &of_a);
		(void) spans_of(b, chunk, &of_b);
		same = same_spans(&of_a, &of_b, until);
		pfree(of_a.spans);
		pfree(of_b.spans);
		CHECK_FOR_INTERRUPTS();
	}
	return same;
}

bool
hd_sla_timeline_ever_opens(HdSlaCalendar *calendar)
{
	/* what is open at all is open soon after the origin as a rule */
	for (int i = 0; i < HD_SLA_CHUNKS; i++)
	{
		if (sum_of(calendar, (HD_SLA_CHUNKS_BEFORE + i) % HD_SLA_CHUNKS) > 0)
			return true;
	}
	return false;
}
