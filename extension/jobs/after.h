/*-------------------------------------------------------------------------
 * after.h
 *		What the end of a job means for those that wait for it.
 *
 * Model: a job that others wait for is marked (column awaited); nobody else
 * pays anything when it ends.  Ends are collected in the table's handle and
 * settled when it is closed, so that a call that ends many jobs looks once.
 *
 * Settling deletes the rows of _job_dependency that the ends satisfy, and
 * then looks whether the waiting job has another one, with a snapshot that
 * also tells rows that open transactions are deleting:
 *
 *		nothing is left			the job may run: this transaction lets it go
 *		a row nobody deletes	whoever deletes that one later looks again
 *		only rows that others	undecided: each of them may yet roll back.  A
 *		are deleting			row of _job_recheck leaves it to the tick
 *
 * Why nothing is lost: everyone deletes first and looks then.  Of all that
 * end, the last to delete sees that the others have, so it never finds a row
 * that nobody deletes: it lets the job go or leaves a note.  A delete that
 * rolls back makes its row one that nobody deletes, and its job ends later.
 * Why nothing is let go twice: "nothing is left" holds for one transaction
 * only, since another one's deletes count as left until it commits; and the
 * job's own row is changed under its lock.
 *
 * Nobody waits for anybody else here, so jobs that end side by side for one
 * batch or one dependent neither queue up nor deadlock.
 *
 * Locking: none beyond the rows that are written.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_AFTER_H
#define HD_JOBS_AFTER_H

#include "postgres.h"

#include "jobs/table.h"
#include "utils/jsonb.h"

/* How a job ended. */
typedef enum HdJobOutcome
{
	HD_JOB_COMPLETED,
	HD_JOB_DEAD,
	HD_JOB_CANCELLED
} HdJobOutcome;

#define HD_JOB_OUTCOMES 3

/* _job_dependency.on_failure: what the waiting job does when the other ends badly. */
typedef enum HdJobOnFailure
{
	HD_JOB_ON_FAILURE_WAIT,	  /* for a dead one to be retried; is cancelled with a cancelled one */
	HD_JOB_ON_FAILURE_CANCEL, /* is cancelled */
	HD_JOB_ON_FAILURE_RUN,	  /* runs all the same */
	HD_JOB_ON_FAILURE_MEMBER  /* is a batch, and counts it */
} HdJobOnFailure;

/*
 * hd_jobs_after_note
 *		The job whose row is in the table's slot has just been deleted by this
 *		transaction.
 */
extern void hd_jobs_after_note(HdJobTable *table, HdJobOutcome outcome);

/*
 * hd_jobs_after_failed
 *		The result of a job that is cancelled because of another: because, its id.
 */
extern Jsonb *hd_jobs_after_failed(int64 because);

/*
 * hd_jobs_after_settle
 *		Settle the ends that were noted; hd_jobs_table_close calls it.
 */
extern void hd_jobs_after_settle(HdJobTable *table);

/*
 * hd_jobs_after_tick
 *		Periodic: decide what was left undecided, end held jobs that have
 *		expired, sweep out progress of jobs that are gone.  In the caller's
 *		transaction; returns whether there is more to do at once.
 */
extern bool hd_jobs_after_tick(void);

#endif /* HD_JOBS_AFTER_H */
