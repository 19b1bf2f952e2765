/*-------------------------------------------------------------------------
 * moves.h
 *		The moves of entries that an open transaction has made.
 *
 * Model: tx.c moves entries and records each move here, with the nesting
 * level of its subtransaction; callbacks of the transaction make the moves
 * final or undo them, newest first.  Notes of rows that wait in the table
 * are merged per line.
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
 * hd_jobs_moves_prepare / hd_jobs_moves_prepare_notes
 *		Room for n more moves, for two more notes; while errors are still allowed
 *		and without the lock.
 */
extern void hd_jobs_moves_prepare(int n);
extern void hd_jobs_moves_prepare_notes(void);

/*
 * hd_jobs_moves_record
 *		Note a move of the current subtransaction.  before: the state to go back
 *		to.  entry: index of the entry; of the database for LOAD and WAKE.
 */
extern void hd_jobs_moves_record(HdJobMove move, HdJobState before, int32 entry);

/*
 * hd_jobs_moves_note
 *		Note that a row (at, id) of a database waits in the table: scheduled, in a
 *		lane or behind a gate (the target, which stays until the transaction ends),
 *		behind a strict gate that is not there now (the target is its line), or in
 *		a line for which there is no room; that the limits of a flow (the target is
 *		its hash) have changed; or that rows are gone which held up others.  Where nothing is said here of the target it is 0.
 */
typedef enum HdJobNoteKind
{
	HD_JOB_NOTE_SCHEDULED,
	HD_JOB_NOTE_LANE,
	HD_JOB_NOTE_GATE,
	HD_JOB_NOTE_LINE,
	HD_JOB_NOTE_LOST,
	HD_JOB_NOTE_FLOW,
	HD_JOB_NOTE_REMOVED
} HdJobNoteKind;

extern void hd_jobs_moves_note(HdJobNoteKind kind, int32 db, int64 target, TimestampTz at,
							   int64 id);

/*
 * hd_jobs_moves_cover
 *		At commit, the horizon of leases (horizon.h) is written down until then.
 */
extern void hd_jobs_moves_cover(int32 db, TimestampTz until);

/*
 * hd_jobs_moves_changed_flows
 *		Whether this transaction has changed the limits of flows.
 */
extern bool hd_jobs_moves_changed_flows(void);

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
