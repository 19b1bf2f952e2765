/*
 * cases.c
 *	  Questions about a calendar's window, with their answers.
 *
 * A line: number, calendar, what is asked, from_ts, to_ts, amount, at_close, days, and one of three answers: an interval,
 * an instant, true or false. Most instants lie at ends of hours and at changes of the clock, or a microsecond beside.
 */
#include "oracle.h"

#include <inttypes.h>

#define HOUR_US (3600 * SECOND_US)
#define NONE "\\N"

static const Window *window;
static const Zone *zone;

/* ---- at random ---- */

static int64_t
random_aside(void)
{
	switch (random_below(6))
	{
		case 0:
		case 1:
			return 0;
		case 2:
			return 1;
		case 3:
			return -1;
		case 4:
			return random_between(-3600, 3600) * SECOND_US;
		default:
			return random_between(-2 * HOUR_US, 2 * HOUR_US);
	}
}

static int64_t
random_instant(void)
{
	int64_t at = random_between(window->from, window->to - 1);
	int64_t kind = random_below(100);
	int64_t at_us;

	if (kind < 35 && window_edge(window, at, &at))
		at_us = at * SECOND_US + random_aside();
	else if (kind < 65 && zone_random_change(zone, window->from, window->to, &at))
		at_us = at * SECOND_US + random_aside();
	else if (kind < 80)
		at_us = at * SECOND_US;
	else
		at_us = at * SECOND_US + random_below(SECOND_US);
	if (at_us < window->from * SECOND_US || at_us >= window->to * SECOND_US)
		at_us = window->from * SECOND_US;
	return at_us;
}

/* Often what lies between two instants, so that the end of hours is met. */
static int64_t
random_amount(int64_t from_us, bool forward)
{
	int64_t other_us = random_instant();

	switch (random_below(5))
	{
		case 0:
			return random_between(1, 240) * 60 * SECOND_US;
		case 1:
			return random_between(1, 40) * HOUR_US;
		case 2:
			return random_between(1, 100 * HOUR_US);
		default:
			return forward ? window_elapsed(window, from_us, other_us)
						   : window_elapsed(window, other_us, from_us);
	}
}

/* ---- as text ---- */

static void
print_instant(int64_t at_us, FILE *out)
{
	int64_t second = floor_div(at_us, SECOND_US);
	int64_t day = floor_div(second, DAY);
	Date date = date_of(day);
	int of_day = (int) (second - day * DAY);

	fprintf(out, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00", (int) date.year, date.month, date.day,
			of_day / 3600, of_day / 60 % 60, of_day % 60, (int) (at_us - second * SECOND_US));
}

static void
print_amount(int64_t amount_us, FILE *out)
{
	int64_t size = amount_us < 0 ? -amount_us : amount_us;

	fprintf(out, "%s%02" PRId64 ":%02d:%02d.%06d", amount_us < 0 ? "-" : "", size / HOUR_US,
			(int) (size / (60 * SECOND_US) % 60), (int) (size / SECOND_US % 60),
			(int) (size % SECOND_US));
}

static void
print_head(FILE *out, int64_t number, const char *calendar, const char *asked, int64_t from_us)
{
	fprintf(out, "%" PRId64 "\t%s\t%s\t", number, calendar, asked);
	print_instant(from_us, out);
	fputc('\t', out);
}

/* ---- questions ---- */

static bool
ask_between(FILE *out, const char *calendar, int64_t number)
{
	int64_t from_us = random_instant();
	int64_t to_us = random_chance(5) ? from_us : random_instant();

	/* one in ten is reversed all the same */
	if (from_us > to_us && random_chance(80))
	{
		int64_t swapped = from_us;

		from_us = to_us;
		to_us = swapped;
	}
	print_head(out, number, calendar, "between", from_us);
	print_instant(to_us, out);
	fprintf(out, "\t" NONE "\t" NONE "\t" NONE "\t");
	print_amount(window_elapsed(window, from_us, to_us), out);
	fprintf(out, "\t" NONE "\t" NONE "\n");
	return true;
}

static bool
ask_open(FILE *out, const char *calendar, int64_t number)
{
	int64_t at_us = random_instant();

	print_head(out, number, calendar, "open", at_us);
	fprintf(out, NONE "\t" NONE "\t" NONE "\t" NONE "\t" NONE "\t" NONE "\t%c\n",
			window_open(window, at_us) ? 't' : 'f');
	return true;
}

static bool
ask_add(FILE *out, const char *calendar, int64_t number)
{
	static const char *const rules[] = {"close", "open", NONE};
	const char *rule = rules[random_below(3)];
	int64_t from_us = random_instant();
	bool forward = random_chance(65);
	int64_t amount_us = random_chance(6) ? 0 : random_amount(from_us, forward);
	int64_t at_us;

	if (forward || amount_us == 0 ? !window_after(window, from_us, amount_us, *rule == 'o', &at_us)
								  : !window_before(window, from_us, amount_us, &at_us))
		return false;
	print_head(out, number, calendar, "add", from_us);
	fprintf(out, NONE "\t");
	print_amount(forward ? amount_us : -amount_us, out);
	fprintf(out, "\t%s\t" NONE "\t" NONE "\t", rule);
	print_instant(at_us, out);
	fprintf(out, "\t" NONE "\n");
	return true;
}

static bool
ask_days(FILE *out, const char *calendar, int64_t number)
{
	int64_t from_us = random_instant();
	int days = (int) random_between(-6, 6);
	int64_t at_us;

	if (!window_days_after(window, zone, from_us, days, &at_us))
		return false;
	print_head(out, number, calendar, "days", from_us);
	fprintf(out, NONE "\t" NONE "\t" NONE "\t%d\t" NONE "\t", days);
	print_instant(at_us, out);
	fprintf(out, "\t" NONE "\n");
	return true;
}

void
cases_write(FILE *out, const char *calendar, const Zone *of_zone, const Window *of_window,
			int count, int64_t *number)
{
	window = of_window;
	zone = of_zone;
	while (count > 0)
	{
		int64_t kind = random_below(100);

		if (kind < 30	? ask_between(out, calendar, *number)
			: kind < 45 ? ask_open(out, calendar, *number)
			: kind < 53 ? ask_days(out, calendar, *number)
						: ask_add(out, calendar, *number))
		{
			count--;
			(*number)++;
		}
	}
}
