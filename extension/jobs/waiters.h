/*-------------------------------------------------------------------------
 * waiters.h
 *		Sessions that wait for jobs, and waking them.
 *
 * Model: a waiter's slot says what it waits for.  Whoever brings a job into
 * a lane wakes one that would take it; a waiter is woken once.  A wake-up
 * too many costs a look, one too few would cost the job its time.
 *
 * Locking: the list's lock, held exclusively by the caller.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_WAITERS_H
#define HD_JOBS_WAITERS_H

#include "jobs/list.h"

#define HD_JOB_WAITER_QUEUES 8
#define HD_JOB_WAITER_KINDS 16

typedef struct HdJobWaiter
{
	int procno; /* -1: slot is free */
	int32 db;
	bool woken;
	int nqueues;						 /* 0: any queue of the database */
	uint64 queues[HD_JOB_WAITER_QUEUES]; /* hashes of names, since slots may change hands */
	int nkinds;							 /* 0: any kind */
	uint32 kinds[HD_JOB_WAITER_KINDS];
	uint32 tenant; /* hash; 0: any */
} HdJobWaiter;

/*
 * hd_jobs_waiter_wake
 *		Wake one session that waits for a job as the entry's.
 * hd_jobs_waiter_wake_queue
 *		Wake up to n sessions that wait for a queue, whatever the kind.
 * hd_jobs_waiter_wake_database
 *		Wake up to n sessions of a database (all: INT_MAX), to look again.
 */
extern void hd_jobs_waiter_wake(int32 entry);
extern void hd_jobs_waiter_wake_queue(int32 queue, int n);
extern void hd_jobs_waiter_wake_database(int32 db, int n);

/*
 * hd_jobs_waiter_set_ticker
 *		This process runs the ticks.  Takes the list's lock for itself.
 * hd_jobs_waiter_wake_ticker
 *		Wake it because a lease has ended early.
 */
extern void hd_jobs_waiter_set_ticker(void);
extern void hd_jobs_waiter_wake_ticker(void);

#endif /* HD_JOBS_WAITERS_H */
