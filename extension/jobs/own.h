/*-------------------------------------------------------------------------
 * own.h
 *		What is the server's own: kinds, queues and flows of jobs that only its
 *		own functions enqueue.
 *
 * Model: a process beside the server works such jobs by what their payload
 * says and with rights of its own, so whoever could make one would act with
 * these, in any tenant.  They are therefore made by the functions that check
 * who asks for what (event_publish, http_request), through entry points that
 * no level may call (_job_enqueue, _job_enqueue_many).  Every other road to a
 * job refuses them with 42501: enqueueing, callbacks of batches, schedules,
 * routes of inbound messages.  A queue of the server's own is claimed only by
 * who names it.
 *
 * Caveats: superusers are refused like anybody, but can call the private
 * entry points and write the tables; so whoever works such jobs looks again.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_OWN_H
#define HD_JOBS_OWN_H

#include "postgres.h"

/*
 * hd_jobs_own_queue_of
 *		The queue of a kind that is the server's own; NULL for any other.
 */
extern const char *hd_jobs_own_queue_of(const char *kind);

/*
 * hd_jobs_own_is_queue
 *		Whether a queue is the server's own.
 */
extern bool hd_jobs_own_is_queue(const char *queue);

/*
 * hd_jobs_own_refuse_kind
 * hd_jobs_own_refuse_queue
 * hd_jobs_own_refuse_flow
 *		Raise 42501 for what is the server's own.
 */
extern void hd_jobs_own_refuse_kind(const char *kind);
extern void hd_jobs_own_refuse_queue(const char *queue);
extern void hd_jobs_own_refuse_flow(const char *flow);

#endif /* HD_JOBS_OWN_H */
