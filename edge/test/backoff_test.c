/*
 * backoff_test.c
 *	  Delays double up to the longest, with jitter, and start over.
 */
#include "backoff.h"

#include "check.h"

int
main(void)
{
	HdBackoff backoff;
	bool within = true;
	int64_t first;

	hd_backoff_init(&backoff, 100, 10000, 42);
	first = hd_backoff_next(&backoff);
	CHECK(first >= 50 && first <= 100, "the first delay is between half and whole");
	for (int64_t whole = 200; whole < 100000000; whole *= 2)
	{
		int64_t delay = hd_backoff_next(&backoff);
		int64_t most = whole < 10000 ? whole : 10000;

		within &= delay >= most / 2 && delay <= most;
	}
	CHECK(within, "delays double up to the longest and stay there");
	hd_backoff_reset(&backoff);
	CHECK(hd_backoff_next(&backoff) <= 100, "a reset starts over");
	return check_end();
}
