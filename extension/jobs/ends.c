/*-------------------------------------------------------------------------
 * ends.c
 *		SQL functions that end claims, cancel and move jobs.
 *
 * Model: arguments are checked here; finish.c does the work.  The _many
 * functions take arrays that run in parallel and answer one row a job.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/settings.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/finish.h"
#include "jobs/table.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_complete);
PG_FUNCTION_INFO_V1(hd_jobs_sql_complete_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_fail);
PG_FUNCTION_INFO_V1(hd_jobs_sql_fail_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_snooze);
PG_FUNCTION_INFO_V1(hd_jobs_sql_snooze_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_release_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_cancel);
PG_FUNCTION_INFO_V1(hd_jobs_sql_reschedule);
PG_FUNCTION_INFO_V1(hd_jobs_sql_expire);
PG_FUNCTION_INFO_V1(hd_jobs_sql_cancel_many);
PG_FUNCTION_INFO_V1(hd_jobs_sql_done_many);

static int64
required_int64(FunctionCallInfo fcinfo, int n, const char *name)
{
	hd_require_arg(fcinfo, n, name);
	return DatumGetInt64(fcinfo->args[n].value);
}

/* Rows are deleted and filed below the executor, which would have refused. */
static void
refuse_read_only(void)
{
	if (XactReadOnly)
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
						errmsg("cannot end jobs in a read-only transaction")));
}

/*
 * hd_jobs_sql_complete
 *		SQL: job_complete(id, token, result) -> bool.
 */
Datum
hd_jobs_sql_complete(PG_FUNCTION_ARGS)
{
	int64 id = required_int64(fcinfo, 0, "id");
	int64 token = required_int64(fcinfo, 1, "token");
	HdJobTable table;
	bool accepted;

	hd_settings_require_preload("completing jobs");
	refuse_read_only();
	hd_jobs_table_open(&table, false);
	accepted =
		hd_jobs_finish_complete(&table, id, token, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	hd_jobs_table_close(&table);
	PG_RETURN_BOOL(accepted);
}

/*
 * hd_jobs_sql_fail
 *		SQL: job_fail(id, token, error, retry_in, final) -> text.
 */
Datum
hd_jobs_sql_fail(PG_FUNCTION_ARGS)
{
	int64 id = required_int64(fcinfo, 0, "id");
	int64 token = required_int64(fcinfo, 1, "token");
	int64 retry_us = -1;
	bool final = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	const char *state;
	HdJobTable table;

	hd_require_arg(fcinfo, 2, "error");
	hd_settings_require_preload("failing jobs");
	refuse_read_only();
	if (!PG_ARGISNULL(3))
		retry_us = hd_duration_us(PG_GETARG_INTERVAL_P(3), "retry_in", 0);
	hd_jobs_table_open(&table, false);
	state = hd_jobs_finish_failed(&table, id, token, text_to_cstring(PG_GETARG_TEXT_PP(2)),
								  retry_us, final);
	hd_jobs_table_close(&table);
	PG_RETURN_TEXT_P(cstring_to_text(state));
}

/*
 * hd_jobs_sql_snooze
 *		SQL: job_snooze(id, token, delay) -> bool.
 */
Datum
hd_jobs_sql_snooze(PG_FUNCTION_ARGS)
{
	int64 id = required_int64(fcinfo, 0, "id");
	int64 token = required_int64(fcinfo, 1, "token");
	HdJobTable table;
	int64 delay_us;
	bool accepted;

	hd_require_arg(fcinfo, 2, "delay");
	hd_settings_require_preload("snoozing jobs");
	refuse_read_only();
	delay_us = hd_duration_us(PG_GETARG_INTERVAL_P(2), "delay", 0);
	hd_jobs_table_open(&table, false);
	accepted = hd_jobs_finish_snooze(&table, id, token, delay_us);
	hd_jobs_table_close(&table);
	PG_RETURN_BOOL(accepted);
}

/* Arrays that run in parallel with ids. */
typedef struct ParallelArray
{
	Datum *values; /* NULL: the argument was not given */
	bool *nulls;
} ParallelArray;

static void
read_array(FunctionCallInfo fcinfo, int n, Oid type, const char *name, int *length,
		   ParallelArray *array)
{
	int16 typlen = (type == INT8OID) ? 8 : (type == INTERVALOID) ? 16 : (type == BOOLOID) ? 1 : -1;
	bool byval = type == INT8OID || type == BOOLOID;
	char align = (type == BOOLOID) ? TYPALIGN_CHAR : (typlen > 0) ? TYPALIGN_DOUBLE : TYPALIGN_INT;
	int count;

	array->values = NULL;
	if (fcinfo->args[n].isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(fcinfo->args[n].value), type, typlen, byval, align,
					  &array->values, &array->nulls, &count);
	if (*length < 0)
		*length = count;
	if (count != *length)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("ids and %s must have the same length", name)));
}

/* The ids and tokens with which every *_many function begins; no element may be null. */
static int
read_claims(FunctionCallInfo fcinfo, ParallelArray *ids, ParallelArray *tokens)
{
	int n = -1;

	hd_require_arg(fcinfo, 0, "ids");
	hd_require_arg(fcinfo, 1, "tokens");
	hd_settings_require_preload("ending jobs");
	refuse_read_only();
	read_array(fcinfo, 0, INT8OID, "ids", &n, ids);
	read_array(fcinfo, 1, INT8OID, "tokens", &n, tokens);
	for (int i = 0; i < n; i++)
		if (ids->nulls[i] || tokens->nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("ids and tokens must not contain null")));
	return n;
}

static bool
given(const ParallelArray *array, int i)
{
	return array->values != NULL && !array->nulls[i];
}

static void
put_result(FunctionCallInfo fcinfo, int64 id, Datum outcome)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[2] = {Int64GetDatum(id), outcome};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * hd_jobs_sql_complete_many
 *		SQL: job_complete_many(ids, tokens, results) -> setof (id, accepted).
 */
Datum
hd_jobs_sql_complete_many(PG_FUNCTION_ARGS)
{
	ParallelArray ids;
	ParallelArray tokens;
	ParallelArray results;
	int n = read_claims(fcinfo, &ids, &tokens);
	HdJobTable table;

	read_array(fcinfo, 2, JSONBOID, "results", &n, &results);
	InitMaterializedSRF(fcinfo, 0);
	hd_jobs_table_open(&table, false);
	hd_jobs_table_gather(&table);
	for (int i = 0; i < n; i++)
	{
		int64 id = DatumGetInt64(ids.values[i]);

		CHECK_FOR_INTERRUPTS();
		put_result(fcinfo, id,
				   BoolGetDatum(hd_jobs_finish_complete(&table, id, DatumGetInt64(tokens.values[i]),
														given(&results, i)
															? DatumGetJsonbP(results.values[i])
															: NULL)));
	}
	hd_jobs_table_close(&table);
	return (Datum) 0;
}

/*
 * hd_jobs_sql_fail_many
 *		SQL: job_fail_many(ids, tokens, errors, retry_ins, finals) -> setof (id,
 *		state).
 */
Datum
hd_jobs_sql_fail_many(PG_FUNCTION_ARGS)
{
	ParallelArray ids;
	ParallelArray tokens;
	ParallelArray errors;
	ParallelArray retries;
	ParallelArray finals;
	int n = read_claims(fcinfo, &ids, &tokens);
	HdJobTable table;

	hd_require_arg(fcinfo, 2, "errors");
	read_array(fcinfo, 2, TEXTOID, "errors", &n, &errors);
	read_array(fcinfo, 3, INTERVALOID, "retry_ins", &n, &retries);
	read_array(fcinfo, 4, BOOLOID, "finals", &n, &finals);
	InitMaterializedSRF(fcinfo, 0);
	hd_jobs_table_open(&table, false);
	hd_jobs_table_gather(&table);
	for (int i = 0; i < n; i++)
	{
		int64 id = DatumGetInt64(ids.values[i]);
		char *error = given(&errors, i) ? TextDatumGetCString(errors.values[i]) : "";
		int64 retry_us = -1;

		CHECK_FOR_INTERRUPTS();
		if (given(&retries, i))
			retry_us = hd_duration_us(DatumGetIntervalP(retries.values[i]), "retry_in", 0);
		put_result(fcinfo, id,
				   CStringGetTextDatum(
					   hd_jobs_finish_failed(&table, id, DatumGetInt64(tokens.values[i]), error,
											 retry_us,
											 given(&finals, i) && DatumGetBool(finals.values[i]))));
	}
	hd_jobs_table_close(&table);
	return (Datum) 0;
}

/*
 * hd_jobs_sql_snooze_many
 *		SQL: _job_snooze_many(ids, tokens, delays) -> setof (id, accepted).
 */
Datum
hd_jobs_sql_snooze_many(PG_FUNCTION_ARGS)
{
	ParallelArray ids;
	ParallelArray tokens;
	ParallelArray delays;
	int n = read_claims(fcinfo, &ids, &tokens);
	HdJobTable table;

	hd_require_arg(fcinfo, 2, "delays");
	read_array(fcinfo, 2, INTERVALOID, "delays", &n, &delays);
	InitMaterializedSRF(fcinfo, 0);
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < n; i++)
	{
		int64 id = DatumGetInt64(ids.values[i]);
		int64 delay_us = 0;

		CHECK_FOR_INTERRUPTS();
		if (given(&delays, i))
			delay_us = hd_duration_us(DatumGetIntervalP(delays.values[i]), "delay", 0);
		put_result(fcinfo, id,
				   BoolGetDatum(hd_jobs_finish_snooze(&table, id, DatumGetInt64(tokens.values[i]),
													  delay_us)));
	}
	hd_jobs_table_close(&table);
	return (Datum) 0;
}

/*
 * hd_jobs_sql_release_many
 *		SQL: _job_release_many(ids, tokens) -> setof (id, accepted).
 */
Datum
hd_jobs_sql_release_many(PG_FUNCTION_ARGS)
{
	ParallelArray ids;
	ParallelArray tokens;
	int n = read_claims(fcinfo, &ids, &tokens);
	HdJobTable table;

	InitMaterializedSRF(fcinfo, 0);
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < n; i++)
	{
		int64 id = DatumGetInt64(ids.values[i]);

		put_result(fcinfo, id,
				   BoolGetDatum(
					   hd_jobs_finish_release(&table, id, DatumGetInt64(tokens.values[i]))));
	}
	hd_jobs_table_close(&table);
	return (Datum) 0;
}

/*
 * hd_jobs_sql_cancel
 *		SQL: job_cancel(id) -> bool; false for a job that is running or has ended.
 */
Datum
hd_jobs_sql_cancel(PG_FUNCTION_ARGS)
{
	int64 id = required_int64(fcinfo, 0, "id");
	HdJobTable table;
	bool cancelled;

	refuse_read_only();
	hd_jobs_table_open(&table, false);
	cancelled = hd_jobs_finish_cancel(&table, id);
	hd_jobs_table_close(&table);
	PG_RETURN_BOOL(cancelled);
}

/*
 * hd_jobs_sql_reschedule
 *		SQL: _job_reschedule(ids, at) -> int, how many were waiting and are moved.
 */
Datum
hd_jobs_sql_reschedule(PG_FUNCTION_ARGS)
{
	ParallelArray ids;
	TimestampTz at;
	HdJobTable table;
	int moved = 0;
	int n = -1;

	hd_require_arg(fcinfo, 0, "ids");
	hd_require_arg(fcinfo, 1, "at");
	read_array(fcinfo, 0, INT8OID, "ids", &n, &ids);
	at = PG_GETARG_TIMESTAMPTZ(1);
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ids.nulls[i] && hd_jobs_finish_reschedule(&table, DatumGetInt64(ids.values[i]), at))
			moved++;
	}
	hd_jobs_table_close(&table);
	PG_RETURN_INT32(moved);
}

/* End each of the jobs of the first argument by the same function of finish.h; how many said true. */
static int
end_each(FunctionCallInfo fcinfo, bool (*end)(HdJobTable *table, int64 id))
{
	ParallelArray ids;
	HdJobTable table;
	int ended = 0;
	int n = -1;

	hd_require_arg(fcinfo, 0, "ids");
	refuse_read_only();
	read_array(fcinfo, 0, INT8OID, "ids", &n, &ids);
	hd_jobs_table_open(&table, false);
	hd_jobs_table_gather(&table);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ids.nulls[i] && end(&table, DatumGetInt64(ids.values[i])))
			ended++;
	}
	hd_jobs_table_close(&table);
	return ended;
}

/*
 * hd_jobs_sql_cancel_many
 *		SQL: _job_cancel_many(ids) -> int, how many job_cancel would be true for.
 */
Datum
hd_jobs_sql_cancel_many(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(end_each(fcinfo, hd_jobs_finish_cancel));
}

/*
 * hd_jobs_sql_done_many
 *		SQL: _job_done_many(ids) -> int, how many need not be done any more.
 */
Datum
hd_jobs_sql_done_many(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(end_each(fcinfo, hd_jobs_finish_done));
}

/*
 * hd_jobs_sql_expire
 *		SQL: _job_expire(ids) -> int, how many waited and were past their time.
 */
Datum
hd_jobs_sql_expire(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(end_each(fcinfo, hd_jobs_finish_expire_waiting));
}
