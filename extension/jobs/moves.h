/*-------------------------------------------------------------------------
 * moves.h
 *		The moves of entries that an open transaction has made.
 *
 * Model: tx.c moves entries and records each move here, with the nesting
 * level of its subtransaction; callbacks of the transaction make the moves
 * final or undo them, newest first, and see to the notes (notes.h) of rows
 * that wait in the table.
 *
 * Locking: memory is taken before the list's lock (prepare), everything
 * else happens under it, by the caller or the callbacks.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_MOVES_H
#define HD_JOBS_MOVES_H

#include "postgres.h"

#include "jobs/list.h"
#include "utils/timestamp.h"

typedef enum HdJobMove
{
	HD_JOB_MOVE_RESERVE,
	HD_JOB_MOVE_CLAIM,
	HD_JOB_MOVE_END,
	HD_JOB_MOVE_RELEASE, /* as END, but back to the lane at commit */
	HD_JOB_MOVE_LOAD,	 /* all rows of a database are in the list or on the shelf */
	HD_JOB_MOVE_WAKE,	 /* what a database's sessions wait for may have changed */
	HD_JOB_MOVE_NONE	 /* undone already */
} HdJobMove;

/*
 * hd_jobs_moves_watch
 *		Have the callbacks run at the end of this transaction.
 */
extern void hd_jobs_moves_watch(void);

/*
 * hd_jobs_moves_prepare
 *		Room for n more moves, while errors are still allowed and without the lock.
 */
extern void hd_jobs_moves_prepare(int n);

/*
 * hd_jobs_moves_record
 *		Note a move of the current subtransaction.  before: the state to go back
 *		to.  entry: index of the entry; of the database for LOAD and WAKE.
 */
extern void hd_jobs_moves_record(HdJobMove move, HdJobState before, int32 entry);

/*
 * hd_jobs_moves_cover
 *		At commit, the horizon of leases (horizon.h) is written down until then.
 */
extern void hd_jobs_moves_cover(int32 db, TimestampTz until);

/*
 * hd_jobs_moves_made
 *		Whether this transaction has made that move with an entry.
 */
extern bool hd_jobs_moves_made(int32 index, HdJobMove move);

/*
 * hd_jobs_moves_own
 *		What this transaction, but nobody else, knows of its queues (indexed by their
 *		slots): how many running jobs it is ending, and from when the earliest job is
 *		that it has listed.  Caller holds the list's lock.
 */
extern void hd_jobs_moves_own(int32 db, int *ending, TimestampTz *earliest);

/*
 * hd_jobs_moves_change
 *		Make the newest such move of an entry another one.
 */
extern void hd_jobs_moves_change(int32 index, HdJobMove from, HdJobMove to);

/*
 * hd_jobs_moves_unclaim
 *		A claimed entry goes back to its place in the lane, and wakes who waits.
 *		Caller holds the list's lock exclusively.
 */
extern void hd_jobs_moves_unclaim(int32 index);

/*
 * hd_jobs_moves_cancel
 *		Undo the newest such move of an entry at once.
 */
extern void hd_jobs_moves_cancel(int32 index, HdJobMove move);

#endif /* HD_JOBS_MOVES_H */
