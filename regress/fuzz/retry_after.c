/*
 * retry_after.c
 *	  Retry-After and Date: a number is never less than it says, and a date is a second that exists.
 */
#include "postgres.h"

#include "fuzz.h"
#include "webhooks/retry_after.h"

const char *const fuzz_seeds[] = {"120",
								  "120.6",
								  "Sun, 06 Nov 1994 08:49:37 GMT",
								  "Sunday, 06-Nov-94 08:49:37 GMT",
								  "Sun Nov  6 08:49:37 1994",
								  "Thu, 29 Feb 2024 23:59:60 GMT",
								  "99999999999999999999",
								  NULL};
const char *const fuzz_words[] = {"Mon", "Saturday", ", ",	 " GMT", "Feb", "29",
								  "31",	 "00",		 "0001", "9999", ":",	"-",
								  ".",	 "  ",		 "Dec",	 "60",	 NULL};

#define NOW INT64CONST(1700000000)
#define YEAR_S INT64CONST(31622400)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	int64 seconds = -1;

	if (hd_webhooks_parse_delay(text, (int) size, &seconds))
		FUZZ_CHECK(seconds >= 0 && seconds <= (int64) PG_INT32_MAX + 1);
	if (hd_webhooks_parse_http_date(text, (int) size, NOW, &seconds))
		FUZZ_CHECK(seconds >= INT64CONST(-62135596800) && seconds <= INT64CONST(253402300800));

	/* Two digits of a year are at most 50 years ahead, whatever they are. */
	if (memchr(text, '-', size) != NULL &&
		hd_webhooks_parse_http_date(text, (int) size, NOW, &seconds))
		FUZZ_CHECK(seconds <= NOW + 51 * YEAR_S && seconds >= NOW - 51 * YEAR_S);
	return 0;
}
