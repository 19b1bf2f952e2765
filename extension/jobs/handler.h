/*-------------------------------------------------------------------------
 * handler.h
 *		Running a job's SQL handler.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_HANDLER_H
#define HD_JOBS_HANDLER_H

#include "postgres.h"

#include "jobs/list.h"

/*
 * hd_jobs_handler_next
 *		Claim one job of those wanted, run its handler and record how that ended,
 *		all in the current transaction, which must have a snapshot; false when
 *		there is none.
 *
 * An error of the handler is the attempt's and is not raised; a cancel of this
 * session is, and gives the job back with the transaction.
 */
extern bool hd_jobs_handler_next(const HdJobQueues *wanted);

#endif /* HD_JOBS_HANDLER_H */
