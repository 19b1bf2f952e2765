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
#include "jobs/ledger.h"
#include "jobs/list.h"
#include "jobs/load.h"
#include "jobs/moves.h"
#include "miscadmin.h"
#include "storage/ipc.h"

static int32 last_reserved = -1;
static bool exit_registered = false;

/* Slot of a queue of this database; -1 when there is no room for it. Lock held. */
static int32
my_queue(const char *name, Oid extension)
{
	int32 db = hd_jobs_list_database(MyDatabaseId, extension);

	return (db >= 0) ? hd_jobs_list_queue(db, name, true) : -1;
}

bool
hd_jobs_tx_reserve(const char *queue, int priority, int64 id, TimestampTz at, uint32 kind_hash,
				   uint32 tenant_hash)
{
	Oid extension = hd_spi_extension();
	int32 slot;
	int32 index = -1;

	hd_jobs_moves_prepare(1);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	slot = my_queue(queue, extension);
	if (slot >= 0)
	{
		HdJobQueue *q = hd_jobs_queue(slot);

		if (hd_jobs_list->databases[q->db].loaded && !q->lanes[priority].shelved)
		{
			if (hd_jobs_list_has_room(&q->lanes[priority]))
				index = hd_jobs_list_alloc(slot, id);
			else
				hd_counters_add(HD_COUNTER_JOBS_LIST_FULL, 1);
		}
	}
	if (index >= 0)
	{
		HdJobEntry *entry = hd_jobs_entry(index);

		hd_jobs_queue(slot)->lanes[priority].reserved++;
		entry->state = HD_JOB_RESERVED;
		entry->owner = MyProcPid;
		entry->at = at;
		entry->priority = (uint8) priority;
		entry->kind_hash = kind_hash;
		entry->tenant_hash = tenant_hash;
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

void
hd_jobs_tx_shelve(const char *queue, int priority, TimestampTz at, int64 id)
{
	Oid extension = hd_spi_extension();
	int32 slot;

	hd_jobs_moves_prepare_note();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	slot = my_queue(queue, extension);
	if (slot >= 0)
		hd_jobs_moves_note(slot, priority, at, id);
	LWLockRelease(hd_jobs_lock);

	/* Without a slot nothing is remembered of the lane: whoever waits has to look. */
	if (slot < 0)
		hd_jobs_tx_wake();
}

/* Of several queues, the oldest entry of one priority. */
static int32
oldest(const HdJobQueues *queues, int priority)
{
	int32 best = -1;

	for (int i = 0; i < queues->n; i++)
	{
		int32 candidate = -1;

		if (queues->slots[i] >= 0)
			candidate =
				hd_jobs_list_first(&hd_jobs_queue(queues->slots[i])->lanes[priority], queues);
		if (candidate < 0)
			continue;
		if (best < 0 || hd_jobs_entry(candidate)->at < hd_jobs_entry(best)->at)
			best = candidate;
	}
	return best;
}

static void
take(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);

	hd_jobs_list_unlink(index);
	entry->state = HD_JOB_CLAIMED;
	entry->owner = MyProcPid;
	hd_jobs_queue(entry->queue)->running++;
	hd_jobs_moves_record(HD_JOB_MOVE_CLAIM, HD_JOB_READY, index);
}

int
hd_jobs_tx_claim(HdJobQueues *queues, int n, int32 *taken)
{
	int ntaken = 0;

	hd_jobs_moves_prepare(n);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	for (int p = 0; p < HD_JOB_PRIORITIES; p++)
		while (ntaken < n)
		{
			int32 index = oldest(queues, p);

			if (index < 0)
				break;
			take(index);
			taken[ntaken++] = index;
		}
	LWLockRelease(hd_jobs_lock);
	return ntaken;
}

static void
fill_ledger(int32 index, const HdJobEntry *entry, int attempt, const HdJobHold *hold)
{
	HdLedgerSlot *slot = hd_jobs_ledger_slot(index);
	const HdJobQueue *queue = hd_jobs_queue(entry->queue);
	const HdJobDatabase *db = &hd_jobs_list->databases[queue->db];

	memset(slot, 0, sizeof(HdLedgerSlot));
	slot->use = hold->handler ? HD_LEDGER_HANDLER : HD_LEDGER_TENTATIVE;
	slot->priority = entry->priority;
	slot->bound = hold->bound;
	slot->database = db->database;
	slot->extension = db->extension;
	slot->id = entry->id;
	slot->token = entry->token;
	slot->at = entry->at;
	slot->lease_expires = entry->lease_expires;
	slot->started = hold->now;
	slot->attempt = attempt;
	slot->kind_hash = entry->kind_hash;
	slot->tenant_hash = entry->tenant_hash;
	strlcpy(slot->queue, queue->name, NAMEDATALEN);
	strlcpy(slot->worker, hold->worker, NAMEDATALEN);
	hd_jobs_ledger_seal(index);
}

/* A bound lease ends with its session; the next tick finds it expired. */
static void
release_bound(int code, Datum arg)
{
	if (hd_jobs_list == NULL)
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int32 i = 0; i < hd_jobs_list->capacity; i++)
	{
		HdJobEntry *entry = hd_jobs_entry(i);

		if (entry->state != HD_JOB_LEASED || !entry->bound || entry->owner != MyProcPid)
			continue;
		entry->lease_expires = DT_NOBEGIN;
		entry->owner = 0;
		entry->bound = false;
		hd_jobs_ledger_slot(i)->crashed = true;
		hd_jobs_ledger_seal(i);
	}
	hd_jobs_load_alert_ticker();
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

/* Forget that this transaction claimed an entry. Lock held. */
static void
forget_claim(int32 index)
{
	hd_jobs_moves_change(index, HD_JOB_MOVE_CLAIM, HD_JOB_MOVE_NONE);
	hd_jobs_queue(hd_jobs_entry(index)->queue)->running--;
}

void
hd_jobs_tx_unclaim(int32 index)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	forget_claim(index);
	hd_jobs_list_push(index);
	hd_jobs_list_wake(index);
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_tx_drop(int32 index, TimestampTz at)
{
	HdJobEntry *entry = hd_jobs_entry(index);

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	forget_claim(index);
	if (at != DT_NOBEGIN)
	{
		/* Another session's moved clock may have listed it early: lower the cursor as well. */
		hd_jobs_list_shelve(entry->queue, entry->priority, entry->at, entry->id, entry->at);
		hd_jobs_list_shelve(entry->queue, entry->priority, at, entry->id, DT_NOBEGIN);
	}
	hd_jobs_list_free(index);
	LWLockRelease(hd_jobs_lock);
}

/* Into this transaction's hands, from whatever state it is in. Lock held. */
static void
move_to_ending(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdJobState before = (HdJobState) entry->state;

	if (before == HD_JOB_READY)
		hd_jobs_list_unlink(index);
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
	return token > 0 && HD_JOB_TOKEN_BOOT(token) != hd_jobs_list->boot;
}

/* A new entry in this transaction's hands, for a job that has none. Lock held. */
static int32
adopt(const char *queue, int priority, int64 id, Oid extension)
{
	int32 slot = my_queue(queue, extension);
	int32 index = (slot >= 0) ? hd_jobs_list_alloc(slot, id) : -1;

	if (index < 0)
		return -1;
	hd_jobs_entry(index)->priority = (uint8) priority;
	move_to_ending(index);
	return index;
}

int32
hd_jobs_tx_adopt(int64 id, const char *queue, int priority, ItemPointer tid)
{
	int32 index;

	if (hd_jobs_tx_seize(id, queue, priority, &index) != HD_JOB_SEIZED)
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
hd_jobs_tx_seize(int64 id, const char *queue, int priority, int32 *index)
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
		*index = adopt(queue, priority, id, extension);
		full = *index < 0;
	}
	else
	{
		HdJobEntry *entry = hd_jobs_entry(*index);
		bool mine = entry->owner == MyProcPid && entry->state == HD_JOB_RESERVED;

		if (entry->state == HD_JOB_READY || mine)
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
			hd_jobs_queue(entry->queue)->db != db)
			continue;
		move_to_ending(i);
		taken[ntaken++] = i;
	}
	LWLockRelease(hd_jobs_lock);
	return ntaken;
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
