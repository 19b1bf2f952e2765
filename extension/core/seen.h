/*-------------------------------------------------------------------------
 * seen.h
 *		What a session has read of a table, and for which snapshots it holds.
 *
 * Purpose: caches of what is made of a table's rows.  What is kept may be used
 * only when it is known to be what the active snapshot sees: under READ
 * COMMITTED and REPEATABLE READ, in cursors and parallel workers, after a
 * rollback, with prepared transactions, and on a standby.
 *
 * Model: a row is known by its place and xmin.  A change of the table sends a
 * relcache message twice (hd_seen_tell, from a trigger): at once, and when it is
 * committed, undone or prepared, as the server does for all of them.  The second
 * comes a moment after the change became visible, so the first is what counts:
 * for a row that was the newest committed one, and that nobody was changing, no
 * message since means that it still is, for all snapshots taken since.  While
 * somebody is changing it, and for other snapshots, as of REPEATABLE READ, an
 * open cursor or a parallel worker, the table is looked into, once each.  So it
 * is for all snapshots on a standby, which gets the second message alone.
 *
 * The cache counts the messages for its tables (CacheRegisterRelcacheCallback)
 * and calls AcceptInvalidationMessages() before it asks here.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SEEN_H
#define HD_SEEN_H

#include "postgres.h"

#include "access/genam.h"
#include "access/transam.h"
#include "core/compat.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Which snapshot: two that are the same here, but for completed, see the same rows. */
typedef struct HdSeenSnapshot
{
	uint64 completed; /* transactions that had ended when it was taken; 0: not known */
	uint32 running;	  /* see hd_seen_running */
	TransactionId xmin;
	TransactionId xmax;
	CommandId curcid;
	LocalTransactionId lxid;
} HdSeenSnapshot;

/* For which snapshots something read from the table is right; zeroed: for none. */
typedef struct HdSeen
{
	HdSeenSnapshot snapshot; /* compared with the table under this one, */
	uint64 messages;		 /* when so many messages had come, */
	bool newest;			 /* and nothing newer was committed then */
} HdSeen;

/* A row, known by where it is and who wrote it. */
typedef struct HdSeenRow
{
	bool there;
	ItemPointerData tid;
	TransactionId xmin;
} HdSeenRow;

/*
 * HdSeenScan
 *		Begins a scan for the row with a key.
 */
typedef SysScanDesc (*HdSeenScan)(Relation rel, const void *key, Snapshot snapshot);

/*
 * hd_seen_running
 *		How many transactions a snapshot counts as running.  Of two snapshots with
 *		the same xmax the later can only have lost some of them, since none from
 *		xmax on is counted; so with the number the sets are the same.
 */
static inline uint32
hd_seen_running(Snapshot snapshot)
{
	/* on a standby, all of them are among the others */
	return snapshot->xcnt + (snapshot->takenDuringRecovery ? (uint32) snapshot->subxcnt : 0);
}

/*
 * hd_seen_is_active
 *		Whether a snapshot sees the same as the active one: what was right for it
 *		is right still, for as long as no message has come.
 */
static inline bool
hd_seen_is_active(const HdSeenSnapshot *seen)
{
	Snapshot snapshot = GetActiveSnapshot();

	return seen->curcid == snapshot->curcid && seen->xmin == snapshot->xmin &&
		   seen->xmax == snapshot->xmax && seen->lxid == HD_MY_LXID &&
		   seen->running == hd_seen_running(snapshot);
}

/*
 * hd_seen_snapshot
 *		Which snapshot it is; completed is not known.
 * hd_seen_complete
 *		Find out how many transactions had ended when the active snapshot was
 *		taken, if none has since: active snapshots are copies, which do not know.
 */
extern HdSeenSnapshot hd_seen_snapshot(Snapshot snapshot);
extern void hd_seen_complete(HdSeenSnapshot *now);

/*
 * hd_seen_holds
 *		Whether what was seen is right for a snapshot; messages: come so far.
 */
extern bool hd_seen_holds(const HdSeen *seen, const HdSeenSnapshot *now, uint64 messages);

/*
 * hd_seen_newer
 *		The newest snapshot there is, registered; NULL where none can be taken, or
 *		the one in use is it, which newest tells.  *seen gets how many transactions
 *		had ended.
 */
extern Snapshot hd_seen_newer(HdSeenSnapshot *seen, bool *newest);

/*
 * hd_seen_being_changed
 *		Whether a transaction other than this one has changed rows that a scan
 *		finds and has not ended.  Ends the scan, which is one with the dirty
 *		snapshot given.
 *
 * Its message that it did so has come or will come, but what it did becomes
 * visible a moment before the message that it has ended.
 */
extern bool hd_seen_being_changed(SysScanDesc scan, const SnapshotData *dirty);

/*
 * hd_seen_read
 *		Read the row with a key under a snapshot: a copy of it, or NULL.  *seen,
 *		whose messages say how many have come so far, gets for which snapshots that
 *		holds.
 */
extern HeapTuple hd_seen_read(Relation rel, HdSeenScan scan, const void *key, Snapshot snapshot,
							  HdSeen *seen);

/*
 * hd_seen_row, hd_seen_same_row
 *		A tuple's place, of NULL none; and whether two are the same.
 */
extern HdSeenRow hd_seen_row(HeapTuple tuple);
extern bool hd_seen_same_row(const HdSeenRow *a, const HdSeenRow *b);

/*
 * hd_seen_tell
 *		Tell all sessions that a table is being changed, and at the end of this
 *		transaction that it has been.
 */
extern void hd_seen_tell(Relation rel);

#endif /* HD_SEEN_H */
