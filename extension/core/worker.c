/*-------------------------------------------------------------------------
 * worker.c
 *		The background worker of a database.
 *
 * Purpose: run the tasks that modules registered, as soon as there is
 * something to do.  Without workers pg_cron does the same within a minute.
 *
 * Model: a loop of three steps: take in changed settings, see whether this
 * worker is still wanted, run the tasks that are due; then sleep on the
 * latch.  A wake-up brings all tasks forward except those that wait out a
 * failure.  An error in a task is logged, its transaction rolled back, and
 * the task tried again later; the worker goes on.  What a task allocates
 * lives until the end of the tick.
 *
 * The worker leaves by itself when the extension is gone, when its role is
 * no longer the one that is set or has become a superuser, and when its
 * database is no longer listed; the launcher brings it back.  On SIGTERM it
 * leaves between tasks without a word, and interrupts a task with FATAL.
 *
 * In a restored copy it stays, and runs nothing until instance_adopt().
 *
 * Locking: none here; the table of workers has its own (worker_slots.c).
 *
 * Caveats: the worker's role needs CONNECT on the database and nothing
 * else.  Tasks switch to the extension's owner for access to tables.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/worker_internal.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define MAX_TASKS 16

/*
 * The longest sleep, also of a single task, because a wait for a lock in another task may have taken
 * a wake-up from the latch; and how often a paused worker looks whether it may go on.
 */
#define NAP_MS 10000

/* A task that fails is tried again after 1 s, 2 s, 4 s ... up to this. */
#define FAILURE_DELAY_MAX_MS 60000

typedef struct TaskState
{
	const HdWorkerTask *task;
	TimestampTz next; /* when it wants to run */
	int failures;	  /* in a row */
} TaskState;

static TaskState tasks[MAX_TASKS];
static int ntask = 0;

/* True while SIGTERM has to interrupt what runs, instead of ending the loop. */
static volatile sig_atomic_t interruptible = true;

extern PGDLLEXPORT void hd_worker_main(Datum main_arg);

void
hd_worker_register(const HdWorkerTask *task)
{
	if (ntask >= MAX_TASKS)
		elog(ERROR, "too many worker tasks");
	tasks[ntask++].task = task;
}

void
hd_worker_init(void)
{
	if (!hd_settings_preloaded())
		return;
	hd_worker_slots_register();
	hd_worker_yield_install();

	/* pg_upgrade runs servers of which the databases are in pieces. */
	if (!IsBinaryUpgrade)
		hd_worker_launcher_register();
}

static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	if (interruptible)
		die(postgres_signal_arg);
	errno = save_errno;
}

/* Whether role may go on as the worker of this database: see the head of this file. */
static bool
role_wanted(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool wanted;

	if (!HeapTupleIsValid(tuple))
		return false;
	wanted =
		!((Form_pg_authid) GETSTRUCT(tuple))->rolsuper &&
		strcmp(NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname), hd_setting_worker_role) == 0;
	ReleaseSysCache(tuple);
	return wanted;
}

/*
 * Whether this worker is still wanted, and whether it has to pause.  A transaction
 * of its own, which also takes in what others have changed.
 */
static bool
still_wanted(bool *paused)
{
	bool wanted;
	bool valid;
	char *database;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	database = get_database_name(MyDatabaseId);
	wanted = role_wanted(GetAuthenticatedUserId()) && database != NULL &&
			 hd_worker_database_listed(database, &valid) &&
			 OidIsValid(hd_spi_extension_missing_ok());
	*paused = wanted && hd_instance_is_copy();
	CommitTransactionCommand();
	return wanted;
}

static void
task_error_context(void *arg)
{
	errcontext("background task \"%s\"", (const char *) arg);
}

static void
task_failed(TaskState *state)
{
	int delay = FAILURE_DELAY_MAX_MS;

	HOLD_INTERRUPTS();
	EmitErrorReport();
	AbortOutOfAnyTransaction();
	LWLockReleaseAll();
	FlushErrorState();
	RESUME_INTERRUPTS();

	if (state->failures < 6)
		delay = 1000 << state->failures;
	state->failures++;
	state->next = TimestampTzPlusMilliseconds(hd_clock_real(), delay);
}

static void
run_task(TaskState *state, MemoryContext context)
{
	ErrorContextCallback callback;

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, state->task->name);

	callback.callback = task_error_context;
	callback.arg = unconstify(char *, state->task->name);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	interruptible = true;

	PG_TRY();
	{
		MemoryContextSwitchTo(context);
		state->next = state->task->run();
		state->next = Min(state->next, TimestampTzPlusMilliseconds(hd_clock_real(), NAP_MS));
		state->failures = 0;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		task_failed(state);
	}
	PG_END_TRY();

	CHECK_FOR_INTERRUPTS();
	interruptible = false;
	error_context_stack = callback.previous;
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Run what is due; all, where woken.  Returns when the next task wants to run.
 */
static TimestampTz
run_due_tasks(bool woken, MemoryContext context)
{
	TimestampTz earliest = DT_NOEND;

	for (int i = 0; i < ntask && !ShutdownRequestPending; i++)
	{
		TaskState *state = &tasks[i];

		if (state->next <= hd_clock_real() || (woken && state->failures == 0))
			run_task(state, context);
		earliest = Min(earliest, state->next);
	}
	MemoryContextReset(context);

	/* Background processes report their use of tables themselves. */
	pgstat_report_stat(true);
	return earliest;
}

/* True when the latch ended the sleep. */
static bool
sleep_until(TimestampTz until)
{
	long delay = NAP_MS;
	int events;

	if (!TIMESTAMP_IS_NOEND(until))
		delay = Min(delay, TimestampDifferenceMilliseconds(hd_clock_real(), until));
	events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, delay,
					   PG_WAIT_EXTENSION);
	return (events & WL_LATCH_SET) != 0;
}

static void
work(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "hotdash worker tick", ALLOCSET_DEFAULT_SIZES);
	bool settled = false;
	bool woken = true;

	while (!ShutdownRequestPending)
	{
		uint32 wakes = hd_worker_slot_wakes();
		TimestampTz next = DT_NOEND;
		bool paused;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		if (!still_wanted(&paused))
			break;
		if (!settled)
			hd_worker_slot_settled();
		settled = true;

		if (paused)
			pgstat_report_activity(STATE_IDLE, "hotdash: paused, this is not the live copy");
		else
			next = run_due_tasks(woken, context);

		/* A wake during a task may have been taken from the latch by a wait for a lock. */
		woken = hd_worker_slot_wakes() != wakes;
		if (!woken && !ShutdownRequestPending)
			woken = sleep_until(next);
	}
	MemoryContextDelete(context);
}

void
hd_worker_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();

	if (!hd_worker_slot_claim(DatumGetObjectId(main_arg)))
		proc_exit(0);
	hd_worker_connect();
	CHECK_FOR_INTERRUPTS();
	interruptible = false;

	work();
	proc_exit(0);
}
