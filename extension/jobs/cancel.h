/*-------------------------------------------------------------------------
 * cancel.h
 *		Cancelling jobs that run.
 *
 * Model: a job that runs is in its worker's hands, so job_cancel can only
 * ask.  The request is a mark in the claim's ledger slot, set when the
 * transaction that asks commits.  A SQL handler is interrupted then; a
 * worker outside learns it from job_renew.  From then on the job cannot be
 * retried: it ends cancelled when the worker fails, snoozes or releases it
 * and when its lease runs out.  A completion that comes all the same counts,
 * since the work is done.
 *
 * A claim that is given back by a rollback ends cancelled too, at the next
 * tick, like a lease that ran out.  If the worker has ended the claim before
 * the asking transaction commits and the job waits for another attempt, it
 * is cancelled as one that waits, in that commit.
 *
 * Locking: the list's lock; signals are sent under it, so that a backend
 * that has taken its job out of reach under it gets none any more.
 *
 * What a crash loses: requests are as durable as leases (ledger.h).
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_CANCEL_H
#define HD_JOBS_CANCEL_H

#include "postgres.h"

/*
 * hd_jobs_cancel_request
 *		Ask, at the commit of this (sub)transaction, that a job which runs be
 *		cancelled.  False when it does not run at the moment.
 */
extern bool hd_jobs_cancel_request(int64 id);

/*
 * hd_jobs_cancel_is_asked
 *		Whether that was asked of a claim; for the holder of its token.  Caller
 *		holds the list's lock.
 */
extern bool hd_jobs_cancel_is_asked(int32 index);

/*
 * hd_jobs_cancel_keeps
 *		A claim is being given back: if it was to be cancelled, make it a lease
 *		that has run out instead, for the tick to end, and say true.  Caller
 *		holds the list's lock.
 */
extern bool hd_jobs_cancel_keeps(int32 index);

/*
 * hd_jobs_cancel_watch / hd_jobs_cancel_unwatch
 *		A SQL handler of this backend runs the job that this transaction claimed:
 *		a cancel interrupts it (SIGINT).  After unwatch none does any more, and
 *		one that was asked for and not noticed is forgotten; true when it was
 *		asked for.  Interrupts are held off around unwatch.
 */
extern void hd_jobs_cancel_watch(int64 id, int64 token);
extern bool hd_jobs_cancel_unwatch(int64 id, int64 token);

#endif /* HD_JOBS_CANCEL_H */
