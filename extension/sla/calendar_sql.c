/*-------------------------------------------------------------------------
 * calendar_sql.c
 *		Business time in SQL.
 *
 * Model: a call keeps the calendar that it asked for last (in fn_extra) and
 * looks it up again when the name is another, when the active snapshot is, or
 * when something has changed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "common/int.h"
#include "core/errors.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "sla/calendars.h"
#include "sla/versions.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The name that a call asked for last, and its calendar. */
typedef struct Call
{
	HdSlaHandle handle;
	int length;
	char name[HD_SLA_NAME_SIZE];
} Call;

PG_FUNCTION_INFO_V1(hd_sla_sql_business_time_between);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_time_add);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_open);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_days_add);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_at);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_instant);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_past);
PG_FUNCTION_INFO_V1(hd_sla_sql_calendar_check);
PG_FUNCTION_INFO_V1(hd_sla_sql_calendar_same);
PG_FUNCTION_INFO_V1(hd_sla_sql_calendars_changed);

/*
 * By name
 */

static Call *
look_up(FunctionCallInfo fcinfo, const char *name, int length)
{
	Call *call = fcinfo->flinfo->fn_extra;

	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Call));
		fcinfo->flinfo->fn_extra = call;
	}
	call->length = -1;
	hd_sla_calendar_find(name, length, &call->handle);
	memcpy(call->name, name, length);
	call->length = length;
	return call;
}

/* The calendar that the first argument names. */
static HdSlaCalendar *
calendar_arg(FunctionCallInfo fcinfo)
{
	Call *call = fcinfo->flinfo->fn_extra;
	text *name;
	int length;

	hd_require_arg(fcinfo, 0, "calendar");
	name = PG_GETARG_TEXT_PP(0);
	length = (int) VARSIZE_ANY_EXHDR(name);
	if (unlikely(call == NULL || call->length != length ||
				 memcmp(call->name, VARDATA_ANY(name), length) != 0 ||
				 !hd_sla_handle_valid(&call->handle)))
		call = look_up(fcinfo, VARDATA_ANY(name), length);
	return call->handle.calendar;
}

static TimestampTz
instant_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	hd_require_arg(fcinfo, n, name);
	return PG_GETARG_TIMESTAMPTZ(n);
}

/*
 * hd_sla_sql_business_time_between
 *		SQL: business_time_between(calendar, from_ts, to_ts).
 */
Datum
hd_sla_sql_business_time_between(PG_FUNCTION_ARGS)
{
	HdSlaCalendar *calendar = calendar_arg(fcinfo);
	TimestampTz from = instant_arg(fcinfo, 1, "from_ts");
	TimestampTz to = instant_arg(fcinfo, 2, "to_ts");
	int64 passed = hd_sla_business_at(calendar, to) - hd_sla_business_at(calendar, from);
	Interval *result = palloc(sizeof(Interval));

	result->month = 0;
	result->day = 0;
	result->time = Max(passed, 0);
	PG_RETURN_INTERVAL_P(result);
}

/* Microseconds of an amount of time; 22023 for months. */
static int64
amount_of(const Interval *interval)
{
	int64 amount;

	if (unlikely(interval->month != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount must not contain months or years"),
				 errhint("Write it in days, hours, minutes or seconds; a day counts 24 hours.")));
	if (unlikely(pg_add_s64_overflow(interval->day * USECS_PER_DAY, interval->time, &amount)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("amount is out of range")));
	return amount;
}

static bool
at_open_arg(FunctionCallInfo fcinfo, int n)
{
	text *rule;
	int length;

	if (PG_ARGISNULL(n))
		return false;
	rule = PG_GETARG_TEXT_PP(n);
	length = (int) VARSIZE_ANY_EXHDR(rule);
	if (length == 5 && memcmp(VARDATA_ANY(rule), "close", 5) == 0)
		return false;
	if (length == 4 && memcmp(VARDATA_ANY(rule), "open", 4) == 0)
		return true;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("at_close must be \"close\" or \"open\"")));
}

/*
 * hd_sla_sql_business_time_add
 *		SQL: business_time_add(calendar, from_ts, amount, at_close).
 */
Datum
hd_sla_sql_business_time_add(PG_FUNCTION_ARGS)
{
	HdSlaCalendar *calendar = calendar_arg(fcinfo);
	TimestampTz from = instant_arg(fcinfo, 1, "from_ts");
	bool at_open = at_open_arg(fcinfo, 3);
	TimestampTz result;
	int64 amount;
	int64 point;

	hd_require_arg(fcinfo, 2, "amount");
	amount = amount_of(PG_GETARG_INTERVAL_P(2));
	point = hd_sla_business_at(calendar, from);
	if (amount == 0 && !at_open)
		PG_RETURN_TIMESTAMPTZ(from);
	if (pg_add_s64_overflow(point, amount, &point))
		point = (amount < 0) ? PG_INT64_MIN + 1 : PG_INT64_MAX;
	/* back to the latest instant, whatever the rule */
	result = hd_sla_business_instant(calendar, point, at_open || amount < 0);
	if (unlikely(TIMESTAMP_NOT_FINITE(result)))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("calendar has not so much open time"),
						errdetail("Calendars know the time from 1800-01-01 to 2400-01-01 UTC.")));
	PG_RETURN_TIMESTAMPTZ(result);
}

/*
 * hd_sla_sql_business_open
 *		SQL: business_open(calendar, at).
 */
Datum
hd_sla_sql_business_open(PG_FUNCTION_ARGS)
{
	HdSlaCalendar *calendar = calendar_arg(fcinfo);

	PG_RETURN_BOOL(hd_sla_business_open(calendar, instant_arg(fcinfo, 1, "at")));
}

/* Whether a calendar is open at any time of a local date. */
static bool
opens_on(HdSlaCalendar *calendar, const pg_tz *zone, HdZoneStretch *stretch, int64 date)
{
	TimestampTz from = hd_zone_instant_within(zone, stretch, date * USECS_PER_DAY);
	TimestampTz to = hd_zone_instant_within(zone, stretch, (date + 1) * USECS_PER_DAY);

	return from < to && hd_sla_business_at(calendar, to) > hd_sla_business_at(calendar, from);
}

/*
 * hd_sla_sql_business_days_add
 *		SQL: business_days_add(calendar, from_ts, days).
 */
Datum
hd_sla_sql_business_days_add(PG_FUNCTION_ARGS)
{
	HdSlaCalendar *calendar = calendar_arg(fcinfo);
	TimestampTz from = instant_arg(fcinfo, 1, "from_ts");
	const pg_tz *zone = calendar->pieces[calendar->npieces - 1]->zone;
	HdZoneStretch stretch = {0};
	Timestamp local;
	int64 date;
	int64 days;
	int step;

	hd_require_arg(fcinfo, 2, "days");
	days = PG_GETARG_INT32(2);
	(void) hd_sla_business_at(calendar, from); /* refuses what calendars do not know */
	if (days == 0)
		PG_RETURN_TIMESTAMPTZ(from);
	local = hd_zone_local(zone, from);
	date = (local - (((local % USECS_PER_DAY) + USECS_PER_DAY) % USECS_PER_DAY)) / USECS_PER_DAY;
	local -= date * USECS_PER_DAY;
	step = (days > 0) ? 1 : -1;
	while (days != 0)
	{
		date += step;
		if (opens_on(calendar, zone, &stretch, date))
			days -= step;
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_TIMESTAMPTZ(hd_zone_instant(zone, date * USECS_PER_DAY + local));
}

/*
 * By lane
 */

/*
 * hd_sla_sql_business_at
 *		SQL: _business_at(lane, at).
 */
Datum
hd_sla_sql_business_at(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hd_sla_lane_at(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/*
 * hd_sla_sql_business_instant
 *		SQL: _business_instant(lane, b).
 */
Datum
hd_sla_sql_business_instant(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(hd_sla_lane_instant(PG_GETARG_INT32(0), PG_GETARG_INT64(1)));
}

/*
 * hd_sla_sql_business_past
 *		SQL: _business_past(lane, now).
 */
Datum
hd_sla_sql_business_past(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hd_sla_lane_past(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/*
 * Changes
 */

/*
 * hd_sla_sql_calendar_check
 *		SQL: _calendar_check(definition).
 */
Datum
hd_sla_sql_calendar_check(PG_FUNCTION_ARGS)
{
	hd_sla_timeline_free(hd_sla_versions_propose(PG_GETARG_JSONB_P(0), 0, 0));
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_calendar_same
 *		SQL: _calendar_same(calendar, version, definition, before, until): whether
 *		the definition, with that version for what is before its "from", is open
 *		when the version is, up to an instant.
 */
Datum
hd_sla_sql_calendar_same(PG_FUNCTION_ARGS)
{
	int32 id = PG_GETARG_INT32(0);
	HdSlaCalendar *old = hd_sla_versions_load(id, PG_GETARG_INT32(1), false);
	HdSlaCalendar *new = hd_sla_versions_propose(PG_GETARG_JSONB_P(2), id, PG_GETARG_INT32(3));
	bool same = hd_sla_timeline_same(old, new, PG_GETARG_TIMESTAMPTZ(4));

	hd_sla_timeline_free(old);
	hd_sla_timeline_free(new);
	PG_RETURN_BOOL(same);
}

/*
 * hd_sla_sql_calendars_changed
 *		SQL: the trigger of the tables that say which version a calendar has.
 */
Datum
hd_sla_sql_calendars_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_calendars_changed is a trigger function")));
	hd_seen_tell(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
