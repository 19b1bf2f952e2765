/*-------------------------------------------------------------------------
 * zone.c
 *		Local times of a time zone, and the instants that they mean.
 *
 * Model: see zone.h.  Offsets are microseconds east of Greenwich.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/zone.h"

#include "utils/timestamp.h"

/* Further than any offset, nearer than two changes of one. */
#define ASIDE (36 * USECS_PER_HOUR)

/* Seconds from the epoch of pg_time_t to that of timestamps. */
#define EPOCH_SECONDS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

pg_tz *
hd_zone_find(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("time zone \"%s\" not recognized", name),
						errhint("View pg_timezone_names lists those there are.")));
	return zone;
}

static int64
offset_at(const pg_tz *zone, TimestampTz instant)
{
	int64 seconds = instant / USECS_PER_SEC;
	pg_time_t time;
	struct pg_tm *tm;

	if (seconds * USECS_PER_SEC > instant)
		seconds--;
	time = (pg_time_t) (seconds + EPOCH_SECONDS);
	tm = pg_localtime(&time, zone);
	return (tm != NULL) ? tm->tm_gmtoff * USECS_PER_SEC : 0;
}

Timestamp
hd_zone_local(const pg_tz *zone, TimestampTz instant)
{
	return instant + offset_at(zone, instant);
}

TimestampTz
hd_zone_instant(const pg_tz *zone, Timestamp local)
{
	int64 before = offset_at(zone, local - ASIDE);
	int64 after = offset_at(zone, local + ASIDE);
	int64 first = Max(before, after); /* the offset that makes the earlier instant */

	if (offset_at(zone, local - first) == first)
		return local - first;
	if (offset_at(zone, local - Min(before, after)) == Min(before, after))
		return local - Min(before, after);
	return local - before;
}
