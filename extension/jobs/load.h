/*-------------------------------------------------------------------------
 * load.h
 *		Rows of the table into the list: after a start, after two-phase commits,
 *		and those that came in by SQL.
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

#endif /* HD_JOBS_LOAD_H */
