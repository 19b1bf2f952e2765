/*-------------------------------------------------------------------------
 * gcra.h
 *		The generic cell rate algorithm: a leaky bucket in one number.
 *
 * Model: all that a bucket knows is its TAT, the theoretical arrival time: the
 * instant at which it is full again.  A unit of cost moves the TAT forward by
 * the emission interval, and is granted if the TAT then lies no further ahead
 * of now than the tolerance, burst times the interval.  A TAT in the past
 * means a full bucket, so a bucket that has drained need not be kept, and a
 * refusal changes nothing.
 *
 * Rounding: the interval is period / count rounded up to whole nanoseconds,
 * and everything else is a multiple of it.  So exactly burst units fit at
 * once, and the rate is never above the one asked for; below it by at most a
 * nanosecond per unit: 2 in a million at 6,000 a second.
 *
 * Time: signed nanoseconds of any epoch.  A clock that goes back grants
 * nothing twice, since what was taken stays in the TAT.
 *
 * Caveats: pure functions, of no memory but their arguments; they use nothing
 * of the server, so that the unit tests link them alone.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_GCRA_H
#define HD_LIMITS_GCRA_H

#include "postgres.h"

/* Bound of instants and of tolerances: the sum of two still fits.  146 years. */
#define HD_GCRA_MAX_NS (INT64CONST(1) << 62)

/* An instant that never comes. */
#define HD_GCRA_NEVER PG_INT64_MAX

/* A policy, ready for use. */
typedef struct HdGcra
{
	int64 emission;	 /* nanoseconds per unit, at least 1 */
	int64 burst;	 /* units that fit at once */
	int64 tolerance; /* burst * emission, at most HD_GCRA_MAX_NS */
} HdGcra;

/*
 * hd_limits_gcra_prepare
 *		count units per period microseconds, burst at once, all of them > 0.
 *		False when burst units take longer than there is time.
 */
extern bool hd_limits_gcra_prepare(HdGcra *gcra, int64 count, int64 period_us, int64 burst);

/*
 * hd_limits_gcra_room
 *		Units that can be taken now, 0 to burst.
 */
extern int64 hd_limits_gcra_room(const HdGcra *gcra, int64 tat, int64 now);

/*
 * hd_limits_gcra_take
 *		Take want units, or where that is too many: none if whole, else as many
 *		as fit.  Moves *tat and returns how many were taken.
 */
extern int64 hd_limits_gcra_take(const HdGcra *gcra, int64 *tat, int64 want, bool whole, int64 now);

/*
 * hd_limits_gcra_fits_at
 *		The earliest instant, now or later, at which n units fit if nobody takes
 *		any before; HD_GCRA_NEVER if n is more than burst.
 */
extern int64 hd_limits_gcra_fits_at(const HdGcra *gcra, int64 tat, int64 n, int64 now);

/*
 * hd_limits_gcra_refund
 *		The TAT after n units were given back: never above full.
 */
extern int64 hd_limits_gcra_refund(const HdGcra *gcra, int64 tat, int64 n, int64 now);

/*
 * hd_limits_gcra_used
 *		Units in debt, a part of one counted as one.
 */
extern int64 hd_limits_gcra_used(int64 emission, int64 tat, int64 now);

/*
 * hd_limits_gcra_rescale
 *		The TAT of a bucket with another emission interval, that owes as many of
 *		its own units, most at the most.
 *
 * Parts of a unit stay parts, up to some nanoseconds more, so that callers who
 * bring different policies for one bucket do not keep each other in debt.
 */
extern int64 hd_limits_gcra_rescale(const HdGcra *gcra, int64 emission, int64 tat, int64 most,
									int64 now);

/*
 * hd_limits_gcra_charge
 *		The TAT of a bucket from which used units were taken just now.
 */
extern int64 hd_limits_gcra_charge(const HdGcra *gcra, int64 used, int64 now);

#endif /* HD_LIMITS_GCRA_H */
