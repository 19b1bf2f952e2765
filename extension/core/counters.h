/*-------------------------------------------------------------------------
 * counters.h
 *		Counters of what happened, shared by all sessions.
 *
 * Model: a fixed set of 64-bit atomics in shared memory, added to without a
 * lock.  They start at zero with the server and after a crash; what must
 * reconcile is counted from tables instead.
 *-------------------------------------------------------------------------
 */
#ifndef HD_COUNTERS_H
#define HD_COUNTERS_H

#include "postgres.h"

typedef enum HdCounter
{
	HD_COUNTER_JOBS_ENQUEUED,	 /* committed, into memory */
	HD_COUNTER_JOBS_SHELVED,	 /* committed, left to the index: scheduled, or the list was full */
	HD_COUNTER_JOBS_CLAIMED,	 /* committed */
	HD_COUNTER_JOBS_ENDED,		 /* claims that ended in a committed transition */
	HD_COUNTER_JOBS_GIVEN_BACK,	 /* claims undone by a rollback */
	HD_COUNTER_JOBS_RESCUED,	 /* leases that ran out */
	HD_COUNTER_JOBS_LOST,		 /* late transitions refused because of a stale token */
	HD_COUNTER_JOBS_REFILLED,	 /* taken from the index into memory */
	HD_COUNTER_JOBS_LIST_FULL,	 /* times the list had no room */
	HD_COUNTER_JOBS_QUEUES_FULL, /* times the table of queues had no room */
	HD_COUNTER_JOBS_COUNTED,	 /* times all rows were counted, for the queues' numbers */
	HD_COUNTER_JOBS_CUT_MOVED,	 /* times the time that these refer to was moved to now */
	HD_COUNTER_LIMITS_EVICTED,	 /* buckets in debt that made room for others */
	HD_COUNTER_LIMITS_NO_ROOM,	 /* takes refused since only strict buckets were there */
	HD_COUNTER_LIMITS_COARSE,	 /* takes that cost a log precision for want of memory */
	HD_COUNTER_LIMITS_PLACES_FULL, /* times there was no memory for a place of a limit */
	HD_COUNTER_FLAGS_USES_LOST,	   /* uses of flags that were not counted for want of room */
	HD_COUNTER_SLA_RULES_FAILED,   /* conditions and actions of escalation rules that failed */
	HD_COUNTER_COUNT
} HdCounter;

/*
 * hd_counters_register
 *		Ask for the shared memory.  Called once from _PG_init when preloaded.
 */
extern void hd_counters_register(void);

/*
 * hd_counters_add
 *		Add n to a counter.  Safe anywhere, also under locks; does nothing
 *		where there is no shared memory.
 */
extern void hd_counters_add(HdCounter counter, uint64 n);

#endif /* HD_COUNTERS_H */
