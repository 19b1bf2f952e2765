/*-------------------------------------------------------------------------
 * ics_rule.c
 *		How iCalendar's events repeat.
 *
 * Model: a rule divides time into periods, of which every so many count; of the
 * dates of such a period each is looked at whether it fits.  That is slow, and
 * the same for all kinds of rules.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/ics_rule.h"

#include "datatype/timestamp.h"
#include "sla/ics_text.h"
#include "utils/datetime.h"

static const char *const weekday_names[HD_SLA_WEEKDAYS] = {"MO", "TU", "WE", "TH",
														   "FR", "SA", "SU"};
static const char *const every_names[] = {"YEARLY", "MONTHLY", "WEEKLY", "DAILY"};

/*
 * Reading
 */

typedef const char *(*ReadPart)(HdSlaIcsRule *rule, HdSlaIcsText value);

typedef struct Part
{
	const char *name;
	ReadPart read;
} Part;

static int
find_weekday(HdSlaIcsText text)
{
	for (int i = 0; i < HD_SLA_WEEKDAYS; i++)
	{
		if (hd_sla_ics_is(text, weekday_names[i]))
			return i;
	}
	return -1;
}

static const char *
read_every(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	for (int i = 0; i < lengthof(every_names); i++)
	{
		if (hd_sla_ics_is(value, every_names[i]))
		{
			rule->every = (HdSlaIcsEvery) i;
			return NULL;
		}
	}
	rule->unknown = "Rules repeat yearly, monthly, weekly or daily here.";
	return NULL;
}

static const char *
read_interval(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	if (!hd_sla_ics_number(value, &rule->interval) || rule->interval < 1)
		return "An INTERVAL is a number from 1 on.";
	return NULL;
}

static const char *
read_count(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	if (!hd_sla_ics_number(value, &rule->count) || rule->count < 1)
		return "A COUNT is a number from 1 on.";
	return NULL;
}

static const char *
read_until(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	rule->has_until = true;
	return hd_sla_ics_moment(value, &rule->until) ? NULL : "UNTIL is a date or a time.";
}

static const char *
read_week_begins(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	rule->week_begins = find_weekday(value);
	return (rule->week_begins >= 0) ? NULL : "WKST is a day of the week.";
}

static const char *
read_months(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	HdSlaIcsText part;
	int month;

	while (hd_sla_ics_split(&value, ',', &part))
	{
		if (!hd_sla_ics_number(part, &month) || month < 1 || month > MONTHS_PER_YEAR)
			return "Months are numbers from 1 to 12.";
		rule->months |= (uint32) 1 << month;
	}
	return NULL;
}

static const char *
read_days(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	HdSlaIcsText part;
	int day;

	while (hd_sla_ics_split(&value, ',', &part))
	{
		if (!hd_sla_ics_number(part, &day) || day == 0 || day > 31 || day < -31)
			return "Days of a month are numbers from 1 to 31, or from -1 to -31.";
		if (day > 0)
			rule->days |= (uint32) 1 << day;
		else
			rule->last_days |= (uint32) 1 << -day;
	}
	return NULL;
}

/* MO, 4TH, -1SU */
static const char *
read_weekdays(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	HdSlaIcsText part;

	while (hd_sla_ics_split(&value, ',', &part))
	{
		HdSlaIcsText name = {part.at + Max(part.length - 2, 0), Min(part.length, 2)};
		HdSlaIcsText ordinal = {part.at, Max(part.length - 2, 0)};
		int weekday = find_weekday(name);
		int number = 0;

		if (weekday < 0 || (ordinal.length > 0 && (!hd_sla_ics_number(ordinal, &number) ||
												   number == 0 || number > 53 || number < -53)))
			return "Days of the week are MO, TU, WE, TH, FR, SA and SU, or with a number as 4TH or "
				   "-1SU.";
		if (rule->nweekdays == HD_SLA_ICS_WEEKDAYS)
			return "It has more than 32 days of the week.";
		rule->weekdays[rule->nweekdays] = weekday;
		rule->ordinals[rule->nweekdays++] = number;
	}
	return NULL;
}

/* Numbers from 1 to 366, or from -1 to -366. */
static bool
read_positions_into(HdSlaIcsText value, int16 *positions, int *n)
{
	HdSlaIcsText part;
	int number;

	while (hd_sla_ics_split(&value, ',', &part))
	{
		if (!hd_sla_ics_number(part, &number) || number == 0 || number > 366 || number < -366 ||
			*n == HD_SLA_ICS_POSITIONS)
			return false;
		positions[(*n)++] = number;
	}
	return true;
}

static const char *
read_year_days(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	return read_positions_into(value, rule->year_days, &rule->nyear_days)
			   ? NULL
			   : "Days of a year are up to 32 numbers from 1 to 366, or from -1 to -366.";
}

static const char *
read_positions(HdSlaIcsRule *rule, HdSlaIcsText value)
{
	return read_positions_into(value, rule->positions, &rule->npositions)
			   ? NULL
			   : "Positions are up to 32 numbers from 1 to 366, or from -1 to -366.";
}

static const Part parts[] = {
	{"FREQ", read_every},		  {"INTERVAL", read_interval}, {"COUNT", read_count},
	{"UNTIL", read_until},		  {"WKST", read_week_begins},  {"BYMONTH", read_months},
	{"BYMONTHDAY", read_days},	  {"BYDAY", read_weekdays},	   {"BYYEARDAY", read_year_days},
	{"BYSETPOS", read_positions},
};

static const char *
read_part(HdSlaIcsRule *rule, HdSlaIcsText name, HdSlaIcsText value)
{
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (hd_sla_ics_is(name, parts[i].name))
			return parts[i].read(rule, value);
	}
	rule->unknown = "Of a rule FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYMONTHDAY, BYDAY, "
					"BYYEARDAY and BYSETPOS are understood.";
	return NULL;
}

/* A number before a day of the week says which of a month or a year. */
static bool
has_ordinals(const HdSlaIcsRule *rule)
{
	for (int i = 0; i < rule->nweekdays; i++)
	{
		if (rule->ordinals[i] != 0)
			return true;
	}
	return false;
}

const char *
hd_sla_ics_rule_read(HdSlaIcsText text, HdSlaIcsRule *rule)
{
	HdSlaIcsText part;
	bool has_every = false;

	memset(rule, 0, sizeof(*rule));
	rule->interval = 1;
	while (hd_sla_ics_split(&text, ';', &part))
	{
		HdSlaIcsText name;
		const char *wrong;

		/* some write one at the end */
		if (part.length == 0 && text.at == NULL)
			break;
		if (!hd_sla_ics_split(&part, '=', &name) || part.at == NULL)
			return "A rule has parts as FREQ=YEARLY, with semicolons between them.";
		wrong = read_part(rule, name, part);
		if (wrong != NULL)
			return wrong;
		has_every = has_every || hd_sla_ics_is(name, "FREQ");
	}
	if (!has_every)
		return "A rule has a FREQ.";
	if (rule->count > 0 && rule->has_until)
		return "A rule has COUNT or UNTIL, not both.";
	if (rule->every > HD_SLA_ICS_MONTHLY && has_ordinals(rule))
		return "Only of months and years there is a first or last Monday.";
	return NULL;
}

/*
 * Dates
 */

typedef struct Day
{
	int32 date;
	int year;
	int month;
	int day;
} Day;

static Day
day_of(int32 date)
{
	Day day = {.date = date};

	j2date(date + POSTGRES_EPOCH_JDATE, &day.year, &day.month, &day.day);
	return day;
}

static int32
date_of(int year, int month, int day)
{
	return date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
}

int32
hd_sla_ics_year_begins(int year)
{
	return date_of(year, 1, 1);
}

static int
month_days(const Day *day)
{
	return day_tab[isleap(day->year)][day->month - 1];
}

/* From 0, Monday; the first of 2000 was a Saturday. */
static int
weekday_of(int32 date)
{
	int rest = (date + 5) % HD_SLA_WEEKDAYS;

	return (rest < 0) ? rest + HD_SLA_WEEKDAYS : rest;
}

/* Is it the position-th of so many, counted from the begin or, below 0, from the end? */
static bool
is_position(int position, int place, int count)
{
	return (position > 0) ? place == position - 1 : place == count + position;
}

static bool
is_listed_position(const int16 *positions, int n, int place, int count)
{
	for (int i = 0; i < n; i++)
	{
		if (is_position(positions[i], place, count))
			return true;
	}
	return false;
}

/* Weekdays are counted in the month where the rule is about months, else in the year. */
static bool
fits_weekdays(const HdSlaIcsRule *rule, const Day *day)
{
	bool by_month = rule->every == HD_SLA_ICS_MONTHLY || rule->months != 0;
	int32 begin = date_of(day->year, by_month ? day->month : 1, 1);
	int length = by_month ? month_days(day) : (isleap(day->year) ? 366 : 365);
	int place = (day->date - begin) / HD_SLA_WEEKDAYS;
	int after = (begin + length - 1 - day->date) / HD_SLA_WEEKDAYS;
	int weekday = weekday_of(day->date);

	for (int i = 0; i < rule->nweekdays; i++)
	{
		if (rule->weekdays[i] == weekday &&
			(rule->ordinals[i] == 0 || is_position(rule->ordinals[i], place, place + after + 1)))
			return true;
	}
	return false;
}

static bool
fits_month_days(const HdSlaIcsRule *rule, const Day *day)
{
	return (rule->days & (uint32) 1 << day->day) != 0 ||
		   (rule->last_days & (uint32) 1 << (month_days(day) + 1 - day->day)) != 0;
}

static bool
fits_year_days(const HdSlaIcsRule *rule, const Day *day)
{
	return is_listed_position(rule->year_days, rule->nyear_days,
							  day->date - hd_sla_ics_year_begins(day->year),
							  isleap(day->year) ? 366 : 365);
}

/* What the rule leaves open is as in the event's own date. */
static bool
fits_start(const HdSlaIcsRule *rule, const Day *start, const Day *day)
{
	switch (rule->every)
	{
		case HD_SLA_ICS_YEARLY:
			return day->day == start->day && (rule->months != 0 || day->month == start->month);
		case HD_SLA_ICS_MONTHLY:
			return day->day == start->day;
		case HD_SLA_ICS_WEEKLY:
			return weekday_of(day->date) == weekday_of(start->date);
		default:
			return true;
	}
}

static bool
fits(const HdSlaIcsRule *rule, const Day *start, const Day *day)
{
	bool by_month_day = rule->days != 0 || rule->last_days != 0;

	if (rule->months != 0 && (rule->months & (uint32) 1 << day->month) == 0)
		return false;
	if (!by_month_day && rule->nyear_days == 0 && rule->nweekdays == 0)
		return fits_start(rule, start, day);
	return (!by_month_day || fits_month_days(rule, day)) &&
		   (rule->nyear_days == 0 || fits_year_days(rule, day)) &&
		   (rule->nweekdays == 0 || fits_weekdays(rule, day));
}

/*
 * Periods
 */

/* [from, to); false: after the last year. */
static bool
period_of(const HdSlaIcsRule *rule, const Day *start, int number, int32 *from, int32 *to)
{
	int64 units = (int64) number * rule->interval;
	int64 last = date_of(HD_SLA_ICS_LAST_YEAR, MONTHS_PER_YEAR, 31);
	int64 at;

	switch (rule->every)
	{
		case HD_SLA_ICS_YEARLY:
			at = start->year + units;
			if (at > HD_SLA_ICS_LAST_YEAR)
				return false;
			*from = date_of(at, 1, 1);
			*to = date_of(at + 1, 1, 1);
			return true;
		case HD_SLA_ICS_MONTHLY:
			at = (int64) start->year * MONTHS_PER_YEAR + start->month - 1 + units;
			if (at / MONTHS_PER_YEAR > HD_SLA_ICS_LAST_YEAR)
				return false;
			*from = date_of(at / MONTHS_PER_YEAR, at % MONTHS_PER_YEAR + 1, 1);
			*to = date_of((at + 1) / MONTHS_PER_YEAR, (at + 1) % MONTHS_PER_YEAR + 1, 1);
			return true;
		case HD_SLA_ICS_WEEKLY:
			at = start->date -
				 (weekday_of(start->date) + HD_SLA_WEEKDAYS - rule->week_begins) % HD_SLA_WEEKDAYS +
				 units * HD_SLA_WEEKDAYS;
			break;
		default:
			at = start->date + units;
	}
	if (at > last)
		return false;
	*from = at;
	*to = at + ((rule->every == HD_SLA_ICS_WEEKLY) ? HD_SLA_WEEKDAYS : 1);
	return true;
}

/* Of the dates that fit those that the rule picks by their places. */
static int
pick(const HdSlaIcsRule *rule, int32 *dates, int n)
{
	int picked = 0;

	if (rule->npositions == 0)
		return n;
	for (int i = 0; i < n; i++)
	{
		if (is_listed_position(rule->positions, rule->npositions, i, n))
			dates[picked++] = dates[i];
	}
	return picked;
}

int
hd_sla_ics_rule_dates(const HdSlaIcsRule *rule, int32 start, int number, int32 *dates, int64 *steps)
{
	Day begin = day_of(start);
	int32 from;
	int32 to;
	int n = 0;

	(*steps)++;
	if (!period_of(rule, &begin, number, &from, &to))
		return -1;
	while (from < to)
	{
		Day day = day_of(from);

		(*steps)++;
		if (rule->months != 0 && (rule->months & (uint32) 1 << day.month) == 0)
		{
			from += month_days(&day) - day.day + 1;
			continue;
		}
		if (fits(rule, &begin, &day))
			dates[n++] = from;
		from++;
	}
	return pick(rule, dates, n);
}
