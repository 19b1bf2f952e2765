/*-------------------------------------------------------------------------
 * relay.h
 *		Runs of SQL handlers that take over from each other, for pg_cron.
 *
 * Model: pg_cron calls _work_relay each minute, and each call starts a
 * background process, the *run*, as the role that calls.  A run works until
 * a younger one has begun, so that at each moment one is at work; for a
 * moment two are, which share the jobs as any two workers do.  A run that
 * nobody follows, since pg_cron stands still or its job was removed, ends
 * when HD_JOB_RELAY_ALONE_US are over.
 *
 * A run that a long handler keeps ends after it, and the younger works beside
 * it.  While HD_JOB_RELAY_RUNS are there, a call starts no further one and
 * lets the youngest stay longer instead.
 *
 * Why a process of its own and not pg_cron's: a call that stayed would take
 * one of pg_cron's places for good, and pg_cron before 1.5 with
 * cron.use_background_workers starts nothing else as long as anything that
 * it has started is at work, whosever it is.
 *
 * The processes come out of max_worker_processes, which is 8 unless somebody
 * raises it, so no more than HD_JOB_RELAY_DATABASES have runs.  The others,
 * and where a background worker runs handlers, have the call itself do what
 * there is to do, until the next minute.
 *
 * Locking: the list's lock.
 *
 * What a crash loses: who is the youngest; the processes are gone with it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_RELAY_H
#define HD_JOBS_RELAY_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define HD_JOB_RELAY_DATABASES 2
#define HD_JOB_RELAY_RUNS 2
#define HD_JOB_RELAY_ALONE_US (130 * USECS_PER_SEC)

/*
 * hd_jobs_relay_start
 *		See to it that a run of this database is at work for the next minute, as
 *		the current role; false when none is to be or can be started.
 *
 * Returns before the run has begun.
 */
extern bool hd_jobs_relay_start(void);

/*
 * hd_jobs_relay_begin
 *		Make this process the youngest run of its database and have the one before
 *		end; false when there are too many.  In a transaction; the run is over
 *		when the process ends.
 */
extern bool hd_jobs_relay_begin(void);

/*
 * hd_jobs_relay_goes_on
 *		Whether this process's run is still the youngest, and wanted: not when its
 *		time is over, the extension is gone or somebody needs the database to
 *		himself.  In a transaction.
 */
extern bool hd_jobs_relay_goes_on(void);

#endif /* HD_JOBS_RELAY_H */
