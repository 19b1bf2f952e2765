/*-------------------------------------------------------------------------
 * calendars.c
 *		The calendars of this session, by name and by lane.
 *
 * Model: see calendars.h.  An entry is of a row of hotdash._calendar, found by
 * name, or of hotdash._calendar_epoch, found by number; either says which version
 * it is.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/calendars.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "core/spi.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "sla/versions.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* Columns of hotdash._calendar and hotdash._calendar_epoch, in the order of sql/sla_calendars.sql. */
enum
{
	CALENDAR_COL_ID = 1,
	CALENDAR_COL_NAME,
	CALENDAR_COL_VERSION
};

enum
{
	EPOCH_COL_EPOCH = 1,
	EPOCH_COL_CALENDAR,
	EPOCH_COL_VERSION
};

/* Lanes that a few steps lead to: more than a scan goes through at a time. */
#define RECENT 64

/* By a name, or, where that is empty, by an epoch. */
typedef struct Key
{
	int32 epoch;
	char name[HD_SLA_NAME_SIZE];
} Key;

typedef struct Entry
{
	Key key;		 /* must be first */
	dlist_node node; /* of lru */
	HdSeen seen;
	HdSeenRow row;
	HdSlaCalendar *calendar; /* NULL: not read yet */
	Size size;				 /* but for the chunks of its timeline */
} Entry;

typedef struct Recent
{
	int32 epoch; /* 0: none */
	HdSlaHandle handle;
} Recent;

uint64 hd_sla_calendars_generation = 1;

static HdSpiRelation calendar_table = {.name = "_calendar"};
static HdSpiRelation calendar_index = {.name = "_calendar_name_key"};
static HdSpiRelation epoch_table = {.name = "_calendar_epoch"};
static HdSpiRelation epoch_index = {.name = "_calendar_epoch_pkey"};

static MemoryContext cache_context = NULL;
static HTAB *entries = NULL;
static dlist_head lru = DLIST_STATIC_INIT(lru);
static Size used = 0;					 /* bytes, of all entries but for chunks */
static Oid known_calendars = InvalidOid; /* tables that the entries are of */
static Oid known_epochs = InvalidOid;
static uint64 messages = 0; /* about these, or about all tables */
static Recent recent[RECENT];

static void
on_message(Datum arg, Oid relid)
{
	if (relid == known_calendars || relid == known_epochs || relid == InvalidOid)
	{
		messages++;
		hd_sla_calendars_generation++;
	}
}

static void
forget(Entry *entry)
{
	used -= entry->size;
	entry->size = 0;
	if (entry->calendar != NULL)
		hd_sla_timeline_free(entry->calendar);
	entry->calendar = NULL;
	hd_sla_calendars_generation++;
}

static void
drop(Entry *entry)
{
	forget(entry);
	dlist_delete(&entry->node);
	(void) hash_search(entries, &entry->key, HASH_REMOVE, NULL);
}

/* Drop what was not asked for in the longest time; never the one that is being looked up. */
static void
make_room(const Entry *keep)
{
	while (used + hd_sla_timeline_used > (Size) hd_sla_setting_calendar_cache * 1024)
	{
		Entry *oldest = dlist_container(Entry, node, dlist_tail_node(&lru));

		if (oldest == keep)
			break;
		drop(oldest);
	}
}

/* The cache of this database's tables, emptied where the extension was created again. */
static void
prepare(void)
{
	Oid calendars = hd_spi_relation(&calendar_table);

	if (cache_context == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Key), .entrysize = sizeof(Entry)};

		cache_context =
			AllocSetContextCreate(CacheMemoryContext, "hotdash calendars", ALLOCSET_DEFAULT_SIZES);
		control.hcxt = cache_context;
		entries =
			hash_create("hotdash calendars", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(on_message, (Datum) 0);
	}
	if (calendars == known_calendars)
		return;
	while (!dlist_is_empty(&lru))
		drop(dlist_container(Entry, node, dlist_head_node(&lru)));
	known_calendars = calendars;
	known_epochs = hd_spi_relation(&epoch_table);
	messages++;
}

static SysScanDesc
begin_scan_by_name(Relation rel, const void *arg, Snapshot snapshot)
{
	const Key *wanted = arg;
	ScanKeyData key;

	ScanKeyInit(&key, CALENDAR_COL_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(wanted->name));
	key.sk_collation = C_COLLATION_OID;
	return systable_beginscan(rel, hd_spi_relation(&calendar_index), true, snapshot, 1, &key);
}

static SysScanDesc
begin_scan_by_epoch(Relation rel, const void *arg, Snapshot snapshot)
{
	const Key *wanted = arg;
	ScanKeyData key;

	ScanKeyInit(&key, EPOCH_COL_EPOCH, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(wanted->epoch));
	return systable_beginscan(rel, hd_spi_relation(&epoch_index), true, snapshot, 1, &key);
}

static int32
int_column(Relation rel, HeapTuple tuple, int column)
{
	bool isnull;

	return DatumGetInt32(heap_getattr(tuple, column, RelationGetDescr(rel), &isnull));
}

/* Compile what a row says into its entry, which stays as it was when that fails. */
static void
load(Entry *entry, Relation rel, HeapTuple tuple)
{
	bool by_name = entry->key.epoch == 0;
	HdSlaCalendar *calendar =
		hd_sla_versions_load(int_column(rel, tuple, by_name ? CALENDAR_COL_ID : EPOCH_COL_CALENDAR),
							 int_column(rel, tuple,
										by_name ? CALENDAR_COL_VERSION : EPOCH_COL_VERSION),
							 false);

	MemoryContextSetParent(calendar->context, cache_context);
	forget(entry);
	entry->calendar = calendar;
	entry->row = hd_seen_row(tuple);
	entry->size = sizeof(Entry) + MemoryContextMemAllocated(calendar->context, true);
	used += entry->size;
}

static HD_NORETURN void
fail_missing(Entry *entry)
{
	Key key = entry->key;

	drop(entry);
	if (key.epoch != 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("epoch %d of business time does not exist", key.epoch)));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("calendar \"%s\" does not exist", key.name),
			 errhint("View calendars lists those there are; calendar_set defines one.")));
}

/* Read the table for what is not known to be right for the snapshot in use. */
static void
refresh(Entry *entry)
{
	bool by_name = entry->key.epoch == 0;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "hotdash calendar lookup",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(scratch);
	Relation rel = table_open(by_name ? known_calendars : known_epochs, AccessShareLock);
	HdSeen seen = {.messages = messages};
	HeapTuple tuple = hd_seen_read(rel, by_name ? begin_scan_by_name : begin_scan_by_epoch,
								   &entry->key, GetActiveSnapshot(), &seen);
	HdSeenRow row = hd_seen_row(tuple);

	if (tuple == NULL)
		fail_missing(entry);
	if (entry->calendar == NULL || !hd_seen_same_row(&row, &entry->row))
		load(entry, rel, tuple);
	entry->seen = seen;
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(scratch);
}

static Entry *
entry_of(const Key *key)
{
	bool found;
	Entry *entry = hash_search(entries, key, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) entry + sizeof(Key), 0, sizeof(Entry) - sizeof(Key));
		dlist_push_head(&lru, &entry->node);
	}
	return entry;
}

static void
find(const Key *key, HdSlaHandle *handle)
{
	HdSeenSnapshot now = hd_seen_snapshot(GetActiveSnapshot());
	Entry *entry;

	AcceptInvalidationMessages();
	prepare();
	entry = entry_of(key);
	if (entry->calendar == NULL || !hd_seen_holds(&entry->seen, &now, messages))
	{
		hd_seen_complete(&now);
		if (entry->calendar == NULL || !hd_seen_holds(&entry->seen, &now, messages))
			refresh(entry);
	}
	dlist_move_head(&lru, &entry->node);
	make_room(entry);
	handle->calendar = entry->calendar;
	handle->snapshot = now;
	handle->generation = hd_sla_calendars_generation;
}

void
hd_sla_calendar_find(const char *name, int length, HdSlaHandle *handle)
{
	Key key = {0};

	if (length == 0 || length >= HD_SLA_NAME_SIZE || memchr(name, '\0', length) != NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("calendar \"%.*s\" does not exist",
							   pg_mbcliplen(name, length, HD_SLA_NAME_SIZE - 1), name),
						errdetail("A name has 1 to %d bytes.", HD_SLA_NAME_SIZE - 1)));
	memcpy(key.name, name, length);
	find(&key, handle);
}

HdSlaCalendar *
hd_sla_calendar_of_lane(int32 lane)
{
	Key key = {.epoch = HD_SLA_LANE_EPOCH(lane)};
	Recent *slot = &recent[(uint32) key.epoch % RECENT];

	if (key.epoch == 0)
		return &hd_sla_wall_clock;
	if (slot->epoch != key.epoch || !hd_sla_handle_valid(&slot->handle))
	{
		slot->epoch = 0;
		find(&key, &slot->handle);
		slot->epoch = key.epoch;
	}
	return slot->handle.calendar;
}

void
hd_sla_calendars_init(void)
{
	DefineCustomIntVariable("hotdash.calendar_cache",
							"Memory for compiled calendars in each session.", NULL,
							&hd_sla_setting_calendar_cache, 4096, 64, MAX_KILOBYTES, PGC_USERSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
}
