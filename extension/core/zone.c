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

/* Whether the database has the name; a rule that says what it means is none. */
static bool
is_listed(pg_tz *zone)
{
	const char *name = pg_get_timezone_name(zone);
	pg_tzenum *list;
	pg_tz *next;
	bool found = false;

	/* such a rule has an offset in it, and few names have digits */
	if (strpbrk(name, "0123456789") == NULL)
		return true;
	list = pg_tzenumerate_start();
	while (!found && (next = pg_tzenumerate_next(list)) != NULL)
		found = strcmp(pg_get_timezone_name(next), name) == 0;
	pg_tzenumerate_end(list);
	return found;
}

pg_tz *
hd_zone_named(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	return (zone != NULL && pg_tz_acceptable(zone) && is_listed(zone)) ? zone : NULL;
}

/* The last whole second before an instant, or at it. */
static pg_time_t
second_of(TimestampTz instant)
{
	int64 seconds = instant / USECS_PER_SEC;

	if (seconds * USECS_PER_SEC > instant)
		seconds--;
	return (pg_time_t) (seconds + EPOCH_SECONDS);
}

static TimestampTz
instant_of(pg_time_t second)
{
	return ((int64) second - EPOCH_SECONDS) * USECS_PER_SEC;
}

static int64
offset_at(const pg_tz *zone, TimestampTz instant)
{
	pg_time_t time = second_of(instant);
	struct pg_tm *tm = pg_localtime(&time, zone);

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

/* The stretch that begins at an instant, which may be in the middle of a longer one. */
static HdZoneStretch
stretch_from(const pg_tz *zone, TimestampTz instant)
{
	pg_time_t second = second_of(instant);
	HdZoneStretch stretch = {.from = instant_of(second), .until = PG_INT64_MAX};
	long int before = 0;
	long int after;
	int before_dst;
	int after_dst;
	pg_time_t change;
	int found =
		pg_next_dst_boundary(&second, &before, &before_dst, &change, &after, &after_dst, zone);

	if (found < 0)
		stretch.until = stretch.from; /* none; each time is looked up */
	else if (found > 0)
		stretch.until = instant_of(change);
	stretch.offset = before * USECS_PER_SEC;
	return stretch;
}

TimestampTz
hd_zone_instant_within(const pg_tz *zone, HdZoneStretch *stretch, Timestamp local)
{
	if (unlikely(local - ASIDE < stretch->from || local + ASIDE >= stretch->until))
	{
		*stretch = stretch_from(zone, local - ASIDE);
		if (local + ASIDE >= stretch->until)
			return hd_zone_instant(zone, local);
	}
	return local - stretch->offset;
}
