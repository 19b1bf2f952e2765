/*-------------------------------------------------------------------------
 * worker.h
 *		Background processes: one launcher, one worker per database.
 *
 * Model: modules register tasks; the worker of a database runs each when it
 * is due, outside any transaction, and sleeps on its latch until the next.
 * A module that has news calls hd_worker_wake.  Setting the latch alone works
 * too, but a wait for a lock in another task can swallow that; therefore
 * every task runs at least every ten seconds.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WORKER_H
#define HD_WORKER_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"

typedef struct HdWorkerTask
{
	const char *name; /* for the log, and pg_stat_activity's query text */

	/*
	 * Do what is due.  Called outside a transaction, starts and ends its own.
	 * Returns the time (of hd_clock_real) at which it wants to be called
	 * again; the latch may bring the call forward.
	 */
	TimestampTz (*run)(void);
} HdWorkerTask;

/*
 * hd_worker_register
 *		Add a task.  Only from a module's init function.
 *
 * task must live for ever (a static).
 */
extern void hd_worker_register(const HdWorkerTask *task);

/*
 * hd_worker_wake
 *		Have the worker of a database look for work now, if it has one.
 *
 * Takes the worker lock shared and allocates nothing, so it may be called
 * after commit.  Does nothing without preload.
 */
extern void hd_worker_wake(Oid database);

/*
 * hd_worker_runs
 *		Whether a database has a worker that is at work.
 * hd_worker_is_held
 *		Whether somebody is about to run a command that needs the database to
 *		itself: who can leave should.
 */
extern bool hd_worker_runs(Oid database);
extern bool hd_worker_is_held(Oid database);

/*
 * hd_worker_describe
 *		Fill in the registration of a process that begins once and connects to a
 *		database as a role; InvalidOid for both: to none.  Its name is left to the
 *		caller; type is what it shows as application name.
 * hd_worker_connect
 *		In that process: connect as was asked for.
 */
extern void hd_worker_describe(BackgroundWorker *worker, Oid database, Oid role,
							   const char *function, const char *type);
extern void hd_worker_connect(void);

/*
 * hd_worker_init
 *		Module entry: register the launcher and the utility hook when preloaded.
 */
extern void hd_worker_init(void);

#endif /* HD_WORKER_H */
