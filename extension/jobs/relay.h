/*-------------------------------------------------------------------------
 * relay.h
 *		Runs of job_work that take over from each other, for pg_cron.
 *
 * Model: pg_cron starts a run each minute, in turn through two of its jobs,
 * since it never runs one job twice at once.  A run works until a younger one
 * has begun, so that at each moment one is at work; for a moment two are,
 * which share the jobs as any two workers do.
 *
 * pg_cron before 1.5, with cron.use_background_workers, starts nothing while
 * it waits for something that it has started.  So a run that nobody follows
 * ends two seconds after the minute all the same; such a pg_cron then starts
 * the next within milliseconds, and everything else that is due.  Only while
 * the run before is still kept by a long handler does it stay: pg_cron has
 * nobody else to start then.
 *
 * pg_cron has five places for all databases, so no more than
 * HD_JOB_RELAY_DATABASES of them keep one for good.  The others, and where a
 * background worker runs handlers, have the run end when there is no more to
 * do, until the next minute.
 *
 * Locking: the list's lock.
 *
 * What a crash loses: who is the youngest; the sessions are gone with it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_RELAY_H
#define HD_JOBS_RELAY_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define HD_JOB_RELAY_DATABASES 2

/*
 * hd_jobs_relay_begin
 *		Take over from the run of this database that began last, and have it end.
 *		Returns the run's number, and in *until when it ends at the latest; 0 when
 *		this database is not to have one.
 */
extern uint32 hd_jobs_relay_begin(TimestampTz *until);

/*
 * hd_jobs_relay_goes_on
 *		Whether a run is still the youngest, and wanted: not when the extension is
 *		gone or somebody needs the database to himself.  Puts *until off while
 *		nobody can follow.  In a transaction.
 */
extern bool hd_jobs_relay_goes_on(uint32 number, TimestampTz *until);

/*
 * hd_jobs_relay_end
 *		This process's run is over, if it has one.
 */
extern void hd_jobs_relay_end(void);

#endif /* HD_JOBS_RELAY_H */
