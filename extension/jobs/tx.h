/*-------------------------------------------------------------------------
 * tx.h
 *		What an open transaction does to the list, until it commits or not.
 *
 * Model: each move of an entry is recorded with the nesting level of its
 * subtransaction.  Commit of the top transaction makes the moves final (and
 * wakes waiters), a rollback undoes them, newest first, also to a savepoint.
 * Commit callbacks cannot fail: all memory they need is taken beforehand.
 *
 * Two-phase commit: PREPARE after a claim or an end raises 0A000.  Rows that
 * a prepared transaction enqueued are put into their lines before PREPARE, and
 * its id is noted, since no callback tells of COMMIT PREPARED; claims look
 * for everything again when the id is gone (load.h).
 *
 * Locking: takes the list's lock; callers must not hold it.  All functions
 * need preload; callers check that first.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TX_H
#define HD_JOBS_TX_H

#include "postgres.h"

#include "jobs/list.h"
#include "jobs/place.h"
#include "storage/itemptr.h"
#include "utils/timestamp.h"

/* How a claim is to be held. */
typedef struct HdJobHold
{
	const char *worker; /* name for views; at most NAMEDATALEN - 1 bytes are kept */
	TimestampTz now;
	TimestampTz expires;
	TimestampTz deadline; /* beyond which the lease is not renewed; DT_NOEND: none */
	bool bound;			  /* ends with this session */
	bool handler;		  /* runs inside this server, in this transaction */
} HdJobHold;

/*
 * hd_jobs_tx_reserve
 *		Room in the list for a row that is being enqueued, due at once.
 *
 * Returns false when the row has to wait in its line: no room, or older rows
 * of the line are there, which must come first.  The caller inserts the row
 * and then tells its place with hd_jobs_tx_place, or with hd_jobs_tx_wait.
 */
extern bool hd_jobs_tx_reserve(const HdJobPlace *place, int64 id, TimestampTz at);
extern void hd_jobs_tx_place(int64 id, ItemPointer tid);

/*
 * hd_jobs_tx_wait
 *		Note that this transaction put a row into its line without an entry;
 *		scheduled: it is also found by its time (_job.shelf).
 */
extern void hd_jobs_tx_wait(const HdJobPlace *place, int64 id, TimestampTz at, bool scheduled);

/*
 * hd_jobs_tx_claim
 *		Move the next ready entries, at most n, from the lanes that are asked for
 *		into this transaction's hands; their indexes go to taken.  Returns how
 *		many.  Lower priority numbers first, then the oldest; ordered: none of a
 *		priority while rows of an earlier one wait in the table alone.
 */
extern int hd_jobs_tx_claim(HdJobQueues *queues, int n, bool ordered, int32 *taken);

/*
 * hd_jobs_tx_hold
 *		Give a claimed entry its token and lease, once its row was confirmed.
 *
 * fence, attempt: of the row (attempt counts from 1).  Returns the token.
 */
extern int64 hd_jobs_tx_hold(int32 index, int32 fence, int attempt, ItemPointer tid,
							 const HdJobHold *hold);

/*
 * hd_jobs_tx_drop
 *		A claimed entry's row is gone or is not due: forget the entry, at once.
 *
 * at: when the row is due (then it is scheduled), DT_NOBEGIN when it is gone.
 */
extern void hd_jobs_tx_drop(int32 index, TimestampTz at);

/*
 * hd_jobs_tx_unclaim
 *		Put a claimed entry back into its lane at once.
 */
extern void hd_jobs_tx_unclaim(int32 index);

/*
 * hd_jobs_tx_end
 *		Take the entry of a job that is claimed under token into this
 *		transaction's hands, to end the claim.  Returns its index; -1 when the
 *		token is stale or another transaction is ending it.
 *
 * A job without a lease under a token of an earlier boot gets an entry of
 * its own: the caller must confirm the token's fence against the row.  Its
 * place for that comes from the row, so it is a second call: hd_jobs_tx_adopt.
 */
extern int32 hd_jobs_tx_end(int64 id, int64 token);
extern bool hd_jobs_tx_from_earlier_boot(int64 token);
extern int32 hd_jobs_tx_adopt(int64 id, const HdJobPlace *place, ItemPointer tid);

/*
 * hd_jobs_tx_seize
 *		Take a job that is not claimed into this transaction's hands, to change
 *		or end it.  Returns HD_JOB_SEIZED, or why not; raises 54000 when the list
 *		has no room for it.
 */
typedef enum HdJobSeizure
{
	HD_JOB_SEIZED,	/* *index has it */
	HD_JOB_RUNNING, /* claimed or leased */
	HD_JOB_BUSY		/* another open transaction is ending it */
} HdJobSeizure;

extern HdJobSeizure hd_jobs_tx_seize(int64 id, const HdJobPlace *place, int32 *index);

/*
 * hd_jobs_tx_release
 *		What is being ended goes back to its lane at commit instead, uncharged.
 */
extern void hd_jobs_tx_release(int32 index);

/*
 * hd_jobs_tx_let_go
 *		What is being ended goes back at once to what it was.
 */
extern void hd_jobs_tx_let_go(int32 index);

/*
 * hd_jobs_tx_loaded
 *		At commit, all rows of a database are in the list or on the shelf.
 * hd_jobs_tx_wake
 *		At commit, all sessions of this database that wait look again.
 * hd_jobs_tx_removed
 *		At commit, claims look again at what waited for rows that are gone.
 */
extern void hd_jobs_tx_loaded(int32 db);
extern void hd_jobs_tx_wake(void);
extern void hd_jobs_tx_removed(void);

/*
 * hd_jobs_tx_lease
 *		What the list knows of the claim that this transaction is ending: times,
 *		worker.  False when the job had no lease.
 */
typedef struct HdJobLease
{
	TimestampTz started;
	char worker[NAMEDATALEN];
	bool crashed;	/* its server or session is gone */
	bool cancelled; /* job_cancel asked for its end */
} HdJobLease;

extern bool hd_jobs_tx_lease(int32 index, HdJobLease *lease);

/*
 * hd_jobs_tx_expired
 *		Take up to n leases that ended before now; their indexes go to taken.
 */
extern int hd_jobs_tx_expired(TimestampTz now, int32 *taken, int n);

/*
 * hd_jobs_tx_has_left
 *		Whether a database may have bound leases whose session has left.
 */
extern bool hd_jobs_tx_has_left(int32 db);

/*
 * hd_jobs_tx_flow_changed
 *		This transaction changed the limits of a flow, by the hash of its name, or
 *		of HD_JOB_ALL_FLOWS (notes.h).
 */
extern void hd_jobs_tx_flow_changed(uint64 hash);

#endif /* HD_JOBS_TX_H */
