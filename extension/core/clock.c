/*-------------------------------------------------------------------------
 * clock.c
 *		The one clock of hotdash, and the two ways in which tests move it.
 *
 * Model: hotdash.now_override stops the clock of one session at an instant.
 * hotdash.test_clock_offset moves the clock of the whole cluster; it exists
 * only where the postmaster was started with HOTDASH_TEST_CLUSTER set in its
 * environment, which the private test cluster does and nobody else should.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"

#include <limits.h>

#include "access/xact.h"
#include "core/compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

static char *now_override_text = NULL;
static TimestampTz now_override = 0;
static int test_clock_offset = 0;

PG_FUNCTION_INFO_V1(hd_clock_sql_now);
PG_FUNCTION_INFO_V1(hd_clock_sql_real);

static bool
check_now_override(char **newval, void **extra, GucSource source)
{
	TimestampTz *parsed;

	if (*newval == NULL || **newval == '\0')
		return true;

	/*
	 * Only a live session may parse: the input function reads catalogs for time zone abbreviations
	 * and raises errors, which a configuration reload must not.
	 */
	if (!IsUnderPostmaster || source < PGC_S_INTERACTIVE)
	{
		GUC_check_errdetail("It can be set within a session only.");
		return false;
	}
	parsed = HD_GUC_MALLOC(sizeof(TimestampTz));
	if (parsed == NULL)
		return false;
	*parsed =
		DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(*newval),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	*extra = parsed;
	return true;
}

static void
assign_now_override(const char *newval, void *extra)
{
	now_override = (extra != NULL) ? *(TimestampTz *) extra : 0;
}

void
hd_clock_define(void)
{
	DefineCustomStringVariable("hotdash.now_override",
							   "Stops hotdash's clock of this session at an instant, for tests.",
							   "Superusers only; empty means the real time.", &now_override_text,
							   "", PGC_SUSET, GUC_NO_RESET_ALL | GUC_DISALLOW_IN_FILE,
							   check_now_override, assign_now_override, NULL);

	if (getenv("HOTDASH_TEST_CLUSTER") != NULL)
		DefineCustomIntVariable("hotdash.test_clock_offset",
								"Moves hotdash's clock of the whole cluster, for tests.", NULL,
								&test_clock_offset, 0, INT_MIN / 2, INT_MAX / 2, PGC_SIGHUP,
								GUC_UNIT_S, NULL, NULL, NULL);
}

TimestampTz
hd_clock_real(void)
{
	return GetCurrentTimestamp();
}

TimestampTz
hd_clock_now(void)
{
	if (now_override != 0)
		return now_override;
	return GetCurrentTimestamp() + test_clock_offset * USECS_PER_SEC;
}

TimestampTz
hd_clock_statement(void)
{
	if (now_override != 0)
		return now_override;
	return GetCurrentStatementStartTimestamp() + test_clock_offset * USECS_PER_SEC;
}

bool
hd_clock_overridden(void)
{
	return now_override != 0;
}

/*
 * hd_clock_sql_now
 *		SQL: hotdash._now().
 */
Datum
hd_clock_sql_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(hd_clock_now());
}

/*
 * hd_clock_sql_real
 *		SQL: hotdash._now_real().
 */
Datum
hd_clock_sql_real(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(hd_clock_real());
}
