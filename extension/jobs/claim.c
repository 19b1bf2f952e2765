/*-------------------------------------------------------------------------
 * claim.c
 *		Claiming: from the list, confirmed by the table.
 *
 * Model: entries are taken from the lanes first, which excludes everybody
 * else; then each row is read with a snapshot taken after that.  A row that
 * is gone, changed or not due any more makes its entry disappear, and the
 * next one is taken instead.  Nothing is written: a claim costs neither WAL
 * nor a transaction id.
 *
 * Locking: never blocks on another session.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/claim.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/finish.h"
#include "jobs/flows.h"
#include "jobs/horizon.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/load.h"
#include "jobs/look.h"
#include "jobs/place.h"
#include "jobs/rate.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define MAX_BATCH 10000

/* Looks at the table in vain before a claim searches for lost lines, and then comes back short. */
#define MAX_MISSES 1000

/* So many leases of sessions that have left are ended before one claim. */
#define MAX_LEFT 100

PG_FUNCTION_INFO_V1(hd_jobs_sql_claim);
PG_FUNCTION_INFO_V1(hd_jobs_sql_next);

void
hd_jobs_claim_check(void)
{
	hd_settings_require_preload("claiming jobs");
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot claim jobs during recovery"), errhint("Claim on the primary.")));
	if (XactReadOnly)
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
						errmsg("cannot claim jobs in a read-only transaction")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("jobs can be claimed under READ COMMITTED only"),
				 errdetail("A job enqueued after the transaction's snapshot could not be seen.")));
}

static char **
names_of(ArrayType *array, const char *what, int *n)
{
	Datum *elements;
	bool *nulls;
	char **names;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
	names = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not contain null", what)));
		names[i] = TextDatumGetCString(elements[i]);
	}
	return names;
}

void
hd_jobs_claim_queues(ArrayType *array, HdJobQueues *queues)
{
	int32 db = hd_jobs_load_database();
	int nnames;
	char **names;

	hd_jobs_load_check_prepared(db);
	if (hd_jobs_tx_has_left(db) && hd_instance_is_ours())
		(void) hd_jobs_finish_rescue(MAX_LEFT);
	if (array == NULL)
		names = hd_jobs_queue_names(&nnames);
	else
		names = names_of(array, "queues", &nnames);
	for (int i = 0; i < nnames; i++)
		(void) hd_jobs_queue_get(names[i]);

	queues->db = db;
	queues->tenant = 0;
	if (hd_settings_bound_tenant() != NULL)
		queues->tenant = hd_jobs_place_tenant_hash(hd_settings_bound_tenant(),
												   (int) strlen(hd_settings_bound_tenant()));
	queues->names = palloc(sizeof(char *) * Max(nnames, 1));
	queues->slots = palloc(sizeof(int32) * Max(nnames, 1));
	queues->caps = palloc(sizeof(int) * Max(nnames, 1));
	queues->rates = palloc(sizeof(HdJobRate) * Max(nnames, 1));
	queues->rated = false;
	queues->n = 0;
	hd_jobs_kind_limits(queues);

	/* A restored copy must not act: it finds nothing to claim until it is adopted. */
	if (!hd_instance_is_ours())
		nnames = 0;
	for (int i = 0; i < nnames; i++)
	{
		const HdJobQueueConfig *config = hd_jobs_queue_get(names[i]);

		if (config->paused)
			continue;
		queues->caps[queues->n] = config->concurrency;
		queues->rated |= config->rate > 0;
		hd_jobs_rate_set(&queues->rates[queues->n], names[i], config->rate, config->rate_period_us);
		queues->slots[queues->n] = -1;
		queues->names[queues->n++] = names[i];
	}
}

/* What the row says of an entry that was taken. */
typedef enum Confirmation
{
	CONFIRM_YES,
	CONFIRM_NO,	  /* not to be claimed; the entry was dealt with */
	CONFIRM_LATER /* not now, or not the caller's to see: back it goes in the end */
} Confirmation;

static Confirmation
confirm(HdJobTable *table, int32 index, ItemPointer tid, TimestampTz now)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	TimestampTz at;
	bool shelved;
	bool never;
	TimestampTz expires;

	*tid = entry->tid;
	if (!hd_jobs_table_fetch(table, tid, entry->id) && !hd_jobs_table_find(table, entry->id, tid))
	{
		hd_jobs_tx_drop(index, DT_NOBEGIN);
		return CONFIRM_NO;
	}

	/* Another tenant's, by the same hash: the caller puts it back when all is taken. */
	if (!hd_jobs_table_of_tenant(table))
		return CONFIRM_LATER;

	/* What was not scheduled was due when it was enqueued, even if the clock went back since. */
	at = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_AT, NULL));
	shelved = DatumGetBool(hd_jobs_table_column(table, HD_JOB_COL_SHELF, NULL));
	if (at > now && shelved)
	{
		hd_jobs_tx_drop(index, at);
		return CONFIRM_NO;
	}
	expires = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_EXPIRES_AT, &never));
	if (!never && expires <= now)
	{
		/* A claim never waits, not even for who makes another job wait for this one. */
		if (!hd_jobs_table_try_lock(table, tid))
			return CONFIRM_LATER;
		hd_jobs_finish_expired(table, index, tid);
		return CONFIRM_NO;
	}
	return CONFIRM_YES;
}

/* How long the attempt may take in all, by the job or its kind; 0: any time. */
static int64
attempt_timeout(HdJobTable *table, const HdJobQueues *queues, int32 index)
{
	uint32 kind_hash = hd_jobs_lane(hd_jobs_entry(index)->lane)->kind_hash;
	bool isnull;
	Datum own = hd_jobs_table_column(table, HD_JOB_COL_TIMEOUT, &isnull);

	if (!isnull)
		return (int64) DatumGetInt32(own) * 1000;
	for (int i = 0; i < queues->nlimits; i++)
		if (queues->limits[i].kind_hash == kind_hash)
			return queues->limits[i].timeout_us;
	return 0;
}

/* Lease a confirmed job; its end goes to *expires.  Returns the token. */
static int64
hold(HdJobTable *table, const HdJobQueues *queues, int32 index, ItemPointer tid,
	 const HdJobHold *how, TimestampTz *expires)
{
	int32 fence = DatumGetInt32(hd_jobs_table_column(table, HD_JOB_COL_FENCE, NULL));
	int attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1;
	int64 timeout_us = attempt_timeout(table, queues, index);
	HdJobHold own = *how;

	/* A handler is interrupted by its own timer. */
	own.deadline = DT_NOEND;
	if (timeout_us > 0 && !how->handler)
	{
		own.deadline = how->now + timeout_us;
		own.expires = Min(own.expires, own.deadline);
	}
	*expires = own.expires;
	return hd_jobs_tx_hold(index, fence, attempt, tid, &own);
}

/*
 * Take up to n entries, after what waits in the table was brought.  0 when
 * there is nothing, also not in lines that memory has lost.
 */
static int
take_entries(HdJobTable *table, HdJobQueues *queues, int n, int32 *taken)
{
	TimestampTz next = DT_NOEND;
	bool searched = false;
	int misses = 0;

	for (;;)
	{
		bool search = misses > MAX_MISSES;
		bool ordered;
		int brought;
		int ntaken;

		CHECK_FOR_INTERRUPTS();
		if (queues->rated)
			hd_jobs_rate_look(queues, &next);
		brought = hd_jobs_look(table, queues, n, search);

		/* A session whose clock is moved leaves the lines hungry, and must not wait for them. */
		ordered = brought > 0 && !hd_clock_overridden();
		ntaken = hd_jobs_tx_claim(queues, n, ordered, taken);
		if (ntaken > 0 || searched)
			return ntaken;
		searched = search;

		/* Others took what was listed or brought: behind it there may be more. */
		if (hd_clock_overridden() || !hd_jobs_look_wanted(queues, hd_clock_now()))
			misses = MAX_MISSES;
		misses += (brought > 0) ? 1 : MAX_MISSES / 4;
	}
}

/* Whether a key or a concurrency counts this job's lease. */
static bool
is_limited(const HdJobQueues *queues, int32 index)
{
	const HdJobEntry *entry = hd_jobs_entry(index);
	const HdJobLane *lane = hd_jobs_lane(entry->lane);

	if (entry->gate >= 0 || hd_jobs_flow_is_limited(lane))
		return true;
	for (int i = 0; i < queues->nlimits; i++)
		if (queues->limits[i].kind_hash == lane->kind_hash && queues->limits[i].concurrency > 0)
			return true;
	for (int i = 0; i < queues->n; i++)
		if (queues->slots[i] == lane->queue)
			return queues->caps[i] > 0;
	return false;
}

/* Claim up to n jobs from queues that can have slots at once. */
static int
claim_window(HdJobTable *table, HdJobQueues *queues, int n, const HdJobHold *how,
			 HdJobClaimed claimed, void *arg)
{
	int32 *taken = palloc(sizeof(int32) * n);
	List *later = NIL;
	ListCell *cell;
	bool limited = false;
	int total = 0;
	int ntaken;

	while (total < n && (ntaken = take_entries(table, queues, n - total, taken)) > 0)
	{
		/* Read after they were listed: by an older time some would be dropped and listed for ever. */
		TimestampTz now = hd_clock_now();

		if (queues->rated)
			ntaken = hd_jobs_rate_pay(queues, taken, ntaken, now);
		for (int i = 0; i < ntaken; i++)
		{
			int32 queue = hd_jobs_lane(hd_jobs_entry(taken[i])->lane)->queue;
			ItemPointerData tid;
			TimestampTz expires;
			int64 token;
			Confirmation answer = confirm(table, taken[i], &tid, now);

			if (answer != CONFIRM_YES && queues->rated)
				hd_jobs_rate_refund(queues, queue, now);
			if (answer == CONFIRM_LATER)
				later = lappend_int(later, taken[i]);
			if (answer != CONFIRM_YES)
				continue;
			token = hold(table, queues, taken[i], &tid, how, &expires);
			limited |= is_limited(queues, taken[i]);
			claimed(table, token, expires, arg);
			total++;
		}
	}
	if (limited)
		hd_jobs_horizon_cover(queues->db, how->expires);
	foreach (cell, later)
		hd_jobs_tx_unclaim(lfirst_int(cell));
	pfree(taken);
	return total;
}

int
hd_jobs_claim_run(HdJobTable *table, HdJobClaim *claim, HdJobClaimed claimed, void *arg)
{
	HdJobQueues window;
	int start = 0;
	int total = 0;

	while (total < claim->batch && hd_jobs_list_window(&claim->queues, &start, &window))
		total += claim_window(table, &window, claim->batch - total, &claim->hold, claimed, arg);
	return total;
}

/*
 * The SQL functions.
 */

typedef struct ResultRows
{
	Tuplestorestate *store;
	TupleDesc desc;
} ResultRows;

/* One row of type claimed_job. */
static void
emit(HdJobTable *table, int64 token, TimestampTz expires, void *arg)
{
	ResultRows *rows = arg;
	static const HdJobColumn columns[] = {HD_JOB_COL_ID,
										  0,
										  HD_JOB_COL_KIND,
										  HD_JOB_COL_PAYLOAD,
										  HD_JOB_COL_QUEUE,
										  0,
										  0,
										  HD_JOB_COL_TENANT,
										  HD_JOB_COL_ORDER_KEY,
										  HD_JOB_COL_TRACEPARENT,
										  0,
										  HD_JOB_COL_TAGS};
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)];

	for (int i = 0; i < lengthof(columns); i++)
	{
		nulls[i] = true;
		values[i] = 0;
		if (columns[i] != 0)
			values[i] = hd_jobs_table_column(table, columns[i], &nulls[i]);
	}
	values[1] = Int64GetDatum(token);
	values[5] =
		Int32GetDatum(DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1);
	values[6] =
		Int32GetDatum(DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_MAX_ATTEMPTS, NULL)));
	values[10] = TimestampTzGetDatum(expires);
	nulls[1] = nulls[5] = nulls[6] = nulls[10] = false;
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}

static char *
default_worker(void)
{
	return psprintf("pid %d", MyProcPid);
}

/* A worker's name, cut between characters to what a lease can hold. */
static char *
worker_argument(FunctionCallInfo fcinfo, int n)
{
	char *name;

	if (fcinfo->args[n].isnull)
		return default_worker();
	name = text_to_cstring(DatumGetTextPP(fcinfo->args[n].value));
	name[pg_mbcliplen(name, (int) strlen(name), NAMEDATALEN - 1)] = '\0';
	return name;
}

static int64
lease_argument(FunctionCallInfo fcinfo, int n)
{
	if (fcinfo->args[n].isnull)
		return HD_JOB_DEFAULT_LEASE_US;
	return hd_duration_us(DatumGetIntervalP(fcinfo->args[n].value), "lease", HD_JOB_MIN_LEASE_US);
}

static void
kinds_argument(ArrayType *array, HdJobQueues *queues)
{
	char **names = names_of(array, "kinds", &queues->nkinds);

	queues->kinds = palloc(sizeof(uint32) * Max(queues->nkinds, 1));
	for (int i = 0; i < queues->nkinds; i++)
	{
		(void) hd_jobs_kind_get(names[i]);
		queues->kinds[i] = hd_jobs_kind_hash(names[i], (int) strlen(names[i]));
	}
	if (queues->nkinds == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("kinds must not be empty"),
						errhint("Leave it out to claim every kind.")));
}

static void
claim_into_result(FunctionCallInfo fcinfo, HdJobClaim *claim, int64 lease_us)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ResultRows rows;
	HdJobTable table;

	claim->hold.now = hd_clock_now();
	claim->hold.expires = claim->hold.now + lease_us;
	InitMaterializedSRF(fcinfo, 0);
	rows.store = rsinfo->setResult;
	rows.desc = rsinfo->setDesc;
	hd_jobs_table_open(&table, false);
	(void) hd_jobs_claim_run(&table, claim, emit, &rows);
	hd_jobs_table_close(&table);
}

/*
 * hd_jobs_sql_claim
 *		SQL: job_claim(queues, batch, worker, lease, kinds, session_bound).
 */
Datum
hd_jobs_sql_claim(PG_FUNCTION_ARGS)
{
	HdJobClaim claim = {0};
	int64 lease_us;

	hd_jobs_claim_check();
	claim.batch = PG_ARGISNULL(1) ? 1 : PG_GETARG_INT32(1);
	if (claim.batch < 1 || claim.batch > MAX_BATCH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("batch must be between 1 and %d", MAX_BATCH)));
	claim.hold.worker = worker_argument(fcinfo, 2);
	lease_us = lease_argument(fcinfo, 3);
	if (!PG_ARGISNULL(4))
		kinds_argument(PG_GETARG_ARRAYTYPE_P(4), &claim.queues);
	claim.hold.bound = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	hd_jobs_claim_queues(PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0), &claim.queues);
	claim_into_result(fcinfo, &claim, lease_us);
	return (Datum) 0;
}

/*
 * hd_jobs_sql_next
 *		SQL: job_next(id, token, result, queues, lease): complete one job and
 *		claim the next.  A stale token completes nothing, and still claims.
 */
Datum
hd_jobs_sql_next(PG_FUNCTION_ARGS)
{
	HdJobClaim claim = {0};
	HdJobTable table;
	int64 lease_us;

	hd_jobs_claim_check();
	hd_require_arg(fcinfo, 0, "id");
	hd_require_arg(fcinfo, 1, "token");
	lease_us = lease_argument(fcinfo, 4);
	hd_jobs_claim_queues(PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3), &claim.queues);
	hd_jobs_table_open(&table, false);
	(void) hd_jobs_finish_complete(&table, PG_GETARG_INT64(0), PG_GETARG_INT64(1),
								   PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	hd_jobs_table_close(&table);
	claim.batch = 1;
	claim.hold.worker = default_worker();
	claim_into_result(fcinfo, &claim, lease_us);
	return (Datum) 0;
}
