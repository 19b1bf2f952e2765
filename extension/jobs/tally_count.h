/*-------------------------------------------------------------------------
 * tally_count.h
 *		How many jobs each queue has: counting what memory cannot know.
 *
 * Locking: takes the list's lock for itself, never across a scan.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TALLY_COUNT_H
#define HD_JOBS_TALLY_COUNT_H

#include "postgres.h"

#include "jobs/table.h"
#include "jobs/tally_base.h"
#include "utils/hsearch.h"
#include "utils/snapshot.h"

/* What is known of a queue, by its name. */
typedef struct HdQueueNumbers
{
	char name[NAMEDATALEN];
	HdTallyCounts counts;
	int64 running;
	TimestampTz oldest; /* of those that are ready; DT_NOEND: none is known */
} HdQueueNumbers;

/*
 * hd_jobs_tally_numbers / hd_jobs_tally_numbers_of
 *		A table of such numbers, in the current memory context; those of a queue,
 *		zero at first.
 */
extern HTAB *hd_jobs_tally_numbers(void);
extern HdQueueNumbers *hd_jobs_tally_numbers_of(HTAB *numbers, const char *queue);

/*
 * hd_jobs_tally_count
 *		Count all rows of the database and give memory the numbers.  False when
 *		somebody else does, or something came in between.
 */
extern bool hd_jobs_tally_count(int32 db);

/*
 * hd_jobs_tally_between
 *		Count the scheduled rows after a time up to another, as counts.scheduled.
 */
extern void hd_jobs_tally_between(HdJobTable *table, Snapshot snapshot, TimestampTz from,
								  TimestampTz until, HTAB *numbers);

/*
 * hd_jobs_tally_move
 *		Move the cut to now, if it is far from it.  Not for a transaction that has
 *		changed rows, since its own are neither seen nor unseen.
 */
extern void hd_jobs_tally_move(int32 db);

#endif /* HD_JOBS_TALLY_COUNT_H */
