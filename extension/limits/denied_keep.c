/*-------------------------------------------------------------------------
 * denied_keep.c
 *		Rows of the log of refusals in a table, for as long as is wanted.
 *
 * Model: sql/limits_denied.sql does the work.  The tick copies what is new and
 * brings counts up to date; refusals themselves write nothing.  Rows that are
 * overwritten between two ticks are not in the table, or with an earlier
 * count.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/denied.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/tick.h"
#include "core/worker.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define EVERY_US (10 * USECS_PER_SEC)
#define UP_TO 1000
#define MINUTES_A_DAY (24 * 60)
#define MAX_DAYS 3650

/* Read by SQL alone; the variable is where the setting lives. */
static int violation_retention = 0;

static HdSpiPlan keep_plan = {.sql = "SELECT hotdash._limit_violations_keep($1)",
							  .nargs = 1,
							  .argtypes = {INT4OID}};

/* In the current transaction; true when there may be more to do at once. */
static bool
tick(void)
{
	static TimestampTz done_at = 0;
	TimestampTz now = hd_clock_now();
	Datum up_to = Int32GetDatum(UP_TO);
	bool more;
	HdSpi spi;

	if (done_at <= now && now < done_at + EVERY_US)
		return false;
	done_at = now;
	hd_spi_begin(&spi);
	hd_spi_run(&keep_plan, &up_to, NULL, false, 1);
	more = DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	if (more)
		done_at = 0;
	return more;
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

static const HdWorkerTask task = {"hotdash: limits tick", tick_task};

void
hd_limits_denied_keep_init(void)
{
	DefineCustomIntVariable("hotdash.limit_violation_retention",
							"How long the log of refusals by rate limits is kept in a table.",
							"0 keeps it in memory alone. Its keys may be personal data.",
							&violation_retention, 0, 0, MAX_DAYS * MINUTES_A_DAY, PGC_SIGHUP,
							GUC_UNIT_MIN, NULL, NULL, NULL);
	hd_tick_register(tick);
	if (hd_settings_preloaded())
		hd_worker_register(&task);
}
