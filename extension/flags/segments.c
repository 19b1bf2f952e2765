/*-------------------------------------------------------------------------
 * segments.c
 *		Looking units up in segments.
 *
 * Nothing is kept between two questions but where the tables are: a segment
 * may have millions of members and change in any transaction, and a probe of
 * an index that is in memory takes a microsecond.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/segments.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "core/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns of the tables in sql/flags_segments.sql. */
enum
{
	SEGMENT_ID = 1,
	SEGMENT_NAME,
	MEMBER_SEGMENT = 1,
	MEMBER_NAME
};

static HdSpiRelation segment_table = {.name = "_segment"};
static HdSpiRelation segment_index = {.name = "_segment_name_key"};
static HdSpiRelation member_table = {.name = "_segment_member"};
static HdSpiRelation member_index = {.name = "_segment_member_pkey"};

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

	ScanKeyInit(&key, SEGMENT_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(as_text(name)));
	key.sk_collation = C_COLLATION_OID;
	scan = systable_beginscan(rel, hd_spi_relation(&segment_index), true, GetActiveSnapshot(), 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		*id = DatumGetInt32(heap_getattr(tuple, SEGMENT_ID, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

bool
hd_flags_segment_has(const HdValue *segment, const HdValue *unit)
{
	Relation rel;
	ScanKeyData keys[2];
	SysScanDesc scan;
	int32 id;
	bool found;

	if (!find_segment(segment, &id))
		return false;
	rel = table_open(hd_spi_relation(&member_table), AccessShareLock);
	ScanKeyInit(&keys[0], MEMBER_SEGMENT, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], MEMBER_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(as_text(unit)));
	keys[1].sk_collation = C_COLLATION_OID;
	scan =
		systable_beginscan(rel, hd_spi_relation(&member_index), true, GetActiveSnapshot(), 2, keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}
