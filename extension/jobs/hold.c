/*-------------------------------------------------------------------------
 * hold.c
 *		What a job has to wait for before it may be claimed.
 *
 * Model: see hold.h.  A call's wishes are read, resolved (other jobs and the
 * batch are locked and marked), and filed once the rows are inserted.
 *
 * Cycles: a job waits only for jobs that were there before it, so none can
 * arise, but for batches: a batch waits for members that come after it.  A
 * member that waits for a batch, maybe through others, could close a circle;
 * only then is the way walked, under one lock, since two such members that
 * are added side by side could close one together.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/hold.h"

#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/settings.h"
#include "core/spi.h"
#include "jobs/after.h"
#include "jobs/load.h"
#include "jobs/tx.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#define MAX_AFTER 10000

/* Which lock on the extension, beside the extension itself, guards the walk. */
#define LOCK_OF_CYCLES 1

/*
 * Statements.  They see what is committed now, in every isolation level: the
 * rows they are about are locked.
 */

static HdSpiPlan live_lock = {
	.sql = "SELECT id, coalesce(hold, 0::smallint), awaited IS TRUE FROM hotdash._job "
		   "WHERE id = ANY ($1) AND tenant = $2 ORDER BY id FOR KEY SHARE",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTOID},
};

static HdSpiPlan live_mark = {
	.sql = "UPDATE hotdash._job SET awaited = true WHERE id = ANY ($1) AND awaited IS NOT TRUE",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan dead_lock = {
	.sql = "SELECT id FROM hotdash._job_dead WHERE id = ANY ($1) AND tenant = $2 "
		   "ORDER BY id FOR KEY SHARE",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTOID},
};

static HdSpiPlan history_find = {
	.sql = "SELECT id, state = 'completed' FROM hotdash._job_history "
		   "WHERE id = ANY ($1) AND tenant = $2",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTOID},
};

static HdSpiPlan batch_lock = {
	.sql = "SELECT coalesce(j.hold, 0::smallint) FROM hotdash._job AS j "
		   "JOIN hotdash._batch AS b ON b.id = j.id "
		   "WHERE j.id = $1 AND j.tenant = $2 FOR KEY SHARE OF j",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
};

static HdSpiPlan batch_find = {
	.sql = "SELECT FROM hotdash._batch WHERE id = $1 AND tenant = $2",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
};

static HdSpiPlan walk = {
	.sql = "WITH RECURSIVE way (id) AS (SELECT pg_catalog.unnest($1) UNION "
		   "SELECT d.after_id FROM way AS w JOIN hotdash._job_dependency AS d ON d.job_id = w.id) "
		   "SELECT FROM way WHERE id = $2",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8OID},
};

/* Each of the jobs $1 waits for each of $2. */
static HdSpiPlan dependency_insert = {
	.sql = "INSERT INTO hotdash._job_dependency (job_id, after_id, on_failure) "
		   "SELECT j, a, $3 FROM pg_catalog.unnest($1) AS j, pg_catalog.unnest($2) AS a",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, INT2OID},
};

static HdSpiPlan approval_insert = {
	.sql = "INSERT INTO hotdash._job_approval (job_id, tenant, requested_at, why, confidence, "
		   "sources) SELECT j, $2, $3, $4, $5, $6 FROM pg_catalog.unnest($1) AS j",
	.nargs = 6,
	.argtypes = {INT8ARRAYOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, FLOAT8OID, JSONBOID},
};

static HdSpiPlan deadline_insert = {
	.sql = "INSERT INTO hotdash._job_deadline (job_id, expires_at) "
		   "SELECT j, $2 FROM pg_catalog.unnest($1) AS j",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
};

static HdSpiPlan batch_insert = {
	.sql = "INSERT INTO hotdash._batch (id, tenant, created_at) "
		   "SELECT j, $2, $3 FROM pg_catalog.unnest($1) AS j",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TEXTOID, TIMESTAMPTZOID},
};

static HdSpiPlan hold_drop = {
	.sql =
		"UPDATE hotdash._job AS j SET hold = CASE WHEN hold & $3 & 7 <> 0 THEN hold & $3 END, "
		"shelf = hold & $3 & 7 = 0, "
		"at = CASE WHEN hold & $3 & 7 = 0 THEN greatest(at, $4) ELSE at END, "
		"line = CASE WHEN hold & $3 & 7 = 0 THEN hotdash._job_line(queue, priority, j.kind, tenant, "
		"flow, order_key, (SELECT k.concurrency_per_key FROM hotdash._kind AS k WHERE k.kind = j.kind)) "
		"END, line_at = CASE WHEN hold & $3 & 7 = 0 AND (order_key IS NULL OR (SELECT "
		"k.concurrency_per_key FROM hotdash._kind AS k WHERE k.kind = j.kind) IS NOT NULL) "
		"THEN greatest(at, $4) END "
		"WHERE id = ANY ($1) AND hold & $2 <> 0 AND (hold & 4 = 0 OR $2 & 2 = 0) "
		"RETURNING id, hold IS NULL, expires_at IS NOT NULL",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, INT2OID, INT2OID, TIMESTAMPTZOID},
};

static HdSpiPlan deadline_delete = {
	.sql = "DELETE FROM hotdash._job_deadline WHERE job_id = ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan approval_close = {
	.sql = "UPDATE hotdash._job_approval SET decided_at = $2, decision = $3 "
		   "WHERE job_id = $1 AND decided_at IS NULL",
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTOID},
};

/* Those that somebody else is deleting go that way, or with the other job's end: no wait, no deadlock. */
static HdSpiPlan dependency_delete = {
	.sql =
		"DELETE FROM hotdash._job_dependency WHERE job_id = $1 AND after_id = ANY (ARRAY("
		"SELECT after_id FROM hotdash._job_dependency WHERE job_id = $1 FOR UPDATE SKIP LOCKED))",
	.nargs = 1,
	.argtypes = {INT8OID},
};

/*
 * Reading.
 */

static int
compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static void
read_after(HdJobHeld *held, ArrayType *after)
{
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(after, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  &nulls, &n);
	if (n > MAX_AFTER)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a job can wait for at most %d jobs", MAX_AFTER),
						errhint("Make them members of a batch, and wait for the batch.")));
	held->after = palloc(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("after must not contain null")));
		held->after[i] = DatumGetInt64(elements[i]);
	}
	qsort(held->after, n, sizeof(int64), compare_ids);
	for (int i = 0; i < n; i++)
		if (i == 0 || held->after[i] != held->after[held->nafter - 1])
			held->after[held->nafter++] = held->after[i];
}

void
hd_jobs_hold_read(HdJobHeld *held, ArrayType *after, int approval, const HdJobOptions *options)
{
	held->options = options;
	if (after != NULL)
		read_after(held, after);
	if (held->nafter == 0 && options->on_failure_given)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"on_failure\" needs jobs to wait for"),
						errhint("Name them in after.")));
	if (approval == 0 && options->approval)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"approval\" contradicts needs_approval => false")));
	if (approval == 1 || options->approval)
		held->bits |= HD_JOB_HOLD_APPROVAL;
}

bool
hd_jobs_hold_asked(const HdJobHeld *held)
{
	return held->bits != 0 || held->nafter > 0 || held->options->batch != 0;
}

/*
 * Resolving.
 */

/* What is known so far of the jobs in after, place by place. */
typedef struct Lookup
{
	HdJobHeld *held;
	Datum tenant;
	bool *known;
	int64 *unmarked;
	int nunmarked;
	bool behind_batch; /* one of them is a batch, or waits for one */
} Lookup;

/* Note that a job was found; false when it was found before. */
static bool
note_known(Lookup *lookup, int64 id)
{
	HdJobHeld *held = lookup->held;
	int64 *place = bsearch(&id, held->after, held->nafter, sizeof(int64), compare_ids);

	if (place == NULL || lookup->known[place - held->after])
		return false;
	lookup->known[place - held->after] = true;
	return true;
}

/* The ids not known yet, as an array; 0 when all are. */
static Datum
unknown_ids(Lookup *lookup, int64 *first)
{
	HdJobHeld *held = lookup->held;
	int64 *ids = palloc(sizeof(int64) * held->nafter);
	int n = 0;

	for (int i = 0; i < held->nafter; i++)
		if (!lookup->known[i])
			ids[n++] = held->after[i];
	*first = (n > 0) ? ids[0] : 0;
	return (n > 0) ? hd_spi_ids(ids, n) : 0;
}

static void
look_live(Lookup *lookup, Datum ids)
{
	HdJobHeld *held = lookup->held;
	Datum values[2] = {ids, lookup->tenant};

	hd_spi_run_latest(&live_lock, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64 id = DatumGetInt64(hd_spi_result(i, 1));

		if (!note_known(lookup, id))
			continue;
		held->pending[held->npending++] = id;
		lookup->behind_batch |= (DatumGetInt16(hd_spi_result(i, 2)) & HD_JOB_HOLD_BATCH) != 0;
		if (!DatumGetBool(hd_spi_result(i, 3)))
			lookup->unmarked[lookup->nunmarked++] = id;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Dead ones need no mark: what comes back is marked always. */
static void
look_dead(Lookup *lookup, Datum ids)
{
	HdJobHeld *held = lookup->held;
	Datum values[2] = {ids, lookup->tenant};

	hd_spi_run_latest(&dead_lock, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64 id = DatumGetInt64(hd_spi_result(i, 1));

		if (!note_known(lookup, id))
			continue;
		if (held->options->on_failure == HD_JOB_ON_FAILURE_WAIT)
			held->pending[held->npending++] = id;
		else if (held->options->on_failure == HD_JOB_ON_FAILURE_CANCEL)
			held->failed = id;
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
look_history(Lookup *lookup, Datum ids)
{
	HdJobHeld *held = lookup->held;
	Datum values[2] = {ids, lookup->tenant};

	hd_spi_run_latest(&history_find, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64 id = DatumGetInt64(hd_spi_result(i, 1));

		if (note_known(lookup, id) && !DatumGetBool(hd_spi_result(i, 2)) &&
			held->options->on_failure != HD_JOB_ON_FAILURE_RUN)
			held->failed = id;
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Where the jobs in after stand.  Between two looks one may have died or come
 * back, in either direction, so there is a second round.
 */
static void
look_up(Lookup *lookup)
{
	static void (*const looks[])(Lookup *, Datum) = {look_live, look_dead, look_history, look_live,
													 look_dead};
	int64 unknown;

	for (int i = 0; i < lengthof(looks); i++)
	{
		Datum ids = unknown_ids(lookup, &unknown);

		if (ids == 0)
			return;
		looks[i](lookup, ids);
	}
	if (unknown_ids(lookup, &unknown) != 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("job " INT64_FORMAT " does not exist", unknown),
						errdetail("A job can wait for jobs of its own tenant that are waiting, "
								  "running, dead or in the history.")));
}

static void
mark(const Lookup *lookup)
{
	Datum values[1];

	if (lookup->nunmarked == 0)
		return;
	values[0] = hd_spi_ids(lookup->unmarked, lookup->nunmarked);
	hd_spi_run_latest(&live_mark, values, NULL);
}

/* A member must not wait for its own batch, not even through others. */
static void
refuse_cycle(const HdJobHeld *held)
{
	Datum values[2] = {hd_spi_ids(held->pending, held->npending),
					   Int64GetDatum(held->options->batch)};

	LockDatabaseObject(ExtensionRelationId, hd_spi_extension(), LOCK_OF_CYCLES, ExclusiveLock);
	hd_spi_run_latest(&walk, values, NULL);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cyclic dependency"),
						errdetail("The job would be a member of batch " INT64_FORMAT
								  " and wait for it, itself or through other jobs.",
								  held->options->batch)));
}

/* Lock the batch against being closed. */
static void
enter_batch(const HdJobHeld *held, Datum tenant)
{
	Datum values[2] = {Int64GetDatum(held->options->batch), tenant};
	bool known;

	hd_spi_run_latest(&batch_lock, values, NULL);
	known = SPI_processed > 0;
	if (known && (DatumGetInt16(hd_spi_result(0, 1)) & HD_JOB_HOLD_OPEN) != 0)
		return;
	if (!known)
	{
		hd_spi_run_latest(&batch_find, values, NULL);
		known = SPI_processed > 0;
	}
	if (!known)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("batch " INT64_FORMAT " does not exist", held->options->batch)));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("batch " INT64_FORMAT " is closed", held->options->batch)));
}

void
hd_jobs_hold_resolve(HdJobHeld *held, const char *tenant)
{
	Lookup lookup = {.held = held, .tenant = CStringGetTextDatum(tenant)};
	HdSpi spi;

	held->pending = palloc(sizeof(int64) * Max(held->nafter, 1));
	lookup.known = palloc0(sizeof(bool) * Max(held->nafter, 1));
	lookup.unmarked = palloc(sizeof(int64) * Max(held->nafter, 1));
	hd_spi_begin(&spi);
	look_up(&lookup);
	if (held->options->batch != 0)
		enter_batch(held, lookup.tenant);
	if (held->options->batch != 0 && lookup.behind_batch)
		refuse_cycle(held);
	mark(&lookup);
	hd_spi_end(&spi);
	if (held->npending > 0 || held->failed != 0)
		held->bits |= HD_JOB_HOLD_JOBS;
	if (lookup.behind_batch || (held->bits & HD_JOB_HOLD_OPEN) != 0)
		held->bits |= HD_JOB_HOLD_BATCH;
}

/*
 * Filing.
 */

static void
file_approval(const HdJobOptions *options, Datum ids, Datum tenant, TimestampTz now)
{
	Datum values[6] = {ids,
					   tenant,
					   TimestampTzGetDatum(now),
					   options->why,
					   Float8GetDatum(options->confidence),
					   options->sources};
	char nulls[6] = {' ',
					 ' ',
					 ' ',
					 (options->why == 0) ? 'n' : ' ',
					 options->confidence_given ? ' ' : 'n',
					 (options->sources == 0) ? 'n' : ' '};

	hd_spi_run(&approval_insert, values, nulls, false, 0);
}

static void
file_dependencies(Datum jobs, Datum after, HdJobOnFailure on_failure)
{
	Datum values[3] = {jobs, after, Int16GetDatum(on_failure)};

	hd_spi_run(&dependency_insert, values, NULL, false, 0);
}

static void
file_deadlines(Datum ids, TimestampTz expires)
{
	Datum values[2] = {ids, TimestampTzGetDatum(expires)};

	hd_spi_run(&deadline_insert, values, NULL, false, 0);
}

void
hd_jobs_hold_file(const HdJobHeld *held, const int64 *ids, int n, const char *tenant,
				  TimestampTz now)
{
	const HdJobOptions *options = held->options;
	Datum jobs = hd_spi_ids(ids, n);
	HdSpi spi;

	if (n == 0)
		return;
	hd_spi_begin(&spi);
	if (held->npending > 0)
		file_dependencies(jobs, hd_spi_ids(held->pending, held->npending), options->on_failure);
	if (options->batch != 0)
		file_dependencies(hd_spi_ids(&options->batch, 1), jobs, HD_JOB_ON_FAILURE_MEMBER);
	if ((held->bits & HD_JOB_HOLD_APPROVAL) != 0)
		file_approval(options, jobs, CStringGetTextDatum(tenant), now);
	if (held->bits != 0 && options->expires)
		file_deadlines(jobs, options->expires_at);
	if ((held->bits & HD_JOB_HOLD_OPEN) != 0)
	{
		Datum values[3] = {jobs, CStringGetTextDatum(tenant), TimestampTzGetDatum(now)};

		hd_spi_run(&batch_insert, values, NULL, false, 0);
	}
	hd_spi_end(&spi);
}

/*
 * Letting go.
 */

static void
delete_deadlines(const int64 *ids, int n)
{
	Datum values[1];

	if (n == 0)
		return;
	values[0] = hd_spi_ids(ids, n);
	hd_spi_run_latest(&deadline_delete, values, NULL);
}

int
hd_jobs_hold_drop(const int64 *ids, int n, int bits)
{
	/* Who waits for nothing waits for no batch either. */
	int gone = ((bits & HD_JOB_HOLD_JOBS) != 0) ? bits | HD_JOB_HOLD_BATCH : bits;
	Datum values[4];
	int64 *expiring;
	int nexpiring = 0;
	int dropped;
	HdJobTable table;
	HdSpi spi;

	values[0] = hd_spi_ids(ids, n);
	values[1] = Int16GetDatum(bits);
	values[2] = Int16GetDatum(~gone);
	values[3] = TimestampTzGetDatum(hd_clock_now());
	expiring = palloc(sizeof(int64) * Max(n, 1));
	hd_spi_begin(&spi);
	hd_spi_run_latest(&hold_drop, values, NULL);
	dropped = (int) SPI_processed;
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < dropped; i++)
	{
		if (!DatumGetBool(hd_spi_result(i, 2)))
			continue;
		hd_jobs_load_announce(&table, DatumGetInt64(hd_spi_result(i, 1)));
		if (DatumGetBool(hd_spi_result(i, 3)))
			expiring[nexpiring++] = DatumGetInt64(hd_spi_result(i, 1));
	}
	hd_jobs_table_close(&table);
	delete_deadlines(expiring, nexpiring);
	hd_spi_end(&spi);
	return dropped;
}

void
hd_jobs_hold_forget(int64 id, int hold, bool expired)
{
	Datum values[3] = {Int64GetDatum(id), TimestampTzGetDatum(hd_clock_now()),
					   CStringGetTextDatum(expired ? "expired" : "cancelled")};
	HdSpi spi;

	hd_spi_begin(&spi);
	if ((hold & HD_JOB_HOLD_APPROVAL) != 0)
		hd_spi_run_latest(&approval_close, values, NULL);
	if ((hold & (HD_JOB_HOLD_JOBS | HD_JOB_HOLD_OPEN)) != 0 && !expired)
		hd_spi_run_latest(&dependency_delete, values, NULL);
	delete_deadlines(&id, 1);
	hd_spi_end(&spi);
}
