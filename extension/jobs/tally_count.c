/*-------------------------------------------------------------------------
 * tally_count.c
 *		How many jobs each queue has: counting what memory cannot know.
 *
 * Model: a count begins under the lock (tally.h), reads the table without
 * it, and ends under it, if nothing came in between: then the generation is
 * another.  If it fails, whatever ends it, memory is told.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tally_count.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/spi.h"
#include "jobs/scan.h"
#include "jobs/tally.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* The cut is moved when it is so far from now. */
#define MOVE_US (5 * USECS_PER_SEC)

static HdSpiPlan base_plan = {
	.sql = "SELECT queue, pg_catalog.count(*), "
		   "pg_catalog.count(*) FILTER (WHERE hold IS NOT NULL OR at = 'infinity'), "
		   "pg_catalog.count(*) FILTER (WHERE hold IS NULL AND shelf AND at > $1 "
		   "AND at < 'infinity'), 0::bigint FROM hotdash._job GROUP BY queue "
		   "UNION ALL SELECT queue, 0, 0, 0, pg_catalog.count(*) FROM hotdash._job_dead "
		   "GROUP BY queue",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
};

/* A count that is under way. */
typedef struct Counting
{
	int32 db;
	uint32 generation;
	TimestampTz cut;
	TimestampTz target;
	Snapshot snapshot;
} Counting;

HTAB *
hd_jobs_tally_numbers(void)
{
	HASHCTL control = {.keysize = NAMEDATALEN,
					   .entrysize = sizeof(HdQueueNumbers),
					   .hcxt = CurrentMemoryContext};

	return hash_create("hotdash queue numbers", 64, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

HdQueueNumbers *
hd_jobs_tally_numbers_of(HTAB *numbers, const char *queue)
{
	bool found;
	HdQueueNumbers *result = hash_search(numbers, queue, HASH_ENTER, &found);

	if (!found)
	{
		memset(&result->counts, 0, sizeof(result->counts));
		result->running = 0;
		result->oldest = DT_NOEND;
	}
	return result;
}

/* Whether a count still counts. Lock held. */
static bool
is_current(const Counting *counting)
{
	return hd_jobs_tally_base(counting->db)->generation == counting->generation;
}

/* As a cleanup: the count failed, or its session ends. */
static void
abandon(int code, Datum arg)
{
	const Counting *counting = (const Counting *) DatumGetPointer(arg);

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (is_current(counting))
		hd_tally_base_abandon(hd_jobs_tally_base(counting->db));
	LWLockRelease(hd_jobs_lock);
}

/* To take the transaction's first snapshot is not for the time under a lock. */
static void
have_snapshot(void)
{
	if (!FirstSnapshotSet)
		(void) GetTransactionSnapshot();
}

/*
 * Everything.
 */

static HdTally *
count_rows(const Counting *counting, uint64 *n)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum values[1] = {TimestampTzGetDatum(counting->cut)};
	HdTally *rows;
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run_counting(&base_plan, values, counting->snapshot);
	*n = SPI_processed;
	rows = MemoryContextAllocHuge(caller, sizeof(HdTally) * Max(*n, 1));
	memset(rows, 0, sizeof(HdTally) * Max(*n, 1));
	for (uint64 i = 0; i < *n; i++)
	{
		text_to_cstring_buffer(DatumGetTextPP(hd_spi_result(i, 1)), rows[i].name, NAMEDATALEN);
		rows[i].counts.alive = DatumGetInt64(hd_spi_result(i, 2));
		rows[i].counts.held = DatumGetInt64(hd_spi_result(i, 3));
		rows[i].counts.scheduled = rows[i].counts.moved = DatumGetInt64(hd_spi_result(i, 4));
		rows[i].counts.dead = DatumGetInt64(hd_spi_result(i, 5));
	}
	hd_spi_end(&spi);
	return rows;
}

/* Add what was counted to what was told meanwhile; false when there is no room. Lock held. */
static bool
add_rows(int32 db, const HdTally *rows, uint64 n)
{
	for (uint64 i = 0; i < n; i++)
	{
		int32 slot = hd_jobs_tally_get(db, rows[i].name, -1);
		HdTallyCounts *counts;

		if (slot < 0)
			return false;
		counts = &hd_jobs_tally_slot(slot)->counts;
		counts->alive += rows[i].counts.alive;
		counts->held += rows[i].counts.held;
		counts->dead += rows[i].counts.dead;
		counts->scheduled += rows[i].counts.scheduled;
		counts->moved += rows[i].counts.moved;
	}
	return true;
}

static bool
install(const Counting *counting, const HdTally *rows, uint64 n)
{
	bool done;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	done = is_current(counting);
	if (done && !add_rows(counting->db, rows, n))
	{
		hd_jobs_tally_forget(counting->db);
		done = false;
	}
	if (done)
	{
		hd_tally_base_counted(hd_jobs_tally_base(counting->db));
		hd_counters_add(HD_COUNTER_JOBS_COUNTED, 1);
	}
	LWLockRelease(hd_jobs_lock);
	return done;
}

bool
hd_jobs_tally_count(int32 db)
{
	Counting counting = {.db = db};
	Snapshot snapshot;
	bool done = false;

	/* A session whose clock is moved must not make all others count far from now. */
	counting.cut = hd_clock_overridden() ? hd_clock_real() : hd_clock_now();
	have_snapshot();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	counting.generation = hd_jobs_tally_begin_count(db, counting.cut, &snapshot);
	LWLockRelease(hd_jobs_lock);
	if (counting.generation == 0)
		return false;
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&counting));
	{
		uint64 n;
		HdTally *rows;

		counting.snapshot = RegisterSnapshot(snapshot);
		rows = count_rows(&counting, &n);
		UnregisterSnapshot(counting.snapshot);
		done = install(&counting, rows, n);
		pfree(rows);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&counting));
	return done;
}

/*
 * Between the cut and now.
 */

static bool
count_row(TimestampTz at, int64 id, const char *queue, void *arg)
{
	hd_jobs_tally_numbers_of(arg, queue)->counts.scheduled++;
	return true;
}

void
hd_jobs_tally_between(HdJobTable *table, Snapshot snapshot, TimestampTz from, TimestampTz until,
					  HTAB *numbers)
{
	if (from < until)
		hd_jobs_scan_times(table, snapshot, from, until, count_row, numbers);
}

/* Less, or when the cut goes back more, by what was counted; false when there is no room. Lock held. */
static bool
apply_between(const Counting *counting, HTAB *numbers)
{
	int sign = (counting->target > counting->cut) ? -1 : 1;
	HASH_SEQ_STATUS status;
	HdQueueNumbers *between;
	bool done = true;

	for (int32 i = 0; i < hd_jobs_tally_slots(); i++)
		if (hd_jobs_tally_slot(i)->db == counting->db)
			hd_jobs_tally_slot(i)->counts.scheduled = hd_jobs_tally_slot(i)->counts.moved;
	hash_seq_init(&status, numbers);
	while ((between = hash_seq_search(&status)) != NULL)
	{
		int32 slot = done ? hd_jobs_tally_get(counting->db, between->name, -1) : -1;
		HdTallyCounts *counts;

		done = slot >= 0;
		if (!done)
			continue;
		counts = &hd_jobs_tally_slot(slot)->counts;
		counts->scheduled += sign * between->counts.scheduled;
		counts->moved = counts->scheduled;
	}
	return done;
}

static void
finish_move(const Counting *counting, HTAB *numbers)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (is_current(counting))
	{
		if (apply_between(counting, numbers))
		{
			hd_tally_base_moved(hd_jobs_tally_base(counting->db));
			hd_counters_add(HD_COUNTER_JOBS_CUT_MOVED, 1);
		}
		else
			hd_jobs_tally_forget(counting->db);
	}
	LWLockRelease(hd_jobs_lock);
}

/* Begin to move the cut, unless it is near enough. */
static bool
begin_move(Counting *counting, Snapshot *snapshot)
{
	const HdTallyBase *base = hd_jobs_tally_base(counting->db);

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	counting->cut = base->cut;
	if (base->cut <= counting->target - MOVE_US || base->cut >= counting->target + MOVE_US)
		counting->generation = hd_jobs_tally_begin_move(counting->db, counting->target, snapshot);
	LWLockRelease(hd_jobs_lock);
	return counting->generation != 0;
}

void
hd_jobs_tally_move(int32 db)
{
	Counting counting = {.db = db};
	Snapshot snapshot;

	if (hd_clock_overridden() || hd_jobs_tally_pending())
		return;
	counting.target = hd_clock_now();
	have_snapshot();
	if (!begin_move(&counting, &snapshot))
		return;
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&counting));
	{
		HTAB *numbers;
		HdJobTable table;

		counting.snapshot = RegisterSnapshot(snapshot);
		numbers = hd_jobs_tally_numbers();
		hd_jobs_table_open_reading(&table);
		hd_jobs_tally_between(&table, counting.snapshot, Min(counting.cut, counting.target),
							  Max(counting.cut, counting.target), numbers);
		hd_jobs_table_close(&table);
		UnregisterSnapshot(counting.snapshot);
		finish_move(&counting, numbers);
		hash_destroy(numbers);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&counting));
}
