/*-------------------------------------------------------------------------
 * cron_next.c
 *		When the times of a cron expression are.
 *
 * Model: time is cut into spans in which the zone's offset from UTC stays the
 * same.  Within a span local time is a plain count of seconds, and the next
 * time that fits is found field by field, from the day down.  A span that
 * begins with a change of the clock knows the offset before it, by which it
 * leaves out what was shown before and adds what was skipped (cron.h).
 *
 * The search is bounded: a day that does not fit costs an instruction or
 * two, a month that does not fit as much, and after a hundred years it ends.
 * The rarest day that exists, 29 February on one day of the week, comes within
 * forty.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/cron.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define BIT(n) (UINT64CONST(1) << (n))

/* Seconds. */
#define DAY_SECONDS ((int64) SECS_PER_DAY)
#define HORIZON (INT64CONST(100) * 366 * DAY_SECONDS)

/* Longer than any change of a clock (Samoa left out a whole day). */
#define LONGEST_CHANGE (2 * DAY_SECONDS)

/* The most that _cron_next lists. */
#define MAX_LISTED 10000

/* A stretch of time with one offset; seconds since 1970, in UTC. */
typedef struct Span
{
	pg_time_t start;
	pg_time_t end; /* PG_INT64_MAX: does not end */
	int64 before;  /* offset before start; the same as offset where that is not known */
	int64 offset;
} Span;

PG_FUNCTION_INFO_V1(hd_jobs_sql_cron_next);

static int64
floor_div(int64 a, int64 b)
{
	return a / b - (a % b < 0);
}

/* The first member of a set from n on; -1 when there is none. */
static int
next_bit(uint64 set, int n)
{
	set = (n < 64) ? set >> n << n : 0;
	return (set == 0) ? -1 : pg_rightmost_one_pos64(set);
}

static int
month_length(int year, int month)
{
	return day_tab[isleap(year)][month - 1];
}

/* Whether a day, counted from 1970, is one of the expression's; *skip: days to the next that may be. */
static bool
day_fits(const HdCron *cron, int64 day, int *skip)
{
	int julian = (int) day + UNIX_EPOCH_JDATE;
	int year;
	int month;
	int mday;
	bool by_date;
	bool by_weekday;

	j2date(julian, &year, &month, &mday);
	*skip = 1;
	if ((cron->months & BIT(month)) == 0)
	{
		*skip = month_length(year, month) - mday + 1;
		return false;
	}
	by_date =
		(cron->days & BIT(mday)) != 0 || (cron->last_day && mday == month_length(year, month));
	by_weekday = (cron->weekdays & BIT(j2day(julian))) != 0;
	return cron->either_day ? (by_date || by_weekday) : (by_date && by_weekday);
}

/* The first second of a day that fits, from one on; -1 when there is none. */
static int
next_second_of_day(const HdCron *cron, int from)
{
	int from_hour = from / SECS_PER_HOUR;
	int from_minute = from / SECS_PER_MINUTE % MINS_PER_HOUR;

	for (int hour = next_bit(cron->hours, from_hour); hour >= 0;
		 hour = next_bit(cron->hours, hour + 1))
	{
		int least = (hour == from_hour) ? from_minute : 0;

		for (int minute = next_bit(cron->minutes, least); minute >= 0;
			 minute = next_bit(cron->minutes, minute + 1))
		{
			bool same = hour == from_hour && minute == from_minute;
			int second = next_bit(cron->seconds, same ? from % SECS_PER_MINUTE : 0);

			if (second >= 0)
				return hour * SECS_PER_HOUR + minute * SECS_PER_MINUTE + second;
		}
	}
	return -1;
}

/* The first local time that fits in from <= time < until, both seconds since 1970 by the local clock. */
static bool
next_local(const HdCron *cron, int64 from, int64 until, int64 *found)
{
	int64 day = floor_div(from, DAY_SECONDS);
	int second = (int) (from - day * DAY_SECONDS);
	int skip;

	while (day * DAY_SECONDS < until)
	{
		if (day_fits(cron, day, &skip))
		{
			int fits = next_second_of_day(cron, second);

			if (fits >= 0)
			{
				*found = day * DAY_SECONDS + fits;
				return *found < until;
			}
		}
		day += skip;
		second = 0;
	}
	return false;
}

/* The same between two instants of UTC, by a clock of that offset. */
static bool
next_by_offset(const HdCron *cron, int64 offset, pg_time_t from, pg_time_t until, pg_time_t *found)
{
	int64 local;

	if (from >= until || !next_local(cron, from + offset, until + offset, &local))
		return false;
	*found = local - offset;
	return true;
}

/* The first time that fits in a span, from an instant on. */
static bool
next_in_span(const HdCron *cron, const Span *span, pg_time_t from, pg_time_t until,
			 pg_time_t *found)
{
	int64 back = span->before - span->offset;
	pg_time_t shifted;
	bool any;

	from = Max(from, span->start);
	until = Min(until, span->end);
	if (cron->any_hour)
		return next_by_offset(cron, span->offset, from, until, found);

	/* What the clock shows for the second time has happened. */
	any = next_by_offset(cron, span->offset, (back > 0) ? Max(from, span->start + back) : from,
						 until, found);

	/* What it skipped happens by the clock that was not changed. */
	if (back < 0 &&
		next_by_offset(cron, span->before, from, Min(until, span->start - back), &shifted))
	{
		*found = any ? Min(*found, shifted) : shifted;
		any = true;
	}
	return any;
}

/* The span in which an instant lies, as far as it is later than the instant. */
static void
span_at(const pg_tz *zone, pg_time_t at, Span *span)
{
	long int offset = 0;
	long int after = 0;
	pg_time_t boundary = 0;
	int dst;
	int dst_after;
	int changes = pg_next_dst_boundary(&at, &offset, &dst, &boundary, &after, &dst_after, zone);

	if (changes < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	span->start = at;
	span->end = (changes > 0) ? boundary : PG_INT64_MAX;
	span->offset = offset;
}

static pg_time_t
to_seconds(TimestampTz at)
{
	return floor_div(at, USECS_PER_SEC) +
		   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
}

static TimestampTz
from_seconds(pg_time_t at)
{
	return (at - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY) * USECS_PER_SEC;
}

bool
hd_jobs_cron_next(const HdCron *cron, const pg_tz *zone, TimestampTz after, TimestampTz *next)
{
	pg_time_t from;
	pg_time_t until;
	pg_time_t found;
	int64 before;
	Span span;

	if (TIMESTAMP_NOT_FINITE(after))
		return false;
	from = to_seconds(after) + 1;
	until = Min(from + HORIZON, to_seconds(END_TIMESTAMP - 1));

	/* From before any change that still matters; the one before that does not. */
	span_at(zone, from - LONGEST_CHANGE, &span);
	span.before = span.offset;
	for (;;)
	{
		if (span.end > from && next_in_span(cron, &span, from, until, &found))
		{
			*next = from_seconds(found);
			return true;
		}
		if (span.end >= until)
			return false;
		before = span.offset;
		span_at(zone, span.end, &span);
		span.before = before;
	}
}

bool
hd_jobs_cron_last(const HdCron *cron, const pg_tz *zone, TimestampTz after, TimestampTz until,
				  TimestampTz *last)
{
	TimestampTz beyond = until;
	TimestampTz next;

	if (!hd_jobs_cron_next(cron, zone, after, last) || *last > until)
		return false;

	/* Between *last, which is one of the times, and beyond, after which the next is too late. */
	while (beyond - *last > USECS_PER_SEC)
	{
		TimestampTz middle = *last + (beyond - *last) / 2;

		if (hd_jobs_cron_next(cron, zone, middle, &next) && next <= until)
			*last = next;
		else
			beyond = middle;
	}
	return true;
}

/*
 * hd_jobs_sql_cron_next
 *		SQL: _cron_next(cron, time_zone, after, n) -> setof timestamptz.
 */
Datum
hd_jobs_sql_cron_next(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	pg_tz *zone = hd_jobs_cron_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(2);
	int n = PG_GETARG_INT32(3);
	HdCron cron;

	hd_jobs_cron_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &cron);
	if (n < 0 || n > MAX_LISTED)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("n must be between 0 and %d", MAX_LISTED)));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < n && hd_jobs_cron_next(&cron, zone, at, &at); i++)
	{
		Datum value = TimestampTzGetDatum(at);
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
