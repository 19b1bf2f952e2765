/*-------------------------------------------------------------------------
 * place.h
 *		Where a job belongs: the numbers of its lines.
 *
 * Model: a line's number is a 64-bit hash of what its jobs share.  Two lines
 * with one number would stand in each other's way, and never let more
 * through than either may.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_PLACE_H
#define HD_JOBS_PLACE_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * A flow whose name begins so has a soft concurrency without a row that says it
 * (flows.h).  Its hash tells: it is odd, others are even.
 */
#define HD_JOB_FAIR_PREFIX "host:"

typedef struct HdJobPlace
{
	const char *queue;
	int priority;
	uint32 kind_hash;
	uint32 tenant_hash;
	uint64 flow_hash; /* 0: it belongs to no flow */
	int64 lane;		  /* number of its lane */
	int64 gate;		  /* number of its key's gate; 0: it has no key */
	bool strict;	  /* the key's jobs run one at a time, in the order of their ids */
	TimestampTz at;	  /* its time, where the place was read from a row */
} HdJobPlace;

/* What decides a job's lane. */
typedef struct HdJobAddress
{
	const char *queue; /* stays where it is as long as a place made of it is used */
	int priority;
	uint32 kind_hash;
	const char *tenant;
	const char *flow; /* NULL: none */
} HdJobAddress;

/*
 * hd_jobs_place_queue_hash / hd_jobs_place_tenant_hash / hd_jobs_place_flow_hash
 *		Hash of a queue's name; of a tenant or a flow, as lanes carry it, never 0.
 */
extern uint64 hd_jobs_place_queue_hash(const char *name);
extern uint32 hd_jobs_place_tenant_hash(const char *tenant, int length);
extern uint64 hd_jobs_place_flow_hash(const char *flow, int length);

/* Whether it is the hash of a flow whose name begins with HD_JOB_FAIR_PREFIX. */
extern bool hd_jobs_place_flow_is_fair(uint64 hash);

/*
 * hd_jobs_place_lane
 *		Number of the lane of a queue (by its hash) that the place's priority, kind,
 *		tenant and flow say.
 */
extern int64 hd_jobs_place_lane(uint64 queue_hash, const HdJobPlace *place);

/*
 * hd_jobs_place_set
 *		Fill in a job's place.  order_key NULL: none.  per_key: the kind's
 *		concurrency_per_key, 0 when it has none; then the key's jobs are strict.
 */
extern void hd_jobs_place_set(HdJobPlace *place, const HdJobAddress *address, const char *order_key,
							  int per_key);

/* The number of the line in which the job waits: its gate's, else its lane's. */
extern int64 hd_jobs_place_line(const HdJobPlace *place);

#endif /* HD_JOBS_PLACE_H */
