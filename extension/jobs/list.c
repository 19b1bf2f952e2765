/*-------------------------------------------------------------------------
 * list.c
 *		Jobs in shared memory: memory layout, lanes, lookup, wake-up.
 *
 * Model: see list.h.  The area is one block: the header, then buckets,
 * entries, queues and waiters, each an array whose place follows from the
 * sizes in the header.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/list.h"

#include "common/hashfn.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "jobs/ledger.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

HdJobList *hd_jobs_list = NULL;
LWLock *hd_jobs_lock = NULL;

int hd_jobs_setting_slots = 65536;
int hd_jobs_setting_queues = 256;

static int32 *buckets = NULL;
static HdJobEntry *entries = NULL;
static HdJobQueue *queues = NULL;
static HdJobWaiter *waiters = NULL;

static int
bucket_count(void)
{
	return (int) pg_nextpower2_32((uint32) hd_jobs_setting_slots);
}

static int
waiter_count(void)
{
	return MaxConnections + max_worker_processes;
}

/* Where a part of n elements begins, counted from the area's start; *size grows by it. */
static Size
part(Size *size, Size element, int n)
{
	Size start = *size;

	*size = add_size(start, MAXALIGN(mul_size(element, n)));
	return start;
}

/* Where the parts of the area begin; returns the size of all. */
static Size
layout(Size *bucket_part, Size *entry_part, Size *queue_part, Size *waiter_part)
{
	Size size = MAXALIGN(sizeof(HdJobList));

	*bucket_part = part(&size, sizeof(int32), bucket_count());
	*entry_part = part(&size, sizeof(HdJobEntry), hd_jobs_setting_slots);
	*queue_part = part(&size, sizeof(HdJobQueue), hd_jobs_setting_queues);
	*waiter_part = part(&size, sizeof(HdJobWaiter), waiter_count());
	return size;
}

static Size
area_size(void)
{
	Size at[4];

	return layout(&at[0], &at[1], &at[2], &at[3]);
}

static void
find_parts(char *base)
{
	Size at[4];

	(void) layout(&at[0], &at[1], &at[2], &at[3]);
	buckets = (int32 *) (base + at[0]);
	entries = (HdJobEntry *) (base + at[1]);
	queues = (HdJobQueue *) (base + at[2]);
	waiters = (HdJobWaiter *) (base + at[3]);
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	hd_jobs_list = base;
	hd_jobs_lock = lock;
	find_parts(base);
	if (!fresh)
		return;

	hd_jobs_list->capacity = hd_jobs_setting_slots;
	hd_jobs_list->nbuckets = bucket_count();
	hd_jobs_list->max_queues = hd_jobs_setting_queues;
	hd_jobs_list->max_waiters = waiter_count();
	hd_jobs_list->ticker = -1;
	for (int i = 0; i < hd_jobs_list->nbuckets; i++)
		buckets[i] = -1;
	for (int i = 0; i < hd_jobs_list->max_waiters; i++)
		waiters[i].procno = -1;

	hd_jobs_ledger_open(hd_jobs_list->capacity);

	/* What the ledger did not bring back is free, lowest first. */
	hd_jobs_list->free_head = -1;
	for (int i = hd_jobs_list->capacity - 1; i >= 0; i--)
	{
		if (entries[i].state != HD_JOB_FREE)
			continue;
		entries[i].hash_next = hd_jobs_list->free_head;
		hd_jobs_list->free_head = i;
		hd_jobs_list->nfree++;
	}
}

static const HdShmemArea area = {"hotdash_jobs", area_size, area_init};

void
hd_jobs_list_register(void)
{
	hd_shmem_register(&area);
}

HdJobEntry *
hd_jobs_entry(int32 index)
{
	return &entries[index];
}

HdJobQueue *
hd_jobs_queue(int32 index)
{
	return &queues[index];
}

HdJobWaiter *
hd_jobs_waiter(int index)
{
	return &waiters[index];
}

static int32 *
bucket_of(int32 db, int64 id)
{
	uint32 hash = murmurhash32((uint32) id ^ (uint32) (id >> 32) ^ ((uint32) db << 24));

	return &buckets[hash & (uint32) (hd_jobs_list->nbuckets - 1)];
}

int32
hd_jobs_list_find(int32 db, int64 id)
{
	for (int32 i = *bucket_of(db, id); i >= 0; i = entries[i].hash_next)
		if (entries[i].id == id && queues[entries[i].queue].db == db)
			return i;
	return -1;
}

static void
enter(int32 index, int32 queue, int64 id)
{
	HdJobEntry *entry = &entries[index];
	int32 *bucket = bucket_of(queues[queue].db, id);

	memset(entry, 0, sizeof(HdJobEntry));
	entry->id = id;
	entry->queue = queue;
	entry->next = entry->prev = -1;
	entry->hash_next = *bucket;
	*bucket = index;
	queues[queue].refs++;
}

int32
hd_jobs_list_alloc(int32 queue, int64 id)
{
	int32 index = hd_jobs_list->free_head;

	if (index < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_LIST_FULL, 1);
		return -1;
	}
	hd_jobs_list->free_head = entries[index].hash_next;
	hd_jobs_list->nfree--;
	enter(index, queue, id);
	return index;
}

bool
hd_jobs_list_has_room(const HdJobLane *lane)
{
	int kept = Max(8, hd_jobs_list->capacity / 32);
	int used = lane->count + lane->reserved;

	if (used == 0)
		return hd_jobs_list->nfree > kept / 2;
	return used < hd_jobs_list->nfree - kept;
}

void
hd_jobs_list_restore(int32 index, int32 queue, int64 id)
{
	enter(index, queue, id);
}

void
hd_jobs_list_free(int32 index)
{
	HdJobEntry *entry = &entries[index];
	int32 *link = bucket_of(queues[entry->queue].db, entry->id);

	while (*link != index)
		link = &entries[*link].hash_next;
	*link = entry->hash_next;
	queues[entry->queue].refs--;
	entry->state = HD_JOB_FREE;
	entry->hash_next = hd_jobs_list->free_head;
	hd_jobs_list->free_head = index;
	hd_jobs_list->nfree++;
}

static bool
before(const HdJobEntry *a, const HdJobEntry *b)
{
	return a->at < b->at || (a->at == b->at && a->id < b->id);
}

void
hd_jobs_list_push(int32 index)
{
	HdJobEntry *entry = &entries[index];
	HdJobLane *lane = &queues[entry->queue].lanes[entry->priority];
	int32 after = lane->tail;
	int32 *forward;
	int32 *backward;

	/* Nearly always the newest; a job given back belongs near the head. */
	if (lane->head >= 0 && before(entry, &entries[lane->head]))
		after = -1;
	while (after >= 0 && before(entry, &entries[after]))
		after = entries[after].prev;

	forward = (after >= 0) ? &entries[after].next : &lane->head;
	entry->next = *forward;
	entry->prev = after;
	backward = (entry->next >= 0) ? &entries[entry->next].prev : &lane->tail;
	*forward = index;
	*backward = index;
	lane->count++;
	entry->state = HD_JOB_READY;
	entry->owner = 0;
	entry->token = 0;
	entry->bound = false;
}

void
hd_jobs_list_unlink(int32 index)
{
	HdJobEntry *entry = &entries[index];
	HdJobLane *lane = &queues[entry->queue].lanes[entry->priority];

	*((entry->prev >= 0) ? &entries[entry->prev].next : &lane->head) = entry->next;
	*((entry->next >= 0) ? &entries[entry->next].prev : &lane->tail) = entry->prev;
	entry->next = entry->prev = -1;
	lane->count--;
}

static void
reset_lane(HdJobLane *lane)
{
	lane->shelved = true;
	lane->lowered++;
	lane->cursor_at = DT_NOBEGIN;
	lane->cursor_id = PG_INT64_MIN;
	lane->next_due = DT_NOEND;
}

void
hd_jobs_list_shelve(int32 queue, int priority, TimestampTz at, int64 id, TimestampTz now)
{
	HdJobLane *lane = &queues[queue].lanes[priority];

	/* Whatever a look finds that began before this must not overwrite what is noted here. */
	lane->lowered++;
	if (at > now)
	{
		lane->next_due = Min(lane->next_due, at);
		return;
	}
	lane->shelved = true;
	if (at < lane->cursor_at || (at == lane->cursor_at && id <= lane->cursor_id))
	{
		lane->cursor_at = at;
		lane->cursor_id = id - 1;
	}
}

void
hd_jobs_list_reset_lanes(int32 db)
{
	for (int q = 0; q < hd_jobs_list->max_queues; q++)
		if (queues[q].name[0] != '\0' && queues[q].db == db)
			for (int p = 0; p < HD_JOB_PRIORITIES; p++)
				reset_lane(&queues[q].lanes[p]);
}

void
hd_jobs_list_forget(int32 db)
{
	for (int32 i = 0; i < hd_jobs_list->capacity; i++)
	{
		HdJobEntry *entry = &entries[i];

		if (entry->state == HD_JOB_FREE || queues[entry->queue].db != db)
			continue;
		if (entry->state == HD_JOB_READY)
			hd_jobs_list_unlink(i);
		hd_jobs_ledger_clear(i);
		hd_jobs_list_free(i);
	}
	for (int q = 0; q < hd_jobs_list->max_queues; q++)
		if (queues[q].name[0] != '\0' && queues[q].db == db)
			queues[q].name[0] = '\0';
	memset(&hd_jobs_list->databases[db], 0, sizeof(HdJobDatabase));
}

int32
hd_jobs_list_database(Oid database, Oid extension)
{
	int32 vacant = -1;

	for (int32 i = 0; i < HD_JOB_MAX_DATABASES; i++)
	{
		HdJobDatabase *db = &hd_jobs_list->databases[i];

		if (db->database == database && db->extension == extension)
			return i;
		if (db->database == InvalidOid && vacant < 0)
			vacant = i;
	}
	if (vacant >= 0)
	{
		hd_jobs_list->databases[vacant].database = database;
		hd_jobs_list->databases[vacant].extension = extension;
	}
	return vacant;
}

void
hd_jobs_list_forget_others(int32 db)
{
	for (int32 i = 0; i < HD_JOB_MAX_DATABASES; i++)
		if (i != db && hd_jobs_list->databases[i].database == hd_jobs_list->databases[db].database)
			hd_jobs_list_forget(i);
}

/* A free slot, or one that nothing points to: all it knows can be found again. */
static int32
vacate_queue(void)
{
	int32 idle = -1;

	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
	{
		if (queues[q].name[0] == '\0')
			return q;
		if (queues[q].refs == 0)
			idle = q;
	}
	return idle;
}

int32
hd_jobs_list_queue(int32 db, const char *name, bool create)
{
	int32 slot;

	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
		if (queues[q].db == db && strcmp(queues[q].name, name) == 0)
			return q;
	if (!create)
		return -1;
	slot = vacate_queue();
	if (slot < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_QUEUES_FULL, 1);
		return -1;
	}
	memset(&queues[slot], 0, sizeof(HdJobQueue));
	strlcpy(queues[slot].name, name, NAMEDATALEN);
	queues[slot].hash = hd_jobs_list_name_hash(name);
	queues[slot].db = db;
	for (int p = 0; p < HD_JOB_PRIORITIES; p++)
	{
		queues[slot].lanes[p].head = queues[slot].lanes[p].tail = -1;
		reset_lane(&queues[slot].lanes[p]);
	}
	return slot;
}

static bool
is_slot_of(int32 slot, const HdJobQueues *wanted, int i)
{
	return slot >= 0 && queues[slot].db == wanted->db &&
		   strcmp(queues[slot].name, wanted->names[i]) == 0;
}

void
hd_jobs_list_resolve(HdJobQueues *wanted)
{
	bool made = false;

	for (int i = 0; i < wanted->n; i++)
	{
		if (is_slot_of(wanted->slots[i], wanted, i))
			continue;
		wanted->slots[i] = hd_jobs_list_queue(wanted->db, wanted->names[i], true);
		made = true;
	}

	/* Room for one may have been made at the cost of another. */
	for (int i = 0; made && i < wanted->n; i++)
		if (!is_slot_of(wanted->slots[i], wanted, i))
			wanted->slots[i] = -1;
}

bool
hd_jobs_list_window(const HdJobQueues *all, int *start, HdJobQueues *window)
{
	if (*start >= all->n)
		return false;
	*window = *all;
	window->names += *start;
	window->slots += *start;
	window->n = Min(all->n - *start, Max(hd_jobs_list->max_queues / 2, 1));
	*start += window->n;
	return true;
}

uint32
hd_jobs_list_tenant_hash(const char *tenant, int length)
{
	return Max(hash_bytes((const unsigned char *) tenant, length), 1);
}

uint32
hd_jobs_list_name_hash(const char *name)
{
	return hash_bytes((const unsigned char *) name, (int) strlen(name));
}

static bool
accepts(const uint32 *kinds, int nkinds, uint32 tenant, const HdJobEntry *entry)
{
	if (tenant != 0 && tenant != entry->tenant_hash)
		return false;
	for (int i = 0; i < nkinds; i++)
		if (kinds[i] == entry->kind_hash)
			return true;
	return nkinds == 0;
}

int32
hd_jobs_list_first(const HdJobLane *lane, const HdJobQueues *wanted)
{
	int32 i = lane->head;

	while (i >= 0 && !accepts(wanted->kinds, wanted->nkinds, wanted->tenant, &entries[i]))
		i = entries[i].next;
	return i;
}

static bool
waits_for(const HdJobWaiter *waiter, int32 queue)
{
	if (waiter->procno < 0 || waiter->woken || waiter->db != queues[queue].db)
		return false;
	for (int i = 0; i < waiter->nqueues; i++)
		if (waiter->queues[i] == queues[queue].hash)
			return true;
	return waiter->nqueues == 0;
}

static void
wake(HdJobWaiter *waiter)
{
	waiter->woken = true;
	hd_jobs_list->nwaiters--;
	SetLatch(&ProcGlobal->allProcs[waiter->procno].procLatch);
}

void
hd_jobs_list_wake(int32 index)
{
	const HdJobEntry *entry = &entries[index];

	for (int i = 0; hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
		if (waits_for(&waiters[i], entry->queue) &&
			accepts(waiters[i].kinds, waiters[i].nkinds, waiters[i].tenant, entry))
		{
			wake(&waiters[i]);
			return;
		}
}

void
hd_jobs_list_wake_any(int32 queue, int n)
{
	for (int i = 0; n > 0 && hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
		if (waits_for(&waiters[i], queue))
		{
			wake(&waiters[i]);
			n--;
		}
}

void
hd_jobs_list_wake_database(int32 db)
{
	for (int i = 0; hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
		if (waiters[i].procno >= 0 && !waiters[i].woken && waiters[i].db == db)
			wake(&waiters[i]);
}

int64
hd_jobs_list_token(int32 fence)
{
	uint64 token = (uint64) hd_jobs_list->boot << 48;

	token |= (uint64) (uint16) fence << 32;
	token |= hd_jobs_list->next_token++;
	return (int64) token;
}
