/*-------------------------------------------------------------------------
 * enqueue.c
 *		job_enqueue and job_enqueue_many.
 *
 * Model: a job that is due at once, has no key and finds room in the list is
 * inserted with the primary key as its only index entry; any other is also
 * in a line (list.h).  Either way others see it when the transaction commits
 * (tx.h).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
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
#include "jobs/own.h"
#include "jobs/place.h"
#include "jobs/scan.h"
#include "jobs/table.h"
#include "jobs/tx.h"
#include "jobs/unique.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define MAX_ATTEMPTS 1000
#define MAX_KEY 1024

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
	HdJobPlace place; /* of a job without a key */
	int per_key;	  /* the kind's concurrency_per_key */
	bool has_schema;  /* payloads must fit the kind's */
	bool notify;	  /* the queue wants listeners to be told */
	HdJobHeld held;
	int64 *inserted; /* ids of jobs that are held, as far as they were really inserted */
	int ninserted;
} Request;

static HdSpiRelation id_sequence = {.name = "_job_id"};

PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue);
PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue_own);
PG_FUNCTION_INFO_V1(hd_jobs_sql_enqueue_many_own);
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

/* Where the request's jobs go, apart from their keys. */
static void
address_of(const Request *request, HdJobAddress *address)
{
	address->queue = request->queue;
	address->priority = request->priority;
	address->kind_hash = hd_jobs_kind_hash(request->kind, (int) strlen(request->kind));
	address->tenant = request->tenant;
	address->flow = request->options.flow;
}

/* Nothing in a request may be the server's own. */
static void
refuse_own(const Request *request, bool kind, bool queue)
{
	const HdJobOptions *options = &request->options;

	if (kind)
		hd_jobs_own_refuse_kind(request->kind);
	if (queue)
		hd_jobs_own_refuse_queue(request->queue);
	if (options->flow != NULL)
		hd_jobs_own_refuse_flow(options->flow);
	for (int i = 0; i < options->nflows; i++)
		hd_jobs_own_refuse_flow(options->flows[i]);
}

/* own: the server itself asks. */
static void
read_request(FunctionCallInfo fcinfo, const ArgumentPlaces *places, bool own, Request *request)
{
	const HdJobKind *kind;
	const HdJobQueueConfig *queue;
	HdJobAddress address;
	bool own_kind;

	memset(request, 0, sizeof(Request));
	hd_instance_use();
	hd_require_arg(fcinfo, 0, "kind");
	request->kind = text_argument(fcinfo, 0);
	kind = hd_jobs_kind_get(request->kind);
	own_kind = kind->own;
	request->queue = text_argument(fcinfo, places->queue);
	if (request->queue == NULL)
		request->queue = pstrdup(kind->queue);
	request->per_key = kind->per_key;
	request->has_schema = kind->payload_schema != NULL;
	request->max_attempts = int_argument(fcinfo, places->max_attempts, kind->max_attempts, 1,
										 MAX_ATTEMPTS, "max_attempts");
	queue = hd_jobs_queue_get(request->queue);
	request->notify = queue->notify;
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
	if (!own)
		refuse_own(request, own_kind, queue->own);
	address_of(request, &address);
	hd_jobs_place_set(&request->place, &address, NULL, 0);
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
	set_column(row, HD_JOB_COL_ORDER_KEY, 0, true);
	set_column(row, HD_JOB_COL_FLOW,
			   (options->flow == NULL) ? 0 : CStringGetTextDatum(options->flow),
			   options->flow == NULL);
	set_column(row, HD_JOB_COL_HOLD, Int16GetDatum(request->held.bits), request->held.bits == 0);
	set_column(row, HD_JOB_COL_AWAITED, BoolGetDatum(true), options->batch == 0);
	set_column(row, HD_JOB_COL_BATCH, Int64GetDatum(options->batch), options->batch == 0);
}

static void
check_size(Datum payload)
{
	Size limit = (Size) hd_jobs_setting_max_payload * 1024;

	if (toast_raw_datum_size(payload) - VARHDRSZ > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload of a job is larger than %d kB", hd_jobs_setting_max_payload),
				 errhint("Keep large data in a table and pass its key, or raise "
						 "hotdash.job_max_payload.")));
}

/* Hold payloads against the kind's schema, all of them before any is enqueued. */
static void
check_payloads(const Request *request, const Datum *payloads, const bool *nulls, int n)
{
	for (int i = 0; request->has_schema && i < n; i++)
	{
		Jsonb *payload = NULL;

		CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
		{
			check_size(payloads[i]);
			payload = DatumGetJsonbP(payloads[i]);
		}
		hd_jobs_kind_check_payload(request->kind, payload);
		if (!nulls[i] && PointerGetDatum(payload) != payloads[i])
			pfree(payload);
	}
}

/* Set the payload column, within the limit. */
static void
set_payload(HdJobRow *row, Datum payload, bool isnull)
{
	if (!isnull)
		check_size(payload);
	set_column(row, HD_JOB_COL_PAYLOAD, isnull ? 0 : payload, isnull);
}

/* Set the order key and the flow, and find the job's place; NULL: none. */
static void
set_route(const Request *request, HdJobRow *row, const char *key, const char *flow,
		  HdJobPlace *place)
{
	HdJobAddress address;

	*place = request->place;
	set_column(row, HD_JOB_COL_ORDER_KEY, 0, true);
	if (key == NULL && flow == request->options.flow)
		return;
	if (key != NULL)
	{
		if (key[0] == '\0' || strlen(key) > MAX_KEY)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("order_key must have 1 to %d bytes", MAX_KEY)));
		set_column(row, HD_JOB_COL_ORDER_KEY, CStringGetTextDatum(key), false);
	}
	address_of(request, &address);
	if (flow != request->options.flow)
		set_column(row, HD_JOB_COL_FLOW, CStringGetTextDatum(flow), false);
	address.flow = flow;
	hd_jobs_place_set(place, &address, key, request->per_key);
}

/* The flow of one of several jobs. */
static const char *
flow_of(const Request *request, int which)
{
	return (request->options.flows != NULL) ? request->options.flows[which] : request->options.flow;
}

/* Flows are given for all jobs or for each, and then for each. */
static void
check_flows(const Request *request, int n)
{
	if (request->options.flows == NULL)
		return;
	if (request->options.flow != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options \"flow\" and \"flows\" exclude each other")));
	if (request->options.nflows != n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("payloads and option \"flows\" must have the same length")));
}

/* Insert one job; the columns that differ are set here. */
static void
insert_job(HdJobTable *table, Request *request, const HdJobPlace *place, HdJobRow *row, int64 id,
		   TimestampTz now)
{
	TimestampTz at = request->scheduled ? Max(request->run_at, now) : now;
	bool listed = false;
	ItemPointerData tid;
	bool held = request->held.bits != 0;

	/* A moved clock must not decide for sessions that have the real one. */
	bool scheduled = !held && (at > now || hd_clock_overridden() || !hd_settings_preloaded());

	if (!scheduled && !held)
		listed = hd_jobs_tx_reserve(place, id, at);
	set_column(row, HD_JOB_COL_ID, Int64GetDatum(id), false);
	set_column(row, HD_JOB_COL_AT, TimestampTzGetDatum(at), false);
	set_column(row, HD_JOB_COL_SHELF, BoolGetDatum(scheduled), false);
	set_column(row, HD_JOB_COL_LINE, Int64GetDatum(hd_jobs_place_line(place)),
			   held || (listed && place->gate == 0));
	set_column(row, HD_JOB_COL_LINE_AT, TimestampTzGetDatum(at),
			   held || ((place->gate == 0) ? listed : place->strict));
	hd_jobs_table_insert(table, row, &tid);
	if (request->notify && !scheduled && !held)
		Async_Notify(HD_JOB_CHANNEL, request->queue);
	if (request->inserted != NULL)
		request->inserted[request->ninserted++] = id;
	if (held || !hd_settings_preloaded())
		return;
	if (listed)
		hd_jobs_tx_place(id, &tid);
	else
		hd_jobs_tx_wait(place, id, at, scheduled);
}

/*
 * Jobs that are held.
 */

/* Before the first row: what the jobs of this request wait for, for n jobs at most. */
static void
begin_held(Request *request, ArrayType *after, int approval, int n)
{
	HdJobHeld *held = &request->held;

	hd_jobs_hold_read(held, after, approval, &request->options);
	if (!hd_jobs_hold_asked(held))
		return;
	if (request->if_exists == IF_EXISTS_REPLACE || request->if_exists == IF_EXISTS_THROTTLE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("after, approval and batch cannot be combined with if_exists "
							   "replace or throttle"),
						errdetail("The job that is there would wait for what it did not ask for, "
								  "or for itself.")));
	hd_jobs_hold_resolve(held, request->tenant);
	request->inserted = palloc(sizeof(int64) * Max(n, 1));
}

/* After the last row. */
static void
end_held(HdJobTable *table, Request *request, TimestampTz now)
{
	const HdJobHeld *held = &request->held;

	if (request->inserted == NULL)
		return;
	hd_jobs_hold_file(held, request->inserted, request->ninserted, request->tenant, now);
	if (held->failed == 0 || request->ninserted == 0)
		return;

	/* What it waits for has failed already: as if that had happened a moment later. */
	CommandCounterIncrement();
	(void) hd_jobs_finish_held(table, request->inserted[0], HD_JOB_CANCELLED,
							   hd_jobs_after_failed(held->failed));
}

/*
 * Unique keys.
 */

/* New payload, and a new time unless throttled; the row is found by its time from then on. */
static HdSpiPlan job_replace = {
	.sql = "UPDATE hotdash._job SET payload = $2, at = CASE WHEN $4 THEN at ELSE $3 END, "
		   "shelf = hold IS NULL, line = CASE WHEN hold IS NULL THEN coalesce(line, $5) END, "
		   "line_at = CASE WHEN hold IS NULL AND (line IS NULL OR line_at IS NOT NULL) "
		   "THEN CASE WHEN $4 THEN at ELSE $3 END END, "
		   "fence = fence + 1 WHERE id = $1 RETURNING at, hold IS NOT NULL",
	.nargs = 5,
	.argtypes = {INT8OID, JSONBOID, TIMESTAMPTZOID, BOOLOID, INT8OID},
};

/* Change a job that is waiting; false when it is running or gone, and so cannot be changed. */
static bool
replace_waiting(HdJobTable *table, const Request *request, int64 id, Datum payload,
				bool payload_null, TimestampTz now)
{
	TimestampTz at = request->scheduled ? Max(request->run_at, now) : now;
	Datum values[5] = {Int64GetDatum(id), payload, TimestampTzGetDatum(at),
					   BoolGetDatum(request->if_exists == IF_EXISTS_THROTTLE)};
	char nulls[5] = {' ', payload_null ? 'n' : ' ', ' ', ' ', ' '};
	const HdJobPlace *place;
	ItemPointerData tid;
	HdJobFound found;
	bool changed;
	HdSpi spi;

	if (!hd_jobs_table_find(table, id, &tid))
		return false;
	place = hd_jobs_scan_row(table, &found);
	values[4] = Int64GetDatum(place->lane);
	if (hd_settings_preloaded())
	{
		int32 index;

		if (hd_jobs_tx_seize(id, place, &index) != HD_JOB_SEIZED)
			return false;
	}
	hd_spi_begin(&spi);
	hd_spi_run(&job_replace, values, nulls, false, 0);
	changed = SPI_processed > 0;
	if (changed && hd_settings_preloaded())
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));
		if (!DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull)))
			hd_jobs_tx_wait(place, id, at, true);
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
enqueue_unique(HdJobTable *table, Request *request, const HdJobPlace *place, HdJobRow *row,
			   int64 id, char *key_text)
{
	TimestampTz now = DatumGetTimestampTz(row->values[HD_JOB_COL_ENQUEUED_AT - 1]);
	Datum payload = row->values[HD_JOB_COL_PAYLOAD - 1];
	bool payload_null = row->nulls[HD_JOB_COL_PAYLOAD - 1];
	HdJobUnique key;
	int64 there;

	/* The two are in an index, with the kind. */
	if (strlen(key_text) > MAX_KEY || strlen(request->tenant) > MAX_KEY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unique_key and its tenant must have at most %d bytes", MAX_KEY)));
	key.values[0] = row->values[HD_JOB_COL_KIND - 1];
	key.values[1] = row->values[HD_JOB_COL_TENANT - 1];
	key.values[2] = CStringGetTextDatum(key_text);
	key.values[3] = Int64GetDatum(id);

	there = hd_jobs_unique_acquire(&key, request->if_exists != IF_EXISTS_KEEP);
	if (there != 0)
	{
		if (request->if_exists == IF_EXISTS_KEEP)
			return there;
		if (request->if_exists == IF_EXISTS_ERROR)
			ereport(ERROR, (errcode(HD_ERRCODE_JOB_EXISTS),
							errmsg("a job of kind \"%s\" with unique key \"%s\" exists already",
								   request->kind, key_text),
							errdetail("It is job " INT64_FORMAT ".", there)));
		if (replace_waiting(table, request, there, payload, payload_null, now))
			return there;
		hd_jobs_unique_take_over(&key);
	}
	set_column(row, HD_JOB_COL_UNIQUE_KEY, key.values[2], false);
	insert_job(table, request, place, row, id, now);
	return id;
}

/*
 * job_enqueue; bits: HD_JOB_HOLD_* beside those that the arguments ask for;
 * own: the server itself asks.
 */
static int64
enqueue_one(FunctionCallInfo fcinfo, int bits, bool own)
{
	static const ArgumentPlaces places = {.queue = 2,
										  .priority = 3,
										  .run_at = 4,
										  .max_attempts = 5,
										  .tenant = 9,
										  .tags = 12,
										  .options = 13};
	Request request;
	HdJobPlace place;
	HdJobTable table;
	HdJobRow row;
	TimestampTz now = hd_clock_now();
	char *key;
	int64 id;

	read_request(fcinfo, &places, own, &request);
	check_flows(&request, 1);
	key = text_argument(fcinfo, 6);
	request.if_exists = if_exists_argument(text_argument(fcinfo, 7));
	check_payloads(&request, &fcinfo->args[1].value, &fcinfo->args[1].isnull, 1);
	request.held.bits = bits;
	begin_held(&request, PG_ARGISNULL(10) ? NULL : PG_GETARG_ARRAYTYPE_P(10),
			   PG_ARGISNULL(11) ? -1 : PG_GETARG_BOOL(11), 1);

	prepare_row(&request, now, &row);
	set_payload(&row, PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	set_column(&row, HD_JOB_COL_UNIQUE_KEY, 0, true);
	set_route(&request, &row, text_argument(fcinfo, 8), flow_of(&request, 0), &place);

	hd_jobs_table_open(&table, true);
	id = next_id();
	if (key != NULL)
		id = enqueue_unique(&table, &request, &place, &row, id, key);
	else
		insert_job(&table, &request, &place, &row, id, now);
	end_held(&table, &request, now);
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
	PG_RETURN_INT64(enqueue_one(fcinfo, 0, false));
}

/*
 * hd_jobs_sql_enqueue_own
 *		SQL: _job_enqueue(...) -> bigint, the same for the server's own jobs.
 */
Datum
hd_jobs_sql_enqueue_own(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_one(fcinfo, 0, true));
}

/*
 * hd_jobs_sql_batch_open
 *		SQL: _batch_open(...) -> bigint, the callback of a new batch.
 */
Datum
hd_jobs_sql_batch_open(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_one(fcinfo, HD_JOB_HOLD_OPEN, false));
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

/* The elements of argument number arg, NULL where null; all NULL when it is not given. */
static char **
keys_argument(FunctionCallInfo fcinfo, int arg, int n, const char *name)
{
	char **keys = palloc0(sizeof(char *) * Max(n, 1));
	Datum *elements;
	bool *nulls;
	int nkeys;

	if (fcinfo->args[arg].isnull)
		return keys;
	deconstruct_array(DatumGetArrayTypeP(fcinfo->args[arg].value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &nkeys);
	if (nkeys != n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("payloads and %s must have the same length", name)));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			keys[i] = TextDatumGetCString(elements[i]);
	return keys;
}

/* Unique keys in one order in every session, so that two calls cannot deadlock. */
static KeyPlace *
sorted_keys(char **keys, int n)
{
	KeyPlace *places = palloc(sizeof(KeyPlace) * Max(n, 1));
	bool any = false;

	for (int i = 0; i < n; i++)
	{
		places[i].key = keys[i];
		places[i].place = i;
		any |= keys[i] != NULL;
	}
	if (any)
		qsort(places, n, sizeof(KeyPlace), compare_keys);
	return places;
}

/* job_enqueue_many; own: the server itself asks. */
static ArrayType *
enqueue_many(FunctionCallInfo fcinfo, bool own)
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
	char **order_keys;
	int n;

	read_request(fcinfo, &places, own, &request);
	hd_require_arg(fcinfo, 1, "payloads");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT, &payloads,
					  &nulls, &n);
	check_payloads(&request, payloads, nulls, n);
	check_flows(&request, n);
	keys = sorted_keys(keys_argument(fcinfo, 6, n, "unique_keys"), n);
	order_keys = keys_argument(fcinfo, 7, n, "order_keys");
	begin_held(&request, NULL, -1, n);

	prepare_row(&request, now, &row);

	/* Keys are taken in their own order, but jobs run in that of the payloads. */
	ids = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(next_id());
	hd_jobs_table_open(&table, true);
	for (int i = 0; i < n; i++)
	{
		int which = keys[i].place;
		int64 id = DatumGetInt64(ids[which]);
		HdJobPlace place;

		CHECK_FOR_INTERRUPTS();
		set_payload(&row, payloads[which], nulls[which]);
		set_column(&row, HD_JOB_COL_UNIQUE_KEY, 0, true);
		set_route(&request, &row, order_keys[which], flow_of(&request, which), &place);
		if (keys[i].key != NULL)
			ids[which] =
				Int64GetDatum(enqueue_unique(&table, &request, &place, &row, id, keys[i].key));
		else
			insert_job(&table, &request, &place, &row, id, now);
	}
	end_held(&table, &request, now);
	hd_jobs_table_close(&table);
	return construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/*
 * hd_jobs_sql_enqueue_many
 *		SQL: job_enqueue_many(...) -> bigint[], ids in the order of the payloads.
 */
Datum
hd_jobs_sql_enqueue_many(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(enqueue_many(fcinfo, false));
}

/*
 * hd_jobs_sql_enqueue_many_own
 *		SQL: _job_enqueue_many(...) -> bigint[], the same for the server's own jobs.
 */
Datum
hd_jobs_sql_enqueue_many_own(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(enqueue_many(fcinfo, true));
}
