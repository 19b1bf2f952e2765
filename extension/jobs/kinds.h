/*-------------------------------------------------------------------------
 * kinds.h
 *		Kinds of jobs and queues: what job_kind_set and queue_set said.
 *
 * Model: each session keeps what it has read until a relcache message about
 * the tables arrives, which a trigger on them sends; so a change is seen
 * when it commits, and in its own transaction at once.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_KINDS_H
#define HD_JOBS_KINDS_H

#include "postgres.h"

#include "core/schema.h"
#include "jobs/backoff.h"
#include "jobs/list.h"

#define HD_JOB_DEFAULT_QUEUE "default"
#define HD_JOB_DEFAULT_ATTEMPTS 5

typedef struct HdJobKind
{
	char kind[NAMEDATALEN];
	char queue[NAMEDATALEN];
	bool own;	   /* only the server's own functions enqueue it (own.h) */
	char *handler; /* signature as text, NULL for kinds run by workers outside */
	Oid run_as;
	int max_attempts;
	int64 timeout_us; /* 0: none */
	int concurrency;  /* how many may run at once; 0: any number */
	int per_key;	  /* of one order key; 0: one, and in order */
	HdBackoff backoff;
	Jsonb *payload_schema; /* NULL: any payload */
	HdSchema *compiled;	   /* the same; NULL until a payload is checked */
} HdJobKind;

typedef struct HdJobQueueConfig
{
	char name[NAMEDATALEN];
	bool paused;
	bool own;		 /* only the server's own functions enqueue there (own.h) */
	bool notify;	 /* tell listeners of each job */
	int concurrency; /* how many may run at once; 0: any number */
	int rate;		 /* how many may begin in a period; 0: any number */
	int64 rate_period_us;
} HdJobQueueConfig;

/*
 * hd_jobs_kind_hash
 *		Hash of a kind's name, as entries of the list carry it.
 */
extern uint32 hd_jobs_kind_hash(const char *name, int length);

/*
 * hd_jobs_kind_get
 *		A kind by name, valid until the next call into this file.
 *
 * Raises 42704 when there is none.  Runs SPI at first use.
 */
extern const HdJobKind *hd_jobs_kind_get(const char *name);

/*
 * hd_jobs_kind_get_missing_ok
 *		The same, NULL when there is none.
 */
extern const HdJobKind *hd_jobs_kind_get_missing_ok(const char *name);

/*
 * hd_jobs_kind_check_payload
 *		Raise 22023 unless a payload fits the kind's schema, with the path and
 *		the rule that it breaks first.  source NULL: no payload, checked as null.
 *
 * Nothing is done for a kind without a schema.
 */
extern void hd_jobs_kind_check_payload(const char *name, Jsonb *source);

/*
 * hd_jobs_kind_handled
 *		Hashes of all kinds that have a SQL handler, palloc'd in the caller's
 *		context; n of them.
 */
extern uint32 *hd_jobs_kind_handled(int *n);

/*
 * hd_jobs_kind_limits
 *		Fill in which kinds have limits of their own, for a claim; palloc'd in the
 *		caller's context.
 */
extern void hd_jobs_kind_limits(HdJobQueues *queues);

/*
 * hd_jobs_kind_per_key
 *		The concurrency_per_key of a kind by the hash of its name; 0 when it has none.
 */
extern int hd_jobs_kind_per_key(uint32 kind_hash);

/*
 * hd_jobs_queue_get
 *		A queue by name, valid until the next call into this file.
 *
 * Raises 42704 when there is none.
 */
extern const HdJobQueueConfig *hd_jobs_queue_get(const char *name);

/*
 * hd_jobs_queue_names
 *		All queues that are not paused and not the server's own, palloc'd in the
 *		caller's context.
 */
extern char **hd_jobs_queue_names(int *n);

/*
 * hd_jobs_name_check
 *		Raise 22023 unless name is fit for a kind or a queue: 1 to 63 bytes of
 *		letters, digits, '_', '-', '.', ':' and '/'.  what: "kind" or "queue".
 */
extern void hd_jobs_name_check(const char *name, const char *what);

#endif /* HD_JOBS_KINDS_H */
