/*-------------------------------------------------------------------------
 * scan.c
 *		Rows of hotdash._job that wait: along their line, or by their time.
 *
 * Model: see scan.h.  Index _job_line is ordered by (line, line_at, id);
 * line_at is null in strict lines, which go by ids alone.  Index _job_due is
 * ordered by (at, id).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/scan.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "core/compat.h"
#include "core/spi.h"
#include "jobs/kinds.h"
#include "jobs/order.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

static HdSpiRelation line_index = {.name = "_job_line"};
static HdSpiRelation due_index = {.name = "_job_due"};

static void
copy_text(HdJobTable *table, HdJobColumn column, char *to)
{
	text_to_cstring_buffer(DatumGetTextPP(hd_jobs_table_column(table, column, NULL)), to,
						   NAMEDATALEN);
}

const HdJobPlace *
hd_jobs_scan_row(HdJobTable *table, HdJobFound *found)
{
	text *tenant = DatumGetTextPP(hd_jobs_table_column(table, HD_JOB_COL_TENANT, NULL));
	HdJobPlace *place = &found->place;
	bool no_line;
	bool no_line_at;
	bool no_key;
	bool no_flow;

	found->id = DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL));
	found->at = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_AT, NULL));
	ItemPointerCopy(&table->slot->tts_tid, &found->tid);
	found->scheduled = DatumGetBool(hd_jobs_table_column(table, HD_JOB_COL_SHELF, NULL));
	found->line = DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_LINE, &no_line));
	if (no_line)
		found->line = 0;
	found->line_at =
		DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_LINE_AT, &no_line_at));
	if (no_line_at)
		found->line_at = found->at;
	(void) hd_jobs_table_column(table, HD_JOB_COL_ORDER_KEY, &no_key);
	copy_text(table, HD_JOB_COL_QUEUE, found->queue);
	copy_text(table, HD_JOB_COL_KIND, found->kind);

	place->queue = found->queue;
	place->at = found->at;
	place->priority = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_PRIORITY, NULL));
	place->kind_hash = hd_jobs_kind_hash(found->kind, (int) strlen(found->kind));
	place->tenant_hash =
		hd_jobs_place_tenant_hash(VARDATA_ANY(tenant), (int) VARSIZE_ANY_EXHDR(tenant));
	place->flow_hash = 0;
	(void) hd_jobs_table_column(table, HD_JOB_COL_FLOW, &no_flow);
	if (!no_flow)
	{
		text *flow = DatumGetTextPP(hd_jobs_table_column(table, HD_JOB_COL_FLOW, NULL));

		place->flow_hash =
			hd_jobs_place_flow_hash(VARDATA_ANY(flow), (int) VARSIZE_ANY_EXHDR(flow));
	}
	place->lane = hd_jobs_place_lane(hd_jobs_place_queue_hash(found->queue), place);
	place->gate = no_key ? 0 : found->line;
	place->strict = no_line_at;
	return place;
}

/* Where a scan begins and ends. */
typedef struct ScanRange
{
	bool strict;
	bool by_line;	/* along a line, else by time */
	TimestampTz at; /* rows behind (at, id) */
	int64 id;
	TimestampTz until; /* the first scheduled row beyond this ends it */
} ScanRange;

/* Whether a row belongs to the range; *end: none behind it does. */
static bool
is_in_range(const ScanRange *range, const HdJobFound *found, bool *end)
{
	TimestampTz place = range->by_line ? found->line_at : found->at;

	/* A time that was changed by hand (at, not line_at) says nothing of those behind it. */
	bool later = found->scheduled && found->at > range->until;

	*end = later && place > range->until;
	if (later)
		return false;
	return hd_jobs_order_before(range->strict, range->at, range->id, place, found->id);
}

/* Run a scan and collect the rows of a range, at most n. */
static int
collect(HdJobTable *table, HdSpiRelation *which, ScanKeyData *keys, int nkeys,
		const ScanRange *range, HdJobFound *found, int n)
{
	Relation index = index_open(hd_spi_relation(which), AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = HD_INDEX_BEGINSCAN(table->rel, index, snapshot, nkeys);
	bool end = false;
	int count = 0;

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (count < n && !end && index_getnext_slot(scan, ForwardScanDirection, table->slot))
	{
		CHECK_FOR_INTERRUPTS();
		(void) hd_jobs_scan_row(table, &found[count]);
		if (is_in_range(range, &found[count], &end))
			count++;
	}
	ExecClearTuple(table->slot);
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	return count;
}

int
hd_jobs_scan_line(HdJobTable *table, int64 line, bool strict, const HdJobBacklog *from,
				  TimestampTz until, HdJobFound *found, int n)
{
	ScanRange range = {strict, true, from->at, from->id, strict ? DT_NOEND : until};
	ScanKeyData keys[3];
	int nkeys = 2;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(line));
	if (strict)
	{
		ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNULL, 2, InvalidStrategy, InvalidOid,
							   InvalidOid, InvalidOid, (Datum) 0);
		ScanKeyInit(&keys[nkeys++], 3, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(from->id));
	}
	else
		ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
					TimestampTzGetDatum(from->at));
	return collect(table, &line_index, keys, nkeys, &range, found, n);
}

int
hd_jobs_scan_due(HdJobTable *table, const HdJobBacklog *from, HdJobFound *found, int n)
{
	ScanRange range = {false, false, from->at, from->id, DT_NOEND};
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from->at));
	return collect(table, &due_index, &key, 1, &range, found, n);
}

void
hd_jobs_scan_times(HdJobTable *table, Snapshot snapshot, TimestampTz from, TimestampTz until,
				   HdJobVisit visit, void *arg)
{
	Relation index = index_open(hd_spi_relation(&due_index), AccessShareLock);
	IndexScanDesc scan = HD_INDEX_BEGINSCAN(table->rel, index, snapshot, 2);
	char queue[NAMEDATALEN];
	ScanKeyData keys[2];
	bool more = true;

	ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(until));
	index_rescan(scan, keys, 2, NULL, 0);
	while (more && index_getnext_slot(scan, ForwardScanDirection, table->slot))
	{
		TimestampTz at = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_AT, NULL));
		bool no_hold;

		CHECK_FOR_INTERRUPTS();
		(void) hd_jobs_table_column(table, HD_JOB_COL_HOLD, &no_hold);
		if (!no_hold || TIMESTAMP_IS_NOEND(at))
			continue;
		copy_text(table, HD_JOB_COL_QUEUE, queue);
		more =
			visit(at, DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL)), queue, arg);
	}
	ExecClearTuple(table->slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
}

bool
hd_jobs_scan_next_line(HdJobTable *table, int64 line, HdJobFound *found)
{
	ScanRange range = {false, true, DT_NOBEGIN, PG_INT64_MIN, DT_NOEND};
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(line));
	return collect(table, &line_index, &key, 1, &range, found, 1) == 1;
}
