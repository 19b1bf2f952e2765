/*-------------------------------------------------------------------------
 * look.h
 *		Looks at the table before a claim: rows that are due, hungry lines.
 *
 * Locking: takes the list's lock for itself, never across a scan.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LOOK_H
#define HD_JOBS_LOOK_H

#include "jobs/list.h"
#include "jobs/scan.h"
#include "jobs/table.h"

/*
 * hd_jobs_look_wanted
 *		Whether there is something to look for in the table before claiming from
 *		the queues.
 */
extern bool hd_jobs_look_wanted(HdJobQueues *queues, TimestampTz now);

/*
 * hd_jobs_look
 *		Bring rows for some queues, where want entries are asked for.  search:
 *		look for lines that memory has lost, even if that was done only just now.
 *		Returns how many rows were brought.
 */
extern int hd_jobs_look(HdJobTable *table, HdJobQueues *queues, int want, bool search);

/*
 * hd_jobs_look_bring
 *		Give a row without a key its entry, unless it has one; false when there is
 *		no room.
 */
extern bool hd_jobs_look_bring(int32 db, const HdJobFound *found);

#endif /* HD_JOBS_LOOK_H */
