/*-------------------------------------------------------------------------
 * calendar.c
 *		Windows that are aligned with the calendar of a time zone.
 *
 * Model: see calendar.h.  A window is the part between two neighbours of a
 * row of instants, those of its local boundaries; near a change of the clock
 * a local time says too little about where an instant lies in that row, so
 * the right neighbours are looked for from about there.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/calendar.h"

#include "core/zone.h"
#include "utils/datetime.h"

/* Days from the epoch of timestamps, Saturday, to the Monday after. */
#define FIRST_MONDAY 2

static int64
floor_div(int64 a, int64 b)
{
	return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static bool
is_short(const HdLimitRule *rule)
{
	return rule->policy.period_us <= USECS_PER_HOUR;
}

/* The local boundary with a number; those of a day's parts begin anew each day. */
static Timestamp
boundary(const HdLimitRule *rule, int64 number, int64 midnight)
{
	int64 month = number * rule->months;
	int64 year = floor_div(month, MONTHS_PER_YEAR);

	if (rule->months > 0)
		return (date2j(2000 + (int) year, (int) (month - year * MONTHS_PER_YEAR) + 1, 1) -
				POSTGRES_EPOCH_JDATE) *
			   USECS_PER_DAY;
	if (rule->policy.period_us >= USECS_PER_DAY)
		return FIRST_MONDAY * USECS_PER_DAY + number * rule->policy.period_us;
	return midnight + Min(number * rule->policy.period_us, USECS_PER_DAY);
}

/* The number of the last boundary that is not after a local time. */
static int64
number_of(const HdLimitRule *rule, Timestamp local, int64 midnight)
{
	int year;
	int month;
	int day;

	if (rule->months > 0)
	{
		j2date((int) floor_div(local, USECS_PER_DAY) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		return floor_div((year - 2000) * (int64) MONTHS_PER_YEAR + month - 1, rule->months);
	}
	if (rule->policy.period_us >= USECS_PER_DAY)
		return floor_div(local - FIRST_MONDAY * USECS_PER_DAY, rule->policy.period_us);
	return (local - midnight) / rule->policy.period_us;
}

static HdLimitWindow
short_window(const HdLimitRule *rule, const pg_tz *zone, int64 midnight, TimestampTz instant)
{
	TimestampTz from = hd_zone_instant(zone, midnight);
	TimestampTz to = hd_zone_instant(zone, midnight + USECS_PER_DAY);
	HdLimitWindow window;

	window.start =
		from + floor_div(instant - from, rule->policy.period_us) * rule->policy.period_us;
	window.end = Min(window.start + rule->policy.period_us, to);
	return window;
}

HdLimitWindow
hd_limits_calendar_window(const HdLimitRule *rule, const pg_tz *zone, TimestampTz instant)
{
	Timestamp local = hd_zone_local(zone, instant);
	int64 midnight = floor_div(local, USECS_PER_DAY) * USECS_PER_DAY;
	int64 number = number_of(rule, local, midnight);
	HdLimitWindow window;

	if (is_short(rule))
		return short_window(rule, zone, midnight, instant);

	/* A clock that is set back puts an instant after boundaries that its local time lies before. */
	while ((window.end = hd_zone_instant(zone, boundary(rule, number + 1, midnight))) <= instant)
		number++;
	while ((window.start = hd_zone_instant(zone, boundary(rule, number, midnight))) > instant)
	{
		window.end = window.start;
		number--;
	}
	return window;
}
