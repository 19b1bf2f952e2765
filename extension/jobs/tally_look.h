/*-------------------------------------------------------------------------
 * tally_look.h
 *		How many jobs each queue has: one look at memory, and at the few rows of
 *		the table that memory cannot know.
 *
 * Model: everything in memory is copied at once.  The table is asked for the
 * scheduled rows between the cut and now, and, for the age of the oldest
 * job, for the first rows of lines that may have an earlier one than their
 * first entry.
 *
 * A job that was deleted by hand while it ran has its lease until that ends,
 * but no row.  After such a removal, and after a start, the rows of all
 * leases are looked for, until all are there.
 *
 * Locking: takes the list's lock for itself, never across a scan.
 *
 * Caveats: the oldest job is that of the lines that memory knows; of
 * scheduled jobs that nobody has asked for since they became due, that of
 * the first HD_TALLY_DUE_LIMIT.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TALLY_LOOK_H
#define HD_JOBS_TALLY_LOOK_H

#include "postgres.h"

#include "jobs/list.h"
#include "jobs/tally.h"
#include "utils/hsearch.h"
#include "utils/snapshot.h"

/* So many lines are asked for their first job that has no entry. */
#define HD_TALLY_MAX_PROBES 64

/* So many scheduled rows that are due, but that nobody has brought, are looked at. */
#define HD_TALLY_DUE_LIMIT 10000

/* A line that has rows without entries, maybe before its first entry. */
typedef struct HdTallyProbe
{
	int32 queue;
	int64 line;
	bool strict;
	HdJobBacklog backlog;
} HdTallyProbe;

typedef struct HdTallyLookQueue
{
	char name[NAMEDATALEN]; /* empty: not of this database */
	int running;
} HdTallyLookQueue;

/* What was in memory. */
typedef struct HdTallyLook
{
	int32 db; /* given, as is now */
	TimestampTz now;
	TimestampTz cut;
	HdJobBacklog due;  /* scheduled rows up to it were brought to their lines */
	Snapshot snapshot; /* registered */
	int ntallies;
	HdTally *tallies;
	HdTallyLookQueue *queues; /* by their slots, as all below */
	int *ending;			  /* running jobs that this transaction ends */
	TimestampTz *oldest;	  /* job that waits */
	int nprobes;
	HdTallyProbe probes[HD_TALLY_MAX_PROBES];
} HdTallyLook;

/*
 * hd_jobs_tally_look
 *		Copy what memory knows; false when the numbers are unknown.
 * hd_jobs_tally_look_further
 *		Ask the table: what differs from the cut goes to numbers, as does the
 *		oldest of those due that are in no line; the rest to the look itself.
 */
extern bool hd_jobs_tally_look(HdTallyLook *look);
extern void hd_jobs_tally_look_further(HdTallyLook *look, HTAB *numbers);

#endif /* HD_JOBS_TALLY_LOOK_H */
