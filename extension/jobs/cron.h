/*-------------------------------------------------------------------------
 * cron.h
 *		Cron expressions: what they say, and when that is.
 *
 * Model: five fields (minute, hour, day of month, month, day of week), or six
 * with the second in front.  An expression becomes sets of bits once; the
 * times it names are then found by arithmetic, never by trying each minute.
 *
 * The day.  As in Vixie's cron: where neither field of the day begins with an
 * asterisk, a day that fits either of them will do; otherwise it has to fit
 * both.
 *
 * Changes of the clock.  An expression whose hour field begins with an
 * asterisk follows the clock as it is shown: what the clock skips does not
 * happen, what it shows twice happens twice, so every minute stays every
 * minute.  Any other names hours of the day, and happens once for each: a
 * time that is shown twice counts when it is shown first, and one that is
 * skipped counts as if the clock had not been changed yet (02:30 becomes
 * 03:30), which is how PostgreSQL reads such a time too.
 *
 * Caveats: where a clock is changed twice within the length of one change,
 * only the later one is considered.  No zone has done that.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_CRON_H
#define HD_JOBS_CRON_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

typedef struct HdCron
{
	uint64 seconds;	 /* bits 0 to 59 */
	uint64 minutes;	 /* bits 0 to 59 */
	uint64 hours;	 /* bits 0 to 23 */
	uint64 days;	 /* bits 1 to 31 */
	uint64 months;	 /* bits 1 to 12 */
	uint64 weekdays; /* bits 0, Sunday, to 6 */
	bool last_day;	 /* the last day of a month is one of the days */
	bool either_day; /* a day that fits days or weekdays will do */
	bool any_hour;	 /* the hour field begins with an asterisk */
} HdCron;

/*
 * hd_jobs_cron_parse
 *		Read an expression.  Raises 22023, with the field and the place in it,
 *		for what is not one or names no day that exists.
 */
extern void hd_jobs_cron_parse(const char *text, HdCron *cron);

/*
 * hd_jobs_cron_zone
 *		A time zone by its IANA name, in any case; raises 22023 where there is none.
 */
extern pg_tz *hd_jobs_cron_zone(const char *name);

/*
 * hd_jobs_cron_next
 *		The first time of the expression that is later than after; false when
 *		there is none in the next hundred years.
 */
extern bool hd_jobs_cron_next(const HdCron *cron, const pg_tz *zone, TimestampTz after,
							  TimestampTz *next);

/*
 * hd_jobs_cron_last
 *		The last time that is later than after and not later than until; false
 *		when there is none.
 */
extern bool hd_jobs_cron_last(const HdCron *cron, const pg_tz *zone, TimestampTz after,
							  TimestampTz until, TimestampTz *last);

#endif /* HD_JOBS_CRON_H */
