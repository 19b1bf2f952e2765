/*-------------------------------------------------------------------------
 * history.h
 *		What is kept of ended jobs and attempts, and for how long.
 *
 * Model: _job_history and _job_attempt are partitioned by a number.  A part,
 * one table of each, takes the rows of one class of retention (1, 3, 7, 14,
 * 30, 90 or 365 days) until the tick closes it, after an eighth of that
 * time; when the class's time has passed since then, the tick drops it.
 * _history_part says which part takes rows now.  Part 0 belongs to the
 * extension, and takes what has no part yet: until the first tick after
 * CREATE EXTENSION or after a kind asked for a new class.  It is emptied as a
 * whole when all of it has expired.
 *
 * Why numbers and not ranges of time: a range needs its partition in time,
 * or a DEFAULT partition, which has to be locked and searched for each new
 * one.  Here a part that was not replaced, since nobody ticks, just goes on
 * taking rows; a clock that jumps puts no row where it cannot go; and rows
 * that a transaction files late are kept no shorter.
 *
 * Rows go straight into the part's tables: no executor, and no lock on the
 * parents, so that dropping a part has to wait for readers only.  It does
 * not wait for them either: it takes its locks at once or tries again at
 * the next tick.
 *
 * Parts other than 0 are not members of the extension.  A dump therefore
 * has them as tables of their own, and a restore makes and attaches them;
 * DROP EXTENSION drops them with their parents.
 *
 * Locking: RowExclusiveLock on the part until the transaction ends.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_HISTORY_H
#define HD_JOBS_HISTORY_H

#include "postgres.h"

#include "jobs/table.h"
#include "utils/timestamp.h"

/* hotdash.job_retention: how long jobs are kept whose kind says nothing, in minutes. */
extern int hd_jobs_setting_retention;

#define HD_JOB_MAX_RETENTION_DAYS 365

/*
 * hd_jobs_history_file / hd_jobs_history_file_attempt
 *		Insert a row of a kind's job into _job_history or _job_attempt.  values
 *		are indexed by HdJobHistoryColumn or HdJobAttemptColumn minus one; the
 *		part's number is filled in here.
 */
extern void hd_jobs_history_file(HdJobTable *table, Datum kind, Datum *values, const bool *nulls);
extern void hd_jobs_history_file_attempt(HdJobTable *table, Datum kind, Datum *values,
										 const bool *nulls);

/*
 * hd_jobs_history_close
 *		Close the parts that a table's handle has opened.
 */
extern void hd_jobs_history_close(HdJobTable *table);

/*
 * hd_jobs_history_set
 *		State a kind's retention; NULL for the default.  The kind exists.
 */
extern void hd_jobs_history_set(const char *kind, Interval *retention);

/*
 * hd_jobs_history_tick
 *		Close, make and drop parts where it is time, in the current transaction.
 *		Cheap when there is nothing to do.
 */
extern void hd_jobs_history_tick(void);

#endif /* HD_JOBS_HISTORY_H */
