/*-------------------------------------------------------------------------
 * snapshot.h
 *		Buckets in a file, so that a restart finds them again.
 *
 * Model: a process of its own writes the buckets that are in debt, and whose
 * limit does not say durability 'none', to hotdash.limits in the data
 * directory every hotdash.limit_snapshot_interval, unless nothing has changed.
 * The postmaster writes it once more when all its children are gone.  Shared
 * memory reads it whenever it is made: at a start and after a crash.
 *
 * What a restart loses: nothing, of all algorithms.
 *
 * What a crash loses: what was taken since the last file was begun.  So a key
 * is granted more than it should be granted by at most what it could take in that
 * time: its burst and its rate, times the interval and the time that a file
 * takes.  That is once for each crash.
 *
 * A file is whole or not there: it is written beside, with a checksum, and
 * renamed.  One that is damaged, of another cluster or of another version is
 * moved aside and said so; then all buckets are full.
 *
 * Time does not go back over a restart: the latest time seen is in the file.
 * So are the seed of the keys' hashes, and therefore no key; the file is as
 * secret as the data directory.
 *
 * Locking: a set's lock is held, shared, for a copy of its slots, and no other.
 *
 * Caveats: a base backup carries the file along, so a standby starts from what
 * the primary's buckets were then, which have mostly drained.  pg_upgrade does
 * not.  Buckets of sessions whose clock is stopped are not in it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_SNAPSHOT_H
#define HD_LIMITS_SNAPSHOT_H

#include "postgres.h"

/*
 * hd_limits_snapshot_init
 *		The setting and the process; with preload.
 */
extern void hd_limits_snapshot_init(void);

/*
 * hd_limits_snapshot_load
 *		Fill the table, which is empty, from the file, and see to it that the
 *		postmaster writes it at the end.  Called where shared memory is made.
 */
extern void hd_limits_snapshot_load(void);

#endif /* HD_LIMITS_SNAPSHOT_H */
