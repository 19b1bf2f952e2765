/*
 * instant_test.c
 *	  Instants: known answers, every day of ten thousand years, and what is none.
 */
#include "postgres.h"

#include "flags/instant.h"

#include "check.h"

#define EPOCH_1970 (INT64CONST(-946684800) * USECS_PER_SEC) /* seen from 2000 */

static bool
is_at(const char *text, int64 micros_since_1970)
{
	TimestampTz instant;

	return hd_flags_instant_parse(text, (int) strlen(text), &instant) &&
		   instant == EPOCH_1970 + micros_since_1970;
}

/* The days of a year follow one another without a gap. */
static void
check_calendar(void)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64 day = -719162; /* 0001-01-01, in days since 1970 */
	int wrong = 0;

	for (int year = 1; year <= 9999; year++)
		for (int month = 1; month <= 12; month++)
		{
			bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
			int last = days[month - 1] + ((month == 2 && leap) ? 1 : 0);
			TimestampTz instant;
			char text[16];

			for (int i = 1; i <= last; i++)
			{
				snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, i);
				wrong += !is_at(text, day++ * USECS_PER_DAY);
			}
			snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, last + 1);
			wrong += hd_flags_instant_parse(text, 10, &instant);
		}
	CHECK(wrong == 0 && day == 2932897, "every day of the years 1 to 9999");
}

static void
check_known(void)
{
	CHECK(is_at("1970-01-01", 0), "a date is its midnight in UTC");
	CHECK(is_at("2026-11-21T16:30:05Z", INT64CONST(1795278605000000)), "with seconds");
	CHECK(is_at("2026-11-21 16:30Z", INT64CONST(1795278600000000)), "without, and with a space");
	CHECK(is_at("2026-11-21T16:30:05.25", INT64CONST(1795278605250000)),
		  "a fraction, and no offset");
	CHECK(is_at("2026-11-21t18:00:05,123456789+01:30", INT64CONST(1795278605123456)),
		  "digits beyond microseconds are dropped");
	CHECK(is_at("2026-11-21T11:30:05-0500", INT64CONST(1795278605000000)), "an offset to the west");
	CHECK(is_at("2026-11-21T17:30:05+01", INT64CONST(1795278605000000)), "of whole hours");
	CHECK(is_at("1969-12-31T23:59:60Z", 0), "a leap second is the next second");
}

static void
check_refused(void)
{
	static const char *const bad[] = {
		"",
		"now",
		"2026",
		"2026-11",
		"2026-1-01",
		"2026-13-01",
		"2026-00-10",
		"2026-02-29",
		"0000-01-01",
		"2026-01-00",
		"2026-01-01T",
		"2026-01-01T1",
		"2026-01-01T24:00",
		"2026-01-01T10:60",
		"2026-01-01T10:00:61",
		"2026-01-01T10:00:00.",
		"2026-01-01T10:00:00X",
		"2026-01-01T10:00:00+",
		"2026-01-01T10:00:00+1",
		"2026-01-01T10:00:00+24:00",
		"2026-01-01T10:00:00+01:60",
		"2026-01-01T10:00:00+01:",
		"2026-01-01T10:00:00ZZ",
		"2026-01-01Z",
		" 2026-01-01",
		"2026-01-01 ",
		"0001-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59-00:01",
	};
	TimestampTz instant;

	for (int i = 0; i < lengthof(bad); i++)
		CHECK(!hd_flags_instant_parse(bad[i], (int) strlen(bad[i]), &instant),
			  "\"%s\" is no instant", bad[i]);
}

static void
check_epoch(void)
{
	TimestampTz instant;

	CHECK(hd_flags_instant_from_epoch(1795278605.25, &instant) &&
			  instant == EPOCH_1970 + INT64CONST(1795278605250000),
		  "seconds with a fraction");
	CHECK(hd_flags_instant_from_epoch(-0.5, &instant) && instant == EPOCH_1970 - 500000,
		  "before 1970");
	CHECK(!hd_flags_instant_from_epoch(1e18, &instant) &&
			  !hd_flags_instant_from_epoch(-1e18, &instant) &&
			  !hd_flags_instant_from_epoch(__builtin_nan(""), &instant) &&
			  !hd_flags_instant_from_epoch(__builtin_inf(), &instant),
		  "beyond the calendar, and no numbers");
}

int
main(void)
{
	check_calendar();
	check_known();
	check_refused();
	check_epoch();
	return check_end();
}
