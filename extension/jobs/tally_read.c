/*-------------------------------------------------------------------------
 * tally_read.c
 *		How many jobs each queue has: what view queues shows.
 *
 * Model: one look (tally_look.h), and what this transaction has changed
 * itself.  The numbers are those of now, not of the query's snapshot.  What
 * commits at this very moment may be in one of them and not yet in another,
 * so none is shown below zero.
 *
 * A session counts for itself, with SQL, where memory cannot answer: it is
 * bound to a tenant; there is no preload, or this is a standby, or a parallel
 * query; the list has not been loaded since the start; somebody else is
 * counting; or the numbers are unknown and it has changed rows itself.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/list.h"
#include "jobs/tally.h"
#include "jobs/tally_count.h"
#include "jobs/tally_look.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_queue_tally);

#define TALLY_COLUMNS 8

/*
 * Putting it together.
 */

static void
add_counts(const HdTallyLook *look, HTAB *numbers)
{
	for (int i = 0; i < look->ntallies; i++)
		hd_jobs_tally_numbers_of(numbers, look->tallies[i].name)->counts = look->tallies[i].counts;
}

static void
add_queues(const HdTallyLook *look, HTAB *numbers)
{
	for (int32 i = 0; i < hd_jobs_list->max_queues; i++)
	{
		HdQueueNumbers *one;

		if (look->queues[i].name[0] == '\0')
			continue;
		one = hd_jobs_tally_numbers_of(numbers, look->queues[i].name);
		one->running = look->queues[i].running - look->ending[i];
		one->oldest = Min(one->oldest, look->oldest[i]);
	}
}

/* What this transaction has changed, as if it had committed. */
static void
add_own(const HdTallyLook *look, Oid extension, HTAB *numbers)
{
	const HdTallyBase base = {.cut = look->cut, .target = look->cut};
	HdTallyOwn own;

	for (int i = 0; hd_jobs_tally_own(i, &own); i++)
		if (own.extension == extension)
			hd_tally_base_add(&base, &hd_jobs_tally_numbers_of(numbers, own.queue)->counts,
							  HD_TALLY_ADD, &own.change);
}

static void
put_row(ReturnSetInfo *rsinfo, const HdTallyLook *look, const HdQueueNumbers *one)
{
	const HdTallyCounts *counts = &one->counts;
	int64 scheduled = Max(counts->scheduled, 0);
	int64 ready = counts->alive - counts->held - scheduled - one->running;
	Datum values[TALLY_COLUMNS] = {CStringGetTextDatum(one->name),
								   Int64GetDatum(Max(ready, 0)),
								   Int64GetDatum(scheduled),
								   Int64GetDatum(Max(one->running, 0)),
								   Int64GetDatum(Max(counts->dead, 0)),
								   Int64GetDatum(Max(counts->held, 0)),
								   TimestampTzGetDatum(one->oldest),
								   BoolGetDatum(true)};
	bool nulls[TALLY_COLUMNS] = {false};

	if (counts->alive == 0 && counts->dead == 0 && one->running == 0)
		return;
	nulls[6] = one->oldest > look->now || ready <= 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Whether what the transaction has changed can be added to numbers. */
static bool
has_truncated(void)
{
	HdTallyOwn own;

	for (int i = 0; hd_jobs_tally_own(i, &own); i++)
		if (own.queue == NULL)
			return true;
	return false;
}

/* The slot of this database when its list was loaded, so that the lines tell something; else -1. */
static int32
loaded_database(Oid extension)
{
	int32 db;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && !hd_jobs_list->databases[db].loaded)
		db = -1;
	LWLockRelease(hd_jobs_lock);
	return db;
}

/* From memory, which is given its base if it has none; false when that is not possible. */
static bool
read_memory(ReturnSetInfo *rsinfo)
{
	Oid extension = hd_spi_extension();
	HdTallyLook look = {.now = hd_clock_now()};
	HASH_SEQ_STATUS status;
	HdQueueNumbers *one;
	HTAB *numbers;

	look.db = loaded_database(extension);
	if (look.db < 0 || has_truncated())
		return false;
	hd_jobs_tally_move(look.db);
	if (!hd_jobs_tally_look(&look))
	{
		if (hd_jobs_tally_pending() || !hd_jobs_tally_count(look.db) || !hd_jobs_tally_look(&look))
			return false;
	}
	numbers = hd_jobs_tally_numbers();
	add_counts(&look, numbers);
	hd_jobs_tally_look_further(&look, numbers);
	UnregisterSnapshot(look.snapshot);
	add_queues(&look, numbers);
	add_own(&look, extension, numbers);
	hash_seq_init(&status, numbers);
	while ((one = hash_seq_search(&status)) != NULL)
		put_row(rsinfo, &look, one);
	return true;
}

/*
 * Counting for oneself.
 */

static HdSpiPlan count_plan = {
	.sql = "SELECT queue, ready, scheduled, running, dead, held, oldest_ready_at "
		   "FROM hotdash._queue_count()",
};

static void
read_table(ReturnSetInfo *rsinfo)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&count_plan, NULL, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[TALLY_COLUMNS];
		bool nulls[TALLY_COLUMNS];

		for (int c = 0; c < TALLY_COLUMNS - 1; c++)
			values[c] =
				SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, c + 1, &nulls[c]);
		values[TALLY_COLUMNS - 1] = BoolGetDatum(false);
		nulls[TALLY_COLUMNS - 1] = false;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	hd_spi_end(&spi);
}

/*
 * hd_jobs_sql_queue_tally
 *		SQL: _queue_tally() -> setof (queue, ready, scheduled, running, dead, held,
 *		oldest_ready_at, live), live: from memory.
 */
Datum
hd_jobs_sql_queue_tally(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (!hd_settings_preloaded() || RecoveryInProgress() || IsInParallelMode() ||
		hd_settings_bound_tenant() != NULL || !read_memory(rsinfo))
		read_table(rsinfo);
	return (Datum) 0;
}
