/*-------------------------------------------------------------------------
 * tally.c
 *		How many jobs each queue has: the part in shared memory.
 *
 * Model: see tally.h.  The area holds a base for each database of the list,
 * two snapshots for each base, and the queues' numbers in one array.  A
 * queue that has no rows makes room for another.
 *
 * Locking: the list's lock; the area's own is not used.  A snapshot is taken
 * under it, which takes the server's own locks of its process array and of
 * transaction ids for a moment; nobody takes ours under those.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tally.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "core/shmem.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"

static HdTallyBase *bases = NULL;
static char *snapshots = NULL; /* two of each base */
static HdTally *tallies = NULL;

/* As many as can be under way at once, and this session's own. */
static int
max_xids(void)
{
	return MaxBackends + max_prepared_xacts + 1;
}

static Size
snapshot_size(void)
{
	return MAXALIGN(offsetof(HdTallySeen, xids) + sizeof(TransactionId) * max_xids());
}

static Size
area_size(void)
{
	Size size = MAXALIGN(sizeof(HdTallyBase) * HD_JOB_MAX_DATABASES);

	size = add_size(size, mul_size(snapshot_size(), 2 * HD_JOB_MAX_DATABASES));
	return add_size(size, mul_size(sizeof(HdTally), hd_jobs_tally_slots()));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	bases = base;
	snapshots = (char *) base + MAXALIGN(sizeof(HdTallyBase) * HD_JOB_MAX_DATABASES);
	tallies = (HdTally *) (snapshots + snapshot_size() * 2 * HD_JOB_MAX_DATABASES);
}

static const HdShmemArea area = {"hotdash_job_tallies", area_size, area_init};

void
hd_jobs_tally_register(void)
{
	hd_shmem_register(&area);
}

int
hd_jobs_tally_slots(void)
{
	return hd_jobs_setting_queues;
}

HdTallyBase *
hd_jobs_tally_base(int32 db)
{
	return &bases[db];
}

HdTally *
hd_jobs_tally_slot(int32 index)
{
	return &tallies[index];
}

static HdTallySeen *
seen_by(int32 db, int which)
{
	return (HdTallySeen *) (snapshots + snapshot_size() * (2 * db + which));
}

static bool
is_slot_of(int32 index, int32 db, const char *queue)
{
	return tallies[index].db == db && strcmp(tallies[index].name, queue) == 0;
}

static bool
is_vacant(const HdTally *tally)
{
	static const HdTallyCounts nothing = {0};

	return tally->name[0] == '\0' || memcmp(&tally->counts, &nothing, sizeof(nothing)) == 0;
}

int32
hd_jobs_tally_get(int32 db, const char *queue, int32 hint)
{
	int32 vacant = -1;

	if (hint >= 0 && is_slot_of(hint, db, queue))
		return hint;
	for (int32 i = 0; i < hd_jobs_tally_slots(); i++)
	{
		if (is_slot_of(i, db, queue))
			return i;
		if (vacant < 0 && is_vacant(&tallies[i]))
			vacant = i;
	}
	if (vacant >= 0)
	{
		memset(&tallies[vacant], 0, sizeof(HdTally));
		strlcpy(tallies[vacant].name, queue, NAMEDATALEN);
		tallies[vacant].db = db;
	}
	return vacant;
}

static void
clear_slots(int32 db)
{
	for (int32 i = 0; i < hd_jobs_tally_slots(); i++)
		if (tallies[i].db == db)
			tallies[i].name[0] = '\0';
}

void
hd_jobs_tally_forget(int32 db)
{
	hd_tally_base_invalidate(&bases[db]);
	clear_slots(db);
}

HdTallyVerdict
hd_jobs_tally_judge(int32 db, uint64 xid)
{
	int last = bases[db].last;

	return hd_tally_base_judge(&bases[db], seen_by(db, last), seen_by(db, 1 - last), xid);
}

/*
 * Snapshots.
 */

/* Whether a transaction was under way that may still commit without telling. */
static bool
sees_prepared(int32 db, Snapshot snapshot)
{
	const HdJobDatabase *database = &hd_jobs_list->databases[db];

	for (int i = 0; i < database->nprepared; i++)
	{
		TransactionId xid = database->prepared[i];

		if (TransactionIdFollowsOrEquals(xid, snapshot->xmax))
			return true;
		for (uint32 x = 0; x < snapshot->xcnt; x++)
			if (snapshot->xip[x] == xid)
				return true;
	}
	return database->nprepared < 0;
}

/*
 * Taken under the list's lock: whoever has told already is visible in it.  Of
 * this session's own transaction the snapshot says nothing.
 */
static bool
take_snapshot(int32 db, Snapshot *snapshot)
{
	*snapshot = GetLatestSnapshot();
	return (*snapshot)->snapshot_type == SNAPSHOT_MVCC && !(*snapshot)->takenDuringRecovery &&
		   (*snapshot)->xcnt < (uint32) max_xids() && !sees_prepared(db, *snapshot);
}

static void
note_seen(HdTallySeen *seen, Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();

	seen->xmax =
		U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - snapshot->xmax);
	seen->nxids = (int) snapshot->xcnt;
	memcpy(seen->xids, snapshot->xip, sizeof(TransactionId) * snapshot->xcnt);
	if (TransactionIdIsValid(own))
		seen->xids[seen->nxids++] = own;
}

uint32
hd_jobs_tally_begin_count(int32 db, TimestampTz cut, Snapshot *snapshot)
{
	if (bases[db].state != HD_TALLY_UNKNOWN || !take_snapshot(db, snapshot))
		return 0;
	clear_slots(db);
	note_seen(seen_by(db, hd_tally_base_count(&bases[db], cut)), *snapshot);
	return bases[db].generation;
}

uint32
hd_jobs_tally_begin_move(int32 db, TimestampTz target, Snapshot *snapshot)
{
	if (bases[db].state != HD_TALLY_KNOWN || !take_snapshot(db, snapshot))
		return 0;
	note_seen(seen_by(db, hd_tally_base_move(&bases[db], target)), *snapshot);
	for (int32 i = 0; i < hd_jobs_tally_slots(); i++)
		tallies[i].counts.moved = tallies[i].counts.scheduled;
	return bases[db].generation;
}
