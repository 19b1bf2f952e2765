/*-------------------------------------------------------------------------
 * backoff.h
 *		How long to wait before the next attempt.
 *
 * Source of the jitter names: Marc Brooker, "Exponential Backoff And
 * Jitter", AWS Architecture Blog, 2015.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_BACKOFF_H
#define HD_JOBS_BACKOFF_H

#include "postgres.h"

#include "utils/jsonb.h"

#define HD_BACKOFF_MAX_DELAYS 32

typedef enum HdBackoffType
{
	HD_BACKOFF_EXPONENTIAL, /* base, base * factor, base * factor^2, ... */
	HD_BACKOFF_LINEAR,		/* base, 2 * base, 3 * base, ... */
	HD_BACKOFF_FIXED,		/* base, base, ... */
	HD_BACKOFF_LIST			/* as listed; the last one repeats */
} HdBackoffType;

typedef enum HdBackoffJitter
{
	HD_BACKOFF_NONE,
	HD_BACKOFF_EQUAL, /* between half the delay and all of it */
	HD_BACKOFF_FULL	  /* between nothing and all of it */
} HdBackoffJitter;

typedef struct HdBackoff
{
	HdBackoffType type;
	HdBackoffJitter jitter;
	int64 base_us;
	int64 cap_us;
	double factor;
	int ndelays;
	int64 delays_us[HD_BACKOFF_MAX_DELAYS];
} HdBackoff;

/*
 * hd_jobs_backoff_default
 *		Exponential from 1 s by 2 up to 1 h, equal jitter.
 */
extern void hd_jobs_backoff_default(HdBackoff *backoff);

/*
 * hd_jobs_backoff_parse
 *		Read a policy; keys not given keep the default.  Raises 22023 for what
 *		is unknown or out of range.
 */
extern void hd_jobs_backoff_parse(Jsonb *json, HdBackoff *backoff);

/*
 * hd_jobs_backoff_delay
 *		Microseconds to wait after the attempt of that number (from 1) failed.
 */
extern int64 hd_jobs_backoff_delay(const HdBackoff *backoff, int attempt);

#endif /* HD_JOBS_BACKOFF_H */
