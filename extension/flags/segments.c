/*-------------------------------------------------------------------------
 * segments.c
 *		Looking units up in segments.
 *
 * Members are not kept between two questions: a segment may have millions and
 * change in any transaction, and a probe of an index that is in memory takes
 * some microseconds.  The index begins with a number made of the segment's and
 * of a hash of the member, so that on the way down numbers are compared and not
 * texts, and a small segment stands in few pages.  The locks stay with the
 * transaction, as those of any statement do: to take them again would be a
 * fifth of a probe.
 *
 * Ids of segments are kept: a segment keeps its id, so one that was seen is
 * right for all snapshots, unless its transaction is undone, which a message
 * of the table tells.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/segments.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "core/compat.h"
#include "core/spi.h"
#include "executor/tuptable.h"
#include "flags/bucket.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_segment_place);

/* Columns of the tables in sql/flags_segments.sql; of members those of the index too. */
enum
{
	SEGMENT_ID = 1,
	SEGMENT_NAME,
	MEMBER_PLACE = 1,
	MEMBER_NAME
};

static HdSpiRelation segment_table = {.name = "_segment"};
static HdSpiRelation segment_index = {.name = "_segment_name_key"};
static HdSpiRelation member_table = {.name = "_segment_member"};
static HdSpiRelation member_index = {.name = "_segment_member_pkey"};

#define KNOWN 16
#define MAX_KNOWN_NAME 60

/* A segment whose id is known; of length 0: none. */
typedef struct Known
{
	int32 id;
	int length;
	char name[MAX_KNOWN_NAME];
} Known;

static Known known[KNOWN];
static Oid known_table = InvalidOid; /* that the ids are of */

static void
on_message(Datum arg, Oid relid)
{
	if (relid == known_table || relid == InvalidOid)
		memset(known, 0, sizeof(known));
}

/* Where a segment's id is kept; what is there may be another's. */
static Known *
known_of(const HdValue *name)
{
	static bool watching = false;
	Oid table = hd_spi_relation(&segment_table);

	if (!watching)
		CacheRegisterRelcacheCallback(on_message, (Datum) 0);
	watching = true;
	if (table != known_table)
		memset(known, 0, sizeof(known));
	known_table = table;
	return &known[hash_bytes((const unsigned char *) name->as.string, name->length) % KNOWN];
}

/* Where a member is in the index; the same on all machines, for it is in dumps. */
static int64
place_of(int32 segment, const char *member, int length)
{
	return (int64) ((uint64) segment << 32 | hd_flags_murmur3(member, length, 0));
}

static text *
as_text(const HdValue *value)
{
	return cstring_to_text_with_len(value->as.string, value->length);
}

static bool
find_segment(const HdValue *name, int32 *id)
{
	Relation rel = table_open(hd_spi_relation(&segment_table), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull;
	bool found;

	ScanKeyInit(&key, SEGMENT_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(as_text(name)));
	key.sk_collation = C_COLLATION_OID;
	scan = systable_beginscan(rel, hd_spi_relation(&segment_index), true, GetActiveSnapshot(), 1,
							  &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		*id = DatumGetInt32(heap_getattr(tuple, SEGMENT_ID, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static bool
segment_id(const HdValue *name, int32 *id)
{
	Known *place = known_of(name);

	if (name->length > 0 && hd_flags_is_string(name, place->name, place->length))
	{
		*id = place->id;
		return true;
	}
	if (!find_segment(name, id))
		return false;
	if (name->length <= MAX_KNOWN_NAME)
	{
		place->id = *id;
		place->length = name->length;
		memcpy(place->name, name->as.string, name->length);
	}
	return true;
}

/* Whether the index leads to a row that the snapshot sees; where all of a page is seen, without the page. */
static bool
any_visible(Relation rel, IndexScanDesc scan, Snapshot snapshot)
{
	TupleTableSlot *slot = NULL;
	Buffer map = InvalidBuffer;
	ItemPointer tid;
	bool found = false;

	while (!found && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		BlockNumber block = ItemPointerGetBlockNumber(tid);

		if (VM_ALL_VISIBLE(rel, block, &map))
		{
			PredicateLockPage(rel, block, snapshot);
			found = true;
		}
		else
		{
			if (slot == NULL)
				slot = table_slot_create(rel, NULL);
			found = index_fetch_heap(scan, slot);
		}
	}
	if (slot != NULL)
		ExecDropSingleTupleTableSlot(slot);
	if (map != InvalidBuffer)
		ReleaseBuffer(map);
	return found;
}

bool
hd_flags_segment_has(const HdValue *segment, const HdValue *unit)
{
	Snapshot snapshot = GetActiveSnapshot();
	Relation rel;
	Relation index;
	ScanKeyData keys[2];
	IndexScanDesc scan;
	int32 id;
	bool found;

	if (!segment_id(segment, &id))
		return false;
	rel = table_open(hd_spi_relation(&member_table), AccessShareLock);
	index = index_open(hd_spi_relation(&member_index), AccessShareLock);
	ScanKeyInit(&keys[0], MEMBER_PLACE, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(place_of(id, unit->as.string, unit->length)));
	ScanKeyInit(&keys[1], MEMBER_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(as_text(unit)));
	keys[1].sk_collation = C_COLLATION_OID;
	scan = HD_INDEX_BEGINSCAN(rel, index, snapshot, lengthof(keys));
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	found = any_visible(rel, scan, snapshot);
	index_endscan(scan);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return found;
}

/*
 * hd_flags_sql_segment_place
 *		SQL: _segment_place(segment_id, member) -> bigint.
 */
Datum
hd_flags_sql_segment_place(PG_FUNCTION_ARGS)
{
	text *member = PG_GETARG_TEXT_PP(1);

	PG_RETURN_INT64(
		place_of(PG_GETARG_INT32(0), VARDATA_ANY(member), (int) VARSIZE_ANY_EXHDR(member)));
}
