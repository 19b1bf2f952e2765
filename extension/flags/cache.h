/*-------------------------------------------------------------------------
 * cache.h
 *		Compiled flags of this session, each as the snapshot in use sees it.
 *
 * Model: a flag is compiled when it is first asked for and kept, within a
 * budget of memory (hotdash.flag_cache), least recently looked up out first.
 * What is kept is used only when it is known to be what the active snapshot
 * sees: the row it was compiled from is remembered by place and xmin.
 *
 * A change of any flag sends a relcache message for hotdash._flag (the
 * trigger in sql/flags.sql), twice: at once, and when it is committed, undone
 * or prepared, as the server does for all of them.  The second comes a moment
 * after the change became visible, so the first is what counts: for a row that
 * was the newest committed one, and that nobody was changing, no message since
 * means that it still is, for all snapshots taken since.  While somebody is
 * changing it, and for other snapshots, as of REPEATABLE READ, an open cursor
 * or a parallel worker, the table is looked into, once each.  So it is for all
 * snapshots on a standby, which gets the second message alone.
 *
 * Within a statement a caller keeps an HdFlagHandle (in fn_extra) and pays a
 * comparison of a few words a row.
 *
 * What a crash loses: nothing, the cache is the session's own.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_CACHE_H
#define HD_FLAGS_CACHE_H

#include "postgres.h"

#include "access/transam.h"
#include "core/compat.h"
#include "flags/flag.h"
#include "utils/snapmgr.h"

/* Which snapshot: two that are the same here, but for completed, see the same flags. */
typedef struct HdFlagsSnapshot
{
	uint64 completed; /* transactions that had ended when it was taken; 0: not known */
	uint32 running;	  /* see hd_flags_running */
	TransactionId xmin;
	TransactionId xmax;
	CommandId curcid;
	LocalTransactionId lxid;
} HdFlagsSnapshot;

typedef struct HdFlagHandle
{
	HdFlag *flag; /* NULL: there is no such flag */
	uint64 generation;
	HdFlagsSnapshot snapshot;
} HdFlagHandle;

/*
 * hd_flags_generation
 *		Changes with every message and every flag dropped from memory.
 */
extern uint64 hd_flags_generation;

/*
 * hd_flags_running
 *		How many transactions a snapshot counts as running.  Of two snapshots with
 *		the same xmax the later can only have lost some of them, since none from
 *		xmax on is counted; so with the number the sets are the same.
 */
static inline uint32
hd_flags_running(Snapshot snapshot)
{
	/* on a standby, all of them are among the others */
	return snapshot->xcnt + (snapshot->takenDuringRecovery ? (uint32) snapshot->subxcnt : 0);
}

/*
 * hd_flags_find
 *		Look a flag up by its key and fill the handle.  Valid as long as
 *		hd_flags_handle_valid says so, and until the next call here.
 */
extern void hd_flags_find(const char *key, int length, HdFlagHandle *handle);

/*
 * hd_flags_handle_valid
 *		Whether a handle is still right under the active snapshot.
 */
static inline bool
hd_flags_handle_valid(const HdFlagHandle *handle)
{
	Snapshot snapshot = GetActiveSnapshot();

	return handle->generation == hd_flags_generation &&
		   handle->snapshot.curcid == snapshot->curcid && handle->snapshot.xmin == snapshot->xmin &&
		   handle->snapshot.xmax == snapshot->xmax && handle->snapshot.lxid == HD_MY_LXID &&
		   handle->snapshot.running == hd_flags_running(snapshot);
}

/*
 * hd_flags_shared
 *		What the flags of the set have in common, as hd_flags_flag_compile takes
 *		it, as the active snapshot sees it; NULL: nothing.  Valid until the next
 *		call here.
 */
extern Jsonb *hd_flags_shared(void);

#endif /* HD_FLAGS_CACHE_H */
