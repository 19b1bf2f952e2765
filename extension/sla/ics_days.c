/*-------------------------------------------------------------------------
 * ics_days.c
 *		The days that iCalendar's events cover.
 *
 * Model: an event's first occurrence says whether it is one of whole days; one
 * that is not is skipped with all that it repeats.  Occurrences are local times
 * of the event's own zone, so one at midnight UTC may begin with a day of the
 * calendar's zone in winter and not in summer.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/ics.h"

#include "datatype/timestamp.h"
#include "sla/days.h"
#include "sla/ics_rule.h"
#include "sla/ics_text.h"

/* An event while it is laid out. */
typedef struct Layout
{
	const HdSlaIcsFeed *feed;
	const HdSlaIcsEvent *event;
	const HdSlaIcsZones *zones;
	HdSlaIcsDays *days;
	HdSlaIcsError *error;
	bool is_partial; /* an occurrence was not of whole days */
	int nreplacing;	 /* events of the feed that replace occurrences */
	const HdSlaIcsEvent **replacing;
} Layout;

static bool
too_much(Layout *layout, const char *reason)
{
	return hd_sla_ics_fail(layout->error, HD_SLA_ICS_TOO_MUCH, layout->event->line, reason);
}

/*
 * Times
 */

static bool
same_text(HdSlaIcsText a, HdSlaIcsText b)
{
	return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

static bool
same_clock(const HdSlaIcsTime *a, const HdSlaIcsTime *b)
{
	return a->clock == b->clock && (a->clock != HD_SLA_ICS_ZONED || same_text(a->zone, b->zone));
}

/* The order of two times; dates are compared as such.  false: it cannot be told. */
static bool
compare(const Layout *layout, const HdSlaIcsTime *a, const HdSlaIcsTime *b, int *order)
{
	int64 left;
	int64 right;

	if (a->clock == HD_SLA_ICS_DATE || b->clock == HD_SLA_ICS_DATE)
	{
		left = a->date;
		right = b->date;
	}
	else if (same_clock(a, b))
	{
		left = (int64) a->date * SECS_PER_DAY + a->second;
		right = (int64) b->date * SECS_PER_DAY + b->second;
	}
	else if (!layout->zones->instant(layout->zones->arg, a, &left) ||
			 !layout->zones->instant(layout->zones->arg, b, &right))
		return false;
	*order = (left > right) - (left < right);
	return true;
}

static bool
is_same(const Layout *layout, const HdSlaIcsTime *a, const HdSlaIcsTime *b)
{
	int order;

	layout->days->steps++;
	return compare(layout, a, b, &order) && order == 0;
}

static HdSlaIcsTime
later(const HdSlaIcsTime *time, int64 seconds)
{
	HdSlaIcsTime result = *time;
	int64 second = time->second + seconds;

	result.date += second / SECS_PER_DAY;
	result.second = second % SECS_PER_DAY;
	if (result.second < 0)
	{
		result.second += SECS_PER_DAY;
		result.date--;
	}
	return result;
}

/*
 * Occurrences
 */

/* When an occurrence of the event ends that starts at a time; false when that is unknown. */
static bool
end_of(const HdSlaIcsEvent *event, const HdSlaIcsTime *start, HdSlaIcsTime *end)
{
	bool is_first = start->date == event->start.date && start->second == event->start.second;

	if (event->has_length)
		*end = later(start, event->length);
	else if (event->has_end && same_clock(&event->start, &event->end))
		*end = later(start, (int64) (event->end.date - event->start.date) * SECS_PER_DAY +
								event->end.second - event->start.second);
	else
		*end = event->end;
	return event->has_length ||
		   (event->has_end && (is_first || same_clock(&event->start, &event->end)));
}

/* The days of an occurrence, [first, last); false when it is not of whole days that calendars know. */
static bool
whole_days(const Layout *layout, const HdSlaIcsTime *start, int32 *first, int32 *last)
{
	const HdSlaIcsZones *zones = layout->zones;
	HdSlaIcsTime end;
	int64 from;
	int64 to;

	if (start->clock == HD_SLA_ICS_DATE)
	{
		*first = start->date;
		*last = *first + 1;
		if (end_of(layout->event, start, &end))
			*last = Max(*last, end.date);
	}
	else if (!end_of(layout->event, start, &end) || !zones->instant(zones->arg, start, &from) ||
			 !zones->instant(zones->arg, &end, &to) || !zones->midnight(zones->arg, from, first) ||
			 !zones->midnight(zones->arg, to, last))
		return false;
	return *first < *last && *first >= HD_SLA_FIRST_DAY && *last <= HD_SLA_LAST_DAY;
}

static bool
is_excepted(const Layout *layout, const HdSlaIcsTime *start)
{
	const HdSlaIcsEvent *event = layout->event;

	for (int i = event->listed; i < event->listed + event->nlisted; i++)
	{
		if (layout->feed->listed[i].is_exception &&
			is_same(layout, &layout->feed->listed[i].time, start))
			return true;
	}
	return false;
}

/* Whether another event takes its place, if only to say that it is cancelled. */
static bool
is_replaced(const Layout *layout, const HdSlaIcsTime *start)
{
	const HdSlaIcsEvent *event = layout->event;

	if (event->replaces || event->uid.length == 0)
		return false;
	for (int i = 0; i < layout->nreplacing; i++)
	{
		const HdSlaIcsEvent *other = layout->replacing[i];

		layout->days->steps++;
		if (same_text(other->uid, event->uid) && is_same(layout, &other->replaced, start))
			return true;
	}
	return false;
}

static bool
take(Layout *layout, const HdSlaIcsTime *start)
{
	HdSlaIcsDays *days = layout->days;
	int32 first;
	int32 last;

	if (is_excepted(layout, start) || is_replaced(layout, start))
		return true;
	if (days->steps > HD_SLA_ICS_STEPS)
		return too_much(layout, "The events repeat too often.");
	if (!whole_days(layout, start, &first, &last))
	{
		layout->is_partial = true;
		return true;
	}
	if (last - first > HD_SLA_ICS_DAYS - days->n)
		return too_much(layout, "The events cover more than 50000 days.");
	while (first < last)
		days->days[days->n++] = (HdSlaIcsDay){first++, layout->event - layout->feed->events};
	return true;
}

static bool
take_listed(Layout *layout)
{
	const HdSlaIcsEvent *event = layout->event;

	for (int i = event->listed; i < event->listed + event->nlisted; i++)
	{
		HdSlaIcsTime time = layout->feed->listed[i].time;

		/* a date alone has the event's time */
		if (time.clock == HD_SLA_ICS_DATE || event->start.clock == HD_SLA_ICS_DATE)
		{
			time = event->start;
			time.date = layout->feed->listed[i].time.date;
		}
		if (!layout->feed->listed[i].is_exception && !take(layout, &time))
			return false;
	}
	return true;
}

/*
 * Rules
 */

/* The number of the first period that can matter: what is not counted may begin with the first year. */
static int
first_period(const HdSlaIcsEvent *event)
{
	int32 begin = hd_sla_ics_year_begins(HD_SLA_ICS_FIRST_YEAR);
	const HdSlaIcsRule *rule = &event->rule;
	int days = (rule->every == HD_SLA_ICS_YEARLY)	 ? 366
			   : (rule->every == HD_SLA_ICS_MONTHLY) ? 31
			   : (rule->every == HD_SLA_ICS_WEEKLY)	 ? HD_SLA_WEEKDAYS
													 : 1;
	int64 number = (begin - event->start.date) / days / rule->interval - 2;

	return (rule->count == 0 && number > 0) ? (int) number : 0;
}

/* Takes what one period has; false with an error.  left: of COUNT; is 0 when the rule has ended. */
static bool
take_period(Layout *layout, const int32 *dates, int n, int *left)
{
	const HdSlaIcsRule *rule = &layout->event->rule;
	int32 begin = hd_sla_ics_year_begins(HD_SLA_ICS_FIRST_YEAR);
	int32 end = hd_sla_ics_year_begins(HD_SLA_ICS_LAST_YEAR + 1);
	HdSlaIcsTime time = layout->event->start;
	int order;

	for (int i = 0; i<n && * left> 0; i++)
	{
		time.date = dates[i];
		if (dates[i] <= layout->event->start.date)
			continue;
		if (dates[i] >= end ||
			(rule->has_until && (!compare(layout, &time, &rule->until, &order) || order > 0)))
		{
			*left = 0;
			return true;
		}
		(*left)--;
		if (dates[i] >= begin && !take(layout, &time))
			return false;
	}
	return true;
}

static bool
take_rule(Layout *layout)
{
	const HdSlaIcsEvent *event = layout->event;
	int left = (event->rule.count > 0) ? event->rule.count - 1 : PG_INT32_MAX;
	int32 dates[HD_SLA_ICS_PERIOD];

	for (int number = first_period(event); left > 0; number++)
	{
		int n = hd_sla_ics_rule_dates(&event->rule, event->start.date, number, dates,
									  &layout->days->steps);

		if (n < 0)
			return true;
		if (layout->days->steps > HD_SLA_ICS_STEPS)
			return too_much(layout, "The events repeat too often.");
		if (!take_period(layout, dates, n, &left))
			return false;
	}
	return true;
}

/*
 * Events
 */

static bool
lay_out(Layout *layout)
{
	const HdSlaIcsEvent *event = layout->event;
	int32 first;
	int32 last;

	if (event->is_cancelled)
		return true;
	layout->is_partial = !whole_days(layout, &event->start, &first, &last);
	if (layout->is_partial || event->replaces)
		return layout->is_partial || take(layout, &event->start);
	if (event->repeats && event->rule.unknown != NULL)
		return hd_sla_ics_fail(layout->error, HD_SLA_ICS_UNSUPPORTED, event->rule_line,
							   event->rule.unknown);
	return take(layout, &event->start) && take_listed(layout) &&
		   (!event->repeats || take_rule(layout));
}

bool
hd_sla_ics_days(const HdSlaIcsFeed *feed, const HdSlaIcsZones *zones, HdSlaIcsDays *days,
				HdSlaIcsError *error)
{
	Layout layout = {.feed = feed, .zones = zones, .days = days, .error = error};

	memset(error, 0, sizeof(*error));
	memset(days, 0, sizeof(*days));
	days->days = palloc(HD_SLA_ICS_DAYS * sizeof(HdSlaIcsDay));
	layout.replacing = palloc(Max(feed->nevents, 1) * sizeof(HdSlaIcsEvent *));
	for (int i = 0; i < feed->nevents; i++)
	{
		if (feed->events[i].replaces)
			layout.replacing[layout.nreplacing++] = &feed->events[i];
	}
	for (int i = 0; i < feed->nevents; i++)
	{
		layout.event = &feed->events[i];
		if (!lay_out(&layout))
			return false;
		if (layout.is_partial)
			days->skipped++;
		layout.is_partial = false;
	}
	return true;
}
