/*-------------------------------------------------------------------------
 * calendar.h
 *		Windows that are aligned with the calendar of a time zone.
 *
 * Model: windows of n months are counted from January 2000, of n days from
 * Monday, 3 January 2000 (so seven days are a week from Monday on), and
 * shorter ones from each midnight; what is left of a day before midnight is
 * a window of its own.  Boundaries are local times: a day, or six hours of
 * one, may be an hour longer or shorter.  Windows of up to an hour are of one
 * length all the same: they divide the time that has passed since midnight.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_CALENDAR_H
#define HD_LIMITS_CALENDAR_H

#include "postgres.h"

#include "limits/rule.h"
#include "pgtime.h"

/* [start, end), microseconds. */
typedef struct HdLimitWindow
{
	int64 start;
	int64 end;
} HdLimitWindow;

/*
 * hd_limits_calendar_window
 *		The window of a rule that an instant lies in.
 */
extern HdLimitWindow hd_limits_calendar_window(const HdLimitRule *rule, const pg_tz *zone,
											   TimestampTz instant);

#endif /* HD_LIMITS_CALENDAR_H */
