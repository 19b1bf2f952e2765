/*-------------------------------------------------------------------------
 * cache.c
 *		Compiled flags of this session.
 *
 * See cache.h for the model.  An entry is of a row of hotdash._flag, or says
 * that there is none; what the set has in common (evaluators and metadata,
 * rows of other kinds) is read with each flag that is compiled, and one more
 * entry tells whether it is still the same.
 *
 * Until when an entry is right: core/seen.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/cache.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "core/spi.h"
#include "flags/flags.h"
#include "lib/ilist.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Columns of hotdash._flag and its primary key, in the order of sql/flags.sql. */
enum
{
	COL_KIND = 1,
	COL_KEY,
	COL_VERSION,
	COL_DEFINITION
};

#define KIND_FLAG 'f'
#define KIND_EVALUATOR 'e'
#define KIND_METADATA 'm'

/* What an entry takes beside the flag's own memory. */
#define ENTRY_OVERHEAD 256

typedef struct Entry
{
	uint32 hash;
	HdValue key;
	dlist_node node; /* of lru */
	HdSeen seen;
	HdSeenRow row;
	HdFlag *flag;		   /* NULL: there is none */
	uint64 shared_version; /* of what the set has in common, when it was compiled */
	Size size;
} Entry;

/* What the flags of the set have in common: the rows of the other kinds. */
typedef struct Shared
{
	HdSeen seen;
	uint64 version;		/* counts up with each that differs from the one before */
	uint64 fingerprint; /* of the rows' places */
	Jsonb *json;		/* NULL: nothing */
} Shared;

typedef Entry *EntryPointer;

typedef struct Slot
{
	uint32 hash;
	char status; /* simplehash's own */
	Entry *entry;
} Slot;

#define SH_PREFIX slots
#define SH_ELEMENT_TYPE Slot
#define SH_KEY_TYPE EntryPointer
#define SH_KEY entry
#define SH_HASH_KEY(tb, key) (key)->hash
#define SH_EQUAL(tb, a, b) hd_flags_is_string(&(a)->key, (b)->key.as.string, (b)->key.length)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

uint64 hd_flags_generation = 1;

static HdSpiRelation flag_table = {.name = "_flag"};
static HdSpiRelation flag_index = {.name = "_flag_pkey"};

static MemoryContext cache_context = NULL;
static slots_hash *slots = NULL;
static dlist_head lru = DLIST_STATIC_INIT(lru);
static Shared shared;
static Size used = 0;				  /* bytes, of all entries */
static Oid cached_table = InvalidOid; /* that the entries are of */
static uint64 messages = 0;			  /* about the table, or about all tables */

static void
on_message(Datum arg, Oid relid)
{
	if (relid == cached_table || relid == InvalidOid)
	{
		messages++;
		hd_flags_generation++;
	}
}

static void
drop(Entry *entry)
{
	slots_delete(slots, entry);
	dlist_delete(&entry->node);
	used -= entry->size;
	if (entry->flag != NULL)
		hd_flags_flag_free(entry->flag);
	pfree(unconstify(char *, entry->key.as.string));
	pfree(entry);
	hd_flags_generation++;
}

/* Drop what was not asked for in the longest time; never the one that is being looked up. */
static void
make_room(const Entry *keep)
{
	while (used > (Size) hd_flags_setting_cache * 1024)
	{
		Entry *oldest = dlist_container(Entry, node, dlist_tail_node(&lru));

		if (oldest == keep)
			break;
		drop(oldest);
	}
}

/* The cache of this database's table, emptied where the extension was created again. */
static void
prepare(void)
{
	Oid table;

	if (cache_context == NULL)
	{
		cache_context =
			AllocSetContextCreate(CacheMemoryContext, "hotdash flags", ALLOCSET_DEFAULT_SIZES);
		slots = slots_create(cache_context, 64, NULL);
		CacheRegisterRelcacheCallback(on_message, (Datum) 0);
	}
	table = hd_spi_relation(&flag_table);
	if (table == cached_table)
		return;
	while (!dlist_is_empty(&lru))
		drop(dlist_container(Entry, node, dlist_head_node(&lru)));
	cached_table = table;
	messages++;
}

/* A scan for the row of a flag, or, without a key, for all rows of a kind. */
static SysScanDesc
begin_scan(Relation rel, char kind, const HdValue *key, Snapshot snapshot)
{
	ScanKeyData keys[2];
	int nkeys = 1;

	ScanKeyInit(&keys[0], COL_KIND, BTEqualStrategyNumber, F_CHAREQ, CharGetDatum(kind));
	if (key != NULL)
	{
		text *name = cstring_to_text_with_len(key->as.string, key->length);

		ScanKeyInit(&keys[nkeys], COL_KEY, BTEqualStrategyNumber, F_TEXTEQ, PointerGetDatum(name));
		keys[nkeys++].sk_collation = C_COLLATION_OID;
	}
	return systable_beginscan(rel, hd_spi_relation(&flag_index), true, snapshot, nkeys, keys);
}

static SysScanDesc
begin_scan_for_flag(Relation rel, const void *key, Snapshot snapshot)
{
	return begin_scan(rel, KIND_FLAG, key, snapshot);
}

static bool
being_changed(Relation rel, char kind)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	return hd_seen_being_changed(begin_scan(rel, kind, NULL, &dirty), &dirty);
}

static Jsonb *
definition_of(Relation rel, HeapTuple tuple)
{
	bool isnull;
	Datum datum = heap_getattr(tuple, COL_DEFINITION, RelationGetDescr(rel), &isnull);

	return isnull ? NULL : DatumGetJsonbP(datum);
}

/* Copies of the rows of a kind. */
static List *
rows_of_kind(Relation rel, char kind, Snapshot snapshot)
{
	SysScanDesc scan = begin_scan(rel, kind, NULL, snapshot);
	HeapTuple tuple;
	List *rows = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, heap_copytuple(tuple));
	systable_endscan(scan);
	return rows;
}

static uint64
fingerprint(const List *rows, uint64 start)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		HdSeenRow row = hd_seen_row(lfirst(cell));

		start = hash_combine64(start, hash_bytes_extended((unsigned char *) &row.tid,
														  sizeof(row.tid), row.xmin));
	}
	return start;
}

/* {"$evaluators": {name: rule}, "metadata": {...}} of the rows. */
static Jsonb *
build_shared(Relation rel, const List *evaluators, const List *metadata)
{
	HdValuePair *members = palloc0(sizeof(HdValuePair) * 2);
	HdValuePair *rules = palloc0(sizeof(HdValuePair) * (list_length(evaluators) + 1));
	HdValue whole = {.type = HD_VALUE_PAIRS, .length = 2, .as.pairs = members};
	ListCell *cell;
	bool isnull;

	members[0].name = hd_flags_literal("$evaluators");
	members[0].value.type = HD_VALUE_PAIRS;
	members[0].value.as.pairs = rules;
	foreach (cell, evaluators)
	{
		HdValuePair *rule = &rules[members[0].value.length++];
		text *name =
			DatumGetTextPP(heap_getattr(lfirst(cell), COL_KEY, RelationGetDescr(rel), &isnull));

		rule->name = hd_flags_string(VARDATA_ANY(name), (int) VARSIZE_ANY_EXHDR(name));
		rule->value = hd_flags_from_jsonb(definition_of(rel, lfirst(cell)));
	}
	members[1].name = hd_flags_literal("metadata");
	if (metadata != NIL)
		members[1].value = hd_flags_from_jsonb(definition_of(rel, linitial(metadata)));
	return hd_flags_to_jsonb(&whole);
}

/* Read what the set has in common, if it is not what was read before. */
static void
load_shared(Relation rel, Snapshot snapshot)
{
	List *evaluators = rows_of_kind(rel, KIND_EVALUATOR, snapshot);
	List *metadata = rows_of_kind(rel, KIND_METADATA, snapshot);
	uint64 now = fingerprint(metadata, fingerprint(evaluators, 0));

	if (now == shared.fingerprint)
		return;
	if (shared.json != NULL)
		pfree(shared.json);
	shared.json = NULL;
	shared.fingerprint = now;
	shared.version++;
	if (now != 0)
	{
		Jsonb *json = build_shared(rel, evaluators, metadata);

		shared.json = MemoryContextAlloc(cache_context, VARSIZE(json));
		memcpy(shared.json, json, VARSIZE(json));
	}
}

/* In the order of hd_seen_read, with all rows of the other kinds for one. */
static void
verify_shared(Relation rel, Snapshot snapshot)
{
	HdSeen seen = {.messages = messages};
	bool changing = being_changed(rel, KIND_EVALUATOR) || being_changed(rel, KIND_METADATA);
	Snapshot newer;

	seen.snapshot = hd_seen_snapshot(snapshot);
	newer = hd_seen_newer(&seen.snapshot, &seen.newest);
	load_shared(rel, snapshot);
	if (newer != NULL)
	{
		seen.newest = fingerprint(rows_of_kind(rel, KIND_METADATA, newer),
								  fingerprint(rows_of_kind(rel, KIND_EVALUATOR, newer), 0)) ==
					  shared.fingerprint;
		UnregisterSnapshot(newer);
	}
	if (changing)
		seen.newest = false;
	shared.seen = seen;
}

/* Compile the flag of a row into its entry, which stays as it was when that fails. */
static void
load(Entry *entry, Relation rel, HeapTuple tuple)
{
	HdFlag *flag = NULL;
	bool isnull;
	int version;

	if (tuple != NULL)
	{
		version = DatumGetInt32(heap_getattr(tuple, COL_VERSION, RelationGetDescr(rel), &isnull));
		flag = hd_flags_flag_compile(CurrentMemoryContext, &entry->key, version,
									 definition_of(rel, tuple), shared.json);
		MemoryContextSetParent(flag->context, cache_context);
	}
	if (entry->flag != NULL)
		hd_flags_flag_free(entry->flag);
	entry->flag = flag;
	used -= entry->size;
	entry->size = ENTRY_OVERHEAD + entry->key.length +
				  ((flag != NULL) ? MemoryContextMemAllocated(flag->context, true) : 0);
	used += entry->size;
	entry->shared_version = shared.version;
	entry->row = hd_seen_row(tuple);
	hd_flags_generation++;
}

static void
verify(Entry *entry, Relation rel, Snapshot snapshot)
{
	HdSeen seen = {.messages = messages};
	HeapTuple tuple = hd_seen_read(rel, begin_scan_for_flag, &entry->key, snapshot, &seen);
	HdSeenRow row = hd_seen_row(tuple);

	if (!hd_seen_same_row(&row, &entry->row) || entry->shared_version != shared.version)
		load(entry, rel, tuple);
	entry->seen = seen;
}

static Entry *
entry_of(const char *key, int length)
{
	Entry probe = {.key = hd_flags_string(key, length)};
	Entry *entry;
	Slot *slot;
	bool found;

	probe.hash = hash_bytes((const unsigned char *) key, length);
	slot = slots_lookup(slots, &probe);
	if (slot != NULL)
		return slot->entry;
	entry = MemoryContextAllocZero(cache_context, sizeof(Entry));
	*entry = probe;
	entry->key.as.string = MemoryContextAlloc(cache_context, length + 1);
	memcpy(unconstify(char *, entry->key.as.string), key, length);
	entry->size = ENTRY_OVERHEAD + length;
	used += entry->size;
	dlist_push_head(&lru, &entry->node);
	(void) slots_insert(slots, entry, &found);
	return entry;
}

static bool
is_right(const Entry *entry, const HdSeenSnapshot *now)
{
	return hd_seen_holds(&entry->seen, now, messages) &&
		   hd_seen_holds(&shared.seen, now, messages) && entry->shared_version == shared.version;
}

/* Read the table for what is not known to be right for the snapshot in use. */
static void
refresh(Entry *entry, const HdSeenSnapshot *now)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash flag lookup", ALLOCSET_DEFAULT_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(scratch);
	Relation rel = table_open(cached_table, AccessShareLock);
	Snapshot snapshot = GetActiveSnapshot();

	if (!hd_seen_holds(&shared.seen, now, messages))
		verify_shared(rel, snapshot);
	if (!hd_seen_holds(&entry->seen, now, messages) || entry->shared_version != shared.version)
		verify(entry, rel, snapshot);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(scratch);
}

void
hd_flags_find(const char *key, int length, HdFlagHandle *handle)
{
	HdSeenSnapshot now = hd_seen_snapshot(GetActiveSnapshot());
	Entry *entry;

	AcceptInvalidationMessages();
	prepare();
	entry = entry_of(key, length);
	if (!is_right(entry, &now))
	{
		hd_seen_complete(&now);
		if (!is_right(entry, &now))
			refresh(entry, &now);
	}
	dlist_move_head(&lru, &entry->node);
	make_room(entry);
	handle->flag = entry->flag;
	handle->snapshot = now;
	handle->generation = hd_flags_generation;
}

Jsonb *
hd_flags_shared(void)
{
	HdSeenSnapshot now = hd_seen_snapshot(GetActiveSnapshot());
	Relation rel;

	AcceptInvalidationMessages();
	prepare();
	hd_seen_complete(&now);
	if (!hd_seen_holds(&shared.seen, &now, messages))
	{
		rel = table_open(cached_table, AccessShareLock);
		verify_shared(rel, GetActiveSnapshot());
		table_close(rel, AccessShareLock);
	}
	return shared.json;
}
