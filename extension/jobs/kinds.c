/*-------------------------------------------------------------------------
 * kinds.c
 *		Kinds of jobs and queues: what job_kind_set and queue_set said.
 *
 * Model: two caches per session, emptied by a relcache callback.  A message
 * can arrive while a cache is being filled, so emptying only raises a flag
 * that the next look-up obeys.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/kinds.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/own.h"
#include "jobs/tx.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

static HdSpiRelation kind_table = {.name = "_kind"};
static HdSpiRelation queue_table = {.name = "_queue"};

static MemoryContext cache_context = NULL;
static HTAB *kinds = NULL;
static HdJobQueueConfig *queue_configs = NULL;
static int nqueue_configs = 0;
static uint32 *handled = NULL;
static int nhandled = 0;
static HdJobKindLimit *limits = NULL;
static int nlimits = 0;
static bool stale = true;

PG_FUNCTION_INFO_V1(hd_jobs_sql_config_changed);
PG_FUNCTION_INFO_V1(hd_jobs_sql_name_check);
PG_FUNCTION_INFO_V1(hd_jobs_sql_payload_check);

static HdSpiPlan kind_plan = {
	.sql = "SELECT queue, handler, run_as, max_attempts, timeout, backoff, concurrency, "
		   "concurrency_per_key, payload_schema FROM hotdash._kind WHERE kind = $1",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

static HdSpiPlan queues_plan = {
	.sql = "SELECT queue, paused, notify, coalesce(concurrency, 0), coalesce(rate, 0), rate_period "
		   "FROM hotdash._queue "
		   "UNION ALL SELECT 'default', false, false, 0, 0, NULL "
		   "WHERE NOT EXISTS (SELECT FROM hotdash._queue WHERE queue = 'default')",
};

static HdSpiPlan handled_plan = {
	.sql = "SELECT kind FROM hotdash._kind WHERE handler IS NOT NULL",
};

static HdSpiPlan limits_plan = {
	.sql = "SELECT kind, coalesce(concurrency, 0), timeout, coalesce(concurrency_per_key, 0) "
		   "FROM hotdash._kind "
		   "WHERE coalesce(concurrency, concurrency_per_key) IS NOT NULL OR timeout IS NOT NULL",
};

uint32
hd_jobs_kind_hash(const char *name, int length)
{
	return hash_bytes((const unsigned char *) name, length);
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kind_table.oid || relid == queue_table.oid)
		stale = true;
}

/*
 * hd_jobs_sql_config_changed
 *		Trigger of _kind and _queue: tell every session at commit.
 */
Datum
hd_jobs_sql_config_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_config_changed can only be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	if (hd_settings_preloaded())
		hd_jobs_tx_wake();
	PG_RETURN_POINTER(NULL);
}

void
hd_jobs_name_check(const char *name, const char *what)
{
	size_t length = strlen(name);

	if (length == 0 || length >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a %s must have 1 to %d bytes", what, NAMEDATALEN - 1)));
	for (const char *c = name; *c != '\0'; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			  strchr("_-.:/", *c) != NULL))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid name of a %s: \"%s\"", what, name),
					 errdetail("Letters, digits and the characters _ - . : / are allowed.")));
}

/*
 * hd_jobs_sql_name_check
 *		SQL: _name_check(name text, what text).
 */
Datum
hd_jobs_sql_name_check(PG_FUNCTION_ARGS)
{
	hd_jobs_name_check(text_to_cstring(PG_GETARG_TEXT_PP(0)),
					   text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

static Datum
result(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static void
read_queues(void)
{
	HdSpi spi;
	bool isnull;
	Datum period;

	hd_spi_begin(&spi);
	hd_spi_run_latest(&queues_plan, NULL, NULL);
	nqueue_configs = (int) SPI_processed;
	queue_configs =
		MemoryContextAllocZero(cache_context, sizeof(HdJobQueueConfig) * nqueue_configs);
	for (int i = 0; i < nqueue_configs; i++)
	{
		strlcpy(queue_configs[i].name, TextDatumGetCString(result(i, 1, &isnull)), NAMEDATALEN);
		queue_configs[i].own = hd_jobs_own_is_queue(queue_configs[i].name);
		queue_configs[i].paused = DatumGetBool(result(i, 2, &isnull));
		queue_configs[i].notify = DatumGetBool(result(i, 3, &isnull));
		queue_configs[i].concurrency = DatumGetInt32(result(i, 4, &isnull));
		queue_configs[i].rate = DatumGetInt32(result(i, 5, &isnull));
		period = result(i, 6, &isnull);
		queue_configs[i].rate_period_us =
			isnull ? 0 : hd_duration_us(DatumGetIntervalP(period), "rate_period", 1);
	}
	hd_spi_end(&spi);
}

/* Make the caches current: empty ones if anything changed. */
static void
refresh(void)
{
	static bool registered = false;
	HASHCTL control = {.keysize = NAMEDATALEN, .entrysize = sizeof(HdJobKind)};
	Oid was = kind_table.oid;

	/* A statement that locks no table would not have taken in what others committed. */
	AcceptInvalidationMessages();
	if (hd_spi_relation(&kind_table) != was)
		stale = true;
	(void) hd_spi_relation(&queue_table);
	if (!stale)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		registered = true;
	}
	if (cache_context == NULL)
		cache_context =
			AllocSetContextCreate(TopMemoryContext, "hotdash kinds", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(cache_context);
	queue_configs = NULL;
	handled = NULL;
	limits = NULL;
	control.hcxt = cache_context;
	kinds = hash_create("hotdash kinds", 32, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	stale = false;
}

/* Fill a kind from the row that SPI has at hand. */
static void
read_kind(HdJobKind *kind)
{
	bool isnull;
	Datum value;

	strlcpy(kind->queue, TextDatumGetCString(result(0, 1, &isnull)), NAMEDATALEN);
	value = result(0, 2, &isnull);
	kind->handler = isnull ? NULL : MemoryContextStrdup(cache_context, TextDatumGetCString(value));
	value = result(0, 3, &isnull);
	kind->run_as = isnull ? InvalidOid : DatumGetObjectId(value);
	kind->max_attempts = DatumGetInt16(result(0, 4, &isnull));
	value = result(0, 5, &isnull);
	kind->timeout_us = isnull ? 0 : hd_duration_us(DatumGetIntervalP(value), "timeout", 0);
	value = result(0, 6, &isnull);
	if (isnull)
		hd_jobs_backoff_default(&kind->backoff);
	else
		hd_jobs_backoff_parse(DatumGetJsonbP(value), &kind->backoff);
	value = result(0, 7, &isnull);
	kind->concurrency = isnull ? 0 : DatumGetInt32(value);
	value = result(0, 8, &isnull);
	kind->per_key = isnull ? 0 : DatumGetInt32(value);
	value = result(0, 9, &isnull);
	if (!isnull)
	{
		Jsonb *source = DatumGetJsonbP(value);

		kind->payload_schema = MemoryContextAlloc(cache_context, VARSIZE(source));
		memcpy(kind->payload_schema, source, VARSIZE(source));
	}
}

const HdJobKind *
hd_jobs_kind_get_missing_ok(const char *name)
{
	HdJobKind found;
	HdJobKind *kind;
	Datum values[1];
	bool exists;
	HdSpi spi;

	refresh();
	if (strlen(name) >= NAMEDATALEN)
		return NULL;
	kind = hash_search(kinds, name, HASH_FIND, NULL);
	if (kind != NULL)
		return kind;

	memset(&found, 0, sizeof(found));
	values[0] = CStringGetTextDatum(name);
	hd_spi_begin(&spi);
	hd_spi_run_latest(&kind_plan, values, NULL);
	exists = SPI_processed > 0;
	if (exists)
		read_kind(&found);
	hd_spi_end(&spi);
	if (!exists)
		return NULL;

	strlcpy(found.kind, name, NAMEDATALEN);
	found.own = hd_jobs_own_queue_of(name) != NULL;
	kind = hash_search(kinds, name, HASH_ENTER, NULL);
	*kind = found;
	return kind;
}

const HdJobKind *
hd_jobs_kind_get(const char *name)
{
	const HdJobKind *kind = hd_jobs_kind_get_missing_ok(name);

	if (kind == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job kind \"%s\" does not exist", name),
				 errhint("Register it with hotdash.job_kind_set('%s').", name)));
	return kind;
}

static bool
refuse_payload(void *arg, const HdSchemaError *error)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("payload of kind \"%s\" breaks the rule \"%s\" of its schema at \"%s\"",
						   (const char *) arg, error->rule, error->path),
					errdetail("The value %s.", error->message)));
	return false;
}

void
hd_jobs_kind_check_payload(const char *name, Jsonb *source)
{
	HdJobKind *kind = unconstify(HdJobKind *, hd_jobs_kind_get_missing_ok(name));

	if (kind == NULL || kind->payload_schema == NULL)
		return;

	/* Here and not when the kind is read: its other users must not fail for a bad schema. */
	if (kind->compiled == NULL)
		kind->compiled = hd_schema_compile(kind->payload_schema, cache_context);
	(void) hd_schema_check(kind->compiled, source, refuse_payload, kind->kind);
}

/*
 * hd_jobs_sql_payload_check
 *		SQL: _job_payload_check(kind text, payload jsonb).
 */
Datum
hd_jobs_sql_payload_check(PG_FUNCTION_ARGS)
{
	hd_jobs_kind_check_payload(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_JSONB_P(1));
	PG_RETURN_VOID();
}

static void
read_handled(void)
{
	HdSpi spi;
	bool isnull;

	hd_spi_begin(&spi);
	hd_spi_run_latest(&handled_plan, NULL, NULL);
	nhandled = (int) SPI_processed;
	handled = MemoryContextAlloc(cache_context, sizeof(uint32) * Max(nhandled, 1));
	for (int i = 0; i < nhandled; i++)
	{
		char *kind = TextDatumGetCString(result(i, 1, &isnull));

		handled[i] = hd_jobs_kind_hash(kind, (int) strlen(kind));
	}
	hd_spi_end(&spi);
}

uint32 *
hd_jobs_kind_handled(int *n)
{
	uint32 *copy;

	refresh();
	if (handled == NULL)
		read_handled();
	copy = palloc(sizeof(uint32) * Max(nhandled, 1));
	memcpy(copy, handled, sizeof(uint32) * nhandled);
	*n = nhandled;
	return copy;
}

static void
read_limits(void)
{
	HdSpi spi;
	bool isnull;

	hd_spi_begin(&spi);
	hd_spi_run_latest(&limits_plan, NULL, NULL);
	nlimits = (int) SPI_processed;
	limits = MemoryContextAllocZero(cache_context, sizeof(HdJobKindLimit) * Max(nlimits, 1));
	for (int i = 0; i < nlimits; i++)
	{
		char *kind = TextDatumGetCString(result(i, 1, &isnull));
		Datum timeout;

		limits[i].kind_hash = hd_jobs_kind_hash(kind, (int) strlen(kind));
		limits[i].concurrency = DatumGetInt32(result(i, 2, &isnull));
		timeout = result(i, 3, &isnull);
		if (!isnull)
			limits[i].timeout_us = hd_duration_us(DatumGetIntervalP(timeout), "timeout", 0);
		limits[i].per_key = DatumGetInt32(result(i, 4, &isnull));
	}
	hd_spi_end(&spi);
}

static void
need_limits(void)
{
	refresh();
	if (limits == NULL)
		read_limits();
}

int
hd_jobs_kind_per_key(uint32 kind_hash)
{
	need_limits();
	for (int i = 0; i < nlimits; i++)
		if (limits[i].kind_hash == kind_hash)
			return limits[i].per_key;
	return 0;
}

void
hd_jobs_kind_limits(HdJobQueues *queues)
{
	need_limits();
	queues->nlimits = nlimits;
	queues->limits = palloc(sizeof(HdJobKindLimit) * Max(nlimits, 1));
	memcpy(queues->limits, limits, sizeof(HdJobKindLimit) * nlimits);
}

static const HdJobQueueConfig *
find_queue(const char *name)
{
	refresh();
	if (queue_configs == NULL)
		read_queues();
	for (int i = 0; i < nqueue_configs; i++)
		if (strcmp(queue_configs[i].name, name) == 0)
			return &queue_configs[i];
	return NULL;
}

const HdJobQueueConfig *
hd_jobs_queue_get(const char *name)
{
	const HdJobQueueConfig *queue = find_queue(name);

	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("queue \"%s\" does not exist", name),
				 errhint("Create it with hotdash.queue_set('%s').", name)));
	return queue;
}

char **
hd_jobs_queue_names(int *n)
{
	char **names;
	int count = 0;

	(void) find_queue(HD_JOB_DEFAULT_QUEUE);
	names = palloc(sizeof(char *) * Max(nqueue_configs, 1));
	for (int i = 0; i < nqueue_configs; i++)
		if (!queue_configs[i].paused && !queue_configs[i].own)
			names[count++] = pstrdup(queue_configs[i].name);
	*n = count;
	return names;
}
