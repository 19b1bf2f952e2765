/*-------------------------------------------------------------------------
 * notes.h
 *		Notes of an open transaction: rows that others will find in the table when
 *		it commits.
 *
 * Model: tx.c notes rows that wait in the table instead of the list, and what
 * else others must look at again; the callbacks of moves.c tell them at
 * commit and forget them at the end.
 *
 * Locking: memory is taken before the list's lock (prepare), everything
 * else happens under it, by the caller or the callbacks.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_NOTES_H
#define HD_JOBS_NOTES_H

#include "postgres.h"

#include "utils/timestamp.h"

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

/*
 * hd_jobs_notes_prepare
 *		Room for two more notes, while errors are still allowed and without the lock.
 */
extern void hd_jobs_notes_prepare(void);

/*
 * hd_jobs_notes_add
 *		Note that a row (at, id) of a database waits in the table: scheduled, in a
 *		lane or behind a gate (the target, which stays until the transaction ends),
 *		behind a strict gate that is not there now (the target is its line), or in
 *		a line for which there is no room; that the limits of a flow (the target is
 *		its hash, or HD_JOB_ALL_FLOWS) have changed; or that rows are gone which held
 *		up others.  Where nothing is said here of the target it is 0.  Caller holds
 *		the list's lock.
 */
#define HD_JOB_ALL_FLOWS 0 /* no flow's hash */

extern void hd_jobs_notes_add(HdJobNoteKind kind, int32 db, int64 target, TimestampTz at, int64 id);

/*
 * hd_jobs_notes_changed_flows
 *		Whether this transaction has changed the limits of flows.
 */
extern bool hd_jobs_notes_changed_flows(void);

/*
 * hd_jobs_notes_own
 *		What moves.h says of hd_jobs_moves_own, of jobs that wait in lanes.
 */
extern void hd_jobs_notes_own(int32 db, TimestampTz *earliest);

/*
 * For moves.c, at the end of the transaction: whether there are none; tell
 * them, or what must be told of them after all when it is rolled back; forget
 * them.  Caller holds the list's lock exclusively, except for the first.
 */
extern bool hd_jobs_notes_none(void);
extern void hd_jobs_notes_commit(void);
extern void hd_jobs_notes_abort(void);
extern void hd_jobs_notes_forget(void);

#endif /* HD_JOBS_NOTES_H */
