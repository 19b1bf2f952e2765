/*-------------------------------------------------------------------------
 * flows.h
 *		Flows: jobs that share limits of their own within a queue.
 *
 * Purpose: what goes to one receiver.  There may be thousands in one queue,
 * each with a concurrency, a rate, and a time before which nothing begins; a
 * queue of its own for each would have to be asked for by name.
 *
 * Model: a job names its flow when it is enqueued; row hotdash._job_flow says
 * the flow's limits.  Without one it has none, or, if its name begins with
 * HD_JOB_FAIR_PREFIX, a soft concurrency of HD_JOB_FAIR_WIDTH: so that there
 * need not be a row for each host that was ever sent to.  Each flow's jobs stand in
 * lanes of their own, so flows take turns as tenants do.  A flow that may not
 * go on is shut: its lanes leave their groups, and whoever claims does not
 * meet them any more.  What has shut a flow opens it: the end of a job where
 * its concurrency was used up, a time (a heap of those), or its limits when
 * they have been read.
 *
 * The limits are read when they are needed, outside the lock, by whoever
 * claims next; a commit that changed them makes them stale.  The session
 * whose own open transaction changed them reads its own change, which is not
 * for others to use (viewer).
 *
 * A concurrency that is soft is for fairness alone, and gets wider or narrower
 * with how the flow's jobs do: lend.h.
 *
 * What runs counts exactly: leases come back from the ledger with the hash of
 * their flow.  What was begun under a rate is in a bucket of limits/, paid
 * for when an entry is taken, and never given back.
 *
 * Locking: the list's lock, held exclusively by the caller, where not said
 * otherwise.  Buckets are used under it, see core/shmem.h.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_FLOWS_H
#define HD_JOBS_FLOWS_H

#include "jobs/list.h"

/*
 * hd_jobs_flow_find / hd_jobs_flow_get
 *		Index of a flow, -1 when there is none; get makes it.  There is always
 *		room, since no lane has more than one.
 */
extern int32 hd_jobs_flow_find(int32 db, uint64 hash);
extern int32 hd_jobs_flow_get(int32 db, uint64 hash);

/*
 * hd_jobs_flow_join / hd_jobs_flow_part
 *		A lane, empty, is new in a flow; it is no longer.
 */
extern void hd_jobs_flow_join(int32 flow, int32 lane);
extern void hd_jobs_flow_part(int32 lane);

/*
 * hd_jobs_flow_is_shut / hd_jobs_flow_is_limited
 *		Whether the lane's flow is shut; whether it promises how many run at once.
 */
extern bool hd_jobs_flow_is_shut(const HdJobLane *lane);
extern bool hd_jobs_flow_is_limited(const HdJobLane *lane);

/*
 * hd_jobs_flow_admits
 *		Whether one more job of the flow (-1: none) may begin.  If not, it is shut.
 * hd_jobs_flow_pay
 *		The same for a job that begins, and its rate is paid.
 * hd_jobs_flow_started / hd_jobs_flow_stopped
 *		A job of the flow runs; no longer.
 */
extern bool hd_jobs_flow_admits(int32 flow, const HdJobQueues *wanted);
extern bool hd_jobs_flow_pay(int32 flow);
extern void hd_jobs_flow_started(int32 flow);
extern void hd_jobs_flow_stopped(int32 flow);

/*
 * hd_jobs_flow_open
 *		Open the flows whose time has come.
 * hd_jobs_flow_next
 *		When the next one opens by itself; DT_NOEND: none does.
 */
extern void hd_jobs_flow_open(TimestampTz now);
extern TimestampTz hd_jobs_flow_next(void);

/*
 * hd_jobs_flow_doubt / hd_jobs_flow_doubt_all
 *		The limits of a flow, of all flows of a database, may have changed.
 * hd_jobs_flow_is_wanted
 *		Whether limits of the database are to be read.
 * hd_jobs_flow_load
 *		Read them.  Takes the lock for itself.
 */
extern void hd_jobs_flow_doubt(int32 db, uint64 hash);
extern void hd_jobs_flow_doubt_all(int32 db);
extern bool hd_jobs_flow_is_wanted(int32 db);
extern void hd_jobs_flow_load(int32 db);

#endif /* HD_JOBS_FLOWS_H */
