/*-------------------------------------------------------------------------
 * jobs.h
 *		The one engine for all deferred work, as other modules see it.
 *
 * Model: a job is one row of hotdash._job from its enqueue until it ends.
 * Where it stands while it lives (waiting in line, claimed, being ended) is
 * kept in shared memory (list.h) as a hint that the row confirms.  Most
 * modules use the SQL functions; this header holds what SQL cannot do.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_H
#define HD_JOBS_H

#include "postgres.h"

#include "core/spi.h"
#include "fmgr.h"

/* Channel on which queues that want it tell listeners of their jobs; the queue's name is the payload. */
#define HD_JOB_CHANNEL "hotdash_jobs"

/* hotdash.job_max_payload: largest payload of a job, in kB. */
extern int hd_jobs_setting_max_payload;

/*
 * hd_jobs_init
 *		Module entry: settings, shared memory, worker tasks.
 */
extern void hd_jobs_init(void);

/*
 * hd_jobs_wait
 *		Body of a procedure that waits until one of the queues has a job to
 *		claim or time is up; returns whether there is one.
 *
 * fcinfo: the procedure's, to refuse an atomic context with 2D000.  queues:
 * an array of names, n of them; n = 0 means all queues.  wait_us: longest
 * wait in microseconds, >= 0.  Commits the caller's transaction first and
 * holds neither snapshot nor transaction id while it waits.  Raises 55000
 * without preload, 42704 for an unknown queue.
 */
extern bool hd_jobs_wait(FunctionCallInfo fcinfo, char **queues, int n, int64 wait_us);

/*
 * HdJobWatch
 *		Statements of a module that are run when jobs of a kind die, or attempts
 *		of theirs are lost, in the transaction that ends them.  Either may be NULL.
 *
 * died: (ids bigint[]) of jobs that are in _job_dead now.  lost: an attempt whose
 * lease ran out, or whose session or server stopped: (id bigint, token bigint, attempt int,
 * started_at timestamptz, worker text, state text, error text); state is what the job came to.
 */
typedef struct HdJobWatch
{
	const char *kind;
	HdSpiPlan *died;
	HdSpiPlan *lost;
} HdJobWatch;

/*
 * hd_jobs_watch
 *		Watch the ends of a kind; watch must last.  Only from a module's init
 *		function.
 */
extern void hd_jobs_watch(const HdJobWatch *watch);

#endif /* HD_JOBS_H */
