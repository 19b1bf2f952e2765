/*-------------------------------------------------------------------------
 * lane.h
 *		The business time of a clock.
 *
 * Model: a lane says which calendar counts, and whether a due point at closing
 * time means the close or the next opening (calendars.h).
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_LANE_H
#define HD_SLA_LANE_H

#include "postgres.h"

#include "sla/calendars.h"

/*
 * hd_sla_lane_at
 *		Where in business time an instant is.
 */
static inline int64
hd_sla_lane_at(int32 lane, TimestampTz at)
{
	return hd_sla_business_at(hd_sla_calendar_of_lane(lane), at);
}

/*
 * hd_sla_lane_instant
 *		The instant at which a point of business time is due; infinity where the
 *		calendar ends before it.
 */
static inline TimestampTz
hd_sla_lane_instant(int32 lane, int64 b)
{
	return hd_sla_business_instant(hd_sla_calendar_of_lane(lane), b, HD_SLA_LANE_AT_OPEN(lane));
}

/*
 * hd_sla_lane_past
 *		The last point of business time that was due before an instant.
 */
static inline int64
hd_sla_lane_past(int32 lane, TimestampTz at)
{
	HdSlaCalendar *calendar = hd_sla_calendar_of_lane(lane);

	return HD_SLA_LANE_AT_OPEN(lane) ? hd_sla_business_at(calendar, at) - 1
									 : hd_sla_business_at(calendar, at - 1);
}

#endif /* HD_SLA_LANE_H */
