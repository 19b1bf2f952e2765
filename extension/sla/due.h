/*-------------------------------------------------------------------------
 * due.h
 *		Steps that are due, in the order of their instants, over all lanes.
 *
 * Purpose: a scan takes the earliest steps of all calendars, and reads no
 * more than it takes, however many clocks are open or overdue.
 *
 * Model: index _sla_clock_due is ordered by (lane, next_b).  A walk goes from
 * lane to lane by the index: one descent each shows the lane's first step.
 * Lanes in which that is due get a cursor, which goes on as its steps are
 * taken; the cursor with the earliest instant gives the next clock.  A clock
 * that was taken comes back with its next step, if that is due as well, so a
 * warning, the breach and the escalations of one clock come in their places
 * among those of all others.  Instants of different lanes cannot be compared
 * by the index, only one by one: hence cursors and not one statement.
 *
 * Order: by the instant at which the step was due, then by the clock's id.  Of
 * more clocks due at the very same instant than are wanted, any are taken.
 *
 * Locking: a clock's row is locked when its first step is taken, until the
 * transaction ends.  Nobody is waited for: a clock that is locked, or has been
 * changed since the snapshot, is passed over.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_DUE_H
#define HD_SLA_DUE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/pairingheap.h"
#include "sla/ladder.h"
#include "storage/itemptr.h"

/* A clock with a step that is due. */
typedef struct HdSlaDueClock
{
	pairingheap_node node;
	TimestampTz at; /* when its next step was due */
	int64 id;
	int64 past;			 /* points of its lane up to here are over */
	int64 next_b;		 /* where that step is */
	TimestampTz last_at; /* its latest input: no step is earlier */
	ItemPointerData tid;
	int32 lane;

	/* Known once it is locked. */
	const HdSlaLadder *ladder; /* NULL: not locked yet */
	int64 due_b;
	int next_step;			 /* of the ladder */
	bool is_last;			 /* none comes after it */
	TimestampTz breached_at; /* DT_NOEND: it was not found breached here */
	bool is_listed;			 /* the caller's */
} HdSlaDueClock;

/* A step that was taken. */
typedef struct HdSlaDueStep
{
	HdSlaDueClock *clock;
	TimestampTz at;
	int16 step;	   /* its number */
	int32 actions; /* how many it has */
} HdSlaDueStep;

typedef struct HdSlaDue HdSlaDue;

/*
 * hd_sla_due_open / hd_sla_due_close
 *		Begin a walk as of an instant, by the transaction's snapshot; between
 *		hd_spi_begin and hd_spi_end.  Steps are due that lie before now.  takes:
 *		whether steps will be taken, which a standby cannot.
 */
extern HdSlaDue *hd_sla_due_open(TimestampTz now, bool takes);
extern void hd_sla_due_close(HdSlaDue *due);

/*
 * hd_sla_due_take
 *		Take the next step; false when none is left that can be.  want: so many
 *		more will be asked for at most.
 *
 * The clock's row is locked, and the clock says what it has become.
 */
extern bool hd_sla_due_take(HdSlaDue *due, int want, HdSlaDueStep *step);

/*
 * hd_sla_due_passed
 *		How many clocks were passed over, since others are at them.
 */
extern int hd_sla_due_passed(const HdSlaDue *due);

/*
 * hd_sla_due_next
 *		The earliest instant of the lanes in which nothing is due; DT_NOEND when
 *		nothing ever will be.
 * hd_sla_due_first
 *		The earliest of all lanes, as long as nothing was taken.
 */
extern TimestampTz hd_sla_due_next(const HdSlaDue *due);
extern TimestampTz hd_sla_due_first(const HdSlaDue *due);

#endif /* HD_SLA_DUE_H */
