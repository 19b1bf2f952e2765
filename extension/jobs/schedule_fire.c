/*-------------------------------------------------------------------------
 * schedule_fire.c
 *		Enqueueing the jobs of schedules that are due.
 *
 * Model: take some due rows, locked, passing over those that another session
 * has.  For each, in a subtransaction, find the times since next_at that have
 * come, enqueue for those that its policy wants, and move next_at behind now.
 * The policy: the latest time always counts, except under missed => 'skip'
 * when it is longer ago than the grace; the ones before it count under 'all'
 * alone, the newest of them up to a bound.
 *
 * Locking: the row of the schedule, before whatever enqueueing takes.
 *
 * Caveats: each fire makes a dead version of the row, so a schedule for every
 * second under a snapshot that is held for an hour is found by passing 3,600
 * of them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/schedule.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/instance.h"
#include "core/spi.h"
#include "jobs/cron.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define BATCH 50

/* A due row that others have locked is looked at again after that. */
#define LOCKED_US USECS_PER_SEC

/* A schedule whose next time cannot be found (its zone is gone) is tried again after that. */
#define BROKEN_US USECS_PER_HOUR

/* A due schedule, and what came of it; each lives in the batch's memory context. */
typedef struct Due
{
	char *tenant;
	char *name;
	char *cron;
	char *time_zone;
	char *kind;
	bool missed_skip;
	bool missed_all;
	bool overlap_skip;
	TimestampTz next_at;
	int64 last_job; /* 0: none yet */
	Jsonb *options; /* NULL: none */
	Jsonb *payload; /* NULL: none */

	/* Times to enqueue for, in order. */
	TimestampTz *times;
	int ntimes;

	/* For the row; DT_NOBEGIN and 0 leave it as it is. */
	TimestampTz new_next;
	TimestampTz last_at;
	TimestampTz skipped_at;
	int64 new_job;
	char *error;
} Due;

/* When the worker's task looked last, the next time there was, by hd_clock_now. */
static TimestampTz next_seen = DT_NOEND;

static HdSpiPlan due_plan = {
	.sql = "SELECT tenant, name, cron, time_zone, kind, missed = 'skip', missed = 'all', "
		   "overlap = 'skip', next_at, coalesce(last_job_id, 0), options, payload "
		   "FROM hotdash._schedule WHERE next_at <= $1 AND hotdash._tenant_sees(tenant) "
		   "ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
};

static HdSpiPlan alive_plan = {
	.sql = "SELECT FROM hotdash._job WHERE id = $1",
	.nargs = 1,
	.argtypes = {INT8OID},
};

static HdSpiPlan enqueue_plan = {
	.sql = "SELECT hotdash.job_enqueue($1, "
		   "coalesce($2, '{}') || jsonb_build_object('scheduled_for', "
		   "to_char($3 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), "
		   "queue => $4, priority => $5, max_attempts => $6, order_key => $7, tenant => $8, "
		   "tags => array_append($9, 'schedule:' || $10), "
		   "options => coalesce($11, '{}') || CASE WHEN $12 IS NULL THEN '{}'::jsonb "
		   "ELSE jsonb_build_object('expires_at', $12) END)",
	.nargs = 12,
	.argtypes = {TEXTOID, JSONBOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID,
				 TEXTARRAYOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
};

static HdSpiPlan record_plan = {
	.sql = "UPDATE hotdash._schedule SET next_at = $3, last_at = coalesce($4, last_at), "
		   "last_job_id = coalesce($5, last_job_id), skipped_at = coalesce($6, skipped_at), "
		   "failed_at = coalesce($7, failed_at), last_error = $8 "
		   "WHERE tenant = $1 AND name = $2",
	.nargs = 8,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID,
				 TIMESTAMPTZOID, TEXTOID},
};

static HdSpiPlan next_plan = {
	.sql = "SELECT least((SELECT min(next_at) FROM hotdash._schedule WHERE next_at > $1), "
		   "CASE WHEN EXISTS (SELECT FROM hotdash._schedule WHERE next_at <= $1 "
		   "AND hotdash._tenant_sees(tenant)) THEN $2 END)",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID},
};

/*
 * Taking the due rows.
 */

static Datum
column(HeapTuple tuple, int n, bool *isnull)
{
	return SPI_getbinval(tuple, SPI_tuptable->tupdesc, n, isnull);
}

static char *
text_column(HeapTuple tuple, int n)
{
	bool isnull;

	return TextDatumGetCString(column(tuple, n, &isnull));
}

static Jsonb *
json_column(HeapTuple tuple, int n)
{
	bool isnull;
	Datum value = column(tuple, n, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static Due *
read_due(HeapTuple tuple)
{
	Due *due = palloc0(sizeof(Due));
	bool isnull;

	due->tenant = text_column(tuple, 1);
	due->name = text_column(tuple, 2);
	due->cron = text_column(tuple, 3);
	due->time_zone = text_column(tuple, 4);
	due->kind = text_column(tuple, 5);
	due->missed_skip = DatumGetBool(column(tuple, 6, &isnull));
	due->missed_all = DatumGetBool(column(tuple, 7, &isnull));
	due->overlap_skip = DatumGetBool(column(tuple, 8, &isnull));
	due->next_at = DatumGetTimestampTz(column(tuple, 9, &isnull));
	due->last_job = DatumGetInt64(column(tuple, 10, &isnull));
	due->options = json_column(tuple, 11);
	due->payload = json_column(tuple, 12);
	due->new_next = due->last_at = due->skipped_at = DT_NOBEGIN;
	return due;
}

/* Lock and read up to BATCH due rows into context. */
static int
take_due(TimestampTz now, MemoryContext context, Due **dues)
{
	Datum values[2] = {TimestampTzGetDatum(now), Int64GetDatum(BATCH)};
	MemoryContext caller;
	HdSpi spi;
	int n;

	hd_spi_begin(&spi);
	hd_spi_run(&due_plan, values, NULL, false, 0);
	n = (int) SPI_processed;
	caller = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		dues[i] = read_due(SPI_tuptable->vals[i]);
	MemoryContextSwitchTo(caller);
	hd_spi_end(&spi);
	return n;
}

/*
 * Which times to enqueue for.
 */

/* All times up to the latest, the newest up to a bound. */
static void
all_times(Due *due, const HdCron *cron, const pg_tz *zone, TimestampTz latest, int bound)
{
	TimestampTz before = due->next_at - 1;
	TimestampTz at = latest;

	due->times = palloc(sizeof(TimestampTz) * bound);
	for (due->ntimes = 0; due->ntimes < bound; due->ntimes++)
	{
		due->times[bound - 1 - due->ntimes] = at;
		if (!hd_jobs_cron_last(cron, zone, before, at - 1, &at))
		{
			due->ntimes++;
			break;
		}
	}
	due->times += bound - due->ntimes;
	if (at < due->times[0])
		due->skipped_at = at;
}

/* Fill times, skipped_at and new_next. */
static void
choose_times(Due *due, const HdScheduleOptions *options, TimestampTz now)
{
	pg_tz *zone = hd_jobs_cron_zone(due->time_zone);
	TimestampTz latest;
	HdCron cron;

	hd_jobs_cron_parse(due->cron, &cron);
	if (!hd_jobs_cron_next(&cron, zone, now, &due->new_next))
		due->new_next = DT_NOEND;
	if (!hd_jobs_cron_last(&cron, zone, due->next_at - 1, now, &latest))
		return;

	if (due->missed_skip && now - latest > options->grace_us)
		due->skipped_at = latest;
	else if (due->missed_all && !due->overlap_skip)
		all_times(due, &cron, zone, latest, options->max_missed);
	else
	{
		due->times = palloc(sizeof(TimestampTz));
		due->times[due->ntimes++] = latest;
		if (!hd_jobs_cron_last(&cron, zone, due->next_at - 1, latest - 1, &due->skipped_at))
			due->skipped_at = DT_NOBEGIN;
	}
}

/*
 * Enqueueing.
 */

static bool
is_alive(int64 job)
{
	Datum values[1] = {Int64GetDatum(job)};
	bool alive;
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&alive_plan, values, NULL, false, 1);
	alive = SPI_processed > 0;
	hd_spi_end(&spi);
	return alive;
}

static void
set_text(Datum *value, char *isnull, const char *text)
{
	*isnull = (text == NULL) ? 'n' : ' ';
	*value = (text == NULL) ? 0 : CStringGetTextDatum(text);
}

static void
enqueue_at(Due *due, const HdScheduleOptions *options, TimestampTz at)
{
	Datum values[12] = {0};
	char nulls[13] = "            ";
	bool isnull;
	HdSpi spi;

	set_text(&values[0], &nulls[0], due->kind);
	values[1] = JsonbPGetDatum(due->payload);
	nulls[1] = (due->payload == NULL) ? 'n' : ' ';
	values[2] = TimestampTzGetDatum(at);
	set_text(&values[3], &nulls[3], options->queue);
	values[4] = Int32GetDatum(options->priority);
	nulls[4] = (options->priority < 0) ? 'n' : ' ';
	values[5] = Int32GetDatum(options->max_attempts);
	nulls[5] = (options->max_attempts == 0) ? 'n' : ' ';
	set_text(&values[6], &nulls[6], options->order_key);
	set_text(&values[7], &nulls[7], due->tenant);
	values[8] = options->tags;
	nulls[8] = (options->tags == 0) ? 'n' : ' ';
	set_text(&values[9], &nulls[9], due->name);
	values[10] = JsonbPGetDatum(options->of_job);
	nulls[10] = (options->of_job == NULL) ? 'n' : ' ';
	values[11] = TimestampTzGetDatum(at + options->expires_us);
	nulls[11] = (options->expires_us == 0) ? 'n' : ' ';

	hd_spi_begin(&spi);
	hd_spi_run(&enqueue_plan, values, nulls, false, 0);
	due->new_job =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	hd_spi_end(&spi);
	due->last_at = at;
}

static void
enqueue_due(Due *due, TimestampTz now)
{
	HdScheduleOptions options;

	hd_jobs_schedule_options(due->options, &options);
	choose_times(due, &options, now);
	if (due->ntimes > 0 && due->overlap_skip && due->last_job != 0 && is_alive(due->last_job))
	{
		due->skipped_at = due->times[due->ntimes - 1];
		due->ntimes = 0;
	}
	for (int i = 0; i < due->ntimes; i++)
	{
		CHECK_FOR_INTERRUPTS();
		enqueue_at(due, &options, due->times[i]);
	}
}

/* Failures of the server or of this session, which say nothing about the schedule. */
static bool
is_passing(int sqlerrcode)
{
	if (sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return true;
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/* Enqueue; an error that is the schedule's own is kept for its row. */
static void
try_due(Due *due, TimestampTz now, MemoryContext context)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		enqueue_due(due, now);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (is_passing(error->sqlerrcode))
			ReThrowError(error);
		due->error = psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

static void
set_time(Datum *value, char *isnull, TimestampTz at)
{
	*isnull = (at == DT_NOBEGIN) ? 'n' : ' ';
	*value = TimestampTzGetDatum(at);
}

static void
record_due(Due *due, TimestampTz now)
{
	Datum values[8] = {0};
	char nulls[9] = "        ";
	HdSpi spi;

	if (due->new_next == DT_NOBEGIN)
		due->new_next = now + BROKEN_US;
	if (due->error != NULL)
	{
		due->last_at = due->skipped_at = DT_NOBEGIN;
		due->new_job = 0;
	}
	set_text(&values[0], &nulls[0], due->tenant);
	set_text(&values[1], &nulls[1], due->name);
	set_time(&values[2], &nulls[2], due->new_next);
	set_time(&values[3], &nulls[3], due->last_at);
	values[4] = Int64GetDatum(due->new_job);
	nulls[4] = (due->new_job == 0) ? 'n' : ' ';
	set_time(&values[5], &nulls[5], due->skipped_at);
	set_time(&values[6], &nulls[6], (due->error != NULL) ? due->next_at : DT_NOBEGIN);
	set_text(&values[7], &nulls[7], due->error);
	hd_spi_begin(&spi);
	hd_spi_run(&record_plan, values, nulls, false, 0);
	hd_spi_end(&spi);
}

bool
hd_jobs_schedule_fire(void)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash schedules", ALLOCSET_DEFAULT_SIZES);
	TimestampTz now = hd_clock_now();
	Due *dues[BATCH];
	int n = take_due(now, context, dues);

	for (int i = 0; i < n; i++)
	{
		try_due(dues[i], now, context);
		record_due(dues[i], now);
	}
	MemoryContextDelete(context);
	return n == BATCH;
}

/*
 * The background worker's share.
 */

/* The next time there is, by hd_clock_now; DT_NOEND when there is none. */
static TimestampTz
find_next(void)
{
	TimestampTz now = hd_clock_now();
	Datum values[2] = {TimestampTzGetDatum(now), TimestampTzGetDatum(now + LOCKED_US)};
	Datum next;
	bool isnull;
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&next_plan, values, NULL, false, 1);
	next = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	hd_spi_end(&spi);
	return isnull ? DT_NOEND : DatumGetTimestampTz(next);
}

TimestampTz
hd_jobs_schedule_task(void)
{
	bool more = true;

	/* Until this has succeeded nobody has to make way for it. */
	next_seen = DT_NOEND;
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		more = false;
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (OidIsValid(hd_spi_extension_missing_ok()) && hd_instance_is_ours())
			more = hd_jobs_schedule_fire();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(hd_spi_extension_missing_ok()) && hd_instance_is_ours())
		next_seen = find_next();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (TIMESTAMP_IS_NOEND(next_seen))
		return DT_NOEND;
	return hd_clock_real() + Max(next_seen - hd_clock_now(), 0);
}

bool
hd_jobs_schedule_due(void)
{
	return next_seen <= hd_clock_now();
}
