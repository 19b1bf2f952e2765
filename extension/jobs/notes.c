/*-------------------------------------------------------------------------
 * notes.c
 *		Notes of an open transaction: rows that others will find in the table when
 *		it commits.
 *
 * Model: see notes.h.  Notes of one target are merged into one.  A note too
 * many only makes a claim look at the shelf once for nothing, so notes are
 * not undone with subtransactions.
 *
 * Locking: adding one and whatever follows happens under the list's lock, so
 * it cannot fail; memory is taken before.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/notes.h"

#include <limits.h>

#include "common/hashfn.h"
#include "core/counters.h"
#include "jobs/flows.h"
#include "jobs/gates.h"
#include "jobs/lanes.h"
#include "jobs/list.h"
#include "jobs/moves.h"
#include "jobs/order.h"
#include "jobs/waiters.h"
#include "utils/memutils.h"

typedef struct HdJobNote
{
	HdJobNoteKind kind;
	int32 next; /* note of the same bucket; -1 ends */
	int32 db;
	int64 target;
	int nrows;
	TimestampTz earliest;
	int64 earliest_id;
} HdJobNote;

static HdJobNote *notes = NULL;
static int nnotes = 0;
static int max_notes = 0;
static int32 *note_buckets = NULL; /* max_notes of them, a power of two */
static bool changed_flows = false;

static int32 *
note_bucket(HdJobNoteKind kind, int64 target)
{
	uint32 hash = murmurhash32((uint32) target ^ (uint32) ((uint64) target >> 32) ^ (uint32) kind);

	return &note_buckets[hash & (uint32) (max_notes - 1)];
}

static HdJobNote *
find_note(HdJobNoteKind kind, int32 db, int64 target)
{
	for (int32 i = *note_bucket(kind, target); i >= 0; i = notes[i].next)
		if (notes[i].kind == kind && notes[i].db == db && notes[i].target == target)
			return &notes[i];
	return NULL;
}

static void
enter_note(int32 index)
{
	int32 *bucket = note_bucket(notes[index].kind, notes[index].target);

	notes[index].next = *bucket;
	*bucket = index;
}

static HdJobNote *
add_note(HdJobNoteKind kind, int32 db, int64 target)
{
	HdJobNote *note = &notes[nnotes++];

	Assert(nnotes <= max_notes);
	note->kind = kind;
	note->db = db;
	note->target = target;
	note->nrows = 0;
	note->earliest = DT_NOEND;
	note->earliest_id = PG_INT64_MAX;
	enter_note(nnotes - 1);
	if (kind == HD_JOB_NOTE_LANE)
		hd_jobs_lane_hold((int32) target);
	else if (kind == HD_JOB_NOTE_GATE)
		hd_jobs_gate_hold((int32) target);
	return note;
}

void
hd_jobs_notes_prepare(void)
{
	int wanted = Max(16, max_notes * 2);
	int32 *buckets;

	hd_jobs_moves_watch();
	if (nnotes + 2 <= max_notes)
		return;
	buckets = MemoryContextAllocHuge(TopMemoryContext, sizeof(int32) * (Size) wanted);
	if (notes == NULL)
		notes = MemoryContextAlloc(TopMemoryContext, sizeof(HdJobNote) * wanted);
	else
		notes = repalloc_huge(notes, sizeof(HdJobNote) * (Size) wanted);
	if (note_buckets != NULL)
		pfree(note_buckets);
	note_buckets = buckets;
	max_notes = wanted;
	memset(note_buckets, -1, sizeof(int32) * (Size) max_notes);
	for (int i = 0; i < nnotes; i++)
		enter_note(i);
}

/* A strict gate goes by ids, so the least id matters there, else the earliest time. */
static bool
comes_before(const HdJobNote *note, TimestampTz at, int64 id)
{
	bool strict = note->kind == HD_JOB_NOTE_LINE ||
				  (note->kind == HD_JOB_NOTE_GATE && hd_jobs_gate((int32) note->target)->strict);

	return hd_jobs_order_before(strict, at, id, note->earliest, note->earliest_id);
}

void
hd_jobs_notes_add(HdJobNoteKind kind, int32 db, int64 target, TimestampTz at, int64 id)
{
	HdJobNote *note = find_note(kind, db, target);

	if (note == NULL)
		note = add_note(kind, db, target);
	if (comes_before(note, at, id))
	{
		note->earliest = at;
		note->earliest_id = id;
	}
	note->nrows++;
	changed_flows |= kind == HD_JOB_NOTE_FLOW;
}

bool
hd_jobs_notes_changed_flows(void)
{
	return changed_flows;
}

/* A gate that was not there when a job for later was put behind it may have come since. */
static void
finish_line_note(const HdJobNote *note)
{
	int32 gate = hd_jobs_gate_find(note->db, note->target);

	if (gate >= 0)
		hd_jobs_gate_note(gate, note->earliest, note->earliest_id);
}

static void
finish_note(const HdJobNote *note)
{
	HdJobDatabase *database = &hd_jobs_list->databases[note->db];
	int32 target = (int32) note->target; /* a lane or a gate */

	switch (note->kind)
	{
		case HD_JOB_NOTE_LINE:
			finish_line_note(note);
			return;
		case HD_JOB_NOTE_SCHEDULED:
			/* Those who wait sleep until the first job they knew of is due. */
			if (note->earliest < database->next_due)
				hd_jobs_waiter_wake_database(note->db, 1);
			hd_jobs_list_schedule(note->db, note->earliest, note->earliest_id);
			break;
		case HD_JOB_NOTE_LANE:
			hd_jobs_lane_note(target, note->earliest, note->earliest_id);
			hd_jobs_waiter_wake_lane(target, note->nrows);
			break;
		case HD_JOB_NOTE_GATE:
			hd_jobs_gate_note(target, note->earliest, note->earliest_id);
			if (hd_jobs_gate(target)->hungry.next != NULL)
				hd_jobs_waiter_wake_queue(hd_jobs_gate(target)->queue, 1);
			break;
		case HD_JOB_NOTE_LOST:
			hd_jobs_list_lose(note->db);
			database->searched_at = DT_NOBEGIN;
			hd_jobs_waiter_wake_database(note->db, note->nrows);
			break;
		case HD_JOB_NOTE_FLOW:
			if (note->target == HD_JOB_ALL_FLOWS)
				hd_jobs_flow_doubt_all(note->db);
			else
				hd_jobs_flow_doubt(note->db, (uint64) note->target);
			hd_jobs_waiter_wake_database(note->db, INT_MAX);
			return;
		case HD_JOB_NOTE_REMOVED:
			hd_jobs_gate_doubt(note->db);
			hd_jobs_list_lose(note->db);
			database->removals++;
			database->searched_at = DT_NOBEGIN;
			hd_jobs_waiter_wake_database(note->db, INT_MAX);
			return;
	}
	hd_counters_add(HD_COUNTER_JOBS_SHELVED, note->nrows);
}

void
hd_jobs_notes_own(int32 db, TimestampTz *earliest)
{
	for (int i = 0; i < nnotes; i++)
		if (notes[i].db == db && notes[i].kind == HD_JOB_NOTE_LANE)
		{
			int32 queue = hd_jobs_lane((int32) notes[i].target)->queue;

			earliest[queue] = Min(earliest[queue], notes[i].earliest);
		}
}

bool
hd_jobs_notes_none(void)
{
	return nnotes == 0;
}

void
hd_jobs_notes_commit(void)
{
	for (int i = 0; i < nnotes; i++)
		finish_note(&notes[i]);
}

/* What this transaction saw of its own changes must not stay. */
void
hd_jobs_notes_abort(void)
{
	for (int i = 0; i < nnotes; i++)
		if (notes[i].kind == HD_JOB_NOTE_FLOW)
			finish_note(&notes[i]);
}

void
hd_jobs_notes_forget(void)
{
	for (int i = 0; i < nnotes; i++)
	{
		if (notes[i].kind == HD_JOB_NOTE_LANE)
			hd_jobs_lane_let_go((int32) notes[i].target);
		else if (notes[i].kind == HD_JOB_NOTE_GATE)
			hd_jobs_gate_let_go((int32) notes[i].target);
	}
	for (int i = 0; i < nnotes; i++)
		*note_bucket(notes[i].kind, notes[i].target) = -1;
	nnotes = 0;
	changed_flows = false;
}
