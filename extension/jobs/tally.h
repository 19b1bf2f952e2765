/*-------------------------------------------------------------------------
 * tally.h
 *		How many jobs each queue has, without counting them.
 *
 * Purpose: view queues must be cheap at any size.
 *
 * Model: per database and queue, shared memory keeps the numbers of rows of
 * _job and _job_dead.  They start from one count with SQL, by whoever asks
 * first, and are kept by what each transaction tells at its commit; how that
 * stays exact is in tally_base.h.  A row is
 *
 *		held		has a hold, or is parked (its time is infinity);
 *		scheduled	has a time that counts (shelf), which is yet to come;
 *		else it is running or ready, which the list tells apart.
 *
 * A row that has no shelf was due when it was enqueued, by the clock of
 * then.
 *
 * What a transaction has changed stands in one array per backend until it
 * commits: the engine's direct writes tell it (table.c), all other writes
 * come by row triggers of the two tables, which fire for COPY and by hand
 * too.  Savepoints take theirs back.
 *
 * Unknown, so that they are counted anew when somebody asks: after a start
 * and CREATE EXTENSION, after TRUNCATE, _job_reload() and a PREPARE
 * TRANSACTION (as long as one that wrote jobs is prepared), and while there
 * are more queues than room.
 *
 * Locking: the list's lock.  Memory for a change is taken when it is made;
 * nothing can fail at commit.
 *
 * What a crash loses: everything; the next who asks counts.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TALLY_H
#define HD_JOBS_TALLY_H

#include "postgres.h"

#include "jobs/list.h"
#include "jobs/tally_base.h"
#include "utils/snapshot.h"

/* The numbers of one queue. */
typedef struct HdTally
{
	char name[NAMEDATALEN]; /* of the queue; empty: slot is free */
	int32 db;
	HdTallyCounts counts;
} HdTally;

/* What this transaction changed in a queue that has the name and extension. */
typedef struct HdTallyOwn
{
	const char *queue; /* NULL: the tables were truncated */
	Oid extension;
	HdTallyChange change;
} HdTallyOwn;

/*
 * hd_jobs_tally_register
 *		Ask for the shared memory.  Called from the module's init when preloaded.
 */
extern void hd_jobs_tally_register(void);

/*
 * What the transaction changes.
 */

/*
 * hd_jobs_tally_row
 *		A row of _job came (sign 1) or went (-1).  Nothing without preload.
 * hd_jobs_tally_dead_row
 *		The same of _job_dead.
 * hd_jobs_tally_truncated
 *		One of them was truncated.
 */
extern void hd_jobs_tally_row(Datum queue, TimestampTz at, bool held, bool shelf, int sign);
extern void hd_jobs_tally_dead_row(Datum queue, int sign);
extern void hd_jobs_tally_truncated(void);

/*
 * hd_jobs_tally_pending
 *		Whether the transaction has changed something.
 * hd_jobs_tally_own
 *		Change number i of them, from 0; false when there is none.
 */
extern bool hd_jobs_tally_pending(void);
extern bool hd_jobs_tally_own(int i, HdTallyOwn *own);

/*
 * For the callbacks of the transaction (moves.c): it has committed (lock
 * held), it is over; subtransaction level level was committed, rolled back.
 */
extern void hd_jobs_tally_commit(void);
extern void hd_jobs_tally_end(void);
extern void hd_jobs_tally_hand_up(int level);
extern void hd_jobs_tally_roll_back(int level);

/*
 * The shared numbers.  Lock held, exclusively where something changes.
 */

/*
 * hd_jobs_tally_base
 *		The base of a database.
 * hd_jobs_tally_slot / hd_jobs_tally_slots
 *		A slot of the array of all queues' numbers; how many there are.
 */
extern HdTallyBase *hd_jobs_tally_base(int32 db);
extern HdTally *hd_jobs_tally_slot(int32 index);
extern int hd_jobs_tally_slots(void);

/*
 * hd_jobs_tally_get
 *		The slot of a queue, made when missing; -1 when there is no room.  hint: a
 *		slot that may be it, or -1.
 */
extern int32 hd_jobs_tally_get(int32 db, const char *queue, int32 hint);

/*
 * hd_jobs_tally_begin_count / hd_jobs_tally_begin_move
 *		Begin a count of everything, or move the cut; *snapshot, which is to be
 *		registered and used, sees what is not told afterwards.  Returns the
 *		generation, by which the end of the count is known to be that of this one;
 *		0: not possible now.
 */
extern uint32 hd_jobs_tally_begin_count(int32 db, TimestampTz cut, Snapshot *snapshot);
extern uint32 hd_jobs_tally_begin_move(int32 db, TimestampTz target, Snapshot *snapshot);

/*
 * hd_jobs_tally_judge
 *		What to do with what transaction xid (with epoch) changed.
 * hd_jobs_tally_forget
 *		The database's slot in the list becomes free, or its numbers are not true
 *		any more.
 */
extern HdTallyVerdict hd_jobs_tally_judge(int32 db, uint64 xid);
extern void hd_jobs_tally_forget(int32 db);

#endif /* HD_JOBS_TALLY_H */
