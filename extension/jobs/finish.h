/*-------------------------------------------------------------------------
 * finish.h
 *		Ending claims: completed, failed, snoozed, given back; and jobs that
 *		end without one: cancelled, expired.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_FINISH_H
#define HD_JOBS_FINISH_H

#include "postgres.h"

#include "jobs/table.h"
#include "utils/jsonb.h"

/*
 * hd_jobs_finish_complete
 *		Complete one claimed job; false for a stale token.
 */
extern bool hd_jobs_finish_complete(int64 id, int64 token, Jsonb *result);

/*
 * hd_jobs_finish_failed
 *		Fail one claimed job.  error: sanitised text.  retry_us: delay before the
 *		next attempt, -1 for the job's own policy.  Returns the new state:
 *		"scheduled", "dead", or "lost" for a stale token.
 */
extern const char *hd_jobs_finish_failed(int64 id, int64 token, const char *error, int64 retry_us,
										 bool final);

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
