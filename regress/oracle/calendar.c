/*
 * calendar.c
 *	  Calendars at random: of the kinds that people keep, and of the kinds that go wrong.
 *
 * Hours of neighbouring weekdays never overlap, since such a calendar is refused; a night may run into the shifts of a date.
 */
#include "oracle.h"

#include <string.h>

static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

/* ---- hours ---- */

static void
spans_add(Spans *spans, int from, int to)
{
	spans->spans[spans->count++] = (Span){from, to};
}

/* Clocks change in the small hours. */
static int
random_time(void)
{
	int hour = (int) (random_chance(40) ? random_below(5) : random_below(24));

	if (random_chance(60))
		return hour * 3600 + (int) random_below(4) * 900;
	if (random_chance(90))
		return hour * 3600 + (int) random_below(60) * 60;
	return hour * 3600 + (int) random_below(3600);
}

/* Between times in their order; neighbours may touch. */
static void
spans_scattered(Spans *spans)
{
	int times[2 * SPANS_MOST];
	int count = 2 * (int) random_between(1, 4);

	for (int i = 0; i < count; i++)
	{
		int time = random_time();
		int at = i;

		for (; at > 0 && times[at - 1] > time; at--)
			times[at] = times[at - 1];
		times[at] = time;
	}
	if (random_chance(20))
		times[count - 1] = DAY;
	for (int i = 0; i < count; i += 2)
	{
		int from = times[i];

		if (i > 0 && random_chance(10))
			from = times[i - 1];
		if (from < times[i + 1])
			spans_add(spans, from, times[i + 1]);
	}
}

static void
spans_random(Spans *spans)
{
	int from;

	spans->count = 0;
	switch (random_below(10))
	{
		case 0:
			break;
		case 1:
			spans_add(spans, 9 * 3600, 17 * 3600);
			break;
		case 2:
			spans_add(spans, 9 * 3600, 12 * 3600);
			spans_add(spans, 13 * 3600, 17 * 3600);
			break;
		case 3:
			spans_add(spans, 0, DAY);
			break;
		case 4:
			spans_add(spans, 0, random_time() + 60);
			spans_add(spans, DAY - 1800, DAY + (int) random_below(4) * 900);
			if (spans->spans[0].to > DAY - 1800)
				spans->count = 1;
			break;
		case 5: /* a night */
			from = (int) random_between(18, 23) * 3600;
			spans_add(spans, from, DAY + random_time() % from);
			break;
		case 6: /* from a time to the same on the next day */
			from = random_time();
			spans_add(spans, from, from + DAY);
			break;
		default:
			spans_scattered(spans);
	}
}

/* Whether what begins on a date runs into what begins on the next. */
static bool
overlap(const Spans *date, const Spans *next)
{
	return date->count > 0 && next->count > 0 &&
		   date->spans[date->count - 1].to - DAY > next->spans[0].from;
}

static void
week_random(Spans *week)
{
	int open;

	do
	{
		open = 0;
		for (int i = 0; i < DAYS_OF_WEEK; i++)
			spans_random(&week[i]);
		/* twice, since what was made free may have ended another */
		for (int i = 0; i < 2 * DAYS_OF_WEEK; i++)
		{
			if (overlap(&week[i % DAYS_OF_WEEK], &week[(i + 1) % DAYS_OF_WEEK]))
				week[i % DAYS_OF_WEEK].count--;
		}
		for (int i = 0; i < DAYS_OF_WEEK; i++)
			open += week[i].count;
	} while (open == 0);
}

/* ---- dates ---- */

const Special *
calendar_special(const Calendar *calendar, int64_t date)
{
	for (int i = 0; i < calendar->special_count; i++)
	{
		if (calendar->specials[i].date == date)
			return &calendar->specials[i];
	}
	return NULL;
}

const Spans *
calendar_hours(const Calendar *calendar, int64_t date)
{
	const Special *special = calendar_special(calendar, date);

	return special != NULL && special->has_shifts ? &special->shifts
												  : &calendar->week[date_weekday(date)];
}

static void
special_random(Calendar *calendar, int64_t date)
{
	Special *special = &calendar->specials[calendar->special_count];

	if (calendar_special(calendar, date) != NULL)
		return;
	memset(special, 0, sizeof(*special));
	special->date = date;
	special->is_holiday = random_chance(30);
	special->has_shifts = random_chance(50);
	special->has_breaks = random_chance(40);
	spans_random(&special->shifts);
	spans_scattered(&special->breaks);
	if (random_chance(20))
		spans_random(&special->breaks);
	special->has_breaks = special->has_breaks && special->breaks.count > 0;
	calendar->special_count++;
	if (!special->is_holiday && !special->has_shifts && !special->has_breaks)
		special->is_holiday = true;
}

void
calendar_random(Calendar *calendar, const char *zone, int64_t first, int64_t last)
{
	int specials = (int) random_below(SPECIALS_MOST + 1);

	calendar->zone = zone;
	calendar->special_count = 0;
	week_random(calendar->week);
	if (specials > last - first)
		specials = (int) (last - first);
	for (int i = 0; i < specials; i++)
		special_random(calendar, random_between(first, last));
}

/* ---- as JSON ---- */

static void
print_time(int time, FILE *out)
{
	fprintf(out, "%02d:%02d", time / 3600, time / 60 % 60);
	if (time % 60 != 0)
		fprintf(out, ":%02d", time % 60);
}

/* An end on the next day is written as a time that is not later than the start. */
static void
print_spans(const Spans *spans, FILE *out)
{
	fputc('[', out);
	for (int i = 0; i < spans->count; i++)
	{
		int to = spans->spans[i].to;

		fprintf(out, "%s[\"", i > 0 ? "," : "");
		print_time(spans->spans[i].from, out);
		fprintf(out, "\",\"");
		print_time(to > DAY || (to == DAY && spans->spans[i].from % 2 == 1) ? to - DAY : to, out);
		fprintf(out, "\"]");
	}
	fputc(']', out);
}

static void
print_date(int64_t number, FILE *out)
{
	Date date = date_of(number);

	fprintf(out, "\"%04d-%02d-%02d\"", (int) date.year, date.month, date.day);
}

static void
print_dated(const Calendar *calendar, const char *key, bool breaks, FILE *out)
{
	const char *comma = "";

	fprintf(out, ",\"%s\":{", key);
	for (int i = 0; i < calendar->special_count; i++)
	{
		const Special *special = &calendar->specials[i];

		if (breaks ? !special->has_breaks : !special->has_shifts)
			continue;
		fputs(comma, out);
		print_date(special->date, out);
		fputc(':', out);
		print_spans(breaks ? &special->breaks : &special->shifts, out);
		comma = ",";
	}
	fputc('}', out);
}

static void
print_holidays(const Calendar *calendar, FILE *out)
{
	const char *comma = "";

	fprintf(out, ",\"holidays\":[");
	for (int i = 0; i < calendar->special_count; i++)
	{
		if (!calendar->specials[i].is_holiday)
			continue;
		fputs(comma, out);
		print_date(calendar->specials[i].date, out);
		comma = ",";
	}
	fputc(']', out);
}

void
calendar_print(const Calendar *calendar, FILE *out)
{
	fprintf(out, "{\"time_zone\":\"%s\",\"hours\":{", calendar->zone);
	for (int i = 0; i < DAYS_OF_WEEK; i++)
	{
		fprintf(out, "%s\"%s\":", i > 0 ? "," : "", day_names[i]);
		print_spans(&calendar->week[i], out);
	}
	fputc('}', out);
	print_holidays(calendar, out);
	print_dated(calendar, "shifts", false, out);
	print_dated(calendar, "breaks", true, out);
	fputc('}', out);
}
