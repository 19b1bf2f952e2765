/*-------------------------------------------------------------------------
 * counts.c
 *		How many clocks there are, by what became of them and when.
 *
 * Model and locking: counts.h.  Differences that are not written yet belong
 * to a statement that is under way.  They carry the subtransaction that it
 * runs in: a trigger of that statement may run others in subtransactions,
 * which come back or do not.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/counts.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The application's advisory locks have class 1 (one key) or 2 (two keys). */
#define LOCK_CLASS 0x4845

#define QUARTER_US (15 * USECS_PER_MINUTE)

/* The last quarter that there is. */
#define LAST_QUARTER (END_TIMESTAMP - QUARTER_US)

/* Not counted; counted, but not at a time. */
#define NOWHERE DT_NOBEGIN
#define NO_QUARTER DT_NOEND

/* Deltas are written when there are so many, at the latest; room is made for few at first. */
#define MAX_PENDING 16384
#define FIRST_PENDING 64
#define HEADS 4096

/* Blocks of deltas folded with one statement, and how many deltas with one call. */
#define FOLD_BLOCKS 128
#define FOLD_ROWS 10000

/* Clocks deleted with one call. */
#define RETIRE_ROWS 1000

/* Columns of hotdash._sla_clock that matter, as numbered in sql/sla.sql. */
enum
{
	COL_STARTED_AT = 2,
	COL_CLOSED_AT = 4,
	COL_BREACHED_AT = 6,
	COL_POLICY = 11,
	COL_STATE = 20,
	COL_METRIC,
	COL_PRIORITY,
	COL_TENANT
};

/* What is counted, in the order of the columns of hotdash._sla_delta. */
typedef enum Count
{
	COUNT_STARTED,
	COUNT_MET,	/* in time */
	COUNT_LATE, /* met, but late */
	COUNT_BREACHED,
	COUNT_CANCELED,
	COUNT_CANCELED_LATE, /* of these, after the breach */
	COUNT_PAUSED,
	COUNTS
} Count;

/* Columns of hotdash._sla_delta. */
enum
{
	DELTA_BUCKET,
	DELTA_COUNTS,
	DELTA_POLICY = DELTA_COUNTS + COUNTS,
	DELTA_GONE,
	DELTA_METRIC,
	DELTA_TENANT,
	DELTA_PRIORITY,
	DELTA_COLUMNS
};

typedef struct Key
{
	uint32 hash;
	int32 policy;
	text *metric;
	text *tenant;
	text *priority;
} Key;

/* What a row counts as: the quarter for each count, NOWHERE or NO_QUARTER. */
typedef struct Counted
{
	Key key;
	TimestampTz at[COUNTS];
} Counted;

typedef struct Delta
{
	uint32 hash; /* of all that tells it from others */
	int next;	 /* in the chain of its hash, -1: none */
	SubTransactionId by;
	bool gone; /* of clocks that retention has deleted */
	Key key;
	TimestampTz at;
	int64 n[COUNTS];
} Delta;

PG_FUNCTION_INFO_V1(hd_sla_sql_counted);
PG_FUNCTION_INFO_V1(hd_sla_sql_counts_tick);

static int retention = 400 * 24 * 60; /* minutes */

static MemoryContext texts = NULL; /* of pending deltas */
static Delta *pending = NULL;
static int npending = 0;
static int allocated = 0;
static int heads[HEADS]; /* of chains, plus one */

/* Rows that are being deleted are gone, but stay counted. */
static bool retiring = false;

/* Where the next call goes on folding, in this session. */
static BlockNumber fold_from = 0;

static HdSpiPlan truncated_plan = {
	.sql =
		"INSERT INTO hotdash._sla_delta (policy, gone, metric, tenant, priority, bucket, started, "
		"met, late, breached, canceled, canceled_late, paused) "
		"SELECT c.policy, false, c.metric, c.tenant, c.priority, c.bucket, -c.started, -c.met, "
		"-c.late, -c.breached, -c.canceled, -c.canceled_late, -c.paused "
		"FROM hotdash._sla_counts_live() AS c",
};

static HdSpiPlan fold_plan = {
	.sql = "SELECT hotdash._sla_fold($1, $2)",
	.nargs = 2,
	.argtypes = {TIDOID, TIDOID},
};

static HdSpiPlan retire_plan = {
	.sql = "SELECT hotdash._sla_retire($1, $2)",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
};

/*
 * What a row counts as
 */

static TimestampTz
quarter_of(TimestampTz at)
{
	int64 past = at % QUARTER_US;

	if (TIMESTAMP_IS_NOBEGIN(at))
		return MIN_TIMESTAMP;
	if (TIMESTAMP_IS_NOEND(at))
		return LAST_QUARTER;
	return at - (past < 0 ? past + QUARTER_US : past);
}

static bool
time_of(TupleTableSlot *row, int column, TimestampTz *quarter)
{
	bool isnull;
	Datum at = slot_getattr(row, column, &isnull);

	if (!isnull)
		*quarter = quarter_of(DatumGetTimestampTz(at));
	return !isnull;
}

static text *
text_of(TupleTableSlot *row, int column)
{
	bool isnull;

	return DatumGetTextPP(slot_getattr(row, column, &isnull));
}

static uint32
text_hash(uint32 hash, const text *value)
{
	return hash_combine(hash, hash_bytes((const unsigned char *) VARDATA_ANY(value),
										 VARSIZE_ANY_EXHDR(value)));
}

static bool
text_is(const text *value, const char *what)
{
	return VARSIZE_ANY_EXHDR(value) == strlen(what) &&
		   memcmp(VARDATA_ANY(value), what, strlen(what)) == 0;
}

static void
counted_as(TupleTableSlot *row, Counted *counted)
{
	Key *key = &counted->key;
	text *state = text_of(row, COL_STATE);
	TimestampTz *at = counted->at;
	TimestampTz closed;
	bool breached;
	bool isnull;

	key->policy = DatumGetInt32(slot_getattr(row, COL_POLICY, &isnull));
	key->metric = text_of(row, COL_METRIC);
	key->tenant = text_of(row, COL_TENANT);
	key->priority = text_of(row, COL_PRIORITY);
	key->hash = text_hash(text_hash(text_hash((uint32) key->policy, key->metric), key->tenant),
						  key->priority);

	for (int i = 0; i < COUNTS; i++)
		at[i] = NOWHERE;
	(void) time_of(row, COL_STARTED_AT, &at[COUNT_STARTED]);
	breached = time_of(row, COL_BREACHED_AT, &at[COUNT_BREACHED]);
	if (text_is(state, "paused"))
		at[COUNT_PAUSED] = NO_QUARTER;
	if (!time_of(row, COL_CLOSED_AT, &closed))
		return;
	if (!text_is(state, "canceled"))
		at[breached ? COUNT_LATE : COUNT_MET] = closed;
	else
	{
		at[COUNT_CANCELED] = closed;
		if (breached)
			at[COUNT_CANCELED_LATE] = closed;
	}
}

/*
 * Deltas of the statement that is under way
 */

static bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static bool
same_key(const Key *a, const Key *b)
{
	return a->hash == b->hash && a->policy == b->policy && same_text(a->metric, b->metric) &&
		   same_text(a->tenant, b->tenant) && same_text(a->priority, b->priority);
}

static text *
keep_text(const text *value)
{
	return cstring_to_text_with_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
link_delta(int i)
{
	int *head = &heads[pending[i].hash % HEADS];

	pending[i].next = *head - 1;
	*head = i + 1;
}

/* Forget those of subtransaction by, or all; rarely is there another. */
static void
drop_deltas(SubTransactionId by)
{
	int kept = 0;

	for (int i = 0; i < npending; i++)
		heads[pending[i].hash % HEADS] = 0;
	for (int i = 0; i < npending; i++)
	{
		if (by == InvalidSubTransactionId || pending[i].by == by)
			continue;
		pending[kept] = pending[i];
		link_delta(kept++);
	}
	npending = kept;
	if (npending > 0)
		return;
	MemoryContextReset(texts);
	if (allocated > FIRST_PENDING)
	{
		pfree(pending);
		pending = NULL;
	}
}

static void
insert_delta(Relation rel, TupleTableSlot *slot, const Delta *delta)
{
	Datum *values = slot->tts_values;
	bool *nulls = slot->tts_isnull;
	bool any = false;

	ExecClearTuple(slot);
	memset(nulls, false, DELTA_COLUMNS);
	values[DELTA_BUCKET] = TimestampTzGetDatum(delta->at);
	nulls[DELTA_BUCKET] = (delta->at == NO_QUARTER);
	for (int i = 0; i < COUNTS; i++)
	{
		values[DELTA_COUNTS + i] = Int64GetDatum(delta->n[i]);
		nulls[DELTA_COUNTS + i] = (delta->n[i] == 0);
		any |= (delta->n[i] != 0);
	}
	if (!any)
		return;
	values[DELTA_POLICY] = Int32GetDatum(delta->key.policy);
	values[DELTA_GONE] = BoolGetDatum(delta->gone);
	values[DELTA_METRIC] = PointerGetDatum(delta->key.metric);
	values[DELTA_TENANT] = PointerGetDatum(delta->key.tenant);
	values[DELTA_PRIORITY] = PointerGetDatum(delta->key.priority);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
}

/* Write the deltas of the statement's subtransaction. */
static void
flush(void)
{
	static HdSpiRelation delta_relation = {.name = "_sla_delta"};
	SubTransactionId by = GetCurrentSubTransactionId();
	TupleTableSlot *slot;
	Relation rel;

	if (npending == 0)
		return;
	rel = table_open(hd_spi_relation(&delta_relation), RowExclusiveLock);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	for (int i = 0; i < npending; i++)
	{
		if (pending[i].by == by)
			insert_delta(rel, slot, &pending[i]);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	drop_deltas(by);
}

static void
make_room(void)
{
	if (npending >= MAX_PENDING)
		flush();
	if (texts == NULL)
		texts = AllocSetContextCreate(TopMemoryContext, "hotdash sla counts", ALLOCSET_SMALL_SIZES);
	if (pending == NULL)
	{
		pending = MemoryContextAlloc(TopMemoryContext, FIRST_PENDING * sizeof(Delta));
		allocated = FIRST_PENDING;
	}
	else if (npending == allocated)
	{
		pending = repalloc_huge(pending, 2 * allocated * sizeof(Delta));
		allocated *= 2;
	}
}

static Delta *
add_delta(const Delta *like)
{
	MemoryContext caller;
	Delta *delta;

	make_room();
	delta = &pending[npending];
	*delta = *like;
	caller = MemoryContextSwitchTo(texts);
	delta->key.metric = keep_text(like->key.metric);
	delta->key.tenant = keep_text(like->key.tenant);
	delta->key.priority = keep_text(like->key.priority);
	MemoryContextSwitchTo(caller);
	link_delta(npending++);
	return delta;
}

static Delta *
delta_of(const Key *key, TimestampTz at, bool gone)
{
	Delta like = {.by = GetCurrentSubTransactionId(), .gone = gone, .key = *key, .at = at};

	like.hash = hash_combine(key->hash, (uint32) (at / QUARTER_US) + gone);
	for (int i = heads[like.hash % HEADS] - 1; i >= 0; i = pending[i].next)
	{
		Delta *delta = &pending[i];

		if (delta->at == at && delta->by == like.by && delta->gone == gone &&
			same_key(&delta->key, key))
			return delta;
	}
	return add_delta(&like);
}

static void
count(const Counted *counted, Count what, bool gone, int sign)
{
	if (counted->at[what] != NOWHERE)
		delta_of(&counted->key, counted->at[what], gone)->n[what] += sign;
}

/*
 * The trigger
 */

static void
row_came_or_went(const Counted *counted, int sign)
{
	for (Count what = 0; what < COUNTS; what++)
	{
		count(counted, what, false, sign);
		if (retiring)
			count(counted, what, true, 1);
	}
}

static void
row_changed(const Counted *before, const Counted *after)
{
	bool same = same_key(&before->key, &after->key);

	for (Count what = 0; what < COUNTS; what++)
	{
		if (same && before->at[what] == after->at[what])
			continue;
		count(before, what, false, -1);
		count(after, what, false, 1);
	}
}

static void
row_written(const TriggerData *trigger)
{
	Counted row;
	Counted after;

	counted_as(trigger->tg_trigslot, &row);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		counted_as(trigger->tg_newslot, &after);
		row_changed(&row, &after);
	}
	else
		row_came_or_went(&row, TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? 1 : -1);
}

/* Nobody can be writing clocks: all that was counted is in the two tables. */
static void
truncated(void)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run_latest(&truncated_plan, NULL, NULL);
	hd_spi_end(&spi);
}

/*
 * hd_sla_sql_counted
 *		SQL: triggers of _sla_clock: after each row, after each statement that may
 *		have changed some, after TRUNCATE.
 */
Datum
hd_sla_sql_counted(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_sla_counted can only be called as a trigger after a change")));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		row_written(trigger);
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		truncated();
	else
		flush();
	return PointerGetDatum(NULL);
}

/*
 * The tick
 */

static bool
retire(void)
{
	TimestampTz before = hd_clock_now() - retention * USECS_PER_MINUTE;
	Datum values[] = {TimestampTzGetDatum(before), Int32GetDatum(RETIRE_ROWS)};
	int64 rows = 0;
	HdSpi spi;

	hd_spi_begin(&spi);
	retiring = true;
	PG_TRY();
	{
		hd_spi_run(&retire_plan, values, NULL, false, 0);
		rows = DatumGetInt64(hd_spi_result(0, 1));
	}
	PG_FINALLY();
	{
		retiring = false;
	}
	PG_END_TRY();
	hd_spi_end(&spi);
	return rows >= RETIRE_ROWS;
}

static BlockNumber
delta_blocks(void)
{
	static HdSpiRelation delta_relation = {.name = "_sla_delta"};
	Relation rel = table_open(hd_spi_relation(&delta_relation), AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, AccessShareLock);
	return blocks;
}

static int64
fold_blocks(BlockNumber first, BlockNumber next)
{
	ItemPointerData from;
	ItemPointerData until;
	Datum values[] = {PointerGetDatum(&from), PointerGetDatum(&until)};

	ItemPointerSet(&from, first, 0);
	ItemPointerSet(&until, next, 0);
	hd_spi_run(&fold_plan, values, NULL, false, 0);
	return DatumGetInt64(hd_spi_result(0, 1));
}

static bool
fold(void)
{
	BlockNumber blocks = delta_blocks();
	int64 rows = 0;
	bool more;
	LOCKTAG tag;
	HdSpi spi;

	if (fold_from >= blocks)
		fold_from = 0;
	if (blocks == 0)
		return false;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) hd_spi_extension(), 0, LOCK_CLASS);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;

	hd_spi_begin(&spi);
	while (fold_from < blocks && rows < FOLD_ROWS)
	{
		BlockNumber next = Min(fold_from + FOLD_BLOCKS, blocks);

		rows += fold_blocks(fold_from, next);
		fold_from = next;
	}
	hd_spi_end(&spi);
	more = fold_from < blocks;
	if (!more)
		fold_from = 0;
	return more;
}

bool
hd_sla_counts_tick(void)
{
	bool more;

	/* What others deleted or folded since would be an error to an older snapshot. */
	if (IsolationUsesXactSnapshot())
		return false;
	more = retire();
	return fold() || more;
}

/*
 * hd_sla_sql_counts_tick
 *		SQL: _sla_counts_tick() -> bool.
 */
Datum
hd_sla_sql_counts_tick(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hd_sla_counts_tick());
}

/*
 * The end of transactions
 */

static void
transaction_ended(XactEvent event, void *arg)
{
	if (npending > 0 && (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT))
		drop_deltas(InvalidSubTransactionId);
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (npending > 0 && event == SUBXACT_EVENT_ABORT_SUB)
		drop_deltas(mine);
}

void
hd_sla_counts_define(void)
{
	DefineCustomIntVariable("hotdash.sla_retention",
							"How long clocks are kept that were met or canceled.",
							"Their counts stay.", &retention, 400 * 24 * 60, 1, 100 * 366 * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	RegisterXactCallback(transaction_ended, NULL);
	RegisterSubXactCallback(subtransaction_ended, NULL);
}
