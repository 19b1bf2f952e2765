/*-------------------------------------------------------------------------
 * load.h
 *		Rows of the table into the list: after a start, from the lines, and
 *		after two-phase commits.
 *
 * Locking: takes the list's lock for itself where not said otherwise.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LOAD_H
#define HD_JOBS_LOAD_H

#include "postgres.h"

#include "jobs/list.h"
#include "jobs/table.h"

/*
 * hd_jobs_load_database
 *		Give every row of this database that is in no line its entry, unless that
 *		was done since shared memory started.
 *
 * Runs in the caller's transaction.  Returns the slot of the database;
 * raises 54000 when all slots are taken.
 */
extern int32 hd_jobs_load_database(void);

/*
 * hd_jobs_load_wanted
 *		Whether there is something to look for in the table before claiming from
 *		the queues.
 */
extern bool hd_jobs_load_wanted(HdJobQueues *queues, TimestampTz now);

/*
 * hd_jobs_load_lines
 *		Bring rows for some queues, where want entries are asked for.  search:
 *		look for lines that memory has lost, even if that was done only just now.
 *		Returns how many rows were brought.
 */
extern int hd_jobs_load_lines(HdJobTable *table, HdJobQueues *queues, int want, bool search);

/*
 * hd_jobs_load_forget
 *		Look at the whole table again at the next claim, for rows that came in
 *		by another way than the functions (a restore, COPY).
 */
extern void hd_jobs_load_forget(void);

/*
 * hd_jobs_load_announce
 *		Note that this transaction put a job's row into its line, or changed it
 *		there, by SQL.  Nothing without preload.
 */
extern void hd_jobs_load_announce(HdJobTable *table, int64 id);

/*
 * hd_jobs_load_line_rows
 *		Put rows of this transaction that are in no line into their lanes' lines,
 *		before it is prepared.
 */
extern void hd_jobs_load_line_rows(int64 *ids, int n);

/*
 * hd_jobs_load_note_prepared
 *		Remember a prepared transaction that enqueued.  Caller holds the list's
 *		lock exclusively; db may be -1.
 */
extern void hd_jobs_load_note_prepared(int32 db, TransactionId xid);

/*
 * hd_jobs_load_check_prepared
 *		Look for everything again if a remembered transaction has ended.
 */
extern void hd_jobs_load_check_prepared(int32 db);

/*
 * hd_jobs_load_set_ticker / hd_jobs_load_alert_ticker
 *		This process runs the ticks; wake it because a lease has ended early.
 *		Alert: caller holds the list's lock.
 */
extern void hd_jobs_load_set_ticker(void);
extern void hd_jobs_load_alert_ticker(void);

#endif /* HD_JOBS_LOAD_H */
