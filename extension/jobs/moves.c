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

#include <limits.h>

#include "access/xact.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/spi.h"
#include "core/worker.h"
#include "jobs/cancel.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/ledger.h"
#include "jobs/load.h"
#include "jobs/order.h"
#include "jobs/tally.h"
#include "jobs/tx.h"
#include "jobs/waiters.h"
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
	HdJobNoteKind kind;
	int32 next; /* note of the same bucket; -1 ends */
	int32 db;
	int64 target;
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
static int32 *note_buckets = NULL; /* max_notes of them, a power of two */

static TransactionId preparing = InvalidTransactionId;
static int32 waking = -1; /* database whose sessions are woken when this commit is over */
static TimestampTz covered_until = 0; /* of this database, by this transaction; 0: nothing */
static int32 covered_db = -1;
static bool changed_flows = false;
static bool callbacks_registered = false;

static void xact_callback(XactEvent event, void *arg);
static void resource_callback(ResourceReleasePhase phase, bool commit, bool top_level, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
							 void *arg);

void
hd_jobs_moves_watch(void)
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

	hd_jobs_moves_watch();
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

static int32 *
note_bucket(HdJobNoteKind kind, int64 target)
{
	uint32 hash = murmurhash32((uint32) target ^ (uint32) ((uint64) target >> 32) ^ (uint32) kind);

	return &note_buckets[hash & (uint32) (max_notes - 1)];
}

static HdJobNote *
find_note(HdJobNoteKind kind, int32 db, int64 target)
{
	for (int32 i = *note_bucket(kind, target); i >= 0; i = notes[i].next)
		if (notes[i].kind == kind && notes[i].db == db && notes[i].target == target)
			return &notes[i];
	return NULL;
}

static void
enter_note(int32 index)
{
	int32 *bucket = note_bucket(notes[index].kind, notes[index].target);

	notes[index].next = *bucket;
	*bucket = index;
}

static HdJobNote *
add_note(HdJobNoteKind kind, int32 db, int64 target)
{
	HdJobNote *note = &notes[nnotes++];

	Assert(nnotes <= max_notes);
	note->kind = kind;
	note->db = db;
	note->target = target;
	note->nrows = 0;
	note->earliest = DT_NOEND;
	note->earliest_id = PG_INT64_MAX;
	enter_note(nnotes - 1);
	if (kind == HD_JOB_NOTE_LANE)
		hd_jobs_lane_hold((int32) target);
	else if (kind == HD_JOB_NOTE_GATE)
		hd_jobs_gate_hold((int32) target);
	return note;
}

void
hd_jobs_moves_prepare_notes(void)
{
	int wanted = Max(16, max_notes * 2);
	int32 *buckets;

	hd_jobs_moves_watch();
	if (nnotes + 2 <= max_notes)
		return;
	buckets = MemoryContextAllocHuge(TopMemoryContext, sizeof(int32) * (Size) wanted);
	if (notes == NULL)
		notes = MemoryContextAlloc(TopMemoryContext, sizeof(HdJobNote) * wanted);
	else
		notes = repalloc_huge(notes, sizeof(HdJobNote) * (Size) wanted);
	if (note_buckets != NULL)
		pfree(note_buckets);
	note_buckets = buckets;
	max_notes = wanted;
	memset(note_buckets, -1, sizeof(int32) * (Size) max_notes);
	for (int i = 0; i < nnotes; i++)
		enter_note(i);
}

/* A strict gate goes by ids, so the least id matters there, else the earliest time. */
static bool
comes_before(const HdJobNote *note, TimestampTz at, int64 id)
{
	bool strict = note->kind == HD_JOB_NOTE_LINE ||
				  (note->kind == HD_JOB_NOTE_GATE && hd_jobs_gate((int32) note->target)->strict);

	return hd_jobs_order_before(strict, at, id, note->earliest, note->earliest_id);
}

void
hd_jobs_moves_note(HdJobNoteKind kind, int32 db, int64 target, TimestampTz at, int64 id)
{
	HdJobNote *note = find_note(kind, db, target);

	if (note == NULL)
		note = add_note(kind, db, target);
	if (comes_before(note, at, id))
	{
		note->earliest = at;
		note->earliest_id = id;
	}
	note->nrows++;
	changed_flows |= kind == HD_JOB_NOTE_FLOW;
}

bool
hd_jobs_moves_changed_flows(void)
{
	return changed_flows;
}

void
hd_jobs_moves_cover(int32 db, TimestampTz until)
{
	covered_db = db;
	covered_until = until;
}

bool
hd_jobs_moves_made(int32 index, HdJobMove move)
{
	for (int i = nactions - 1; i >= 0; i--)
		if (actions[i].entry == index && actions[i].move == move)
			return true;
	return false;
}

static bool
was_running(HdJobState before)
{
	return before == HD_JOB_CLAIMED || before == HD_JOB_LEASED;
}

void
hd_jobs_moves_own(int32 db, int *ending, TimestampTz *earliest)
{
	for (int i = 0; i < nactions; i++)
	{
		const HdJobEntry *entry = hd_jobs_entry(actions[i].entry);
		bool ends = actions[i].move == HD_JOB_MOVE_END || actions[i].move == HD_JOB_MOVE_RELEASE;
		bool listed = actions[i].move == HD_JOB_MOVE_RESERVE && entry->state == HD_JOB_RESERVED;
		int32 queue;

		if ((!ends || !was_running((HdJobState) actions[i].before)) && !listed)
			continue;
		queue = hd_jobs_lane(entry->lane)->queue;
		if (hd_jobs_queue(queue)->db != db)
			continue;
		if (listed)
			earliest[queue] = Min(earliest[queue], entry->at);
		else
			ending[queue]++;
	}
	for (int i = 0; i < nnotes; i++)
		if (notes[i].db == db && notes[i].kind == HD_JOB_NOTE_LANE)
		{
			int32 queue = hd_jobs_lane((int32) notes[i].target)->queue;

			earliest[queue] = Min(earliest[queue], notes[i].earliest);
		}
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

void
hd_jobs_moves_unclaim(int32 index)
{
	int32 gate = hd_jobs_entry(index)->gate;

	hd_jobs_ledger_clear(index);
	hd_jobs_list_stopped(index);
	if (gate >= 0)
		hd_jobs_gate(gate)->ready++;
	hd_jobs_lane_push(index);
	hd_jobs_waiter_wake(index);
}

/* A claim ends uncharged: back to its place in the lane. */
static void
give_back(int32 index)
{
	if (hd_jobs_cancel_keeps(index))
		return;
	hd_jobs_moves_unclaim(index);
	hd_counters_add(HD_COUNTER_JOBS_GIVEN_BACK, 1);
}

/* Free an entry, and let those of its key go on. */
static void
leave(int32 index)
{
	int32 gate = hd_jobs_entry(index)->gate;

	if (gate < 0)
	{
		hd_jobs_list_free(index);
		return;
	}
	if (hd_jobs_entry(index)->in_gate)
		hd_jobs_gate_unlink(index);
	hd_jobs_gate_hold(gate);
	hd_jobs_list_free(index);
	hd_jobs_gate_look_again(gate);
	hd_jobs_gate_admit(gate);
	hd_jobs_gate_let_go(gate);
}

/* The row of a committed transaction: into its lane or behind its gate. */
static void
arrive(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);

	hd_counters_add(HD_COUNTER_JOBS_ENQUEUED, 1);
	if (entry->gate < 0)
	{
		hd_jobs_lane_push(index);
		hd_jobs_waiter_wake(index);
	}
	else if (hd_jobs_gate_accepts(hd_jobs_gate(entry->gate), entry->at, entry->id))
		hd_jobs_gate_block(index);
	else
		leave(index);
}

/* Whoever looked meanwhile passed over the row, since it had an entry: it is to be found again. */
static void
return_to_line(int32 index)
{
	const HdJobEntry *entry = hd_jobs_entry(index);

	hd_jobs_list_schedule(hd_jobs_entry_queue(entry)->db, entry->at, entry->id);
	if (entry->gate >= 0)
		hd_jobs_gate_note(entry->gate, entry->at, entry->id);
	else
		hd_jobs_lane_note(entry->lane, entry->at, entry->id);
	hd_jobs_waiter_wake(index);
	leave(index);
}

static void
undo_end(const HdJobAction *action)
{
	HdJobEntry *entry = hd_jobs_entry(action->entry);

	switch ((HdJobState) action->before)
	{
		case HD_JOB_FREE:
			return_to_line(action->entry);
			break;
		case HD_JOB_READY:
			hd_jobs_lane_push(action->entry);
			hd_jobs_waiter_wake(action->entry);
			break;
		case HD_JOB_BLOCKED:
			hd_jobs_gate_block(action->entry);
			hd_jobs_gate_admit(entry->gate);
			break;
		default:
			entry->state = action->before;
			if (action->before == HD_JOB_LEASED && !entry->bound)
				entry->owner = 0;
			if (entry->lease_expires == DT_NOBEGIN)
				hd_jobs_list->databases[hd_jobs_entry_queue(entry)->db].left = true;
			break;
	}
}

static void
undo(const HdJobAction *action)
{
	switch ((HdJobMove) action->move)
	{
		case HD_JOB_MOVE_RESERVE:
			hd_jobs_lane(hd_jobs_entry(action->entry)->lane)->reserved--;
			hd_jobs_list_free(action->entry);
			break;
		case HD_JOB_MOVE_CLAIM:
			give_back(action->entry);
			break;
		case HD_JOB_MOVE_END:
		case HD_JOB_MOVE_RELEASE:
			undo_end(action);
			break;
		case HD_JOB_MOVE_LOAD:
			hd_jobs_list->databases[action->entry].loaded = false;
			break;
		case HD_JOB_MOVE_WAKE:
			/* What this transaction saw of its own changes must not stay. */
			hd_jobs_gate_doubt(action->entry);
			hd_jobs_waiter_wake_database(action->entry, INT_MAX);
			break;
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
			hd_jobs_lane(entry->lane)->reserved--;
			if (entry->state == HD_JOB_RESERVED)
				arrive(action->entry);
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
				hd_jobs_list_stopped(action->entry);
				hd_counters_add(HD_COUNTER_JOBS_ENDED, 1);
			}
			else if (action->before == HD_JOB_READY && entry->gate >= 0)
				hd_jobs_gate(entry->gate)->ready--;
			leave(action->entry);
			break;
		case HD_JOB_MOVE_RELEASE:
			give_back(action->entry);
			break;
		case HD_JOB_MOVE_LOAD:
			hd_jobs_list->databases[action->entry].loaded = true;
			hd_jobs_list_search_again(action->entry);
			break;
		case HD_JOB_MOVE_WAKE:
			waking = action->entry;
			break;
		case HD_JOB_MOVE_NONE:
			break;
	}
}

/* New jobs of a key all stand behind their gate before it opens: ids count, not the order here. */
static void
finish_all(void)
{
	for (int i = 0; i < nactions; i++)
		if (actions[i].move == HD_JOB_MOVE_RESERVE)
			finish(&actions[i]);
	for (int i = 0; i < nactions; i++)
		if (actions[i].move != HD_JOB_MOVE_RESERVE)
			finish(&actions[i]);
	for (int i = 0; i < nactions; i++)
		if (actions[i].move == HD_JOB_MOVE_RESERVE &&
			hd_jobs_entry(actions[i].entry)->state == HD_JOB_BLOCKED)
			hd_jobs_gate_admit(hd_jobs_entry(actions[i].entry)->gate);
}

/* A gate that was not there when a job for later was put behind it may have come since. */
static void
finish_line_note(const HdJobNote *note)
{
	int32 gate = hd_jobs_gate_find(note->db, note->target);

	if (gate >= 0)
		hd_jobs_gate_note(gate, note->earliest, note->earliest_id);
}

static void
finish_note(const HdJobNote *note)
{
	HdJobDatabase *database = &hd_jobs_list->databases[note->db];
	int32 target = (int32) note->target; /* a lane or a gate */

	switch (note->kind)
	{
		case HD_JOB_NOTE_LINE:
			finish_line_note(note);
			return;
		case HD_JOB_NOTE_SCHEDULED:
			/* Those who wait sleep until the first job they knew of is due. */
			if (note->earliest < database->next_due)
				hd_jobs_waiter_wake_database(note->db, 1);
			hd_jobs_list_schedule(note->db, note->earliest, note->earliest_id);
			break;
		case HD_JOB_NOTE_LANE:
			hd_jobs_lane_note(target, note->earliest, note->earliest_id);
			hd_jobs_waiter_wake_lane(target, note->nrows);
			break;
		case HD_JOB_NOTE_GATE:
			hd_jobs_gate_note(target, note->earliest, note->earliest_id);
			if (hd_jobs_gate(target)->hungry.next != NULL)
				hd_jobs_waiter_wake_queue(hd_jobs_gate(target)->queue, 1);
			break;
		case HD_JOB_NOTE_LOST:
			hd_jobs_list_lose(note->db);
			database->searched_at = DT_NOBEGIN;
			hd_jobs_waiter_wake_database(note->db, note->nrows);
			break;
		case HD_JOB_NOTE_FLOW:
			if (note->target == HD_JOB_ALL_FLOWS)
				hd_jobs_flow_doubt_all(note->db);
			else
				hd_jobs_flow_doubt(note->db, (uint64) note->target);
			hd_jobs_waiter_wake_database(note->db, INT_MAX);
			return;
		case HD_JOB_NOTE_REMOVED:
			hd_jobs_gate_doubt(note->db);
			hd_jobs_list_lose(note->db);
			database->removals++;
			database->searched_at = DT_NOBEGIN;
			hd_jobs_waiter_wake_database(note->db, INT_MAX);
			return;
	}
	hd_counters_add(HD_COUNTER_JOBS_SHELVED, note->nrows);
}

static void
forget_all(void)
{
	for (int i = 0; i < nnotes; i++)
	{
		if (notes[i].kind == HD_JOB_NOTE_LANE)
			hd_jobs_lane_let_go((int32) notes[i].target);
		else if (notes[i].kind == HD_JOB_NOTE_GATE)
			hd_jobs_gate_let_go((int32) notes[i].target);
	}
	for (int i = 0; i < nnotes; i++)
		*note_bucket(notes[i].kind, notes[i].target) = -1;
	nactions = 0;
	nnotes = 0;
	covered_until = 0;
	changed_flows = false;
	hd_jobs_tally_end();
}

static bool
has_nothing(void)
{
	return nactions == 0 && nnotes == 0 && !hd_jobs_tally_pending();
}

static void
end_transaction(bool commit)
{
	preparing = InvalidTransactionId;
	if (has_nothing())
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (commit)
	{
		hd_jobs_tally_commit();

		/* Notes first: the end of a job must not let the next of its key pass its retry. */
		for (int i = 0; i < nnotes; i++)
			finish_note(&notes[i]);
		finish_all();
		if (covered_until != 0)
			hd_jobs_list->databases[covered_db].covered_until =
				Max(hd_jobs_list->databases[covered_db].covered_until, covered_until);
	}
	else
	{
		for (int i = nactions - 1; i >= 0; i--)
			undo(&actions[i]);

		/* What this transaction saw of its own changes must not stay. */
		for (int i = 0; i < nnotes; i++)
			if (notes[i].kind == HD_JOB_NOTE_FLOW)
				finish_note(&notes[i]);
	}
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
	hd_jobs_gate_doubt(db);
	hd_jobs_waiter_wake_database(db, INT_MAX);
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

	if (has_nothing())
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
		hd_jobs_load_line_rows(ids, n);
		PopActiveSnapshot();
	}
	preparing = GetTopTransactionId();
}

static void
after_prepare(void)
{
	Oid extension;
	int32 db;

	if (has_nothing())
		return;
	extension = hd_spi_extension_missing_ok();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int i = nactions - 1; i >= 0; i--)
		undo(&actions[i]);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	hd_jobs_load_note_prepared(db, preparing);

	/* Nobody will tell what it changed when it commits. */
	if (db >= 0 && hd_jobs_tally_pending())
		hd_jobs_tally_forget(db);
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
		hd_jobs_tally_hand_up(level);
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		hd_jobs_tally_roll_back(level);

		/* It may have been written in what is rolled back. */
		covered_until = 0;
		if (nactions == 0 || actions[nactions - 1].level < level)
			return;
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		while (nactions > 0 && actions[nactions - 1].level >= level)
			undo(&actions[--nactions]);
		LWLockRelease(hd_jobs_lock);
	}
}
