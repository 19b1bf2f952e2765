/*-------------------------------------------------------------------------
 * instant.c
 *		Instants as flags write them.
 *
 * Model: the proleptic Gregorian calendar, days of 86400 seconds; a leap
 * second (:60) is the second that follows it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/instant.h"

#include <math.h>

#define DAYS_TO_1970 719468					  /* from 1 March of the year 0 */
#define DAYS_PER_ERA 146097					  /* 400 years */
#define FIRST_SECOND INT64CONST(-62135596800) /* 0001-01-01 */
#define LAST_SECOND INT64CONST(253402300799)  /* 9999-12-31 23:59:59 */

typedef struct HdReader
{
	const char *at;
	const char *end;
} HdReader;

/* The next character is this one, and taken. */
static bool
take(HdReader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Exactly so many digits. */
static bool
take_number(HdReader *reader, int digits, int *number)
{
	*number = 0;
	for (; digits > 0; digits--, reader->at++)
	{
		if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9')
			return false;
		*number = *number * 10 + (*reader->at - '0');
	}
	return true;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + ((month == 2 && leap) ? 1 : 0);
}

/* Days since 1970; a year that begins in March has its leap day at the end. */
static int64
days_since_1970(int year, int month, int day)
{
	int from_march = (month + 9) % 12;
	int y = year - (month <= 2 ? 1 : 0);
	int era = y / 400;
	int of_era = y % 400;
	int of_year = (153 * from_march + 2) / 5 + day - 1;

	return (int64) era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
		   DAYS_TO_1970;
}

static bool
take_date(HdReader *reader, int64 *seconds)
{
	int year;
	int month;
	int day;

	if (!take_number(reader, 4, &year) || !take(reader, '-') || !take_number(reader, 2, &month) ||
		!take(reader, '-') || !take_number(reader, 2, &day))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
		return false;
	*seconds = days_since_1970(year, month, day) * SECS_PER_DAY;
	return true;
}

/* What follows a point: at least a digit, of which six count. */
static bool
take_fraction(HdReader *reader, int *micros)
{
	int weight = USECS_PER_SEC / 10;
	const char *start = reader->at;

	for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
	{
		*micros += (*reader->at - '0') * weight;
		weight /= 10;
	}
	return reader->at > start;
}

static bool
take_time(HdReader *reader, int64 *seconds, int *micros)
{
	int hour;
	int minute;
	int second = 0;

	if (!take_number(reader, 2, &hour) || !take(reader, ':') || !take_number(reader, 2, &minute))
		return false;
	if (take(reader, ':'))
	{
		if (!take_number(reader, 2, &second))
			return false;
		if ((take(reader, '.') || take(reader, ',')) && !take_fraction(reader, micros))
			return false;
	}
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	*seconds += hour * SECS_PER_HOUR + minute * SECS_PER_MINUTE + second;
	return true;
}

/* None is UTC. */
static bool
take_offset(HdReader *reader, int64 *seconds)
{
	int sign;
	int hours;
	int minutes = 0;

	if (reader->at == reader->end || take(reader, 'Z') || take(reader, 'z'))
		return true;
	sign = take(reader, '+') ? 1 : take(reader, '-') ? -1 : 0;
	if (sign == 0 || !take_number(reader, 2, &hours))
		return false;
	if (reader->at < reader->end)
	{
		(void) take(reader, ':');
		if (!take_number(reader, 2, &minutes))
			return false;
	}
	if (hours > 23 || minutes > 59)
		return false;
	*seconds -= sign * (hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE);
	return true;
}

static bool
to_instant(int64 seconds, int micros, TimestampTz *instant)
{
	if (seconds < FIRST_SECOND || seconds > LAST_SECOND)
		return false;
	*instant =
		(seconds - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) * USECS_PER_SEC +
		micros;
	return true;
}

bool
hd_flags_instant_parse(const char *text, int length, TimestampTz *instant)
{
	HdReader reader = {text, text + length};
	int64 seconds;
	int micros = 0;

	if (!take_date(&reader, &seconds))
		return false;
	if (reader.at < reader.end)
	{
		if (!take(&reader, 'T') && !take(&reader, 't') && !take(&reader, ' '))
			return false;
		if (!take_time(&reader, &seconds, &micros) || !take_offset(&reader, &seconds))
			return false;
	}
	return reader.at == reader.end && to_instant(seconds, micros, instant);
}

bool
hd_flags_instant_from_epoch(double seconds, TimestampTz *instant)
{
	double whole = floor(seconds);

	if (!(whole >= (double) FIRST_SECOND && whole <= (double) LAST_SECOND))
		return false;
	return to_instant((int64) whole, (int) rint((seconds - whole) * USECS_PER_SEC), instant);
}
