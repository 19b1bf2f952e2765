/*-------------------------------------------------------------------------
 * wait.h
 *		The parts of waiting that job_work and the background worker share.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_WAIT_H
#define HD_JOBS_WAIT_H

#include "postgres.h"

#include "jobs/list.h"

/*
 * How soon to look again where jobs are there that cannot be had at the
 * moment: the list is full of running ones, or others were quicker.
 */
#define HD_JOB_WAIT_AGAIN_US (20 * 1000)

/*
 * hd_jobs_wait_look
 *		Whether there is something to claim; when not, this session is a waiter
 *		from now on, and *due is when to look again (DT_NOEND: when woken, DT_NOBEGIN: soon).
 *
 * Runs in the caller's transaction, which should end before the sleep.
 */
extern bool hd_jobs_wait_look(HdJobQueues *queues, TimestampTz *due);

/*
 * hd_jobs_wait_sleep
 *		Sleep until woken, due or deadline (of the real clock).  Called outside a
 *		transaction or in one without a snapshot.
 */
extern void hd_jobs_wait_sleep(TimestampTz due, TimestampTz deadline);

/*
 * hd_jobs_wait_leave
 *		Not a waiter any more.  After an error too; a call goes to another.
 */
extern void hd_jobs_wait_leave(void);

#endif /* HD_JOBS_WAIT_H */
