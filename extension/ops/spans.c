/*-------------------------------------------------------------------------
 * spans.c
 *		Spans: what happened when, within which trace.
 *
 * Model: in sql/ops_spans.sql.  Which part takes ended spans is kept for as
 * long as parts stay the same (core/parts.h), and with it the plan of the
 * INSERT into that part's table.
 *
 * Locking: RowExclusiveLock on the part until the transaction ends.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ops/spans.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/parts.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/trace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define MAX_NAME 200
#define MAX_ATTRIBUTES (16 * 1024)

int hd_ops_setting_span_retention = 7 * 24 * 60;

static const char *const kinds[] = {"internal", "server", "client", "producer", "consumer"};

PG_FUNCTION_INFO_V1(hd_ops_sql_span_start);
PG_FUNCTION_INFO_V1(hd_ops_sql_span_end);
PG_FUNCTION_INFO_V1(hd_ops_sql_span_add);

static HdSpiPlan open_plan = {
	.sql =
		"INSERT INTO hotdash._span_open (started_at, trace_id, span_id, parent_id, tenant, name, "
		"attributes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID},
};

static HdSpiPlan close_plan = {
	.sql = "DELETE FROM hotdash._span_open AS o "
		   "WHERE o.span_id = $1 AND o.trace_id = $2 AND hotdash._tenant_sees(o.tenant) "
		   "RETURNING o.started_at, o.parent_id, o.tenant, o.name, "
		   "coalesce(o.attributes || $3, o.attributes, $3)",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, JSONBOID},
};

static HdSpiPlan part_plan = {
	.sql = "SELECT hotdash._part_current('spans', hotdash._part_days("
		   "current_setting('hotdash.span_retention')::interval))",
};

/* The INSERT into the part that takes ended spans now; its text has the part's name. */
static char insert_sql[256];
static HdSpiPlan insert_plan = {
	.sql = insert_sql,
	.nargs = 11,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT2OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID,
				 TEXTOID, TEXTOID, TEXTOID, JSONBOID},
};
static int16 insert_part = -1;
static uint64 insert_generation = 0;
static int insert_retention = 0;

static HdPartsKeeper keeper = {
	.keep.sql = "SELECT hotdash._span_keep()",
};

/*
 * Which part.
 */

/* Between hd_spi_begin and hd_spi_end. */
static int16
current_part(void)
{
	uint64 generation = hd_parts_generation();
	int16 part;

	if (insert_part >= 0 && insert_generation == generation &&
		insert_retention == hd_ops_setting_span_retention)
		return insert_part;

	/* Of now, whatever the transaction sees: the answer outlives it, and a closed part goes too early. */
	hd_spi_run_latest(&part_plan, NULL, NULL);
	part = DatumGetInt16(hd_spi_result(0, 1));
	if (insert_plan.plan != NULL && part != insert_part)
	{
		SPI_freeplan(insert_plan.plan);
		insert_plan.plan = NULL;
	}
	snprintf(insert_sql, sizeof(insert_sql),
			 "INSERT INTO hotdash._span_%d (started_at, ended_at, part, ok, trace_id, span_id, "
			 "parent_id, tenant, kind, name, attributes) "
			 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
			 part);
	insert_part = part;
	insert_generation = generation;
	insert_retention = hd_ops_setting_span_retention;
	return part;
}

/*
 * A span.
 */

typedef struct Span
{
	TimestampTz started_at;
	TimestampTz ended_at;
	bool ok;
	bool has_ok;
	const char *traceparent; /* trace, own id and flags */
	Datum parent_id;		 /* text; 0: a root */
	Datum tenant;
	Datum name;
	Datum attributes; /* jsonb; 0: none */
	const char *kind;
} Span;

static Datum
trace_id(const char *traceparent)
{
	return PointerGetDatum(
		cstring_to_text_with_len(traceparent + HD_TRACE_ID_AT, HD_TRACE_ID_LENGTH));
}

static Datum
span_id(const char *traceparent)
{
	return PointerGetDatum(
		cstring_to_text_with_len(traceparent + HD_SPAN_ID_AT, HD_SPAN_ID_LENGTH));
}

/* Between hd_spi_begin and hd_spi_end. */
static void
write_span(const Span *span)
{
	Datum values[11] = {0};
	char nulls[12] = "           ";

	values[0] = TimestampTzGetDatum(span->started_at);
	values[1] = TimestampTzGetDatum(Max(span->ended_at, span->started_at));
	values[2] = Int16GetDatum(current_part());
	values[3] = BoolGetDatum(span->ok);
	values[4] = trace_id(span->traceparent);
	values[5] = span_id(span->traceparent);
	values[6] = span->parent_id;
	values[7] = span->tenant;
	values[8] = CStringGetTextDatum(span->kind);
	values[9] = span->name;
	values[10] = span->attributes;
	nulls[3] = span->has_ok ? ' ' : 'n';
	nulls[6] = (span->parent_id == 0) ? 'n' : ' ';
	nulls[10] = (span->attributes == 0) ? 'n' : ' ';
	hd_spi_run(&insert_plan, values, nulls, false, 0);
}

/*
 * Arguments.
 */

/* Anything but nothing; what is longer is cut. */
static Datum
name_argument(FunctionCallInfo fcinfo, int n)
{
	text *name;
	int length;

	hd_require_arg(fcinfo, n, "name");
	name = PG_GETARG_TEXT_PP(n);
	length = pg_mbcliplen(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), MAX_NAME);
	if (length == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a span must not be empty")));
	return PointerGetDatum(cstring_to_text_with_len(VARDATA_ANY(name), length));
}

/* A JSON object of bounded size; 0 for none. */
static Datum
attributes_argument(FunctionCallInfo fcinfo, int n)
{
	Jsonb *attributes;

	if (PG_ARGISNULL(n))
		return (Datum) 0;
	attributes = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(attributes))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("attributes must be a JSON object")));
	if (VARSIZE(attributes) > MAX_ATTRIBUTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("attributes of a span must not be longer than %d kB",
							   MAX_ATTRIBUTES / 1024)));
	return JsonbPGetDatum(attributes);
}

static char *
span_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	char *span;

	hd_require_arg(fcinfo, n, name);
	span = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (!hd_trace_valid(span, (int) strlen(span)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid %s: \"%s\"", name, span),
				 errdetail("A span is named by its W3C traceparent.")));
	return span;
}

static const char *
kind_argument(FunctionCallInfo fcinfo, int n)
{
	char *kind;

	hd_require_arg(fcinfo, n, "kind");
	kind = text_to_cstring(PG_GETARG_TEXT_PP(n));
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return kinds[i];
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid kind of a span: \"%s\"", kind),
					errhint("Kinds are internal, server, client, producer and consumer.")));
}

/*
 * Functions.
 */

/*
 * hd_ops_sql_span_start
 *		SQL: span_start(name text, attributes jsonb) -> text.
 */
Datum
hd_ops_sql_span_start(PG_FUNCTION_ARGS)
{
	Datum name = name_argument(fcinfo, 0);
	Datum attributes = attributes_argument(fcinfo, 1);
	const char *parent = hd_trace_current();
	char span[HD_TRACEPARENT_LENGTH + 1];

	if (parent != NULL)
		hd_trace_child(parent, span);
	else
		hd_trace_new(span);
	if (hd_trace_sampled(span))
	{
		Datum values[7];
		char nulls[8] = "       ";
		HdSpi spi;

		hd_instance_use();
		values[0] = TimestampTzGetDatum(hd_clock_now());
		values[1] = trace_id(span);
		values[2] = span_id(span);
		values[3] = (parent == NULL) ? (Datum) 0 : span_id(parent);
		values[4] = CStringGetTextDatum(hd_settings_tenant(NULL));
		values[5] = name;
		values[6] = attributes;
		nulls[3] = (parent == NULL) ? 'n' : ' ';
		nulls[6] = (attributes == 0) ? 'n' : ' ';
		hd_spi_begin(&spi);
		hd_spi_run(&open_plan, values, nulls, false, 0);
		hd_spi_end(&spi);
	}
	hd_trace_set(span);
	PG_RETURN_TEXT_P(cstring_to_text(span));
}

/* Take the open span's row away and fill in what it says; false when there is none. */
static bool
take_open(Span *span, Datum attributes)
{
	Datum values[3] = {span_id(span->traceparent), trace_id(span->traceparent), attributes};

	hd_spi_run(&close_plan, values, (attributes == 0) ? "  n" : NULL, false, 0);
	if (SPI_processed == 0)
		return false;
	span->started_at = DatumGetTimestampTz(hd_spi_result(0, 1));
	span->parent_id = hd_spi_result(0, 2);
	span->tenant = hd_spi_result(0, 3);
	span->name = hd_spi_result(0, 4);
	span->attributes = hd_spi_result(0, 5);
	return true;
}

/* What was current before the span, whose traceparent it takes the rest from; empty for a root. */
static char *
before(const char *span, Datum parent_id)
{
	char *parent = pstrdup("");

	if (parent_id != 0)
	{
		parent = pstrdup(span);
		memcpy(parent + HD_SPAN_ID_AT, VARDATA_ANY(DatumGetTextPP(parent_id)), HD_SPAN_ID_LENGTH);
	}
	return parent;
}

/*
 * hd_ops_sql_span_end
 *		SQL: span_end(span text, ok bool, attributes jsonb).
 */
Datum
hd_ops_sql_span_end(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	char *traceparent = span_argument(fcinfo, 0, "span");
	Datum attributes = attributes_argument(fcinfo, 2);
	Span span = {
		.traceparent = traceparent,
		.kind = "internal",
		.has_ok = true,
		.ok = PG_ARGISNULL(1) || PG_GETARG_BOOL(1),
	};
	const char *current = hd_trace_current();
	char *parent = NULL;
	HdSpi spi;

	if (!hd_trace_sampled(traceparent))
		PG_RETURN_VOID();
	hd_spi_begin(&spi);
	if (take_open(&span, attributes))
	{
		MemoryContext inner = MemoryContextSwitchTo(caller);

		parent = before(traceparent, span.parent_id);
		MemoryContextSwitchTo(inner);
		span.ended_at = hd_clock_now();
		write_span(&span);
	}
	hd_spi_end(&spi);
	if (parent != NULL && current != NULL && strcmp(current, traceparent) == 0)
		hd_trace_set(parent);
	PG_RETURN_VOID();
}

/*
 * hd_ops_sql_span_add
 *		SQL: _span_add(traceparent, parent_id, name, kind, started_at, ended_at, ok,
 *		attributes, tenant).  parent_id, ok and attributes may be NULL.
 */
Datum
hd_ops_sql_span_add(PG_FUNCTION_ARGS)
{
	Span span = {
		.traceparent = span_argument(fcinfo, 0, "traceparent"),
		.parent_id = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1),
		.name = name_argument(fcinfo, 2),
		.kind = kind_argument(fcinfo, 3),
		.has_ok = !PG_ARGISNULL(6),
		.ok = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6),
		.attributes = attributes_argument(fcinfo, 7),
	};
	HdSpi spi;

	hd_require_arg(fcinfo, 4, "started_at");
	hd_require_arg(fcinfo, 5, "ended_at");
	hd_require_arg(fcinfo, 8, "tenant");
	if (!hd_trace_sampled(span.traceparent))
		PG_RETURN_VOID();
	span.started_at = PG_GETARG_TIMESTAMPTZ(4);
	span.ended_at = PG_GETARG_TIMESTAMPTZ(5);
	span.tenant = PG_GETARG_DATUM(8);
	hd_instance_use();
	hd_spi_begin(&spi);
	write_span(&span);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

void
hd_ops_spans_tick(void)
{
	static int retention = 0;
	bool changed = retention != hd_ops_setting_span_retention;

	hd_parts_tick(&keeper, changed);
	retention = hd_ops_setting_span_retention;
}
