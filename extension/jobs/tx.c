/*-------------------------------------------------------------------------
 * tx.c
 *		What an open transaction does to the list, until it commits or not.
 *
 * Model: see tx.h.  Each function moves entries and records the moves
 * (moves.h), which the transaction's end makes final or undoes.
 *
 * Locking: each function takes the list's lock once.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tx.h"

#include "core/counters.h"
#include "core/spi.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/ledger.h"
#include "jobs/list.h"
#include "jobs/moves.h"
#include "jobs/notes.h"
#include "jobs/rate.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "storage/ipc.h"

static int32 last_reserved = -1;
static bool exit_registered = false;

/* The gate behind which a new job may stand with an entry, or -1. Lock held. */
static int32
open_gate(int32 db, const HdJobPlace *place)
{
	int32 index = hd_jobs_gate_find(db, place->gate);

	if (index < 0 || hd_jobs_gate(index)->backlog.more ||
		!hd_jobs_gate_has_room(hd_jobs_gate(index)))
		return -1;
	return index;
}

/* An entry for a new job, or -1 when it has to wait in its line. Lock held. */
static int32
reserve(int32 db, const HdJobPlace *place, int64 id)
{
	int32 gate = -1;
	int32 lane;
	int32 index;

	if (place->gate != 0)
	{
		gate = open_gate(db, place);
		if (gate < 0)
			return -1;
	}
	if (!hd_jobs_lane_is_spare(db, place))
		return -1;
	lane = hd_jobs_lane_get(db, place);
	if (lane < 0 || (gate < 0 && hd_jobs_lane(lane)->backlog.more))
		return -1;
	if (!hd_jobs_list_has_room(hd_jobs_lane(lane)))
	{
		hd_counters_add(HD_COUNTER_JOBS_LIST_FULL, 1);
		return -1;
	}
	index = hd_jobs_list_alloc(lane, id);
	if (index < 0)
		return -1;
	if (gate >= 0)
		hd_jobs_list_set_gate(index, gate);
	hd_jobs_lane(lane)->reserved++;
	return index;
}

bool
hd_jobs_tx_reserve(const HdJobPlace *place, int64 id, TimestampTz at)
{
	Oid extension = hd_spi_extension();
	int32 index = -1;
	int32 db;

	hd_jobs_moves_prepare(1);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && hd_jobs_list->databases[db].loaded)
		index = reserve(db, place, id);
	if (index >= 0)
	{
		HdJobEntry *entry = hd_jobs_entry(index);

		entry->state = HD_JOB_RESERVED;
		entry->owner = MyProcPid;
		entry->at = at;
		hd_jobs_moves_record(HD_JOB_MOVE_RESERVE, HD_JOB_FREE, index);
	}
	LWLockRelease(hd_jobs_lock);
	last_reserved = index;
	return index >= 0;
}

void
hd_jobs_tx_place(int64 id, ItemPointer tid)
{
	HdJobEntry *entry = hd_jobs_entry(last_reserved);

	/* Nobody else reads the place of a reserved entry, so no lock is needed. */
	Assert(entry->id == id && entry->state == HD_JOB_RESERVED);
	ItemPointerCopy(tid, &entry->tid);
}

/* Note a row of a key. Lock held. */
static void
note_keyed(int32 db, const HdJobPlace *place, int64 id, TimestampTz at, bool scheduled)
{
	/* One that is not due concerns only a gate that keeps the order, if there is one. */
	int32 gate = scheduled ? hd_jobs_gate_find(db, place->gate) : hd_jobs_gate_get(db, place);

	if (gate >= 0 && (!scheduled || place->strict))
		hd_jobs_notes_add(HD_JOB_NOTE_GATE, db, gate, at, id);
	else if (gate < 0 && scheduled && place->strict)
		hd_jobs_notes_add(HD_JOB_NOTE_LINE, db, place->gate, at, id);
	else if (gate < 0 && !scheduled)
		hd_jobs_notes_add(HD_JOB_NOTE_LOST, db, 0, at, id);
}

void
hd_jobs_tx_wait(const HdJobPlace *place, int64 id, TimestampTz at, bool scheduled)
{
	Oid extension = hd_spi_extension();
	int32 db;

	hd_jobs_notes_prepare();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && place->gate != 0)
		note_keyed(db, place, id, at, scheduled);
	else if (db >= 0 && !scheduled)
	{
		int32 lane = hd_jobs_lane_get(db, place);

		if (lane >= 0)
			hd_jobs_notes_add(HD_JOB_NOTE_LANE, db, lane, at, id);
		else
			hd_jobs_notes_add(HD_JOB_NOTE_LOST, db, 0, at, id);
	}
	if (db >= 0 && scheduled)
		hd_jobs_notes_add(HD_JOB_NOTE_SCHEDULED, db, 0, at, id);
	LWLockRelease(hd_jobs_lock);
}

static void
take(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);

	hd_jobs_lane_unlink(index);
	hd_jobs_lane_served(index);
	if (entry->gate >= 0)
		hd_jobs_gate(entry->gate)->ready--;
	entry->state = HD_JOB_CLAIMED;
	entry->owner = MyProcPid;
	hd_jobs_list_started(index);
	hd_jobs_moves_record(HD_JOB_MOVE_CLAIM, HD_JOB_READY, index);
}

/* A key's width was lowered since the entry was let through: it has to go back. Lock held. */
static bool
is_turned_back(int32 index)
{
	int32 gate = hd_jobs_entry(index)->gate;

	if (gate < 0 || (!hd_jobs_gate_is_stale(hd_jobs_gate(gate)) &&
					 hd_jobs_gate(gate)->running < hd_jobs_gate(gate)->width))
		return false;
	hd_jobs_lane_unlink(index);
	hd_jobs_gate(gate)->ready--;
	hd_jobs_gate_block(index);
	hd_jobs_gate_check(gate);
	return true;
}

/* One less of what may be taken from a queue. */
static void
use_rate(HdJobQueues *queues, int32 slot)
{
	for (int i = 0; i < queues->n; i++)
		if (queues->slots[i] == slot && queues->rates[i].left > 0)
			queues->rates[i].left--;
}

int
hd_jobs_tx_claim(HdJobQueues *queues, int n, bool ordered, int32 *taken)
{
	bool starving = false;
	int ntaken = 0;

	hd_jobs_moves_prepare(n);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	for (int p = 0; p < HD_JOB_PRIORITIES && !starving; p++)
	{
		while (ntaken < n)
		{
			int32 index = hd_jobs_lane_next(queues, p);

			if (index < 0)
				break;
			if (is_turned_back(index) ||
				!hd_jobs_flow_pay(hd_jobs_lane(hd_jobs_entry(index)->lane)->flow))
				continue;
			take(index);
			taken[ntaken++] = index;
			if (queues->rated)
				use_rate(queues, hd_jobs_lane(hd_jobs_entry(index)->lane)->queue);
		}

		/* Rows of this priority come before entries of the next, if they can be brought. */
		starving = ordered && ntaken < n && hd_jobs_lane_starves(queues, p);
	}
	if (hd_jobs_waiter_may_be())
		hd_jobs_waiter_claimed(queues, ntaken, n);
	LWLockRelease(hd_jobs_lock);
	return ntaken;
}

static void
fill_ledger(int32 index, const HdJobEntry *entry, int attempt, const HdJobHold *hold)
{
	HdLedgerSlot *slot = hd_jobs_ledger_slot(index);
	const HdJobLane *lane = hd_jobs_lane(entry->lane);
	const HdJobQueue *queue = hd_jobs_queue(lane->queue);
	const HdJobDatabase *db = &hd_jobs_list->databases[queue->db];

	memset(slot, 0, sizeof(HdLedgerSlot));
	slot->use = hold->handler ? HD_LEDGER_HANDLER : HD_LEDGER_TENTATIVE;
	slot->priority = lane->priority;
	slot->bound = hold->bound;
	slot->database = db->database;
	slot->extension = db->extension;
	slot->id = entry->id;
	slot->token = entry->token;
	slot->at = entry->at;
	slot->lease_expires = entry->lease_expires;
	slot->started = hold->now;
	slot->deadline = hold->deadline;
	slot->attempt = attempt;
	slot->kind_hash = lane->kind_hash;
	slot->tenant_hash = lane->tenant_hash;
	slot->flow_hash = hd_jobs_lane_flow_hash(lane);
	slot->gate = (entry->gate >= 0) ? hd_jobs_gate(entry->gate)->line : 0;
	slot->strict = entry->gate >= 0 && hd_jobs_gate(entry->gate)->strict;
	strlcpy(slot->queue, queue->name, NAMEDATALEN);
	strlcpy(slot->worker, hold->worker, NAMEDATALEN);
	hd_jobs_ledger_seal(index);
}

/* Whoever claims or waits next ends what a session left behind, if no tick is faster. Lock held. */
static void
mark_left(int32 db)
{
	if (hd_jobs_list->databases[db].left)
		return;
	hd_jobs_list->databases[db].left = true;
	hd_jobs_waiter_wake_database(db, 1);
}

/* A bound lease ends with its session; the next tick or claim finds it expired. */
static void
release_bound(int code, Datum arg)
{
	if (hd_jobs_list == NULL)
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int32 i = 0; i < hd_jobs_list->capacity; i++)
	{
		HdJobEntry *entry = hd_jobs_entry(i);

		/* One that another transaction is ending may yet come back to be leased. */
		if ((entry->state != HD_JOB_LEASED && entry->state != HD_JOB_ENDING) || !entry->bound ||
			entry->owner != MyProcPid)
			continue;
		mark_left(hd_jobs_entry_queue(entry)->db);
		entry->lease_expires = DT_NOBEGIN;
		entry->owner = 0;
		entry->bound = false;
		hd_jobs_ledger_slot(i)->crashed = true;
		hd_jobs_ledger_seal(i);
	}
	hd_jobs_waiter_wake_ticker();
	LWLockRelease(hd_jobs_lock);
}

int64
hd_jobs_tx_hold(int32 index, int32 fence, int attempt, ItemPointer tid, const HdJobHold *hold)
{
	HdJobEntry *entry = hd_jobs_entry(index);

	if (hold->bound && !exit_registered)
	{
		/* Not before_shmem_exit: an open transaction must have been rolled back by then. */
		on_shmem_exit(release_bound, (Datum) 0);
		exit_registered = true;
	}
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	entry->token = hd_jobs_list_token(fence);
	entry->lease_expires = hold->expires;
	entry->bound = hold->bound;
	ItemPointerCopy(tid, &entry->tid);
	fill_ledger(index, entry, attempt, hold);
	LWLockRelease(hd_jobs_lock);
	return entry->token;
}

void
hd_jobs_tx_unclaim(int32 index)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_moves_change(index, HD_JOB_MOVE_CLAIM, HD_JOB_MOVE_NONE);
	hd_jobs_moves_unclaim(index);
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_tx_drop(int32 index, TimestampTz at)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	int32 gate = entry->gate;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_moves_change(index, HD_JOB_MOVE_CLAIM, HD_JOB_MOVE_NONE);
	hd_jobs_list_stopped(index);
	if (gate >= 0)
		hd_jobs_gate_hold(gate);
	if (at != DT_NOBEGIN)
	{
		/* Another session's moved clock may have listed it early: lower the cursors as well. */
		hd_jobs_list_schedule(hd_jobs_entry_queue(entry)->db, at, entry->id);
		if (gate >= 0)
			hd_jobs_gate_note(gate, at, entry->id);
	}
	hd_jobs_list_free(index);
	if (gate >= 0)
	{
		hd_jobs_gate_admit(gate);
		hd_jobs_gate_let_go(gate);
	}
	LWLockRelease(hd_jobs_lock);
}

/* Into this transaction's hands, from whatever state it is in. Lock held. */
static void
move_to_ending(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdJobState before = (HdJobState) entry->state;

	if (before == HD_JOB_READY)
		hd_jobs_lane_unlink(index);
	else if (entry->gate >= 0 && (before == HD_JOB_BLOCKED || before == HD_JOB_FREE))
		hd_jobs_gate_seize(index);
	hd_jobs_moves_record(HD_JOB_MOVE_END, before, index);
	entry->state = HD_JOB_ENDING;
	if (!entry->bound)
		entry->owner = MyProcPid;
}

int32
hd_jobs_tx_end(int64 id, int64 token)
{
	Oid extension = hd_spi_extension();
	int32 db;
	int32 index;

	hd_jobs_moves_prepare(1);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	if (index >= 0)
	{
		HdJobEntry *entry = hd_jobs_entry(index);
		bool mine = entry->state == HD_JOB_CLAIMED && entry->owner == MyProcPid;

		if (entry->token == token && (mine || entry->state == HD_JOB_LEASED))
			move_to_ending(index);
		else
			index = -1;
	}
	LWLockRelease(hd_jobs_lock);
	return index;
}

bool
hd_jobs_tx_from_earlier_boot(int64 token)
{
	return token > 0 && HD_JOB_TOKEN_BOOT(token) != 0 &&
		   HD_JOB_TOKEN_BOOT(token) != hd_jobs_list->boot;
}

/* A new entry in this transaction's hands, for a job that has none. Lock held. */
static int32
adopt(int32 db, int64 id, const HdJobPlace *place)
{
	int32 lane = (db >= 0) ? hd_jobs_lane_get(db, place) : -1;
	int32 gate = -1;
	int32 index;

	if (lane >= 0 && place->gate != 0)
		gate = hd_jobs_gate_get(db, place);
	if (lane < 0 || (place->gate != 0 && gate < 0))
		return -1;
	index = hd_jobs_list_alloc(lane, id);
	if (index < 0)
		return -1;
	hd_jobs_entry(index)->at = place->at;
	if (gate >= 0)
		hd_jobs_list_set_gate(index, gate);
	move_to_ending(index);
	return index;
}

int32
hd_jobs_tx_adopt(int64 id, const HdJobPlace *place, ItemPointer tid)
{
	int32 index;

	if (hd_jobs_tx_seize(id, place, &index) != HD_JOB_SEIZED)
		return -1;
	ItemPointerCopy(tid, &hd_jobs_entry(index)->tid);
	return index;
}

/* Whether this very transaction is ending the entry's job. Lock held. */
static bool
is_in_hands(int32 index)
{
	return hd_jobs_moves_made(index, HD_JOB_MOVE_END) ||
		   hd_jobs_moves_made(index, HD_JOB_MOVE_RELEASE);
}

HdJobSeizure
hd_jobs_tx_seize(int64 id, const HdJobPlace *place, int32 *index)
{
	Oid extension = hd_spi_extension();
	HdJobSeizure result = HD_JOB_SEIZED;
	bool full = false;
	int32 db;

	hd_jobs_moves_prepare(1);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	*index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	if (*index < 0)
	{
		*index = adopt(db, id, place);
		full = *index < 0;
	}
	else
	{
		HdJobEntry *entry = hd_jobs_entry(*index);
		bool mine = entry->owner == MyProcPid && entry->state == HD_JOB_RESERVED;

		if (entry->state == HD_JOB_READY || entry->state == HD_JOB_BLOCKED || mine)
			move_to_ending(*index);
		else if (entry->state == HD_JOB_CLAIMED || entry->state == HD_JOB_LEASED)
			result = HD_JOB_RUNNING;
		else if (!is_in_hands(*index))
			result = HD_JOB_BUSY;
	}
	LWLockRelease(hd_jobs_lock);
	if (full)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many jobs are being changed at once"),
						errhint("Change fewer in one transaction, or raise hotdash.job_slots.")));
	return result;
}

int
hd_jobs_tx_expired(TimestampTz now, int32 *taken, int n)
{
	Oid extension = hd_spi_extension();
	int ntaken = 0;
	int32 db;

	hd_jobs_moves_prepare(n);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	for (int32 i = 0; db >= 0 && i < hd_jobs_list->capacity && ntaken < n; i++)
	{
		HdJobEntry *entry = hd_jobs_entry(i);

		if (entry->state != HD_JOB_LEASED || entry->lease_expires > now ||
			hd_jobs_entry_queue(entry)->db != db)
			continue;
		move_to_ending(i);
		taken[ntaken++] = i;
	}
	if (db >= 0 && ntaken < n)
		hd_jobs_list->databases[db].left = false;
	LWLockRelease(hd_jobs_lock);
	return ntaken;
}

bool
hd_jobs_tx_has_left(int32 db)
{
	bool left;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	left = hd_jobs_list->databases[db].left;
	LWLockRelease(hd_jobs_lock);
	return left;
}

void
hd_jobs_tx_release(int32 index)
{
	hd_jobs_moves_change(index, HD_JOB_MOVE_END, HD_JOB_MOVE_RELEASE);
}

void
hd_jobs_tx_loaded(int32 db)
{
	hd_jobs_moves_prepare(1);
	hd_jobs_moves_record(HD_JOB_MOVE_LOAD, HD_JOB_FREE, db);
}

void
hd_jobs_tx_wake(void)
{
	Oid extension = hd_spi_extension();
	int32 db;

	hd_jobs_moves_prepare(1);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	LWLockRelease(hd_jobs_lock);
	if (db >= 0)
		hd_jobs_moves_record(HD_JOB_MOVE_WAKE, HD_JOB_FREE, db);
}

void
hd_jobs_tx_flow_changed(uint64 hash)
{
	Oid extension = hd_spi_extension();
	int32 db;

	hd_jobs_notes_prepare();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0)
		hd_jobs_notes_add(HD_JOB_NOTE_FLOW, db, (int64) hash, DT_NOEND, PG_INT64_MAX);
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_tx_removed(void)
{
	Oid extension = hd_spi_extension();
	int32 db;

	hd_jobs_notes_prepare();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0)
		hd_jobs_notes_add(HD_JOB_NOTE_REMOVED, db, 0, DT_NOEND, PG_INT64_MAX);
	LWLockRelease(hd_jobs_lock);
}

bool
hd_jobs_tx_lease(int32 index, HdJobLease *lease)
{
	HdLedgerSlot *slot = hd_jobs_ledger_slot(index);

	/* The slot of an entry in this transaction's hands is nobody else's to change. */
	if (slot->use == HD_LEDGER_FREE || slot->id != hd_jobs_entry(index)->id)
		return false;
	lease->started = slot->started;
	lease->crashed = slot->crashed;
	lease->cancelled = slot->cancelled;
	strlcpy(lease->worker, slot->worker, NAMEDATALEN);
	return true;
}

void
hd_jobs_tx_let_go(int32 index)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_moves_cancel(index, HD_JOB_MOVE_END);
	LWLockRelease(hd_jobs_lock);
}
