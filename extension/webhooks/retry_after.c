/*-------------------------------------------------------------------------
 * retry_after.c
 *		The Retry-After header of an answer: RFC 9110, sections 5.6.7, 10.2.3.
 *
 * Purpose: turn the header into a time to wait that is never too short.
 *
 * Model: pure functions over bytes from outside.  A number counts from the
 * arrival of the answer.  A date is a moment of the receiver's clock: where
 * the answer has a Date header, the wait is the difference of the two, which
 * a clock set wrong on either side does not touch; without one, our own
 * clock stands in and the second that the date names is waited out, because
 * the moment meant may be its last.  What cannot be read is no header.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/retry_after.h"

#include <ctype.h>

#include "core/compat.h"
#include "fmgr.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "webhooks/seconds.h"
#include "webhooks/webhooks.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_retry_after);

/* A position in the header; every scan_ function moves it only when it succeeds. */
typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

typedef struct HttpDate
{
	int year;
	int month; /* 1 to 12 */
	int day;
	int hour;
	int minute;
	int second;
} HttpDate;

static const char *const day_names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const long_day_names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
											 "Friday", "Saturday", "Sunday"};
static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool
scan_literal(Scan *scan, const char *literal)
{
	int length = strlen(literal);

	if (scan->end - scan->at < length || pg_strncasecmp(scan->at, literal, length) != 0)
		return false;
	scan->at += length;
	return true;
}

/* Sets *value to the position of the name, counted from 1. */
static bool
scan_name(Scan *scan, const char *const *names, int count, int *value)
{
	for (int i = 0; i < count; i++)
	{
		if (scan_literal(scan, names[i]))
		{
			*value = i + 1;
			return true;
		}
	}
	return false;
}

static bool
scan_digits(Scan *scan, int digits, int *value)
{
	int number = 0;

	if (scan->end - scan->at < digits)
		return false;
	for (int i = 0; i < digits; i++)
	{
		if (!isdigit((unsigned char) scan->at[i]))
			return false;
		number = number * 10 + (scan->at[i] - '0');
	}
	scan->at += digits;
	*value = number;
	return true;
}

static bool
scan_time(Scan *scan, HttpDate *date)
{
	return scan_digits(scan, 2, &date->hour) && scan_literal(scan, ":") &&
		   scan_digits(scan, 2, &date->minute) && scan_literal(scan, ":") &&
		   scan_digits(scan, 2, &date->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool
scan_imf_fixdate(Scan scan, HttpDate *date)
{
	int weekday;

	return scan_name(&scan, day_names, lengthof(day_names), &weekday) &&
		   scan_literal(&scan, ", ") && scan_digits(&scan, 2, &date->day) &&
		   scan_literal(&scan, " ") &&
		   scan_name(&scan, month_names, lengthof(month_names), &date->month) &&
		   scan_literal(&scan, " ") && scan_digits(&scan, 4, &date->year) &&
		   scan_literal(&scan, " ") && scan_time(&scan, date) && scan_literal(&scan, " GMT") &&
		   scan.at == scan.end;
}

/* Sunday, 06-Nov-94 08:49:37 GMT; the year comes out with two digits. */
static bool
scan_rfc850_date(Scan scan, HttpDate *date)
{
	int weekday;

	return scan_name(&scan, long_day_names, lengthof(long_day_names), &weekday) &&
		   scan_literal(&scan, ", ") && scan_digits(&scan, 2, &date->day) &&
		   scan_literal(&scan, "-") &&
		   scan_name(&scan, month_names, lengthof(month_names), &date->month) &&
		   scan_literal(&scan, "-") && scan_digits(&scan, 2, &date->year) &&
		   scan_literal(&scan, " ") && scan_time(&scan, date) && scan_literal(&scan, " GMT") &&
		   scan.at == scan.end;
}

/* Sun Nov  6 08:49:37 1994 */
static bool
scan_asctime_date(Scan scan, HttpDate *date)
{
	int weekday;

	return scan_name(&scan, day_names, lengthof(day_names), &weekday) && scan_literal(&scan, " ") &&
		   scan_name(&scan, month_names, lengthof(month_names), &date->month) &&
		   scan_literal(&scan, " ") &&
		   (scan_digits(&scan, 2, &date->day) ||
			(scan_literal(&scan, " ") && scan_digits(&scan, 1, &date->day))) &&
		   scan_literal(&scan, " ") && scan_time(&scan, date) && scan_literal(&scan, " ") &&
		   scan_digits(&scan, 4, &date->year) && scan.at == scan.end;
}

/* Second 60 is a leap second, and counts on into the next minute. */
static bool
date_to_seconds(const HttpDate *date, int64 *seconds)
{
	if (date->year < 1 || date->day < 1 ||
		date->day > day_tab[isleap(date->year)][date->month - 1] || date->hour > 23 ||
		date->minute > 59 || date->second > 60)
		return false;
	*seconds =
		(int64) (date2j(date->year, date->month, date->day) - UNIX_EPOCH_JDATE) * SECS_PER_DAY +
		date->hour * SECS_PER_HOUR + date->minute * SECS_PER_MINUTE + date->second;
	return true;
}

static int
year_of(int64 seconds)
{
	int year;
	int month;
	int day;

	j2date((int) (seconds / SECS_PER_DAY) + UNIX_EPOCH_JDATE, &year, &month, &day);
	return year;
}

static bool
beyond_50_years(HttpDate date, int64 now)
{
	int64 seconds;

	date.year -= 50;
	if (date.month == 2 && date.day == 29)
		date.day = 28;
	return date_to_seconds(&date, &seconds) && seconds > now;
}

/* Of all years with these two digits, the latest that is at most 50 years ahead. */
static bool
rfc850_to_seconds(HttpDate *date, int64 now, int64 *seconds)
{
	int year = year_of(now);

	date->year += year - year % 100 + 100;
	while (beyond_50_years(*date, now))
		date->year -= 100;
	return date_to_seconds(date, seconds);
}

static Scan
scan_trimmed(const char *text, int length)
{
	Scan scan = {text, text + length};

	while (scan.at < scan.end && (*scan.at == ' ' || *scan.at == '\t'))
		scan.at++;
	while (scan.end > scan.at && (scan.end[-1] == ' ' || scan.end[-1] == '\t'))
		scan.end--;
	return scan;
}

bool
hd_webhooks_parse_http_date(const char *text, int length, int64 now, int64 *seconds)
{
	Scan scan = scan_trimmed(text, length);
	HttpDate date;

	if (scan_imf_fixdate(scan, &date) || scan_asctime_date(scan, &date))
		return date_to_seconds(&date, seconds);
	if (scan_rfc850_date(scan, &date))
		return rfc850_to_seconds(&date, now, seconds);
	return false;
}

bool
hd_webhooks_parse_delay(const char *text, int length, int64 *seconds)
{
	Scan scan = scan_trimmed(text, length);
	int64 number = 0;
	bool fraction = false;
	const char *start = scan.at;

	for (; scan.at < scan.end && isdigit((unsigned char) *scan.at); scan.at++)
		number = Min(number * 10 + (*scan.at - '0'), PG_INT32_MAX);
	if (scan.at == start)
		return false;

	/* Some receivers send fractions, which the grammar does not know: round up. */
	if (scan.at < scan.end && *scan.at == '.')
	{
		start = ++scan.at;
		for (; scan.at < scan.end && isdigit((unsigned char) *scan.at); scan.at++)
			fraction = fraction || *scan.at != '0';
		if (scan.at == start)
			return false;
	}
	if (scan.at != scan.end)
		return false;
	*seconds = number + (fraction ? 1 : 0);
	return true;
}

/* Microseconds to wait after an answer that came at that instant, not capped. */
static bool
delay_of(text *header, TimestampTz at, text *date_header, int64 *delay)
{
	const char *value = VARDATA_ANY(header);
	int length = VARSIZE_ANY_EXHDR(header);
	int64 now = hd_webhooks_unix_seconds(at);
	int64 until;
	int64 sent;

	if (hd_webhooks_parse_delay(value, length, &until))
	{
		*delay = until * USECS_PER_SEC;
		return true;
	}
	if (!hd_webhooks_parse_http_date(value, length, now, &until))
		return false;
	if (date_header != NULL &&
		hd_webhooks_parse_http_date(VARDATA_ANY(date_header), VARSIZE_ANY_EXHDR(date_header), now,
									&sent))
		*delay = (until - sent) * USECS_PER_SEC;
	else
		*delay = (until + 1 - HD_WEBHOOKS_EPOCH_OFFSET) * USECS_PER_SEC - at;
	return true;
}

/*
 * hd_webhooks_sql_retry_after
 *		SQL: _retry_after(header, at, date_header) -> interval.
 *
 * NULL for a header that is missing or cannot be read; never negative, never
 * above hotdash.webhook_retry_after_max.
 */
Datum
hd_webhooks_sql_retry_after(PG_FUNCTION_ARGS)
{
	int64 delay;
	Interval *result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) ||
		!delay_of(PG_GETARG_TEXT_PP(0), PG_GETARG_TIMESTAMPTZ(1),
				  PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2), &delay))
		PG_RETURN_NULL();

	result = palloc0(sizeof(Interval));
	result->time = Max(Min(delay, hd_webhooks_retry_after_max * USECS_PER_SEC), 0);
	PG_RETURN_INTERVAL_P(result);
}
