/*-------------------------------------------------------------------------
 * lanes.c
 *		Lanes: ready jobs of one queue, priority, kind and tenant.
 *
 * Model: see lanes.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/lanes.h"

#include "core/counters.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/order.h"
#include "jobs/rate.h"
#include "jobs/waiters.h"

/* With fewer entries than this a lane asks for rows of its backlog. */
#define HUNGRY_BELOW 32

/* How far one call looks for a lane that can make room. */
#define EVICTION_STEPS 256

static HdHeapNode *
node_of(int32 index)
{
	return &hd_jobs_lane(index)->node;
}

static const HdJobEntry *
first_entry(const HdJobLane *lane)
{
	return hd_jobs_entry(hd_jobs_order_first(&lane->order, false));
}

static bool
has_turn_before(int32 a, int32 b)
{
	const HdJobLane *x = hd_jobs_lane(a);
	const HdJobLane *y = hd_jobs_lane(b);
	const HdJobEntry *xe;
	const HdJobEntry *ye;

	if (x->tag != y->tag)
		return x->tag < y->tag;
	xe = first_entry(x);
	ye = first_entry(y);
	return hd_jobs_order_before(false, xe->at, xe->id, ye->at, ye->id);
}

static const HdHeapOps by_turn = {node_of, has_turn_before};

void
hd_jobs_lane_enter(int32 index)
{
	const HdJobLane *lane = hd_jobs_lane(index);

	if (lane->order.count > 0 && !hd_jobs_flow_is_shut(lane))
		hd_jobs_heap_insert(&by_turn, &hd_jobs_group(lane->group)->top, index);
}

void
hd_jobs_lane_leave(int32 index)
{
	const HdJobLane *lane = hd_jobs_lane(index);

	if (lane->order.count > 0 && !hd_jobs_flow_is_shut(lane))
		hd_jobs_heap_remove(&by_turn, &hd_jobs_group(lane->group)->top, index);
}

/*
 * Kinds and groups.
 */

static int32
kind_get(int32 db, uint32 kind_hash)
{
	int32 *bucket = hd_jobs_kind_bucket(db, kind_hash);
	int32 vacant = -1;

	for (int32 i = *bucket; i >= 0; i = hd_jobs_kind_count(i)->hash_next)
		if (hd_jobs_kind_count(i)->db == db && hd_jobs_kind_count(i)->kind_hash == kind_hash)
			return i;
	for (int32 i = 0; i < hd_jobs_list->max_kinds && vacant < 0; i++)
		if (hd_jobs_kind_count(i)->db < 0)
			vacant = i;
	if (vacant < 0)
		return -1;
	hd_jobs_list->nkinds++;
	hd_jobs_kind_count(vacant)->db = db;
	hd_jobs_kind_count(vacant)->kind_hash = kind_hash;
	hd_jobs_kind_count(vacant)->refs = 0;
	hd_jobs_kind_count(vacant)->running = 0;
	hd_jobs_kind_count(vacant)->refused = false;
	hd_jobs_kind_count(vacant)->hash_next = *bucket;
	*bucket = vacant;
	return vacant;
}

static void
kind_let_go(int32 index)
{
	HdJobKindCount *kind = hd_jobs_kind_count(index);
	int32 *link;

	if (--kind->refs > 0)
		return;
	link = hd_jobs_kind_bucket(kind->db, kind->kind_hash);
	while (*link != index)
		link = &hd_jobs_kind_count(*link)->hash_next;
	*link = kind->hash_next;
	kind->db = -1;
	hd_jobs_list->nkinds--;
}

static int32
group_get(int32 queue, int priority, uint32 kind_hash)
{
	HdJobQueue *q = hd_jobs_queue(queue);
	int32 kind;
	int32 index;
	HdJobGroup *group;

	for (int32 i = q->groups[priority]; i >= 0; i = hd_jobs_group(i)->next)
		if (hd_jobs_group(i)->kind_hash == kind_hash)
			return i;
	index = hd_jobs_list->free_group;
	if (index < 0)
		return -1;
	kind = kind_get(q->db, kind_hash);
	if (kind < 0)
		return -1;
	hd_jobs_kind_count(kind)->refs++;
	group = hd_jobs_group(index);
	hd_jobs_list->free_group = group->next;
	hd_jobs_list->ngroups++;
	group->kind_hash = kind_hash;
	group->queue = queue;
	group->kind = kind;
	group->top = -1;
	group->refs = 0;
	group->priority = (uint8) priority;
	group->next = q->groups[priority];
	q->groups[priority] = index;
	return index;
}

static void
group_let_go(int32 index)
{
	HdJobGroup *group = hd_jobs_group(index);
	int32 *link = &hd_jobs_queue(group->queue)->groups[group->priority];

	if (--group->refs > 0)
		return;
	while (*link != index)
		link = &hd_jobs_group(*link)->next;
	*link = group->next;
	kind_let_go(group->kind);
	group->queue = -1;
	group->next = hd_jobs_list->free_group;
	hd_jobs_list->free_group = index;
	hd_jobs_list->ngroups--;
}

/*
 * Lanes.
 */

int32
hd_jobs_lane_find(int32 db, int64 line)
{
	for (int32 i = *hd_jobs_lane_bucket(db, line); i >= 0; i = hd_jobs_lane(i)->hash_next)
		if (hd_jobs_lane(i)->line == line && hd_jobs_queue(hd_jobs_lane(i)->queue)->db == db)
			return i;
	return -1;
}

/* Forget a lane that has nothing but a backlog, the next one round; false when none was met. */
static bool
evict(void)
{
	for (int step = 0; step < EVICTION_STEPS; step++)
	{
		int32 i = hd_jobs_list->lane_hand;

		hd_jobs_list->lane_hand = (i + 1) % hd_jobs_list->max_lanes;
		if (hd_jobs_lane(i)->line == 0 || hd_jobs_lane(i)->refs > 0)
			continue;
		hd_jobs_lane_forget(i);
		return true;
	}
	return false;
}

/* Whether a slot is free, or could be made so. */
static bool
has_slot(void)
{
	return hd_jobs_list->free_lane >= 0 || evict();
}

/* The group of a new lane, or -1; lanes that have nothing but a backlog make room for it. */
static int32
take_group(int32 queue, const HdJobPlace *place)
{
	int32 group = group_get(queue, place->priority, place->kind_hash);

	while (group < 0 && evict())
		group = group_get(queue, place->priority, place->kind_hash);
	return group;
}

/* Into the ring of the same tenant's lanes of other kinds, and at their tag. */
static void
join_sisters(int32 index)
{
	HdJobLane *lane = hd_jobs_lane(index);
	HdJobQueue *queue = hd_jobs_queue(lane->queue);
	HdJobPlace place = {.priority = lane->priority,
						.tenant_hash = lane->tenant_hash,
						.flow_hash = hd_jobs_lane_flow_hash(lane)};

	lane->sister = index;
	lane->tag = queue->turn[lane->priority];
	for (int32 g = queue->groups[lane->priority]; g >= 0; g = hd_jobs_group(g)->next)
	{
		int32 other;

		if (g == lane->group)
			continue;
		place.kind_hash = hd_jobs_group(g)->kind_hash;
		other = hd_jobs_lane_find(queue->db, hd_jobs_place_lane(queue->hash, &place));
		if (other < 0)
			continue;
		lane->sister = hd_jobs_lane(other)->sister;
		hd_jobs_lane(other)->sister = index;
		lane->tag = Max(lane->tag, hd_jobs_lane(other)->tag);
		return;
	}
}

int32
hd_jobs_lane_get(int32 db, const HdJobPlace *place)
{
	int32 index = hd_jobs_lane_find(db, place->lane);
	HdJobLane *lane;
	int32 *bucket;
	int32 queue;
	int32 group;
	int32 flow = -1;

	if (index >= 0)
		return index;
	queue = hd_jobs_list_queue(db, place->queue, true);
	group = (queue >= 0 && has_slot()) ? take_group(queue, place) : -1;
	if (group >= 0 && place->flow_hash != 0)
		flow = hd_jobs_flow_get(db, place->flow_hash);
	if (group < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_QUEUES_FULL, 1);
		return -1;
	}
	index = hd_jobs_list->free_lane;
	lane = hd_jobs_lane(index);
	hd_jobs_list->free_lane = lane->hash_next;
	hd_jobs_list->nlanes++;
	memset(lane, 0, sizeof(HdJobLane));
	lane->line = place->lane;
	lane->queue = queue;
	lane->group = group;
	lane->flow = -1;
	lane->kind_hash = place->kind_hash;
	lane->tenant_hash = place->tenant_hash;
	lane->priority = (uint8) place->priority;
	hd_jobs_order_init(&lane->order);
	hd_jobs_queue(queue)->refs++;
	hd_jobs_group(group)->refs++;
	bucket = hd_jobs_lane_bucket(db, place->lane);
	lane->hash_next = *bucket;
	*bucket = index;
	if (flow >= 0)
		hd_jobs_flow_join(flow, index);
	join_sisters(index);
	return index;
}

void
hd_jobs_lane_forget(int32 index)
{
	HdJobLane *lane = hd_jobs_lane(index);
	HdJobQueue *queue = hd_jobs_queue(lane->queue);
	int32 *link = hd_jobs_lane_bucket(queue->db, lane->line);
	int32 sister = index;

	Assert(lane->refs == 0 && lane->order.count == 0);
	if (lane->backlog.more)
	{
		hd_jobs_list_lose(queue->db);
		lane->backlog.more = false;
	}
	hd_jobs_lane_check(index);
	while (hd_jobs_lane(sister)->sister != index)
		sister = hd_jobs_lane(sister)->sister;
	hd_jobs_lane(sister)->sister = lane->sister;
	while (*link != index)
		link = &hd_jobs_lane(*link)->hash_next;
	*link = lane->hash_next;
	if (lane->flow >= 0)
		hd_jobs_flow_part(index);
	group_let_go(lane->group);
	queue->refs--;
	lane->line = 0;
	lane->hash_next = hd_jobs_list->free_lane;
	hd_jobs_list->free_lane = index;
	hd_jobs_list->nlanes--;
}

bool
hd_jobs_lane_is_spare(int32 db, const HdJobPlace *place)
{
	const HdJobList *list = hd_jobs_list;

	return hd_jobs_lane_find(db, place->lane) >= 0 ||
		   (list->nlanes < list->max_lanes - list->max_lanes / 8 &&
			list->ngroups < list->max_groups - list->max_groups / 8 &&
			list->nkinds < list->max_kinds - list->max_kinds / 8);
}

bool
hd_jobs_lane_fits(int32 db, const HdJobPlace *place)
{
	if (hd_jobs_lane_find(db, place->lane) >= 0)
		return true;
	if (hd_jobs_list->free_lane < 0 || hd_jobs_list->free_group < 0)
		return false;
	return hd_jobs_list_queue(db, place->queue, false) >= 0 || hd_jobs_list_has_queue_slot();
}

/* Whether nothing points to a queue but lanes and gates that nothing points to. */
static bool
is_idle(int32 queue)
{
	const HdJobQueue *q = hd_jobs_queue(queue);
	int32 nlines = 0;

	if (q->listed > 0 || q->running > 0)
		return false;
	for (int32 i = 0; i < hd_jobs_list->max_lanes; i++)
	{
		const HdJobLane *lane = hd_jobs_lane(i);

		if (lane->line == 0 || lane->queue != queue)
			continue;
		if (lane->refs > 0)
			return false;
		nlines++;
	}
	for (int32 i = 0; i < hd_jobs_list->max_gates && nlines < q->refs; i++)
	{
		const HdJobGate *gate = hd_jobs_gate(i);

		if (gate->line == 0 || gate->queue != queue)
			continue;
		if (gate->refs > 0)
			return false;
		nlines++;
	}
	return nlines == q->refs;
}

void
hd_jobs_lane_unrefuse(int32 kind)
{
	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
	{
		const HdJobQueue *queue = hd_jobs_queue(q);

		if (queue->listed == 0 || queue->db != hd_jobs_kind_count(kind)->db)
			continue;
		for (int32 p = 0; p < HD_JOB_PRIORITIES; p++)
			for (int32 g = queue->groups[p]; g >= 0; g = hd_jobs_group(g)->next)
				if (hd_jobs_group(g)->kind == kind && hd_jobs_group(g)->top >= 0)
					hd_jobs_waiter_wake_queue(q, 1);
	}
	hd_jobs_kind_count(kind)->refused = false;
}

bool
hd_jobs_lane_vacate(void)
{
	int32 queue = -1;

	for (int32 q = 0; q < hd_jobs_list->max_queues; q++)
		if ((queue < 0 || hd_jobs_queue(q)->asked_at < hd_jobs_queue(queue)->asked_at) &&
			is_idle(q))
			queue = q;
	for (int32 i = 0; i < hd_jobs_list->max_lanes && queue >= 0; i++)
		if (hd_jobs_lane(i)->line != 0 && hd_jobs_lane(i)->queue == queue)
			hd_jobs_lane_forget(i);
	for (int32 i = 0; i < hd_jobs_list->max_gates && queue >= 0; i++)
		if (hd_jobs_gate(i)->line != 0 && hd_jobs_gate(i)->queue == queue)
			hd_jobs_gate_forget(i);
	return queue >= 0;
}

void
hd_jobs_lane_hold(int32 index)
{
	hd_jobs_lane(index)->refs++;
}

void
hd_jobs_lane_let_go(int32 index)
{
	HdJobLane *lane = hd_jobs_lane(index);

	if (--lane->refs == 0 && !lane->backlog.more)
		hd_jobs_lane_forget(index);
}

/* Whether the lane should be filled up: few entries, or older rows than the first entry. */
static bool
is_hungry(const HdJobLane *lane)
{
	const HdJobEntry *first;

	if (!lane->backlog.more || hd_jobs_flow_is_shut(lane))
		return false;
	if (lane->order.count < HUNGRY_BELOW)
		return true;
	first = first_entry(lane);
	return hd_jobs_order_before(false, lane->backlog.at, lane->backlog.id, first->at, first->id);
}

void
hd_jobs_lane_check(int32 index)
{
	HdJobLane *lane = hd_jobs_lane(index);
	bool listed = lane->hungry.next != NULL;
	bool hungry = is_hungry(lane);

	if (hungry && !listed)
		dlist_push_tail(&hd_jobs_queue(lane->queue)->hungry_lanes, &lane->hungry);
	if (!hungry && listed)
	{
		dlist_delete(&lane->hungry);
		lane->hungry.next = lane->hungry.prev = NULL;
	}
}

void
hd_jobs_lane_push(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdJobLane *lane = hd_jobs_lane(entry->lane);
	HdJobQueue *queue = hd_jobs_queue(lane->queue);
	bool was_empty = lane->order.count == 0;
	bool comes_first = was_empty;

	if (!was_empty)
	{
		const HdJobEntry *first = first_entry(lane);

		comes_first = hd_jobs_order_before(false, entry->at, entry->id, first->at, first->id);
	}
	if (comes_first)
		hd_jobs_lane_leave(entry->lane);
	hd_jobs_order_add(&lane->order, false, index);
	if (was_empty)
		lane->tag = Max(lane->tag, queue->turn[lane->priority]);
	if (comes_first)
		hd_jobs_lane_enter(entry->lane);
	queue->listed++;
	queue->ready[lane->priority]++;
	entry->state = HD_JOB_READY;
	entry->owner = 0;
	entry->token = 0;
	entry->bound = false;
}

void
hd_jobs_lane_unlink(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdJobLane *lane = hd_jobs_lane(entry->lane);
	bool first = hd_jobs_order_first(&lane->order, false) == index;

	if (first)
		hd_jobs_lane_leave(entry->lane);
	hd_jobs_order_remove(&lane->order, false, index);
	if (first)
		hd_jobs_lane_enter(entry->lane);
	hd_jobs_queue(lane->queue)->listed--;
	hd_jobs_queue(lane->queue)->ready[lane->priority]--;
	hd_jobs_lane_check(entry->lane);
}

/*
 * Choosing.
 */

static bool
is_at_cap(const HdJobQueues *wanted, const HdJobGroup *group)
{
	HdJobKindCount *kind = hd_jobs_kind_count(group->kind);

	for (int i = 0; i < wanted->nlimits; i++)
	{
		const HdJobKindLimit *limit = &wanted->limits[i];

		if (limit->kind_hash != group->kind_hash || limit->concurrency == 0)
			continue;
		if (!wanted->held_back && kind->running < limit->concurrency)
			return false;
		kind->refused = true;
		return true;
	}
	return false;
}

/* The lane of a group whose turn it is; of the caller's tenant alone when it is bound to one. */
static int32
lane_of(const HdJobQueues *wanted, const HdJobQueue *queue, const HdJobGroup *group)
{
	HdJobPlace place = {.priority = group->priority,
						.kind_hash = group->kind_hash,
						.tenant_hash = wanted->tenant};
	int32 best;

	if (wanted->tenant == 0)
		return group->top;
	best = hd_jobs_lane_find(wanted->db, hd_jobs_place_lane(queue->hash, &place));
	if (best >= 0 && hd_jobs_lane(best)->order.count == 0)
		best = -1;
	for (int32 i = 0; i < hd_jobs_list->max_lanes && hd_jobs_list->nflows > 0; i++)
	{
		const HdJobLane *lane = hd_jobs_lane(i);

		if (lane->line != 0 && lane->flow >= 0 && hd_jobs_group(lane->group) == group &&
			lane->tenant_hash == wanted->tenant && lane->order.count > 0 &&
			!hd_jobs_flow_is_shut(lane) && (best < 0 || has_turn_before(i, best)))
			best = i;
	}
	return best;
}

/* The lane of a queue and priority whose turn it is, or -1. */
static int32
next_lane(const HdJobQueues *wanted, const HdJobQueue *queue, int priority)
{
	int32 best = -1;

	for (int32 g = queue->groups[priority]; g >= 0; g = hd_jobs_group(g)->next)
	{
		const HdJobGroup *group = hd_jobs_group(g);
		int32 lane;

		if (group->top < 0 ||
			!hd_jobs_list_has_kind(wanted->kinds, wanted->nkinds, group->kind_hash) ||
			is_at_cap(wanted, group))
			continue;

		/* A flow that may not go on is shut, and so is out of the way for all that come. */
		do
			lane = lane_of(wanted, queue, group);
		while (lane >= 0 && !hd_jobs_flow_admits(hd_jobs_lane(lane)->flow, wanted));
		if (lane >= 0 && (best < 0 || has_turn_before(lane, best)))
			best = lane;
	}
	return best;
}

int32
hd_jobs_lane_next(const HdJobQueues *wanted, int priority)
{
	const HdJobEntry *oldest = NULL;
	int32 best = -1;

	for (int i = 0; i < wanted->n; i++)
	{
		const HdJobQueue *queue;
		const HdJobEntry *entry;
		int32 lane;

		if (wanted->slots[i] < 0)
			continue;
		queue = hd_jobs_queue(wanted->slots[i]);
		if (queue->ready[priority] == 0 || wanted->rates[i].left == 0 ||
			(wanted->caps[i] > 0 && (wanted->held_back || queue->running >= wanted->caps[i])))
			continue;
		lane = next_lane(wanted, queue, priority);
		if (lane < 0)
			continue;
		entry = first_entry(hd_jobs_lane(lane));
		if (oldest == NULL ||
			hd_jobs_order_before(false, entry->at, entry->id, oldest->at, oldest->id))
		{
			oldest = entry;
			best = hd_jobs_order_first(&hd_jobs_lane(lane)->order, false);
		}
	}
	return best;
}

bool
hd_jobs_lane_is_wanted(const HdJobLane *lane, const HdJobQueues *wanted)
{
	return (wanted->tenant == 0 || wanted->tenant == lane->tenant_hash) &&
		   hd_jobs_list_has_kind(wanted->kinds, wanted->nkinds, lane->kind_hash);
}

bool
hd_jobs_lane_starves(const HdJobQueues *wanted, int priority)
{
	for (int i = 0; i < wanted->n; i++)
	{
		dlist_iter iter;

		if (wanted->slots[i] < 0)
			continue;
		dlist_foreach (iter, &hd_jobs_queue(wanted->slots[i])->hungry_lanes)
		{
			const HdJobLane *lane = dlist_container(HdJobLane, hungry, iter.cur);

			if (lane->priority == priority && lane->order.count == 0 &&
				hd_jobs_lane_is_wanted(lane, wanted))
				return true;
		}
	}
	return false;
}

static void
set_tag(int32 index, int64 tag)
{
	hd_jobs_lane_leave(index);
	hd_jobs_lane(index)->tag = tag;
	hd_jobs_lane_enter(index);
}

void
hd_jobs_lane_served(int32 index)
{
	int32 own = hd_jobs_entry(index)->lane;
	HdJobLane *lane = hd_jobs_lane(own);
	HdJobQueue *queue = hd_jobs_queue(lane->queue);
	int64 tag = lane->tag;

	/* When nothing is left all tenants start anew, whoever was served last. */
	queue->turn[lane->priority] = (queue->ready[lane->priority] == 0) ? tag + 1 : tag;
	set_tag(own, tag + 1);
	for (int32 i = lane->sister; i != own; i = hd_jobs_lane(i)->sister)
		if (hd_jobs_lane(i)->tag <= tag)
			set_tag(i, tag + 1);
}

uint64
hd_jobs_lane_flow_hash(const HdJobLane *lane)
{
	return (lane->flow >= 0) ? hd_jobs_flow(lane->flow)->hash : 0;
}

void
hd_jobs_lane_note(int32 index, TimestampTz at, int64 id)
{
	HdJobBacklog *backlog = &hd_jobs_lane(index)->backlog;

	/* Whatever a look finds that began before this must not overwrite what is noted here. */
	backlog->lowered++;
	if (!backlog->more || hd_jobs_order_before(false, at, id - 1, backlog->at, backlog->id))
	{
		backlog->at = at;
		backlog->id = id - 1;
	}
	backlog->more = true;
	hd_jobs_lane_check(index);
}
