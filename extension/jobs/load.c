/*-------------------------------------------------------------------------
 * load.c
 *		Rows of the table into the list: after a start, after two-phase commits,
 *		and those that came in by SQL.
 *
 * Model: see load.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/load.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "core/settings.h"
#include "core/spi.h"
#include "jobs/flows.h"
#include "jobs/horizon.h"
#include "jobs/look.h"
#include "jobs/scan.h"
#include "jobs/tally.h"
#include "jobs/tx.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/guc.h"

/*
 * After a start: rows that are in no line.
 */

static HdSpiPlan unlined_plan = {
	.sql = "SELECT id, ctid FROM hotdash._job WHERE line IS NULL AND hold IS NULL ORDER BY at, id",
};

static HdSpiPlan line_plan = {
	.sql = "UPDATE hotdash._job SET line_at = at, "
		   "line = hotdash._job_line(queue, priority, kind, tenant, flow, NULL, NULL) "
		   "WHERE line IS NULL AND id IN (SELECT j.id FROM hotdash._job j "
		   "WHERE j.id = ANY ($1) FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan prepared_plan = {
	.sql = "SELECT transaction FROM pg_catalog.pg_prepared_xacts "
		   "WHERE database = pg_catalog.current_database()",
};

/* Bring one row of the full scan; false when there is no room. */
static bool
bring_unlined(HdJobTable *table, int32 db, int64 id, ItemPointer tid)
{
	HdJobFound found;

	if (!hd_jobs_table_fetch(table, tid, id) && !hd_jobs_table_find(table, id, tid))
		return true;
	(void) hd_jobs_scan_row(table, &found);
	return hd_jobs_look_bring(db, &found);
}

/*
 * Rows that do not fit go to their lines, where claims find them; returns
 * how many.  Another session that loads at the same time may be moving some
 * of them: those are left to it, since a claim never waits.
 */
static int64
load_unlined(int32 db)
{
	MemoryContext caller = CurrentMemoryContext;
	SPITupleTable *rows;
	HdJobTable table;
	uint64 n;
	uint64 nleft = 0;
	int64 *left;

	/* The one statement that has to read the whole table. */
	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	hd_spi_run(&unlined_plan, NULL, NULL, false, 0);
	n = SPI_processed;
	rows = SPI_tuptable;
	left = MemoryContextAllocHuge(caller, sizeof(int64) * Max(n, 1));
	hd_jobs_table_open(&table, false);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		int64 id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		Datum tid = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!bring_unlined(&table, db, id, (ItemPointer) DatumGetPointer(tid)))
			left[nleft++] = id;
	}
	hd_jobs_table_close(&table);
	SPI_freetuptable(rows);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (nleft > 0)
		hd_jobs_load_line_rows(left, (int) nleft);
	pfree(left);
	return (int64) nleft;
}

static void
load_prepared(int32 db)
{
	hd_spi_run(&prepared_plan, NULL, NULL, true, 0);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (uint64 i = 0; i < SPI_processed; i++)
		hd_jobs_load_note_prepared(db, DatumGetTransactionId(hd_spi_result(i, 1)));
	LWLockRelease(hd_jobs_lock);
}

int32
hd_jobs_load_database(void)
{
	Oid extension = hd_spi_extension();
	bool loaded;
	int64 moved;
	int32 db;
	HdSpi spi;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	loaded = db >= 0 && hd_jobs_list->databases[db].loaded;
	LWLockRelease(hd_jobs_lock);
	if (db < 0)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("hotdash runs jobs in at most %d databases of a cluster",
							   HD_JOB_MAX_DATABASES)));
	if (loaded)
		return db;

	hd_spi_begin(&spi);
	moved = load_unlined(db);
	load_prepared(db);
	hd_jobs_horizon_load(db);
	hd_spi_end(&spi);

	/* Others must not look before they can see the rows that went to their lines. */
	if (moved > 0)
	{
		hd_jobs_tx_loaded(db);
		return db;
	}
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->databases[db].loaded = true;
	hd_jobs_list_search_again(db);
	LWLockRelease(hd_jobs_lock);
	return db;
}

void
hd_jobs_load_forget(void)
{
	Oid extension = hd_spi_extension();
	int32 db;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0)
	{
		hd_jobs_list->databases[db].loaded = false;
		hd_jobs_tally_forget(db);
	}
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_load_announce(HdJobTable *table, int64 id)
{
	const HdJobPlace *place;
	ItemPointerData tid;
	HdJobFound found;

	if (!hd_settings_preloaded() || !hd_jobs_table_find(table, id, &tid))
		return;
	place = hd_jobs_scan_row(table, &found);
	hd_jobs_tx_wait(place, found.id, found.at, found.scheduled);
}

/*
 * Two-phase commits.
 */

void
hd_jobs_load_line_rows(int64 *ids, int n)
{
	Datum values[1] = {hd_spi_ids(ids, n)};
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&line_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
}

void
hd_jobs_load_note_prepared(int32 db, TransactionId xid)
{
	HdJobDatabase *database;

	if (db < 0 || !TransactionIdIsValid(xid))
		return;
	database = &hd_jobs_list->databases[db];
	if (database->nprepared >= 0 && database->nprepared < HD_JOB_MAX_PREPARED)
		database->prepared[database->nprepared++] = xid;
	else
		database->nprepared = -1;
}

void
hd_jobs_load_check_prepared(int32 db)
{
	HdJobDatabase seen;
	HdJobDatabase *database = &hd_jobs_list->databases[db];
	bool ended = false;
	int kept = 0;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	seen = *database;
	LWLockRelease(hd_jobs_lock);
	if (seen.nprepared == 0)
		return;
	for (int i = 0; i < seen.nprepared; i++)
	{
		if (TransactionIdIsInProgress(seen.prepared[i]))
			seen.prepared[kept++] = seen.prepared[i];
		else
			ended = true;
	}
	if (!ended && seen.nprepared > 0)
		return;

	/* Too many to list: look each time, until the server restarts. */
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (database->nprepared == seen.nprepared && seen.nprepared > 0)
	{
		memcpy(database->prepared, seen.prepared, sizeof(TransactionId) * kept);
		database->nprepared = kept;
	}
	hd_jobs_list_search_again(db);
	hd_jobs_flow_doubt_all(db);
	if (ended)
		hd_jobs_waiter_wake_database(db, INT_MAX);
	LWLockRelease(hd_jobs_lock);
}
