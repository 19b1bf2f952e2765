/*-------------------------------------------------------------------------
 * snapshot_file.h
 *		The file of buckets: written, read, compared.
 *
 * The inside of snapshot.h, which has the model.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_SNAPSHOT_FILE_H
#define HD_LIMITS_SNAPSHOT_FILE_H

#include "postgres.h"

#include "port/pg_crc32c.h"

/* What the last file of this process held, to see whether another is needed. */
typedef struct HdSnapshotTrace
{
	pg_crc32c *sets; /* a checksum for each set; NULL: nothing was written yet */
	int64 after;	 /* nanoseconds: what had drained then is not in it */
} HdSnapshotTrace;

/*
 * hd_limits_snapshot_write
 *		Write the file; false, with a message in the log, when that failed, and then
 *		the one of before is still there.
 *
 * trace: may be NULL; filled in, its memory is the caller's context's.  alone: as
 * hd_limits_image_of_set.
 */
extern bool hd_limits_snapshot_write(HdSnapshotTrace *trace, bool alone);

/*
 * hd_limits_snapshot_changed
 *		Whether a file written now would say something else.
 */
extern bool hd_limits_snapshot_changed(const HdSnapshotTrace *trace);

/*
 * hd_limits_snapshot_read
 *		Fill the table, which nobody uses yet, from the file, if there is one that
 *		is whole.
 */
extern void hd_limits_snapshot_read(void);

#endif /* HD_LIMITS_SNAPSHOT_FILE_H */
