/*-------------------------------------------------------------------------
 * table.c
 *		Rows of hotdash._job and its history, without planner and executor.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/table.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi.h"
#include "executor/executor.h"
#include "jobs/after.h"
#include "jobs/history.h"
#include "jobs/tally.h"
#include "jobs/watch.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* So many rows are inserted together, at most. */
#define MAX_GATHERED 256

static HdSpiRelation job_table = {.name = "_job"};
static HdSpiRelation job_key = {.name = "_job_pkey"};

/* Make a handle of an open relation. */
static void
prepare(HdJobTable *table, Relation rel, bool writes)
{
	memset(table, 0, sizeof(HdJobTable));
	table->rel = rel;
	table->slot = table_slot_create(rel, NULL);
	if (!writes)
		return;
	table->estate = CreateExecutorState();
	table->info = makeNode(ResultRelInfo);
	InitResultRelInfo(table->info, rel, 0, NULL, 0);
	ExecOpenIndices(table->info, false);
}

void
hd_jobs_table_open(HdJobTable *table, bool writes)
{
	prepare(table, table_open(hd_spi_relation(&job_table), RowExclusiveLock), writes);
}

void
hd_jobs_table_open_reading(HdJobTable *table)
{
	prepare(table, table_open(hd_spi_relation(&job_table), AccessShareLock), false);
}

bool
hd_jobs_table_open_other(HdJobTable *table, Oid relid)
{
	Relation rel = try_table_open(relid, RowExclusiveLock);

	if (rel == NULL)
		return false;
	prepare(table, rel, true);
	return true;
}

void
hd_jobs_table_close(HdJobTable *table)
{
	hd_jobs_history_flush(table);
	hd_jobs_after_settle(table);
	hd_jobs_watch_settle(table);
	hd_jobs_history_close(table);
	for (int i = 0; table->gathered != NULL && i < MAX_GATHERED && table->gathered[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(table->gathered[i]);
	ExecDropSingleTupleTableSlot(table->slot);
	if (table->estate != NULL)
	{
		ExecCloseIndices(table->info);
		FreeExecutorState(table->estate);
	}
	table_close(table->rel, NoLock);
}

void
hd_jobs_table_gather(HdJobTable *table)
{
	table->gathers = true;
}

/* A row in the slot has found its place. */
static void
index_row(HdJobTable *table, TupleTableSlot *slot)
{
	(void) HD_INSERT_INDEXES(table->info, slot, table->estate);
	ResetPerTupleExprContext(table->estate);
}

/* One WAL record and one lock for all that fit into a page. */
void
hd_jobs_table_flush(HdJobTable *other)
{
	if (other->ngathered == 0)
		return;
	table_multi_insert(other->rel, other->gathered, other->ngathered, GetCurrentCommandId(true), 0,
					   NULL);
	for (int i = 0; i < other->ngathered; i++)
	{
		index_row(other, other->gathered[i]);
		ExecClearTuple(other->gathered[i]);
	}
	other->ngathered = 0;
}

/* The slot for the next row. */
static TupleTableSlot *
next_slot(HdJobTable *table)
{
	if (!table->gathers)
		return table->slot;
	if (table->gathered == NULL)
		table->gathered = palloc0(sizeof(TupleTableSlot *) * MAX_GATHERED);
	if (table->ngathered == MAX_GATHERED)
		hd_jobs_table_flush(table);
	if (table->gathered[table->ngathered] == NULL)
		table->gathered[table->ngathered] = table_slot_create(table->rel, NULL);
	return table->gathered[table->ngathered++];
}

void
hd_jobs_table_put(HdJobTable *table, const Datum *values, const bool *nulls, int n)
{
	TupleTableSlot *slot = next_slot(table);

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, sizeof(Datum) * n);
	memcpy(slot->tts_isnull, nulls, sizeof(bool) * n);
	ExecStoreVirtualTuple(slot);
	if (table->gathers)
	{
		/* The values are the caller's, and will not last. */
		ExecMaterializeSlot(slot);
		return;
	}
	table_tuple_insert(table->rel, slot, GetCurrentCommandId(true), 0, NULL);
	index_row(table, slot);
}

void
hd_jobs_table_insert(HdJobTable *table, HdJobRow *row, ItemPointer tid)
{
	hd_jobs_table_put(table, row->values, row->nulls, HD_JOB_COL_COUNT);
	ItemPointerCopy(&table->slot->tts_tid, tid);
	hd_jobs_tally_row(row->values[HD_JOB_COL_QUEUE - 1],
					  DatumGetTimestampTz(row->values[HD_JOB_COL_AT - 1]),
					  !row->nulls[HD_JOB_COL_HOLD - 1],
					  DatumGetBool(row->values[HD_JOB_COL_SHELF - 1]), 1);
}

bool
hd_jobs_table_fetch(HdJobTable *table, ItemPointer tid, int64 id)
{
	Snapshot snapshot;
	bool found;

	/* Asking for the size is a system call. */
	if (!ItemPointerIsValid(tid))
		return false;
	if (ItemPointerGetBlockNumber(tid) >= table->nblocks)
		table->nblocks = RelationGetNumberOfBlocks(table->rel);
	if (ItemPointerGetBlockNumber(tid) >= table->nblocks)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	found = table_tuple_fetch_row_version(table->rel, tid, snapshot, table->slot);
	UnregisterSnapshot(snapshot);
	return found && DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL)) == id;
}

bool
hd_jobs_table_find(HdJobTable *table, int64 id, ItemPointer tid)
{
	Relation index = index_open(hd_spi_relation(&job_key), AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = HD_INDEX_BEGINSCAN(table->rel, index, snapshot, 1);
	ScanKeyData key;
	bool found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, table->slot);
	if (found)
	{
		/* The slot must outlive the scan's pin on the page. */
		ExecMaterializeSlot(table->slot);
		ItemPointerCopy(&table->slot->tts_tid, tid);
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	return found;
}

/* The row in the slot was deleted. */
static void
tally_gone(HdJobTable *table)
{
	bool no_hold;

	(void) hd_jobs_table_column(table, HD_JOB_COL_HOLD, &no_hold);
	hd_jobs_tally_row(hd_jobs_table_column(table, HD_JOB_COL_QUEUE, NULL),
					  DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_AT, NULL)),
					  !no_hold, DatumGetBool(hd_jobs_table_column(table, HD_JOB_COL_SHELF, NULL)),
					  -1);
}

bool
hd_jobs_table_delete(HdJobTable *table, ItemPointer tid)
{
	TM_FailureData failure;
	TM_Result result =
		table_tuple_delete(table->rel, tid, GetCurrentCommandId(true), GetLatestSnapshot(),
						   InvalidSnapshot, true, &failure, false);

	if (result == TM_Ok)
	{
		tally_gone(table);
		return true;
	}
	if (result != TM_Updated && result != TM_Deleted && result != TM_SelfModified)
		elog(ERROR, "unexpected result %d of deleting a job", (int) result);
	return false;
}

bool
hd_jobs_table_try_lock(HdJobTable *table, ItemPointer tid)
{
	TM_FailureData failure;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ItemPointerData place = *tid;
	TM_Result result =
		table_tuple_lock(table->rel, &place, snapshot, table->slot, GetCurrentCommandId(true),
						 LockTupleExclusive, LockWaitSkip, 0, &failure);

	UnregisterSnapshot(snapshot);
	if (result != TM_Ok)
		ExecClearTuple(table->slot);
	return result == TM_Ok;
}

Datum
hd_jobs_table_column(HdJobTable *table, HdJobColumn column, bool *isnull)
{
	bool null;
	Datum value = slot_getattr(table->slot, column, &null);

	if (isnull != NULL)
		*isnull = null;
	return value;
}

char *
hd_jobs_table_text(HdJobTable *table, HdJobColumn column)
{
	bool isnull;
	Datum value = hd_jobs_table_column(table, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

bool
hd_jobs_table_of_tenant(HdJobTable *table)
{
	const char *own = hd_settings_bound_tenant();
	text *tenant;

	if (own == NULL)
		return true;
	tenant = DatumGetTextPP(hd_jobs_table_column(table, HD_JOB_COL_TENANT, NULL));
	return VARSIZE_ANY_EXHDR(tenant) == strlen(own) &&
		   memcmp(VARDATA_ANY(tenant), own, strlen(own)) == 0;
}
