/*
 * random.c
 *	  Numbers that look random and are the same for the same seed.
 */
#include "oracle.h"

static uint64_t state = 1;

/* Neighbouring seeds shall have nothing in common (splitmix64). */
void
random_seed(uint64_t seed)
{
	uint64_t z = seed + UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	state = (z ^ (z >> 31)) | 1;
}

int64_t
random_below(int64_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int64_t) ((state >> 1) % (uint64_t) bound);
}

int64_t
random_between(int64_t least, int64_t most)
{
	return least + random_below(most - least + 1);
}

bool
random_chance(int percent)
{
	return random_below(100) < percent;
}
