/*-------------------------------------------------------------------------
 * schema.c
 *		validate: a JSON Schema from SQL.
 *
 * Model: the schema of the last call stays compiled for the next one of the
 * same statement, as long as it is the same.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema.h"

#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* Somebody has to read them; and a large value that fits nowhere would bring millions. */
#define MAX_ERRORS 1000

/* What stays from call to call. */
typedef struct Kept
{
	Jsonb *source;
	HdSchema *schema;
} Kept;

/* Where the rows go. */
typedef struct Rows
{
	ReturnSetInfo *result;
	int n;
} Rows;

PG_FUNCTION_INFO_V1(hd_schema_sql_validate);

static HdSchema *
compiled(FmgrInfo *function, Jsonb *source)
{
	Kept *kept = function->fn_extra;

	if (kept == NULL)
		kept = function->fn_extra = MemoryContextAllocZero(function->fn_mcxt, sizeof(Kept));
	if (kept->schema != NULL && VARSIZE(kept->source) == VARSIZE(source) &&
		memcmp(kept->source, source, VARSIZE(source)) == 0)
		return kept->schema;
	if (kept->schema != NULL)
	{
		hd_schema_free(kept->schema);
		pfree(kept->source);
		kept->schema = NULL;
	}
	kept->source = MemoryContextAlloc(function->fn_mcxt, VARSIZE(source));
	memcpy(kept->source, source, VARSIZE(source));
	kept->schema = hd_schema_compile(source, function->fn_mcxt);
	return kept->schema;
}

static bool
add_row(void *arg, const HdSchemaError *error)
{
	Rows *rows = arg;
	Datum values[3] = {CStringGetTextDatum(error->path), CStringGetTextDatum(error->rule),
					   CStringGetTextDatum(error->message)};
	bool nulls[3] = {false};

	tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, values, nulls);
	return ++rows->n < MAX_ERRORS;
}

/*
 * hd_schema_sql_validate
 *		SQL: validate(schema, value) -> setof (path, rule, message), none when
 *		the value fits.
 */
Datum
hd_schema_sql_validate(PG_FUNCTION_ARGS)
{
	Rows rows = {.result = (ReturnSetInfo *) fcinfo->resultinfo};

	hd_require_arg(fcinfo, 0, "schema");
	hd_require_arg(fcinfo, 1, "value");
	InitMaterializedSRF(fcinfo, 0);
	(void) hd_schema_check(compiled(fcinfo->flinfo, PG_GETARG_JSONB_P(0)), PG_GETARG_JSONB_P(1),
						   add_row, &rows);
	return (Datum) 0;
}
