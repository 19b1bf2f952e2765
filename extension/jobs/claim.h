/*-------------------------------------------------------------------------
 * claim.h
 *		Claiming: from the list, confirmed by the table.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_CLAIM_H
#define HD_JOBS_CLAIM_H

#include "postgres.h"

#include "jobs/list.h"
#include "jobs/table.h"
#include "jobs/tx.h"
#include "utils/array.h"

typedef struct HdJobClaim
{
	HdJobQueues queues;
	int batch;
	HdJobHold hold;
} HdJobClaim;

/* Called for each job claimed, its row in table->slot. */
typedef void (*HdJobClaimed)(HdJobTable *table, int64 token, TimestampTz expires, void *arg);

/*
 * hd_jobs_claim_check
 *		Raise unless jobs may be claimed here and now: 55000 without preload,
 *		25006 in recovery, 25001 under REPEATABLE READ or above.
 */
extern void hd_jobs_claim_check(void);

/*
 * hd_jobs_claim_queues
 *		Resolve an array of queue names (NULL: every queue) that are not paused,
 *		and bring the database's rows into the list if that was not done yet.
 *		Raises 42704 for an unknown queue, 22004 for a NULL element.
 */
extern void hd_jobs_claim_queues(ArrayType *names, HdJobQueues *queues);

/*
 * hd_jobs_claim_run
 *		Claim up to claim->batch jobs; each is handed to claimed.  Returns how
 *		many.  The claims are this transaction's until it commits.
 */
extern int hd_jobs_claim_run(HdJobTable *table, HdJobClaim *claim, HdJobClaimed claimed, void *arg);

#endif /* HD_JOBS_CLAIM_H */
