/*-------------------------------------------------------------------------
 * durable.c
 *		Calls on buckets of durability 'wal'.
 *
 * Model: see durable.h.  Locks, in their order: the table, if nobody has it
 * locked; buffers by their blocks; sets, by table.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/durable.h"

#include "access/xlog.h"
#include "core/counters.h"
#include "limits/pages.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

/* The page is ahead of memory by one part in so many of what fits at once. */
#define RESERVE_PARTS 8

/* A bucket of a call, with its cell. */
typedef struct Part
{
	const HdLimitCall *call;
	HdPageCell cell;
	bool durable; /* it is of that kind */
	bool housed;  /* and has a cell */
	bool changed; /* what it came to is in the page, which is to be on disk before the answer */
} Part;

/* Whether memory alone is all there is. */
static bool
memory_only(const HdLimitCall *call)
{
	return call->key->moved || RecoveryInProgress();
}

static void
no_room(const HdLimitCall *call, HdLimitOutcome *outcome)
{
	hd_counters_add(HD_COUNTER_LIMITS_NO_ROOM, 1);
	memset(outcome, 0, sizeof(*outcome));
	outcome->no_room = true;
	outcome->fits_at = outcome->one_at = outcome->reset_at =
		call->now + Max(call->policy->period_us / call->policy->count, 1);
}

/* Lock the buffers of all parts, each once, by their blocks; unlocked where is false. */
static void
lock_pages(const Part *parts, int n, bool lock)
{
	Buffer buffers[HD_LIMIT_MOST_AT_ONCE];
	int nbuffers = 0;

	for (int i = 0; i < n; i++)
	{
		Buffer buffer = parts[i].cell.buffer;
		int at = nbuffers;

		if (!parts[i].durable || !BufferIsValid(buffer))
			continue;
		while (at > 0 && BufferGetBlockNumber(buffers[at - 1]) > BufferGetBlockNumber(buffer))
			at--;
		if (at > 0 && buffers[at - 1] == buffer)
			continue;
		memmove(&buffers[at + 1], &buffers[at], sizeof(Buffer) * (nbuffers - at));
		buffers[at] = buffer;
		nbuffers++;
	}
	for (int i = 0; i < nbuffers; i++)
		LockBuffer(buffers[i], lock ? BUFFER_LOCK_EXCLUSIVE : BUFFER_LOCK_UNLOCK);
}

static void
release_pages(const Part *parts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (parts[i].durable && BufferIsValid(parts[i].cell.buffer))
			ReleaseBuffer(parts[i].cell.buffer);
	}
}

/* Have memory be at least where the page is. */
static void
bring_up(Part *part)
{
	HdPageCell *cell = &part->cell;

	memcpy(cell->image.hash, part->call->key->hash, sizeof(cell->image.hash));
	hd_limits_image_bring_up(&cell->image, cell->runs, part->call);
	hd_limits_image_brought_up(part->call);
}

/* Have an image be ahead of what it says. */
static void
run_ahead(HdImage *image, const HdLimitCall *call)
{
	int32 count = call->policy->count;

	if (image->algorithm == HD_LIMIT_GCRA && image->until < HD_GCRA_MAX_NS)
		image->until += Max(call->gcra.burst / RESERVE_PARTS, 1) * call->gcra.emission;
	else if (image->algorithm == HD_LIMIT_WINDOW && image->used < count)
		image->used += Min(Max(count / RESERVE_PARTS, 1), count - image->used);
}

/* A log that had a larger count: its newest runs, as many as a cell holds. */
static void
trim(HdImage *image, uint64 *runs)
{
	int more = image->runs - HD_PAGE_MAX_RUNS;

	if (more <= 0)
		return;
	for (int i = 0; i < more; i++)
		image->used -= (int32) hd_limits_log_run_units(runs[i]);
	memmove(runs, runs + more, sizeof(uint64) * HD_PAGE_MAX_RUNS);
	image->runs = HD_PAGE_MAX_RUNS;
}

/* Whether the page says already what is to be said. */
static bool
is_said(const HdImage *said, const HdImage *image)
{
	return image->algorithm != HD_LIMIT_LOG && said->algorithm == image->algorithm &&
		   said->emission == image->emission &&
		   hd_limits_image_mark(image) <= hd_limits_image_mark(said);
}

/* Write what a call came to, where the page does not say it yet. */
static void
put_down(Relation rel, Part *part, const HdLimitOutcome *outcome)
{
	const HdLimitCall *call = part->call;
	uint64 runs[HD_IMAGE_MAX_RUNS];
	HdImage image;

	if (!part->housed || outcome->done == 0 ||
		(call->want < 0 && call->policy->algorithm != HD_LIMIT_LOG) ||
		!hd_limits_image_of_key(&image, runs, call->key))
		return;
	part->changed = true;
	hd_limits_image_brought_up(call);
	if (is_said(&part->cell.image, &image))
		return;
	run_ahead(&image, call);
	trim(&image, runs);
	hd_limits_pages_write(rel, &part->cell, &image, runs);
}

/* The end of WAL up to which the pages of what was changed are to be on disk. */
static XLogRecPtr
log_end(const Part *parts, int n)
{
	XLogRecPtr end = InvalidXLogRecPtr;

	for (int i = 0; i < n; i++)
	{
		if (parts[i].changed)
			end = Max(end, PageGetLSN(BufferGetPage(parts[i].cell.buffer)));
	}
	return end;
}

/* Find the pages of all, locked, and bring memory up; false: one has no room that needs it. */
static bool
enter(Relation rel, Part *parts, const HdLimit *limits, HdLimitSubject subject, int n)
{
	bool housed = true;

	for (int i = 0; i < n; i++)
	{
		if (parts[i].durable && rel != NULL)
			(void) hd_limits_pages_pin(rel, &limits[i], subject, &parts[i].cell);
	}
	lock_pages(parts, n, true);
	for (int i = 0; i < n; i++)
	{
		Part *part = &parts[i];

		if (!part->durable)
			continue;
		if (BufferIsValid(part->cell.buffer))
			part->housed = hd_limits_pages_find(rel, &part->cell, part->call->now);
		if (part->housed)
			bring_up(part);
		housed = housed && part->housed;
	}
	return housed;
}

/*
 * Have memory know how far ahead the page is, now that it is on disk.  What was
 * read before is not believed: the bucket may have been reset since.
 */
static void
note_mark(Part *part)
{
	LockBuffer(part->cell.buffer, BUFFER_LOCK_SHARE);
	if (hd_limits_pages_on_disk(&part->cell))
		hd_limits_image_set_mark(&part->cell.image, part->call);
	LockBuffer(part->cell.buffer, BUFFER_LOCK_UNLOCK);
}

/* The table stays locked, and pages pinned, until all is on disk; nobody waits for the former. */
static void
leave(Relation rel, Part *parts, int n)
{
	XLogRecPtr end = log_end(parts, n);

	lock_pages(parts, n, false);
	if (!XLogRecPtrIsInvalid(end))
		XLogFlush(end);
	for (int i = 0; i < n; i++)
	{
		if (parts[i].changed)
			note_mark(&parts[i]);
	}
	release_pages(parts, n);
	if (rel != NULL)
		hd_limits_pages_close(rel);
}

void
hd_limits_durable_call(const HdLimit *limit, HdLimitSubject subject, const HdLimitCall *call,
					   HdLimitOutcome *outcome)
{
	Part part = {.call = call, .durable = true, .cell = {.buffer = InvalidBuffer}};
	Relation rel;

	if (memory_only(call))
	{
		hd_limits_table_call(call, outcome);
		return;
	}
	if (hd_limits_table_call_marked(call, outcome))
		return;
	rel = hd_limits_pages_open();
	if (enter(rel, &part, limit, subject, 1))
	{
		hd_limits_table_call(call, outcome);
		put_down(rel, &part, outcome);
	}
	else
		no_room(call, outcome);
	leave(rel, &part, 1);
}

/* What stops the rest is one that has no room, is no bar to none and fails closed. */
static bool
refuse(const Part *parts, const HdLimitCall *calls, const bool *bars, int n,
	   HdLimitOutcome *outcomes)
{
	bool refused = false;

	for (int i = 0; i < n; i++)
	{
		memset(&outcomes[i], 0, sizeof(outcomes[i]));
		outcomes[i].done = calls[i].want;
		if (!parts[i].durable || parts[i].housed || calls[i].open)
			continue;
		no_room(&calls[i], &outcomes[i]);
		refused = refused || bars[i];
	}
	return refused;
}

bool
hd_limits_durable_call_all(const HdLimit *limits, HdLimitSubject subject, const HdLimitCall *calls,
						   const bool *bars, int n, HdLimitOutcome *outcomes)
{
	Part parts[HD_LIMIT_MOST_AT_ONCE];
	Relation rel;
	bool all;

	if (memory_only(&calls[0]))
		return hd_limits_table_call_all(calls, bars, n, outcomes);
	for (int i = 0; i < n; i++)
	{
		memset(&parts[i], 0, sizeof(Part));
		parts[i].call = &calls[i];
		parts[i].durable = calls[i].policy->keep == HD_LIMIT_KEEP_WAL;
		parts[i].cell.buffer = InvalidBuffer;
	}
	rel = hd_limits_pages_open();
	if (!enter(rel, parts, limits, subject, n) && refuse(parts, calls, bars, n, outcomes))
		all = false;
	else
	{
		all = hd_limits_table_call_all(calls, bars, n, outcomes);
		for (int i = 0; i < n && all; i++)
			put_down(rel, &parts[i], &outcomes[i]);
	}
	leave(rel, parts, n);
	return all;
}

void
hd_limits_durable_forget(const HdLimit *limit, HdLimitSubject subject, const HdLimitKey *key,
						 int64 now)
{
	HdLimitCall call = {.key = key, .policy = &limit->rule.policy, .now = now};
	Part part = {.call = &call, .durable = true, .cell = {.buffer = InvalidBuffer}};
	Relation rel;

	if (memory_only(&call))
	{
		hd_limits_table_forget(key);
		return;
	}
	rel = hd_limits_pages_open();
	if (rel != NULL && hd_limits_pages_pin(rel, limit, subject, &part.cell))
	{
		lock_pages(&part, 1, true);
		if (hd_limits_pages_find(rel, &part.cell, now) && part.cell.image.until != 0)
			hd_limits_pages_write(rel, &part.cell, NULL, NULL);
		part.changed = true;
	}
	hd_limits_table_forget(key);
	leave(rel, &part, 1);
}
