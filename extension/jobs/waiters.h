/*-------------------------------------------------------------------------
 * waiters.h
 *		Sessions that wait for jobs, and waking them.
 *
 * Model: a waiter's slot says what it waits for.  Whoever brings a job into
 * a lane calls one session that would take it, and a session is called once.
 * A call is a debt: where nobody else is asleep or nobody else was called,
 * the job has only this session.  It is settled
 *	- by a look that finds nothing, after which the session sleeps on;
 *	- by a claim that asks for what the session was called for and takes what
 *	  there is; one whose batch was full before that calls the next session.
 * It is passed on, to the next session that would answer it,
 *	- when the wait ends by an error, a cancel, or its time;
 *	- when the session ends, waits again, or claims something else first;
 *	- when the wait is over and a tick comes a second later: job_wait returns
 *	  to a client before that claims, and the client may be stuck, or may claim
 *	  in another session that its pooler has given it.
 * A call too many costs a look, one too few would cost the job its time.
 *
 * Locking: the list's lock, held exclusively by the caller where not said
 * otherwise.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_WAITERS_H
#define HD_JOBS_WAITERS_H

#include "jobs/list.h"

#define HD_JOB_WAITER_QUEUES 8
#define HD_JOB_WAITER_KINDS 16

/* How long a session may take from the end of its wait to its claim, where somebody ticks. */
#define HD_JOB_WAITER_PATIENCE_US USECS_PER_SEC

/* How much is known of the jobs that sessions are called for. */
typedef enum HdJobCallScope
{
	HD_JOB_CALL_DATABASE, /* there is something new in it */
	HD_JOB_CALL_QUEUE,	  /* jobs of a queue, of whatever kind and tenant */
	HD_JOB_CALL_LANE	  /* jobs of a queue, a kind and a tenant */
} HdJobCallScope;

typedef struct HdJobCall
{
	HdJobCallScope scope;
	int32 db;
	uint64 queue; /* these three are hashes */
	uint32 kind;
	uint32 tenant;
} HdJobCall;

typedef enum HdJobWaiterState
{
	HD_JOB_WAITER_FREE,	  /* next: ASLEEP */
	HD_JOB_WAITER_ASLEEP, /* to be called; next: CALLED, FREE */
	HD_JOB_WAITER_CALLED, /* and has not looked; next: ASLEEP, OWING, FREE */
	HD_JOB_WAITER_OWING	  /* its wait is over, and it has not claimed; next: FREE */
} HdJobWaiterState;

typedef struct HdJobWaiter
{
	HdJobWaiterState state;
	int procno;
	int32 db;
	HdJobCall call;						 /* while CALLED or OWING */
	TimestampTz owing_since;			 /* by the real clock */
	int nqueues;						 /* 0: any queue of the database */
	uint64 queues[HD_JOB_WAITER_QUEUES]; /* hashes of names, since slots may change hands */
	int nkinds;							 /* 0: any kind */
	uint32 kinds[HD_JOB_WAITER_KINDS];
	uint32 tenant; /* hash; 0: any */
} HdJobWaiter;

/*
 * hd_jobs_waiter_wake
 *		Wake one session that waits for a job as the entry's.
 * hd_jobs_waiter_wake_lane
 *		Wake up to n sessions that wait for jobs as a lane's.
 * hd_jobs_waiter_wake_queue
 *		Wake up to n sessions that wait for a queue, whatever the kind.
 * hd_jobs_waiter_wake_database
 *		Wake up to n sessions of a database (all: INT_MAX), to look again.
 */
extern void hd_jobs_waiter_wake(int32 entry);
extern void hd_jobs_waiter_wake_lane(int32 lane, int n);
extern void hd_jobs_waiter_wake_queue(int32 queue, int n);
extern void hd_jobs_waiter_wake_database(int32 db, int n);

/*
 * hd_jobs_waiter_enter
 *		This session is a waiter from now on, and about to look.  What it was
 *		called for stays its debt until the look is over.
 * hd_jobs_waiter_found
 *		It found something: the wait is over.
 * hd_jobs_waiter_sleeps
 *		It found nothing and goes to sleep.  False when it has been called since,
 *		and must look again.  Takes the lock.
 * hd_jobs_waiter_claimed
 *		This session asked for wanted jobs and took ntaken.
 * hd_jobs_waiter_leave
 *		Not a waiter any more; what it was called for goes to another.
 */
extern void hd_jobs_waiter_enter(const HdJobQueues *queues);
extern void hd_jobs_waiter_found(void);
extern bool hd_jobs_waiter_sleeps(void);
extern void hd_jobs_waiter_claimed(const HdJobQueues *queues, int ntaken, int wanted);
extern void hd_jobs_waiter_leave(void);

/*
 * hd_jobs_waiter_may_be
 *		Whether this session may be a waiter, or owe a claim.  Needs no lock.
 * hd_jobs_waiter_pass_overdue
 *		Pass on what sessions owe for too long.  Takes the lock.
 */
extern bool hd_jobs_waiter_may_be(void);
extern void hd_jobs_waiter_pass_overdue(void);

/*
 * hd_jobs_waiter_set_ticker
 *		This process runs the ticks.  Takes the list's lock for itself.
 * hd_jobs_waiter_wake_ticker
 *		Wake it because a lease has ended early.
 */
extern void hd_jobs_waiter_set_ticker(void);
extern void hd_jobs_waiter_wake_ticker(void);

#endif /* HD_JOBS_WAITERS_H */
