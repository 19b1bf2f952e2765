/*-------------------------------------------------------------------------
 * rate.h
 *		Rates of queues: how many jobs may begin in a period.
 *
 * Model: a queue's rate is a bucket of limits/, under a policy that lets no
 * window of one period hold more than the rate.  A claim first sees how many
 * would fit, takes that many entries at most, and then pays for them; what
 * others were faster to use up goes back to its lane.  What was paid for and
 * then not begun is given back as far as the bucket can; a claim that rolls
 * back has been paid for.
 *
 * Locking: none of its own; not to be called under the list's lock.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_RATE_H
#define HD_JOBS_RATE_H

#include "jobs/list.h"
#include "limits/limits.h"

typedef struct HdJobRate
{
	HdLimitPolicy policy;
	HdLimitKey key;
	int64 left; /* how many more may be taken now, as last looked at; -1: any number */
} HdJobRate;

/*
 * hd_jobs_rate_set
 *		A queue's rate; rate 0: none.  Raises what hd_limits_key raises.
 */
extern void hd_jobs_rate_set(HdJobRate *rate, const char *queue, int count, int64 period_us);

/*
 * hd_jobs_rate_look
 *		See how many jobs of each queue may begin now.  *next is lowered to the
 *		earliest time at which one that may begin none may begin one.
 */
extern void hd_jobs_rate_look(HdJobQueues *queues, TimestampTz *next);

/*
 * hd_jobs_rate_pay
 *		Pay for claimed entries; those for which it is too late go back to their
 *		lanes.  Returns how many are left in taken.
 */
extern int hd_jobs_rate_pay(HdJobQueues *queues, int32 *taken, int n, TimestampTz now);

/*
 * hd_jobs_rate_refund
 *		A job of a queue was paid for at that time and did not begin.
 */
extern void hd_jobs_rate_refund(const HdJobQueues *queues, int32 queue, TimestampTz paid_at);

#endif /* HD_JOBS_RATE_H */
