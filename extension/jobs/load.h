/*-------------------------------------------------------------------------
 * load.h
 *		Rows of the table into the list: after a start, from the shelf, and
 *		after two-phase commits.
 *
 * Locking: takes the list's lock for itself where not said otherwise.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LOAD_H
#define HD_JOBS_LOAD_H

#include "postgres.h"

#include "jobs/list.h"

/*
 * hd_jobs_load_database
 *		Give every row of this database that is not shelved its entry, unless
 *		that was done since shared memory started.
 *
 * Runs in the caller's transaction.  Returns the slot of the database;
 * raises 54000 when all slots are taken.
 */
extern int32 hd_jobs_load_database(void);

/*
 * hd_jobs_load_wanted
 *		Whether a lane of the queues has something to look for on the shelf, when
 *		want entries are asked for.
 */
extern bool hd_jobs_load_wanted(HdJobQueues *queues, int want, TimestampTz now);

/*
 * hd_jobs_load_lanes
 *		Bring due rows of some queues from the shelf into their lanes, where a
 *		lane has fewer than want entries.  Returns how many rows were brought.
 */
extern int hd_jobs_load_lanes(HdJobQueues *queues, int want);

/*
 * hd_jobs_load_forget
 *		Look at the whole table again at the next claim, for rows that came in
 *		by another way than the functions (a restore, COPY).
 */
extern void hd_jobs_load_forget(void);

/*
 * hd_jobs_load_shelve_rows
 *		Mark rows of this transaction as shelved, before it is prepared.
 */
extern void hd_jobs_load_shelve_rows(int64 *ids, int n);

/*
 * hd_jobs_load_note_prepared
 *		Remember a prepared transaction that enqueued.  Caller holds the list's
 *		lock exclusively; db may be -1.
 */
extern void hd_jobs_load_note_prepared(int32 db, TransactionId xid);

/*
 * hd_jobs_load_check_prepared
 *		Look at the shelf again if a remembered transaction has ended.
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
