/*-------------------------------------------------------------------------
 * tally_tx.c
 *		How many jobs each queue has: what an open transaction changes, and the
 *		triggers that tell it.
 *
 * Model: see tally.h.  Changes stand in one array per backend, with the
 * nesting level of their subtransaction; one that fits is added to the last.
 *
 * Locking: none but what the callers hold.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tally.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/moves.h"
#include "jobs/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_job_tallied);
PG_FUNCTION_INFO_V1(hd_jobs_sql_dead_tallied);

/* Column of _job_dead that has the queue, as sql/jobs.sql numbers them. */
#define DEAD_COL_QUEUE 8

/* A queue that this session has written to; stays for the session. */
typedef struct QueueKey
{
	Oid extension;
	char name[NAMEDATALEN]; /* empty: stands for a truncated table */
} QueueKey;

typedef struct WrittenQueue
{
	QueueKey key;
	int length; /* of the name */
	int32 slot; /* where its numbers were last; -1: unknown */
} WrittenQueue;

typedef struct Change
{
	WrittenQueue *queue;
	int level; /* nesting level of the subtransaction */
	HdTallyChange change;
} Change;

static HTAB *written = NULL;
static WrittenQueue *last_written = NULL;
static Change *changes = NULL;
static int nchanges = 0;
static int max_changes = 0;

static WrittenQueue *
find_queue(Oid extension, const char *name, int length)
{
	QueueKey key = {.extension = extension};
	WrittenQueue *queue = last_written;
	bool found;

	if (queue != NULL && queue->key.extension == extension && queue->length == length &&
		memcmp(queue->key.name, name, length) == 0)
		return queue;
	if (written == NULL)
	{
		HASHCTL control = {.keysize = sizeof(QueueKey), .entrysize = sizeof(WrittenQueue)};

		written = hash_create("hotdash queues written to", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	memcpy(key.name, name, length);
	queue = hash_search(written, &key, HASH_ENTER, &found);
	if (!found)
	{
		queue->length = length;
		queue->slot = -1;
	}
	last_written = queue;
	return queue;
}

/* Add a change to another; false when they have different times. */
static bool
merge(HdTallyChange *to, const HdTallyChange *from)
{
	if (to->timed != 0 && from->timed != 0 && to->at != from->at)
		return false;
	if (from->timed != 0)
		to->at = from->at;
	to->alive += from->alive;
	to->held += from->held;
	to->dead += from->dead;
	to->timed += from->timed;
	return true;
}

static void
grow(void)
{
	int wanted = Max(64, max_changes * 2);

	hd_jobs_moves_watch();
	if (changes == NULL)
		changes = MemoryContextAllocHuge(TopMemoryContext, sizeof(Change) * (Size) wanted);
	else
		changes = repalloc_huge(changes, sizeof(Change) * (Size) wanted);
	max_changes = wanted;
}

static void
record(WrittenQueue *queue, const HdTallyChange *change)
{
	int level = GetCurrentTransactionNestLevel();
	Change *last = (nchanges > 0) ? &changes[nchanges - 1] : NULL;

	if (last != NULL && last->queue == queue && last->level == level &&
		merge(&last->change, change))
		return;
	if (changes == NULL || nchanges == max_changes)
		grow();
	changes[nchanges].queue = queue;
	changes[nchanges].level = level;
	changes[nchanges++].change = *change;
}

static WrittenQueue *
queue_of(Datum name)
{
	text *packed = DatumGetTextPP(name);

	return find_queue(hd_spi_extension(), VARDATA_ANY(packed),
					  Min((int) VARSIZE_ANY_EXHDR(packed), NAMEDATALEN - 1));
}

void
hd_jobs_tally_row(Datum queue, TimestampTz at, bool held, bool shelf, int sign)
{
	HdTallyChange change = {.alive = sign, .at = DT_NOBEGIN};

	if (!hd_settings_preloaded())
		return;
	if (held || TIMESTAMP_IS_NOEND(at))
		change.held = sign;
	else if (shelf)
	{
		change.timed = sign;
		change.at = at;
	}
	record(queue_of(queue), &change);
}

void
hd_jobs_tally_dead_row(Datum queue, int sign)
{
	HdTallyChange change = {.dead = sign, .at = DT_NOBEGIN};

	if (hd_settings_preloaded())
		record(queue_of(queue), &change);
}

void
hd_jobs_tally_truncated(void)
{
	HdTallyChange change = {.at = DT_NOBEGIN};

	if (hd_settings_preloaded())
		record(find_queue(hd_spi_extension(), "", 0), &change);
}

bool
hd_jobs_tally_pending(void)
{
	return nchanges > 0;
}

bool
hd_jobs_tally_own(int i, HdTallyOwn *own)
{
	if (i >= nchanges)
		return false;
	own->queue = (changes[i].queue->length > 0) ? changes[i].queue->key.name : NULL;
	own->extension = changes[i].queue->key.extension;
	own->change = changes[i].change;
	return true;
}

/*
 * Ends of transactions.
 */

/* The slot of an extension of this database, which may be gone by now; -1 when it has none. */
static int32
find_database(Oid extension)
{
	for (int32 i = 0; i < HD_JOB_MAX_DATABASES; i++)
		if (hd_jobs_list->databases[i].database == MyDatabaseId &&
			hd_jobs_list->databases[i].extension == extension)
			return i;
	return -1;
}

/* Add a change to the shared numbers; false when they cannot be kept any more. */
static bool
tell(int32 db, HdTallyVerdict verdict, const Change *change)
{
	WrittenQueue *queue = change->queue;

	if (verdict == HD_TALLY_DROP)
		return true;
	if (verdict == HD_TALLY_LOST)
		return false;
	queue->slot = hd_jobs_tally_get(db, queue->key.name, queue->slot);
	if (queue->slot < 0)
		return false;
	hd_tally_base_add(hd_jobs_tally_base(db), &hd_jobs_tally_slot(queue->slot)->counts, verdict,
					  &change->change);
	return true;
}

void
hd_jobs_tally_commit(void)
{
	uint64 xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	HdTallyVerdict verdict = HD_TALLY_LOST;
	Oid extension = InvalidOid;
	int32 db = -1;

	for (int i = 0; i < nchanges; i++)
	{
		if (changes[i].queue->key.extension != extension)
		{
			extension = changes[i].queue->key.extension;
			db = find_database(extension);
			if (db >= 0)
				verdict = hd_jobs_tally_judge(db, xid);
		}
		if (db < 0 || hd_jobs_tally_base(db)->state == HD_TALLY_UNKNOWN)
			continue;
		if (changes[i].queue->length == 0 || !tell(db, verdict, &changes[i]))
			hd_jobs_tally_forget(db);
	}
}

void
hd_jobs_tally_end(void)
{
	nchanges = 0;
}

void
hd_jobs_tally_hand_up(int level)
{
	int first = nchanges;
	int kept;

	while (first > 0 && changes[first - 1].level >= level)
		changes[--first].level = level - 1;

	/* A loop of savepoints must not leave a change for each. */
	kept = Max(first, 1);
	for (int i = kept; i < nchanges; i++)
	{
		Change *last = &changes[kept - 1];

		if (last->queue != changes[i].queue || last->level != changes[i].level ||
			!merge(&last->change, &changes[i].change))
			changes[kept++] = changes[i];
	}
	nchanges = Min(kept, nchanges);
}

void
hd_jobs_tally_roll_back(int level)
{
	while (nchanges > 0 && changes[nchanges - 1].level >= level)
		nchanges--;
}

/*
 * Triggers.
 */

static const TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("%s can only be called as a trigger", name)));
	return (const TriggerData *) fcinfo->context;
}

static void
tally_tuple(const TriggerData *data, HeapTuple tuple, int sign)
{
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	bool no_hold;
	bool isnull;
	Datum queue = heap_getattr(tuple, HD_JOB_COL_QUEUE, desc, &isnull);
	Datum at = heap_getattr(tuple, HD_JOB_COL_AT, desc, &isnull);
	Datum shelf = heap_getattr(tuple, HD_JOB_COL_SHELF, desc, &isnull);

	(void) heap_getattr(tuple, HD_JOB_COL_HOLD, desc, &no_hold);
	hd_jobs_tally_row(queue, DatumGetTimestampTz(at), !no_hold, DatumGetBool(shelf), sign);
}

static void
tally_dead_tuple(const TriggerData *data, HeapTuple tuple, int sign)
{
	bool isnull;

	hd_jobs_tally_dead_row(heap_getattr(tuple, DEAD_COL_QUEUE, RelationGetDescr(data->tg_relation),
										&isnull),
						   sign);
}

/* What a trigger was fired for, by what its table's rows mean. */
static Datum
tally_event(const TriggerData *data,
			void (*tally)(const TriggerData *data, HeapTuple tuple, int sign))
{
	if (!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		hd_jobs_tally_truncated();
	else
	{
		/* An update brings the row that was before, too. */
		tally(data, data->tg_trigtuple, TRIGGER_FIRED_BY_INSERT(data->tg_event) ? 1 : -1);
		if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
			tally(data, data->tg_newtuple, 1);
	}
	return PointerGetDatum(NULL);
}

/*
 * hd_jobs_sql_job_tallied / hd_jobs_sql_dead_tallied
 *		Triggers of _job and _job_dead: rows were written by SQL, or truncated.
 */
Datum
hd_jobs_sql_job_tallied(PG_FUNCTION_ARGS)
{
	return tally_event(trigger_data(fcinfo, "_job_tallied"), tally_tuple);
}

Datum
hd_jobs_sql_dead_tallied(PG_FUNCTION_ARGS)
{
	return tally_event(trigger_data(fcinfo, "_job_dead_tallied"), tally_dead_tuple);
}
