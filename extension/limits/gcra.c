/*-------------------------------------------------------------------------
 * gcra.c
 *		The generic cell rate algorithm: a leaky bucket in one number.
 *
 * Caveats: no expression here can overflow: instants lie within
 * HD_GCRA_MAX_NS of zero, a TAT at most a tolerance ahead of one, and a
 * number of units is compared with burst before it is multiplied.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/gcra.h"

#include <float.h>
#include <math.h>

#include "common/int.h"

bool
hd_limits_gcra_prepare(HdGcra *gcra, int64 count, int64 period_us, int64 burst)
{
	int64 period;

	Assert(count > 0 && period_us > 0 && burst > 0);
	if (pg_mul_s64_overflow(period_us, 1000, &period))
		return false;
	gcra->emission = (period - 1) / count + 1;
	gcra->burst = burst;
	return !pg_mul_s64_overflow(burst, gcra->emission, &gcra->tolerance) &&
		   gcra->tolerance <= HD_GCRA_MAX_NS;
}

/* Nanoseconds until the bucket is full. */
static inline int64
debt(int64 tat, int64 now)
{
	return (tat > now) ? tat - now : 0;
}

int64
hd_limits_gcra_room(const HdGcra *gcra, int64 tat, int64 now)
{
	int64 owed = debt(tat, now);

	/* After a policy shrank, or the clock went back, more may be owed than ever fits. */
	return (owed < gcra->tolerance) ? (gcra->tolerance - owed) / gcra->emission : 0;
}

int64
hd_limits_gcra_take(const HdGcra *gcra, int64 *tat, int64 want, bool whole, int64 now)
{
	int64 room = hd_limits_gcra_room(gcra, *tat, now);
	int64 n = want;

	if (want > room)
		n = whole ? 0 : room;
	if (n > 0)
		*tat = Max(*tat, now) + n * gcra->emission;
	return n;
}

int64
hd_limits_gcra_fits_at(const HdGcra *gcra, int64 tat, int64 n, int64 now)
{
	if (n > gcra->burst)
		return HD_GCRA_NEVER;
	return Max(now, tat - (gcra->burst - n) * gcra->emission);
}

int64
hd_limits_gcra_refund(const HdGcra *gcra, int64 tat, int64 n, int64 now)
{
	if (n >= hd_limits_gcra_used(gcra->emission, tat, now))
		return Min(tat, now);
	return tat - n * gcra->emission;
}

int64
hd_limits_gcra_used(int64 emission, int64 tat, int64 now)
{
	int64 owed = debt(tat, now);

	return (owed > 0) ? (owed - 1) / emission + 1 : 0;
}

int64
hd_limits_gcra_rescale(const HdGcra *gcra, int64 emission, int64 tat, int64 most, int64 now)
{
	int64 owed = debt(tat, now);
	int64 units = owed / emission;
	double part = (double) (owed % emission) / (double) emission;

	if (units >= most)
		return now + most * gcra->emission;

	/* A product of two 64-bit numbers would not fit; the factor makes up for what a double drops. */
	part = ceil(part * (double) gcra->emission * (1 + 4 * DBL_EPSILON));
	if (part > (double) gcra->emission)
		part = (double) gcra->emission;
	return now + units * gcra->emission + (int64) part;
}

int64
hd_limits_gcra_charge(const HdGcra *gcra, int64 used, int64 now)
{
	return now + used * gcra->emission;
}
