/*-------------------------------------------------------------------------
 * window.c
 *		The policy behind "never more than count in any window".
 *
 * Caveats: uses nothing of the server, so that the unit tests link it alone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/limits.h"
#include "limits/log.h"

/* Of a window too large for the log, the part that fits at once; the rest flows. */
#define WINDOW_BURST_SHARE 25

/*
 * Why no window holds more than count under GCRA with burst b and c = count - b
 * per period: let n units be granted in [a, a + period), the last at s.  The
 * TAT was at least a before the first and moved by the emission interval t for
 * each, so it is at least a + n t.  It was granted, so it is at most s + b t, and
 * s < a + period.  So n t < period + b t.  As t >= period / c, n < c + b = count.
 * A strict policy gives nothing back and is never forgotten, so nothing else
 * moves the TAT back.
 *
 * Why 95 % can be used: c is 96 % of count at least, and t is above period / c
 * by less than a nanosecond, which is 1 % where t is 100.
 */
HdLimitPolicy
hd_limits_window_policy(int32 count, int64 period_us)
{
	HdLimitPolicy policy = {.algorithm = HD_LIMIT_LOG,
							.count = count,
							.period_us = period_us,
							.burst = count,
							.strict = true,
							.keep = HD_LIMIT_KEEP_SNAPSHOT};

	if (count > HD_LOG_MAX_COUNT)
	{
		policy.algorithm = HD_LIMIT_GCRA;
		policy.burst = count / WINDOW_BURST_SHARE;
		policy.count = count - policy.burst;
	}
	return policy;
}
