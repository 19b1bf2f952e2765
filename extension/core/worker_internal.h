/*-------------------------------------------------------------------------
 * worker_internal.h
 *		What the files of the background processes share.
 *
 * Model: one table in shared memory, filled by three parties.  A worker
 * claims the slot of its database before it connects and gives it back
 * when it has left; a session that is about to run a command which needs
 * the database to itself puts a hold on the slot; the launcher reads both.
 *
 *		worker.c			the worker: its loop and the tasks
 *		worker_launcher.c	the launcher: which databases, which role, when
 *		worker_process.c	how it is asked for, and how it connects
 *		worker_slots.c		the table
 *		worker_yield.c		the utility hook that makes workers leave
 *
 * Locking: everything in the table is protected by its LWLock, except the
 * counters of wakes, which are atomics.
 *
 * Caveats: a crash empties the table and ends all processes named in it at
 * the same moment, so nothing is lost but a hold of at most ten seconds.
 * When more databases are held than there are slots, a hold is not taken;
 * the command then waits for the worker as it would for any session.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WORKER_INTERNAL_H
#define HD_WORKER_INTERNAL_H

#include "postgres.h"

#include "core/worker.h"
#include "nodes/pg_list.h"
#include "port/atomics.h"

/* How long the launcher keeps away from a database after a hold was put on it. */
#define HD_WORKER_HOLD_MS 10000

/* How long a command waits for the worker to be gone. */
#define HD_WORKER_LEAVE_TIMEOUT_MS 5000

/* Why no worker runs.  Any value may follow any other: each pass of the launcher decides anew. */
typedef enum HdWorkerProblem
{
	HD_WORKER_NONE,			  /* workers may run */
	HD_WORKER_OFF,			  /* hotdash.worker_role is empty */
	HD_WORKER_ROLE_MISSING,	  /* it names no role */
	HD_WORKER_ROLE_SUPERUSER, /* it names a superuser, which is refused */
	HD_WORKER_ROLE_NOLOGIN,	  /* it names a role that may not log in */
	HD_WORKER_LIST_INVALID	  /* hotdash.databases cannot be parsed */
} HdWorkerProblem;

/* What is known of a database's worker; a copy, so it may be out of date. */
typedef struct HdWorkerView
{
	int pid;				/* 0 when none runs */
	bool settled;			/* it found the extension and works */
	TimestampTz started_at; /* of the worker that runs, or ran last */
	TimestampTz hold_until; /* the launcher starts none before this */
} HdWorkerView;

/*
 * hd_worker_slots_register
 *		Ask for the table.  Called once from hd_worker_init when preloaded.
 */
extern void hd_worker_slots_register(void);

/*
 * hd_worker_slot_claim
 *		Take the slot of a database for this process, until it exits.
 *
 * False when a hold is on it, another worker has it, or no slot is free.
 * Must be called before connecting to the database: the slot is given back
 * after this process has left the list of the database's processes, so
 * that who waits for the slot finds the database unused.
 */
extern bool hd_worker_slot_claim(Oid database);

/*
 * hd_worker_slot_settled
 *		Note that this worker stays, and tell the launcher.
 */
extern void hd_worker_slot_settled(void);

/*
 * hd_worker_slot_wakes
 *		How often this worker has been woken.
 *
 * The latch alone does not do: a task that waits for a lock resets it.
 */
extern uint32 hd_worker_slot_wakes(void);

/*
 * hd_worker_slot_look
 *		What the table holds of a database; zeroes when nothing.
 */
extern void hd_worker_slot_look(Oid database, HdWorkerView *view);

/*
 * hd_worker_slot_hold
 *		Keep workers out of a database for HD_WORKER_HOLD_MS; ask the one that
 *		runs to leave, and wait up to HD_WORKER_LEAVE_TIMEOUT_MS until it has.
 *
 * Interruptible.  Must be called without locks on the database, for which
 * the worker could be waiting.
 */
extern void hd_worker_slot_hold(Oid database);

/*
 * hd_worker_launcher_attach
 *		Make this process the launcher that is told of changes, until it exits.
 */
extern void hd_worker_launcher_attach(void);

/*
 * hd_worker_launcher_retry
 *		Have the launcher look at all databases now, and drop all holds on one.
 */
extern void hd_worker_launcher_retry(Oid database);

/*
 * hd_worker_launcher_asked
 *		Whether a retry was asked for since the last call.
 */
extern bool hd_worker_launcher_asked(void);

/*
 * hd_worker_launcher_report
 *		Publish why no worker runs; hd_worker_launcher_state reads it back, with
 *		the launcher's pid (0 when none runs).
 */
extern void hd_worker_launcher_report(HdWorkerProblem problem);
extern int hd_worker_launcher_state(HdWorkerProblem *problem);

/*
 * hd_worker_database_listed
 *		Whether hotdash.databases names a database.
 *
 * *valid is set false when the setting cannot be parsed.
 */
extern bool hd_worker_database_listed(const char *database, bool *valid);

/*
 * hd_worker_launcher_register / hd_worker_yield_install
 *		Called once from hd_worker_init when preloaded.
 */
extern void hd_worker_launcher_register(void);
extern void hd_worker_yield_install(void);

#endif /* HD_WORKER_INTERNAL_H */
