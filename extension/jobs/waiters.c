/*-------------------------------------------------------------------------
 * waiters.c
 *		Sessions that wait for jobs, and waking them.
 *
 * Model: see waiters.h.  Who is called is searched for among the slots, the
 * lowest first, and only while somebody is asleep.
 *
 * Locking: the list's lock, held exclusively by the caller where not said
 * otherwise.  A slot changes hands when a tick frees it, so its owner looks
 * whether it is still its own.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/waiters.h"

#include "core/clock.h"
#include "core/compat.h"
#include "jobs/flows.h"
#include "jobs/lanes.h"
#include "jobs/place.h"
#include "storage/latch.h"
#include "storage/proc.h"

static int my_slot = -1;

/* The call that a look answers, while the slot takes the next one. */
static bool answering = false;
static HdJobCall answered;

/*
 * Calling.
 */

static bool
waits_for_queue(const HdJobWaiter *waiter, uint64 queue)
{
	for (int i = 0; i < waiter->nqueues; i++)
		if (waiter->queues[i] == queue)
			return true;
	return waiter->nqueues == 0;
}

static bool
takes(const HdJobWaiter *waiter, uint32 kind, uint32 tenant)
{
	if (waiter->tenant != 0 && waiter->tenant != tenant)
		return false;
	return hd_jobs_list_has_kind(waiter->kinds, waiter->nkinds, kind);
}

static bool
answers(const HdJobWaiter *waiter, const HdJobCall *call)
{
	if (waiter->state != HD_JOB_WAITER_ASLEEP || waiter->db != call->db)
		return false;
	if (call->scope != HD_JOB_CALL_DATABASE && !waits_for_queue(waiter, call->queue))
		return false;
	return call->scope != HD_JOB_CALL_LANE || takes(waiter, call->kind, call->tenant);
}

static void
make_call(const HdJobCall *call, int n)
{
	for (int i = 0; n > 0 && hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
	{
		HdJobWaiter *waiter = hd_jobs_waiter(i);

		if (!answers(waiter, call))
			continue;
		waiter->state = HD_JOB_WAITER_CALLED;
		waiter->call = *call;
		hd_jobs_list->nwaiters--;
		SetLatch(&ProcGlobal->allProcs[waiter->procno].procLatch);
		n--;
	}
}

void
hd_jobs_waiter_wake(int32 index)
{
	int32 lane = hd_jobs_entry(index)->lane;

	if (!hd_jobs_flow_is_shut(hd_jobs_lane(lane)))
		hd_jobs_waiter_wake_lane(lane, 1);
}

void
hd_jobs_waiter_wake_lane(int32 index, int n)
{
	const HdJobLane *lane = hd_jobs_lane(index);
	const HdJobQueue *queue = hd_jobs_queue(lane->queue);
	HdJobCall call = {.scope = HD_JOB_CALL_LANE,
					  .db = queue->db,
					  .queue = queue->hash,
					  .kind = lane->kind_hash,
					  .tenant = lane->tenant_hash};

	make_call(&call, n);
}

void
hd_jobs_waiter_wake_queue(int32 index, int n)
{
	const HdJobQueue *queue = hd_jobs_queue(index);
	HdJobCall call = {.scope = HD_JOB_CALL_QUEUE, .db = queue->db, .queue = queue->hash};

	make_call(&call, n);
}

void
hd_jobs_waiter_wake_database(int32 db, int n)
{
	HdJobCall call = {.scope = HD_JOB_CALL_DATABASE, .db = db};

	make_call(&call, n);
}

/*
 * Being called.
 */

/* This session's slot, or NULL. */
static HdJobWaiter *
my_waiter(void)
{
	HdJobWaiter *waiter;

	if (my_slot < 0)
		return NULL;
	waiter = hd_jobs_waiter(my_slot);
	if (waiter->state != HD_JOB_WAITER_FREE && waiter->procno == HD_MY_PROCNO)
		return waiter;
	my_slot = -1;
	return NULL;
}

static void
release(HdJobWaiter *waiter)
{
	if (waiter->state == HD_JOB_WAITER_ASLEEP)
		hd_jobs_list->nwaiters--;
	else if (waiter->state == HD_JOB_WAITER_OWING)
		hd_jobs_list->nowing--;
	waiter->state = HD_JOB_WAITER_FREE;
}

/* Free a slot; whoever had it is not called any more, and what it was called for goes to another. */
static void
pass_on(HdJobWaiter *waiter)
{
	bool called = waiter->state != HD_JOB_WAITER_ASLEEP;

	release(waiter);
	if (called)
		make_call(&waiter->call, 1);
}

void
hd_jobs_waiter_leave(void)
{
	HdJobWaiter *waiter = my_waiter();

	if (waiter != NULL)
		pass_on(waiter);
	my_slot = -1;
	if (answering)
		make_call(&answered, 1);
	answering = false;
}

/* A free slot becomes this session's. */
static void
occupy(int slot, const HdJobQueues *queues)
{
	HdJobWaiter *waiter = hd_jobs_waiter(slot);

	waiter->state = HD_JOB_WAITER_ASLEEP;
	waiter->procno = HD_MY_PROCNO;
	waiter->db = queues->db;
	waiter->nqueues = (queues->n <= HD_JOB_WAITER_QUEUES) ? queues->n : 0;
	for (int i = 0; i < waiter->nqueues; i++)
		waiter->queues[i] = hd_jobs_place_queue_hash(queues->names[i]);
	waiter->tenant = queues->tenant;
	waiter->nkinds = (queues->nkinds <= HD_JOB_WAITER_KINDS) ? queues->nkinds : 0;
	for (int i = 0; i < waiter->nkinds; i++)
		waiter->kinds[i] = queues->kinds[i];
	hd_jobs_list->nwaiters++;
	my_slot = slot;
}

/* Without a free slot the caller's short sleeps do. */
void
hd_jobs_waiter_enter(const HdJobQueues *queues)
{
	HdJobWaiter *waiter = my_waiter();

	if (waiter != NULL && waiter->state == HD_JOB_WAITER_CALLED && !answering)
	{
		answering = true;
		answered = waiter->call;
		release(waiter);
	}
	else if (waiter != NULL)
		pass_on(waiter);
	for (int i = 0; i < hd_jobs_list->max_waiters; i++)
		if (hd_jobs_waiter(i)->state == HD_JOB_WAITER_FREE)
		{
			occupy(i, queues);
			return;
		}
	my_slot = -1;
}

/* The claim that follows is this session's debt. */
static void
owe(HdJobWaiter *waiter, const HdJobCall *call)
{
	waiter->state = HD_JOB_WAITER_OWING;
	waiter->call = *call;
	waiter->owing_since = hd_clock_real();
	hd_jobs_list->nowing++;
}

/*
 * One call stays with this session.  The others are made again, and so is one
 * that is for those who go on waiting: to sleep until another time, say.
 */
void
hd_jobs_waiter_found(void)
{
	HdJobWaiter *waiter = my_waiter();
	HdJobCall calls[2];
	int n = 0;

	if (answering)
		calls[n++] = answered;
	if (waiter != NULL && waiter->state == HD_JOB_WAITER_CALLED)
		calls[n++] = waiter->call;
	answering = false;
	if (waiter != NULL)
		release(waiter);
	for (int i = 0; i < n; i++)
	{
		if (waiter != NULL && waiter->state == HD_JOB_WAITER_FREE &&
			calls[i].scope != HD_JOB_CALL_DATABASE)
			owe(waiter, &calls[i]);
		else
			make_call(&calls[i], 1);
	}
}

bool
hd_jobs_waiter_sleeps(void)
{
	HdJobWaiter *waiter;
	bool called;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	waiter = my_waiter();
	called = waiter != NULL && waiter->state == HD_JOB_WAITER_CALLED;
	answering = false;
	LWLockRelease(hd_jobs_lock);
	return !called;
}

/* Whether a claim from these queues would find what a session was called for. */
static bool
covers(const HdJobQueues *queues, const HdJobCall *call)
{
	if (call->scope == HD_JOB_CALL_DATABASE || call->db != queues->db)
		return false;
	if (call->scope == HD_JOB_CALL_LANE &&
		((queues->tenant != 0 && queues->tenant != call->tenant) ||
		 !hd_jobs_list_has_kind(queues->kinds, queues->nkinds, call->kind)))
		return false;
	for (int i = 0; i < queues->n; i++)
		if (queues->slots[i] >= 0 && hd_jobs_queue(queues->slots[i])->hash == call->queue)
			return true;
	return false;
}

/* Call somebody for what a claim has left, in memory or in the table. */
static void
call_next(const HdJobQueues *queues)
{
	for (int p = 0; p < HD_JOB_PRIORITIES && hd_jobs_list->nwaiters > 0; p++)
	{
		int32 index = hd_jobs_lane_next(queues, p);

		if (index < 0)
			continue;
		hd_jobs_waiter_wake(index);
		return;
	}
	for (int i = 0; i < queues->n && hd_jobs_list->nwaiters > 0; i++)
	{
		int32 slot = queues->slots[i];

		if (slot < 0 || (dlist_is_empty(&hd_jobs_queue(slot)->hungry_lanes) &&
						 dlist_is_empty(&hd_jobs_queue(slot)->hungry_gates)))
			continue;
		hd_jobs_waiter_wake_queue(slot, 1);
		return;
	}
}

void
hd_jobs_waiter_claimed(const HdJobQueues *queues, int ntaken, int wanted)
{
	HdJobWaiter *waiter = my_waiter();
	HdJobCall call;
	bool called;

	/* One that works in the server and found nothing looks and sleeps next. */
	if (waiter == NULL || (ntaken == 0 && waiter->state != HD_JOB_WAITER_OWING))
		return;
	called = waiter->state != HD_JOB_WAITER_ASLEEP;
	call = waiter->call;
	release(waiter);
	my_slot = -1;
	if (called && !covers(queues, &call))
		make_call(&call, 1);
	else if (called && ntaken == wanted)
		call_next(queues);
}

bool
hd_jobs_waiter_may_be(void)
{
	return my_slot >= 0 || answering;
}

void
hd_jobs_waiter_pass_overdue(void)
{
	TimestampTz before = hd_clock_real() - HD_JOB_WAITER_PATIENCE_US;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int i = 0; hd_jobs_list->nowing > 0 && i < hd_jobs_list->max_waiters; i++)
	{
		HdJobWaiter *waiter = hd_jobs_waiter(i);

		if (waiter->state == HD_JOB_WAITER_OWING && waiter->owing_since <= before)
			pass_on(waiter);
	}
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_waiter_set_ticker(void)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->ticker = HD_MY_PROCNO;
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_waiter_wake_ticker(void)
{
	if (hd_jobs_list->ticker >= 0)
		SetLatch(&ProcGlobal->allProcs[hd_jobs_list->ticker].procLatch);
}
