/*-------------------------------------------------------------------------
 * finish.h
 *		Ending claims: completed, failed, snoozed, given back; and jobs that
 *		end without one: cancelled, expired.
 *
 * All take a table that is open for reading (table.h) and act in the caller's
 * transaction.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_FINISH_H
#define HD_JOBS_FINISH_H

#include "postgres.h"

#include "jobs/after.h"
#include "jobs/table.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * hd_jobs_finish_complete
 *		Complete a claimed job; false for a stale token.  result may be NULL.
 */
extern bool hd_jobs_finish_complete(HdJobTable *table, int64 id, int64 token, Jsonb *result);

/*
 * hd_jobs_finish_failed
 *		Fail a claimed job.  error is sanitised and cut.  retry_us: delay before
 *		the next attempt, -1 for the job's own policy.  Returns the new state:
 *		"scheduled", "dead", "cancelled" where that was asked for, or "lost" for a
 *		stale token.
 */
extern const char *hd_jobs_finish_failed(HdJobTable *table, int64 id, int64 token,
										 const char *error, int64 retry_us, bool final);

/*
 * hd_jobs_finish_snooze / hd_jobs_finish_release
 *		Put a claimed job off by delay_us microseconds, or give it back at once;
 *		the attempt is not charged.  False for a stale token.
 */
extern bool hd_jobs_finish_snooze(HdJobTable *table, int64 id, int64 token, int64 delay_us);
extern bool hd_jobs_finish_release(HdJobTable *table, int64 id, int64 token);

/*
 * hd_jobs_finish_stopped
 *		A SQL handler was interrupted because its job is to be cancelled: end it
 *		so.
 */
extern void hd_jobs_finish_stopped(HdJobTable *table, int64 id, int64 token);

/*
 * hd_jobs_finish_cancel
 *		End a job that waits, or ask its worker to (cancel.h).  False when it is
 *		being claimed or ended at this moment, or gone.
 */
extern bool hd_jobs_finish_cancel(HdJobTable *table, int64 id);

/*
 * hd_jobs_finish_cancel_waiting / hd_jobs_finish_reschedule /
 * hd_jobs_finish_expire_waiting
 *		End a job that waits, move it to another time, or end it as dead if it is
 *		past its expires_at.  False when it is running, being ended, or gone.
 */
extern bool hd_jobs_finish_cancel_waiting(HdJobTable *table, int64 id);
extern bool hd_jobs_finish_reschedule(HdJobTable *table, int64 id, TimestampTz at);
extern bool hd_jobs_finish_expire_waiting(HdJobTable *table, int64 id);

/*
 * hd_jobs_finish_done
 *		What the job was for has been done by other means: one that waits is
 *		completed; of one that runs, a further attempt is not to follow.  False
 *		when it is just being claimed or ended, or gone.
 */
extern bool hd_jobs_finish_done(HdJobTable *table, int64 id);

/*
 * hd_jobs_finish_held
 *		End a job that is held (hold.h) and so was never claimed: cancelled, or
 *		dead because it expired.  result may be NULL.  False when it is not held.
 */
extern bool hd_jobs_finish_held(HdJobTable *table, int64 id, HdJobOutcome outcome, Jsonb *result);

/*
 * hd_jobs_finish_expired
 *		A claimed entry's row (in table->slot, at tid) is past its expires_at:
 *		move it to the dead jobs, uncharged.
 */
extern void hd_jobs_finish_expired(HdJobTable *table, int32 index, ItemPointer tid);

/*
 * hd_jobs_finish_rescue
 *		Charge up to n leases that have run out; their jobs are retried or dead.
 *		Runs in the caller's transaction.  Returns how many leases it ended.
 */
extern int hd_jobs_finish_rescue(int n);

#endif /* HD_JOBS_FINISH_H */
