/*-------------------------------------------------------------------------
 * seen.c
 *		What a session has read of a table, and for which snapshots it holds.
 *
 * Model: see seen.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/seen.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/sinval.h"
#include "utils/inval.h"

HdSeenSnapshot
hd_seen_snapshot(Snapshot snapshot)
{
	HdSeenSnapshot result = {
		.running = hd_seen_running(snapshot),
		.xmin = snapshot->xmin,
		.xmax = snapshot->xmax,
		.curcid = snapshot->curcid,
		.lxid = HD_MY_LXID,
	};

	return result;
}

/* Whether two snapshots see the same of what others have done. */
static bool
same_others(const HdSeenSnapshot *a, const HdSeenSnapshot *b)
{
	return a->xmin == b->xmin && a->xmax == b->xmax && a->running == b->running;
}

void
hd_seen_complete(HdSeenSnapshot *now)
{
	HdSeenSnapshot newest;
	Snapshot latest;

	if (IsInParallelMode())
		return;
	latest = GetLatestSnapshot();
	newest = hd_seen_snapshot(latest);
	if (same_others(now, &newest))
		now->completed = latest->snapXactCompletionCount;
}

bool
hd_seen_holds(const HdSeen *seen, const HdSeenSnapshot *now, uint64 messages)
{
	const HdSeenSnapshot *then = &seen->snapshot;

	if (seen->messages != messages)
		return false;
	if (same_others(then, now) && then->curcid == now->curcid && then->lxid == now->lxid)
		return true;
	/* a snapshot that is not older, in what others have committed and in what this one has done */
	return seen->newest && now->completed != 0 && now->completed >= then->completed &&
		   (now->lxid != then->lxid || now->curcid >= then->curcid);
}

Snapshot
hd_seen_newer(HdSeenSnapshot *seen, bool *newest)
{
	HdSeenSnapshot there;
	Snapshot latest;

	*newest = false;
	if (IsInParallelMode() || RecoveryInProgress())
		return NULL;
	latest = GetLatestSnapshot();
	seen->completed = latest->snapXactCompletionCount;
	there = hd_seen_snapshot(latest);
	*newest = same_others(seen, &there) && latest->curcid == seen->curcid;
	return *newest ? NULL : RegisterSnapshot(latest);
}

bool
hd_seen_being_changed(SysScanDesc scan, const SnapshotData *dirty)
{
	bool found = false;

	while (!found && HeapTupleIsValid(systable_getnext(scan)))
		found = TransactionIdIsValid(dirty->xmin) || TransactionIdIsValid(dirty->xmax);
	systable_endscan(scan);
	return found;
}

static HeapTuple
fetch(SysScanDesc scan)
{
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return HeapTupleIsValid(tuple) ? tuple : NULL;
}

HdSeenRow
hd_seen_row(HeapTuple tuple)
{
	HdSeenRow row = {.there = tuple != NULL};

	if (tuple != NULL)
	{
		row.tid = tuple->t_self;
		row.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	}
	return row;
}

bool
hd_seen_same_row(const HdSeenRow *a, const HdSeenRow *b)
{
	if (!a->there || !b->there)
		return a->there == b->there;
	return a->xmin == b->xmin && ItemPointerEquals(unconstify(ItemPointerData *, &a->tid),
												   unconstify(ItemPointerData *, &b->tid));
}

/*
 * In this order: messages that come from here on count against what is read,
 * then who is changing the row, then what the newest committed row is.  Whoever
 * changes it later has its message come.
 */
HeapTuple
hd_seen_read(Relation rel, HdSeenScan scan, const void *key, Snapshot snapshot, HdSeen *seen)
{
	SnapshotData dirty;
	HeapTuple tuple;
	Snapshot newer;
	bool changing;

	InitDirtySnapshot(dirty);
	changing = hd_seen_being_changed(scan(rel, key, &dirty), &dirty);
	tuple = fetch(scan(rel, key, snapshot));
	seen->snapshot = hd_seen_snapshot(snapshot);
	newer = hd_seen_newer(&seen->snapshot, &seen->newest);
	if (newer != NULL)
	{
		HdSeenRow here = hd_seen_row(tuple);
		HdSeenRow there = hd_seen_row(fetch(scan(rel, key, newer)));

		seen->newest = hd_seen_same_row(&here, &there);
		UnregisterSnapshot(newer);
	}
	if (changing)
		seen->newest = false;
	return tuple;
}

void
hd_seen_tell(Relation rel)
{
	SharedInvalidationMessage message;

	memset(&message, 0, sizeof(message));
	message.rc.id = SHAREDINVALRELCACHE_ID;
	message.rc.dbId = MyDatabaseId;
	message.rc.relId = RelationGetRelid(rel);
	SendSharedInvalidMessages(&message, 1);
	CacheInvalidateRelcache(rel);
}
