/*-------------------------------------------------------------------------
 * unique.h
 *		Which job has a unique key: the rows of _job_unique.
 *
 * Model: a job with a unique key has a row from when it is enqueued until it
 * ends, or until a successor takes the key over.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_UNIQUE_H
#define HD_JOBS_UNIQUE_H

#include "postgres.h"

#include "jobs/table.h"

typedef struct HdJobUnique
{
	Datum values[4]; /* kind, tenant, key, id of the job that wants it */
} HdJobUnique;

/*
 * hd_jobs_unique_acquire
 *		Claim the key for a new job.  Returns 0 when it is ours, else the id of the
 *		job that has it (locked if lock is set).
 */
extern int64 hd_jobs_unique_acquire(HdJobUnique *key, bool lock);

/*
 * hd_jobs_unique_take_over
 *		Give the key to the new job, whoever has it.
 */
extern void hd_jobs_unique_take_over(HdJobUnique *key);

/*
 * hd_jobs_unique_free
 *		Let go the key of the job in the table's slot, unless a successor has it;
 *		none if it has no key.
 */
extern void hd_jobs_unique_free(HdJobTable *table);

#endif /* HD_JOBS_UNIQUE_H */
