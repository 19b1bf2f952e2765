/*-------------------------------------------------------------------------
 * ladder.c
 *		The steps that a clock goes through, and which of them have actions.
 *
 * Model: see ladder.h.  A book finds schedules by a number made of both texts
 * and the version; those with the same number hang in a chain.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/ladder.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/compat.h"
#include "core/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct Rungs
{
	struct Rungs *next;
	int32 version;
	char *metric;
	char *priority;
	HdSlaLadder ladder;
} Rungs;

typedef struct Entry
{
	uint64 key;
	Rungs *first;
} Entry;

/* The one of the priority comes before the one of all others, whose priority is empty. */
static HdSpiPlan ladder_plan = {
	.sql = "SELECT t.steps, t.offsets, ARRAY(SELECT coalesce(jsonb_array_length(s.actions), 0) "
		   "FROM unnest(t.steps) WITH ORDINALITY AS x (step, n) "
		   "LEFT JOIN hotdash._sla_step AS s "
		   "ON s.version_id = t.version_id AND s.metric = t.metric AND s.step = x.step "
		   "ORDER BY x.n) "
		   "FROM hotdash._sla_target AS t "
		   "WHERE t.version_id = $1 AND t.metric = $2 AND t.priority IN ($3, '') "
		   "ORDER BY t.priority DESC LIMIT 1",
	.nargs = 3,
	.argtypes = {INT4OID, TEXTOID, TEXTOID},
};

HTAB *
hd_sla_ladders(void)
{
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(Entry)};

	control.hcxt = CurrentMemoryContext;
	return hash_create("hotdash SLA ladders", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static uint64
hash_text(const text *value, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							   seed);
}

static bool
is_text(const char *kept, const text *value)
{
	return strlen(kept) == VARSIZE_ANY_EXHDR(value) &&
		   memcmp(kept, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0;
}

/* The elements of an array of a type of fixed length without nulls; returns how many. */
static int
elements(Datum array, int size, void **to)
{
	ArrayType *given = DatumGetArrayTypeP(array);
	int n = ArrayGetNItems(ARR_NDIM(given), ARR_DIMS(given));

	*to = palloc((Size) size * Max(n, 1));
	memcpy(*to, ARR_DATA_PTR(given), (Size) size * n);
	return n;
}

/* Results of SPI last until its next statement, and what is made of them as long as SPI does. */
static void
read_ladder(HdSlaLadder *ladder, int32 version, text *metric, text *priority)
{
	Datum values[3] = {Int32GetDatum(version), PointerGetDatum(metric), PointerGetDatum(priority)};

	hd_spi_run(&ladder_plan, values, NULL, true, 1);
	if (SPI_processed == 0)
	{
		ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
						  errmsg("metric \"%s\" of SLA policy version %d has no target",
								 text_to_cstring(metric), version)));
		return;
	}
	ladder->nsteps = elements(hd_spi_result(0, 1), sizeof(int16), (void **) &ladder->steps);
	(void) elements(hd_spi_result(0, 2), sizeof(int64), (void **) &ladder->offsets);
	(void) elements(hd_spi_result(0, 3), sizeof(int32), (void **) &ladder->actions);
	SPI_freetuptable(SPI_tuptable);
}

const HdSlaLadder *
hd_sla_ladder(HTAB *book, int32 version, text *metric, text *priority)
{
	uint64 key = hash_text(priority, hash_text(metric, (uint64) version));
	bool found;
	Entry *entry = hash_search(book, &key, HASH_ENTER, &found);
	Rungs *rungs;

	if (!found)
		entry->first = NULL;
	for (rungs = entry->first; rungs != NULL; rungs = rungs->next)
		if (rungs->version == version && is_text(rungs->metric, metric) &&
			is_text(rungs->priority, priority))
			return &rungs->ladder;

	rungs = palloc0(sizeof(Rungs));
	rungs->version = version;
	rungs->metric = text_to_cstring(metric);
	rungs->priority = text_to_cstring(priority);
	read_ladder(&rungs->ladder, version, metric, priority);
	rungs->next = entry->first;
	entry->first = rungs;
	return &rungs->ladder;
}
