/*-------------------------------------------------------------------------
 * moves.c
 *		The moves of entries that an open transaction has made, and what its end
 *		does to them.
 *
 * Model: see moves.h.  Moves stand in one array per backend, in the order in
 * which they were made.  A note too many only makes a claim look at the
 * shelf once for nothing, so notes are not undone with subtransactions.
 *
 * Locking: the callbacks take the list's lock once.  They cannot fail.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/moves.h"

#include "access/xact.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/spi.h"
#include "core/worker.h"
#include "jobs/cancel.h"
#include "jobs/ledger.h"
#include "jobs/load.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

typedef struct HdJobAction
{
	uint8 move;	  /* HdJobMove */
	uint8 before; /* HdJobState to go back to */
	int level;	  /* nesting level of the subtransaction */
	int32 entry;  /* index of the entry; of the database for LOAD and WAKE */
} HdJobAction;

typedef struct HdJobNote
{
	int32 queue; /* referenced until the transaction ends */
	int priority;
	int nrows;
	TimestampTz earliest;
	int64 earliest_id;
} HdJobNote;

static HdJobAction *actions = NULL;
static int nactions = 0;
static int max_actions = 0;

static HdJobNote *notes = NULL;
static int nnotes = 0;
static int max_notes = 0;

static TransactionId preparing = InvalidTransactionId;
static int32 waking = -1; /* database whose sessions are woken when this commit is over */
static bool callbacks_registered = false;

static void xact_callback(XactEvent event, void *arg);
static void resource_callback(ResourceReleasePhase phase, bool commit, bool top_level, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
							 void *arg);

static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	RegisterResourceReleaseCallback(resource_callback, NULL);
	callbacks_registered = true;
}

void
hd_jobs_moves_prepare(int n)
{
	int wanted = Max(Max(nactions + n, max_actions * 2), 64);

	register_callbacks();
	if (nactions + n <= max_actions)
		return;
	if (actions == NULL)
		actions = MemoryContextAllocHuge(TopMemoryContext, sizeof(HdJobAction) * wanted);
	else
		actions = repalloc_huge(actions, sizeof(HdJobAction) * wanted);
	max_actions = wanted;
}

void
hd_jobs_moves_record(HdJobMove move, HdJobState before, int32 entry)
{
	HdJobAction *action = &actions[nactions++];

	Assert(nactions <= max_actions);
	action->move = move;
	action->before = before;
	action->level = GetCurrentTransactionNestLevel();
	action->entry = entry;
}

static HdJobNote *
find_note(int32 slot, int priority)
{
	for (int i = nnotes - 1; i >= 0; i--)
		if (notes[i].queue == slot && notes[i].priority == priority)
			return &notes[i];
	return NULL;
}

static HdJobNote *
add_note(int32 slot, int priority)
{
	HdJobNote *note = &notes[nnotes++];

	note->queue = slot;
	note->priority = priority;
	note->nrows = 0;
	note->earliest = DT_NOEND;
	note->earliest_id = PG_INT64_MAX;
	hd_jobs_queue(slot)->refs++;
	return note;
}

void
hd_jobs_moves_prepare_note(void)
{
	int wanted = Max(16, max_notes * 2);

	register_callbacks();
	if (nnotes < max_notes)
		return;
	if (notes == NULL)
		notes = MemoryContextAlloc(TopMemoryContext, sizeof(HdJobNote) * wanted);
	else
		notes = repalloc(notes, sizeof(HdJobNote) * wanted);
	max_notes = wanted;
}

void
hd_jobs_moves_note(int32 slot, int priority, TimestampTz at, int64 id)
{
	HdJobNote *note = find_note(slot, priority);

	if (note == NULL)
		note = add_note(slot, priority);
	note->nrows++;
	if (at < note->earliest || (at == note->earliest && id < note->earliest_id))
	{
		note->earliest = at;
		note->earliest_id = id;
	}
}

bool
hd_jobs_moves_made(int32 index, HdJobMove move)
{
	for (int i = nactions - 1; i >= 0; i--)
		if (actions[i].entry == index && actions[i].move == move)
			return true;
	return false;
}

void
hd_jobs_moves_change(int32 index, HdJobMove from, HdJobMove to)
{
	for (int i = nactions - 1; i >= 0; i--)
		if (actions[i].entry == index && actions[i].move == from)
		{
			actions[i].move = to;
			return;
		}
}

/*
 * Ends of transactions.  Lock held where not said otherwise.
 */

static bool
was_running(HdJobState before)
{
	return before == HD_JOB_CLAIMED || before == HD_JOB_LEASED;
}

/* A claim ends uncharged: back to its place in the lane. */
static void
give_back(int32 index)
{
	if (hd_jobs_cancel_keeps(index))
		return;
	hd_jobs_ledger_clear(index);
	hd_jobs_queue(hd_jobs_entry(index)->queue)->running--;
	hd_jobs_list_push(index);
	hd_jobs_list_wake(index);
	hd_counters_add(HD_COUNTER_JOBS_GIVEN_BACK, 1);
}

static void
undo(const HdJobAction *action)
{
	HdJobEntry *entry = hd_jobs_entry(action->entry);

	switch ((HdJobMove) action->move)
	{
		case HD_JOB_MOVE_RESERVE:
			hd_jobs_queue(entry->queue)->lanes[entry->priority].reserved--;
			hd_jobs_list_free(action->entry);
			break;
		case HD_JOB_MOVE_CLAIM:
			give_back(action->entry);
			break;
		case HD_JOB_MOVE_END:
		case HD_JOB_MOVE_RELEASE:
			if (action->before == HD_JOB_READY)
				hd_jobs_list_push(action->entry);
			else if (action->before == HD_JOB_FREE)
				hd_jobs_list_free(action->entry);
			else
			{
				entry->state = action->before;
				if (action->before == HD_JOB_LEASED && !entry->bound)
					entry->owner = 0;
			}
			break;
		case HD_JOB_MOVE_LOAD:
			hd_jobs_list->databases[action->entry].loaded = false;
			break;
		case HD_JOB_MOVE_WAKE:
		case HD_JOB_MOVE_NONE:
			break;
	}
}

void
hd_jobs_moves_cancel(int32 index, HdJobMove move)
{
	for (int i = nactions - 1; i >= 0; i--)
		if (actions[i].entry == index && actions[i].move == move)
		{
			undo(&actions[i]);
			actions[i].move = HD_JOB_MOVE_NONE;
			break;
		}
}

static void
finish(const HdJobAction *action)
{
	HdJobEntry *entry = hd_jobs_entry(action->entry);

	switch ((HdJobMove) action->move)
	{
		case HD_JOB_MOVE_RESERVE:
			hd_jobs_queue(entry->queue)->lanes[entry->priority].reserved--;
			if (entry->state != HD_JOB_RESERVED)
				break;
			hd_jobs_list_push(action->entry);
			hd_jobs_list_wake(action->entry);
			hd_counters_add(HD_COUNTER_JOBS_ENQUEUED, 1);
			break;
		case HD_JOB_MOVE_CLAIM:
			hd_counters_add(HD_COUNTER_JOBS_CLAIMED, 1);
			if (entry->state != HD_JOB_CLAIMED)
				break;
			entry->state = HD_JOB_LEASED;
			if (!entry->bound)
				entry->owner = 0;
			hd_jobs_ledger_slot(action->entry)->use = HD_LEDGER_HELD;
			hd_jobs_ledger_seal(action->entry);
			break;
		case HD_JOB_MOVE_END:
			if (was_running((HdJobState) action->before))
			{
				hd_jobs_ledger_clear(action->entry);
				hd_jobs_queue(entry->queue)->running--;
				hd_counters_add(HD_COUNTER_JOBS_ENDED, 1);
			}
			hd_jobs_list_free(action->entry);
			break;
		case HD_JOB_MOVE_RELEASE:
			give_back(action->entry);
			break;
		case HD_JOB_MOVE_LOAD:
			hd_jobs_list->databases[action->entry].loaded = true;
			hd_jobs_list_reset_lanes(action->entry);
			break;
		case HD_JOB_MOVE_WAKE:
			waking = action->entry;
			break;
		case HD_JOB_MOVE_NONE:
			break;
	}
}

static void
finish_notes(TimestampTz now)
{
	for (int i = 0; i < nnotes; i++)
	{
		HdJobNote *note = &notes[i];

		hd_jobs_list_shelve(note->queue, note->priority, note->earliest, note->earliest_id, now);
		hd_jobs_list_wake_any(note->queue, note->nrows);
		hd_counters_add(HD_COUNTER_JOBS_SHELVED, note->nrows);
	}
}

static void
forget_all(void)
{
	for (int i = 0; i < nnotes; i++)
		hd_jobs_queue(notes[i].queue)->refs--;
	nactions = 0;
	nnotes = 0;
}

static void
end_transaction(bool commit)
{
	TimestampTz now;

	preparing = InvalidTransactionId;
	if (nactions == 0 && nnotes == 0)
		return;
	now = hd_clock_now();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (commit)
	{
		for (int i = 0; i < nactions; i++)
			finish(&actions[i]);
		finish_notes(now);
	}
	else
		for (int i = nactions - 1; i >= 0; i--)
			undo(&actions[i]);
	forget_all();
	LWLockRelease(hd_jobs_lock);
}

/*
 * Wake those who wait because kinds or queues have changed.  Not before the
 * messages about that change are out, or they would look, see nothing new
 * and sleep on: locks are let go after the messages were sent.
 */
static void
resource_callback(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	int32 db = waking;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !top_level || db < 0)
		return;
	waking = -1;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_wake_database(db);
	LWLockRelease(hd_jobs_lock);

	/* One that found no kind with a handler waits for nothing in the list. */
	hd_worker_wake(MyDatabaseId);
}

/* Refuse what cannot be prepared; put the rest where it will be found. */
static void
before_prepare(void)
{
	int64 *ids;
	int n = 0;

	if (nactions == 0 && nnotes == 0)
		return;
	ids = palloc(sizeof(int64) * Max(nactions, 1));
	for (int i = 0; i < nactions; i++)
	{
		if (actions[i].move == HD_JOB_MOVE_NONE || actions[i].move == HD_JOB_MOVE_WAKE)
			continue;
		if (actions[i].move != HD_JOB_MOVE_RESERVE)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot PREPARE a transaction that has claimed or ended jobs"),
							errhint("Enqueue and publish may be prepared; claim and complete in a "
									"transaction of their own.")));
		ids[n++] = hd_jobs_entry(actions[i].entry)->id;
	}
	if (n > 0)
	{
		/* No statement is running any more that would have brought a snapshot. */
		PushActiveSnapshot(GetTransactionSnapshot());
		hd_jobs_load_shelve_rows(ids, n);
		PopActiveSnapshot();
	}
	preparing = GetTopTransactionId();
}

static void
after_prepare(void)
{
	Oid extension;

	if (nactions == 0 && nnotes == 0)
		return;
	extension = hd_spi_extension_missing_ok();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int i = nactions - 1; i >= 0; i--)
		undo(&actions[i]);
	hd_jobs_load_note_prepared(hd_jobs_list_database(MyDatabaseId, extension), preparing);
	forget_all();
	LWLockRelease(hd_jobs_lock);
	preparing = InvalidTransactionId;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			end_transaction(true);
			break;
		case XACT_EVENT_ABORT:
			end_transaction(false);
			break;
		case XACT_EVENT_PRE_PREPARE:
			before_prepare();
			break;
		case XACT_EVENT_PREPARE:
			after_prepare();
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
		for (int i = nactions - 1; i >= 0 && actions[i].level >= level; i--)
			actions[i].level = level - 1;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		if (nactions == 0 || actions[nactions - 1].level < level)
			return;
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		while (nactions > 0 && actions[nactions - 1].level >= level)
			undo(&actions[--nactions]);
		LWLockRelease(hd_jobs_lock);
	}
}
