/*-------------------------------------------------------------------------
 * finish.c
 *		Ending claims: completed, failed, snoozed, given back; and jobs that
 *		end without one: cancelled, expired.
 *
 * Model: every end starts by taking the job's entry into this transaction's
 * hands (tx.h), which fails for a stale token: that is the fence.  Only then
 * is the row touched.  After the ledger was lost (a machine that crashed, a
 * promoted standby) a job has no lease; a token of an earlier boot is then
 * held against the fence in the row, which every rescue, retry and snooze
 * raises.
 *
 * Ended jobs leave _job: into _job_history when completed or cancelled,
 * into _job_dead when they may be retried by hand.  Each failed attempt
 * leaves a row in _job_attempt.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/finish.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/errors.h"
#include "core/settings.h"
#include "core/spi.h"
#include "jobs/backoff.h"
#include "jobs/cancel.h"
#include "jobs/history.h"
#include "jobs/hold.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/place.h"
#include "jobs/scan.h"
#include "jobs/tx.h"
#include "jobs/unique.h"
#include "jobs/watch.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Errors are cut to this many bytes before they are stored. */
#define MAX_ERROR 8192

#define CANCELLED_ERROR "the job was cancelled while it ran"

/* A job whose end is in this transaction's hands; its row is in the table's slot. */
typedef struct Ending
{
	int32 index;
	ItemPointerData tid;
	bool leased;
	HdJobLease lease;
} Ending;

/*
 * Statements.
 */

static HdSpiPlan dead_insert = {
	.sql =
		"INSERT INTO hotdash._job_dead (id, kind, queue, tenant, reason, priority, attempt, "
		"max_attempts, enqueued_at, died_at, last_error, unique_key, timeout_ms, backoff, tags, "
		"payload, order_key, batch, flow) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15, $16, $17, $18, $19)",
	.nargs = 19,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT2OID, INT2OID, INT2OID,
				 TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTARRAYOID,
				 JSONBOID, TEXTOID, INT8OID, TEXTOID},
};

static HdSpiPlan retry_update = {
	.sql = "UPDATE hotdash._job SET attempt = $2, at = $3, last_error = coalesce($4, last_error), "
		   "fence = fence + 1, shelf = true, line = coalesce(line, $5), "
		   "line_at = CASE WHEN line IS NULL OR line_at IS NOT NULL THEN $3 END WHERE id = $1",
	.nargs = 5,
	.argtypes = {INT8OID, INT2OID, TIMESTAMPTZOID, TEXTOID, INT8OID},
};

static void
run(HdSpiPlan *plan, Datum *values, const bool *isnull)
{
	char nulls[HD_SPI_MAX_ARGS];
	HdSpi spi;

	for (int i = 0; i < plan->nargs; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	hd_spi_begin(&spi);

	/* The job is in our hands, so its rows may be younger than the transaction's snapshot. */
	hd_spi_run_latest(plan, values, nulls);
	if (SPI_processed != 1 && plan == &retry_update)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not change the job because its row was changed by hand")));
	hd_spi_end(&spi);
}

/*
 * Taking hold of a job.
 */

/* The row of an entry that we hold, into the slot; false when it is gone. */
static bool
fetch_row(HdJobTable *table, Ending *end, int64 id)
{
	end->tid = hd_jobs_entry(end->index)->tid;
	return hd_jobs_table_fetch(table, &end->tid, id) || hd_jobs_table_find(table, id, &end->tid);
}

/* A job of another tenant than this session is bound to, which it must not touch. */
static bool
is_foreign(HdJobTable *table, int64 id)
{
	ItemPointerData tid;

	return hd_settings_bound_tenant() != NULL && hd_jobs_table_find(table, id, &tid) &&
		   !hd_jobs_table_of_tenant(table);
}

/* A job without a lease, under a token from before the ledger was lost. */
static bool
begin_orphan(HdJobTable *table, int64 id, int64 token, Ending *end)
{
	ItemPointerData tid;
	HdJobFound found;
	int32 fence;

	if (!hd_jobs_tx_from_earlier_boot(token) || !hd_jobs_table_find(table, id, &tid) ||
		!hd_jobs_table_of_tenant(table))
		return false;
	fence = DatumGetInt32(hd_jobs_table_column(table, HD_JOB_COL_FENCE, NULL));
	if (HD_JOB_TOKEN_FENCE(token) != (uint16) fence)
		return false;
	end->index = hd_jobs_tx_adopt(id, hd_jobs_scan_row(table, &found), &tid);
	if (end->index < 0)
		return false;
	end->leased = false;

	/* Between the two looks somebody may have claimed, failed and released it. */
	if (fetch_row(table, end, id) &&
		DatumGetInt32(hd_jobs_table_column(table, HD_JOB_COL_FENCE, NULL)) == fence)
		return true;
	hd_jobs_tx_let_go(end->index);
	return false;
}

/*
 * Take hold of a claimed job.  False when the token is stale: then nothing
 * was changed, and it is counted.
 */
static bool
begin_end(HdJobTable *table, int64 id, int64 token, Ending *end)
{
	memset(end, 0, sizeof(Ending));
	end->index = is_foreign(table, id) ? -1 : hd_jobs_tx_end(id, token);
	if (end->index >= 0)
	{
		end->leased = hd_jobs_tx_lease(end->index, &end->lease);
		if (fetch_row(table, end, id))
			return true;
	}
	else if (begin_orphan(table, id, token, end))
		return true;
	hd_counters_add(HD_COUNTER_JOBS_LOST, 1);
	return false;
}

static void
copy_column(HdJobTable *table, HdJobColumn column, Datum *value, bool *isnull)
{
	*value = hd_jobs_table_column(table, column, isnull);
}

/* Columns 1 to 4 of the statements that file an ended job. */
static void
copy_identity(HdJobTable *table, Datum *values, bool *nulls)
{
	copy_column(table, HD_JOB_COL_ID, &values[0], &nulls[0]);
	copy_column(table, HD_JOB_COL_KIND, &values[1], &nulls[1]);
	copy_column(table, HD_JOB_COL_QUEUE, &values[2], &nulls[2]);
	copy_column(table, HD_JOB_COL_TENANT, &values[3], &nulls[3]);
}

/* The row as it is now, when somebody marked it as awaited; false for any other change. */
static bool
find_marked(HdJobTable *table, Ending *end)
{
	int64 id = DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL));
	int32 fence = DatumGetInt32(hd_jobs_table_column(table, HD_JOB_COL_FENCE, NULL));
	ItemPointerData before = end->tid;

	return hd_jobs_table_find(table, id, &end->tid) && !ItemPointerEquals(&before, &end->tid) &&
		   DatumGetInt32(hd_jobs_table_column(table, HD_JOB_COL_FENCE, NULL)) == fence;
}

static void
delete_row(HdJobTable *table, Ending *end, HdJobOutcome outcome)
{
	hd_jobs_unique_free(table);
	while (!hd_jobs_table_delete(table, &end->tid))
		if (!find_marked(table, end))
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("could not end the job because its row was changed by hand")));
	hd_jobs_after_note(table, outcome);
}

/* What the attempt took, into two columns. */
static void
put_cost(const HdJobTable *table, Datum *values, bool *nulls)
{
	nulls[0] = nulls[1] = table->cost == NULL;
	if (table->cost == NULL)
		return;
	values[0] = Int64GetDatum(table->cost->cpu_us);
	values[1] = Int64GetDatum(table->cost->wal_bytes);
}

/*
 * Into the history: state is "completed" or "cancelled".  The row counts
 * attempts that were charged; one that just ended (this_attempt 1) is not
 * among them yet.
 */
static void
file_history(HdJobTable *table, const Ending *end, const char *state, int this_attempt,
			 Jsonb *result)
{
	static const struct
	{
		HdJobHistoryColumn to;
		HdJobColumn from;
	} copied[] = {
		{HD_JOB_HISTORY_ID, HD_JOB_COL_ID},
		{HD_JOB_HISTORY_ENQUEUED_AT, HD_JOB_COL_ENQUEUED_AT},
		{HD_JOB_HISTORY_PRIORITY, HD_JOB_COL_PRIORITY},
		{HD_JOB_HISTORY_ATTEMPT, HD_JOB_COL_ATTEMPT},
		{HD_JOB_HISTORY_MAX_ATTEMPTS, HD_JOB_COL_MAX_ATTEMPTS},
		{HD_JOB_HISTORY_KIND, HD_JOB_COL_KIND},
		{HD_JOB_HISTORY_QUEUE, HD_JOB_COL_QUEUE},
		{HD_JOB_HISTORY_TENANT, HD_JOB_COL_TENANT},
		{HD_JOB_HISTORY_UNIQUE_KEY, HD_JOB_COL_UNIQUE_KEY},
		{HD_JOB_HISTORY_ORDER_KEY, HD_JOB_COL_ORDER_KEY},
		{HD_JOB_HISTORY_TAGS, HD_JOB_COL_TAGS},
	};
	Datum values[HD_JOB_HISTORY_COUNT] = {0};
	bool nulls[HD_JOB_HISTORY_COUNT] = {false};

	for (int i = 0; i < lengthof(copied); i++)
		copy_column(table, copied[i].from, &values[copied[i].to - 1], &nulls[copied[i].to - 1]);

	values[HD_JOB_HISTORY_ATTEMPT - 1] =
		Int16GetDatum(DatumGetInt16(values[HD_JOB_HISTORY_ATTEMPT - 1]) + this_attempt);
	values[HD_JOB_HISTORY_STATE - 1] = CStringGetTextDatum(state);
	values[HD_JOB_HISTORY_FINISHED_AT - 1] = TimestampTzGetDatum(hd_clock_now());
	values[HD_JOB_HISTORY_STARTED_AT - 1] = TimestampTzGetDatum(end->lease.started);
	values[HD_JOB_HISTORY_WORKER - 1] = CStringGetTextDatum(end->lease.worker);
	nulls[HD_JOB_HISTORY_STARTED_AT - 1] = nulls[HD_JOB_HISTORY_WORKER - 1] = !end->leased;
	values[HD_JOB_HISTORY_RESULT - 1] = JsonbPGetDatum(result);
	nulls[HD_JOB_HISTORY_RESULT - 1] = result == NULL;
	put_cost(table, &values[HD_JOB_HISTORY_CPU - 1], &nulls[HD_JOB_HISTORY_CPU - 1]);
	hd_jobs_history_file(table, values[HD_JOB_HISTORY_KIND - 1], values, nulls);
}

static void
file_dead(HdJobTable *table, const char *reason, int attempt, const char *error)
{
	Datum values[19];
	bool nulls[19] = {false};

	copy_identity(table, values, nulls);
	values[4] = CStringGetTextDatum(reason);
	copy_column(table, HD_JOB_COL_PRIORITY, &values[5], &nulls[5]);
	values[6] = Int16GetDatum(attempt);
	copy_column(table, HD_JOB_COL_MAX_ATTEMPTS, &values[7], &nulls[7]);
	copy_column(table, HD_JOB_COL_ENQUEUED_AT, &values[8], &nulls[8]);
	values[9] = TimestampTzGetDatum(hd_clock_now());
	copy_column(table, HD_JOB_COL_LAST_ERROR, &values[10], &nulls[10]);
	if (error != NULL)
	{
		values[10] = CStringGetTextDatum(error);
		nulls[10] = false;
	}
	copy_column(table, HD_JOB_COL_UNIQUE_KEY, &values[11], &nulls[11]);
	copy_column(table, HD_JOB_COL_TIMEOUT, &values[12], &nulls[12]);
	copy_column(table, HD_JOB_COL_BACKOFF, &values[13], &nulls[13]);
	copy_column(table, HD_JOB_COL_TAGS, &values[14], &nulls[14]);
	copy_column(table, HD_JOB_COL_PAYLOAD, &values[15], &nulls[15]);
	copy_column(table, HD_JOB_COL_ORDER_KEY, &values[16], &nulls[16]);
	copy_column(table, HD_JOB_COL_BATCH, &values[17], &nulls[17]);
	copy_column(table, HD_JOB_COL_FLOW, &values[18], &nulls[18]);
	run(&dead_insert, values, nulls);
	hd_jobs_watch_died(table);
}

static void
file_attempt(HdJobTable *table, const Ending *end, int attempt, const char *outcome,
			 const char *error)
{
	Datum values[HD_JOB_ATTEMPT_COUNT] = {0};
	bool nulls[HD_JOB_ATTEMPT_COUNT] = {false};

	copy_column(table, HD_JOB_COL_ID, &values[HD_JOB_ATTEMPT_JOB - 1],
				&nulls[HD_JOB_ATTEMPT_JOB - 1]);
	copy_column(table, HD_JOB_COL_TENANT, &values[HD_JOB_ATTEMPT_TENANT - 1],
				&nulls[HD_JOB_ATTEMPT_TENANT - 1]);
	copy_column(table, HD_JOB_COL_TRACEPARENT, &values[HD_JOB_ATTEMPT_TRACEPARENT - 1],
				&nulls[HD_JOB_ATTEMPT_TRACEPARENT - 1]);
	values[HD_JOB_ATTEMPT_NUMBER - 1] = Int16GetDatum(attempt);
	values[HD_JOB_ATTEMPT_OUTCOME - 1] = CStringGetTextDatum(outcome);
	values[HD_JOB_ATTEMPT_STARTED_AT - 1] = TimestampTzGetDatum(end->lease.started);
	values[HD_JOB_ATTEMPT_WORKER - 1] = CStringGetTextDatum(end->lease.worker);
	nulls[HD_JOB_ATTEMPT_STARTED_AT - 1] = nulls[HD_JOB_ATTEMPT_WORKER - 1] = !end->leased;
	values[HD_JOB_ATTEMPT_FINISHED_AT - 1] = TimestampTzGetDatum(hd_clock_now());
	values[HD_JOB_ATTEMPT_ERROR - 1] = CStringGetTextDatum(error);
	put_cost(table, &values[HD_JOB_ATTEMPT_CPU - 1], &nulls[HD_JOB_ATTEMPT_CPU - 1]);
	hd_jobs_history_file_attempt(table, hd_jobs_table_column(table, HD_JOB_COL_KIND, NULL), values,
								 nulls);
}

/* A job that expires before another time is due then, to be found dead; a parked one stays parked. */
static TimestampTz
within_expiry(HdJobTable *table, TimestampTz at)
{
	bool never;
	Datum expires = hd_jobs_table_column(table, HD_JOB_COL_EXPIRES_AT, &never);

	if (never || at == DT_NOEND)
		return at;
	return Min(at, DatumGetTimestampTz(expires));
}

/* Schedule the row for another time; error NULL keeps the last one. */
static void
postpone(HdJobTable *table, int attempt, TimestampTz at, const char *error)
{
	HdJobFound found;
	const HdJobPlace *place = hd_jobs_scan_row(table, &found);
	Datum values[5];
	bool nulls[5] = {false, false, false, error == NULL, false};

	at = within_expiry(table, at);
	values[0] = Int64GetDatum(found.id);
	values[1] = Int16GetDatum(attempt);
	values[2] = TimestampTzGetDatum(at);
	values[3] = (error != NULL) ? CStringGetTextDatum(error) : 0;
	values[4] = Int64GetDatum(place->lane);
	run(&retry_update, values, nulls);
	if (hd_settings_preloaded())
		hd_jobs_tx_wait(place, found.id, at, true);
}

/*
 * Completing.
 */

bool
hd_jobs_finish_complete(HdJobTable *table, int64 id, int64 token, Jsonb *result)
{
	Ending end;

	if (!begin_end(table, id, token, &end))
		return false;
	file_history(table, &end, "completed", 1, result);
	delete_row(table, &end, HD_JOB_COMPLETED);
	return true;
}

/*
 * Failing.
 */

static int64
policy_delay(HdJobTable *table, int attempt)
{
	HdBackoff backoff;
	bool isnull;
	Datum own = hd_jobs_table_column(table, HD_JOB_COL_BACKOFF, &isnull);
	const HdJobKind *kind;

	if (!isnull)
	{
		hd_jobs_backoff_parse(DatumGetJsonbP(own), &backoff);
		return hd_jobs_backoff_delay(&backoff, attempt);
	}
	kind = hd_jobs_kind_get_missing_ok(hd_jobs_table_text(table, HD_JOB_COL_KIND));
	if (kind != NULL)
		return hd_jobs_backoff_delay(&kind->backoff, attempt);
	hd_jobs_backoff_default(&backoff);
	return hd_jobs_backoff_delay(&backoff, attempt);
}

/* End a job that was to be cancelled while it ran, with the attempt on record. */
static const char *
end_cancelled(HdJobTable *table, Ending *end, const char *outcome, const char *error)
{
	int attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1;

	file_attempt(table, end, attempt, outcome, error);
	file_history(table, end, "cancelled", 1, NULL);
	delete_row(table, end, HD_JOB_CANCELLED);
	return "cancelled";
}

/* Charge an attempt to a job that we hold. */
static const char *
charge_attempt(HdJobTable *table, Ending *end, const char *outcome, const char *error,
			   int64 retry_us, bool final)
{
	int attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1;
	int max = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_MAX_ATTEMPTS, NULL));

	if (end->lease.cancelled)
		return end_cancelled(table, end, outcome, error);
	file_attempt(table, end, attempt, outcome, error);
	if (final || attempt >= max)
	{
		file_dead(table, final ? "final" : "attempts", attempt, error);
		delete_row(table, end, HD_JOB_DEAD);
		return "dead";
	}
	if (retry_us < 0)
		retry_us = policy_delay(table, attempt);
	postpone(table, attempt, hd_clock_now() + retry_us, error);
	return "scheduled";
}

/* Errors come from anywhere: cut them, and keep them readable. */
static char *
sanitise(const char *error)
{
	int length = (int) strlen(error);
	char *copy;

	if (length > MAX_ERROR)
		length = pg_mbcliplen(error, length, MAX_ERROR);
	copy = pnstrdup(error, length);
	for (char *c = copy; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' && *c != '\n' && *c != '\t')
			*c = ' ';
	return copy;
}

const char *
hd_jobs_finish_failed(HdJobTable *table, int64 id, int64 token, const char *error, int64 retry_us,
					  bool final)
{
	Ending end;

	if (!begin_end(table, id, token, &end))
		return "lost";
	return charge_attempt(table, &end, "failed", sanitise(error), retry_us, final);
}

void
hd_jobs_finish_stopped(HdJobTable *table, int64 id, int64 token)
{
	Ending end;

	if (begin_end(table, id, token, &end))
		(void) end_cancelled(table, &end, "cancelled", CANCELLED_ERROR);
}

void
hd_jobs_finish_expired(HdJobTable *table, int32 index, ItemPointer tid)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	Ending end = {.index = index, .tid = *tid};
	int attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL));

	/* Claimed a moment ago and without a token: end that claim. */
	if (hd_jobs_tx_end(entry->id, entry->token) != index)
		elog(ERROR, "claim of job " INT64_FORMAT " is not ours", entry->id);
	file_dead(table, "expired", attempt, NULL);
	delete_row(table, &end, HD_JOB_DEAD);
}

/* End a claim whose lease has run out, its row in the slot. */
static void
rescue(HdJobTable *table, Ending *end)
{
	const char *error = end->lease.crashed ? "the server or the session stopped while the job ran"
										   : "the lease ran out";
	HdJobLostAttempt lost = {
		.token = hd_jobs_entry(end->index)->token,
		.attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1,
		.started = end->leased ? end->lease.started : DT_NOBEGIN,
		.worker = end->lease.worker,
		.error = error,
	};

	if (end->lease.cancelled)
		lost.state = end_cancelled(table, end, "cancelled", CANCELLED_ERROR);
	else
		lost.state =
			charge_attempt(table, end, end->lease.crashed ? "crashed" : "lost", error, -1, false);
	hd_jobs_watch_lost(table, &lost);
}

int
hd_jobs_finish_rescue(int n)
{
	int32 *taken = palloc(sizeof(int32) * n);
	HdJobTable table;
	int ntaken;
	int busy = 0;

	/* The lock on the table keeps DROP EXTENSION out from before the first entry is ours. */
	hd_jobs_table_open(&table, false);
	ntaken = hd_jobs_tx_expired(hd_clock_now(), taken, n);
	for (int i = 0; i < ntaken; i++)
	{
		Ending end = {.index = taken[i]};

		CHECK_FOR_INTERRUPTS();
		end.leased = hd_jobs_tx_lease(end.index, &end.lease);
		if (!fetch_row(&table, &end, hd_jobs_entry(end.index)->id))
			continue;

		/* Somebody is making another job wait for it: not to be waited for here, but next time. */
		if (!hd_jobs_table_try_lock(&table, &end.tid))
		{
			hd_jobs_tx_let_go(end.index);
			busy++;
			continue;
		}
		rescue(&table, &end);
		hd_counters_add(HD_COUNTER_JOBS_RESCUED, 1);
	}
	hd_jobs_table_close(&table);
	pfree(taken);
	return ntaken - busy;
}

/*
 * Snoozing and giving back: the attempt is not charged.
 */

bool
hd_jobs_finish_snooze(HdJobTable *table, int64 id, int64 token, int64 delay_us)
{
	Ending end;
	int attempt;

	if (!begin_end(table, id, token, &end))
		return false;
	if (end.lease.cancelled)
	{
		(void) end_cancelled(table, &end, "cancelled", CANCELLED_ERROR);
		return true;
	}
	attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL));
	postpone(table, attempt, hd_clock_now() + delay_us, NULL);
	return true;
}

bool
hd_jobs_finish_release(HdJobTable *table, int64 id, int64 token)
{
	Ending end;
	TimestampTz at;
	int attempt;

	if (!begin_end(table, id, token, &end))
		return false;
	if (end.lease.cancelled)
	{
		(void) end_cancelled(table, &end, "cancelled", CANCELLED_ERROR);
		return true;
	}
	if (end.leased)
	{
		hd_jobs_tx_release(end.index);
		return true;
	}

	/* Its claim is forgotten: nothing leads back to its lane but its time. */
	at = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_AT, NULL));
	attempt = DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL));
	postpone(table, attempt, at, NULL);
	return true;
}

/*
 * Jobs that are not claimed.
 */

static int
held(HdJobTable *table)
{
	bool isnull;
	Datum hold = hd_jobs_table_column(table, HD_JOB_COL_HOLD, &isnull);

	return isnull ? 0 : DatumGetInt16(hold);
}

/*
 * Held jobs are in no list, so nobody but the row's lock keeps others away.
 * Delete the row, which stays in the slot; false when it is not held (any more).
 */
static bool
delete_held(HdJobTable *table, int64 id)
{
	ItemPointerData tid;

	for (;;)
	{
		if (!hd_jobs_table_find(table, id, &tid) || !hd_jobs_table_of_tenant(table) ||
			held(table) == 0)
			return false;
		if (hd_jobs_table_delete(table, &tid))
			break;
		CHECK_FOR_INTERRUPTS();
	}

	/* A second look in the same command must not find it. */
	CommandCounterIncrement();
	return true;
}

bool
hd_jobs_finish_held(HdJobTable *table, int64 id, HdJobOutcome outcome, Jsonb *result)
{
	Ending end = {.index = -1};
	bool expired = outcome == HD_JOB_DEAD;

	if (!delete_held(table, id))
		return false;
	hd_jobs_unique_free(table);
	if (expired)
		file_dead(table, "expired",
				  DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)), NULL);
	else
		file_history(table, &end, "cancelled", 0, result);
	hd_jobs_after_note(table, outcome);
	hd_jobs_hold_forget(id, held(table), expired);
	return true;
}

/*
 * Take hold of a waiting job, its row in the slot; false when it is running
 * (then *running is set), ending or gone.
 */
static bool
begin_waiting(HdJobTable *table, int64 id, Ending *end, bool *running)
{
	HdJobSeizure seizure = HD_JOB_SEIZED;
	ItemPointerData tid;
	HdJobFound found;

	*running = false;
	memset(end, 0, sizeof(Ending));
	if (!hd_jobs_table_find(table, id, &tid) || !hd_jobs_table_of_tenant(table) || held(table) != 0)
		return false;
	end->tid = tid;
	if (hd_settings_preloaded())
		seizure = hd_jobs_tx_seize(id, hd_jobs_scan_row(table, &found), &end->index);
	*running = seizure == HD_JOB_RUNNING;
	if (seizure != HD_JOB_SEIZED)
		return false;

	/* Look again, now that nobody else can end it. */
	return hd_jobs_table_find(table, id, &end->tid);
}

/* As completed or as cancelled.  *running: as begin_waiting says. */
static bool
end_waiting(HdJobTable *table, int64 id, HdJobOutcome outcome, bool *running)
{
	Ending end;

	*running = false;
	if (hd_jobs_finish_held(table, id, HD_JOB_CANCELLED, NULL))
		return true;
	if (!begin_waiting(table, id, &end, running))
		return false;
	file_history(table, &end, (outcome == HD_JOB_COMPLETED) ? "completed" : "cancelled", 0, NULL);
	delete_row(table, &end, outcome);
	return true;
}

bool
hd_jobs_finish_cancel_waiting(HdJobTable *table, int64 id)
{
	bool running;

	return end_waiting(table, id, HD_JOB_CANCELLED, &running);
}

bool
hd_jobs_finish_cancel(HdJobTable *table, int64 id)
{
	bool running;

	return end_waiting(table, id, HD_JOB_CANCELLED, &running) ||
		   (running && hd_jobs_cancel_request(id));
}

bool
hd_jobs_finish_done(HdJobTable *table, int64 id)
{
	bool running;

	return end_waiting(table, id, HD_JOB_COMPLETED, &running) ||
		   (running && hd_jobs_cancel_request(id));
}

bool
hd_jobs_finish_reschedule(HdJobTable *table, int64 id, TimestampTz at)
{
	Ending end;
	bool running;

	if (!begin_waiting(table, id, &end, &running))
		return false;
	postpone(table, DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)), at, NULL);
	return true;
}

bool
hd_jobs_finish_expire_waiting(HdJobTable *table, int64 id)
{
	TimestampTz expires;
	Ending end;
	bool running;
	bool never;

	if (!begin_waiting(table, id, &end, &running))
		return false;
	expires = DatumGetTimestampTz(hd_jobs_table_column(table, HD_JOB_COL_EXPIRES_AT, &never));
	if (never || expires > hd_clock_now())
	{
		if (end.index >= 0)
			hd_jobs_tx_let_go(end.index);
		return false;
	}
	file_dead(table, "expired",
			  DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)), NULL);
	delete_row(table, &end, HD_JOB_DEAD);
	return true;
}
