/*-------------------------------------------------------------------------
 * sql.c
 *		The SQL functions that ask limits.
 *
 * Model: arguments are checked by hand and not by STRICT, since a NULL that
 * comes back from a limit passes as an answer with some callers.  A limit
 * itself decides in decide.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/sql.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_limits_sql_allow);
PG_FUNCTION_INFO_V1(hd_limits_sql_take_stored);
PG_FUNCTION_INFO_V1(hd_limits_sql_take_with);
PG_FUNCTION_INFO_V1(hd_limits_sql_take_many);
PG_FUNCTION_INFO_V1(hd_limits_sql_take_all);
PG_FUNCTION_INFO_V1(hd_limits_sql_refund_stored);
PG_FUNCTION_INFO_V1(hd_limits_sql_reset);
PG_FUNCTION_INFO_V1(hd_limits_sql_check);

/*
 * hd_limits_sql_allow
 *		SQL: limit_allow(name, key, cost) -> bool.
 */
Datum
hd_limits_sql_allow(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int32 cost = hd_limits_sql_cost(fcinfo, 2);

	PG_RETURN_BOOL(hd_limits_decide_allow(limit, subject, cost, hd_clock_now()));
}

/* The row type of the caller's results, found out once. */
static TupleDesc
result_type(FunctionCallInfo fcinfo)
{
	TupleDesc type = fcinfo->flinfo->fn_extra;
	MemoryContext before;

	if (likely(type != NULL))
		return type;
	before = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	type = BlessTupleDesc(type);
	MemoryContextSwitchTo(before);
	fcinfo->flinfo->fn_extra = type;
	return type;
}

/* (allowed, quota, remaining, retry_after, reset_after) */
static Datum
verdict_row(FunctionCallInfo fcinfo, const HdLimitVerdict *verdict)
{
	Datum values[5];
	bool nulls[5] = {false};

	values[0] = BoolGetDatum(verdict->allowed);
	values[1] = Int32GetDatum(verdict->quota);
	values[2] = Int32GetDatum((int32) verdict->remaining);
	values[3] = Float8GetDatum((double) verdict->retry_after / USECS_PER_SEC);
	nulls[3] = verdict->never;
	values[4] = Float8GetDatum((double) verdict->reset_after / USECS_PER_SEC);
	return HeapTupleGetDatum(heap_form_tuple(result_type(fcinfo), values, nulls));
}

/*
 * hd_limits_sql_take_stored
 *		SQL: limit_take(name, key, cost) -> verdict_row.
 */
Datum
hd_limits_sql_take_stored(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int32 cost = hd_limits_sql_cost(fcinfo, 2);
	HdLimitVerdict verdict = hd_limits_decide_take(limit, subject, cost, hd_clock_now());

	return verdict_row(fcinfo, &verdict);
}

/*
 * A limit that nobody stored.  All of them share their buckets by key, and
 * their counts.
 */
static HdLimit *
passing_limit(const HdLimitRule *rule)
{
	static HdLimit limit;
	static Oid extension = InvalidOid;

	if (hd_settings_preloaded() && extension != hd_spi_extension())
	{
		limit.key = hd_limits_key_of_limit(HD_LIMIT_SPACE_PASSING, "");
		limit.entry = hd_limits_book_entry(hd_spi_extension(), "");
		extension = hd_spi_extension();
	}
	limit.rule = *rule;
	limit.zone = NULL;
	return &limit;
}

/*
 * hd_limits_sql_take_with
 *		SQL: limit_take_with(key, count, period, burst, cost, algorithm) -> verdict_row.
 */
Datum
hd_limits_sql_take_with(PG_FUNCTION_ARGS)
{
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 0);
	HdLimitDefinition definition = {0};
	HdLimitVerdict verdict;
	HdLimitRule rule;
	int32 cost;

	hd_limits_sql_require(fcinfo, 1, "count");
	hd_limits_sql_require(fcinfo, 2, "period");
	definition.count = PG_GETARG_INT32(1);
	definition.period = PG_GETARG_INTERVAL_P(2);
	definition.has_burst = !PG_ARGISNULL(3);
	if (definition.has_burst)
		definition.burst = PG_GETARG_INT32(3);
	cost = hd_limits_sql_cost(fcinfo, 4);
	if (!PG_ARGISNULL(5))
		definition.algorithm = text_to_cstring(PG_GETARG_TEXT_PP(5));
	hd_limits_rule_compile(&rule, &definition);
	if (rule.policy.algorithm == HD_LIMIT_WINDOW)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a window needs a stored limit"),
				 errhint("Define it with limit_set and use limit_take.")));
	verdict = hd_limits_decide_take(passing_limit(&rule), subject, cost, hd_clock_now());
	return verdict_row(fcinfo, &verdict);
}

/* The elements of a one-dimensional text[] without NULLs. */
static void
text_array(ArrayType *array, const char *what, Datum **elements, int *n)
{
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, elements, &nulls, n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("%s of rate limits must be a one-dimensional array", what)));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s of rate limits must not be null", what)));
	}
}

/*
 * hd_limits_sql_take_many
 *		SQL: limit_take_many(name, keys, cost) -> bool[], an answer for each key, in one time.
 */
Datum
hd_limits_sql_take_many(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);
	int32 cost = hd_limits_sql_cost(fcinfo, 2);
	TimestampTz now = hd_clock_now();
	HdLimitSubject *subjects;
	Datum *keys;
	int n;

	hd_limits_sql_require(fcinfo, 1, "keys");
	text_array(PG_GETARG_ARRAYTYPE_P(1), "keys", &keys, &n);
	subjects = palloc(sizeof(HdLimitSubject) * Max(n, 1));
	for (int i = 0; i < n; i++)
		subjects[i] = hd_limits_sql_subject(DatumGetTextPP(keys[i]));
	hd_limits_decide_many(limit, subjects, n, cost, now, keys);
	PG_RETURN_ARRAYTYPE_P(construct_array(keys, n, BOOLOID, sizeof(bool), true, TYPALIGN_CHAR));
}

/*
 * hd_limits_sql_take_all
 *		SQL: limit_take_all(names, key, cost) -> bool.
 */
Datum
hd_limits_sql_take_all(PG_FUNCTION_ARGS)
{
	HdLimit limits[HD_LIMIT_MOST_AT_ONCE];
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int32 cost = hd_limits_sql_cost(fcinfo, 2);
	Datum *names;
	int n;

	hd_limits_sql_require(fcinfo, 0, "names");
	text_array(PG_GETARG_ARRAYTYPE_P(0), "names", &names, &n);
	if (n < 1 || n > HD_LIMIT_MOST_AT_ONCE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("limit_take_all takes from 1 to %d limits", HD_LIMIT_MOST_AT_ONCE)));
	for (int i = 0; i < n; i++)
	{
		text *name = DatumGetTextPP(names[i]);

		limits[i] = *hd_limits_sql_require_rate(
			hd_limits_stored(VARDATA_ANY(name), (int) VARSIZE_ANY_EXHDR(name)));
		for (int before = 0; before < i; before++)
		{
			if (strcmp(limits[before].name, limits[i].name) == 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("rate limit \"%s\" is named twice", limits[i].name)));
		}
	}
	PG_RETURN_BOOL(hd_limits_decide_all(limits, n, subject, cost, hd_clock_now()));
}

/*
 * hd_limits_sql_refund_stored
 *		SQL: limit_refund(name, key, cost) -> int, what the bucket took back.
 */
Datum
hd_limits_sql_refund_stored(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int32 units;

	hd_limits_sql_require(fcinfo, 2, "cost");
	units = hd_limits_sql_cost(fcinfo, 2);
	PG_RETURN_INT32((int32) hd_limits_decide_refund(limit, subject, units, hd_clock_now()));
}

/*
 * hd_limits_sql_reset
 *		SQL: limit_reset(name, key).
 */
Datum
hd_limits_sql_reset(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);

	hd_limits_decide_reset(limit, hd_limits_sql_key(fcinfo, 1), hd_clock_now());
	PG_RETURN_VOID();
}

/*
 * hd_limits_sql_check
 *		SQL: _limit_check(count, period, burst, algorithm, shadow, durability, time_zone, options):
 *		raises what limit_set has to.
 */
Datum
hd_limits_sql_check(PG_FUNCTION_ARGS)
{
	HdLimitDefinition definition = {0};
	HdLimitRule rule;

	definition.count = PG_GETARG_INT32(0);
	definition.period = PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1);
	definition.has_burst = !PG_ARGISNULL(2);
	if (definition.has_burst)
		definition.burst = PG_GETARG_INT32(2);
	definition.algorithm = text_to_cstring(PG_GETARG_TEXT_PP(3));
	definition.shadow = PG_GETARG_BOOL(4);
	definition.durability = text_to_cstring(PG_GETARG_TEXT_PP(5));
	if (!PG_ARGISNULL(6))
		definition.time_zone = text_to_cstring(PG_GETARG_TEXT_PP(6));
	definition.options = PG_GETARG_JSONB_P(7);
	hd_limits_rule_compile(&rule, &definition);
	PG_RETURN_VOID();
}
