/*-------------------------------------------------------------------------
 * gates.c
 *		Gates: jobs that have a key.
 *
 * Model: see gates.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/gates.h"

#include "core/counters.h"
#include "jobs/lanes.h"
#include "jobs/order.h"
#include "jobs/waiters.h"
#include "miscadmin.h"

/* How far one call looks for a gate that can make room. */
#define EVICTION_STEPS 256

int32
hd_jobs_gate_find(int32 db, int64 line)
{
	for (int32 i = *hd_jobs_gate_bucket(db, line); i >= 0; i = hd_jobs_gate(i)->hash_next)
		if (hd_jobs_gate(i)->line == line && hd_jobs_queue(hd_jobs_gate(i)->queue)->db == db)
			return i;
	return -1;
}

/* A free slot; when there is none, of a gate that has nothing but a backlog. */
static int32
take_slot(void)
{
	for (int step = 0; hd_jobs_list->free_gate < 0 && step < EVICTION_STEPS; step++)
	{
		int32 i = hd_jobs_list->gate_hand;

		hd_jobs_list->gate_hand = (i + 1) % hd_jobs_list->max_gates;
		if (hd_jobs_gate(i)->line != 0 && hd_jobs_gate(i)->refs == 0)
			hd_jobs_gate_forget(i);
	}
	return hd_jobs_list->free_gate;
}

int32
hd_jobs_gate_get(int32 db, const HdJobPlace *place)
{
	int32 index = hd_jobs_gate_find(db, place->gate);
	HdJobGate *gate;
	int32 *bucket;
	int32 queue;

	if (index >= 0)
		return index;
	queue = hd_jobs_list_queue(db, place->queue, true);
	index = (queue >= 0) ? take_slot() : -1;
	if (index < 0)
	{
		hd_counters_add(HD_COUNTER_JOBS_QUEUES_FULL, 1);
		return -1;
	}
	gate = hd_jobs_gate(index);
	hd_jobs_list->free_gate = gate->hash_next;
	hd_jobs_list->ngates++;
	memset(gate, 0, sizeof(HdJobGate));
	gate->line = place->gate;
	gate->queue = queue;
	gate->kind_hash = place->kind_hash;
	gate->strict = place->strict;
	gate->width = 1;
	gate->stale = true;
	gate->backlog.more = true;
	gate->backlog.at = DT_NOBEGIN;
	gate->backlog.id = PG_INT64_MIN;
	hd_jobs_order_init(&gate->order);
	hd_jobs_queue(queue)->refs++;
	bucket = hd_jobs_gate_bucket(db, place->gate);
	gate->hash_next = *bucket;
	*bucket = index;
	return index;
}

void
hd_jobs_gate_forget(int32 index)
{
	HdJobGate *gate = hd_jobs_gate(index);
	HdJobQueue *queue = hd_jobs_queue(gate->queue);
	int32 *link = hd_jobs_gate_bucket(queue->db, gate->line);

	Assert(gate->refs == 0 && gate->order.count == 0);

	/* Where the next row is not due, its time brings the gate back. */
	if (gate->backlog.more && !gate->held)
		hd_jobs_list_lose(queue->db);
	gate->backlog.more = gate->stale = false;
	gate->viewer = 0;
	hd_jobs_gate_check(index);
	while (*link != index)
		link = &hd_jobs_gate(*link)->hash_next;
	*link = gate->hash_next;
	queue->refs--;
	gate->line = 0;
	gate->hash_next = hd_jobs_list->free_gate;
	hd_jobs_list->free_gate = index;
	hd_jobs_list->ngates--;
}

void
hd_jobs_gate_hold(int32 index)
{
	hd_jobs_gate(index)->refs++;
}

void
hd_jobs_gate_let_go(int32 index)
{
	HdJobGate *gate = hd_jobs_gate(index);

	if (--gate->refs == 0 && !gate->backlog.more)
		hd_jobs_gate_forget(index);
}

bool
hd_jobs_gate_has_room(const HdJobGate *gate)
{
	return gate->order.count < HD_JOB_GATE_DEPTH &&
		   hd_jobs_list->nblocked < hd_jobs_list->capacity / 4;
}

bool
hd_jobs_gate_accepts(const HdJobGate *gate, TimestampTz at, int64 id)
{
	return !gate->backlog.more ||
		   !hd_jobs_order_before(gate->strict, gate->backlog.at, gate->backlog.id, at, id);
}

static bool
may_admit(const HdJobGate *gate)
{
	return gate->ready + gate->running < gate->width &&
		   hd_jobs_list->databases[hd_jobs_queue(gate->queue)->db].horizon == 0;
}

/* Entries behind it cannot go on, and there may be rows that can. */
static bool
is_hungry(const HdJobGate *gate)
{
	const HdJobEntry *first;

	if (gate->stale || gate->viewer != 0)
		return true;
	if (!gate->backlog.more || gate->held || !may_admit(gate))
		return false;
	if (gate->order.count == 0)
		return true;
	first = hd_jobs_entry(hd_jobs_order_first(&gate->order, gate->strict));
	return !hd_jobs_gate_accepts(gate, first->at, first->id);
}

void
hd_jobs_gate_check(int32 index)
{
	HdJobGate *gate = hd_jobs_gate(index);
	bool listed = gate->hungry.next != NULL;
	bool hungry = is_hungry(gate);

	if (hungry && !listed)
		dlist_push_tail(&hd_jobs_queue(gate->queue)->hungry_gates, &gate->hungry);
	if (!hungry && listed)
	{
		dlist_delete(&gate->hungry);
		gate->hungry.next = gate->hungry.prev = NULL;
	}
}

static void
enter(HdJobGate *gate, int32 index)
{
	hd_jobs_order_add(&gate->order, gate->strict, index);
	hd_jobs_list->nblocked++;
	hd_jobs_entry(index)->in_gate = true;
}

void
hd_jobs_gate_block(int32 index)
{
	HdJobEntry *entry = hd_jobs_entry(index);
	HdJobGate *gate = hd_jobs_gate(entry->gate);

	if (!entry->in_gate)
		enter(gate, index);
	entry->state = HD_JOB_BLOCKED;
	entry->owner = 0;
	entry->token = 0;
	entry->bound = false;
}

void
hd_jobs_gate_seize(int32 index)
{
	const HdJobEntry *entry = hd_jobs_entry(index);
	HdJobGate *gate = hd_jobs_gate(entry->gate);

	if (gate->strict && !entry->in_gate)
		enter(gate, index);
	else if (!gate->strict && entry->in_gate)
		hd_jobs_gate_unlink(index);
}

void
hd_jobs_gate_unlink(int32 index)
{
	HdJobGate *gate = hd_jobs_gate(hd_jobs_entry(index)->gate);

	hd_jobs_order_remove(&gate->order, gate->strict, index);
	hd_jobs_list->nblocked--;
	hd_jobs_entry(index)->in_gate = false;
}

void
hd_jobs_gate_admit(int32 index)
{
	HdJobGate *gate = hd_jobs_gate(index);

	while (gate->order.count > 0 && may_admit(gate))
	{
		int32 first = hd_jobs_order_first(&gate->order, gate->strict);

		if (hd_jobs_entry(first)->state != HD_JOB_BLOCKED ||
			!hd_jobs_gate_accepts(gate, hd_jobs_entry(first)->at, hd_jobs_entry(first)->id))
			break;
		hd_jobs_gate_unlink(first);
		gate->ready++;
		hd_jobs_lane_push(first);
		hd_jobs_waiter_wake(first);
	}
	hd_jobs_gate_check(index);
	if (gate->hungry.next != NULL)
		hd_jobs_waiter_wake_queue(gate->queue, 1);
}

void
hd_jobs_gate_note(int32 index, TimestampTz at, int64 id)
{
	HdJobGate *gate = hd_jobs_gate(index);
	HdJobBacklog *backlog = &gate->backlog;

	backlog->lowered++;
	if (!backlog->more || hd_jobs_order_before(gate->strict, at, id - 1, backlog->at, backlog->id))
	{
		backlog->at = at;
		backlog->id = id - 1;
		gate->held = false;
	}
	backlog->more = true;
	hd_jobs_gate_check(index);
}

void
hd_jobs_gate_due(int32 index, TimestampTz at, int64 id)
{
	HdJobGate *gate = hd_jobs_gate(index);

	hd_jobs_gate_look_again(index);
	if (hd_jobs_gate_accepts(gate, at, id))
		hd_jobs_gate_note(index, at, id);
	else
		hd_jobs_gate_check(index);
}

void
hd_jobs_gate_look_again(int32 index)
{
	hd_jobs_gate(index)->held = false;
	hd_jobs_gate(index)->backlog.lowered++;
}

bool
hd_jobs_gate_is_stale(const HdJobGate *gate)
{
	return gate->stale || (gate->viewer != 0 && gate->viewer != MyProcPid);
}

void
hd_jobs_gate_doubt(int32 db)
{
	for (int32 i = 0; i < hd_jobs_list->max_gates; i++)
	{
		HdJobGate *gate = hd_jobs_gate(i);

		if (gate->line == 0 || hd_jobs_queue(gate->queue)->db != db)
			continue;
		gate->stale = true;
		gate->viewer = 0;
		hd_jobs_gate_look_again(i);
		hd_jobs_gate_check(i);
	}
}
