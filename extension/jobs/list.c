/*-------------------------------------------------------------------------
 * list.c
 *		Jobs in shared memory: layout, databases, queues, entries.
 *
 * Model: see list.h.  The area is one block: the header, then one array
 * after the other, whose places follow from the settings.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/list.h"

#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/ledger.h"
#include "jobs/order.h"
#include "jobs/rate.h"
#include "jobs/tally.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* So many entries a lane may have while its flow is shut. */
#define MAX_SHUT 32

HdJobList *hd_jobs_list = NULL;
LWLock *hd_jobs_lock = NULL;

int hd_jobs_setting_slots = 65536;
int hd_jobs_setting_queues = 256;

static int32 *entry_buckets = NULL;
static int32 *lane_buckets = NULL;
static int32 *gate_buckets = NULL;
static int32 *kind_buckets = NULL;
static int32 *flow_buckets = NULL;
static HdJobEntry *entries = NULL;
static HdJobLane *lanes = NULL;
static HdJobGate *gates = NULL;
static HdJobGroup *groups = NULL;
static HdJobKindCount *kinds = NULL;
static HdJobFlow *flows = NULL;
static HdJobQueue *queues = NULL;
static HdJobWaiter *waiters = NULL;

/* How many of each part there are. */
static int
bucket_count(void)
{
	return (int) pg_nextpower2_32((uint32) hd_jobs_setting_slots);
}

static int
lane_count(void)
{
	return Max(hd_jobs_setting_slots / 4, 256);
}

static int
gate_count(void)
{
	return Max(hd_jobs_setting_slots / 2, 256);
}

static int
group_count(void)
{
	return hd_jobs_setting_queues * 16;
}

static int
kind_count(void)
{
	return hd_jobs_setting_queues * 4;
}

/* A flow without a lane needs none, so there is one for each lane at most. */
static int
flow_count(void)
{
	return lane_count();
}

static int
waiter_count(void)
{
	return MaxConnections + max_worker_processes;
}

/* The area's size; with a base, also where its parts are. */
static Size
layout(char *base)
{
	struct
	{
		void **array;
		Size element;
		int n;
	} parts[] = {
		{(void **) &entry_buckets, sizeof(int32), bucket_count()},
		{(void **) &lane_buckets, sizeof(int32), bucket_count()},
		{(void **) &gate_buckets, sizeof(int32), bucket_count()},
		{(void **) &kind_buckets, sizeof(int32), bucket_count()},
		{(void **) &flow_buckets, sizeof(int32), bucket_count()},
		{(void **) &entries, sizeof(HdJobEntry), hd_jobs_setting_slots},
		{(void **) &lanes, sizeof(HdJobLane), lane_count()},
		{(void **) &gates, sizeof(HdJobGate), gate_count()},
		{(void **) &groups, sizeof(HdJobGroup), group_count()},
		{(void **) &kinds, sizeof(HdJobKindCount), kind_count()},
		{(void **) &flows, sizeof(HdJobFlow), flow_count()},
		{(void **) &queues, sizeof(HdJobQueue), hd_jobs_setting_queues},
		{(void **) &waiters, sizeof(HdJobWaiter), waiter_count()},
	};
	Size size = MAXALIGN(sizeof(HdJobList));

	for (int i = 0; i < lengthof(parts); i++)
	{
		if (base != NULL)
			*parts[i].array = base + size;
		size = add_size(size, MAXALIGN(mul_size(parts[i].element, parts[i].n)));
	}
	return size;
}

static Size
area_size(void)
{
	return layout(NULL);
}

/* All slots of lines, groups and the rest are free, lowest first. */
static void
free_all_slots(void)
{
	HdJobList *list = hd_jobs_list;

	for (int i = 0; i < list->nbuckets; i++)
	{
		entry_buckets[i] = lane_buckets[i] = gate_buckets[i] = kind_buckets[i] = -1;
		flow_buckets[i] = -1;
	}
	list->free_lane = list->free_gate = list->free_group = list->free_entry = -1;
	list->free_flow = list->flow_timers = -1;
	for (int i = list->max_lanes - 1; i >= 0; i--)
	{
		lanes[i].hash_next = list->free_lane;
		list->free_lane = i;
	}
	for (int i = list->max_gates - 1; i >= 0; i--)
	{
		gates[i].hash_next = list->free_gate;
		list->free_gate = i;
	}
	for (int i = list->max_groups - 1; i >= 0; i--)
	{
		groups[i].queue = -1;
		groups[i].next = list->free_group;
		list->free_group = i;
	}
	for (int i = list->max_flows - 1; i >= 0; i--)
	{
		flows[i].hash_next = list->free_flow;
		list->free_flow = i;
	}
	for (int i = 0; i < list->max_kinds; i++)
		kinds[i].db = -1;
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	hd_jobs_list = base;
	hd_jobs_lock = lock;
	(void) layout(base);
	if (!fresh)
		return;

	hd_jobs_list->capacity = hd_jobs_setting_slots;
	hd_jobs_list->nbuckets = bucket_count();
	hd_jobs_list->max_queues = hd_jobs_setting_queues;
	hd_jobs_list->max_lanes = lane_count();
	hd_jobs_list->max_gates = gate_count();
	hd_jobs_list->max_groups = group_count();
	hd_jobs_list->max_kinds = kind_count();
	hd_jobs_list->max_flows = flow_count();
	hd_jobs_list->max_waiters = waiter_count();
	hd_jobs_list->ticker = -1;
	free_all_slots();

	hd_jobs_ledger_open(hd_jobs_list->capacity);

	/* What the ledger did not bring back is free, lowest first. */
	for (int i = hd_jobs_list->capacity - 1; i >= 0; i--)
	{
		if (entries[i].state != HD_JOB_FREE)
			continue;
		entries[i].hash_next = hd_jobs_list->free_entry;
		hd_jobs_list->free_entry = i;
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

HdJobLane *
hd_jobs_lane(int32 index)
{
	return &lanes[index];
}

HdJobGate *
hd_jobs_gate(int32 index)
{
	return &gates[index];
}

HdJobGroup *
hd_jobs_group(int32 index)
{
	return &groups[index];
}

HdJobKindCount *
hd_jobs_kind_count(int32 index)
{
	return &kinds[index];
}

HdJobFlow *
hd_jobs_flow(int32 index)
{
	return &flows[index];
}

HdJobWaiter *
hd_jobs_waiter(int index)
{
	return &waiters[index];
}

static int32 *
bucket_of(int32 *table, int32 db, int64 key)
{
	uint32 hash = murmurhash32((uint32) key ^ (uint32) ((uint64) key >> 32) ^ ((uint32) db << 24));

	return &table[hash & (uint32) (hd_jobs_list->nbuckets - 1)];
}

bool
hd_jobs_list_has_kind(const uint32 *kinds, int nkinds, uint32 kind_hash)
{
	for (int i = 0; i < nkinds; i++)
		if (kinds[i] == kind_hash)
			return true;
	return nkinds == 0;
}

int32 *
hd_jobs_lane_bucket(int32 db, int64 line)
{
	return bucket_of(lane_buckets, db, line);
}

int32 *
hd_jobs_gate_bucket(int32 db, int64 line)
{
	return bucket_of(gate_buckets, db, line);
}

int32 *
hd_jobs_kind_bucket(int32 db, uint32 kind_hash)
{
	return bucket_of(kind_buckets, db, kind_hash);
}

int32 *
hd_jobs_flow_bucket(int32 db, uint64 hash)
{
	return bucket_of(flow_buckets, db, (int64) hash);
}

HdJobQueue *
hd_jobs_entry_queue(const HdJobEntry *entry)
{
	return &queues[lanes[entry->lane].queue];
}

/*
 * Entries.
 */

int32
hd_jobs_list_find(int32 db, int64 id)
{
	for (int32 i = *bucket_of(entry_buckets, db, id); i >= 0; i = entries[i].hash_next)
		if (entries[i].id == id && hd_jobs_entry_queue(&entries[i])->db == db)
			return i;
	return -1;
}

static void
enter(int32 index, int32 lane, int64 id)
{
	HdJobEntry *entry = &entries[index];
	int32 *bucket = bucket_of(entry_buckets, queues[lanes[lane].queue].db, id);

	memset(entry, 0, sizeof(HdJobEntry));
	entry->id = id;
	entry->lane = lane;
	entry->gate = -1;
	entry->hash_next = *bucket;
	*bucket = index;
	hd_jobs_lane_hold(lane);
}

int32
hd_jobs_list_alloc(int32 lane, int64 id)
{
	int32 index = hd_jobs_list->free_entry;

	if (index < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_LIST_FULL, 1);
		return -1;
	}
	hd_jobs_list->free_entry = entries[index].hash_next;
	hd_jobs_list->nfree--;
	enter(index, lane, id);
	return index;
}

bool
hd_jobs_list_has_room(const HdJobLane *lane)
{
	int kept = Max(8, hd_jobs_list->capacity / 32);
	int used = lane->order.count + lane->reserved;

	/* What cannot be taken now waits in the table rather than here. */
	if (hd_jobs_flow_is_shut(lane) && used >= MAX_SHUT)
		return false;
	if (used == 0)
		return hd_jobs_list->nfree > kept / 2;
	return used < hd_jobs_list->nfree - kept;
}

void
hd_jobs_list_restore(int32 index, int32 lane, int64 id)
{
	enter(index, lane, id);
}

void
hd_jobs_list_free(int32 index)
{
	HdJobEntry *entry = &entries[index];
	int32 *link = bucket_of(entry_buckets, hd_jobs_entry_queue(entry)->db, entry->id);

	while (*link != index)
		link = &entries[*link].hash_next;
	*link = entry->hash_next;
	entry->state = HD_JOB_FREE;
	if (entry->gate >= 0)
		hd_jobs_gate_let_go(entry->gate);
	hd_jobs_lane_let_go(entry->lane);
	entry->hash_next = hd_jobs_list->free_entry;
	hd_jobs_list->free_entry = index;
	hd_jobs_list->nfree++;
}

void
hd_jobs_list_started(int32 index)
{
	HdJobEntry *entry = &entries[index];

	hd_jobs_entry_queue(entry)->running++;
	kinds[groups[lanes[entry->lane].group].kind].running++;
	hd_jobs_flow_started(lanes[entry->lane].flow);
	if (entry->gate >= 0)
		gates[entry->gate].running++;
}

void
hd_jobs_list_stopped(int32 index)
{
	HdJobEntry *entry = &entries[index];
	HdJobQueue *queue = hd_jobs_entry_queue(entry);
	int32 kind = groups[lanes[entry->lane].group].kind;

	queue->running--;
	kinds[kind].running--;
	hd_jobs_flow_stopped(lanes[entry->lane].flow);
	if (entry->gate >= 0)
		gates[entry->gate].running--;
	if (kinds[kind].refused)
		hd_jobs_lane_unrefuse(kind);

	/* Whoever found a concurrency used up may go on. */
	if (queue->listed > 0)
		hd_jobs_waiter_wake_queue(lanes[entry->lane].queue, 1);
}

void
hd_jobs_list_set_gate(int32 index, int32 gate)
{
	entries[index].gate = gate;
	hd_jobs_gate_hold(gate);
}

/*
 * Databases.
 */

static void
reset_due(HdJobDatabase *db)
{
	db->due.lowered++;
	db->due.at = DT_NOBEGIN;
	db->due.id = PG_INT64_MIN;
	db->next_due = DT_NOBEGIN;
	db->search_line = PG_INT64_MIN;
}

void
hd_jobs_list_schedule(int32 index, TimestampTz at, int64 id)
{
	HdJobDatabase *db = &hd_jobs_list->databases[index];

	/* Whatever a look finds that began before this must not overwrite what is noted here. */
	db->due.lowered++;
	db->next_due = Min(db->next_due, at);
	if (hd_jobs_order_before(false, at, id - 1, db->due.at, db->due.id))
	{
		db->due.at = at;
		db->due.id = id - 1;
	}
}

void
hd_jobs_list_lose(int32 db)
{
	hd_jobs_list->databases[db].losses++;
}

bool
hd_jobs_list_has_lost(int32 db)
{
	return hd_jobs_list->databases[db].losses != hd_jobs_list->databases[db].found;
}

void
hd_jobs_list_search_again(int32 db)
{
	reset_due(&hd_jobs_list->databases[db]);
	hd_jobs_list_lose(db);
	hd_jobs_list->databases[db].searched_at = DT_NOBEGIN;
	hd_jobs_gate_doubt(db);
	for (int32 i = 0; i < hd_jobs_list->max_lanes; i++)
		if (lanes[i].line != 0 && queues[lanes[i].queue].db == db)
			hd_jobs_lane_note(i, DT_NOBEGIN, PG_INT64_MIN + 1);
	for (int32 i = 0; i < hd_jobs_list->max_gates; i++)
		if (gates[i].line != 0 && queues[gates[i].queue].db == db)
			hd_jobs_gate_note(i, DT_NOBEGIN, PG_INT64_MIN + 1);
}

static void
forget_entries(int32 db)
{
	for (int32 i = 0; i < hd_jobs_list->capacity; i++)
	{
		HdJobEntry *entry = &entries[i];

		if (entry->state == HD_JOB_FREE || hd_jobs_entry_queue(entry)->db != db)
			continue;
		if (entry->state == HD_JOB_READY)
			hd_jobs_lane_unlink(i);
		else if (entry->in_gate)
			hd_jobs_gate_unlink(i);
		hd_jobs_ledger_clear(i);
		hd_jobs_list_free(i);
	}
}

void
hd_jobs_list_forget(int32 db)
{
	forget_entries(db);
	for (int32 i = 0; i < hd_jobs_list->max_lanes; i++)
		if (lanes[i].line != 0 && queues[lanes[i].queue].db == db)
		{
			lanes[i].refs = 0;
			hd_jobs_lane_forget(i);
		}
	for (int32 i = 0; i < hd_jobs_list->max_gates; i++)
		if (gates[i].line != 0 && queues[gates[i].queue].db == db)
		{
			gates[i].refs = 0;
			hd_jobs_gate_forget(i);
		}
	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
		if (queues[q].name[0] != '\0' && queues[q].db == db)
			queues[q].name[0] = '\0';
	hd_jobs_tally_forget(db);
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
		hd_jobs_list->databases[vacant].removals++;
		reset_due(&hd_jobs_list->databases[vacant]);
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

/*
 * Queues.
 */

/* A free slot, or the one that nothing points to and was not asked for the longest. */
static int32
vacate_queue(void)
{
	int32 idle = -1;

	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
	{
		if (queues[q].name[0] == '\0')
			return q;
		if (queues[q].refs == 0 && (idle < 0 || queues[q].asked_at < queues[idle].asked_at))
			idle = q;
	}
	return idle;
}

bool
hd_jobs_list_has_queue_slot(void)
{
	return vacate_queue() >= 0;
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
	if (slot < 0 && hd_jobs_lane_vacate())
		slot = vacate_queue();
	if (slot < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_QUEUES_FULL, 1);
		return -1;
	}
	memset(&queues[slot], 0, sizeof(HdJobQueue));
	strlcpy(queues[slot].name, name, NAMEDATALEN);
	queues[slot].hash = hd_jobs_place_queue_hash(name);
	queues[slot].db = db;
	dlist_init(&queues[slot].hungry_lanes);
	dlist_init(&queues[slot].hungry_gates);
	for (int p = 0; p < HD_JOB_PRIORITIES; p++)
		queues[slot].groups[p] = -1;
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
	TimestampTz now = hd_clock_now();
	bool made = false;

	wanted->held_back = hd_jobs_list->databases[wanted->db].horizon != 0;

	/* So that none of them makes room for another. */
	for (int i = 0; i < wanted->n; i++)
		if (is_slot_of(wanted->slots[i], wanted, i))
			queues[wanted->slots[i]].asked_at = now;
	for (int i = 0; i < wanted->n; i++)
	{
		if (is_slot_of(wanted->slots[i], wanted, i))
			continue;
		wanted->slots[i] = hd_jobs_list_queue(wanted->db, wanted->names[i], true);
		if (wanted->slots[i] >= 0)
			queues[wanted->slots[i]].asked_at = now;
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
	window->caps += *start;
	window->rates += *start;
	window->n = Min(all->n - *start, Max(hd_jobs_list->max_queues / 2, 1));
	*start += window->n;
	return true;
}

int64
hd_jobs_list_token(int32 fence)
{
	uint64 token = (uint64) hd_jobs_list->boot << 48;

	token |= (uint64) (uint16) fence << 32;
	token |= hd_jobs_list->next_token++;
	return (int64) token;
}

bool
hd_jobs_list_made_token(int64 token)
{
	uint32 made = hd_jobs_list->next_token - hd_jobs_list->first_token;

	return HD_JOB_TOKEN_BOOT(token) == hd_jobs_list->boot &&
		   (uint32) token - hd_jobs_list->first_token < made;
}
