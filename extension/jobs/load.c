/*-------------------------------------------------------------------------
 * load.c
 *		Rows of the table into the list: after a start, from the lines, and
 *		after two-phase commits.
 *
 * Model: a look reads the table and then brings what it found, in one pass
 * under the lock.  Several sessions may look at once: a job that has an
 * entry already is skipped, and an entry made from a row that has ended
 * meanwhile is dropped by the claim that meets it, because the table
 * confirms.
 *
 * Before each claim come, as far as there is need: rows that were scheduled
 * and are due now; lines that memory has lost; lanes and gates of the wanted
 * queues that are hungry.
 *
 * Locking: never a scan under the list's lock.  What is known is read first,
 * and a cursor is only moved forward if nobody lowered it in between.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/load.h"

#include <limits.h>

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/settings.h"
#include "core/spi.h"
#include "jobs/gates.h"
#include "jobs/horizon.h"
#include "jobs/kinds.h"
#include "jobs/lanes.h"
#include "jobs/list.h"
#include "jobs/moves.h"
#include "jobs/order.h"
#include "jobs/scan.h"
#include "jobs/tx.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

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

/* A search for lost lines is not repeated before so many times what it took. */
#define SEARCH_PAUSE 20

/* Nor by others before it has had this time. */
#define SEARCH_TIME_US USECS_PER_SEC

void
hd_jobs_load_set_ticker(void)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->ticker = HD_MY_PROCNO;
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_load_alert_ticker(void)
{
	if (hd_jobs_list->ticker >= 0)
		SetLatch(&ProcGlobal->allProcs[hd_jobs_list->ticker].procLatch);
}

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
bring(int32 db, HdJobFound *found)
{
	found->place.queue = found->queue;
	if (found->place.gate != 0)
		bring_to_gate(db, found);
	else
		bring_to_lane(db, found);
}

/*
 * After a start: rows that are in no line.
 */

static HdSpiPlan unlined_plan = {
	.sql = "SELECT id FROM hotdash._job WHERE line IS NULL AND hold IS NULL ORDER BY at, id",
};

static HdSpiPlan line_plan = {
	.sql = "UPDATE hotdash._job SET line_at = at, "
		   "line = hotdash._job_line(queue, priority, kind, tenant, NULL, NULL) "
		   "WHERE line IS NULL AND id IN (SELECT j.id FROM hotdash._job j "
		   "WHERE j.id = ANY ($1) FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan prepared_plan = {
	.sql = "SELECT transaction FROM pg_catalog.pg_prepared_xacts "
		   "WHERE database = pg_catalog.current_database()",
};

static Datum
column(int row, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull);

	Assert(!isnull);
	return value;
}

/* Bring one row of the full scan; false when there is no room. */
static bool
bring_unlined(HdJobTable *table, int32 db, int64 id)
{
	HdJobFound found;
	ItemPointerData tid;
	bool done = true;
	int32 lane;

	if (!hd_jobs_table_find(table, id, &tid))
		return true;
	hd_jobs_scan_row(table, &found);
	found.place.queue = found.queue;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	lane = hd_jobs_lane_get(db, &found.place);
	if (lane >= 0)
	{
		hd_jobs_lane_hold(lane);
		done = bring_ready(lane, &found);
		hd_jobs_lane_let_go(lane);
	}
	LWLockRelease(hd_jobs_lock);
	return done && lane >= 0;
}

/*
 * Rows that do not fit go to their lines, where claims find them; returns
 * how many.  Another session that loads at the same time may be moving some
 * of them: those are left to it, since a claim never waits.
 */
static int64
load_unlined(int32 db)
{
	MemoryContext caller = CurrentMemoryContext;
	SPITupleTable *rows;
	HdJobTable table;
	uint64 n;
	uint64 nleft = 0;
	int64 *left;

	/* The one statement that has to read the whole table. */
	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	hd_spi_run(&unlined_plan, NULL, NULL, false, 0);
	n = SPI_processed;
	rows = SPI_tuptable;
	left = MemoryContextAllocHuge(caller, sizeof(int64) * Max(n, 1));
	hd_jobs_table_open(&table, false);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		int64 id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (!bring_unlined(&table, db, id))
			left[nleft++] = id;
	}
	hd_jobs_table_close(&table);
	SPI_freetuptable(rows);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (nleft > 0)
		hd_jobs_load_line_rows(left, (int) nleft);
	pfree(left);
	return (int64) nleft;
}

static void
load_prepared(int32 db)
{
	hd_spi_run(&prepared_plan, NULL, NULL, true, 0);
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (uint64 i = 0; i < SPI_processed; i++)
		hd_jobs_load_note_prepared(db, DatumGetTransactionId(column((int) i, 1)));
	LWLockRelease(hd_jobs_lock);
}

int32
hd_jobs_load_database(void)
{
	Oid extension = hd_spi_extension();
	bool loaded;
	int64 moved;
	int32 db;
	HdSpi spi;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	loaded = db >= 0 && hd_jobs_list->databases[db].loaded;
	LWLockRelease(hd_jobs_lock);
	if (db < 0)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("hotdash runs jobs in at most %d databases of a cluster",
							   HD_JOB_MAX_DATABASES)));
	if (loaded)
		return db;

	hd_spi_begin(&spi);
	moved = load_unlined(db);
	load_prepared(db);
	hd_jobs_horizon_load(db);
	hd_spi_end(&spi);

	/* Others must not look before they can see the rows that went to their lines. */
	if (moved > 0)
	{
		hd_jobs_tx_loaded(db);
		return db;
	}
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->databases[db].loaded = true;
	hd_jobs_list_search_again(db);
	LWLockRelease(hd_jobs_lock);
	return db;
}

void
hd_jobs_load_forget(void)
{
	Oid extension = hd_spi_extension();
	int32 db;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0)
		hd_jobs_list->databases[db].loaded = false;
	LWLockRelease(hd_jobs_lock);
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
 * Lines that memory does not know.
 */

/*
 * Whether a line's first row says that there may be something to do now;
 * otherwise its time brings the line back.
 */
static bool
is_of_interest(const HdJobFound *found, TimestampTz now)
{
	return !found->scheduled || found->at <= now;
}

static bool
is_kind_wanted(const HdJobQueues *wanted, uint32 kind_hash)
{
	for (int i = 0; i < wanted->nkinds; i++)
		if (wanted->kinds[i] == kind_hash)
			return true;
	return wanted->nkinds == 0;
}

/* Whether a line may have jobs for the caller; kinds may share a gate. */
static bool
is_line_wanted(const HdJobQueues *wanted, const HdJobFound *found)
{
	if (wanted->tenant != 0 && wanted->tenant != found->place.tenant_hash)
		return false;
	if (found->place.gate == 0 && !is_kind_wanted(wanted, found->place.kind_hash))
		return false;
	for (int i = 0; i < wanted->n; i++)
		if (strcmp(wanted->names[i], found->queue) == 0)
			return true;
	return false;
}

/*
 * Note a line that was found by its first row; false when there is no room
 * for it.  Others make room only for those that are asked for. Lock held.
 */
static bool
note_line(const HdJobQueues *wanted, HdJobFound *found)
{
	int32 db = wanted->db;
	int32 index;

	found->place.queue = found->queue;
	if (!is_line_wanted(wanted, found) && !hd_jobs_lane_fits(db, &found->place))
		return false;
	if (found->place.gate != 0)
	{
		index = hd_jobs_gate_get(db, &found->place);
		if (index >= 0)
			hd_jobs_gate_note(index, found->line_at, found->id);
		return index >= 0;
	}
	index = hd_jobs_lane_get(db, &found->place);
	if (index >= 0)
		hd_jobs_lane_note(index, found->at, found->id);
	return index >= 0;
}

/*
 * A search goes through all lines in the order of their numbers, in several
 * parts where memory has no room for all that it finds: what one part brought
 * is worked off before the next goes on.  Only a pass in which every line had
 * room settles the losses of before it began.
 */
static int64
begin_search(HdJobDatabase *database, uint32 *pass)
{
	int64 line;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (database->search_line == PG_INT64_MIN)
	{
		database->search_pass++;
		database->search_losses = database->losses;
		database->search_full = false;
	}
	line = database->search_line;
	*pass = database->search_pass;

	/* Others leave it to this session, but not for long: it may be interrupted. */
	database->searched_at = hd_clock_real() + SEARCH_TIME_US;
	LWLockRelease(hd_jobs_lock);
	return line;
}

/* line: where the next part goes on, PG_INT64_MIN when this was the last. */
static void
end_search(int32 db, uint32 pass, int64 line, bool full, TimestampTz began, int n)
{
	HdJobDatabase *database = &hd_jobs_list->databases[db];

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (database->search_pass == pass)
	{
		database->search_full |= full;
		database->search_line = line;
		if (line == PG_INT64_MIN && !database->search_full)
			database->found = database->search_losses;
	}
	database->searched_at = hd_clock_real() + (hd_clock_real() - began) * SEARCH_PAUSE;
	if (n > 0)
		hd_jobs_waiter_wake_database(db, INT_MAX);
	LWLockRelease(hd_jobs_lock);
}

/* One part of a search, at most; returns how many lines it found. */
static int
search_lost(HdJobTable *table, const HdJobQueues *wanted, TimestampTz now)
{
	TimestampTz began = hd_clock_real();
	int limit = Max(Min(hd_jobs_list->max_lanes, hd_jobs_list->max_gates) / 4, 16);
	uint32 pass;
	int64 line = begin_search(&hd_jobs_list->databases[wanted->db], &pass);
	HdJobFound found;
	bool full = false;
	int n = 0;

	while (n < limit && hd_jobs_scan_next_line(table, line, &found))
	{
		line = found.line;
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		if (!is_of_interest(&found, now))
			hd_jobs_list_schedule(wanted->db, found.at, found.id);
		else if (!note_line(wanted, &found))
			full = true;
		else if (is_line_wanted(wanted, &found))
			n++;
		LWLockRelease(hd_jobs_lock);
	}
	end_search(wanted->db, pass, (n < limit) ? PG_INT64_MIN : line, full, began, n);
	return n;
}

/* Not too often, if there is no room for what it finds. Lock held. */
static bool
wants_search(int32 db)
{
	return hd_jobs_list_has_lost(db) && hd_jobs_list->databases[db].searched_at <= hd_clock_real();
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
 * How many of a key's jobs may run at once, by what the kind of its first
 * row says now; one, where the kind has no width of its own any more.
 */
static int
gate_width(HdJobTable *table, int64 line, bool strict)
{
	static const HdJobBacklog start = {.at = DT_NOBEGIN, .id = PG_INT64_MIN};
	const HdJobKind *kind;
	HdJobFound first;

	if (strict || hd_jobs_scan_line(table, line, false, &start, DT_NOEND, &first, 1) == 0)
		return 1;
	kind = hd_jobs_kind_get_missing_ok(first.kind);
	return (kind != NULL && kind->per_key > 0) ? kind->per_key : 1;
}

/* Put a row behind its gate, unless it has an entry; false when there is no room. Lock held. */
static bool
bring_behind(int32 db, int32 gate, HdJobFound *found)
{
	int32 lane;
	int32 index;

	if (hd_jobs_list_find(db, found->id) >= 0)
		return true;
	found->place.queue = found->queue;
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
bring_found(int32 db, int32 index, HdJobFound *rows, int n, int limit, TimestampTz now)
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
		width = gate_width(table, line, seen.strict);
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

static bool
wants_lane(const HdJobQueues *wanted, const HdJobLane *lane)
{
	if (wanted->tenant != 0 && wanted->tenant != lane->tenant_hash)
		return false;
	return is_kind_wanted(wanted, lane->kind_hash);
}

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
		if (!wants_lane(wanted, lane))
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
			if (wants_lane(wanted, dlist_container(HdJobLane, hungry, iter.cur)))
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
hd_jobs_load_wanted(HdJobQueues *queues, TimestampTz now)
{
	const HdJobDatabase *database = &hd_jobs_list->databases[queues->db];
	bool wanted;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list_resolve(queues);
	wanted = hd_clock_overridden() || database->next_due <= now || wants_search(queues->db) ||
			 is_any_hungry(queues);
	LWLockRelease(hd_jobs_lock);
	return wanted;
}

int
hd_jobs_load_lines(HdJobTable *table, HdJobQueues *queues, int want, bool search)
{
	HdJobDatabase *database = &hd_jobs_list->databases[queues->db];
	TimestampTz now = hd_clock_now();
	HungryLines hungry = {0};
	bool due;
	bool lost;
	int brought = 0;
	int limit;

	hd_jobs_horizon_check(queues->db, now);
	if (!search && !hd_jobs_load_wanted(queues, now))
		return 0;
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	due = database->next_due <= now || hd_clock_overridden();
	lost = wants_search(queues->db) || (search && hd_jobs_list_has_lost(queues->db));
	LWLockRelease(hd_jobs_lock);
	if (due)
		brought += load_due(table, queues->db, want, now);
	if (lost)
		brought += search_lost(table, queues, now);

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

void
hd_jobs_load_announce(HdJobTable *table, int64 id)
{
	ItemPointerData tid;
	HdJobFound found;

	if (!hd_settings_preloaded() || !hd_jobs_table_find(table, id, &tid))
		return;
	hd_jobs_scan_row(table, &found);
	found.place.queue = found.queue;
	hd_jobs_tx_wait(&found.place, found.id, found.at, found.scheduled);
}

/*
 * Two-phase commits.
 */

void
hd_jobs_load_line_rows(int64 *ids, int n)
{
	Datum *elements = palloc(sizeof(Datum) * n);
	Datum values[1];
	HdSpi spi;

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	hd_spi_begin(&spi);
	hd_spi_run(&line_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
}

void
hd_jobs_load_note_prepared(int32 db, TransactionId xid)
{
	HdJobDatabase *database;

	if (db < 0 || !TransactionIdIsValid(xid))
		return;
	database = &hd_jobs_list->databases[db];
	if (database->nprepared >= 0 && database->nprepared < HD_JOB_MAX_PREPARED)
		database->prepared[database->nprepared++] = xid;
	else
		database->nprepared = -1;
}

void
hd_jobs_load_check_prepared(int32 db)
{
	HdJobDatabase seen;
	HdJobDatabase *database = &hd_jobs_list->databases[db];
	bool ended = false;
	int kept = 0;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	seen = *database;
	LWLockRelease(hd_jobs_lock);
	if (seen.nprepared == 0)
		return;
	for (int i = 0; i < seen.nprepared; i++)
	{
		if (TransactionIdIsInProgress(seen.prepared[i]))
			seen.prepared[kept++] = seen.prepared[i];
		else
			ended = true;
	}
	if (!ended && seen.nprepared > 0)
		return;

	/* Too many to list: look each time, until the server restarts. */
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (database->nprepared == seen.nprepared && seen.nprepared > 0)
	{
		memcpy(database->prepared, seen.prepared, sizeof(TransactionId) * kept);
		database->nprepared = kept;
	}
	hd_jobs_list_search_again(db);
	if (ended)
		hd_jobs_waiter_wake_database(db, INT_MAX);
	LWLockRelease(hd_jobs_lock);
}
