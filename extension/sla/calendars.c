/*-------------------------------------------------------------------------
 * calendars.c
 *		The calendars of this session, by name and by lane.
 *
 * Model: see calendars.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/calendars.h"

HdSlaCalendar *
hd_sla_calendar_of_lane(int32 lane)
{
	int32 epoch = HD_SLA_LANE_EPOCH(lane);

	if (epoch == 0)
		return &hd_sla_wall_clock;
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("epoch %d of business time does not exist", epoch)));
}
