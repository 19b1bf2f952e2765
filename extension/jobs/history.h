/*-------------------------------------------------------------------------
 * history.h
 *		What is kept of ended jobs and attempts, and for how long.
 *
 * Model: _job_history and _job_attempt are a family of numbered parts
 * (core/parts.h).  A part, one table of each, takes the rows of one class of
 * retention; which class a kind's rows belong to job_kind_set says.
 *
 * Rows go straight into the part's tables: no executor, and no lock on the
 * parents.
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
 * hd_jobs_history_flush / hd_jobs_history_close
 *		Insert what the parts that a table's handle has opened have gathered; and
 *		close them.
 */
extern void hd_jobs_history_flush(HdJobTable *table);
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
