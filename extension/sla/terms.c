/*-------------------------------------------------------------------------
 * terms.c
 *		What clocks are held to, as a session remembers it.
 *
 * Model: see terms.h.  Rows that are being worked on point into this memory, so
 * it is let go between transactions.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/terms.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* With so many all are forgotten at the end of the transaction: priorities come from outside. */
#define MOST 20000

#define MAX_TEXT 64

typedef struct Key
{
	int32 version_id;
	char metric[MAX_TEXT];	 /* padded with zeroes */
	char priority[MAX_TEXT]; /* likewise */
} Key;

typedef struct Entry
{
	Key key;
	HdSlaVersion version;
} Entry;

static HTAB *known = NULL;
static MemoryContext context = NULL;
static Oid known_of = InvalidOid; /* the extension that they are of */

static HdSpiPlan version_plan = {
	.sql = "SELECT m.at_open, m.reopen, m.restarts, t.target, t.steps, t.offsets "
		   "FROM hotdash._sla_metric AS m "
		   "CROSS JOIN LATERAL (SELECT x.target, x.steps, x.offsets FROM hotdash._sla_target AS x "
		   "WHERE x.version_id = $1 AND x.metric = $2 AND x.priority IN ($3, '') "
		   "ORDER BY x.priority DESC LIMIT 1) AS t "
		   "WHERE m.version_id = $1 AND m.metric = $2",
	.nargs = 3,
	.argtypes = {INT4OID, TEXTOID, TEXTOID},
};

static void
at_end(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE) &&
		known != NULL && hash_get_num_entries(known) >= MOST)
	{
		known = NULL;
		MemoryContextReset(context);
	}
}

static void
prepare(void)
{
	HASHCTL control = {.keysize = sizeof(Key), .entrysize = sizeof(Entry)};
	Oid extension = hd_spi_extension();

	if (known != NULL && known_of == extension)
		return;
	if (context == NULL)
	{
		context =
			AllocSetContextCreate(TopMemoryContext, "hotdash SLA terms", ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(at_end, NULL);
	}
	known = NULL;
	MemoryContextReset(context);
	control.hcxt = context;
	known = hash_create("hotdash SLA terms", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	known_of = extension;
}

/* The elements of an array without nulls, whose type has a fixed width, in the session's memory. */
static const void *
elements(Datum array, Size width, int *n)
{
	ArrayType *given = DatumGetArrayTypeP(array);
	void *kept;

	*n = ArrayGetNItems(ARR_NDIM(given), ARR_DIMS(given));
	kept = MemoryContextAlloc(context, width * Max(*n, 1));
	memcpy(kept, ARR_DATA_PTR(given), width * *n);
	return kept;
}

static HdSlaReopen
reopen_of(const char *word)
{
	if (strcmp(word, "restart") == 0)
		return HD_SLA_REOPEN_RESTART;
	return (strcmp(word, "ignore") == 0) ? HD_SLA_REOPEN_IGNORE : HD_SLA_REOPEN_CONTINUE;
}

static bool
read_version(HdSlaVersion *version, const Key *key)
{
	Datum values[3] = {Int32GetDatum(key->version_id), CStringGetTextDatum(key->metric),
					   CStringGetTextDatum(key->priority)};
	int n;

	memset(version, 0, sizeof(*version));
	hd_spi_run(&version_plan, values, NULL, false, 1);
	if (SPI_processed == 0)
		return false;
	version->at_open = DatumGetBool(hd_spi_result(0, 1));
	version->terms.reopen = reopen_of(TextDatumGetCString(hd_spi_result(0, 2)));
	version->terms.restarts = DatumGetBool(hd_spi_result(0, 3));
	version->terms.target = DatumGetInt64(hd_spi_result(0, 4));
	version->terms.steps = elements(hd_spi_result(0, 5), sizeof(int16), &version->terms.nsteps);
	version->terms.offsets = elements(hd_spi_result(0, 6), sizeof(int64), &n);
	if (n != version->terms.nsteps)
		elog(ERROR, "steps and offsets of an SLA target differ in number");
	return true;
}

const HdSlaVersion *
hd_sla_version(int32 version_id, const char *metric, const char *priority)
{
	Key key = {.version_id = version_id};
	HdSlaVersion version;
	Entry *entry;

	prepare();
	strlcpy(key.metric, metric, MAX_TEXT);
	strlcpy(key.priority, priority, MAX_TEXT);
	entry = hash_search(known, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->version;

	/* nothing is entered before it is whole */
	if (!read_version(&version, &key))
		return NULL;
	entry = hash_search(known, &key, HASH_ENTER, NULL);
	entry->version = version;
	return &entry->version;
}
