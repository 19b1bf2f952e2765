/*-------------------------------------------------------------------------
 * calendar_days.c
 *		What governs the dates of a span, for people to read.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sla/versions.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

/* The rows that are made of a span. */
typedef struct Telling
{
	ReturnSetInfo *result;
	TimestampTz from;
	TimestampTz to;
	TimestampTz told; /* up to here: nights may run into the next day's hours */
} Telling;

PG_FUNCTION_INFO_V1(hd_sla_sql_business_days);

static const char *const weekdays[HD_SLA_WEEKDAYS] = {"mon", "tue", "wed", "thu",
													  "fri", "sat", "sun"};

static const char *const grounds[] = {
	[HD_SLA_HOURS] = "hours",
	[HD_SLA_SHIFT] = "shift",
	[HD_SLA_HOLIDAY] = "holiday",
	[HD_SLA_SKIPPED] = "skipped",
};

/* Of a date without open time: which rule leaves it closed. */
static const char *
rule_of(const HdSlaDay *day)
{
	if (day->ground == HD_SLA_HOURS && day->n == 0 && day->nbreaks == 0)
		return "closed";
	return grounds[day->ground];
}

/* One row; without a span its times are null. */
static void
put(Telling *telling, int32 date, const char *rule, const char *note, const HdSlaSpan *span)
{
	Datum values[5] = {0};
	bool nulls[5] = {false};

	values[0] = DateADTGetDatum(date);
	values[1] = CStringGetTextDatum(rule);
	nulls[2] = note == NULL;
	if (note != NULL)
		values[2] = CStringGetTextDatum(note);
	nulls[3] = nulls[4] = span == NULL;
	if (span != NULL)
	{
		values[3] = TimestampTzGetDatum(span->from);
		values[4] = TimestampTzGetDatum(span->to);
	}
	tuplestore_putvalues(telling->result->setResult, telling->result->setDesc, values, nulls);
}

/* What of a span lies in the one that is told, from an instant on; false: nothing. */
static bool
clip(const Telling *telling, TimestampTz start, HdSlaSpan *span)
{
	span->from = Max(span->from, start);
	span->to = Min(span->to, telling->to);
	return span->from < span->to;
}

/* A date: its open time, or else, if the date itself lies in the span, that it has none; and its breaks. */
static void
tell(Telling *telling, const HdSlaDay *day, int32 date, bool within)
{
	const char *note = day->name;
	bool open = false;

	if (day->ground == HD_SLA_HOURS)
	{
		int weekday = hd_sla_weekday(date);

		Assert(weekday >= 0 && weekday < lengthof(weekdays));
		note = weekdays[weekday];
	}
	for (int i = 0; i < day->n; i++)
	{
		HdSlaSpan span = day->open[i];

		if (!clip(telling, telling->told, &span))
			continue;
		put(telling, date, grounds[day->ground], note, &span);
		telling->told = span.to;
		open = true;
	}
	if (!open && within)
		put(telling, date, rule_of(day), note, NULL);
	for (int i = 0; i < day->nbreaks; i++)
	{
		HdSlaSpan span = day->breaks[i];

		if (clip(telling, telling->from, &span))
			put(telling, date, "break", NULL, &span);
	}
}

static int32
local_date(const pg_tz *zone, TimestampTz instant)
{
	Timestamp local = hd_zone_local(zone, instant);
	int64 days = local / USECS_PER_DAY;

	return (int32) (days - (local % USECS_PER_DAY < 0));
}

/* The dates that a piece governs, or from which it reaches into the span. */
static void
tell_piece(Telling *telling, const HdSlaRules *rules, int32 from, int32 until)
{
	int32 first = local_date(rules->zone, telling->from);
	int32 last = local_date(rules->zone, telling->to - 1);
	HdZoneStretch stretch = {0};
	HdSlaDay day;

	for (int32 date = Max(from, first - HD_SLA_REACH); date < until && date <= last; date++)
	{
		hd_sla_day(rules, &stretch, date, &day);
		tell(telling, &day, date, date >= first);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * hd_sla_sql_business_days
 *		SQL: _business_days(calendar, version, from_ts, to_ts).
 */
Datum
hd_sla_sql_business_days(PG_FUNCTION_ARGS)
{
	HdSlaCalendar *calendar = hd_sla_versions_load(PG_GETARG_INT32(0), PG_GETARG_INT32(1), true);
	Telling telling = {.from = PG_GETARG_TIMESTAMPTZ(2), .to = PG_GETARG_TIMESTAMPTZ(3)};

	InitMaterializedSRF(fcinfo, 0);
	telling.result = (ReturnSetInfo *) fcinfo->resultinfo;
	telling.told = telling.from;
	if (telling.from < HD_SLA_FIRST_INSTANT)
		hd_sla_timeline_refuse(telling.from);
	if (telling.to > HD_SLA_LAST_INSTANT)
		hd_sla_timeline_refuse(telling.to);
	for (int i = 0; telling.from < telling.to && i < calendar->npieces; i++)
		tell_piece(&telling, calendar->pieces[i],
				   (i == 0) ? HD_SLA_FIRST_DAY - HD_SLA_REACH : calendar->pieces[i]->from,
				   (i + 1 == calendar->npieces) ? HD_SLA_LAST_DAY + HD_SLA_REACH
												: calendar->pieces[i + 1]->from);
	hd_sla_timeline_free(calendar);
	PG_RETURN_NULL();
}
