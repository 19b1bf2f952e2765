/*-------------------------------------------------------------------------
 * look.c
 *		Looks at the table before a claim: rows that are due, hungry lines.
 *
 * Model: a look reads the table and then brings what it found, in one pass
 * under the lock.  Several sessions may look at once: a job that has an
 * entry already is skipped, and an entry made from a row that has ended
 * meanwhile is dropped by the claim that meets it, because the table
 * confirms.
 *
 * Before each claim come, as far as there is need: rows that were scheduled
 * and are due now; lines that memory has lost (search.h); lanes and gates of
 * the wanted queues that are hungry.
 *
 * Locking: never a scan under the list's lock.  What is known is read first,
 * and a cursor is only moved forward if nobody lowered it in between.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/look.h"

#include "core/clock.h"
#include "core/counters.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/horizon.h"
#include "jobs/kinds.h"
#include "jobs/lanes.h"
#include "jobs/moves.h"
#include "jobs/order.h"
#include "jobs/scan.h"
#include "jobs/search.h"
#include "jobs/waiters.h"
#include "miscadmin.h"

/* Looks bring this many rows, so that not every claim has to look. */
#define MIN_LOOK 256
#define MAX_LOOK 4096
#define CLAIMS_PER_LOOK 8

/* And each lane at least this many. */
#define MIN_LANE_LOOK 8

/* So many rows that became due are moved to their lines before one claim; the next goes on. */
#define MAX_DUE 2000

/* So many hungry lines are looked at before one claim. */
#define MAX_LINES 64

/*
 * Bringing rows. Lock held.
 */

/* An entry for a row that has none, in no order; -1 when there is no room. */
static int32
new_entry(int32 lane, const HdJobFound *found)
{
	HdJobEntry *entry;
	int32 index;

	if (!hd_jobs_list_has_room(hd_jobs_lane(lane)))
		return -1;
	index = hd_jobs_list_alloc(lane, found->id);
	if (index < 0)
		return -1;
	entry = hd_jobs_entry(index);
	entry->at = found->at;
	entry->tid = found->tid;
	hd_counters_add(HD_COUNTER_JOBS_REFILLED, 1);
	return index;
}

/* A READY entry for a row without a key, unless it has one; false when there is no room. */
static bool
bring_ready(int32 lane, const HdJobFound *found)
{
	int32 index;

	if (hd_jobs_list_find(hd_jobs_queue(hd_jobs_lane(lane)->queue)->db, found->id) >= 0)
		return true;
	index = new_entry(lane, found);
	if (index < 0)
		return false;
	hd_jobs_lane_push(index);
	hd_jobs_waiter_wake(index);
	return true;
}

bool
hd_jobs_look_bring(int32 db, const HdJobFound *found)
{
	bool done = true;
	int32 lane;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	lane = hd_jobs_lane_get(db, &found->place);
	if (lane >= 0)
	{
		hd_jobs_lane_hold(lane);
		done = bring_ready(lane, found);
		hd_jobs_lane_let_go(lane);
	}
	LWLockRelease(hd_jobs_lock);
	return done && lane >= 0;
}

/* A lane without room keeps the row in its backlog, from where it is looked for. */
static void
bring_to_lane(int32 db, const HdJobFound *found)
{
	int32 index = hd_jobs_lane_get(db, &found->place);
	HdJobBacklog *backlog;

	if (index < 0)
	{
		hd_jobs_list_lose(db);
		return;
	}

	/* Those beyond the cursor will be found there, unless their time was changed by hand. */
	backlog = &hd_jobs_lane(index)->backlog;
	if (backlog->more && found->line_at == found->at &&
		hd_jobs_order_before(false, backlog->at, backlog->id, found->at, found->id))
	{
		/* But not by a look that began when it was not due. */
		backlog->lowered++;
		return;
	}
	hd_jobs_lane_hold(index);
	if (!bring_ready(index, found))
		hd_jobs_lane_note(index, found->at, found->id);
	hd_jobs_lane_let_go(index);
}

static void
bring_to_gate(int32 db, const HdJobFound *found)
{
	int32 index = hd_jobs_gate_get(db, &found->place);

	/* Its place in line; its time may have been changed by hand. */
	if (index >= 0)
		hd_jobs_gate_due(index, found->line_at, found->id);
	else
		hd_jobs_list_lose(db);
}

static void
bring(int32 db, const HdJobFound *found)
{
	if (found->place.gate != 0)
		bring_to_gate(db, found);
	else
		bring_to_lane(db, found);
}

/*
 * Scheduled rows whose time has come.
 */

/* Note how far a look at the scheduled rows came. Lock held. */
static void
move_due(HdJobDatabase *database, const HdJobFound *rows, int n, int ndue, int limit)
{
	if (ndue > 0)
	{
		database->due.at = rows[ndue - 1].at;
		database->due.id = rows[ndue - 1].id;
	}
	if (ndue < n)
		database->next_due = rows[ndue].at;
	else if (n < limit)
		database->next_due = DT_NOEND;
}

/* One look; returns how many rows were due. A session whose clock is moved leaves the cursor. */
static int
load_due_rows(HdJobTable *table, int32 db, int limit, TimestampTz now)
{
	HdJobDatabase *database = &hd_jobs_list->databases[db];
	HdJobFound *rows;
	HdJobBacklog seen;
	int ndue = 0;
	int n;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	seen = database->due;
	LWLockRelease(hd_jobs_lock);
	rows = palloc(sizeof(HdJobFound) * limit);
	n = hd_jobs_scan_due(table, &seen, rows, limit);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	while (ndue < n && rows[ndue].at <= now)
		bring(db, &rows[ndue++]);

	/* Unless another look was faster, or something came in below. */
	if (!hd_clock_overridden() && database->due.lowered == seen.lowered &&
		database->due.at == seen.at && database->due.id == seen.id)
		move_due(database, rows, n, ndue, limit);
	LWLockRelease(hd_jobs_lock);
	pfree(rows);
	return ndue;
}

static int
load_due(HdJobTable *table, int32 db, int want, TimestampTz now)
{
	int limit = Max(Min(want, MAX_DUE), MIN_LOOK);
	int total = 0;

	while (total < MAX_DUE)
	{
		int n = load_due_rows(table, db, limit, now);

		total += n;
		if (n < limit)
			break;
	}
	return total;
}

/*
 * Hungry lanes.
 */

/*
 * The time is read after the cursor: whoever brought due rows by a later
 * time did so after that, and has voided this look.
 */
static int
load_lane(HdJobTable *table, int32 db, int64 line, int limit)
{
	HdJobFound *rows;
	HdJobBacklog seen = {0};
	HdJobBacklog *backlog;
	int brought = 0;
	int32 index;
	TimestampTz now;
	int n;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	index = hd_jobs_lane_find(db, line);
	if (index >= 0)
		seen = hd_jobs_lane(index)->backlog;
	LWLockRelease(hd_jobs_lock);
	if (index < 0 || !seen.more)
		return 0;

	now = hd_clock_now();
	rows = palloc(sizeof(HdJobFound) * limit);
	n = hd_jobs_scan_line(table, line, false, &seen, now, rows, limit);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	index = hd_jobs_lane_find(db, line);
	if (index >= 0)
	{
		hd_jobs_lane_hold(index);
		while (brought < n && bring_ready(index, &rows[brought]))
			brought++;
		backlog = &hd_jobs_lane(index)->backlog;
		if (!hd_clock_overridden() && backlog->lowered == seen.lowered)
		{
			if (brought > 0)
			{
				backlog->at = rows[brought - 1].line_at;
				backlog->id = rows[brought - 1].id;
			}
			backlog->more = brought < n || n == limit;
		}
		hd_jobs_lane_check(index);
		hd_jobs_lane_let_go(index);
	}
	LWLockRelease(hd_jobs_lock);
	pfree(rows);
	return brought;
}

/*
 * Hungry gates.
 */

/*
 * How many of a key's jobs may run at once, by what their kind says now; one,
 * where it has no width of its own any more.  By the gate's kind and not by a
 * row, for those that are there may not be committed yet.
 */
static int
gate_width(const HdJobGate *gate)
{
	return gate->strict ? 1 : Max(hd_jobs_kind_per_key(gate->kind_hash), 1);
}

/* Put a row behind its gate, unless it has an entry; false when there is no room. Lock held. */
static bool
bring_behind(int32 db, int32 gate, const HdJobFound *found)
{
	int32 lane;
	int32 index;

	if (hd_jobs_list_find(db, found->id) >= 0)
		return true;
	lane = hd_jobs_lane_get(db, &found->place);
	index = (lane >= 0) ? new_entry(lane, found) : -1;
	if (index < 0)
		return false;
	hd_jobs_list_set_gate(index, gate);
	hd_jobs_gate_block(index);
	return true;
}

/* Bring what a look at a gate found; returns how many rows. Lock held. */
static int
bring_found(int32 db, int32 index, const HdJobFound *rows, int n, int limit, TimestampTz now)
{
	HdJobGate *gate = hd_jobs_gate(index);
	HdJobBacklog *backlog = &gate->backlog;
	int brought = 0;

	for (; brought < n; brought++)
	{
		bool early = gate->strict && rows[brought].scheduled && rows[brought].at > now;

		gate->held = early && !hd_clock_overridden();
		if (early || !bring_behind(db, index, &rows[brought]))
			break;
		backlog->at = rows[brought].line_at;
		backlog->id = rows[brought].id;
	}
	backlog->more = brought < n || n == limit;
	return brought;
}

/*
 * By what this session sees: where its transaction has changed kinds, that
 * is not for others to use.  Lock held.
 */
static void
set_width(HdJobGate *gate, int32 db, int width)
{
	gate->width = width;
	gate->stale = false;
	gate->viewer = hd_jobs_moves_made(db, HD_JOB_MOVE_WAKE) ? MyProcPid : 0;
}

/* The time is read as in load_lane. */
static int
load_gate(HdJobTable *table, int32 db, int64 line)
{
	HdJobFound rows[HD_JOB_GATE_DEPTH];
	HdJobGate seen = {0};
	int limit = HD_JOB_GATE_DEPTH;
	int brought = 0;
	bool stale = false;
	int width = 1;
	int32 index;
	TimestampTz now;
	int n;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	index = hd_jobs_gate_find(db, line);
	if (index >= 0)
	{
		seen = *hd_jobs_gate(index);
		stale = hd_jobs_gate_is_stale(&seen);
		if (!hd_jobs_gate_has_room(&seen))
			limit = Max(seen.width - seen.ready - seen.running, 1);
		limit = Min(limit, HD_JOB_GATE_DEPTH);
	}
	LWLockRelease(hd_jobs_lock);
	if (index < 0)
		return 0;

	now = hd_clock_now();
	n = hd_jobs_scan_line(table, line, seen.strict, &seen.backlog, now, rows, limit);
	if (stale)
		width = gate_width(&seen);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	index = hd_jobs_gate_find(db, line);
	if (index >= 0)
	{
		HdJobGate *gate = hd_jobs_gate(index);

		hd_jobs_gate_hold(index);
		if (gate->backlog.lowered == seen.backlog.lowered && gate->backlog.id == seen.backlog.id)
		{
			if (stale)
				set_width(gate, db, width);
			brought = bring_found(db, index, rows, n, limit, now);
			hd_jobs_gate_admit(index);
		}
		hd_jobs_gate_check(index);
		hd_jobs_gate_let_go(index);
	}
	LWLockRelease(hd_jobs_lock);
	return brought;
}

/*
 * What the wanted queues need.
 */

typedef struct HungryLane
{
	int64 line;
	int priority;
} HungryLane;

typedef struct HungryLines
{
	int nlanes;
	int ngates;
	HungryLane lanes[MAX_LINES];
	int64 gates[MAX_LINES];
} HungryLines;

/*
 * The hungry of a queue; those that were taken go to the end, so that
 * several sessions, and the next look, take others. Lock held.
 */
static void
collect_hungry(const HdJobQueues *wanted, HdJobQueue *queue, HungryLines *hungry)
{
	dlist_mutable_iter iter;
	dlist_node *first = NULL;

	dlist_foreach_modify (iter, &queue->hungry_lanes)
	{
		const HdJobLane *lane = dlist_container(HdJobLane, hungry, iter.cur);

		if (hungry->nlanes == MAX_LINES || iter.cur == first)
			break;
		if (!hd_jobs_lane_is_wanted(lane, wanted))
			continue;
		hungry->lanes[hungry->nlanes].priority = lane->priority;
		hungry->lanes[hungry->nlanes++].line = lane->line;
		if (first == NULL)
			first = iter.cur;
		dlist_delete(iter.cur);
		dlist_push_tail(&queue->hungry_lanes, iter.cur);
	}
	for (int i = hungry->ngates; i < MAX_LINES && !dlist_is_empty(&queue->hungry_gates); i++)
	{
		dlist_node *node = dlist_pop_head_node(&queue->hungry_gates);
		HdJobGate *gate = dlist_container(HdJobGate, hungry, node);

		dlist_push_tail(&queue->hungry_gates, node);
		if (hungry->ngates > 0 && hungry->gates[0] == gate->line)
			break;
		hungry->gates[hungry->ngates++] = gate->line;
	}
}

static bool
is_any_hungry(const HdJobQueues *wanted)
{
	for (int i = 0; i < wanted->n; i++)
	{
		HdJobQueue *queue;
		dlist_iter iter;

		if (wanted->slots[i] < 0)
			continue;
		queue = hd_jobs_queue(wanted->slots[i]);
		if (!dlist_is_empty(&queue->hungry_gates))
			return true;
		dlist_foreach (iter, &queue->hungry_lanes)
			if (hd_jobs_lane_is_wanted(dlist_container(HdJobLane, hungry, iter.cur), wanted))
				return true;
	}
	return false;
}

static int
compare_lanes(const void *a, const void *b)
{
	const HungryLane *x = a;
	const HungryLane *y = b;

	return x->priority - y->priority;
}

bool
hd_jobs_look_wanted(HdJobQueues *queues, TimestampTz now)
{
	const HdJobDatabase *database = &hd_jobs_list->databases[queues->db];
	bool wanted;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	hd_jobs_flow_open(now);
	wanted = hd_clock_overridden() || hd_jobs_flow_is_wanted(queues->db) ||
			 database->next_due <= now || hd_jobs_search_wanted(queues->db) ||
			 is_any_hungry(queues);
	LWLockRelease(hd_jobs_lock);
	return wanted;
}

int
hd_jobs_look(HdJobTable *table, HdJobQueues *queues, int want, bool search)
{
	HdJobDatabase *database = &hd_jobs_list->databases[queues->db];
	TimestampTz now = hd_clock_now();
	HungryLines hungry = {0};
	bool due;
	bool lost;
	int brought = 0;
	int limit;

	hd_jobs_horizon_check(queues->db, now);
	if (!search && !hd_jobs_look_wanted(queues, now))
		return 0;
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	due = database->next_due <= now || hd_clock_overridden();
	lost = hd_jobs_search_wanted(queues->db) || (search && hd_jobs_list_has_lost(queues->db));
	LWLockRelease(hd_jobs_lock);
	hd_jobs_flow_load(queues->db);
	if (due)
		brought += load_due(table, queues->db, want, now);
	if (lost)
		brought += hd_jobs_search_lost(table, queues, now);

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	for (int i = 0; i < queues->n; i++)
		if (queues->slots[i] >= 0)
			collect_hungry(queues, hd_jobs_queue(queues->slots[i]), &hungry);
	LWLockRelease(hd_jobs_lock);

	/* The first priorities first, while there is room. */
	qsort(hungry.lanes, hungry.nlanes, sizeof(HungryLane), compare_lanes);
	limit = Min(Max(want * CLAIMS_PER_LOOK, MIN_LOOK), Max(want, MAX_LOOK));
	limit = Max(limit / Max(hungry.nlanes, 1), MIN_LANE_LOOK);
	for (int i = 0; i < hungry.nlanes; i++)
		brought += load_lane(table, queues->db, hungry.lanes[i].line, limit);
	for (int i = 0; i < hungry.ngates; i++)
		brought += load_gate(table, queues->db, hungry.gates[i]);
	return brought;
}
