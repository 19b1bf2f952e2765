/*-------------------------------------------------------------------------
 * waiters.c
 *		Sessions that wait for jobs, and waking them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/waiters.h"

#include "core/compat.h"
#include "jobs/flows.h"
#include "storage/latch.h"
#include "storage/proc.h"

static bool
waits_for_queue(const HdJobWaiter *waiter, const HdJobQueue *queue)
{
	if (waiter->procno < 0 || waiter->woken || waiter->db != queue->db)
		return false;
	for (int i = 0; i < waiter->nqueues; i++)
		if (waiter->queues[i] == queue->hash)
			return true;
	return waiter->nqueues == 0;
}

static bool
takes(const HdJobWaiter *waiter, const HdJobLane *lane)
{
	if (waiter->tenant != 0 && waiter->tenant != lane->tenant_hash)
		return false;
	return hd_jobs_list_has_kind(waiter->kinds, waiter->nkinds, lane->kind_hash);
}

static void
wake(HdJobWaiter *waiter)
{
	waiter->woken = true;
	hd_jobs_list->nwaiters--;
	SetLatch(&ProcGlobal->allProcs[waiter->procno].procLatch);
}

void
hd_jobs_waiter_wake(int32 index)
{
	const HdJobLane *lane = hd_jobs_lane(hd_jobs_entry(index)->lane);
	const HdJobQueue *queue = hd_jobs_queue(lane->queue);

	if (hd_jobs_flow_is_shut(lane))
		return;
	for (int i = 0; hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
	{
		HdJobWaiter *waiter = hd_jobs_waiter(i);

		if (waits_for_queue(waiter, queue) && takes(waiter, lane))
		{
			wake(waiter);
			return;
		}
	}
}

void
hd_jobs_waiter_wake_queue(int32 queue, int n)
{
	for (int i = 0; n > 0 && hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
	{
		HdJobWaiter *waiter = hd_jobs_waiter(i);

		if (waits_for_queue(waiter, hd_jobs_queue(queue)))
		{
			wake(waiter);
			n--;
		}
	}
}

void
hd_jobs_waiter_wake_database(int32 db, int n)
{
	for (int i = 0; n > 0 && hd_jobs_list->nwaiters > 0 && i < hd_jobs_list->max_waiters; i++)
	{
		HdJobWaiter *waiter = hd_jobs_waiter(i);

		if (waiter->procno >= 0 && !waiter->woken && waiter->db == db)
		{
			wake(waiter);
			n--;
		}
	}
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
