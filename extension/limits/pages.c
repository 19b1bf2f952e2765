/*-------------------------------------------------------------------------
 * pages.c
 *		Where buckets of durability 'wal' are written.
 *
 * Model and locking: see pages.h.  A session remembers where the rows of a
 * limit are.  The bytes of a row are aligned for nothing in particular, so
 * everything is copied in and out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/pages.h"

#include "access/generic_xlog.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define PAGE_MAGIC 0x48444c31 /* "HDL1": a change of the layout changes it */

/* Bytes of a row, so many that no second one fits on its page. */
#define PAGE_BYTES (BLCKSZ - 256)

/* Cells for each key that is asked for: see pages.h. */
#define CELLS_PER_KEY 2

/* Columns of hotdash._limit_state, in the order of sql/limits_durable.sql. */
enum
{
	COL_NAME = 1,
	COL_PAGE,
	COL_CELLS
};

/* Begin of a row's bytes; cells follow. */
typedef struct PageHead
{
	uint32 magic;
	uint32 cell_size;
	int32 page;
	int32 pages;
	uint64 salt;
} PageHead;

/* Where a session has found the rows of a limit. */
typedef struct Place
{
	char name[HD_LIMIT_NAME_SIZE];
	uint64 number; /* of the limit, when they were looked for */
	uint64 messages;
	Oid file;
	PageHead head;		   /* of the first; magic 0: there is none */
	ItemPointerData *rows; /* one for each page */
} Place;

static HdSpiRelation state_table = {.name = "_limit_state"};
static HdSpiRelation state_index = {.name = "_limit_state_pkey"};

static HTAB *places = NULL;

PG_FUNCTION_INFO_V1(hd_limits_sql_pages);
PG_FUNCTION_INFO_V1(hd_limits_sql_pages_fit);

static Size
cell_size(HdLimitAlgorithm algorithm)
{
	return sizeof(HdImage) + ((algorithm == HD_LIMIT_LOG) ? sizeof(uint64) * HD_PAGE_MAX_RUNS : 0);
}

static int
cells_of(const PageHead *head)
{
	return (int) ((PAGE_BYTES - sizeof(PageHead)) / head->cell_size);
}

Relation
hd_limits_pages_open(void)
{
	Oid oid = hd_spi_relation(&state_table);
	Relation rel;

	if (!ConditionalLockRelationOid(oid, AccessShareLock))
		return NULL;
	rel = try_table_open(oid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(oid, AccessShareLock);
	return rel;
}

void
hd_limits_pages_close(Relation rel)
{
	table_close(rel, AccessShareLock);
}

/* The head of a row's bytes; false when they are none. */
static bool
read_head(bytea *bytes, PageHead *head)
{
	if (VARATT_IS_EXTENDED(bytes) || VARSIZE(bytes) != VARHDRSZ + PAGE_BYTES)
		return false;
	memcpy(head, VARDATA(bytes), sizeof(PageHead));
	return head->magic == PAGE_MAGIC && head->pages > 0 && head->page >= 0 &&
		   head->page < head->pages && head->cell_size >= sizeof(HdImage) &&
		   head->cell_size <= PAGE_BYTES - sizeof(PageHead);
}

static void
note_row(Place *place, HeapTuple tuple, Relation rel)
{
	bool isnull;
	PageHead head;
	bytea *bytes =
		(bytea *) DatumGetPointer(heap_getattr(tuple, COL_CELLS, RelationGetDescr(rel), &isnull));

	if (isnull || !read_head(bytes, &head))
		return;
	if (place->rows == NULL)
	{
		place->rows =
			MemoryContextAllocZero(TopMemoryContext, sizeof(ItemPointerData) * head.pages);
		place->head = head;
	}
	if (head.salt == place->head.salt && head.pages == place->head.pages)
		place->rows[head.page] = tuple->t_self;
}

/*
 * Rows are looked for as they are now, those of this transaction included; so no
 * snapshot is needed, which could not be had in parallel mode.
 */
static void
search(Place *place, Relation rel)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, COL_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(place->name));
	key.sk_collation = C_COLLATION_OID;
	scan = systable_beginscan(rel, hd_spi_relation(&state_index), true, SnapshotSelf, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		note_row(place, tuple, rel);
	systable_endscan(scan);
}

static Place *
place_of(Relation rel, const HdLimit *limit)
{
	HASHCTL control = {.keysize = HD_LIMIT_NAME_SIZE, .entrysize = sizeof(Place)};
	Place *place;
	bool found;

	if (places == NULL)
		places = hash_create("hotdash limit pages", 16, &control, HASH_ELEM | HASH_BLOBS);
	place = hash_search(places, limit->name, HASH_ENTER, &found);
	if (found && place->messages == limit->messages && place->messages != 0 &&
		place->number == limit->number && place->file == rel->rd_rel->relfilenode)
		return place;
	if (found && place->rows != NULL)
		pfree(place->rows);
	place->rows = NULL;
	place->messages = 0; /* should what follows fail */
	memset(&place->head, 0, sizeof(place->head));
	search(place, rel);
	place->file = rel->rd_rel->relfilenode;
	place->number = limit->number;
	place->messages = limit->messages;
	return place;
}

bool
hd_limits_pages_pin(Relation rel, const HdLimit *limit, HdLimitSubject subject, HdPageCell *cell)
{
	const unsigned char *bytes = (const unsigned char *) subject.bytes;
	Place *place = place_of(rel, limit);
	ItemPointer row;

	cell->buffer = InvalidBuffer;
	cell->at = 0;
	if (place->rows == NULL)
		return false;
	cell->salt = place->head.salt;
	cell->hash[0] = hash_bytes_extended(bytes, subject.length, cell->salt);
	cell->hash[1] = hash_bytes_extended(bytes, subject.length, ~cell->salt);
	cell->page = (int32) (cell->hash[0] % (uint64) place->head.pages);
	row = &place->rows[cell->page];
	if (!ItemPointerIsValid(row) ||
		ItemPointerGetBlockNumber(row) >= RelationGetNumberOfBlocks(rel))
		return false;
	cell->buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(row));
	cell->offset = ItemPointerGetOffsetNumber(row);
	return true;
}

/* The bytes of the cell's row where they are in the buffer; NULL: they are not what they were. */
static bytea *
row_bytes(Relation rel, const HdPageCell *cell, PageHead *head)
{
	Page page = BufferGetPage(cell->buffer);
	HeapTupleData tuple;
	bytea *bytes;
	ItemId item;
	bool isnull;

	if (cell->offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, cell->offset);
	if (!ItemIdIsNormal(item))
		return NULL;
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple.t_len = ItemIdGetLength(item);
	tuple.t_tableOid = RelationGetRelid(rel);
	bytes =
		(bytea *) DatumGetPointer(heap_getattr(&tuple, COL_CELLS, RelationGetDescr(rel), &isnull));
	if (isnull || !read_head(bytes, head) || head->salt != cell->salt || head->page != cell->page)
		return NULL;
	return bytes;
}

/* Take over what a cell holds, if that can be. */
static void
read_cell(HdPageCell *cell, const char *at)
{
	memcpy(&cell->image, at, sizeof(HdImage));
	if (cell->image.runs > HD_PAGE_MAX_RUNS ||
		sizeof(HdImage) + sizeof(uint64) * cell->image.runs > cell->size)
		cell->image.runs = 0;
	memcpy(cell->runs, at + sizeof(HdImage), sizeof(uint64) * cell->image.runs);
	if (!hd_limits_image_is_sane(&cell->image, cell->runs))
		memset(&cell->image, 0, sizeof(HdImage));
}

bool
hd_limits_pages_find(Relation rel, HdPageCell *cell, int64 now)
{
	PageHead head;
	bytea *bytes = row_bytes(rel, cell, &head);
	char *free_at = NULL;
	char *at;

	memset(&cell->image, 0, sizeof(HdImage));
	cell->at = 0;
	if (bytes == NULL)
		return false;
	cell->size = head.cell_size;
	at = VARDATA(bytes) + sizeof(PageHead);
	for (int i = 0; i < cells_of(&head); i++, at += cell->size)
	{
		int64 until;

		memcpy(&until, at + offsetof(HdImage, until), sizeof(until));
		if (memcmp(at, cell->hash, sizeof(cell->hash)) == 0)
		{
			if (until > now * HD_NS_PER_US)
				read_cell(cell, at);
			free_at = at;
			break;
		}
		if (free_at == NULL && until <= now * HD_NS_PER_US)
			free_at = at;
	}
	if (free_at != NULL)
		cell->at = free_at - (char *) BufferGetPage(cell->buffer);
	return free_at != NULL;
}

void
hd_limits_pages_write(Relation rel, HdPageCell *cell, const HdImage *image, const uint64 *runs)
{
	GenericXLogState *state = GenericXLogStart(rel);
	char *at = (char *) GenericXLogRegisterBuffer(state, cell->buffer, 0) + cell->at;

	memset(at, 0, cell->size);
	if (image != NULL)
	{
		memcpy(at, image, sizeof(HdImage));
		memcpy(at, cell->hash, sizeof(cell->hash));
		memcpy(at + sizeof(HdImage), runs, sizeof(uint64) * image->runs);
	}
	(void) GenericXLogFinish(state);
}

/* While the buffer is pinned and the table locked, rows stay where they are. */
bool
hd_limits_pages_on_disk(HdPageCell *cell)
{
	Page page = BufferGetPage(cell->buffer);
	const char *at = (const char *) page + cell->at;

	if (cell->at == 0 || memcmp(at, cell->hash, sizeof(cell->hash)) != 0)
		return false;
	read_cell(cell, at);
	return cell->image.until != 0 && PageGetLSN(page) <= GetFlushRecPtr(NULL);
}

/* What the pages of a limit look like, but for number and salt; NULL arguments are refused before. */
static PageHead
shape(FunctionCallInfo fcinfo, int first)
{
	HdLimitDefinition definition = {0};
	HdLimitRule rule;
	PageHead head = {.magic = PAGE_MAGIC};

	definition.count = PG_GETARG_INT32(first);
	definition.period = PG_GETARG_INTERVAL_P(first + 1);
	definition.algorithm = text_to_cstring(PG_GETARG_TEXT_PP(first + 2));
	definition.durability = "wal";
	definition.options = PG_GETARG_JSONB_P(first + 3);
	hd_limits_rule_compile(&rule, &definition);
	head.cell_size = (uint32) cell_size(rule.policy.algorithm);
	head.pages =
		(int32) (((int64) rule.keys * CELLS_PER_KEY + cells_of(&head) - 1) / cells_of(&head));
	return head;
}

/*
 * hd_limits_sql_pages
 *		SQL: _limit_pages(count, period, algorithm, options) -> setof (page, cells), empty
 *		ones.
 */
Datum
hd_limits_sql_pages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PageHead head = shape(fcinfo, 0);
	bytea *bytes = palloc0(VARHDRSZ + PAGE_BYTES);
	bool nulls[2] = {false};

	if (!pg_strong_random(&head.salt, sizeof(head.salt)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
	InitMaterializedSRF(fcinfo, 0);
	SET_VARSIZE(bytes, VARHDRSZ + PAGE_BYTES);
	for (head.page = 0; head.page < head.pages; head.page++)
	{
		Datum values[2] = {Int32GetDatum(head.page), PointerGetDatum(bytes)};

		memcpy(VARDATA(bytes), &head, sizeof(head));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * hd_limits_sql_pages_fit
 *		SQL: _limit_pages_fit(cells, pages, count, period, algorithm, options) -> bool: whether
 *		so many pages, of which one is given, are those that such a limit has.
 */
Datum
hd_limits_sql_pages_fit(PG_FUNCTION_ARGS)
{
	PageHead wanted = shape(fcinfo, 2);
	PageHead head;

	PG_RETURN_BOOL(read_head(PG_GETARG_BYTEA_P(0), &head) && head.cell_size == wanted.cell_size &&
				   head.pages == wanted.pages && PG_GETARG_INT64(1) == wanted.pages);
}
