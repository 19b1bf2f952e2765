/*-------------------------------------------------------------------------
 * due.c
 *		Steps that are due, in the order of their instants, over all lanes.
 *
 * Model: see due.h.
 *
 * Caveats: index entries of steps that were reached stay before those that
 * are due until the last snapshot that could see them is gone; a transaction
 * that stays open for hours makes each walk pass them all.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/due.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "core/compat.h"
#include "core/spi.h"
#include "miscadmin.h"
#include "sla/calendars.h"
#include "sla/clock.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns that are read, by their names in sql/sla.sql. */
typedef enum Column
{
	COL_ID,
	COL_LANE,
	COL_NEXT_B,
	COL_LAST_AT,
	COL_DUE_B,
	COL_NEXT_STEP,
	COL_VERSION,
	COL_METRIC,
	COL_PRIORITY,
	COLUMNS
} Column;

static const char *const column_names[COLUMNS] = {"id",			"lane",	  "next_b",
												  "last_at",	"due_b",  "next_step",
												  "version_id", "metric", "priority"};

/* A lane in which something is due; its slot holds the first row that was not taken yet. */
typedef struct Cursor
{
	pairingheap_node node;
	TimestampTz at; /* of that row's step */
	int64 past;
	int32 lane;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} Cursor;

struct HdSlaDue
{
	Relation rel;
	Relation index;
	Snapshot snapshot;
	TupleTableSlot *locked;
	AttrNumber columns[COLUMNS];
	HTAB *ladders;
	pairingheap *cursors;
	pairingheap *clocks;
	int nclocks; /* in that heap */
	int passed;
	TimestampTz next;
};

static HdSpiRelation clock_table = {.name = "_sla_clock"};
static HdSpiRelation due_index = {.name = "_sla_clock_due"};

/* The heaps have the greatest on top: the earliest is to be. */
static int
compare_cursors(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const Cursor *one = pairingheap_const_container(Cursor, node, a);
	const Cursor *other = pairingheap_const_container(Cursor, node, b);

	return (one->at == other->at) ? 0 : (one->at < other->at) ? 1 : -1;
}

static int
compare_clocks(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const HdSlaDueClock *one = pairingheap_const_container(HdSlaDueClock, node, a);
	const HdSlaDueClock *other = pairingheap_const_container(HdSlaDueClock, node, b);

	if (one->at != other->at)
		return (one->at < other->at) ? 1 : -1;
	return (one->id == other->id) ? 0 : (one->id < other->id) ? 1 : -1;
}

static Datum
column(const HdSlaDue *due, TupleTableSlot *slot, Column which)
{
	bool isnull;

	return slot_getattr(slot, due->columns[which], &isnull);
}

static bool
column_is_null(const HdSlaDue *due, TupleTableSlot *slot, Column which)
{
	bool isnull;

	(void) slot_getattr(slot, due->columns[which], &isnull);
	return isnull;
}

/*
 * Lanes
 */

/* Go on to the next row of a lane that is due; the cursor ends where there is none. */
static void
advance(HdSlaDue *due, Cursor *cursor)
{
	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(cursor->scan, ForwardScanDirection, cursor->slot))
	{
		index_endscan(cursor->scan);
		ExecDropSingleTupleTableSlot(cursor->slot);
		return;
	}
	cursor->at =
		hd_sla_lane_instant(cursor->lane, DatumGetInt64(column(due, cursor->slot, COL_NEXT_B)));
	pairingheap_add(due->cursors, &cursor->node);
}

static void
open_cursor(HdSlaDue *due, int32 lane, int64 past)
{
	Cursor *cursor = palloc(sizeof(Cursor));
	ScanKeyData keys[2];

	cursor->lane = lane;
	cursor->past = past;
	cursor->slot = table_slot_create(due->rel, NULL);
	cursor->scan = HD_INDEX_BEGINSCAN(due->rel, due->index, due->snapshot, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(lane));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(past));
	index_rescan(cursor->scan, keys, 2, NULL, 0);
	advance(due, cursor);
}

/* The first row of a lane: something is due, or will be, or its clocks all stand still. */
static void
look_at_lane(HdSlaDue *due, TupleTableSlot *slot, int32 lane, TimestampTz now)
{
	int64 next_b = DatumGetInt64(column(due, slot, COL_NEXT_B));
	int64 past;

	if (column_is_null(due, slot, COL_NEXT_B))
		return;
	past = hd_sla_lane_past(lane, now);
	if (next_b <= past)
		open_cursor(due, lane, past);
	else
		due->next = Min(due->next, hd_sla_lane_instant(lane, next_b));
}

static void
look_at_lanes(HdSlaDue *due, TimestampTz now)
{
	IndexScanDesc scan = HD_INDEX_BEGINSCAN(due->rel, due->index, due->snapshot, 1);
	TupleTableSlot *slot = table_slot_create(due->rel, NULL);
	int32 lane = PG_INT32_MIN;
	ScanKeyData key;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(lane));
		index_rescan(scan, &key, 1, NULL, 0);
		if (!index_getnext_slot(scan, ForwardScanDirection, slot))
			break;
		lane = DatumGetInt32(column(due, slot, COL_LANE));
		look_at_lane(due, slot, lane, now);
	}
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
}

HdSlaDue *
hd_sla_due_open(TimestampTz now, bool takes)
{
	HdSlaDue *due = palloc0(sizeof(HdSlaDue));
	Oid relid = hd_spi_relation(&clock_table);

	due->rel = table_open(relid, takes ? RowExclusiveLock : AccessShareLock);
	due->index = index_open(hd_spi_relation(&due_index), AccessShareLock);

	/* Calendars are looked up by the active snapshot: they are to be of the same as the clocks. */
	PushActiveSnapshot(GetTransactionSnapshot());
	due->snapshot = GetActiveSnapshot();
	due->locked = table_slot_create(due->rel, NULL);
	for (int i = 0; i < COLUMNS; i++)
		due->columns[i] = get_attnum(relid, column_names[i]);
	due->ladders = hd_sla_ladders();
	due->cursors = pairingheap_allocate(compare_cursors, NULL);
	due->clocks = pairingheap_allocate(compare_clocks, NULL);
	due->next = DT_NOEND;
	look_at_lanes(due, now);
	return due;
}

void
hd_sla_due_close(HdSlaDue *due)
{
	while (!pairingheap_is_empty(due->cursors))
	{
		Cursor *cursor =
			pairingheap_container(Cursor, node, pairingheap_remove_first(due->cursors));

		ExecDropSingleTupleTableSlot(cursor->slot);
		index_endscan(cursor->scan);
	}
	ExecDropSingleTupleTableSlot(due->locked);
	PopActiveSnapshot();
	index_close(due->index, AccessShareLock);
	table_close(due->rel, NoLock);
}

/*
 * Clocks
 */

/* When a step is due: what was due while the clock stood still, at the moment when it went on. */
static TimestampTz
instant_of(const HdSlaDueClock *clock)
{
	return Max(hd_sla_lane_instant(clock->lane, clock->next_b), clock->last_at);
}

/* Bring the first clock of the first lane. */
static void
bring(HdSlaDue *due)
{
	Cursor *cursor = pairingheap_container(Cursor, node, pairingheap_remove_first(due->cursors));
	HdSlaDueClock *clock = palloc0(sizeof(HdSlaDueClock));

	clock->id = DatumGetInt64(column(due, cursor->slot, COL_ID));
	clock->next_b = DatumGetInt64(column(due, cursor->slot, COL_NEXT_B));
	clock->last_at = DatumGetTimestampTz(column(due, cursor->slot, COL_LAST_AT));
	clock->tid = cursor->slot->tts_tid;
	clock->lane = cursor->lane;
	clock->past = cursor->past;
	clock->breached_at = DT_NOEND;
	clock->at = instant_of(clock);
	pairingheap_add(due->clocks, &clock->node);
	due->nclocks++;
	advance(due, cursor);
}

/*
 * The clock with the earliest step.  Before one is taken, all that may be due at the same instant are
 * brought, as far as they are wanted, so that ids decide.
 */
static HdSlaDueClock *
earliest(HdSlaDue *due, int want)
{
	while (!pairingheap_is_empty(due->cursors))
	{
		Cursor *cursor = pairingheap_container(Cursor, node, pairingheap_first(due->cursors));

		if (due->nclocks > 0)
		{
			HdSlaDueClock *clock =
				pairingheap_container(HdSlaDueClock, node, pairingheap_first(due->clocks));

			if (clock->at < cursor->at || (clock->at == cursor->at && due->nclocks >= want))
				break;
		}
		bring(due);
	}
	if (due->nclocks == 0)
		return NULL;
	due->nclocks--;
	return pairingheap_container(HdSlaDueClock, node, pairingheap_remove_first(due->clocks));
}

/* Lock a clock and read what else is to be known of it; false when somebody else is at it. */
static bool
lock_clock(HdSlaDue *due, HdSlaDueClock *clock)
{
	TM_FailureData failure;
	TM_Result result = table_tuple_lock(due->rel, &clock->tid, due->snapshot, due->locked,
										GetCurrentCommandId(true), LockTupleNoKeyExclusive,
										LockWaitSkip, 0, &failure);

	if (result != TM_Ok)
	{
		due->passed++;
		return false;
	}
	clock->due_b = DatumGetInt64(column(due, due->locked, COL_DUE_B));
	clock->next_step = DatumGetInt16(column(due, due->locked, COL_NEXT_STEP));
	clock->ladder =
		hd_sla_ladder(due->ladders, DatumGetInt32(column(due, due->locked, COL_VERSION)),
					  DatumGetTextPP(column(due, due->locked, COL_METRIC)),
					  DatumGetTextPP(column(due, due->locked, COL_PRIORITY)));
	return true;
}

/* A clock has reached its next step: what it becomes by that, and what comes then. */
static void
reach(HdSlaDue *due, HdSlaDueClock *clock, HdSlaDueStep *step)
{
	const HdSlaLadder *ladder = clock->ladder;
	int reached = clock->next_step++;

	*step = (HdSlaDueStep){.clock = clock, .at = clock->at, .step = ladder->steps[reached]};
	step->actions = ladder->actions[reached];
	if (step->step == HD_SLA_STEP_BREACH)
		clock->breached_at = clock->at;
	clock->is_last = clock->next_step >= ladder->nsteps;
	if (clock->is_last)
		return;
	clock->next_b = clock->due_b + ladder->offsets[clock->next_step];
	if (clock->next_b > clock->past)
		return;
	clock->at = instant_of(clock);
	pairingheap_add(due->clocks, &clock->node);
	due->nclocks++;
}

bool
hd_sla_due_take(HdSlaDue *due, int want, HdSlaDueStep *step)
{
	HdSlaDueClock *clock;

	while ((clock = earliest(due, want)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (clock->ladder == NULL && !lock_clock(due, clock))
		{
			pfree(clock);
			continue;
		}

		/* A row that says there is a step where there is none: nothing follows from it. */
		if (clock->next_step < 0 || clock->next_step >= clock->ladder->nsteps)
			continue;
		reach(due, clock, step);
		return true;
	}
	return false;
}

int
hd_sla_due_passed(const HdSlaDue *due)
{
	return due->passed;
}

TimestampTz
hd_sla_due_next(const HdSlaDue *due)
{
	return due->next;
}

TimestampTz
hd_sla_due_first(const HdSlaDue *due)
{
	if (pairingheap_is_empty(due->cursors))
		return due->next;
	return Min(due->next, pairingheap_container(Cursor, node, pairingheap_first(due->cursors))->at);
}
