/*-------------------------------------------------------------------------
 * search.c
 *		Lines that memory has lost are found again.
 *
 * Model: see search.h.  A search goes through all lines in the order of
 * their numbers, in several parts where memory has no room for all that it
 * finds: what one part brought is worked off before the next goes on.  Only
 * a pass in which every line had room settles the losses of before it began.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/search.h"

#include <limits.h>

#include "core/clock.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/scan.h"
#include "jobs/waiters.h"

/* A search is not repeated before so many times what it took. */
#define SEARCH_PAUSE 20

/* Nor by others before it has had this time. */
#define SEARCH_TIME_US USECS_PER_SEC

/*
 * Whether a line's first row says that there may be something to do now;
 * otherwise its time brings the line back.
 */
static bool
is_of_interest(const HdJobFound *found, TimestampTz now)
{
	return !found->scheduled || found->at <= now;
}

/* Whether a line may have jobs for the caller; kinds may share a gate. */
static bool
is_line_wanted(const HdJobQueues *wanted, const HdJobFound *found)
{
	if (wanted->tenant != 0 && wanted->tenant != found->place.tenant_hash)
		return false;
	if (found->place.gate == 0 &&
		!hd_jobs_list_has_kind(wanted->kinds, wanted->nkinds, found->place.kind_hash))
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
note_line(const HdJobQueues *wanted, const HdJobFound *found)
{
	int32 db = wanted->db;
	int32 index;

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

/* From which line on, and in which pass. */
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

int
hd_jobs_search_lost(HdJobTable *table, const HdJobQueues *wanted, TimestampTz now)
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

bool
hd_jobs_search_wanted(int32 db)
{
	return hd_jobs_list_has_lost(db) && hd_jobs_list->databases[db].searched_at <= hd_clock_real();
}
