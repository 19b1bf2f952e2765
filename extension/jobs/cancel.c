/*-------------------------------------------------------------------------
 * cancel.c
 *		Cancelling jobs that run.
 *
 * Model: see cancel.h.  A transaction keeps the ids that it asked for, with
 * the nesting level of the subtransaction.  Just before it commits each
 * claim gets its mark, while what has ended meanwhile can still be cancelled
 * by ordinary means; when it has committed, handlers are interrupted; should
 * it fail in between, the marks are taken back.
 *
 * Locking: see cancel.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/cancel.h"

#include <signal.h>

#include "access/xact.h"
#include "core/spi.h"
#include "jobs/finish.h"
#include "jobs/ledger.h"
#include "jobs/list.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef struct Request
{
	int64 id;
	int level;	 /* nesting level of the subtransaction */
	bool marked; /* its claim has the mark */
} Request;

static Request *requests = NULL;
static int nrequests = 0;
static int max_requests = 0;

/*
 * Claims.  Lock held.
 */

/* The entry of a job that runs, with its slot; -1 when it does not. */
static int32
find_claim(Oid extension, int64 id)
{
	int32 db = hd_jobs_list_database(MyDatabaseId, extension);
	int32 index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	HdLedgerSlot *slot;

	if (index < 0)
		return -1;
	slot = hd_jobs_ledger_slot(index);
	return (slot->use != HD_LEDGER_FREE && slot->id == id) ? index : -1;
}

static void
set_mark(int32 index, bool cancelled)
{
	hd_jobs_ledger_slot(index)->cancelled = cancelled;
	hd_jobs_ledger_seal(index);
}

bool
hd_jobs_cancel_is_asked(int32 index)
{
	HdLedgerSlot *slot = hd_jobs_ledger_slot(index);

	return slot->use != HD_LEDGER_FREE && slot->id == hd_jobs_entry(index)->id && slot->cancelled;
}

bool
hd_jobs_cancel_keeps(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdLedgerSlot *slot = hd_jobs_ledger_slot(index);

	if (!hd_jobs_cancel_is_asked(index))
		return false;
	entry->state = HD_JOB_LEASED;
	entry->owner = 0;
	entry->bound = false;
	entry->lease_expires = slot->lease_expires = DT_NOBEGIN;
	slot->use = HD_LEDGER_HELD;
	slot->bound = false;
	slot->handling = false;
	hd_jobs_ledger_seal(index);
	hd_jobs_waiter_wake_ticker();
	return true;
}

/*
 * Asking.
 */

/* Mark the job's claim; false when it is not running (any more). */
static bool
mark(Request *request)
{
	Oid extension = hd_spi_extension();
	int32 index;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	index = find_claim(extension, request->id);
	if (index >= 0)
		set_mark(index, true);
	LWLockRelease(hd_jobs_lock);
	return request->marked = index >= 0;
}

static void
before_commit(void)
{
	HdJobTable table;

	/* The same transaction may have dropped the extension. */
	if (!OidIsValid(hd_spi_extension_missing_ok()))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < nrequests; i++)
		if (!mark(&requests[i]))
			(void) hd_jobs_finish_cancel_waiting(&table, requests[i].id);
	hd_jobs_table_close(&table);
	PopActiveSnapshot();
}

/* Interrupt handlers whose jobs were marked; or take the marks back. */
static void
end_transaction(bool commit)
{
	Oid extension = hd_spi_extension_missing_ok();

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int i = 0; i < nrequests; i++)
	{
		int32 index = requests[i].marked ? find_claim(extension, requests[i].id) : -1;

		if (index < 0)
			continue;
		if (!commit)
			set_mark(index, false);
		else if (hd_jobs_ledger_slot(index)->handling)
			(void) kill(hd_jobs_entry(index)->owner, SIGINT);
	}
	LWLockRelease(hd_jobs_lock);
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (nrequests == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			before_commit();
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has cancelled a running job")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			end_transaction(event == XACT_EVENT_COMMIT);
			nrequests = 0;
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = nrequests - 1; i >= 0 && requests[i].level >= level; i--)
			requests[i].level = level - 1;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nrequests > 0 && requests[nrequests - 1].level >= level)
			nrequests--;
}

/* Room for one more request, and the callbacks. */
static void
prepare(void)
{
	if (nrequests < max_requests)
		return;
	if (requests == NULL)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		requests = MemoryContextAlloc(TopMemoryContext, sizeof(Request) * 16);
		max_requests = 16;
		return;
	}
	requests = repalloc_huge(requests, sizeof(Request) * max_requests * 2);
	max_requests *= 2;
}

bool
hd_jobs_cancel_request(int64 id)
{
	Oid extension = hd_spi_extension();
	int32 index;

	prepare();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	index = find_claim(extension, id);
	LWLockRelease(hd_jobs_lock);
	if (index < 0)
		return false;
	requests[nrequests].id = id;
	requests[nrequests].level = GetCurrentTransactionNestLevel();
	requests[nrequests].marked = false;
	nrequests++;
	return true;
}

/*
 * Handlers.
 */

/* Note that the handler of a claim of ours runs, or not any more; true when the claim has the mark. */
static bool
set_handling(int64 id, int64 token, bool handling)
{
	Oid extension = hd_spi_extension();
	bool asked = false;
	int32 index;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	index = find_claim(extension, id);
	if (index >= 0 && hd_jobs_entry(index)->token == token)
	{
		HdLedgerSlot *slot = hd_jobs_ledger_slot(index);

		asked = slot->cancelled;
		slot->handling = handling;
		hd_jobs_ledger_seal(index);
	}
	LWLockRelease(hd_jobs_lock);
	return asked;
}

void
hd_jobs_cancel_watch(int64 id, int64 token)
{
	/* One that was asked for before the handler began is no signal: make it one. */
	if (set_handling(id, token, true))
		(void) kill(MyProcPid, SIGINT);
}

bool
hd_jobs_cancel_unwatch(int64 id, int64 token)
{
	if (!set_handling(id, token, false))
		return false;

	/* The signal was sent under the lock; on the way back from any system call it is delivered. */
	(void) kill(MyProcPid, 0);
	QueryCancelPending = false;
	return true;
}
