/*-------------------------------------------------------------------------
 * duration.c
 *		Intervals that mean a length of time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/duration.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* So that now plus any of them, and plus a few more, is still a timestamp. */
#define MAX_DURATION_US (36525 * USECS_PER_DAY)

int64
hd_duration_us(const Interval *interval, const char *what, int64 minimum)
{
	int64 days_us;
	int64 us;

	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not contain months or years", what),
				 errhint("Write it in days, hours, minutes or seconds; a day counts 24 hours.")));
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &days_us) ||
		pg_add_s64_overflow(days_us, interval->time, &us) || us > MAX_DURATION_US)
		ereport(ERROR, (errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW), errmsg("%s is too long", what),
						errdetail("The longest duration is 36525 days.")));
	if (us < minimum)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						minimum == 0 ? errmsg("%s must not be negative", what)
									 : errmsg("%s must be at least %g seconds", what,
											  (double) minimum / USECS_PER_SEC)));
	return us;
}

int64
hd_duration_parse(const char *text, const char *what, int64 minimum)
{
	Datum interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
										 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	return hd_duration_us(DatumGetIntervalP(interval), what, minimum);
}
