/*-------------------------------------------------------------------------
 * after.c
 *		What the end of a job means for those that wait for it.
 *
 * Model: see after.h, where the proof is.  One settlement is: delete what
 * the ends satisfy; cancel those that can never run, which are ends again;
 * count the members of batches; look at every job that lost a dependency;
 * let go, or leave to the tick.
 *
 * A look walks the index (job_id, after_id) from the dependency that was
 * just deleted upwards, then from the start: what ends in order leaves its
 * dead rows behind, and a look meets a live one at once, so n members that
 * end one by one do not look at n * n rows.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/after.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/finish.h"
#include "jobs/hold.h"
#include "miscadmin.h"
#include "nodes/memnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* The tick takes at most so many of each at once. */
#define TICK_BATCH 1000

/* What jobs that are gone left behind is swept out this often. */
#define SWEEP_US (60 * USECS_PER_SEC)

/* Ends to be settled; grows in the memory of the table's handle. */
typedef struct HdJobEnds
{
	int64 *ids[HD_JOB_OUTCOMES];
	int n[HD_JOB_OUTCOMES];
	int room[HD_JOB_OUTCOMES];
} HdJobEnds;

/* A job that lost a dependency. */
typedef struct Waiting
{
	int64 id;
	int64 after; /* the dependency it lost, where a look begins */
	bool batch;
} Waiting;

/* A job that cannot run any more, because of another. */
typedef struct Doomed
{
	int64 id;
	int64 because;
} Doomed;

/* Members of one batch that ended. */
typedef struct Tally
{
	int64 batch;
	int n[HD_JOB_OUTCOMES];
} Tally;

/* One round of settling; arrays of nrows places. */
typedef struct Settlement
{
	Waiting *waiting;
	int nwaiting;
	Doomed *doomed;
	int ndoomed;
	Tally *tallies;
	int ntallies;
} Settlement;

typedef enum Look
{
	LOOK_NOTHING,  /* nothing is left to wait for */
	LOOK_LEFT,	   /* something that nobody is ending */
	LOOK_UNDECIDED /* only what open transactions are ending */
} Look;

static HdSpiRelation dependency_table = {.name = "_job_dependency"};
static HdSpiRelation dependency_key = {.name = "_job_dependency_pkey"};

PG_FUNCTION_INFO_V1(hd_jobs_sql_unhold);
PG_FUNCTION_INFO_V1(hd_jobs_sql_cancel_held);
PG_FUNCTION_INFO_V1(hd_jobs_sql_batch_try_end);

/*
 * Statements.
 */

/* A dependency on a job that died stays where the dependent waits for its retry. */
static HdSpiPlan dependency_satisfy = {
	.sql = "DELETE FROM hotdash._job_dependency WHERE after_id = ANY ($1) "
		   "AND NOT ($2 = 1 AND on_failure = 0) RETURNING job_id, after_id, on_failure",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT2OID},
};

static HdSpiPlan tally_insert = {
	.sql = "INSERT INTO hotdash._batch_tally (batch, completed, dead, cancelled) "
		   "VALUES ($1, $2, $3, $4)",
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT4OID, INT4OID},
};

/* Members that come back from the dead lock it too. */
static HdSpiPlan batch_lock = {
	.sql = "SELECT id FROM hotdash._job WHERE id = ANY ($1) AND hold & 2 <> 0 AND hold & 4 = 0 "
		   "ORDER BY id FOR NO KEY UPDATE",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan batch_end = {
	.sql =
		"WITH gone AS (DELETE FROM hotdash._batch_tally WHERE batch = ANY ($1) RETURNING *), "
		"total AS (SELECT i AS id, coalesce(pg_catalog.sum(g.completed), 0) AS completed, "
		"coalesce(pg_catalog.sum(g.dead), 0) AS dead, "
		"coalesce(pg_catalog.sum(g.cancelled), 0) AS cancelled "
		"FROM pg_catalog.unnest($1) AS i LEFT JOIN gone AS g ON g.batch = i GROUP BY i), "
		"ended AS (UPDATE hotdash._batch AS b SET ended_at = $2, completed = t.completed, "
		"dead = t.dead, cancelled = t.cancelled FROM total AS t WHERE b.id = t.id RETURNING b.*) "
		"UPDATE hotdash._job AS j SET payload = coalesce(j.payload, '{}') || "
		"pg_catalog.jsonb_build_object('batch', pg_catalog.jsonb_build_object('id', e.id::text, "
		"'members', e.completed + e.dead + e.cancelled, 'completed', e.completed, "
		"'dead', e.dead, 'cancelled', e.cancelled)) FROM ended AS e WHERE j.id = e.id",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
};

static HdSpiPlan note_insert = {
	.sql = "INSERT INTO hotdash._job_recheck (job_id) VALUES ($1)",
	.nargs = 1,
	.argtypes = {INT8OID},
};

/* The tick waits for nobody: jobs whose row is locked have their turn at the next one. */
static HdSpiPlan note_take = {
	.sql = "DELETE FROM hotdash._job_recheck WHERE ctid = ANY (ARRAY(SELECT n.ctid "
		   "FROM hotdash._job_recheck AS n JOIN hotdash._job AS j ON j.id = n.job_id LIMIT $1 "
		   "FOR NO KEY UPDATE OF n, j SKIP LOCKED)) "
		   "RETURNING job_id, EXISTS (SELECT FROM hotdash._batch AS b WHERE b.id = job_id)",
	.nargs = 1,
	.argtypes = {INT8OID},
};

static HdSpiPlan expired_find = {
	.sql = "SELECT d.job_id FROM hotdash._job_deadline AS d JOIN hotdash._job AS j "
		   "ON j.id = d.job_id AND j.hold IS NOT NULL WHERE d.expires_at <= $1 "
		   "ORDER BY d.expires_at LIMIT $2 FOR UPDATE OF j SKIP LOCKED",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
};

/* Notes of jobs that were cancelled meanwhile. */
static HdSpiPlan note_sweep = {
	.sql = "DELETE FROM hotdash._job_recheck AS n "
		   "WHERE NOT EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = n.job_id)",
};

/*
 * Many tallies of one batch become one, under the lock that whoever sums them
 * up for good takes too.
 */
static HdSpiPlan tally_fold = {
	.sql = "WITH big AS MATERIALIZED (SELECT j.id FROM hotdash._job AS j WHERE j.hold IS NOT NULL "
		   "AND j.id IN (SELECT t.batch FROM hotdash._batch_tally AS t GROUP BY t.batch "
		   "HAVING pg_catalog.count(*) > 1000) FOR NO KEY UPDATE SKIP LOCKED), "
		   "gone AS (DELETE FROM hotdash._batch_tally AS t USING big AS b WHERE t.batch = b.id "
		   "RETURNING t.*) "
		   "INSERT INTO hotdash._batch_tally (batch, completed, dead, cancelled) "
		   "SELECT batch, pg_catalog.sum(completed), pg_catalog.sum(dead), "
		   "pg_catalog.sum(cancelled) FROM gone GROUP BY batch",
};

static HdSpiPlan progress_sweep = {
	.sql = "DELETE FROM hotdash._job_progress WHERE job_id = ANY (ARRAY(SELECT p.job_id "
		   "FROM hotdash._job_progress AS p WHERE NOT EXISTS (SELECT FROM hotdash._job AS j "
		   "WHERE j.id = p.job_id) FOR UPDATE OF p SKIP LOCKED))",
};

static int
compare_int64(int64 x, int64 y)
{
	return (x > y) - (x < y);
}

/*
 * Collecting.
 */

void
hd_jobs_after_note(HdJobTable *table, HdJobOutcome outcome)
{
	MemoryContext handle = GetMemoryChunkContext(table->slot);
	HdJobEnds *ends;
	bool unmarked;
	Datum awaited = hd_jobs_table_column(table, HD_JOB_COL_AWAITED, &unmarked);

	if (unmarked || !DatumGetBool(awaited))
		return;
	if (table->ends == NULL)
		table->ends = MemoryContextAllocZero(handle, sizeof(HdJobEnds));
	ends = table->ends;
	if (ends->n[outcome] == ends->room[outcome])
	{
		int room = Max(16, ends->room[outcome] * 2);
		int64 *ids = MemoryContextAllocHuge(handle, sizeof(int64) * room);

		if (ends->n[outcome] > 0)
			memcpy(ids, ends->ids[outcome], sizeof(int64) * ends->n[outcome]);
		ends->ids[outcome] = ids;
		ends->room[outcome] = room;
	}
	ends->ids[outcome][ends->n[outcome]++] =
		DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL));
}

/*
 * Looking.
 */

/* What is left of job_id's dependencies in one range of after_id. */
static Look
look_range(Relation table, Relation index, int64 job_id, StrategyNumber strategy,
		   RegProcedure procedure, int64 after)
{
	SnapshotData dirty;
	TupleTableSlot *slot = table_slot_create(table, NULL);
	Look seen = LOOK_NOTHING;
	ScanKeyData keys[2];
	IndexScanDesc scan;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	ScanKeyInit(&keys[1], 2, strategy, procedure, Int64GetDatum(after));
	scan = HD_INDEX_BEGINSCAN(table, index, &dirty, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	while (seen != LOOK_LEFT && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		/* One that is being inserted may yet not come; one that is being deleted may yet stay. */
		seen = (TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax))
				   ? LOOK_UNDECIDED
				   : LOOK_LEFT;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return seen;
}

static Look
look(Relation table, Relation index, const Waiting *waiting)
{
	Look above =
		look_range(table, index, waiting->id, BTGreaterStrategyNumber, F_INT8GT, waiting->after);
	Look below;

	if (above == LOOK_LEFT)
		return above;
	below =
		look_range(table, index, waiting->id, BTLessEqualStrategyNumber, F_INT8LE, waiting->after);
	return (below == LOOK_NOTHING) ? above : below;
}

/* Look at all; what needs no more attention leaves the array.  Notes what is undecided. */
static int
look_at_all(Waiting *waiting, int n, bool note)
{
	Relation table = table_open(hd_spi_relation(&dependency_table), RowExclusiveLock);
	Relation index = index_open(hd_spi_relation(&dependency_key), AccessShareLock);
	int free = 0;

	for (int i = 0; i < n; i++)
	{
		Look seen = look(table, index, &waiting[i]);
		Datum values[1] = {Int64GetDatum(waiting[i].id)};

		CHECK_FOR_INTERRUPTS();
		if (seen == LOOK_NOTHING)
			waiting[free++] = waiting[i];
		else if (seen == LOOK_UNDECIDED && note)
			hd_spi_run(&note_insert, values, NULL, false, 0);
	}
	index_close(index, AccessShareLock);
	table_close(table, NoLock);
	return free;
}

/*
 * Letting go.
 */

static int
split(const Waiting *waiting, int n, bool batch, int64 *ids)
{
	int found = 0;

	for (int i = 0; i < n; i++)
		if (waiting[i].batch == batch)
			ids[found++] = waiting[i].id;
	return found;
}

/*
 * Batches without members left: once more under their lock, which those that
 * bring members back take too.
 */
static void
end_batches(int64 *ids, int n)
{
	Datum values[2];
	Waiting *locked;
	int nlocked;

	if (n == 0)
		return;
	values[0] = hd_spi_ids(ids, n);
	hd_spi_run_latest(&batch_lock, values, NULL);
	nlocked = (int) SPI_processed;
	locked = palloc0(sizeof(Waiting) * Max(nlocked, 1));
	for (int i = 0; i < nlocked; i++)
		locked[i].id = DatumGetInt64(hd_spi_result(i, 1));
	n = split(locked, look_at_all(locked, nlocked, true), false, ids);
	if (n == 0)
		return;
	values[0] = hd_spi_ids(ids, n);
	values[1] = TimestampTzGetDatum(hd_clock_now());
	hd_spi_run_latest(&batch_end, values, NULL);
	(void) hd_jobs_hold_drop(ids, n, HD_JOB_HOLD_JOBS);
}

/* Of jobs that lost a dependency, let go those that have none left.  Returns how many that were. */
static int
let_go(Waiting *waiting, int n, bool note)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int free = look_at_all(waiting, n, note);
	int nplain;

	nplain = split(waiting, free, false, ids);
	if (nplain > 0)
		(void) hd_jobs_hold_drop(ids, nplain, HD_JOB_HOLD_JOBS);
	end_batches(ids, split(waiting, free, true, ids));
	return free;
}

/*
 * Settling.
 */

static int
compare_waiting(const void *a, const void *b)
{
	const Waiting *x = a;
	const Waiting *y = b;

	return (x->id != y->id) ? compare_int64(x->id, y->id) : compare_int64(y->after, x->after);
}

static int
compare_doomed(const void *a, const void *b)
{
	return compare_int64(((const Doomed *) a)->id, ((const Doomed *) b)->id);
}

/* One of each job: the one that lost the highest dependency, so that a look begins behind all. */
static int
unique_waiting(Waiting *waiting, int n)
{
	int kept = 0;

	qsort(waiting, n, sizeof(Waiting), compare_waiting);
	for (int i = 0; i < n; i++)
		if (kept == 0 || waiting[kept - 1].id != waiting[i].id)
			waiting[kept++] = waiting[i];
	return kept;
}

static int
unique_doomed(Doomed *doomed, int n)
{
	int kept = 0;

	qsort(doomed, n, sizeof(Doomed), compare_doomed);
	for (int i = 0; i < n; i++)
		if (kept == 0 || doomed[kept - 1].id != doomed[i].id)
			doomed[kept++] = doomed[i];
	return kept;
}

static void
count_member(Settlement *settlement, int64 batch, HdJobOutcome outcome)
{
	int i = settlement->ntallies - 1;

	/* Mostly the batch of the row before. */
	while (i >= 0 && settlement->tallies[i].batch != batch && i > settlement->ntallies - 8)
		i--;
	if (i < 0 || settlement->tallies[i].batch != batch)
	{
		i = settlement->ntallies++;
		memset(&settlement->tallies[i], 0, sizeof(Tally));
		settlement->tallies[i].batch = batch;
	}
	settlement->tallies[i].n[outcome]++;
}

static void
file_row(Settlement *settlement, uint64 row, HdJobOutcome outcome)
{
	int64 id = DatumGetInt64(hd_spi_result(row, 1));
	int64 after = DatumGetInt64(hd_spi_result(row, 2));
	HdJobOnFailure on_failure = (HdJobOnFailure) DatumGetInt16(hd_spi_result(row, 3));
	bool batch = on_failure == HD_JOB_ON_FAILURE_MEMBER;

	if (batch)
		count_member(settlement, id, outcome);
	if (!batch && outcome != HD_JOB_COMPLETED && on_failure != HD_JOB_ON_FAILURE_RUN)
		settlement->doomed[settlement->ndoomed++] = (Doomed){id, after};
	else
		settlement->waiting[settlement->nwaiting++] = (Waiting){id, after, batch};
}

/* Delete the dependencies on what ended in one way, and file who had them. */
static void
satisfy(Settlement *settlement, const int64 *ids, int n, HdJobOutcome outcome)
{
	Datum values[2];
	uint64 nrows;

	if (n == 0)
		return;
	values[0] = hd_spi_ids(ids, n);
	values[1] = Int16GetDatum(outcome);
	hd_spi_run_latest(&dependency_satisfy, values, NULL);
	nrows = SPI_processed;
	settlement->waiting =
		repalloc_huge(settlement->waiting, sizeof(Waiting) * (settlement->nwaiting + nrows + 1));
	settlement->doomed =
		repalloc_huge(settlement->doomed, sizeof(Doomed) * (settlement->ndoomed + nrows + 1));
	settlement->tallies =
		repalloc_huge(settlement->tallies, sizeof(Tally) * (settlement->ntallies + nrows + 1));
	for (uint64 i = 0; i < nrows; i++)
		file_row(settlement, i, outcome);
	SPI_freetuptable(SPI_tuptable);
}

static void
write_tallies(const Settlement *settlement)
{
	for (int i = 0; i < settlement->ntallies; i++)
	{
		const Tally *tally = &settlement->tallies[i];
		Datum values[4] = {Int64GetDatum(tally->batch), Int32GetDatum(tally->n[HD_JOB_COMPLETED]),
						   Int32GetDatum(tally->n[HD_JOB_DEAD]),
						   Int32GetDatum(tally->n[HD_JOB_CANCELLED])};

		hd_spi_run(&tally_insert, values, NULL, false, 0);
	}
}

Jsonb *
hd_jobs_after_failed(int64 because)
{
	char *text = psprintf("{\"failed_dependency\": \"" INT64_FORMAT "\"}", because);

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Settle what is noted now; cancelling the doomed may note more. */
static void
settle_round(HdJobTable *table)
{
	HdJobEnds *ends = table->ends;
	Settlement settlement = {0};
	HdSpi spi;

	table->ends = NULL;
	settlement.waiting = palloc(sizeof(Waiting));
	settlement.doomed = palloc(sizeof(Doomed));
	settlement.tallies = palloc(sizeof(Tally));
	hd_spi_begin(&spi);
	for (int i = 0; i < HD_JOB_OUTCOMES; i++)
		satisfy(&settlement, ends->ids[i], ends->n[i], (HdJobOutcome) i);
	write_tallies(&settlement);
	settlement.ndoomed = unique_doomed(settlement.doomed, settlement.ndoomed);
	(void) let_go(settlement.waiting, unique_waiting(settlement.waiting, settlement.nwaiting),
				  true);
	hd_spi_end(&spi);

	/* Not between begin and end: what the handle opens must outlive that. */
	for (int i = 0; i < settlement.ndoomed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) hd_jobs_finish_held(table, settlement.doomed[i].id, HD_JOB_CANCELLED,
								   hd_jobs_after_failed(settlement.doomed[i].because));
	}
}

void
hd_jobs_after_settle(HdJobTable *table)
{
	while (table->ends != NULL)
		settle_round(table);
}

/*
 * The tick.
 */

/* Returns whether there may be more. */
static bool
decide_undecided(void)
{
	Datum values[1] = {Int64GetDatum(TICK_BATCH)};
	Waiting *waiting;
	int freed;
	int n;
	HdSpi spi;

	hd_spi_begin(&spi);
	(void) hd_spi_run(&note_take, values, NULL, false, 0);
	n = (int) SPI_processed;
	waiting = palloc0(sizeof(Waiting) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		waiting[i].id = DatumGetInt64(hd_spi_result(i, 1));
		waiting[i].batch = DatumGetBool(hd_spi_result(i, 2));
	}

	/* What is still undecided is noted again. */
	freed = let_go(waiting, unique_waiting(waiting, n), true);
	hd_spi_end(&spi);
	return n == TICK_BATCH && freed > 0;
}

static bool
end_expired(void)
{
	Datum values[2] = {TimestampTzGetDatum(hd_clock_now()), Int64GetDatum(TICK_BATCH)};
	HdJobTable table;
	int64 *ids;
	int n;
	HdSpi spi;

	ids = palloc(sizeof(int64) * TICK_BATCH);
	hd_spi_begin(&spi);
	hd_spi_run(&expired_find, values, NULL, false, 0);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(hd_spi_result(i, 1));
	hd_spi_end(&spi);
	if (n == 0)
		return false;

	hd_jobs_table_open(&table, false);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) hd_jobs_finish_held(&table, ids[i], HD_JOB_DEAD, NULL);
	}
	hd_jobs_table_close(&table);
	return n == TICK_BATCH;
}

/* What nobody looks at any more goes; what is looked at stays small. */
static void
sweep(void)
{
	static TimestampTz next_sweep = 0;
	TimestampTz now = hd_clock_now();
	HdSpi spi;

	if (now < next_sweep && next_sweep - now <= SWEEP_US)
		return;
	next_sweep = now + SWEEP_US;
	hd_spi_begin(&spi);
	hd_spi_run(&progress_sweep, NULL, NULL, false, 0);
	hd_spi_run(&note_sweep, NULL, NULL, false, 0);
	hd_spi_run(&tally_fold, NULL, NULL, false, 0);
	hd_spi_end(&spi);
}

bool
hd_jobs_after_tick(void)
{
	bool more = decide_undecided();

	more |= end_expired();
	sweep();
	return more;
}

/*
 * hd_jobs_sql_unhold
 *		SQL: _job_unhold(ids, reason) -> int.
 */
Datum
hd_jobs_sql_unhold(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum *elements;
	bool *nulls;
	int64 *ids;
	int given;
	int n = 0;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  &nulls, &given);
	ids = palloc(sizeof(int64) * Max(given, 1));
	for (int i = 0; i < given; i++)
		if (!nulls[i])
			ids[n++] = DatumGetInt64(elements[i]);
	PG_RETURN_INT32(hd_jobs_hold_drop(ids, n, PG_GETARG_INT16(1)));
}

/*
 * hd_jobs_sql_cancel_held
 *		SQL: _job_cancel_held(id, result) -> bool.
 */
Datum
hd_jobs_sql_cancel_held(PG_FUNCTION_ARGS)
{
	HdJobTable table;
	bool cancelled;

	hd_jobs_table_open(&table, false);
	cancelled =
		hd_jobs_finish_held(&table, PG_GETARG_INT64(0), HD_JOB_CANCELLED, PG_GETARG_JSONB_P(1));
	hd_jobs_table_close(&table);
	PG_RETURN_BOOL(cancelled);
}

/*
 * hd_jobs_sql_batch_try_end
 *		SQL: _batch_try_end(id) -> bool, whether the callback was let go.
 */
Datum
hd_jobs_sql_batch_try_end(PG_FUNCTION_ARGS)
{
	Waiting waiting = {.id = PG_GETARG_INT64(0), .batch = true};
	bool ended;
	HdSpi spi;

	hd_spi_begin(&spi);
	ended = let_go(&waiting, 1, false) == 1;
	hd_spi_end(&spi);
	PG_RETURN_BOOL(ended);
}
