/*-------------------------------------------------------------------------
 * enqueue.c
 *		job_enqueue and job_enqueue_many.
 *
 * Model: a job that is due at once and finds room in the list is inserted
 * with the primary key as its only index entry; any other goes to the shelf
 * as well.  Either way others see it when the transaction commits (tx.h).
 *
 * Locking: two requests for one unique key meet at the primary key of
 * _job_unique: the later waits for the earlier transaction to end.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/trace.h"
#include "fmgr.h"
#include "jobs/finish.h"
#include "jobs/hold.h"
#include "jobs/jobs.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/options.h"
#include "jobs/table.h"
#include "jobs/tx.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define MAX_ATTEMPTS 1000

int hd_jobs_setting_max_payload = 1024;

typedef enum IfExists
{
	IF_EXISTS_KEEP,
	IF_EXISTS_REPLACE,
	IF_EXISTS_THROTTLE,
	IF_EXISTS_ERROR
} IfExists;

/* What one call asks for; strings live as long as the call. */
typedef struct Request
{
	char *kind;
	char *queue;
	int priority;
	bool scheduled; /* run_at was given */
	TimestampTz run_at;
	int max_attempts;
	const char *tenant;
	Datum tags; /* 0: none */
	IfExists if_exists;
	HdJobOptions options;
	HdJobHeld gate;
	int64 *gated; /* ids to file with the gate: jobs that were really inserted */
	int ngated;
	uint32 kind_hash;
	uint32 tenant_hash;
} Request;

static HdSpiRelation id_sequence = {.name = "_job_id"};

PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue);
PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_batch_open);

static int64
next_id(void)
{
	int64 low = nextval_internal(hd_spi_relation(&id_sequence), false);

	return ((int64) hd_setting_node_id << 52) | low;
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return fcinfo->args[n].isnull ? NULL : text_to_cstring(DatumGetTextPP(fcinfo->args[n].value));
}

static int
int_argument(FunctionCallInfo fcinfo, int n, int missing, int low, int high, const char *what)
{
	int value;

	if (fcinfo->args[n].isnull)
		return missing;
	value = DatumGetInt32(fcinfo->args[n].value);
	if (value < low || value > high)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be between %d and %d", what, low, high)));
	return value;
}

static IfExists
if_exists_argument(const char *word)
{
	static const char *const words[] = {"keep", "replace", "throttle", "error"};

	if (word == NULL)
		return IF_EXISTS_KEEP;
	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (IfExists) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid if_exists: \"%s\"", word),
			 errhint("Use keep, replace, throttle or error.")));
	return IF_EXISTS_KEEP;
}

/* Where the arguments that both functions share stand in their lists. */
typedef struct ArgumentPlaces
{
	int queue;
	int priority;
	int run_at;
	int max_attempts;
	int tenant;
	int tags;
	int options;
} ArgumentPlaces;

static void
read_request(FunctionCallInfo fcinfo, const ArgumentPlaces *places, Request *request)
{
	const HdJobKind *kind;

	memset(request, 0, sizeof(Request));
	hd_instance_use();
	hd_require_arg(fcinfo, 0, "kind");
	request->kind = text_argument(fcinfo, 0);
	kind = hd_jobs_kind_get(request->kind);
	request->queue = text_argument(fcinfo, places->queue);
	if (request->queue == NULL)
		request->queue = pstrdup(kind->queue);
	request->max_attempts = int_argument(fcinfo, places->max_attempts, kind->max_attempts, 1,
										 MAX_ATTEMPTS, "max_attempts");
	hd_jobs_queue_check(request->queue);
	request->priority =
		int_argument(fcinfo, places->priority, 5, 0, HD_JOB_PRIORITIES - 1, "priority");
	request->scheduled = !fcinfo->args[places->run_at].isnull;
	if (request->scheduled)
		request->run_at = DatumGetTimestampTz(fcinfo->args[places->run_at].value);
	request->tenant = hd_settings_tenant(text_argument(fcinfo, places->tenant));
	if (!fcinfo->args[places->tags].isnull)
		request->tags = PointerGetDatum(DatumGetArrayTypeP(fcinfo->args[places->tags].value));
	hd_jobs_options_parse(fcinfo->args[places->options].isnull
							  ? NULL
							  : DatumGetJsonbP(fcinfo->args[places->options].value),
						  &request->options);
	request->kind_hash = hd_jobs_kind_hash(request->kind, (int) strlen(request->kind));
	request->tenant_hash = hd_jobs_list_tenant_hash(request->tenant, (int) strlen(request->tenant));
}

static void
set_column(HdJobRow *row, HdJobColumn column, Datum value, bool isnull)
{
	row->values[column - 1] = value;
	row->nulls[column - 1] = isnull;
}

/* The job's own, else the transaction's. */
static void
set_traceparent(HdJobRow *row, Datum own)
{
	const char *current = hd_trace_current();

	if (own == 0 && current != NULL)
		own = CStringGetTextDatum(current);
	set_column(row, HD_JOB_COL_TRACEPARENT, own, own == 0);
}

/* All columns that are the same for every job of a request. */
static void
prepare_row(const Request *request, TimestampTz now, HdJobRow *row)
{
	const HdJobOptions *options = &request->options;

	memset(row, 0, sizeof(HdJobRow));
	set_column(row, HD_JOB_COL_ENQUEUED_AT, TimestampTzGetDatum(now), false);
	set_column(row, HD_JOB_COL_FENCE, Int32GetDatum(0), false);
	set_column(row, HD_JOB_COL_PRIORITY, Int16GetDatum(request->priority), false);
	set_column(row, HD_JOB_COL_ATTEMPT, Int16GetDatum(0), false);
	set_column(row, HD_JOB_COL_MAX_ATTEMPTS, Int16GetDatum(request->max_attempts), false);
	set_column(row, HD_JOB_COL_QUEUE, CStringGetTextDatum(request->queue), false);
	set_column(row, HD_JOB_COL_KIND, CStringGetTextDatum(request->kind), false);
	set_column(row, HD_JOB_COL_TENANT, CStringGetTextDatum(request->tenant), false);
	set_column(row, HD_JOB_COL_EXPIRES_AT, TimestampTzGetDatum(options->expires_at),
			   !options->expires);
	set_column(row, HD_JOB_COL_TIMEOUT, Int32GetDatum(options->timeout_ms),
			   options->timeout_ms == 0);
	set_column(row, HD_JOB_COL_BACKOFF, options->backoff, options->backoff == 0);
	set_column(row, HD_JOB_COL_TAGS, request->tags, request->tags == 0);
	set_traceparent(row, options->traceparent);
	set_column(row, HD_JOB_COL_LAST_ERROR, 0, true);
	set_column(row, HD_JOB_COL_HOLD, Int16GetDatum(request->gate.bits), request->gate.bits == 0);
	set_column(row, HD_JOB_COL_AWAITED, BoolGetDatum(true), options->batch == 0);
	set_column(row, HD_JOB_COL_BATCH, Int64GetDatum(options->batch), options->batch == 0);
}

/* Set the payload column, within the limit. */
static void
set_payload(HdJobRow *row, Datum payload, bool isnull)
{
	Size limit = (Size) hd_jobs_setting_max_payload * 1024;

	if (!isnull && toast_raw_datum_size(payload) - VARHDRSZ > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload of a job is larger than %d kB", hd_jobs_setting_max_payload),
				 errhint("Keep large data in a table and pass its key, or raise "
						 "hotdash.job_max_payload.")));
	set_column(row, HD_JOB_COL_PAYLOAD, isnull ? 0 : payload, isnull);
}

/* Insert one job; the columns that differ are set here. */
static void
insert_job(HdJobTable *table, Request *request, HdJobRow *row, int64 id, TimestampTz now)
{
	TimestampTz at = request->scheduled ? Max(request->run_at, now) : now;
	ItemPointerData tid;
	bool held = request->gate.bits != 0;
	bool shelf = !held;

	/* A moved clock must not decide for sessions that have the real one. */
	if (!held && at <= now && hd_settings_preloaded() && !hd_clock_overridden())
		shelf = !hd_jobs_tx_reserve(request->queue, request->priority, id, at, request->kind_hash,
									request->tenant_hash);
	set_column(row, HD_JOB_COL_ID, Int64GetDatum(id), false);
	set_column(row, HD_JOB_COL_AT, TimestampTzGetDatum(at), false);
	set_column(row, HD_JOB_COL_SHELF, BoolGetDatum(shelf), false);
	hd_jobs_table_insert(table, row, &tid);
	if (request->gated != NULL)
		request->gated[request->ngated++] = id;
	if (held || !hd_settings_preloaded())
		return;
	if (shelf)
		hd_jobs_tx_shelve(request->queue, request->priority, at, id);
	else
		hd_jobs_tx_place(id, &tid);
}

/*
 * Gates.
 */

/* Before the first row: what the jobs of this request wait for, for n jobs at most. */
static void
begin_gate(Request *request, ArrayType *after, int approval, int n)
{
	HdJobHeld *gate = &request->gate;

	hd_jobs_hold_read(gate, after, approval, &request->options);
	if (!hd_jobs_hold_asked(gate))
		return;
	if (request->if_exists == IF_EXISTS_REPLACE || request->if_exists == IF_EXISTS_THROTTLE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("after, approval and batch cannot be combined with if_exists "
							   "replace or throttle"),
						errdetail("The job that is there would wait for what it did not ask for, "
								  "or for itself.")));
	hd_jobs_hold_resolve(gate, request->tenant);
	request->gated = palloc(sizeof(int64) * Max(n, 1));
}

/* After the last row. */
static void
end_gate(HdJobTable *table, Request *request, TimestampTz now)
{
	const HdJobHeld *gate = &request->gate;

	if (request->gated == NULL)
		return;
	hd_jobs_hold_file(gate, request->gated, request->ngated, request->tenant, now);
	if (gate->failed == 0 || request->ngated == 0)
		return;

	/* What it waits for has failed already: as if that had happened a moment later. */
	CommandCounterIncrement();
	(void) hd_jobs_finish_held(table, request->gated[0], HD_JOB_CANCELLED,
							   hd_jobs_after_failed(gate->failed));
}

/*
 * Unique keys.
 */

static HdSpiPlan unique_insert = {
	.sql = "INSERT INTO hotdash._job_unique (kind, tenant, unique_key, id) VALUES ($1, $2, $3, $4) "
		   "ON CONFLICT DO NOTHING",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8OID},
};

static HdSpiPlan unique_find = {
	.sql = "SELECT id FROM hotdash._job_unique WHERE kind = $1 AND tenant = $2 AND unique_key = $3",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
};

static HdSpiPlan unique_lock = {
	.sql = "SELECT id FROM hotdash._job_unique WHERE kind = $1 AND tenant = $2 AND unique_key = $3 "
		   "FOR UPDATE",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
};

static HdSpiPlan unique_move = {
	.sql = "UPDATE hotdash._job_unique SET id = $4 "
		   "WHERE kind = $1 AND tenant = $2 AND unique_key = $3",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8OID},
};

/* New payload, and a new time unless throttled; the row goes to the shelf, where it is found. */
static HdSpiPlan job_replace = {
	.sql =
		"UPDATE hotdash._job SET payload = $2, at = CASE WHEN $4 THEN at ELSE $3 END, "
		"shelf = hold IS NULL, fence = fence + 1 WHERE id = $1 RETURNING queue, priority, at, shelf",
	.nargs = 4,
	.argtypes = {INT8OID, JSONBOID, TIMESTAMPTZOID, BOOLOID},
};

typedef struct UniqueKey
{
	Datum values[4]; /* kind, tenant, key, id: as all statements above take them */
} UniqueKey;

/*
 * Claim the key for a new job.  Returns 0 when it is ours, else the id of
 * the job that has it (locked if lock is set).
 */
static int64
unique_acquire(UniqueKey *key, bool lock)
{
	for (;;)
	{
		HdSpi spi;
		int64 there = 0;
		bool inserted;
		bool found = false;
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		hd_spi_begin(&spi);
		hd_spi_run(&unique_insert, key->values, NULL, false, 0);
		inserted = SPI_processed > 0;
		if (!inserted)
		{
			hd_spi_run(lock ? &unique_lock : &unique_find, key->values, NULL, false, 1);
			found = SPI_processed > 0;
			if (found)
				there = DatumGetInt64(
					SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		}
		hd_spi_end(&spi);
		if (inserted)
			return 0;
		if (found)
			return there;

		/* Ended between the two statements: the key is free now. */
	}
}

static void
unique_take_over(UniqueKey *key)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&unique_move, key->values, NULL, false, 0);
	hd_spi_end(&spi);
}

/* Change a job that is waiting; false when it is running or gone, and so cannot be changed. */
static bool
replace_waiting(const Request *request, int64 id, Datum payload, bool payload_null, TimestampTz now)
{
	TimestampTz at = request->scheduled ? Max(request->run_at, now) : now;
	Datum values[4] = {Int64GetDatum(id), payload, TimestampTzGetDatum(at),
					   BoolGetDatum(request->if_exists == IF_EXISTS_THROTTLE)};
	char nulls[4] = {' ', payload_null ? 'n' : ' ', ' ', ' '};
	bool changed;
	HdSpi spi;

	if (hd_settings_preloaded())
	{
		int32 index;

		if (hd_jobs_tx_seize(id, request->queue, request->priority, &index) != HD_JOB_SEIZED)
			return false;
	}
	hd_spi_begin(&spi);
	hd_spi_run(&job_replace, values, nulls, false, 0);
	changed = SPI_processed > 0;
	if (changed && hd_settings_preloaded())
	{
		bool isnull;
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;

		/* One that is held stays so, and is nobody's to find yet. */
		if (DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull)))
			hd_jobs_tx_shelve(TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull)),
							  DatumGetInt16(SPI_getbinval(tuple, desc, 2, &isnull)),
							  DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull)), id);
	}
	hd_spi_end(&spi);
	return changed;
}

/*
 * One job with a unique key.  A waiting job is kept, changed or reported;
 * beside a running one, replace and throttle enqueue a successor that takes
 * the key over.
 */
static int64
enqueue_unique(HdJobTable *table, Request *request, HdJobRow *row, int64 id, char *key_text)
{
	TimestampTz now = DatumGetTimestampTz(row->values[HD_JOB_COL_ENQUEUED_AT - 1]);
	Datum payload = row->values[HD_JOB_COL_PAYLOAD - 1];
	bool payload_null = row->nulls[HD_JOB_COL_PAYLOAD - 1];
	UniqueKey key;
	int64 there;

	key.values[0] = row->values[HD_JOB_COL_KIND - 1];
	key.values[1] = row->values[HD_JOB_COL_TENANT - 1];
	key.values[2] = CStringGetTextDatum(key_text);
	key.values[3] = Int64GetDatum(id);

	there = unique_acquire(&key, request->if_exists != IF_EXISTS_KEEP);
	if (there != 0)
	{
		if (request->if_exists == IF_EXISTS_KEEP)
			return there;
		if (request->if_exists == IF_EXISTS_ERROR)
			ereport(ERROR, (errcode(HD_ERRCODE_JOB_EXISTS),
							errmsg("a job of kind \"%s\" with unique key \"%s\" exists already",
								   request->kind, key_text),
							errdetail("It is job " INT64_FORMAT ".", there)));
		if (replace_waiting(request, there, payload, payload_null, now))
			return there;
		unique_take_over(&key);
	}
	set_column(row, HD_JOB_COL_UNIQUE_KEY, key.values[2], false);
	insert_job(table, request, row, id, now);
	return id;
}

static void
refuse_later(bool given, const char *argument)
{
	if (given)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("argument \"%s\" is not supported by this version", argument)));
}

/* job_enqueue; bits: HD_JOB_HOLD_* beside those that the arguments ask for. */
static int64
enqueue_one(FunctionCallInfo fcinfo, int bits)
{
	static const ArgumentPlaces places = {.queue = 2,
										  .priority = 3,
										  .run_at = 4,
										  .max_attempts = 5,
										  .tenant = 9,
										  .tags = 12,
										  .options = 13};
	Request request;
	HdJobTable table;
	HdJobRow row;
	TimestampTz now = hd_clock_now();
	char *key;
	int64 id;

	read_request(fcinfo, &places, &request);
	key = text_argument(fcinfo, 6);
	request.if_exists = if_exists_argument(text_argument(fcinfo, 7));
	refuse_later(!PG_ARGISNULL(8), "order_key");
	request.gate.bits = bits;
	begin_gate(&request, PG_ARGISNULL(10) ? NULL : PG_GETARG_ARRAYTYPE_P(10),
			   PG_ARGISNULL(11) ? -1 : PG_GETARG_BOOL(11), 1);

	prepare_row(&request, now, &row);
	set_payload(&row, PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	set_column(&row, HD_JOB_COL_UNIQUE_KEY, 0, true);

	hd_jobs_table_open(&table, true);
	id = next_id();
	if (key != NULL)
		id = enqueue_unique(&table, &request, &row, id, key);
	else
		insert_job(&table, &request, &row, id, now);
	end_gate(&table, &request, now);
	hd_jobs_table_close(&table);
	return id;
}

/*
 * hd_jobs_sql_enqueue
 *		SQL: job_enqueue(...) -> bigint.
 */
Datum
hd_jobs_sql_enqueue(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_one(fcinfo, 0));
}

/*
 * hd_jobs_sql_batch_open
 *		SQL: _batch_open(...) -> bigint, the callback of a new batch.
 */
Datum
hd_jobs_sql_batch_open(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_one(fcinfo, HD_JOB_HOLD_OPEN));
}

/* A key to enqueue, with its place in the arrays, so that keys can be taken in order. */
typedef struct KeyPlace
{
	char *key;
	int place;
} KeyPlace;

static int
compare_keys(const void *a, const void *b)
{
	const KeyPlace *x = a;
	const KeyPlace *y = b;
	int order;

	if (x->key == NULL || y->key == NULL)
		order = (x->key != NULL) - (y->key != NULL);
	else
		order = strcmp(x->key, y->key);
	return (order != 0) ? order : x->place - y->place;
}

/* Keys in one order in every session, so that two calls cannot deadlock. */
static KeyPlace *
sorted_keys(ArrayType *keys, int n)
{
	KeyPlace *places = palloc0(sizeof(KeyPlace) * Max(n, 1));
	Datum *elements = NULL;
	bool *nulls = NULL;
	int nkeys = n;

	if (keys != NULL)
		deconstruct_array(keys, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &nkeys);
	if (nkeys != n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("payloads and unique_keys must have the same length")));
	for (int i = 0; i < n; i++)
	{
		places[i].place = i;
		if (keys != NULL && !nulls[i])
			places[i].key = TextDatumGetCString(elements[i]);
	}
	if (keys != NULL)
		qsort(places, n, sizeof(KeyPlace), compare_keys);
	return places;
}

/*
 * hd_jobs_sql_enqueue_many
 *		SQL: job_enqueue_many(...) -> bigint[], ids in the order of the payloads.
 */
Datum
hd_jobs_sql_enqueue_many(PG_FUNCTION_ARGS)
{
	static const ArgumentPlaces places = {.queue = 2,
										  .priority = 3,
										  .run_at = 4,
										  .max_attempts = 5,
										  .tenant = 8,
										  .tags = 9,
										  .options = 10};
	Request request;
	HdJobTable table;
	HdJobRow row;
	TimestampTz now = hd_clock_now();
	Datum *payloads;
	bool *nulls;
	Datum *ids;
	KeyPlace *keys;
	int n;

	read_request(fcinfo, &places, &request);
	hd_require_arg(fcinfo, 1, "payloads");
	refuse_later(!PG_ARGISNULL(7), "order_keys");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT, &payloads,
					  &nulls, &n);
	keys = sorted_keys(PG_ARGISNULL(6) ? NULL : PG_GETARG_ARRAYTYPE_P(6), n);
	begin_gate(&request, NULL, -1, n);

	prepare_row(&request, now, &row);

	/* Keys are taken in their own order, but jobs run in that of the payloads. */
	ids = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(next_id());
	hd_jobs_table_open(&table, true);
	for (int i = 0; i < n; i++)
	{
		int place = keys[i].place;

		CHECK_FOR_INTERRUPTS();
		set_payload(&row, payloads[place], nulls[place]);
		set_column(&row, HD_JOB_COL_UNIQUE_KEY, 0, true);
		if (keys[i].key != NULL)
			ids[place] = Int64GetDatum(
				enqueue_unique(&table, &request, &row, DatumGetInt64(ids[place]), keys[i].key));
		else
			insert_job(&table, &request, &row, DatumGetInt64(ids[place]), now);
	}
	end_gate(&table, &request, now);
	hd_jobs_table_close(&table);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
