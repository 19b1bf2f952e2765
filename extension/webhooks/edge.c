/*-------------------------------------------------------------------------
 * edge.c
 *		What the edge needs and SQL cannot do: to wait, and to read a payload
 *		that may be anything.
 *
 * Model: the rest of the edge's protocol is in sql/webhooks_edge.sql.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/duration.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/jobs.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Of what fits into 64 bits, whatever the digits. */
#define MAX_DIGITS 19

PG_FUNCTION_INFO_V1(hd_webhooks_sql_edge_wait);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_payload_number);

/*
 * hd_webhooks_sql_edge_wait
 *		SQL: CALL edge_wait(wait, INOUT ready); a minute when not given.
 */
Datum
hd_webhooks_sql_edge_wait(PG_FUNCTION_ARGS)
{
	char *queues[] = {"webhooks"};
	int64 wait = USECS_PER_MINUTE;
	TupleDesc desc;
	Datum value;
	bool isnull = false;

	if (!PG_ARGISNULL(0))
		wait = hd_duration_us(PG_GETARG_INTERVAL_P(0), "wait", 0);
	value = BoolGetDatum(hd_jobs_wait(fcinfo, queues, lengthof(queues), wait));

	/* Only now: the wait ended the transaction in which it was called. */
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &isnull)));
}

/*
 * hd_webhooks_sql_payload_number
 *		SQL: _payload_number(payload, key, most) -> bigint: a number from 0 to
 *		most, as digits or as JSON number; null for everything else.
 *
 * An error would end the claim, which would take the same job again, for ever.
 */
Datum
hd_webhooks_sql_payload_number(PG_FUNCTION_ARGS)
{
	Jsonb *payload = PG_GETARG_JSONB_P(0);
	text *key = PG_GETARG_TEXT_PP(1);
	int64 most = PG_GETARG_INT64(2);
	JsonbValue *value = NULL;
	char *digits;
	size_t length;
	uint64 number;

	if (JB_ROOT_IS_OBJECT(payload))
		value = getKeyJsonValueFromContainer(&payload->root, VARDATA_ANY(key),
											 VARSIZE_ANY_EXHDR(key), NULL);
	if (value == NULL || (value->type != jbvNumeric && value->type != jbvString))
		PG_RETURN_NULL();
	if (value->type == jbvNumeric)
		digits =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else
		digits = pnstrdup(value->val.string.val, value->val.string.len);
	length = strlen(digits);
	if (length == 0 || length > MAX_DIGITS || strspn(digits, "0123456789") != length)
		PG_RETURN_NULL();
	number = strtoull(digits, NULL, 10);
	if (number > (uint64) most)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) number);
}
