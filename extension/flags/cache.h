/*-------------------------------------------------------------------------
 * cache.h
 *		Compiled flags of this session, each as the snapshot in use sees it.
 *
 * Model: a flag is compiled when it is first asked for and kept, within a
 * budget of memory (hotdash.flag_cache), least recently looked up out first.
 * What is kept is used only when it is known to be what the active snapshot
 * sees: core/seen.h says how, and sql/flags.sql has the trigger.
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

#include "core/seen.h"
#include "flags/flag.h"

typedef struct HdFlagHandle
{
	HdFlag *flag; /* NULL: there is no such flag */
	uint64 generation;
	HdSeenSnapshot snapshot;
} HdFlagHandle;

/*
 * hd_flags_generation
 *		Changes with every message and every flag dropped from memory.
 */
extern uint64 hd_flags_generation;

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
	return handle->generation == hd_flags_generation && hd_seen_is_active(&handle->snapshot);
}

/*
 * hd_flags_shared
 *		What the flags of the set have in common, as hd_flags_flag_compile takes
 *		it, as the active snapshot sees it; NULL: nothing.  Valid until the next
 *		call here.
 */
extern Jsonb *hd_flags_shared(void);

#endif /* HD_FLAGS_CACHE_H */
