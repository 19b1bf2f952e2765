/*-------------------------------------------------------------------------
 * wait.c
 *		job_wait: sleep until there is something to claim.
 *
 * Model: the procedure commits first, so that it holds no snapshot and no
 * transaction id, registers itself as a waiter and sleeps on its latch.
 * Whoever commits a ready job wakes as many waiters as there are jobs.
 * Scheduled jobs need nobody: each waiter sleeps no longer than until the
 * first of them is due, brings the due rows into the list itself, and so
 * wakes others if there are several.
 *
 * Locking: the list's lock to look and to register, never during the sleep.
 * A waiter's slot is given back on error, cancel and exit, and what it was
 * woken for goes to another.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/settings.h"
#include "core/spi.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/claim.h"
#include "jobs/flows.h"
#include "jobs/jobs.h"
#include "jobs/lanes.h"
#include "jobs/list.h"
#include "jobs/look.h"
#include "jobs/place.h"
#include "jobs/rate.h"
#include "jobs/table.h"
#include "jobs/waiters.h"
#include "jobs/wait.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define DEFAULT_WAIT_US (30 * USECS_PER_SEC)

/* Nothing but a clock that is moved needs this; it bounds how late that is noticed. */
#define LONGEST_SLEEP_US (60 * USECS_PER_SEC)

/* So many times a wait looks for flows whose limits it has just read, before it sleeps a little. */
#define MAX_ROUNDS 4

static bool exit_registered = false;

PG_FUNCTION_INFO_V1(hd_jobs_sql_wait);

static void
leave(int code, Datum arg)
{
	if (!hd_jobs_waiter_may_be())
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_waiter_leave();
	LWLockRelease(hd_jobs_lock);
}

/*
 * Whether there is a job, or may be; *due is lowered to the earliest time at
 * which that changes by itself.  Lock held.
 */
static bool
anything_ready(const HdJobQueues *queues, TimestampTz *due)
{
	const HdJobDatabase *database = &hd_jobs_list->databases[queues->db];

	for (int p = 0; p < HD_JOB_PRIORITIES; p++)
		if (hd_jobs_lane_next(queues, p) >= 0)
			return true;
	*due = Min(*due, database->next_due);
	*due = Min(*due, hd_jobs_flow_next());
	if (database->horizon != 0)
		*due = Min(*due, database->horizon);
	return false;
}

/* What waits in the table comes into the list first; what is left is in the future. */
static bool
look_at_window(HdJobTable *table, HdJobQueues *window, TimestampTz *due)
{
	bool ready = false;
	bool unknown = true;

	/* Jobs may turn out to be of flows whose limits have to be read first. */
	for (int round = 0; round < MAX_ROUNDS && unknown; round++)
	{
		(void) hd_jobs_look(table, window, 1, false);
		if (hd_jobs_look_wanted(window, hd_clock_now()))
			*due = DT_NOBEGIN;
		if (window->rated)
			hd_jobs_rate_look(window, due);
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		hd_jobs_list_resolve(window);
		ready = anything_ready(window, due);
		if (ready)
			hd_jobs_waiter_found();
		unknown = !ready && hd_jobs_flow_is_wanted(window->db);
		LWLockRelease(hd_jobs_lock);
	}
	if (unknown)
		*due = DT_NOBEGIN;
	return ready;
}

bool
hd_jobs_wait_look(HdJobQueues *queues, TimestampTz *due)
{
	HdJobQueues window;
	HdJobTable table;
	bool ready = false;
	int start = 0;

	if (!exit_registered)
	{
		before_shmem_exit(leave, (Datum) 0);
		exit_registered = true;
	}

	/* Registered before looking, so that nothing comes unnoticed between two windows. */
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_waiter_enter(queues);
	LWLockRelease(hd_jobs_lock);

	*due = DT_NOEND;
	hd_jobs_table_open(&table, false);
	while (!ready && hd_jobs_list_window(queues, &start, &window))
		ready = look_at_window(&table, &window, due);
	hd_jobs_table_close(&table);
	return ready;
}

/*
 * A client that has gone would otherwise be noticed when there is something
 * to send, and the job that this waiter is woken for would wait for nobody.
 */
static void
sleep_on_latch(long sleep_ms)
{
	WaitEvent event = {0};

	if (FeBeWaitSet == NULL || !WaitEventSetCanReportClosed())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, sleep_ms,
						 PG_WAIT_EXTENSION);
		return;
	}
	ModifyWaitEvent(FeBeWaitSet, HD_CLIENT_SOCKET_POS, WL_SOCKET_CLOSED, NULL);
	(void) WaitEventSetWait(FeBeWaitSet, sleep_ms, &event, 1, PG_WAIT_EXTENSION);
	if (event.events & WL_POSTMASTER_DEATH)
		proc_exit(1);
	if (event.events & WL_SOCKET_CLOSED)
	{
		ClientConnectionLost = true;
		InterruptPending = true;
	}
}

void
hd_jobs_wait_sleep(TimestampTz due, TimestampTz deadline)
{
	TimestampTz now = hd_clock_now();
	int64 sleep_us = Min(deadline - hd_clock_real(), LONGEST_SLEEP_US);

	if (due == DT_NOBEGIN)
		sleep_us = Min(sleep_us, HD_JOB_WAIT_AGAIN_US);
	else if (due != DT_NOEND)
		sleep_us = Min(sleep_us, Max(due - now, 0));
	if (!hd_jobs_waiter_may_be())
		sleep_us = Min(sleep_us, USECS_PER_SEC);

	/* A wait for a lock since the look may have taken the call from the latch. */
	if (hd_jobs_waiter_sleeps() && sleep_us > 0)
		sleep_on_latch((long) ((sleep_us + 999) / 1000));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
hd_jobs_wait_leave(void)
{
	leave(0, (Datum) 0);
}

/* A database's queues, resolved in a transaction of their own; names are copied to context. */
static void
resolve_queues(char **names, int n, MemoryContext context, HdJobQueues *queues)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	ArrayType *array = NULL;

	if (n > 0)
	{
		Datum *elements = palloc(sizeof(Datum) * n);

		for (int i = 0; i < n; i++)
			elements[i] = CStringGetTextDatum(names[i]);
		array = construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT);
	}
	memset(queues, 0, sizeof(HdJobQueues));
	hd_jobs_claim_queues(array, queues);
	MemoryContextSwitchTo(caller);
}

bool
hd_jobs_wait(FunctionCallInfo fcinfo, char **names, int n, int64 wait_us)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  castNode(CallContext, fcinfo->context)->atomic;
	TimestampTz deadline = hd_clock_real() + wait_us;
	MemoryContext context = CurrentMemoryContext;
	volatile bool ready = false;

	if (atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("waiting for jobs is not possible inside a transaction block"),
				 errdetail("A wait holds no snapshot and no transaction, so it commits first.")));
	hd_jobs_claim_check();
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	PG_TRY();
	{
		for (;;)
		{
			HdJobQueues queues;
			TimestampTz due;

			resolve_queues(names, n, context, &queues);
			ready = hd_jobs_wait_look(&queues, &due);
			if (ready || hd_clock_real() >= deadline)
				break;
			SPI_commit();
			hd_jobs_wait_sleep(due, deadline);
		}
	}
	PG_CATCH();
	{
		hd_jobs_wait_leave();
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* Who found something owes a claim; what happens until then is in waiters.h. */
	if (!ready)
		hd_jobs_wait_leave();
	SPI_finish();
	return ready;
}

/*
 * hd_jobs_sql_wait
 *		SQL: CALL job_wait(queues text[], wait interval, INOUT ready bool).
 */
Datum
hd_jobs_sql_wait(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	int64 wait_us = DEFAULT_WAIT_US;
	char **names = NULL;
	int n = 0;
	TupleDesc desc;
	Datum values[1];
	bool nulls[1] = {false};

	if (!PG_ARGISNULL(1))
		wait_us = hd_duration_us(PG_GETARG_INTERVAL_P(1), "wait", 0);
	if (!PG_ARGISNULL(0))
	{
		Datum *elements;
		bool *isnull;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &elements,
						  &isnull, &n);
		names = palloc(sizeof(char *) * Max(n, 1));
		for (int i = 0; i < n; i++)
		{
			if (isnull[i])
				ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
								errmsg("queues must not contain null")));
			names[i] = TextDatumGetCString(elements[i]);
		}
	}
	values[0] = BoolGetDatum(hd_jobs_wait(fcinfo, names, n, wait_us));

	MemoryContextSwitchTo(context);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
