/*-------------------------------------------------------------------------
 * list.h
 *		Jobs in shared memory: who is next, and who is being worked on.
 *
 * Model: an entry stands for one row of hotdash._job.  Ready entries hang in
 * lanes, one per queue and priority, ordered by (at, id).  A row without an
 * entry is found through the index over shelved rows (_job_shelf): rows are
 * shelved when they are scheduled for later or when the list had no room.
 * Per lane, everything shelved and due up to the cursor has an entry or had
 * one; what commits late below the cursor lowers it again.
 *
 * The table confirms: nothing is done to a job on the word of an entry
 * alone.  What the entries add is exclusion: of all that may end or claim a
 * job only one can move its entry, and an open transaction's move is undone
 * when it rolls back (tx.h).
 *
 * Locking: one LWLock guards everything here, reading included.
 *
 * What a crash loses: this memory.  Rows on the shelf are found through
 * their index; the others by one scan of the table (load.c).  Leases come
 * back from the ledger (ledger.h), a file that outlives the processes.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LIST_H
#define HD_JOBS_LIST_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"

#define HD_JOB_PRIORITIES 10
#define HD_JOB_MAX_DATABASES 64
#define HD_JOB_MAX_PREPARED 32
#define HD_JOB_WAITER_QUEUES 8
#define HD_JOB_WAITER_KINDS 16

/* Leases, in microseconds. */
#define HD_JOB_DEFAULT_LEASE_US (60 * USECS_PER_SEC)
#define HD_JOB_MIN_LEASE_US (100 * 1000)

typedef enum HdJobState
{
	HD_JOB_FREE,	 /* next: RESERVED, READY, LEASED (from the ledger), ENDING */
	HD_JOB_RESERVED, /* row of an open transaction; next: READY, ENDING, FREE */
	HD_JOB_READY,	 /* in its lane; next: CLAIMED, ENDING, FREE */
	HD_JOB_CLAIMED,	 /* by an open transaction; next: LEASED, ENDING, READY */
	HD_JOB_LEASED,	 /* next: ENDING */
	HD_JOB_ENDING	 /* by an open transaction; next: FREE, or the state before */
} HdJobState;

/* All fields are guarded by the module's lock. */
typedef struct HdJobEntry
{
	int64 id;
	TimestampTz at;			   /* orders the lane; the row's column of that name */
	int64 token;			   /* of the claim; 0 while unclaimed */
	TimestampTz lease_expires; /* while claimed or leased */
	int32 hash_next;		   /* chain of the bucket, or of free entries; -1 ends */
	int32 next;				   /* neighbours in the lane while READY; -1 ends */
	int32 prev;
	int32 queue;		 /* index of the queue */
	uint32 kind_hash;	 /* for claims that ask for kinds; the row confirms */
	uint32 tenant_hash;	 /* likewise for sessions bound to a tenant */
	int owner;			 /* pid of the open transaction or bound session, else 0 */
	ItemPointerData tid; /* where the row was last seen */
	uint8 state;		 /* HdJobState */
	uint8 priority;
	bool bound; /* lease ends with the owner's session */
} HdJobEntry;

typedef struct HdJobLane
{
	int32 head; /* -1 when empty */
	int32 tail;
	int32 count;
	int32 reserved;		   /* entries of open transactions that will come into this lane */
	bool shelved;		   /* due rows beyond the cursor may be waiting on the shelf */
	uint32 lowered;		   /* how often the cursor was lowered */
	TimestampTz cursor_at; /* see the header */
	int64 cursor_id;
	TimestampTz next_due; /* earliest shelved row known to lie in the future */
} HdJobLane;

typedef struct HdJobQueue
{
	char name[NAMEDATALEN]; /* empty: slot is free */
	uint32 hash;			/* of the name */
	int32 db;				/* index of the database */
	int32 refs;				/* entries and open transactions that point here */
	int32 running;			/* entries CLAIMED, LEASED, or ENDING after those */
	HdJobLane lanes[HD_JOB_PRIORITIES];
} HdJobQueue;

typedef struct HdJobDatabase
{
	Oid database;  /* InvalidOid: slot is free */
	Oid extension; /* of the CREATE EXTENSION that the entries belong to */
	bool loaded;   /* rows that are not shelved have their entries */
	int nprepared; /* prepared transactions that enqueued; -1: too many to list */
	TransactionId prepared[HD_JOB_MAX_PREPARED];
	uint32 relay;			 /* number of the youngest run that pg_cron started (relay.h) */
	int relay_procno;		 /* its process */
	int relay_runs;			 /* how many of them have not ended */
	TimestampTz relay_until; /* the youngest ends before; 0: it has ended */
} HdJobDatabase;

typedef struct HdJobWaiter
{
	int procno; /* -1: slot is free */
	int32 db;
	bool woken;
	int nqueues;						 /* 0: any queue of the database */
	uint32 queues[HD_JOB_WAITER_QUEUES]; /* hashes of names, since slots may change hands */
	int nkinds;							 /* 0: any kind */
	uint32 kinds[HD_JOB_WAITER_KINDS];
	uint32 tenant; /* hash; 0: any */
} HdJobWaiter;

typedef struct HdJobList
{
	int capacity; /* entries */
	int nbuckets; /* power of two */
	int max_queues;
	int max_waiters;
	uint32 boot; /* tells tokens of this life of the ledger; 15 bits, not 0 */
	uint32 next_token;
	int32 free_head;
	int nfree;
	int nwaiters; /* sessions that wait and were not woken yet */
	int ticker;	  /* process number of whoever runs the ticks, -1 when nobody */
	HdJobDatabase databases[HD_JOB_MAX_DATABASES];
} HdJobList;

/* What a session asks for: queues by name with their slots as last resolved, kinds, tenant. */
typedef struct HdJobQueues
{
	int32 db;
	int n;
	char **names;
	int32 *slots;  /* -1: no room in the table of queues */
	int nkinds;	   /* 0: any kind */
	uint32 *kinds; /* their hashes */
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
 * The parts of the area.  Callers hold the lock.
 */
extern HdJobEntry *hd_jobs_entry(int32 index);
extern HdJobQueue *hd_jobs_queue(int32 index);
extern HdJobWaiter *hd_jobs_waiter(int index);

/*
 * hd_jobs_list_database
 *		Index of a database's slot, made when missing; -1 when all are taken.
 *
 * An extension that is created again gets a slot of its own, since the
 * transaction that did that may yet roll back.  Caller holds the lock
 * exclusively.
 */
extern int32 hd_jobs_list_database(Oid database, Oid extension);

/*
 * hd_jobs_list_forget_others
 *		Free the slots of extensions that the same database had before.  Caller
 *		holds the lock exclusively, and one on a table of the extension that
 *		keeps others from dropping it.
 */
extern void hd_jobs_list_forget_others(int32 db);

/*
 * hd_jobs_list_forget
 *		Free a database's slot with all its entries and queues, for a database
 *		that was dropped.  Caller holds the lock exclusively.
 */
extern void hd_jobs_list_forget(int32 db);

/*
 * hd_jobs_list_queue
 *		Index of a queue's slot, made when missing and create is set; -1 when it
 *		is not there or all slots are in use.  Caller holds the lock, exclusively
 *		when create is set.
 */
extern int32 hd_jobs_list_queue(int32 db, const char *name, bool create);

/*
 * hd_jobs_list_resolve
 *		Make the slots of some queues true: an idle queue's slot may have been
 *		given to another since they were resolved.  A queue for which there is
 *		no room has slot -1.  Caller holds the lock
 *		exclusively, and must resolve again whenever it has let go of it.
 */
extern void hd_jobs_list_resolve(HdJobQueues *queues);

/*
 * hd_jobs_list_window
 *		The part of all from number start on that can have slots at once; false
 *		when there is none.  Who asks for many queues goes through windows.
 */
extern bool hd_jobs_list_window(const HdJobQueues *all, int *start, HdJobQueues *window);

/*
 * hd_jobs_list_name_hash
 *		Hash of a queue's name.
 */
extern uint32 hd_jobs_list_name_hash(const char *name);

/*
 * hd_jobs_list_tenant_hash
 *		Hash of a tenant, as entries carry it; never 0.
 */
extern uint32 hd_jobs_list_tenant_hash(const char *tenant, int length);

/*
 * hd_jobs_list_find
 *		Index of the entry of a job, or -1.  Caller holds the lock.
 */
extern int32 hd_jobs_list_find(int32 db, int64 id);

/*
 * hd_jobs_list_alloc
 *		A new entry for (queue, id), in state FREE and in no lane, or -1 when the
 *		list is full (counted).  Caller holds the lock exclusively, sets the
 *		state, and has made sure that the job has no entry.
 */
extern int32 hd_jobs_list_alloc(int32 queue, int64 id);

/*
 * hd_jobs_list_has_room
 *		Whether a ready job of the lane may have an entry: a lane gets at most
 *		half of what others leave, so that a backlog that nobody works off never
 *		shuts out the rest; and the last entries are kept for jobs that are ended
 *		or changed.  Caller holds the lock.
 */
extern bool hd_jobs_list_has_room(const HdJobLane *lane);

/*
 * hd_jobs_list_restore
 *		The same at a given free index, for leases read back from the ledger.
 */
extern void hd_jobs_list_restore(int32 index, int32 queue, int64 id);

/*
 * hd_jobs_list_free
 *		Give an entry back that is in no lane.  Caller holds the lock exclusively.
 */
extern void hd_jobs_list_free(int32 index);

/*
 * hd_jobs_list_push / hd_jobs_list_unlink
 *		Put an entry into its lane in order, as READY; take it out again.
 *		Caller holds the lock exclusively.
 */
extern void hd_jobs_list_push(int32 index);
extern void hd_jobs_list_unlink(int32 index);

/*
 * hd_jobs_list_shelve
 *		Note that a row (at, id) of a lane is on the shelf.  now decides whether
 *		it is due.  Caller holds the lock exclusively.
 */
extern void hd_jobs_list_shelve(int32 queue, int priority, TimestampTz at, int64 id,
								TimestampTz now);

/*
 * hd_jobs_list_reset_lanes
 *		Make the next claims of a database look at the whole shelf again.
 *		Caller holds the lock exclusively.
 */
extern void hd_jobs_list_reset_lanes(int32 db);

/*
 * hd_jobs_list_first
 *		The first entry of a lane whose kind is asked for, or -1.  Caller holds
 *		the lock.
 */
extern int32 hd_jobs_list_first(const HdJobLane *lane, const HdJobQueues *wanted);

/*
 * hd_jobs_list_wake
 *		Wake one session that waits for the entry's queue and kind.
 * hd_jobs_list_wake_any
 *		Wake up to n sessions that wait for a queue, whatever the kind.
 *		Caller holds the lock exclusively.
 */
extern void hd_jobs_list_wake(int32 index);
extern void hd_jobs_list_wake_any(int32 queue, int n);

/*
 * hd_jobs_list_wake_database
 *		Wake all sessions that wait in a database, to look again.  Caller holds
 *		the lock exclusively.
 */
extern void hd_jobs_list_wake_database(int32 db);

/*
 * hd_jobs_list_token
 *		A new token for a job whose row carries fence.  Caller holds the lock
 *		exclusively.
 */
extern int64 hd_jobs_list_token(int32 fence);

/* The parts of a token: the boot it was made in, and the row's fence (16 bits). */
#define HD_JOB_TOKEN_BOOT(token) ((uint32) (((uint64) (token)) >> 48))
#define HD_JOB_TOKEN_FENCE(token) ((uint16) (((uint64) (token)) >> 32))

#endif /* HD_JOBS_LIST_H */
