/*-------------------------------------------------------------------------
 * usage.h
 *		How often flags are used, summed up over all sessions.
 *
 * Purpose: evaluations must write nothing, and yet stale flags be found.
 *
 * Model: a session counts what it evaluates by itself, and hands that over
 * at the end of a transaction, or every few of them.  Here is one slot for
 * each flag and variant in use, in sets of sixteen; what names it is its
 * database, its extension, the key and the variant.  The tick takes all of
 * its database out and adds them to _flag_use (sql/flags_usage.sql), so
 * slots are needed for what is used between two ticks.
 *
 * Locking: an LWLock for each set.  Adding to a slot that is there takes it
 * shared and adds atomically; making and taking out, exclusive.  Nothing is
 * allocated, so it may be called when a transaction has ended.
 *
 * A full set: the caller is told and keeps what it has for the next time.
 * Where nobody ticks, a slot that nothing was added to for a day is given
 * up, and counted (flags_uses_lost).
 *
 * What a crash loses: what was counted since the last tick.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_USAGE_H
#define HD_FLAGS_USAGE_H

#include "postgres.h"

/* hotdash.flag_use_slots: flags and variants in use, of the whole cluster. */
extern int hd_flags_setting_use_slots;

/* Longer names of variants are cut. */
#define HD_FLAGS_MAX_NAME 255

/*
 * hd_flags_usage_register
 *		Ask for the shared memory.  Called once, when preloaded.
 */
extern void hd_flags_usage_register(void);

/*
 * hd_flags_usage_add
 *		A flag of an extension was used n times, with that variant (of length 0:
 *		none).  False: there is no room now, try again later.  True and nothing
 *		else without preload.
 */
extern bool hd_flags_usage_add(Oid extension, const char *key, int key_length, const char *variant,
							   int variant_length, uint64 n);

/*
 * hd_flags_usage_flush
 *		Set by who counts in this session: hand over what is counted, so that who
 *		reads it sees its own uses.  NULL: there is nobody.
 */
extern void (*hd_flags_usage_flush)(void);

#endif /* HD_FLAGS_USAGE_H */
