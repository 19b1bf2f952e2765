/*
 * window.c
 *	  A window of time, second by second.
 *
 * What is walked is larger than what can be asked, by what a night, a break and a lost day may reach over its ends.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

#define REACH 2	 /* dates before and after those asked that may open seconds of theirs */
#define MARGIN 5 /* dates walked before and after them */

#define HOUR 3600
#define OPEN 1
#define MARKED 2 /* of the date that is worked on */

/* ---- local times ---- */

/* The same memory for all windows, since most of the time would go into asking for it. */
static void *
allocate(int which, int64_t size)
{
	static void *blocks[2];
	static int64_t sizes[2];

	if (size > sizes[which])
	{
		free(blocks[which]);
		blocks[which] = malloc((size_t) size);
		sizes[which] = size;
	}
	if (blocks[which] == NULL)
		abort();
	return blocks[which];
}

/* Every second, in its order: the first that has a local time is the first. */
static void
walk(Window *window, const Zone *zone)
{
	int64_t end = window->base + window->length;
	int64_t until;

	memset(window->first, 0xff, (size_t) window->local_length * sizeof(int32_t));
	for (int64_t at = window->base; at < end; at = until)
	{
		int64_t local = at + zone_offset(zone, at, &until);
		int32_t *first = &window->first[local - window->local_base];

		until = until < end ? until : end;
		for (int64_t i = 0; i < until - at; i++)
		{
			if (first[i] < 0)
				first[i] = (int32_t) (at - window->base + i);
		}
	}
}

/* The instant of a local time, counted from the base. */
static int32_t
instant_of(const Window *window, int64_t local)
{
	int64_t at = local - window->local_base;
	int64_t gap_begins = at;
	int64_t gap_ends = at;

	if (window->first[at] >= 0)
		return window->first[at];
	while (window->first[gap_begins - 1] < 0)
		gap_begins--;
	while (window->first[gap_ends] < 0)
		gap_ends++;
	return window->first[at + gap_ends - gap_begins];
}

static bool
date_exists(const Window *window, int64_t date)
{
	for (int64_t i = 0; i < DAY; i++)
	{
		if (window->first[date * DAY + i - window->local_base] >= 0)
			return true;
	}
	return false;
}

/* ---- what is open ---- */

/* Sets a bit from one second to another, or clears it. */
static void
paint(Window *window, int32_t from, int32_t to, uint8_t bit, bool set)
{
	uint8_t *open = window->open;

	for (int32_t at = from; at < to; at++)
		open[at] = set ? open[at] | bit : open[at] & (uint8_t) ~bit;
}

static void
paint_spans(Window *window, int64_t date, const Spans *spans, bool set)
{
	for (int i = 0; i < spans->count; i++)
		paint(window, instant_of(window, date * DAY + spans->spans[i].from),
			  instant_of(window, date * DAY + spans->spans[i].to), MARKED, set);
}

/* What is marked is open, and no longer marked. */
static void
settle(Window *window, int32_t from, int32_t to)
{
	uint8_t *open = window->open;

	for (int32_t at = from; at < to; at++)
		open[at] = (open[at] | open[at] >> 1) & OPEN;
}

static void
open_date(Window *window, const Calendar *calendar, int64_t date)
{
	const Special *special = calendar_special(calendar, date);
	const Spans *hours = calendar_hours(calendar, date);

	if ((special != NULL && special->is_holiday) || !date_exists(window, date))
		return;
	paint_spans(window, date, hours, true);
	if (special != NULL && special->has_breaks)
		paint_spans(window, date, &special->breaks, false);
	for (int i = 0; i < hours->count; i++)
		settle(window, instant_of(window, date * DAY + hours->spans[i].from),
			   instant_of(window, date * DAY + hours->spans[i].to));
}

void
window_build(Window *window, const Zone *zone, const Calendar *calendar, int64_t first_date,
			 int64_t dates)
{
	window->base = (first_date - MARGIN) * DAY;
	window->length = (dates + 2 * MARGIN) * DAY;
	window->local_base = window->base - 2 * DAY;
	window->local_length = window->length + 4 * DAY;
	window->first = allocate(0, window->local_length * (int64_t) sizeof(int32_t));
	window->open = allocate(1, window->length);
	memset(window->open, 0, (size_t) window->length);
	walk(window, zone);
	for (int64_t date = first_date - REACH; date < first_date + dates + REACH; date++)
		open_date(window, calendar, date);
	window->from = window->base + instant_of(window, first_date * DAY);
	window->to = window->base + instant_of(window, (first_date + dates) * DAY);
}

/* ---- questions ---- */

bool
window_open(const Window *window, int64_t at_us)
{
	return window->open[floor_div(at_us, SECOND_US) - window->base] != 0;
}

static int64_t
count_open(const Window *window, int64_t from, int64_t to)
{
	const uint8_t *open = window->open - window->base;
	int64_t count = 0;

	for (int64_t at = from; at < to; at++)
		count += open[at];
	return count;
}

/* What has passed of the open second that an instant lies in. */
static int64_t
part_us(const Window *window, int64_t at_us)
{
	return window_open(window, at_us) ? at_us - floor_div(at_us, SECOND_US) * SECOND_US : 0;
}

int64_t
window_elapsed(const Window *window, int64_t from_us, int64_t to_us)
{
	if (from_us >= to_us)
		return 0;
	return count_open(window, floor_div(from_us, SECOND_US), floor_div(to_us, SECOND_US)) *
			   SECOND_US -
		   part_us(window, from_us) + part_us(window, to_us);
}

bool
window_after(const Window *window, int64_t from_us, int64_t amount_us, bool to_open, int64_t *at_us)
{
	int64_t left = amount_us;
	int64_t now = from_us;

	if (left == 0 && !to_open)
	{
		*at_us = from_us;
		return true;
	}
	while (now < window->to * SECOND_US)
	{
		int64_t second = floor_div(now, SECOND_US);
		int64_t rest = (second + 1) * SECOND_US - now;

		/* an hour at once that cannot hold the end */
		if (rest == SECOND_US && second % HOUR == 0 && second + HOUR <= window->to)
		{
			int64_t hour = count_open(window, second, second + HOUR) * SECOND_US;

			if (hour < left || hour == 0)
			{
				left -= hour;
				now += HOUR * SECOND_US;
				continue;
			}
		}
		if (window_open(window, now))
		{
			if (left < rest || (left == rest && !to_open))
			{
				*at_us = now + left;
				return true;
			}
			left -= rest;
		}
		now += rest;
	}
	return false;
}

bool
window_before(const Window *window, int64_t from_us, int64_t amount_us, int64_t *at_us)
{
	int64_t left = amount_us;
	int64_t now = from_us;

	while (now > window->from * SECOND_US)
	{
		int64_t second = floor_div(now - 1, SECOND_US);
		int64_t rest = now - second * SECOND_US;

		if (rest == SECOND_US && (second + 1) % HOUR == 0 && second + 1 - HOUR >= window->from)
		{
			int64_t hour = count_open(window, second + 1 - HOUR, second + 1) * SECOND_US;

			if (hour < left)
			{
				left -= hour;
				now -= HOUR * SECOND_US;
				continue;
			}
		}
		if (window_open(window, second * SECOND_US))
		{
			if (left <= rest)
			{
				*at_us = now - left;
				return true;
			}
			left -= rest;
		}
		now -= rest;
	}
	return false;
}

/* A date begins with the first instant of its midnight. */
static bool
opens_on(const Window *window, int64_t date)
{
	return count_open(window, window->base + instant_of(window, date * DAY),
					  window->base + instant_of(window, (date + 1) * DAY)) > 0;
}

bool
window_days_after(const Window *window, const Zone *zone, int64_t from_us, int days, int64_t *at_us)
{
	int64_t second = floor_div(from_us, SECOND_US);
	int64_t until;
	int64_t local = second + zone_offset(zone, second, &until);
	int64_t date = floor_div(local, DAY);
	int step = days < 0 ? -1 : 1;

	*at_us = from_us;
	if (days == 0)
		return true;
	for (int left = days; left != 0;)
	{
		int64_t begins;

		date += step;
		begins = window->base + instant_of(window, date * DAY);
		if (begins < window->from || begins + DAY > window->to)
			return false;
		if (opens_on(window, date))
			left -= step;
	}
	local += (date - floor_div(local, DAY)) * DAY;
	*at_us = (window->base + instant_of(window, local)) * SECOND_US + from_us - second * SECOND_US;
	return true;
}

bool
window_edge(const Window *window, int64_t at, int64_t *edge)
{
	const uint8_t *open = &window->open[at - window->base];
	const uint8_t *other = memchr(open, open[0] != 0 ? 0 : OPEN, (size_t) (window->to - at));

	if (other == NULL)
		return false;
	*edge = at + (other - open);
	return true;
}
