/*-------------------------------------------------------------------------
 * hold.h
 *		What a job has to wait for before it may be claimed: approval, other
 *		jobs, the members of its batch.
 *
 * Model: a job that waits is a row of _job whose column hold says why.  It
 * is in no list and in no line, and no claim sees it.  When the last reason
 * goes, hd_jobs_hold_drop puts it into its line.  Only jobs that ask for any
 * of this have rows beside the one in _job.
 *
 * A batch is a job that waits for its members, its callback: the batch's id
 * is the callback's.  While it is open, members may still come.
 *
 * Locking: whoever makes a job wait for another locks the other's row first,
 * so that the other cannot end meanwhile, and marks it (column awaited), so
 * that its end looks for those that wait (after.h).  Order: rows of _job by
 * id, then all else.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_HOLD_H
#define HD_JOBS_HOLD_H

#include "postgres.h"

#include "jobs/options.h"
#include "utils/array.h"
#include "utils/timestamp.h"

/* Bits of _job.hold; a row without the first three is not held, and its hold is NULL. */
#define HD_JOB_HOLD_APPROVAL 1
#define HD_JOB_HOLD_JOBS 2
#define HD_JOB_HOLD_OPEN 4	/* a batch, before batch_close */
#define HD_JOB_HOLD_BATCH 8 /* a batch, or waits for one, maybe through others */

/* What a job asks for; zeroed: nothing. */
typedef struct HdJobHeld
{
	int bits; /* HD_JOB_HOLD_*, as the rows will have them once resolved */
	int64 *after;
	int nafter;
	int64 *pending; /* of after, those that have not ended */
	int npending;
	int64 failed; /* one of after that ended so that the job never runs; 0: none */
	const HdJobOptions *options;
} HdJobHeld;

/*
 * hd_jobs_hold_read
 *		Take what a call asks for from its arguments.
 *
 * after may be NULL.  approval: 1 asked for, 0 not, -1 as the options say.
 * Raises 22004 for a null in after, 22023 for options that contradict, 54000
 * for too many jobs.
 */
extern void hd_jobs_hold_read(HdJobHeld *held, ArrayType *after, int approval,
							  const HdJobOptions *options);

/*
 * hd_jobs_hold_asked
 *		Whether there is anything to resolve and to file.
 */
extern bool hd_jobs_hold_asked(const HdJobHeld *held);

/*
 * hd_jobs_hold_resolve
 *		Lock and mark the jobs and the batch that are named.
 *
 * Waits for open transactions that are ending one of them.  Raises 42704 for
 * a job or batch that is not known to the tenant, 55000 for a batch that is
 * closed, 22023 for a cycle.
 */
extern void hd_jobs_hold_resolve(HdJobHeld *held, const char *tenant);

/*
 * hd_jobs_hold_file
 *		Write down what the jobs that were inserted wait for.
 */
extern void hd_jobs_hold_file(const HdJobHeld *held, const int64 *ids, int n, const char *tenant,
							  TimestampTz now);

/*
 * hd_jobs_hold_drop
 *		Take reasons (bits) from held jobs.  Those that have none left go to
 *		their lines, where claims find them from the commit on.  Returns how many had
 *		one of them.  An open batch keeps waiting for members.
 */
extern int hd_jobs_hold_drop(const int64 *ids, int n, int bits);

/*
 * hd_jobs_hold_forget
 *		A held job has ended without running: close what was asked for it.
 *
 * hold: of its row.  expired: it may come back, so what it waits for stays.
 */
extern void hd_jobs_hold_forget(int64 id, int hold, bool expired);

#endif /* HD_JOBS_HOLD_H */
