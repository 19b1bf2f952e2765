/*-------------------------------------------------------------------------
 * work.c
 *		Who runs SQL handlers: job_work, the background worker, and the runs
 *		that pg_cron starts.
 *
 * Model: all three take the same step again and again, each in a transaction
 * of its own: run one job, or learn when to look again.  job_work is a
 * procedure, which commits between its steps; the background worker calls
 * the step as one of its tasks, beside others; a run of pg_cron is a process
 * of its own that does nothing else (relay.h says when it ends).
 *
 * Locking: none beyond what claiming and finishing take.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/work.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/duration.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/worker.h"
#include "fmgr.h"
#include "jobs/claim.h"
#include "jobs/handler.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/relay.h"
#include "jobs/schedule.h"
#include "jobs/wait.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define DEFAULT_RUNTIME_US (55 * USECS_PER_SEC)

/* How often a run that sleeps looks whether it is still wanted; a younger one wakes it at once. */
#define LOOK_US USECS_PER_SEC

PG_FUNCTION_INFO_V1(hd_jobs_sql_work);
PG_FUNCTION_INFO_V1(hd_jobs_sql_relay);

extern PGDLLEXPORT void hd_jobs_work_main(Datum main_arg);

/*
 * The step.
 */

typedef enum Step
{
	STEP_WORKED, /* commit and go on */
	STEP_IDLE,	 /* nothing to do until *due */
} Step;

/* Ask for the kinds that have handlers; false when there are none. */
static bool
ask(ArrayType *queues, HdJobQueues *wanted)
{
	memset(wanted, 0, sizeof(HdJobQueues));
	wanted->kinds = hd_jobs_kind_handled(&wanted->nkinds);
	if (wanted->nkinds == 0)
		return false;
	hd_jobs_claim_queues(queues, wanted);
	return true;
}

/* In the current transaction, which has a snapshot. */
static Step
step(ArrayType *queues, MemoryContext context, TimestampTz *due)
{
	HdJobQueues wanted;
	MemoryContext caller = MemoryContextSwitchTo(context);
	Step result = STEP_IDLE;

	*due = DT_NOEND;
	if (ask(queues, &wanted))
	{
		if (hd_jobs_handler_next(&wanted))
			result = STEP_WORKED;
		else if (hd_jobs_wait_look(&wanted, due))
			*due = DT_NOBEGIN;
	}
	else
		hd_jobs_wait_leave();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(context);
	return result;
}

/* One step in a transaction of its own; idle where the extension is not there (any more). */
static Step
step_in_transaction(MemoryContext context, TimestampTz *due)
{
	Step result = STEP_IDLE;

	*due = DT_NOEND;
	StartTransactionCommand();
	if (OidIsValid(hd_spi_extension_missing_ok()))
	{
		/* A procedure's portal has a snapshot; here nobody has taken one yet. */
		PushActiveSnapshot(GetTransactionSnapshot());
		result = step(NULL, context, due);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	return result;
}

/*
 * The procedure.
 */

typedef struct Call
{
	ArrayType *queues;
	TimestampTz deadline; /* of the real clock */
	bool until_empty;
} Call;

static void
work(const Call *call, MemoryContext context)
{
	do
	{
		TimestampTz due;
		Step result;

		CHECK_FOR_INTERRUPTS();
		result = step(call->queues, context, &due);
		SPI_commit();
		if (result == STEP_WORKED)
			continue;
		if (call->until_empty && due != DT_NOBEGIN)
			break;
		hd_jobs_wait_sleep(due, call->deadline);
	} while (hd_clock_real() < call->deadline);
}

/* Between transactions of a procedure. */
static void
work_to_the_end(const Call *call)
{
	MemoryContext context;

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	context = AllocSetContextCreate(CurrentMemoryContext, "hotdash job", ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		work(call, context);
	}
	PG_FINALLY();
	{
		hd_jobs_wait_leave();
	}
	PG_END_TRY();
	SPI_finish();
}

static void
refuse_in_transaction(FunctionCallInfo fcinfo)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("job_work cannot run inside a transaction block"),
						errdetail("Each job is worked in a transaction of its own.")));
	hd_jobs_claim_check();
}

/*
 * hd_jobs_sql_work
 *		SQL: CALL job_work(queues text[], max_runtime interval, until_empty bool).
 */
Datum
hd_jobs_sql_work(PG_FUNCTION_ARGS)
{
	int64 runtime_us = DEFAULT_RUNTIME_US;
	Call call = {0};

	refuse_in_transaction(fcinfo);
	if (!PG_ARGISNULL(1))
		runtime_us = hd_duration_us(PG_GETARG_INTERVAL_P(1), "max_runtime", 0);
	call.queues = PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P_COPY(0);
	call.deadline = hd_clock_real() + runtime_us;
	call.until_empty = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	work_to_the_end(&call);
	PG_RETURN_VOID();
}

/*
 * The runs that pg_cron starts.
 */

/*
 * hd_jobs_sql_relay
 *		SQL: CALL _work_relay(): what pg_cron calls each minute.
 *
 * Starts a run.  Where this database is to have none, or no process is free,
 * the call itself does what there is to do.
 */
Datum
hd_jobs_sql_relay(PG_FUNCTION_ARGS)
{
	refuse_in_transaction(fcinfo);
	if (!hd_jobs_relay_start())
	{
		Call call = {.deadline = hd_clock_real() + DEFAULT_RUNTIME_US, .until_empty = true};

		work_to_the_end(&call);
	}
	PG_RETURN_VOID();
}

static bool
begin(void)
{
	bool begun;

	StartTransactionCommand();
	begun = OidIsValid(hd_spi_extension_missing_ok()) && hd_jobs_relay_begin();
	CommitTransactionCommand();
	return begun;
}

static bool
goes_on(void)
{
	bool wanted;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	wanted = hd_jobs_relay_goes_on();
	CommitTransactionCommand();
	return wanted;
}

static void
sleep_a_while(TimestampTz due)
{
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	hd_jobs_wait_sleep(due, hd_clock_real() + LOOK_US);
	pgstat_report_activity(STATE_RUNNING, "hotdash: SQL handlers");
}

/* Until a younger run has begun, or none begins. */
static void
run(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "hotdash job", ALLOCSET_DEFAULT_SIZES);

	pgstat_report_activity(STATE_RUNNING, "hotdash: SQL handlers");
	while (goes_on())
	{
		TimestampTz due;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (step_in_transaction(context, &due) == STEP_IDLE)
			sleep_a_while(due);
	}
	hd_jobs_wait_leave();
}

/*
 * hd_jobs_work_main
 *		A run's process.
 */
void
hd_jobs_work_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	hd_worker_connect();
	if (begin())
		run();
	proc_exit(0);
}

/*
 * The background worker's share.
 */

/* Until nothing is left to do, a schedule is due or a second is over. */
static Step
work_for_a_second(MemoryContext context, TimestampTz *due)
{
	TimestampTz until = hd_clock_real() + USECS_PER_SEC;
	Step result = STEP_IDLE;

	while (hd_setting_worker_runs_handlers && hd_clock_real() < until)
	{
		CHECK_FOR_INTERRUPTS();
		result = step_in_transaction(context, due);
		if (result == STEP_IDLE || hd_jobs_schedule_due())
			break;
	}
	return result;
}

TimestampTz
hd_jobs_work_task(void)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash job", ALLOCSET_DEFAULT_SIZES);
	volatile TimestampTz due = DT_NOEND;
	volatile Step result = STEP_IDLE;

	/* After an error the task pauses, and must not be the one who is called. */
	PG_TRY();
	{
		TimestampTz until = DT_NOEND;

		result = work_for_a_second(context, &until);
		due = until;
	}
	PG_CATCH();
	{
		hd_jobs_wait_leave();
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextDelete(context);
	if (!hd_setting_worker_runs_handlers)
		hd_jobs_wait_leave();

	/* After a second of work, or when a schedule is due, other tasks have their turn first. */
	if (result == STEP_WORKED || !hd_jobs_waiter_sleeps())
		return hd_clock_real();
	if (due == DT_NOBEGIN)
		return hd_clock_real() + HD_JOB_WAIT_AGAIN_US;
	return hd_clock_real() + Min(Max(due - hd_clock_now(), 0), 60 * USECS_PER_SEC);
}
