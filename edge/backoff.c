/*
 * backoff.c
 *	  Exponential delays with jitter, for reconnecting.
 */
#include "backoff.h"

/* xorshift64*: enough to spread reconnects, and never zero. */
static uint64_t
next_random(HdBackoff *backoff)
{
	uint64_t x = backoff->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	backoff->random = x;
	return x * UINT64_C(2685821657736338717);
}

void
hd_backoff_init(HdBackoff *backoff, int64_t first_us, int64_t longest_us, uint64_t seed)
{
	*backoff = (HdBackoff){.first_us = first_us,
						   .longest_us = longest_us,
						   .random = seed | UINT64_C(0x9e3779b900000001)};
}

void
hd_backoff_reset(HdBackoff *backoff)
{
	backoff->tries = 0;
}

int64_t
hd_backoff_next(HdBackoff *backoff)
{
	int64_t delay = backoff->first_us;

	for (unsigned i = 0; i < backoff->tries && delay < backoff->longest_us; i++)
		delay *= 2;
	if (delay > backoff->longest_us)
		delay = backoff->longest_us;
	backoff->tries++;
	return delay / 2 + (int64_t) (next_random(backoff) % (uint64_t) (delay / 2 + 1));
}
