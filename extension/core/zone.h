/*-------------------------------------------------------------------------
 * zone.h
 *		Local times of a time zone, and the instants that they mean.
 *
 * Model: a local time that a zone has twice, when its clocks are set back,
 * means the first; one that it has not, when they are set forward, means the
 * instant as long after the change as it lies after the change's local time.
 * That is what people mean by opening hours, and what a rule such as "from
 * two to three o'clock" needs so that no instant lies in two parts of a day.
 *
 * Caveats: the changes of a zone's clock must lie 36 hours apart, as they do.
 *-------------------------------------------------------------------------
 */
#ifndef HD_ZONE_H
#define HD_ZONE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

/*
 * hd_zone_find
 *		A time zone by its name in the IANA database (or as SET TimeZone takes
 *		it); 22023 when there is none.
 */
extern pg_tz *hd_zone_find(const char *name);

/*
 * hd_zone_named
 *		A time zone by its name in the IANA database alone; NULL when there is none.
 */
extern pg_tz *hd_zone_named(const char *name);

/*
 * hd_zone_local / hd_zone_instant
 *		The local time of an instant; the instant of a local time.  Both finite and
 *		at least three days within the range of timestamps.
 */
extern Timestamp hd_zone_local(const pg_tz *zone, TimestampTz instant);
extern TimestampTz hd_zone_instant(const pg_tz *zone, Timestamp local);

/*
 * Instants from one to before another between which a zone's offset is the
 * same; zeroed: none.
 */
typedef struct HdZoneStretch
{
	TimestampTz from;
	TimestampTz until;
	int64 offset; /* microseconds east of Greenwich */
} HdZoneStretch;

/*
 * hd_zone_instant_within
 *		As hd_zone_instant, for many local times that follow each other: away from
 *		changes the offset of the stretch that the caller keeps will do.
 */
extern TimestampTz hd_zone_instant_within(const pg_tz *zone, HdZoneStretch *stretch,
										  Timestamp local);

#endif /* HD_ZONE_H */
