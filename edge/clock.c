/*
 * clock.c
 *	  Monotonic microseconds, and the wall time.
 */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t
hd_clock_us(void)
{
	struct timespec now;

	/* Fails only for an unknown clock id: no timeout could be kept after that. */
	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		abort();
	return (int64_t) now.tv_sec * HD_US_PER_S + now.tv_nsec / 1000;
}

int64_t
hd_clock_wall_us(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return 0;
	return (int64_t) now.tv_sec * HD_US_PER_S + now.tv_nsec / 1000;
}

void
hd_clock_wall_text(char text[HD_CLOCK_TEXT])
{
	struct timespec now;
	struct tm utc;
	size_t used = 0;

	if (clock_gettime(CLOCK_REALTIME, &now) == 0 && gmtime_r(&now.tv_sec, &utc) != NULL)
		used = strftime(text, HD_CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &utc);
	if (used == 0)
		snprintf(text, HD_CLOCK_TEXT, "-");
	else
		snprintf(text + used, HD_CLOCK_TEXT - used, ".%03dZ", (int) (now.tv_nsec / 1000000));
}
