/*-------------------------------------------------------------------------
 * ics_sql.c
 *		Holidays from iCalendar text, in SQL.
 *
 * Model: time zones are the server's.  A zone that an event names and the server
 * does not know makes its times unknown, and so the event one that is skipped.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/zone.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sla/ics.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_sla_sql_calendar_ics);

/* Looking for a zone that is not there takes long. */
#define UNKNOWN_MOST 20

/* The calendar's zone, and the one that an event named last. */
typedef struct Zones
{
	const pg_tz *calendar;
	char name[TZ_STRLEN_MAX + 1];
	const pg_tz *named; /* NULL: the server knows none of that name */
	int unknown;		/* names so far */
} Zones;

/*
 * Time zones
 */

static void
look_up(Zones *zones, HdSlaIcsText name)
{
	CHECK_FOR_INTERRUPTS();
	memcpy(zones->name, name.at, name.length);
	zones->name[name.length] = '\0';
	zones->named = (name.length > 0) ? hd_zone_named(zones->name) : NULL;
	if (zones->named == NULL && ++zones->unknown > UNKNOWN_MOST)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("iCalendar text cannot be imported"),
						errdetail("It names more than 20 time zones that are unknown.")));
}

/* The zone of a local time, or NULL. */
static const pg_tz *
zone_of(Zones *zones, const HdSlaIcsTime *time)
{
	HdSlaIcsText name = time->zone;

	if (time->clock != HD_SLA_ICS_ZONED)
		return zones->calendar;
	if (name.length > TZ_STRLEN_MAX)
		return NULL;
	if (strlen(zones->name) != name.length || memcmp(zones->name, name.at, name.length) != 0)
		look_up(zones, name);
	return zones->named;
}

static bool
instant_of(void *arg, const HdSlaIcsTime *time, int64 *instant)
{
	int64 local = time->date * USECS_PER_DAY + time->second * USECS_PER_SEC;
	const pg_tz *zone = zone_of(arg, time);

	if (zone == NULL || time->date < HD_SLA_FIRST_DAY || time->date > HD_SLA_LAST_DAY)
		return false;
	*instant = (time->clock == HD_SLA_ICS_UTC) ? local : hd_zone_instant(zone, local);
	return true;
}

/* A day begins with the first instant that has its date. */
static bool
midnight_of(void *arg, int64 instant, int32 *date)
{
	const pg_tz *zone = ((Zones *) arg)->calendar;
	Timestamp local = hd_zone_local(zone, instant);

	*date = local / USECS_PER_DAY;
	if (local < *date * USECS_PER_DAY)
		(*date)--;
	return hd_zone_instant(zone, *date * USECS_PER_DAY) == instant;
}

/*
 * Answers
 */

static void
refuse(const HdSlaIcsError *error)
{
	int code = (error->trouble == HD_SLA_ICS_TOO_MUCH)		? ERRCODE_PROGRAM_LIMIT_EXCEEDED
			   : (error->trouble == HD_SLA_ICS_UNSUPPORTED) ? ERRCODE_FEATURE_NOT_SUPPORTED
															: ERRCODE_INVALID_PARAMETER_VALUE;

	ereport(ERROR,
			(errcode(code), errmsg("iCalendar text cannot be imported, line %d", error->line),
			 errdetail_internal("%s", error->reason)));
}

static void
put_day(ReturnSetInfo *result, const HdSlaIcsFeed *feed, const HdSlaIcsDay *day)
{
	char name[HD_SLA_ICS_NAME];
	int length = hd_sla_ics_name(&feed->events[day->event], name);
	Datum values[2] = {DateADTGetDatum(day->date), 0};
	bool nulls[2] = {false, length == 0};

	if (length > 0)
		values[1] = PointerGetDatum(cstring_to_text_with_len(name, length));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * hd_sla_sql_calendar_ics
 *		SQL: _calendar_ics(ics, time_zone): the dates of holidays, in the order of
 *		the text, with their names.
 */
Datum
hd_sla_sql_calendar_ics(PG_FUNCTION_ARGS)
{
	text *ics = PG_GETARG_TEXT_PP(0);
	Zones zones = {.calendar = hd_zone_find(text_to_cstring(PG_GETARG_TEXT_PP(1)))};
	HdSlaIcsZones asked = {instant_of, midnight_of, &zones};
	HdSlaIcsFeed feed;
	HdSlaIcsDays days;
	HdSlaIcsError error;

	InitMaterializedSRF(fcinfo, 0);
	if (!hd_sla_ics_read(VARDATA_ANY(ics), VARSIZE_ANY_EXHDR(ics), &feed, &error) ||
		!hd_sla_ics_days(&feed, &asked, &days, &error))
		refuse(&error);
	for (int i = 0; i < days.n; i++)
		put_day((ReturnSetInfo *) fcinfo->resultinfo, &feed, &days.days[i]);
	if (days.skipped > 0)
		ereport(NOTICE, (errmsg_plural("%d event was skipped", "%d events were skipped",
									   days.skipped, days.skipped),
						 errdetail("Holidays are whole days of the calendar's time zone, from 1800 "
								   "to 2399.")));
	return (Datum) 0;
}
