/*-------------------------------------------------------------------------
 * store.c
 *		What is kept about flags: settings and periodic work.
 *
 * Model: in the SQL files, which do the work.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/store.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/tick.h"
#include "core/worker.h"
#include "flags/usage.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define MAX_DAYS (10 * 365)
#define MINUTES_A_DAY (24 * 60)

/* Read by SQL alone; the variables are where the settings live. */
static int exposure_retention = 90 * MINUTES_A_DAY;
static int segment_history_retention = 365 * MINUTES_A_DAY;
static int stale_after = 30 * MINUTES_A_DAY;

/*
 * Periodic work
 */

/* A function that does up to so much and says whether there may be more, and how often it is called. */
typedef struct Chore
{
	HdSpiPlan plan;
	int up_to;
	int64 every_us;
	TimestampTz done_at;
} Chore;

static Chore chores[] = {
	{
		.plan = {"SELECT hotdash._exposures_settle($1)", 1, {INT4OID}, NULL},
		.up_to = 500,
		.every_us = 10 * USECS_PER_SEC,
	},
	{
		.plan = {"SELECT hotdash._flag_use_keep($1)", 1, {INT4OID}, NULL},
		.up_to = 1000,
		.every_us = USECS_PER_MINUTE,
	},
	{
		.plan = {"SELECT hotdash._exposures_sweep($1)", 1, {INT4OID}, NULL},
		.up_to = 1000,
		.every_us = USECS_PER_MINUTE,
	},
	{
		.plan = {"SELECT hotdash._segments_keep($1)", 1, {INT4OID}, NULL},
		.up_to = 1000,
		.every_us = USECS_PER_MINUTE,
	},
};

/* Between hd_spi_begin and hd_spi_end; true when there may be more to do at once. */
static bool
do_chore(Chore *chore)
{
	TimestampTz now = hd_clock_now();
	Datum up_to = Int32GetDatum(chore->up_to);

	if (chore->done_at <= now && now < chore->done_at + chore->every_us)
		return false;
	chore->done_at = now;
	hd_spi_run(&chore->plan, &up_to, NULL, false, 1);
	if (!DatumGetBool(hd_spi_result(0, 1)))
		return false;
	chore->done_at = 0;
	return true;
}

/* In the current transaction. */
static bool
tick(void)
{
	bool more = false;
	HdSpi spi;

	hd_spi_begin(&spi);
	for (int i = 0; i < lengthof(chores); i++)
		more = do_chore(&chores[i]) || more;
	hd_spi_end(&spi);
	return more;
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

static const HdWorkerTask task = {"hotdash: flags tick", tick_task};

void
hd_flags_store_init(void)
{
	DefineCustomIntVariable("hotdash.flag_exposure_retention", "How long exposures are kept.",
							"0 keeps them for good.", &exposure_retention, 90 * MINUTES_A_DAY, 0,
							MAX_DAYS * MINUTES_A_DAY, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.segment_history_retention",
							"How long it is known who was a member of a segment.",
							"0 keeps it for good.", &segment_history_retention, 365 * MINUTES_A_DAY,
							0, MAX_DAYS * MINUTES_A_DAY, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL,
							NULL);
	DefineCustomIntVariable("hotdash.flag_stale_after",
							"How long a flag is not used, or answers the same to all, before it is "
							"stale.",
							NULL, &stale_after, 30 * MINUTES_A_DAY, 1, MAX_DAYS * MINUTES_A_DAY,
							PGC_USERSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	hd_tick_register(tick);
	if (!hd_settings_preloaded())
		return;
	DefineCustomIntVariable(
		"hotdash.flag_use_slots",
		"Flags and variants whose uses are counted in memory between two ticks.", NULL,
		&hd_flags_setting_use_slots, 4096, 16, 1000000, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	hd_flags_usage_register();
	hd_worker_register(&task);
}
