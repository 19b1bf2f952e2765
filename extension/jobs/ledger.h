/*-------------------------------------------------------------------------
 * ledger.h
 *		Leases in a file that outlives the server's processes.
 *
 * Model: one slot per entry of the list, mapped into the postmaster from a
 * file in the data directory and inherited by every backend.  A crash of a
 * backend, or of all of them, leaves the pages with the kernel, so the next
 * life of shared memory finds every lease as it was: workers go on with
 * their tokens, nothing is claimed twice, and a job whose handler was
 * running inside the server is known and charged.
 *
 * Locking: slots are written under the list's lock.
 *
 * What a crash loses: nothing with the processes; with the machine, what
 * the kernel had not written back (no fsync is done).  Then, and on a
 * promoted standby, which never has the file of its primary, leases are
 * forgotten: jobs become ready at once (those that a key or a concurrency
 * limits when the horizon has passed, see horizon.h), and a token from before
 * is honoured until its job is claimed again.  Each slot carries a checksum, since a
 * process can be killed in the middle of a write.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LEDGER_H
#define HD_JOBS_LEDGER_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/pg_crc32c.h"

/* Why a slot is in use. */
typedef enum HdLedgerUse
{
	HD_LEDGER_FREE,		 /* next: TENTATIVE, HANDLER */
	HD_LEDGER_TENTATIVE, /* claimed by an open transaction; next: HELD, FREE */
	HD_LEDGER_HANDLER,	 /* the same, and its handler runs in the server; next: FREE */
	HD_LEDGER_HELD		 /* claim committed; next: FREE */
} HdLedgerUse;

typedef struct HdLedgerSlot
{
	pg_crc32c crc; /* of all that follows */
	uint8 use;	   /* HdLedgerUse */
	uint8 priority;
	bool bound;
	bool crashed;	/* was running in a server or session that is gone */
	bool cancelled; /* the job is not to be retried: see cancel.h */
	bool handling;	/* its SQL handler runs now, and may be interrupted */
	bool strict;	/* of the gate */
	Oid database;
	Oid extension;
	int64 id;
	int64 token;
	TimestampTz at;
	TimestampTz lease_expires;
	TimestampTz started;
	TimestampTz deadline; /* the lease is not renewed beyond it */
	int32 attempt;		  /* number of this attempt, from 1 */
	uint32 kind_hash;
	uint32 tenant_hash;
	uint64 flow_hash; /* 0: none */
	int64 gate;		  /* number of its key's gate; 0: none */
	char queue[NAMEDATALEN];
	char worker[NAMEDATALEN];
} HdLedgerSlot;

/*
 * hd_jobs_ledger_open
 *		Map the file (made when missing, emptied when it belongs to another
 *		server or to a copy) and put its leases back into the list.
 *
 * Called from the postmaster while shared memory starts, before other
 * processes run.  A file that cannot be made is FATAL with the reason.
 */
extern void hd_jobs_ledger_open(int capacity);

/*
 * hd_jobs_ledger_slot
 *		The slot of an entry, to be read or filled in.
 */
extern HdLedgerSlot *hd_jobs_ledger_slot(int32 index);

/*
 * hd_jobs_ledger_seal
 *		Compute a slot's checksum after it was changed.
 */
extern void hd_jobs_ledger_seal(int32 index);

/*
 * hd_jobs_ledger_clear
 *		Free the slot.
 */
extern void hd_jobs_ledger_clear(int32 index);

#endif /* HD_JOBS_LEDGER_H */
