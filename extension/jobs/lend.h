/*-------------------------------------------------------------------------
 * lend.h
 *		Places that flows are lent beyond a concurrency that is soft.
 *
 * Purpose: a soft concurrency is there so that one flow whose jobs hang does
 * not take all of the workers' places.  A flow whose jobs end at once holds
 * its places so briefly that it may have more of them; one whose jobs fail
 * shall have fewer.
 *
 * Model: a flow's width is its concurrency times 2^step, the step between
 * HD_JOB_STEP_MIN and HD_JOB_STEP_MAX.  Whoever ends jobs grades them, one
 * grade for all of a flow that end in the same transaction:
 *
 *		FAST	twice as wide
 *		PLAIN	twice as wide, where it is narrower than its concurrency
 *		SLOW	as wide as its concurrency, where it is wider
 *		FAILED	the same; where it is not wider, half as wide
 *
 * It gets wider only when its width is used up at that moment (jobs that the
 * transaction ends still count), and no wider than its concurrency within
 * HD_JOB_SETTLE_US after SLOW or FAILED.
 *
 * What was fast can hang at any time, and then what it was lent is held until
 * its jobs time out.  So all flows of a database together have at most
 * HD_JOB_LENT_MAX places beyond their concurrencies: that many, for one time-out,
 * is what the others can miss, however many flows begin to hang at once.
 *
 * A flow with a concurrency that is not soft has that, whatever its grades.
 *
 * What a crash loses: all steps.  So does a flow with nothing to do, since
 * memory forgets it.  A step is earned again within as many transactions.
 *
 * Caveats: a grade counts at once and is not undone by ROLLBACK.  What was
 * graded did happen; the job that ends again is graded twice.
 *
 * Locking: the list's lock, held exclusively by the caller.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LEND_H
#define HD_JOBS_LEND_H

#include "jobs/list.h"

/* What a flow has that is fair by its name (place.h), while no row says anything else. */
#define HD_JOB_FAIR_WIDTH 64

/* Of 64 that is 8 to 256. */
#define HD_JOB_STEP_MIN (-3)
#define HD_JOB_STEP_MAX 2

/* An edge has 1024 places: ten endpoints that hang have their 64 beside these. */
#define HD_JOB_LENT_MAX 384

#define HD_JOB_SETTLE_US (30 * USECS_PER_SEC)

/* As SQL gives them. */
typedef enum HdJobGrade
{
	HD_JOB_GRADE_FAILED = -2,
	HD_JOB_GRADE_SLOW = -1,
	HD_JOB_GRADE_PLAIN = 0,
	HD_JOB_GRADE_FAST = 1
} HdJobGrade;

/*
 * hd_jobs_lend_width
 *		How many jobs of a flow that has a concurrency may run at once, now.
 * hd_jobs_lend_count
 *		Count anew what is lent to a flow: what runs, or its limits, have changed.
 * hd_jobs_lend_forget
 *		Nothing is lent to a flow any more, and it has learnt nothing.
 */
extern int32 hd_jobs_lend_width(const HdJobFlow *flow);
extern void hd_jobs_lend_count(HdJobFlow *flow);
extern void hd_jobs_lend_forget(HdJobFlow *flow);

#endif /* HD_JOBS_LEND_H */
