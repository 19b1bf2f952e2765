/*-------------------------------------------------------------------------
 * load.c
 *		Rows of the table into the list: after a start, from the shelf, and
 *		after two-phase commits.
 *
 * Model: the work is a query and then one pass under the lock.  Several
 * sessions may do it at once: a job that has an entry already is skipped,
 * and an entry made from a row that has ended meanwhile is dropped by the
 * claim that meets it, because the table confirms.
 *
 * Locking: never SPI under the list's lock; the lanes' state is read first,
 * and a cursor is only moved forward if nobody lowered it in between.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/load.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/spi.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/tx.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* A look at the shelf brings at least this many rows, so that small claims do not look each time. */
#define MIN_LOOK 256

typedef struct FoundRow
{
	int64 id;
	TimestampTz at;
	ItemPointerData tid;
	uint32 kind_hash;
	uint32 tenant_hash;
} FoundRow;

void
hd_jobs_load_set_ticker(void)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->ticker = HD_MY_PROCNO;
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_load_alert_ticker(void)
{
	if (hd_jobs_list->ticker >= 0)
		SetLatch(&ProcGlobal->allProcs[hd_jobs_list->ticker].procLatch);
}

static Datum
column(int row, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull);

	Assert(!isnull);
	return value;
}

/* Columns 1 to 5 of a result row: id, ctid, at, kind, tenant. */
static FoundRow
found_row(int row)
{
	FoundRow found;
	text *kind = DatumGetTextPP(column(row, 4));
	text *tenant = DatumGetTextPP(column(row, 5));

	found.id = DatumGetInt64(column(row, 1));
	found.tid = *(ItemPointer) DatumGetPointer(column(row, 2));
	found.at = DatumGetTimestampTz(column(row, 3));
	found.kind_hash = hd_jobs_kind_hash(VARDATA_ANY(kind), VARSIZE_ANY_EXHDR(kind));
	found.tenant_hash = hd_jobs_list_tenant_hash(VARDATA_ANY(tenant), VARSIZE_ANY_EXHDR(tenant));
	return found;
}

/* A READY entry for a row, unless it has one; false when the list is full. Lock held. */
static bool
bring(int32 queue, int priority, const FoundRow *row)
{
	HdJobEntry *entry;
	int32 index;

	if (hd_jobs_list_find(hd_jobs_queue(queue)->db, row->id) >= 0)
		return true;
	if (!hd_jobs_list_has_room(&hd_jobs_queue(queue)->lanes[priority]))
		return false;
	index = hd_jobs_list_alloc(queue, row->id);
	if (index < 0)
		return false;
	entry = hd_jobs_entry(index);
	entry->at = row->at;
	entry->tid = row->tid;
	entry->kind_hash = row->kind_hash;
	entry->tenant_hash = row->tenant_hash;
	entry->priority = (uint8) priority;
	hd_jobs_list_push(index);
	hd_jobs_list_wake(index);
	hd_counters_add(HD_COUNTER_JOBS_REFILLED, 1);
	return true;
}

/*
 * After a start: rows that are not shelved.
 */

static HdSpiPlan unshelved_plan = {
	.sql = "SELECT id, ctid, at, kind, tenant, queue, priority FROM hotdash._job "
		   "WHERE NOT shelf AND hold IS NULL ORDER BY at, id",
};

static HdSpiPlan prepared_plan = {
	.sql = "SELECT transaction FROM pg_catalog.pg_prepared_xacts "
		   "WHERE database = pg_catalog.current_database()",
};

/* Bring one row of the full scan; false when there is no room. */
static bool
bring_unshelved(int32 db, int row)
{
	FoundRow found = found_row(row);
	char *name = TextDatumGetCString(column(row, 6));
	int priority = DatumGetInt16(column(row, 7));
	bool done = false;
	int32 queue;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	queue = hd_jobs_list_queue(db, name, true);
	if (queue >= 0)
		done = bring(queue, priority, &found);
	LWLockRelease(hd_jobs_lock);
	pfree(name);
	return done;
}

/*
 * Rows that do not fit go to the shelf, where claims find them; returns how
 * many.  Another session that loads at the same time may be moving some of
 * them: those are left to it, since a claim never waits.
 */
static int64
load_unshelved(int32 db)
{
	uint64 n;
	uint64 nleft = 0;
	int64 *left;
	MemoryContext caller = CurrentMemoryContext;

	/* The one statement that has to read the whole table. */
	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	hd_spi_run(&unshelved_plan, NULL, NULL, false, 0);
	n = SPI_processed;
	left = MemoryContextAllocHuge(caller, sizeof(int64) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!bring_unshelved(db, (int) i))
			left[nleft++] = DatumGetInt64(column((int) i, 1));
	}
	SPI_freetuptable(SPI_tuptable);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (nleft > 0)
		hd_jobs_load_shelve_rows(left, (int) nleft);
	pfree(left);
	return (int64) nleft;
}

static void
load_prepared(int32 db)
{
	hd_spi_run(&prepared_plan, NULL, NULL, true, 0);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (uint64 i = 0; i < SPI_processed; i++)
		hd_jobs_load_note_prepared(db, DatumGetTransactionId(column((int) i, 1)));
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
	moved = load_unshelved(db);
	load_prepared(db);
	hd_spi_end(&spi);

	/* Others must not look before they can see the rows that went to the shelf. */
	if (moved > 0)
	{
		hd_jobs_tx_loaded(db);
		return db;
	}
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->databases[db].loaded = true;
	hd_jobs_list_reset_lanes(db);
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
		hd_jobs_list->databases[db].loaded = false;
	LWLockRelease(hd_jobs_lock);
}

/*
 * From the shelf.
 */

static HdSpiPlan shelf_plan = {
	.sql = "SELECT id, ctid, at, kind, tenant FROM hotdash._job "
		   "WHERE shelf AND queue = $1 AND priority = $2 AND (at, id) > ($3, $4) "
		   "ORDER BY at, id LIMIT $5",
	.nargs = 5,
	.argtypes = {TEXTOID, INT2OID, TIMESTAMPTZOID, INT8OID, INT8OID},
};

static int
look(const char *queue, int priority, const HdJobLane *lane, int limit, FoundRow *rows)
{
	Datum values[5];
	int n;

	values[0] = CStringGetTextDatum(queue);
	values[1] = Int16GetDatum(priority);
	values[2] = TimestampTzGetDatum(lane->cursor_at);
	values[3] = Int64GetDatum(lane->cursor_id);
	values[4] = Int64GetDatum(limit);
	hd_spi_run(&shelf_plan, values, NULL, false, 0);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
		rows[i] = found_row(i);
	SPI_freetuptable(SPI_tuptable);
	return n;
}

/*
 * Put what a look found into the lane.  seen: the lane as it was before the
 * look.  A session whose clock is moved brings rows but leaves the lane's
 * own knowledge alone.  Lock held.  Returns how many rows were due.
 */
static int
bring_found(int32 queue, int priority, const HdJobLane *seen, const FoundRow *rows, int n,
			int limit, TimestampTz now)
{
	HdJobLane *lane = &hd_jobs_queue(queue)->lanes[priority];
	bool keep = !hd_clock_overridden() && lane->lowered == seen->lowered;
	int brought = 0;

	while (brought < n && rows[brought].at <= now && bring(queue, priority, &rows[brought]))
		brought++;
	if (!keep)
		return brought;
	if (brought > 0)
	{
		lane->cursor_at = rows[brought - 1].at;
		lane->cursor_id = rows[brought - 1].id;
	}
	if (brought < n && rows[brought].at > now)
	{
		lane->shelved = false;
		lane->next_due = rows[brought].at;
	}
	else if (brought == n && n < limit)
	{
		lane->shelved = false;
		lane->next_due = DT_NOEND;
	}
	return brought;
}

/*
 * Whether a lane has something to look for: rows that became due, rows that
 * may be older than its first entry, or any row when it is short of entries.
 * Lock held.
 */
static bool
needs_look(const HdJobLane *lane, int want, TimestampTz now)
{
	if (lane->next_due <= now)
		return true;
	if (!lane->shelved)
		return false;
	return lane->count < want || lane->cursor_at < hd_jobs_entry(lane->head)->at;
}

/* One lane: number i of queues, at a priority. */
static int
load_lane(HdJobQueues *queues, int i, int priority, int want, TimestampTz now)
{
	HdJobLane seen;
	FoundRow *rows;
	int limit = Max(want, MIN_LOOK);
	int brought = 0;
	bool wanted = false;
	int n;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	if (queues->slots[i] >= 0)
	{
		seen = hd_jobs_queue(queues->slots[i])->lanes[priority];
		wanted = needs_look(&seen, want, now) || hd_clock_overridden();
	}
	LWLockRelease(hd_jobs_lock);
	if (!wanted)
		return 0;

	rows = palloc(sizeof(FoundRow) * limit);
	n = look(queues->names[i], priority, &seen, limit, rows);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	if (queues->slots[i] >= 0)
		brought = bring_found(queues->slots[i], priority, &seen, rows, n, limit, now);
	LWLockRelease(hd_jobs_lock);
	pfree(rows);
	return brought;
}

bool
hd_jobs_load_wanted(HdJobQueues *queues, int want, TimestampTz now)
{
	bool wanted = hd_clock_overridden();

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	for (int i = 0; i < queues->n; i++)
		for (int p = 0; p < HD_JOB_PRIORITIES && queues->slots[i] >= 0 && !wanted; p++)
			wanted = needs_look(&hd_jobs_queue(queues->slots[i])->lanes[p], want, now);
	LWLockRelease(hd_jobs_lock);
	return wanted;
}

int
hd_jobs_load_lanes(HdJobQueues *queues, int want)
{
	TimestampTz now = hd_clock_now();
	int brought = 0;
	HdSpi spi;

	if (!hd_jobs_load_wanted(queues, want, now))
		return 0;
	hd_spi_begin(&spi);
	for (int i = 0; i < queues->n; i++)
		for (int p = 0; p < HD_JOB_PRIORITIES; p++)
			brought += load_lane(queues, i, p, want, now);
	hd_spi_end(&spi);
	return brought;
}

/*
 * Two-phase commits.
 */

static HdSpiPlan shelve_plan = {
	.sql = "UPDATE hotdash._job SET shelf = true WHERE id IN (SELECT j.id FROM hotdash._job j "
		   "WHERE j.id = ANY ($1) FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

void
hd_jobs_load_shelve_rows(int64 *ids, int n)
{
	Datum *elements = palloc(sizeof(Datum) * n);
	Datum values[1];
	HdSpi spi;

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	hd_spi_begin(&spi);
	hd_spi_run(&shelve_plan, values, NULL, false, 0);
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
	hd_jobs_list_reset_lanes(db);
	if (ended)
		hd_jobs_list_wake_database(db);
	LWLockRelease(hd_jobs_lock);
}
