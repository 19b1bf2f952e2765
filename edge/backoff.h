/*
 * backoff.h
 *	  Exponential delays with jitter, for reconnecting.
 *
 * Delay n lies in [d/2, d] with d = min(first × 2ⁿ, longest), so that many edges
 * that lost one server do not come back in step.
 */
#ifndef HD_EDGE_BACKOFF_H
#define HD_EDGE_BACKOFF_H

#include "common.h"

typedef struct HdBackoff
{
	int64_t first_us;
	int64_t longest_us;
	unsigned tries;	 /* delays handed out since the last reset */
	uint64_t random; /* state of a small generator; not for secrets */
} HdBackoff;

void hd_backoff_init(HdBackoff *backoff, int64_t first_us, int64_t longest_us, uint64_t seed);
void hd_backoff_reset(HdBackoff *backoff);
int64_t hd_backoff_next(HdBackoff *backoff);

#endif
