/*-------------------------------------------------------------------------
 * stored.c
 *		Limits by their names, as a session uses them.
 *
 * Model: see stored.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/stored.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/zone.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of hotdash._limit, in the order of sql/limits.sql. */
enum
{
	COL_NAME = 1,
	COL_PRESET,
	COL_COUNT,
	COL_PERIOD,
	COL_BURST,
	COL_ALGORITHM,
	COL_SHADOW,
	COL_DURABILITY,
	COL_TIME_ZONE,
	COL_OPTIONS
};

static HdSpiRelation limit_table = {.name = "_limit"};
static HdSpiRelation limit_index = {.name = "_limit_pkey"};

static HTAB *limits = NULL;
static HdLimit *latest = NULL;		 /* the one asked for last */
static Oid known_table = InvalidOid; /* that they are of */
static uint64 messages = 1;			 /* about that table, or about all */
static bool changed_here = false;	 /* this transaction has changed limits */

PG_FUNCTION_INFO_V1(hd_limits_sql_changed);

static void
on_message(Datum arg, Oid relid)
{
	if (relid == known_table || relid == InvalidOid)
		messages++;
}

static void
at_end(XactEvent event, void *arg)
{
	if (!changed_here)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot PREPARE a transaction that has changed rate limits"),
							errhint("Commit the change in a transaction of its own.")));
			break;
		case XACT_EVENT_COMMIT:
			hd_limits_book_changed();
			changed_here = false;
			messages++;
			break;
		case XACT_EVENT_ABORT:
			changed_here = false;
			messages++;
			break;
		default:
			break;
	}
}

static void
at_end_of_part(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (changed_here && event == SUBXACT_EVENT_ABORT_SUB)
		messages++;
}

void
hd_limits_stored_init(void)
{
	RegisterXactCallback(at_end, NULL);
	RegisterSubXactCallback(at_end_of_part, NULL);
}

/* The session's limits, emptied where the extension was created again. */
static void
prepare(void)
{
	HASHCTL control = {.keysize = HD_LIMIT_NAME_SIZE, .entrysize = sizeof(HdLimit)};
	Oid table = hd_spi_relation(&limit_table);

	if (table == known_table)
		return;
	if (!OidIsValid(known_table))
		CacheRegisterRelcacheCallback(on_message, (Datum) 0);
	if (limits != NULL)
		hash_destroy(limits);
	limits = hash_create("hotdash limits", 32, &control, HASH_ELEM | HASH_BLOBS);
	latest = NULL;
	known_table = table;
	messages++;
}

static Datum
column(HeapTuple tuple, Relation rel, int number, bool *isnull)
{
	bool dummy;

	return heap_getattr(tuple, number, RelationGetDescr(rel), (isnull != NULL) ? isnull : &dummy);
}

static const char *
text_column(HeapTuple tuple, Relation rel, int number)
{
	bool isnull;
	Datum value = column(tuple, rel, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
compile(HdLimitRule *rule, HeapTuple tuple, Relation rel)
{
	HdLimitDefinition definition = {0};
	Datum period;
	bool isnull;

	definition.count = DatumGetInt32(column(tuple, rel, COL_COUNT, NULL));
	period = column(tuple, rel, COL_PERIOD, &isnull);
	definition.period = isnull ? NULL : DatumGetIntervalP(period);
	definition.burst = DatumGetInt32(column(tuple, rel, COL_BURST, &isnull));
	definition.has_burst = !isnull;
	definition.algorithm = text_column(tuple, rel, COL_ALGORITHM);
	definition.shadow = DatumGetBool(column(tuple, rel, COL_SHADOW, NULL));
	definition.durability = text_column(tuple, rel, COL_DURABILITY);
	definition.time_zone = text_column(tuple, rel, COL_TIME_ZONE);
	definition.options = DatumGetJsonbP(column(tuple, rel, COL_OPTIONS, NULL));
	hd_limits_rule_compile(rule, &definition);
}

/* The rule of a name's row, of two that which is no preset; false when there is none. */
static bool
read_row(const char *name, HdLimitRule *rule)
{
	Relation rel = table_open(hd_spi_relation(&limit_table), AccessShareLock);
	bool parallel = IsInParallelMode();
	Snapshot snapshot = parallel ? GetActiveSnapshot() : RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key, COL_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	key.sk_collation = C_COLLATION_OID;
	scan = systable_beginscan(rel, hd_spi_relation(&limit_index), true, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (found && DatumGetBool(column(tuple, rel, COL_PRESET, NULL)))
			continue;
		compile(rule, tuple, rel);
		found = true;
	}
	systable_endscan(scan);
	if (!parallel)
		UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return found;
}

/* Have the limit be current. */
static void
renew(HdLimit *limit)
{
	uint64 number = hd_limits_book_number();
	uint64 message = messages;
	bool alone = changed_here || RecoveryInProgress();

	/* a failure leaves it as one that is not current */
	limit->messages = 0;
	if (alone || !hd_limits_book_read(limit->entry, number, &limit->rule))
	{
		/* what an older snapshot shows is read again with the next call */
		if (IsInParallelMode())
			message = 0;
		if (!read_row(limit->name, &limit->rule))
		{
			char *name = pstrdup(limit->name);

			hash_search(limits, limit->name, HASH_REMOVE, NULL);
			latest = NULL;
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("rate limit \"%s\" does not exist", name),
							errhint("View limits lists those there are; limit_set defines one.")));
		}
		if (!alone && message != 0)
			hd_limits_book_publish(limit->entry, number, &limit->rule);
	}
	limit->zone = (limit->rule.policy.algorithm == HD_LIMIT_WINDOW)
					  ? hd_zone_find(limit->rule.time_zone)
					  : NULL;
	limit->window.start = limit->window.end = 0;
	limit->number = number;
	limit->messages = message;
}

static HdLimit *
enter(const char *name, int length)
{
	char padded[HD_LIMIT_NAME_SIZE] = {0};
	HdLimit *limit;
	bool found;

	if (length >= HD_LIMIT_NAME_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("rate limit \"%s\" does not exist", pnstrdup(name, HD_LIMIT_NAME_SIZE)),
				 errdetail("A name has at most %d bytes.", HD_LIMIT_NAME_SIZE - 1)));
	prepare();
	memcpy(padded, name, length);
	limit = hash_search(limits, padded, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) limit + HD_LIMIT_NAME_SIZE, 0, sizeof(HdLimit) - HD_LIMIT_NAME_SIZE);
		limit->name_length = length;
	}
	return limit;
}

HdLimit *
hd_limits_stored(const char *name, int length)
{
	HdLimit *limit = latest;

	if (limit == NULL || limit->name_length != length || memcmp(limit->name, name, length) != 0 ||
		limit->messages != messages)
		limit = enter(name, length);
	if (limit->messages != messages || limit->number != hd_limits_book_number())
	{
		if (limit->entry == NULL && hd_settings_preloaded())
		{
			limit->key = hd_limits_key_of_limit(HD_LIMIT_SPACE_STORED, limit->name);
			limit->entry = hd_limits_book_entry(hd_spi_extension(), limit->name);
		}
		renew(limit);
	}
	latest = limit;
	return limit;
}

const HdLimitWindow *
hd_limits_stored_window(HdLimit *limit, int64 now)
{
	if (now < limit->window.start || now >= limit->window.end)
		limit->window = hd_limits_calendar_window(&limit->rule, limit->zone, now);
	return &limit->window;
}

/*
 * hd_limits_sql_changed
 *		SQL: the trigger on _limit: what sessions know of limits is old.
 */
Datum
hd_limits_sql_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("must be called as a trigger")));
	changed_here = true;
	messages++;
	CacheInvalidateRelcache(data->tg_relation);
	return PointerGetDatum(NULL);
}
