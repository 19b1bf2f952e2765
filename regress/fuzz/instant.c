/*
 * instant.c
 *	  Instants of flags: what is read can be written as UTC, and is read as the same; seconds give it back.
 */
#include "postgres.h"

#include <math.h>
#include <time.h>

#include "datatype/timestamp.h"
#include "flags/instant.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {"2026-03-08T02:30:00-05:00", "2026-02-28", "2024-02-29 23:59:60Z",
								  "0001-01-01T00:00:00.000001+1400", "9999-12-31T23:59:59.9999999Z",
								  "1767225600.5", NULL};
const char *const fuzz_words[] = {"T", "Z", "+", "-", ":", ".", "00", "59", "60", "24", "02-29",
								  "+14", NULL};

#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

/* Years of four digits alone can be written so that they can be read again. */
static bool
written(TimestampTz instant, char *text, size_t size)
{
	int64 micros = instant % USECS_PER_SEC;
	time_t seconds;
	struct tm tm;

	if (micros < 0)
		micros += USECS_PER_SEC;
	seconds = (instant - micros) / USECS_PER_SEC + (int64) EPOCH_DAYS * SECS_PER_DAY;
	if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < 1 - 1900 || tm.tm_year > 9999 - 1900)
		return false;
	snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) micros);
	return true;
}

static void
check_again(TimestampTz instant)
{
	char text[128];
	TimestampTz again;

	if (!written(instant, text, sizeof(text)))
		return;
	FUZZ_CHECK(hd_flags_instant_parse(text, (int) strlen(text), &again));
	FUZZ_CHECK(again == instant);
}

/* The text's date is the instant's, but for what an offset makes of it. */
static void
check_near(const char *text, TimestampTz instant)
{
	struct tm tm = {0};
	int64 midnight;

	FUZZ_CHECK(sscanf(text, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) == 3);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	midnight = (int64) timegm(&tm) - (int64) EPOCH_DAYS * SECS_PER_DAY;
	FUZZ_CHECK(instant >= (midnight - SECS_PER_DAY) * USECS_PER_SEC);
	FUZZ_CHECK(instant <= (midnight + 2 * SECS_PER_DAY) * USECS_PER_SEC);
}

static void
check_seconds(double seconds)
{
	TimestampTz instant;

	if (!hd_flags_instant_from_epoch(seconds, &instant))
		return;
	FUZZ_CHECK(isfinite(seconds));
	FUZZ_CHECK(fabs((double) instant / USECS_PER_SEC + (double) EPOCH_DAYS * SECS_PER_DAY - seconds) <
			   0.001);
	check_again(instant);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	TimestampTz instant;
	double seconds;

	if (hd_flags_instant_parse((const char *) data, (int) size, &instant))
	{
		FUZZ_CHECK(memchr(data, '\0', size) == NULL);
		check_near(text, instant);
		check_again(instant);
	}
	check_seconds(strtod(text, NULL));
	if (size >= sizeof(seconds))
	{
		memcpy(&seconds, data, sizeof(seconds));
		check_seconds(seconds);
	}
	free(text);
	return 0;
}
