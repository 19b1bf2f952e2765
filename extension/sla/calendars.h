/*-------------------------------------------------------------------------
 * calendars.h
 *		The calendars of this session, by name and by lane.
 *
 * Model: a calendar is compiled when it is first asked for and kept, within
 * hotdash.calendar_cache, the least recently asked for out first.  What is kept
 * is used only when it is known to be what the active snapshot sees:
 * core/seen.h says how, and sql/sla_calendars.sql has the triggers.
 *
 * An epoch is a calendar as long as its past stays what it was: points of its
 * business time are comparable.  A lane is an epoch (0: the wall clock) with the
 * rule for points at closing time; see sql/sla_calendars.sql.
 *
 * Caveats: all of it needs an active snapshot, but for lanes of the wall clock.
 *
 * What a crash loses: nothing, the cache is the session's own.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_CALENDARS_H
#define HD_SLA_CALENDARS_H

#include "postgres.h"

#include "core/seen.h"
#include "sla/timeline.h"

/* Lanes are twice the epoch, and one more where a point at closing time means the next opening. */
#define HD_SLA_LANE(epoch, at_open) ((epoch) *2 + ((at_open) ? 1 : 0))
#define HD_SLA_LANE_EPOCH(lane) ((lane) >> 1)
#define HD_SLA_LANE_AT_OPEN(lane) (((lane) &1) != 0)

/* Most bytes of a name, and one. */
#define HD_SLA_NAME_SIZE 64

/* A calendar that was found, for as long as hd_sla_handle_valid says. */
typedef struct HdSlaHandle
{
	HdSlaCalendar *calendar;
	uint64 generation;
	HdSeenSnapshot snapshot;
} HdSlaHandle;

/* Changes with every message and every calendar dropped from memory. */
extern uint64 hd_sla_calendars_generation;

static inline bool
hd_sla_handle_valid(const HdSlaHandle *handle)
{
	return handle->generation == hd_sla_calendars_generation &&
		   hd_seen_is_active(&handle->snapshot);
}

/*
 * hd_sla_calendars_init
 *		Settings.  Called once from hd_sla_init.
 */
extern void hd_sla_calendars_init(void);

/*
 * hd_sla_calendar_find
 *		Look a calendar up by its name and fill the handle.  42704 when there is
 *		none.
 */
extern void hd_sla_calendar_find(const char *name, int length, HdSlaHandle *handle);

/*
 * hd_sla_calendar_of_lane
 *		The calendar that a lane's points are of, as the active snapshot sees it.
 *		42704 when there is none.  Valid until a calendar is looked up again.
 */
extern HdSlaCalendar *hd_sla_calendar_of_lane(int32 lane);

/*
 * hd_sla_lane_at
 *		Where an instant lies in the business time of a lane.  22008 for one that
 *		calendars do not know.
 * hd_sla_lane_instant
 *		The instant of a point; infinite where none is before 2400.
 * hd_sla_lane_past
 *		The last point whose instant is before now.
 */
static inline int64
hd_sla_lane_at(int32 lane, TimestampTz at)
{
	return hd_sla_business_at(hd_sla_calendar_of_lane(lane), at);
}

static inline TimestampTz
hd_sla_lane_instant(int32 lane, int64 b)
{
	return hd_sla_business_instant(hd_sla_calendar_of_lane(lane), b, HD_SLA_LANE_AT_OPEN(lane));
}

static inline int64
hd_sla_lane_past(int32 lane, TimestampTz now)
{
	return hd_sla_business_past(hd_sla_calendar_of_lane(lane), now, HD_SLA_LANE_AT_OPEN(lane));
}

#endif /* HD_SLA_CALENDARS_H */
