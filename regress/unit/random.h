/*
 * random.h
 *	  Numbers that look random and are the same in each run.
 */
#ifndef HD_UNIT_RANDOM_H
#define HD_UNIT_RANDOM_H

#include "postgres.h"

static uint64 random_state = UINT64CONST(0x9E3779B97F4A7C15);

/* 0 to bound - 1 */
static inline int64
random_below(int64 bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (int64) (random_state % (uint64) bound);
}

#endif
