/*-------------------------------------------------------------------------
 * tally_base.h
 *		Exact counts of rows that transactions change while they are counted.
 *
 * Purpose: counts in memory that start from one count of a table (the base)
 * and are kept by adding what each transaction changed when it commits.
 *
 * Model: a transaction becomes visible a moment before it can tell what it
 * changed.  So whoever counts notes which transactions its snapshot sees:
 * what these tell afterwards is in the count already, what others tell is
 * added, whether the count is under way still or over.
 *
 * How many rows lie after now changes while nobody writes.  Memory knows the
 * number of those after a time, the cut.  A reader counts the few between
 * the cut and now in the table.  Now and then one of them moves the cut to
 * now, for good: it notes its snapshot too, and until its count is there
 * the number is kept for both cuts (scheduled, moved).  A row is counted
 * once when its time comes, however often somebody reads.
 *
 * Of two snapshots it is known what they see.  A transaction that tells so
 * late that both had seen it makes the counts unusable: they are counted
 * anew.
 *
 * Locking: the caller's.  Nothing here uses the server, for unit tests.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TALLY_BASE_H
#define HD_JOBS_TALLY_BASE_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum HdTallyState
{
	HD_TALLY_UNKNOWN,  /* next: COUNTING */
	HD_TALLY_COUNTING, /* next: KNOWN, UNKNOWN */
	HD_TALLY_KNOWN,	   /* next: MOVING, UNKNOWN */
	HD_TALLY_MOVING	   /* the cut; numbers can be used; next: KNOWN, UNKNOWN */
} HdTallyState;

/* Which transactions were over: those before xmax, without epoch in xids where under way. */
typedef struct HdTallySeen
{
	uint64 xmax; /* with its epoch; 0: none */
	int nxids;
	TransactionId xids[FLEXIBLE_ARRAY_MEMBER];
} HdTallySeen;

typedef struct HdTallyBase
{
	HdTallyState state;
	uint32 generation;	  /* raised whenever a count that is under way is in vain */
	int last;			  /* which of the two snapshots is the younger */
	bool from_base[2];	  /* it is that of the base */
	TimestampTz cut;	  /* that scheduled refers to */
	TimestampTz target;	  /* that moved refers to, while MOVING */
	TimestampTz late_cut; /* for transactions that only the younger snapshot saw */
} HdTallyBase;

/* Rows, or changes of their numbers. */
typedef struct HdTallyCounts
{
	int64 alive;
	int64 held;
	int64 dead;
	int64 scheduled; /* those that have a time after the cut */
	int64 moved;
} HdTallyCounts;

/* What a transaction changed. */
typedef struct HdTallyChange
{
	int64 alive;
	int64 held;
	int64 dead;
	int64 timed; /* of those alive, rows that have a time: at */
	TimestampTz at;
} HdTallyChange;

typedef enum HdTallyVerdict
{
	HD_TALLY_ADD,
	HD_TALLY_ADD_LATE, /* by the cut before */
	HD_TALLY_DROP,	   /* it has been counted */
	HD_TALLY_LOST	   /* nobody knows: invalidate */
} HdTallyVerdict;

/*
 * hd_tally_base_count / hd_tally_base_counted
 *		A count begins, with a cut; it has been added to the numbers, which were
 *		set to zero when it began.  The caller fills in what its snapshot sees,
 *		at the place returned.
 */
extern int hd_tally_base_count(HdTallyBase *base, TimestampTz cut);
extern void hd_tally_base_counted(HdTallyBase *base);

/*
 * hd_tally_base_move / hd_tally_base_moved
 *		The cut begins to move; the caller fills in what its snapshot sees and sets
 *		moved to scheduled.  It has moved: scheduled becomes moved, less the rows
 *		after the old cut up to the new one (or more those between, when it went
 *		back).
 */
extern int hd_tally_base_move(HdTallyBase *base, TimestampTz target);
extern void hd_tally_base_moved(HdTallyBase *base);

/*
 * hd_tally_base_abandon
 *		Whoever counted will not finish.
 * hd_tally_base_invalidate
 *		The numbers are not true any more.
 */
extern void hd_tally_base_abandon(HdTallyBase *base);
extern void hd_tally_base_invalidate(HdTallyBase *base);

/*
 * hd_tally_base_known
 *		Whether the numbers can be used.
 */
extern bool hd_tally_base_known(const HdTallyBase *base);

/*
 * hd_tally_base_judge
 *		What to do with the changes of transaction xid (with epoch), which is over.
 */
extern HdTallyVerdict hd_tally_base_judge(const HdTallyBase *base, const HdTallySeen *younger,
										  const HdTallySeen *older, uint64 xid);

/*
 * hd_tally_base_add
 *		Add a change, or a base (ADD).
 */
extern void hd_tally_base_add(const HdTallyBase *base, HdTallyCounts *counts,
							  HdTallyVerdict verdict, const HdTallyChange *change);

#endif /* HD_JOBS_TALLY_BASE_H */
