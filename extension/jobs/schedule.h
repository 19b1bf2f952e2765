/*-------------------------------------------------------------------------
 * schedule.h
 *		Schedules: jobs that are enqueued at the times of a cron expression.
 *
 * Model: a schedule is a row of _schedule that says when it is due next.  The
 * transaction that enqueues its job moves that time on, under a lock on the
 * row that others pass over; so however many sessions fire schedules, each
 * time leads to one job, and to none where that transaction fails.  The time
 * only ever moves forward, so a clock that is set back repeats nothing.
 *
 * Who fires: the background worker, by a task that sleeps until the next time
 * there is; without one, CALL hotdash._tick().
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_SCHEDULE_H
#define HD_JOBS_SCHEDULE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* What the options of schedule_set say. */
typedef struct HdScheduleOptions
{
	char *queue;	  /* NULL: that of the kind */
	char *tenant;	  /* NULL: that of the session */
	char *order_key;  /* NULL: none */
	int priority;	  /* -1: the default */
	int max_attempts; /* 0: those of the kind */
	int max_missed;	  /* for missed => 'all' */
	int64 grace_us;	  /* for missed => 'skip' */
	int64 expires_us; /* from the planned time; 0: jobs do not expire */
	bool paused;
	Datum tags;	   /* text[]; 0: none */
	Jsonb *of_job; /* what job_enqueue takes as its options; NULL: nothing */
} HdScheduleOptions;

/*
 * hd_jobs_schedule_options
 *		Read the options; json may be NULL.  Raises 22023 for an unknown key
 *		(listing the known ones) or a bad value.
 */
extern void hd_jobs_schedule_options(Jsonb *json, HdScheduleOptions *options);

/*
 * hd_jobs_schedule_fire
 *		Fire some of the schedules that are due, in the current transaction.
 *
 * Returns whether there may be more.  A schedule that fails says so in its
 * row and does not keep the others; only what is not its fault (a cancel, a
 * full disk, a deadlock) raises.  Call with a snapshot, not under REPEATABLE
 * READ, and not in a copy (core/instance.h).
 */
extern bool hd_jobs_schedule_fire(void);

/*
 * hd_jobs_schedule_task
 *		The background worker's share: fire what is due, each batch in a
 *		transaction of its own.  Returns when it wants to run again.
 */
extern TimestampTz hd_jobs_schedule_task(void);

/*
 * hd_jobs_schedule_due
 *		Whether the task of this process has work by what it saw last, so that
 *		the others should let it run.
 */
extern bool hd_jobs_schedule_due(void);

#endif /* HD_JOBS_SCHEDULE_H */
