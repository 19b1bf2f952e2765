/*-------------------------------------------------------------------------
 * table.h
 *		Rows of hotdash._job and its history, without planner and executor.
 *
 * Purpose: what is done to every job: insert, fetch by place, read columns,
 * delete by place, file in the history (history.h).  Everything rarer goes
 * through SPI.
 *
 * Model: a handle opens the table with its indexes for one call of a
 * function.  No permission is checked here: the SQL function's EXECUTE right
 * is the check.  Row security does not bind the extension's owner, and no
 * trigger fires: what they are for is done here (tally.h) and by tx.c.
 *
 * Locking: RowExclusiveLock on the table until the transaction ends, where
 * not said otherwise.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_TABLE_H
#define HD_JOBS_TABLE_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Columns of hotdash._job, in the order of sql/jobs.sql. */
typedef enum HdJobColumn
{
	HD_JOB_COL_ID = 1,
	HD_JOB_COL_AT,
	HD_JOB_COL_ENQUEUED_AT,
	HD_JOB_COL_FENCE,
	HD_JOB_COL_PRIORITY,
	HD_JOB_COL_ATTEMPT,
	HD_JOB_COL_MAX_ATTEMPTS,
	HD_JOB_COL_SHELF,
	HD_JOB_COL_QUEUE,
	HD_JOB_COL_KIND,
	HD_JOB_COL_TENANT,
	HD_JOB_COL_EXPIRES_AT,
	HD_JOB_COL_LINE,
	HD_JOB_COL_LINE_AT,
	HD_JOB_COL_TIMEOUT,
	HD_JOB_COL_HOLD,
	HD_JOB_COL_AWAITED,
	HD_JOB_COL_BATCH,
	HD_JOB_COL_UNIQUE_KEY,
	HD_JOB_COL_ORDER_KEY,
	HD_JOB_COL_FLOW,
	HD_JOB_COL_BACKOFF,
	HD_JOB_COL_TAGS,
	HD_JOB_COL_TRACEPARENT,
	HD_JOB_COL_LAST_ERROR,
	HD_JOB_COL_PAYLOAD,
	HD_JOB_COL_COUNT = HD_JOB_COL_PAYLOAD
} HdJobColumn;

/* Columns of hotdash._job_history, likewise. */
typedef enum HdJobHistoryColumn
{
	HD_JOB_HISTORY_ID = 1,
	HD_JOB_HISTORY_ENQUEUED_AT,
	HD_JOB_HISTORY_STARTED_AT,
	HD_JOB_HISTORY_FINISHED_AT,
	HD_JOB_HISTORY_CPU,
	HD_JOB_HISTORY_WAL,
	HD_JOB_HISTORY_PART,
	HD_JOB_HISTORY_PRIORITY,
	HD_JOB_HISTORY_ATTEMPT,
	HD_JOB_HISTORY_MAX_ATTEMPTS,
	HD_JOB_HISTORY_STATE,
	HD_JOB_HISTORY_KIND,
	HD_JOB_HISTORY_QUEUE,
	HD_JOB_HISTORY_TENANT,
	HD_JOB_HISTORY_WORKER,
	HD_JOB_HISTORY_UNIQUE_KEY,
	HD_JOB_HISTORY_ORDER_KEY,
	HD_JOB_HISTORY_TAGS,
	HD_JOB_HISTORY_RESULT,
	HD_JOB_HISTORY_COUNT = HD_JOB_HISTORY_RESULT
} HdJobHistoryColumn;

/* Columns of hotdash._job_attempt, likewise. */
typedef enum HdJobAttemptColumn
{
	HD_JOB_ATTEMPT_JOB = 1,
	HD_JOB_ATTEMPT_STARTED_AT,
	HD_JOB_ATTEMPT_FINISHED_AT,
	HD_JOB_ATTEMPT_CPU,
	HD_JOB_ATTEMPT_WAL,
	HD_JOB_ATTEMPT_PART,
	HD_JOB_ATTEMPT_NUMBER,
	HD_JOB_ATTEMPT_OUTCOME,
	HD_JOB_ATTEMPT_TENANT,
	HD_JOB_ATTEMPT_WORKER,
	HD_JOB_ATTEMPT_TRACEPARENT,
	HD_JOB_ATTEMPT_ERROR,
	HD_JOB_ATTEMPT_COUNT = HD_JOB_ATTEMPT_ERROR
} HdJobAttemptColumn;

/* Values to insert, indexed by column number minus one; of _job unless said otherwise. */
typedef struct HdJobRow
{
	Datum values[HD_JOB_COL_COUNT];
	bool nulls[HD_JOB_COL_COUNT];
} HdJobRow;

/* What an attempt took that ran in this server. */
typedef struct HdJobCost
{
	int64 cpu_us; /* user and system time of the process */
	int64 wal_bytes;
} HdJobCost;

typedef struct HdJobTable
{
	Relation rel;
	TupleTableSlot *slot;
	BlockNumber nblocks; /* it has at least so many: the handle's lock keeps it from shrinking */
	EState *estate;		 /* NULL when opened for reading and deleting only */
	ResultRelInfo *info;
	struct HdJobParts *parts;	/* of the history: opened at first use, closed with this */
	const HdJobCost *cost;		/* of the attempt that is being ended; NULL where unknown */
	struct HdJobEnds *ends;		/* ended jobs that others wait for (after.h); NULL: none */
	struct HdJobDeaths *deaths; /* dead jobs to tell of (watch.h); NULL: none */
	bool gathers;				/* rows of the history are inserted together, see gather */
	TupleTableSlot **gathered;	/* rows that are not inserted yet; NULL: each is at once */
	int ngathered;
} HdJobTable;

/*
 * hd_jobs_table_open / hd_jobs_table_close
 *		writes: whether rows will be inserted, which needs the indexes.
 */
extern void hd_jobs_table_open(HdJobTable *table, bool writes);
extern void hd_jobs_table_close(HdJobTable *table);

/*
 * hd_jobs_table_open_reading
 *		The same to read alone, with AccessShareLock: for views.
 */
extern void hd_jobs_table_open_reading(HdJobTable *table);

/*
 * hd_jobs_table_gather
 *		Insert rows into the history together from here on, at the latest when the
 *		handle is closed.  For calls that end many jobs; nothing in between may
 *		roll back a subtransaction or look for what was put there.
 * hd_jobs_table_flush
 *		Insert what another table has gathered.
 */
extern void hd_jobs_table_gather(HdJobTable *table);
extern void hd_jobs_table_flush(HdJobTable *other);

/*
 * hd_jobs_table_insert
 *		Insert a row; its place goes to *tid.
 */
extern void hd_jobs_table_insert(HdJobTable *table, HdJobRow *row, ItemPointer tid);

/*
 * hd_jobs_table_open_other / hd_jobs_table_put
 *		Open another table for inserting; false when there is none (any more).
 *		Insert a row of n columns into it.
 */
extern bool hd_jobs_table_open_other(HdJobTable *table, Oid relid);
extern void hd_jobs_table_put(HdJobTable *table, const Datum *values, const bool *nulls, int n);

/*
 * hd_jobs_table_fetch
 *		Bring the row at a place into table->slot, if it is visible as of now and
 *		is the job of that id.  False when not.  The slot's contents are valid
 *		until the next fetch.
 */
extern bool hd_jobs_table_fetch(HdJobTable *table, ItemPointer tid, int64 id);

/*
 * hd_jobs_table_find
 *		The same by id alone, through the primary key; *tid gets the place.
 */
extern bool hd_jobs_table_find(HdJobTable *table, int64 id, ItemPointer tid);

/*
 * hd_jobs_table_delete
 *		Delete the row at a place, which is in table->slot.  False when somebody
 *		else changed or deleted it first; waits for an open transaction that has.
 */
extern bool hd_jobs_table_delete(HdJobTable *table, ItemPointer tid);

/*
 * hd_jobs_table_try_lock
 *		Lock the row at a place for deletion, without waiting.  False when an
 *		open transaction has it, or somebody changed it; the slot is empty then.
 */
extern bool hd_jobs_table_try_lock(HdJobTable *table, ItemPointer tid);

/*
 * hd_jobs_table_column
 *		A column of the row in the slot; *isnull may be NULL for columns that are
 *		NOT NULL.
 */
extern Datum hd_jobs_table_column(HdJobTable *table, HdJobColumn column, bool *isnull);

/*
 * hd_jobs_table_of_tenant
 *		Whether this session may see the row in the slot: any, unless
 *		hotdash.tenant binds it to one tenant.
 */
extern bool hd_jobs_table_of_tenant(HdJobTable *table);

/* A text column as a C string in the current context; NULL when null. */
extern char *hd_jobs_table_text(HdJobTable *table, HdJobColumn column);

#endif /* HD_JOBS_TABLE_H */
