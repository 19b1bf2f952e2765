/*-------------------------------------------------------------------------
 * days.h
 *		What a calendar says of each date, and when it is open then.
 *
 * Model: a definition (definition.h) is read into rules.  A date's holiday goes
 * before all, then its shift, then the hours of its weekday; breaks of the date
 * are taken off.  Intervals are local times from the date's midnight, half open,
 * and may run into the next day; all of them belong to the date on which they
 * begin.  Their ends are mapped to instants as zone.h says, and what is empty
 * then is dropped; breaks are taken off after that.  A date that its zone
 * skipped has nothing.
 *
 * Dates are numbers of days since 2000-01-01.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_DAYS_H
#define HD_SLA_DAYS_H

#include "postgres.h"

#include "core/zone.h"
#include "utils/palloc.h"

/* The dates that calendars know of: 1800-01-01 up to 2400-01-01. */
#define HD_SLA_FIRST_DAY (-73048)
#define HD_SLA_LAST_DAY 146097

/* Most intervals in one list, and most pieces that breaks make of them. */
#define HD_SLA_MAX_INTERVALS 48
#define HD_SLA_MAX_SPANS (2 * HD_SLA_MAX_INTERVALS)

/* How far, in days, an instant may be from the date whose interval it lies in. */
#define HD_SLA_REACH 3

#define HD_SLA_WEEKDAYS 7

/* [from, to), microseconds: local, since a midnight, or instants. */
typedef struct HdSlaSpan
{
	int64 from;
	int64 to;
} HdSlaSpan;

/* A list of intervals, sorted, apart. */
typedef struct HdSlaSpans
{
	int n;
	HdSlaSpan *spans;
} HdSlaSpans;

/* Lists of intervals by date. */
typedef struct HdSlaDated
{
	int n;
	int32 *days; /* sorted */
	HdSlaSpans *spans;
} HdSlaDated;

typedef struct HdSlaHolidays
{
	int n;
	int32 *days;		/* sorted */
	const char **names; /* of each, or NULL; NULL: not wanted */
	bool any_yearly;
	uint32 yearly[MONTHS_PER_YEAR]; /* a bit for each day */
	const char **yearly_names;		/* by HD_SLA_YEARLY, as names */
} HdSlaHolidays;

/* Place of a day of a month, from 1 both, among all of a year. */
#define HD_SLA_YEARLY(month, day) (((month) -1) * 32 + (day))

typedef struct HdSlaRules
{
	pg_tz *zone;
	bool has_from;
	int32 from;						  /* the first date that they govern */
	bool wall_when_empty;			  /* without open time they are the wall clock */
	HdSlaSpans week[HD_SLA_WEEKDAYS]; /* from Monday */
	HdSlaDated shifts;
	HdSlaDated breaks;
	HdSlaHolidays holidays;
} HdSlaRules;

/* What governs a date. */
typedef enum HdSlaGround
{
	HD_SLA_HOURS,	/* the hours of its weekday */
	HD_SLA_SHIFT,	/* its own hours */
	HD_SLA_HOLIDAY, /* closed */
	HD_SLA_SKIPPED	/* it does not exist */
} HdSlaGround;

typedef struct HdSlaDay
{
	HdSlaGround ground;
	const char *name; /* of the holiday, or NULL */
	int n;
	HdSlaSpan open[HD_SLA_MAX_SPANS]; /* instants; sorted, apart */
	int nbreaks;
	HdSlaSpan breaks[HD_SLA_MAX_INTERVALS];
} HdSlaDay;

/*
 * hd_sla_day
 *		What the rules say of a date.  stretch: of the rules' zone, kept by the
 *		caller from date to date; zeroed at first.
 */
extern void hd_sla_day(const HdSlaRules *rules, HdZoneStretch *stretch, int32 date, HdSlaDay *day);

/*
 * hd_sla_spans_join
 *		Put spans in order and make those one that touch or overlap; how many are
 *		left.
 */
extern int hd_sla_spans_join(HdSlaSpan *spans, int n);

/*
 * hd_sla_days_same
 *		Whether two rules say the same of all dates before one.
 */
extern bool hd_sla_days_same(const HdSlaRules *a, const HdSlaRules *b, int32 until);

/*
 * hd_sla_weekday
 *		From 0, Monday.
 */
static inline int
hd_sla_weekday(int32 date)
{
	/* dates from which nights reach into the first day lie before it, by fewer than two weeks */
	return (date - HD_SLA_FIRST_DAY + 2 + 2 * HD_SLA_WEEKDAYS) % HD_SLA_WEEKDAYS;
}

#endif /* HD_SLA_DAYS_H */
