/*-------------------------------------------------------------------------
 * tally_look.c
 *		How many jobs each queue has: one look at memory, and at the few rows of
 *		the table that memory cannot know.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tally_look.h"

#include "jobs/lanes.h"
#include "jobs/moves.h"
#include "jobs/order.h"
#include "jobs/scan.h"
#include "jobs/tally_count.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* So many rows of a line are looked at for one that waits. */
#define PROBE_ROWS 32

/*
 * Memory. Lock held.
 */

/* A line's first entry, and whether rows without one may come before it. */
static void
look_at_line(HdTallyLook *look, int32 queue, int64 line, bool strict, const HdJobOrder *order,
			 const HdJobBacklog *backlog)
{
	int32 first = hd_jobs_order_first(order, strict);
	HdTallyProbe *probe = &look->probes[look->nprobes];

	if (first >= 0)
		look->oldest[queue] = Min(look->oldest[queue], hd_jobs_entry(first)->at);
	if (!backlog->more || look->nprobes == HD_TALLY_MAX_PROBES ||
		(first >= 0 && hd_jobs_order_before(strict, hd_jobs_entry(first)->at,
											hd_jobs_entry(first)->id, backlog->at, backlog->id)))
		return;
	probe->queue = queue;
	probe->line = line;
	probe->strict = strict;
	probe->backlog = *backlog;
	look->nprobes++;
}

static void
look_at_lines(HdTallyLook *look)
{
	int left = hd_jobs_list->nlanes;

	for (int32 i = 0; i < hd_jobs_list->max_lanes && left > 0; i++)
	{
		const HdJobLane *lane = hd_jobs_lane(i);

		if (lane->line == 0)
			continue;
		left--;
		if (hd_jobs_queue(lane->queue)->db == look->db)
			look_at_line(look, lane->queue, lane->line, false, &lane->order, &lane->backlog);
	}
	left = hd_jobs_list->ngates;
	for (int32 i = 0; i < hd_jobs_list->max_gates && left > 0; i++)
	{
		const HdJobGate *gate = hd_jobs_gate(i);

		if (gate->line == 0)
			continue;
		left--;
		if (hd_jobs_queue(gate->queue)->db == look->db)
			look_at_line(look, gate->queue, gate->line, gate->strict, &gate->order, &gate->backlog);
	}
}

static void
copy_numbers(HdTallyLook *look)
{
	for (int32 i = 0; i < hd_jobs_tally_slots(); i++)
	{
		const HdTally *tally = hd_jobs_tally_slot(i);

		if (tally->name[0] != '\0' && tally->db == look->db)
			look->tallies[look->ntallies++] = *tally;
	}
	for (int32 i = 0; i < hd_jobs_list->max_queues; i++)
	{
		const HdJobQueue *queue = hd_jobs_queue(i);

		look->oldest[i] = DT_NOEND;
		if (queue->db != look->db)
			continue;
		strlcpy(look->queues[i].name, queue->name, NAMEDATALEN);
		look->queues[i].running = queue->running;
	}
}

bool
hd_jobs_tally_look(HdTallyLook *look)
{
	const HdTallyBase *base = hd_jobs_tally_base(look->db);
	bool known;

	look->tallies = palloc(sizeof(HdTally) * hd_jobs_tally_slots());
	look->queues = palloc0(sizeof(HdTallyLookQueue) * hd_jobs_list->max_queues);
	look->ending = palloc0(sizeof(int) * hd_jobs_list->max_queues);
	look->oldest = palloc(sizeof(TimestampTz) * hd_jobs_list->max_queues);
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	known = hd_tally_base_known(base);
	if (known)
	{
		look->cut = base->cut;
		look->due = hd_jobs_list->databases[look->db].due;
		copy_numbers(look);
		look_at_lines(look);
		hd_jobs_moves_own(look->db, look->ending, look->oldest);
		look->snapshot = GetLatestSnapshot();
	}
	LWLockRelease(hd_jobs_lock);
	if (known)
		look->snapshot = RegisterSnapshot(look->snapshot);
	return known;
}

/*
 * Leases without rows.
 */

typedef struct Lease
{
	int64 id;
	int32 queue;
} Lease;

/* All leases of the database, when there is doubt about them; those being ended are sure. */
static int
copy_leases(const HdTallyLook *look, Lease *leases, uint32 *removals)
{
	const HdJobDatabase *database = &hd_jobs_list->databases[look->db];
	int n = 0;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	*removals = database->removals;
	for (int32 i = 0; i < hd_jobs_list->capacity && database->verified != *removals; i++)
	{
		const HdJobEntry *entry = hd_jobs_entry(i);

		if ((entry->state != HD_JOB_CLAIMED && entry->state != HD_JOB_LEASED) ||
			hd_jobs_entry_queue(entry)->db != look->db)
			continue;
		leases[n].id = entry->id;
		leases[n++].queue = hd_jobs_lane(entry->lane)->queue;
	}
	LWLockRelease(hd_jobs_lock);
	return n;
}

static bool
has_doubt(int32 db)
{
	bool doubt;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	doubt = hd_jobs_list->databases[db].verified != hd_jobs_list->databases[db].removals;
	LWLockRelease(hd_jobs_lock);
	return doubt;
}

/* What has no row does not run. */
static void
drop_ghosts(HdJobTable *table, HdTallyLook *look)
{
	int nghosts = 0;
	uint32 removals;
	Lease *leases;
	int n;

	if (!has_doubt(look->db))
		return;
	leases =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Lease) * (Size) hd_jobs_list->capacity);
	n = copy_leases(look, leases, &removals);
	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if (hd_jobs_table_find(table, leases[i].id, &tid))
			continue;
		look->queues[leases[i].queue].running--;
		nghosts++;
	}
	pfree(leases);
	if (nghosts > 0 || hd_jobs_tally_pending())
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->databases[look->db].verified = removals;
	LWLockRelease(hd_jobs_lock);
}

/*
 * The table.
 */

/* Whether a row's job is neither running nor being ended. */
static bool
is_waiting(int32 db, int64 id)
{
	HdJobState state = HD_JOB_FREE;
	int32 index;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	index = hd_jobs_list_find(db, id);
	if (index >= 0)
		state = (HdJobState) hd_jobs_entry(index)->state;
	LWLockRelease(hd_jobs_lock);
	return state != HD_JOB_CLAIMED && state != HD_JOB_LEASED && state != HD_JOB_ENDING;
}

static void
probe_line(HdJobTable *table, HdTallyLook *look, const HdTallyProbe *probe)
{
	HdJobFound *rows = palloc(sizeof(HdJobFound) * PROBE_ROWS);
	int n = hd_jobs_scan_line(table, probe->line, probe->strict, &probe->backlog, look->now, rows,
							  PROBE_ROWS);
	TimestampTz *oldest = &look->oldest[probe->queue];

	for (int i = 0; i < n; i++)
		if (rows[i].at < *oldest && is_waiting(look->db, rows[i].id))
			*oldest = rows[i].at;
	pfree(rows);
}

/* For the rows that are due, but were not brought to their lines. */
typedef struct DueRows
{
	int32 db;
	int left;
	HTAB *numbers;
} DueRows;

static bool
visit_due(TimestampTz at, int64 id, const char *queue, void *arg)
{
	DueRows *due = arg;
	HdQueueNumbers *numbers = hd_jobs_tally_numbers_of(due->numbers, queue);

	if (at < numbers->oldest && is_waiting(due->db, id))
		numbers->oldest = at;
	return --due->left > 0;
}

void
hd_jobs_tally_look_further(HdTallyLook *look, HTAB *numbers)
{
	TimestampTz from = TIMESTAMP_NOT_FINITE(look->due.at) ? look->due.at : look->due.at - 1;
	DueRows due = {look->db, HD_TALLY_DUE_LIMIT, numbers};
	HTAB *between = hd_jobs_tally_numbers();
	int sign = (look->now > look->cut) ? -1 : 1;
	HASH_SEQ_STATUS status;
	HdQueueNumbers *one;
	HdJobTable table;

	hd_jobs_table_open_reading(&table);
	hd_jobs_tally_between(&table, look->snapshot, Min(look->cut, look->now),
						  Max(look->cut, look->now), between);
	for (int i = 0; i < look->nprobes; i++)
		probe_line(&table, look, &look->probes[i]);
	if (from < look->now)
		hd_jobs_scan_times(&table, look->snapshot, from, look->now, visit_due, &due);
	drop_ghosts(&table, look);
	hd_jobs_table_close(&table);

	hash_seq_init(&status, between);
	while ((one = hash_seq_search(&status)) != NULL)
		hd_jobs_tally_numbers_of(numbers, one->name)->counts.scheduled +=
			sign * one->counts.scheduled;
}
