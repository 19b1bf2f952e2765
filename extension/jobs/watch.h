/*-------------------------------------------------------------------------
 * watch.h
 *		Telling other modules how jobs of their kinds end.
 *
 * Model: a module registers a watch (jobs.h).  Deaths are noted in the
 * table's handle and told when it is closed, or when there are many, so that
 * a call that ends ten thousand jobs runs one statement for each thousand.
 * Attempts that were lost are told one by one; only rescues find any.
 *
 * The module's statement runs in the transaction that ends the job: what it
 * writes stays if and only if the end does.  It must not fail for what it may
 * find in a row, or the job would never end.
 *
 * Locking: whatever the statement takes.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_WATCH_H
#define HD_JOBS_WATCH_H

#include "postgres.h"

#include "jobs/table.h"
#include "utils/timestamp.h"

/* An attempt that nobody has ended. */
typedef struct HdJobLostAttempt
{
	int64 token;
	int attempt;		 /* its number */
	TimestampTz started; /* DT_NOBEGIN: unknown */
	const char *worker;
	const char *state; /* that the job came to */
	const char *error;
} HdJobLostAttempt;

/*
 * hd_jobs_watch_died / hd_jobs_watch_lost
 *		The job whose row is in the table's slot is dead, or has lost an attempt.
 */
extern void hd_jobs_watch_died(HdJobTable *table);
extern void hd_jobs_watch_lost(HdJobTable *table, const HdJobLostAttempt *lost);

/*
 * hd_jobs_watch_settle
 *		Tell of the deaths that were noted; hd_jobs_table_close calls it.
 */
extern void hd_jobs_watch_settle(HdJobTable *table);

#endif /* HD_JOBS_WATCH_H */
