/*-------------------------------------------------------------------------
 * list.h
 *		Jobs in shared memory: who is next, and who is being worked on.
 *
 * Model: an entry stands for one row of hotdash._job.  Ready entries hang in
 * lanes (lanes.h), one per queue, priority, kind and tenant.  A job with a
 * key first passes its key's gate (gates.h), which lets as many of the key
 * through as may run at once.  Lanes and gates are lines: each has a number,
 * which stands in the rows that wait in it without an entry, because they
 * are scheduled for later or memory had no room.  Index _job_line finds the
 * rows of a line, index _job_due those whose time has come.
 *
 * Per line, the backlog says which rows may have no entry: those beyond its
 * cursor.  Per database, everything scheduled and due up to the cursor was
 * brought to its line.  What commits late below a cursor lowers it again.
 *
 * The table confirms: nothing is done to a job on the word of an entry
 * alone.  What the entries add is exclusion: of all that may end or claim a
 * job only one can move its entry, and an open transaction's move is undone
 * when it rolls back (tx.h).
 *
 * Locking: one LWLock guards everything here, reading included.
 *
 * Bounds: every part has a fixed size.  Where one is full, rows wait in the
 * table, and the database is marked to have lines that memory does not know
 * (losses); claims look for those (search.h).
 *
 * What a crash loses: this memory.  Rows in a line are found through its
 * index; the others by one scan of the table (load.c).  Leases come back
 * from the ledger (ledger.h), a file that outlives the processes.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LIST_H
#define HD_JOBS_LIST_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "jobs/heap.h"
#include "lib/ilist.h"
#include "limits/limits.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"

#define HD_JOB_PRIORITIES 10
#define HD_JOB_MAX_DATABASES 64
#define HD_JOB_MAX_PREPARED 32

/* Leases, in microseconds. */
#define HD_JOB_DEFAULT_LEASE_US (60 * USECS_PER_SEC)
#define HD_JOB_MIN_LEASE_US (100 * 1000)

typedef enum HdJobState
{
	HD_JOB_FREE,	 /* next: RESERVED, BLOCKED, READY, LEASED (from the ledger), ENDING */
	HD_JOB_RESERVED, /* row of an open transaction; next: BLOCKED, READY, ENDING, FREE */
	HD_JOB_BLOCKED,	 /* behind its gate; next: READY, ENDING, FREE */
	HD_JOB_READY,	 /* in its lane; next: CLAIMED, ENDING, BLOCKED, FREE */
	HD_JOB_CLAIMED,	 /* by an open transaction; next: LEASED, ENDING, READY */
	HD_JOB_LEASED,	 /* next: ENDING */
	HD_JOB_ENDING	 /* by an open transaction; next: FREE, or the state before */
} HdJobState;

/* All fields of everything below are guarded by the module's lock. */
typedef struct HdJobEntry
{
	int64 id;
	TimestampTz at;			   /* orders the lane; the row's column of that name */
	int64 token;			   /* of the claim; 0 while unclaimed */
	TimestampTz lease_expires; /* while claimed or leased */
	HdHeapNode node;		   /* in its lane's or gate's order */
	int32 hash_next;		   /* chain of the bucket, or of free entries; -1 ends */
	int32 lane;				   /* which it is in, came from, or will come into */
	int32 gate;				   /* of its key; -1: none */
	int owner;				   /* pid of the open transaction or bound session, else 0 */
	ItemPointerData tid;	   /* where the row was last seen */
	uint8 state;			   /* HdJobState */
	bool bound;				   /* lease ends with the owner's session */
	bool in_heap;			   /* stands in the order's heap, not in its queue */
	bool in_gate;			   /* stands in its gate's order: BLOCKED, or ENDING */
} HdJobEntry;

/*
 * Entries in order: those that came in order, which is nearly all, in a
 * queue; the others in a heap.  The first is the earlier of two heads.
 */
typedef struct HdJobOrder
{
	int32 head; /* of the queue; -1: empty */
	int32 tail;
	int32 top; /* of the heap */
	int32 count;
} HdJobOrder;

/* Rows of a line that have no entry. */
typedef struct HdJobBacklog
{
	bool more;		/* there may be rows beyond the cursor */
	uint32 lowered; /* how often something came in below a look's feet */
	TimestampTz at; /* the cursor: all rows up to (at, id) have or had an entry */
	int64 id;
} HdJobBacklog;

typedef struct HdJobLane
{
	int64 line;		 /* its number; 0: slot is free */
	int32 hash_next; /* chain of the bucket, or of free lanes */
	int32 queue;
	int32 group;
	int32 flow;			/* -1: none */
	int32 next_of_flow; /* lane of the same flow; -1 ends */
	int32 refs;			/* entries and notes that point here */
	int32 reserved;		/* entries of open transactions that will come into this lane */
	int32 sister;		/* ring of the same tenant's lanes of this queue and priority */
	dlist_node hungry;	/* among its queue's lanes that want a look; next NULL: it is not */
	int64 tag;			/* when it is this tenant's turn, see lanes.h */
	HdHeapNode node;
	uint32 kind_hash;
	uint32 tenant_hash;
	uint8 priority;
	HdJobOrder order;
	HdJobBacklog backlog;
} HdJobLane;

typedef struct HdJobGate
{
	int64 line;		 /* its number; 0: slot is free */
	int32 hash_next; /* chain of the bucket, or of free gates */
	int32 queue;
	int32 refs;		   /* entries and notes that point here */
	dlist_node hungry; /* as a lane's */
	int32 ready;	   /* let through and not claimed */
	int32 running;
	int32 width;	  /* how many may be out at once */
	uint32 kind_hash; /* of all its jobs, where it is not strict */
	bool strict;	  /* in order of ids; who is not due holds up all behind it */
	bool held;		  /* the next in order is not due: nothing to look for until that changes */
	bool stale;		  /* the width is not known, or may have changed */
	int viewer;		  /* pid of the open transaction that changed kinds and set the width; else 0 */
	HdJobOrder order;
	HdJobBacklog backlog;
} HdJobGate;

/*
 * What shares limits of its own, see flows.h.  While a flow is shut, its
 * lanes stand in no group.
 */
typedef struct HdJobFlow
{
	uint64 hash; /* of its name; 0: slot is free */
	int32 db;
	int32 hash_next; /* chain of the bucket, or of free flows */
	int32 lanes;	 /* first of them; -1: none */
	int32 refs;		 /* lanes */
	int32 running;
	bool shut;		/* its lanes are out of their groups */
	bool stale;		/* its limits are not known, or may have changed */
	int viewer;		/* pid of the open transaction that changed flows and read the limits; else 0 */
	uint32 changes; /* how often its limits may have changed */
	dlist_node
		unknown; /* among its database's flows whose limits are wanted; next NULL: it is not */
	HdHeapNode timer;
	bool timed; /* stands in the heap of those that open by themselves */
	TimestampTz opens_at;
	int32 concurrency; /* how many may run at once; 0: any number */
	bool soft;		   /* that is for fairness: where leases were lost, nobody waits for them */
	int32 step;		   /* what it is widened by, see lend.h */
	int32 lent;		   /* how many run beyond it */
	TimestampTz settled_at; /* not made wider than it is before */
	TimestampTz held_until; /* nothing begins before; DT_NOBEGIN: no such time */
	bool rated;
	HdLimitPolicy rate;
	HdLimitKey bucket;
} HdJobFlow;

/* Lanes of one kind in a queue and priority, for they stop at once when the kind's cap is reached. */
typedef struct HdJobGroup
{
	uint32 kind_hash;
	int32 queue; /* -1: slot is free */
	int32 kind;
	int32 next; /* group of the same queue and priority, or free one */
	int32 top;	/* lane whose turn it is; -1: none has entries */
	int32 refs; /* lanes */
	uint8 priority;
} HdJobGroup;

typedef struct HdJobKindCount
{
	int32 db; /* -1: slot is free */
	uint32 kind_hash;
	int32 hash_next;
	int32 refs; /* groups */
	int32 running;
	bool refused; /* a claim passed over jobs of the kind, since its cap was reached */
} HdJobKindCount;

typedef struct HdJobQueue
{
	char name[NAMEDATALEN];	 /* empty: slot is free */
	uint64 hash;			 /* of the name */
	int32 db;				 /* index of the database */
	int32 refs;				 /* lanes and gates */
	int32 listed;			 /* entries in lanes */
	int32 running;			 /* entries CLAIMED, LEASED, or ENDING after those */
	dlist_head hungry_lanes; /* those that want a look at the table */
	dlist_head hungry_gates;
	TimestampTz asked_at;			 /* when somebody last claimed from it or waited for it */
	int32 groups[HD_JOB_PRIORITIES]; /* first of each priority; -1: none */
	int32 ready[HD_JOB_PRIORITIES];	 /* entries in its lanes */
	int64 turn[HD_JOB_PRIORITIES];	 /* tag of the lane that was last served */
} HdJobQueue;

typedef struct HdJobDatabase
{
	Oid database;			 /* InvalidOid: slot is free */
	Oid extension;			 /* of the CREATE EXTENSION that the entries belong to */
	bool loaded;			 /* rows that are in no line have their entries */
	uint32 losses;			 /* how often lines were lost, so that memory does not know them */
	uint32 found;			 /* up to which of those losses the lines were found again */
	TimestampTz searched_at; /* they are not looked for before */
	int64 search_line; /* where the search goes on; PG_INT64_MIN: from the start, in a new pass */
	uint32 search_pass;
	uint32 search_losses;	   /* how many there were when the pass began */
	bool search_full;		   /* it had no room for one */
	uint32 removals;		   /* how often rows may have gone without their leases */
	uint32 verified;		   /* up to which of those all leases have their rows */
	bool left;				   /* there may be leases whose session has left */
	HdJobBacklog due;		   /* what was scheduled; more is not used */
	dlist_head unknown_flows;  /* those whose limits are wanted */
	int32 lent;				   /* sum of its flows' */
	TimestampTz next_due;	   /* earliest scheduled row known beyond that cursor */
	TimestampTz horizon;	   /* limited jobs wait until then, see horizon.h; 0: they need not */
	TimestampTz covered_until; /* the horizon that is written down */
	int nprepared;			   /* prepared transactions that enqueued; -1: too many to list */
	TransactionId prepared[HD_JOB_MAX_PREPARED];
	uint32 relay;			 /* number of the youngest run for pg_cron (relay.h) */
	int relay_procno;		 /* its process */
	int relay_runs;			 /* how many of them have not ended */
	TimestampTz relay_until; /* the youngest ends before; 0: it has ended */
} HdJobDatabase;

typedef struct HdJobList
{
	int capacity; /* entries */
	int nbuckets; /* of entries, lanes and gates each; power of two */
	int max_queues;
	int max_lanes;
	int max_gates;
	int max_groups;
	int max_kinds;
	int max_flows;
	int max_waiters;
	uint32 boot;		/* tells tokens of this life of the ledger; 15 bits, not 0 */
	uint32 first_token; /* of this life of the list */
	uint32 next_token;
	int32 free_entry;
	int32 free_lane;
	int32 free_gate;
	int32 free_group;
	int32 free_flow;
	int32 flow_timers; /* the first that opens; -1: none */
	int nfree;		   /* entries */
	int nblocked;	   /* entries behind gates */
	int nwaiters;	   /* sessions that wait and were not woken yet */
	int nowing;		   /* sessions that were, whose wait is over, and that have not claimed */
	bool ledger_lost;  /* leases of before this start may be unknown */
	int ticker;		   /* process number of whoever runs the ticks, -1 when nobody */
	int32 lane_hand;   /* where the search for an idle lane goes on */
	int32 gate_hand;
	int nlanes; /* in use */
	int nflows;
	int ngates;
	int ngroups;
	int nkinds;
	HdJobDatabase databases[HD_JOB_MAX_DATABASES];
} HdJobList;

/* What a kind says about how its jobs run. */
typedef struct HdJobKindLimit
{
	uint32 kind_hash;
	int concurrency;  /* how many may run at once; 0: any number */
	int per_key;	  /* of one order key; 0: one, and in order */
	int64 timeout_us; /* an attempt's longest time; 0: none */
} HdJobKindLimit;

/* What a session asks for: queues by name with their slots as last resolved, kinds, tenant. */
typedef struct HdJobQueues
{
	int32 db;
	int n;
	char **names;
	int32 *slots; /* -1: no room in the table of queues */
	int *caps;	  /* concurrency of each queue; 0: none */
	struct HdJobRate *rates;
	bool rated;		/* some queue has a rate */
	bool held_back; /* what has a concurrency waits for the horizon */
	int nkinds;		/* 0: any kind */
	uint32 *kinds;	/* their hashes */
	int nlimits;	/* kinds with a concurrency or a timeout */
	HdJobKindLimit *limits;
	uint32 tenant; /* hash of the tenant that the session is bound to; 0: any */
} HdJobQueues;

extern HdJobList *hd_jobs_list;
extern LWLock *hd_jobs_lock;

/* hotdash.job_slots: entries; hotdash.job_queues: queues of the whole cluster. */
extern int hd_jobs_setting_slots;
extern int hd_jobs_setting_queues;

/*
 * hd_jobs_list_register
 *		Ask for the shared memory.  Called from the module's init when preloaded.
 */
extern void hd_jobs_list_register(void);

/*
 * The parts of the area.  Callers of everything below hold the lock;
 * exclusively, where something changes.
 */
extern HdJobEntry *hd_jobs_entry(int32 index);
extern HdJobQueue *hd_jobs_queue(int32 index);
extern HdJobLane *hd_jobs_lane(int32 index);
extern HdJobGate *hd_jobs_gate(int32 index);
extern HdJobGroup *hd_jobs_group(int32 index);
extern HdJobKindCount *hd_jobs_kind_count(int32 index);
extern HdJobFlow *hd_jobs_flow(int32 index);
extern struct HdJobWaiter *hd_jobs_waiter(int index);

/*
 * hd_jobs_list_has_kind
 *		Whether a kind is among those that are asked for; none given: any.
 */
extern bool hd_jobs_list_has_kind(const uint32 *kinds, int nkinds, uint32 kind_hash);

/* Heads of the chains in which a line, a kind or a flow of a database hangs. */
extern int32 *hd_jobs_lane_bucket(int32 db, int64 line);
extern int32 *hd_jobs_gate_bucket(int32 db, int64 line);
extern int32 *hd_jobs_kind_bucket(int32 db, uint32 kind_hash);
extern int32 *hd_jobs_flow_bucket(int32 db, uint64 hash);

/* The queue of an entry. */
extern HdJobQueue *hd_jobs_entry_queue(const HdJobEntry *entry);

/*
 * hd_jobs_list_database
 *		Index of a database's slot, made when missing; -1 when all are taken.
 *
 * An extension that is created again gets a slot of its own, since the
 * transaction that did that may yet roll back.
 */
extern int32 hd_jobs_list_database(Oid database, Oid extension);

/*
 * hd_jobs_list_forget_others
 *		Free the slots of extensions that the same database had before.  The
 *		caller has a lock on a table of the extension that keeps others from
 *		dropping it.
 * hd_jobs_list_forget
 *		Free a database's slot with all that belongs to it.
 */
extern void hd_jobs_list_forget_others(int32 db);
extern void hd_jobs_list_forget(int32 db);

/*
 * hd_jobs_list_queue
 *		Index of a queue's slot, made when missing and create is set; -1 when it
 *		is not there or all slots are in use.
 */
extern int32 hd_jobs_list_queue(int32 db, const char *name, bool create);

/*
 * hd_jobs_list_has_queue_slot
 *		Whether one more queue has room without taking it from another.
 */
extern bool hd_jobs_list_has_queue_slot(void);

/*
 * hd_jobs_list_resolve
 *		Make the slots of some queues true: an idle queue's slot may have been
 *		given to another since they were resolved.  A queue for which there is
 *		no room has slot -1.  Resolve again whenever the lock was let go.
 */
extern void hd_jobs_list_resolve(HdJobQueues *queues);

/*
 * hd_jobs_list_window
 *		The part of all from number start on that can have slots at once; false
 *		when there is none.  Who asks for many queues goes through windows.
 */
extern bool hd_jobs_list_window(const HdJobQueues *all, int *start, HdJobQueues *window);

/*
 * hd_jobs_list_find
 *		Index of the entry of a job, or -1.
 */
extern int32 hd_jobs_list_find(int32 db, int64 id);

/*
 * hd_jobs_list_alloc
 *		A new entry for a job of a lane, in state FREE and in no order, or -1 when
 *		the list is full (counted).  The caller sets the state, and has made sure
 *		that the job has no entry.
 */
extern int32 hd_jobs_list_alloc(int32 lane, int64 id);

/*
 * hd_jobs_list_has_room
 *		Whether a lane may have one more entry: it gets at most half of what
 *		others leave, so that a backlog that nobody works off never shuts out the
 *		rest; and the last entries are kept for jobs that are ended or changed.
 */
extern bool hd_jobs_list_has_room(const HdJobLane *lane);

/*
 * hd_jobs_list_restore
 *		The same at a given free index, for leases read back from the ledger.
 */
extern void hd_jobs_list_restore(int32 index, int32 lane, int64 id);

/*
 * hd_jobs_list_free
 *		Give an entry back that is in no order.
 */
extern void hd_jobs_list_free(int32 index);

/*
 * hd_jobs_list_set_gate
 *		Tie an entry to the gate of its key.
 */
extern void hd_jobs_list_set_gate(int32 index, int32 gate);

/*
 * hd_jobs_list_started / hd_jobs_list_stopped
 *		Count an entry as running with its queue, kind and key; no longer.
 */
extern void hd_jobs_list_started(int32 index);
extern void hd_jobs_list_stopped(int32 index);

/*
 * hd_jobs_list_schedule
 *		Note that a row (at, id) was scheduled.
 * hd_jobs_list_lose / hd_jobs_list_has_lost
 *		Note that there is a line which memory does not know; whether there is.
 * hd_jobs_list_search_again
 *		Make the next claims of a database look for everything again.
 */
extern void hd_jobs_list_schedule(int32 db, TimestampTz at, int64 id);
extern void hd_jobs_list_lose(int32 db);
extern bool hd_jobs_list_has_lost(int32 db);
extern void hd_jobs_list_search_again(int32 db);

/*
 * hd_jobs_list_token
 *		A new token for a job whose row carries fence.
 */
extern int64 hd_jobs_list_token(int32 fence);

/*
 * hd_jobs_list_made_token
 *		Whether a token was made in this life of the list, for whatever job.
 */
extern bool hd_jobs_list_made_token(int64 token);

/* The parts of a token: the boot it was made in, and the row's fence (16 bits). */
#define HD_JOB_TOKEN_BOOT(token) ((uint32) (((uint64) (token)) >> 48))
#define HD_JOB_TOKEN_FENCE(token) ((uint16) (((uint64) (token)) >> 32))

#endif /* HD_JOBS_LIST_H */
