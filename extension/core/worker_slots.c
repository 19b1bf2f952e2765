/*-------------------------------------------------------------------------
 * worker_slots.c
 *		The table of background workers in shared memory.
 *
 * Model, locking and caveats: worker_internal.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "core/clock.h"
#include "core/shmem.h"
#include "core/worker_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* Room for holds on databases that have no worker. */
#define EXTRA_SLOTS 16

typedef struct WorkerSlot
{
	Oid database; /* InvalidOid: free */
	Latch *latch; /* of the worker; NULL when none runs */
	HdWorkerView view;
	pg_atomic_uint32 wakes; /* written under the shared lock, read without */
} WorkerSlot;

typedef struct WorkerTable
{
	Latch *launcher; /* NULL when none runs */
	int launcher_pid;
	HdWorkerProblem problem;
	bool retry;				/* the launcher shall forget its delays */
	int nslot;				/* constant */
	ConditionVariable left; /* broadcast when a worker is gone */
	WorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} WorkerTable;

static WorkerTable *table = NULL;
static LWLock *table_lock = NULL;
static WorkerSlot *my_slot = NULL;

PG_FUNCTION_INFO_V1(hd_worker_sql_status);

static int
slot_count(void)
{
	return max_worker_processes + EXTRA_SLOTS;
}

static Size
table_size(void)
{
	return add_size(offsetof(WorkerTable, slots), mul_size(slot_count(), sizeof(WorkerSlot)));
}

static void
table_init(void *base, LWLock *lock, bool fresh)
{
	table = base;
	table_lock = lock;
	if (!fresh)
		return;
	table->nslot = slot_count();
	ConditionVariableInit(&table->left);
	for (int i = 0; i < table->nslot; i++)
		pg_atomic_init_u32(&table->slots[i].wakes, 0);
}

static const HdShmemArea area = {"hotdash_worker", table_size, table_init};

void
hd_worker_slots_register(void)
{
	hd_shmem_register(&area);
}

/* The slot of a database, or NULL.  Caller holds the lock. */
static WorkerSlot *
find_slot(Oid database)
{
	for (int i = 0; i < table->nslot; i++)
	{
		if (table->slots[i].database == database)
			return &table->slots[i];
	}
	return NULL;
}

/*
 * The slot of a database, made where there is none; NULL when all are taken.
 * Caller holds the lock exclusively.
 */
static WorkerSlot *
find_or_make_slot(Oid database, TimestampTz now)
{
	WorkerSlot *slot = find_slot(database);

	if (slot != NULL)
		return slot;
	for (int i = 0; i < table->nslot; i++)
	{
		slot = &table->slots[i];
		if (OidIsValid(slot->database) && (slot->view.pid != 0 || slot->view.hold_until > now))
			continue;
		slot->database = database;
		slot->latch = NULL;
		memset(&slot->view, 0, sizeof(slot->view));
		return slot;
	}
	return NULL;
}

static void
wake_launcher(void)
{
	if (table->launcher != NULL)
		SetLatch(table->launcher);
}

/* Give the slot back.  Runs after this process has left the list of processes. */
static void
release_slot(int code, Datum arg)
{
	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	my_slot->view.pid = 0;
	my_slot->view.settled = false;
	my_slot->latch = NULL;
	wake_launcher();
	LWLockRelease(table_lock);
	my_slot = NULL;
	ConditionVariableBroadcast(&table->left);
}

bool
hd_worker_slot_claim(Oid database)
{
	TimestampTz now = hd_clock_real();
	WorkerSlot *slot;

	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	slot = find_or_make_slot(database, now);
	if (slot == NULL || slot->view.pid != 0 || slot->view.hold_until > now)
	{
		LWLockRelease(table_lock);
		return false;
	}
	slot->view.pid = MyProcPid;
	slot->view.started_at = now;
	slot->latch = MyLatch;
	LWLockRelease(table_lock);

	my_slot = slot;
	on_shmem_exit(release_slot, (Datum) 0);
	return true;
}

void
hd_worker_slot_settled(void)
{
	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	my_slot->view.settled = true;
	wake_launcher();
	LWLockRelease(table_lock);
}

uint32
hd_worker_slot_wakes(void)
{
	return pg_atomic_read_u32(&my_slot->wakes);
}

void
hd_worker_wake(Oid database)
{
	WorkerSlot *slot;

	if (table == NULL)
		return;
	LWLockAcquire(table_lock, LW_SHARED);
	slot = find_slot(database);
	if (slot != NULL && slot->latch != NULL)
	{
		pg_atomic_fetch_add_u32(&slot->wakes, 1);
		SetLatch(slot->latch);
	}
	LWLockRelease(table_lock);
}

void
hd_worker_slot_look(Oid database, HdWorkerView *view)
{
	WorkerSlot *slot;

	memset(view, 0, sizeof(*view));
	LWLockAcquire(table_lock, LW_SHARED);
	slot = find_slot(database);
	if (slot != NULL)
		*view = slot->view;
	LWLockRelease(table_lock);
}

bool
hd_worker_runs(Oid database)
{
	HdWorkerView view;

	hd_worker_slot_look(database, &view);
	return view.pid != 0 && view.settled;
}

bool
hd_worker_is_held(Oid database)
{
	HdWorkerView view;

	hd_worker_slot_look(database, &view);
	return view.hold_until > hd_clock_real();
}

/*
 * Put the hold on, and ask the worker to leave.
 *
 * The signal is sent under the lock, which the worker needs before it can
 * exit, so the pid cannot be another process's by now.
 */
static void
hold_and_ask(Oid database, TimestampTz now)
{
	WorkerSlot *slot;

	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	slot = find_or_make_slot(database, now);
	if (slot != NULL)
	{
		slot->view.hold_until = TimestampTzPlusMilliseconds(now, HD_WORKER_HOLD_MS);
		if (slot->view.pid != 0)
			(void) kill(slot->view.pid, SIGTERM);
	}
	LWLockRelease(table_lock);
}

void
hd_worker_slot_hold(Oid database)
{
	TimestampTz now = hd_clock_real();
	TimestampTz deadline = TimestampTzPlusMilliseconds(now, HD_WORKER_LEAVE_TIMEOUT_MS);
	HdWorkerView view;

	hold_and_ask(database, now);

	ConditionVariablePrepareToSleep(&table->left);
	for (;;)
	{
		long remaining = TimestampDifferenceMilliseconds(hd_clock_real(), deadline);

		hd_worker_slot_look(database, &view);
		if (view.pid == 0 || remaining <= 0)
			break;
		(void) ConditionVariableTimedSleep(&table->left, remaining, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static void
launcher_gone(int code, Datum arg)
{
	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	table->launcher = NULL;
	table->launcher_pid = 0;
	LWLockRelease(table_lock);
}

void
hd_worker_launcher_attach(void)
{
	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	table->launcher = MyLatch;
	table->launcher_pid = MyProcPid;
	LWLockRelease(table_lock);
	on_shmem_exit(launcher_gone, (Datum) 0);
}

void
hd_worker_launcher_retry(Oid database)
{
	WorkerSlot *slot;

	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL)
		slot->view.hold_until = 0;
	table->retry = true;
	wake_launcher();
	LWLockRelease(table_lock);
}

bool
hd_worker_launcher_asked(void)
{
	bool asked;

	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	asked = table->retry;
	table->retry = false;
	LWLockRelease(table_lock);
	return asked;
}

void
hd_worker_launcher_report(HdWorkerProblem problem)
{
	LWLockAcquire(table_lock, LW_EXCLUSIVE);
	table->problem = problem;
	LWLockRelease(table_lock);
}

int
hd_worker_launcher_state(HdWorkerProblem *problem)
{
	int pid;

	LWLockAcquire(table_lock, LW_SHARED);
	pid = table->launcher_pid;
	*problem = table->problem;
	LWLockRelease(table_lock);
	return pid;
}

static const char *
problem_text(HdWorkerProblem problem)
{
	switch (problem)
	{
		case HD_WORKER_NONE:
			return NULL;
		case HD_WORKER_OFF:
			return "hotdash.worker_role is empty";
		case HD_WORKER_ROLE_MISSING:
			return "hotdash.worker_role names no role";
		case HD_WORKER_ROLE_SUPERUSER:
			return "hotdash.worker_role names a superuser";
		case HD_WORKER_ROLE_NOLOGIN:
			return "hotdash.worker_role names a role that cannot log in";
		case HD_WORKER_LIST_INVALID:
			return "hotdash.databases is not a valid list";
	}
	return NULL;
}

/*
 * hd_worker_sql_status
 *		SQL: _worker_status() -> one row: preloaded, launcher_pid, problem,
 *		worker_pid, started_at.  Of this database only; pids are NULL where no
 *		process runs.
 */
Datum
hd_worker_sql_status(PG_FUNCTION_ARGS)
{
	TupleDesc tupdesc;
	Datum values[5] = {0};
	bool nulls[5] = {false, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = BoolGetDatum(table != NULL);
	if (table != NULL)
	{
		HdWorkerProblem problem;
		int launcher_pid = hd_worker_launcher_state(&problem);
		const char *text = problem_text(problem);
		HdWorkerView view;

		hd_worker_slot_look(MyDatabaseId, &view);
		nulls[1] = (launcher_pid == 0);
		values[1] = Int32GetDatum(launcher_pid);
		nulls[2] = (text == NULL);
		values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(text);
		nulls[3] = !view.settled;
		values[3] = Int32GetDatum(view.pid);
		nulls[4] = !view.settled;
		values[4] = TimestampTzGetDatum(view.started_at);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
