/*-------------------------------------------------------------------------
 * days.c
 *		What a calendar says of each date, and when it is open then.
 *
 * Model: see days.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/days.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Place of a date among sorted ones, or of the first after it. */
static int
lower_bound(const int32 *days, int n, int32 date)
{
	int low = 0;

	while (low < n)
	{
		int middle = low + (n - low) / 2;

		if (days[middle] < date)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

static const HdSlaSpans *
find_dated(const HdSlaDated *dated, int32 date)
{
	int i = lower_bound(dated->days, dated->n, date);

	return (i < dated->n && dated->days[i] == date) ? &dated->spans[i] : NULL;
}

static bool
is_holiday(const HdSlaHolidays *holidays, int32 date, const char **name)
{
	int i = lower_bound(holidays->days, holidays->n, date);
	int year;
	int month;
	int day;

	if (i < holidays->n && holidays->days[i] == date)
	{
		*name = (holidays->names != NULL) ? holidays->names[i] : NULL;
		return true;
	}
	if (!holidays->any_yearly)
		return false;
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if ((holidays->yearly[month - 1] & ((uint32) 1 << day)) == 0)
		return false;
	if (holidays->yearly_names != NULL)
		*name = holidays->yearly_names[HD_SLA_YEARLY(month, day)];
	return true;
}

static HdSlaSpan
map(const HdSlaRules *rules, HdZoneStretch *stretch, int32 date, const HdSlaSpan *local)
{
	int64 midnight = date * USECS_PER_DAY;
	HdSlaSpan span;

	span.from = hd_zone_instant_within(rules->zone, stretch, midnight + local->from);
	span.to = hd_zone_instant_within(rules->zone, stretch, midnight + local->to);
	return span;
}

/* Append what of a list is not empty; how many there are then. */
static int
map_all(const HdSlaRules *rules, HdZoneStretch *stretch, int32 date, const HdSlaSpans *list,
		HdSlaSpan *out)
{
	int n = 0;

	for (int i = 0; i < list->n; i++)
	{
		out[n] = map(rules, stretch, date, &list->spans[i]);
		if (out[n].from < out[n].to)
			n++;
	}
	return n;
}

static int
compare_spans(const void *a, const void *b)
{
	int64 from_a = ((const HdSlaSpan *) a)->from;
	int64 from_b = ((const HdSlaSpan *) b)->from;

	return (from_a > from_b) - (from_a < from_b);
}

int
hd_sla_spans_join(HdSlaSpan *spans, int n)
{
	bool sorted = true;
	int left = 0;

	for (int i = 1; i < n && sorted; i++)
		sorted = spans[i - 1].from <= spans[i].from;
	if (!sorted)
		qsort(spans, n, sizeof(HdSlaSpan), compare_spans);
	for (int i = 0; i < n; i++)
	{
		if (left > 0 && spans[i].from <= spans[left - 1].to)
			spans[left - 1].to = Max(spans[left - 1].to, spans[i].to);
		else
			spans[left++] = spans[i];
	}
	return left;
}

/* Take a span off the first n open ones of a day; how many are left. */
static int
take_off(HdSlaSpan *open, int n, const HdSlaSpan *off)
{
	HdSlaSpan left[HD_SLA_MAX_SPANS] = {{0}};
	int nleft = 0;

	for (int i = 0; i < n; i++)
	{
		if (open[i].from < off->from)
		{
			left[nleft].from = open[i].from;
			left[nleft++].to = Min(open[i].to, off->from);
		}
		if (open[i].to > off->to)
		{
			left[nleft].from = Max(open[i].from, off->to);
			left[nleft++].to = open[i].to;
		}
	}
	memcpy(open, left, nleft * sizeof(HdSlaSpan));
	return nleft;
}

/* A date on which a clock was set forward by all of it. */
static bool
is_skipped(const HdSlaRules *rules, HdZoneStretch *stretch, int32 date)
{
	static const HdSlaSpan whole = {0, USECS_PER_DAY};
	HdSlaSpan span = map(rules, stretch, date, &whole);

	return span.from >= span.to;
}

void
hd_sla_day(const HdSlaRules *rules, HdZoneStretch *stretch, int32 date, HdSlaDay *day)
{
	const HdSlaSpans *hours = &rules->week[hd_sla_weekday(date)];
	const HdSlaSpans *shift;
	const HdSlaSpans *breaks;

	day->ground = HD_SLA_HOURS;
	day->name = NULL;
	day->n = 0;
	day->nbreaks = 0;
	if (is_skipped(rules, stretch, date))
	{
		day->ground = HD_SLA_SKIPPED;
		return;
	}
	if (is_holiday(&rules->holidays, date, &day->name))
	{
		day->ground = HD_SLA_HOLIDAY;
		return;
	}
	shift = find_dated(&rules->shifts, date);
	if (shift != NULL)
	{
		day->ground = HD_SLA_SHIFT;
		hours = shift;
	}
	/* apart, so that a break makes at most one more of them: near a change they may overlap */
	day->n = hd_sla_spans_join(day->open, map_all(rules, stretch, date, hours, day->open));
	breaks = find_dated(&rules->breaks, date);
	if (breaks == NULL)
		return;
	day->nbreaks = map_all(rules, stretch, date, breaks, day->breaks);
	for (int i = 0; i < day->nbreaks; i++)
		day->n = take_off(day->open, day->n, &day->breaks[i]);
}

/*
 * Comparing
 */

static bool
same_spans(const HdSlaSpans *a, const HdSlaSpans *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->spans, b->spans, a->n * sizeof(HdSlaSpan)) == 0);
}

static bool
same_dates(const int32 *a, int na, const int32 *b, int nb)
{
	return na == nb && (na == 0 || memcmp(a, b, na * sizeof(int32)) == 0);
}

static bool
same_dated(const HdSlaDated *a, const HdSlaDated *b, int32 until)
{
	int na = lower_bound(a->days, a->n, until);
	int nb = lower_bound(b->days, b->n, until);

	if (!same_dates(a->days, na, b->days, nb))
		return false;
	for (int i = 0; i < na; i++)
	{
		if (!same_spans(&a->spans[i], &b->spans[i]))
			return false;
	}
	return true;
}

bool
hd_sla_days_same(const HdSlaRules *a, const HdSlaRules *b, int32 until)
{
	if (a->zone != b->zone ||
		memcmp(a->holidays.yearly, b->holidays.yearly, sizeof(a->holidays.yearly)) != 0)
		return false;
	for (int i = 0; i < HD_SLA_WEEKDAYS; i++)
	{
		if (!same_spans(&a->week[i], &b->week[i]))
			return false;
	}
	return same_dates(a->holidays.days, lower_bound(a->holidays.days, a->holidays.n, until),
					  b->holidays.days, lower_bound(b->holidays.days, b->holidays.n, until)) &&
		   same_dated(&a->shifts, &b->shifts, until) && same_dated(&a->breaks, &b->breaks, until);
}
