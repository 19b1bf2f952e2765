/*-------------------------------------------------------------------------
 * backoff.c
 *		How long to wait before the next attempt.
 *
 * Model: a policy is parsed once per kind (or once per failure for a job
 * that brings its own) into a plain struct.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/backoff.h"

#include <math.h>

#include "common/pg_prng.h"
#include "core/duration.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* Longest delay of any policy; a job that should wait longer is scheduled. */
#define MAX_DELAY_US (30 * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(hd_jobs_sql_backoff_delay);

void
hd_jobs_backoff_default(HdBackoff *backoff)
{
	memset(backoff, 0, sizeof(HdBackoff));
	backoff->type = HD_BACKOFF_EXPONENTIAL;
	backoff->jitter = HD_BACKOFF_EQUAL;
	backoff->base_us = USECS_PER_SEC;
	backoff->cap_us = USECS_PER_HOUR;
	backoff->factor = 2.0;
}

static void
refuse(const char *key, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid backoff: \"%s\"", key), errdetail("Expected %s.", expected),
					errhint("Known keys are type, base, factor, cap, jitter and delays.")));
}

static char *
string_value(const char *key, const JsonbValue *value)
{
	if (value->type != jbvString)
		refuse(key, "a string");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int
word_index(const char *key, const JsonbValue *value, const char *const *words, int n,
		   const char *expected)
{
	char *word = string_value(key, value);

	for (int i = 0; i < n; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	refuse(key, expected);
	return 0;
}

static int64
delay_value(const char *key, const JsonbValue *value)
{
	int64 us = hd_duration_parse(string_value(key, value), "a backoff delay", 0);

	if (us > MAX_DELAY_US)
		refuse(key, "at most 30 days");
	return us;
}

static double
factor_value(const JsonbValue *value)
{
	double factor;

	if (value->type != jbvNumeric)
		refuse("factor", "a number from 1 to 100");
	factor =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (!(factor >= 1.0 && factor <= 100.0))
		refuse("factor", "a number from 1 to 100");
	return factor;
}

static void
parse_delays(const JsonbValue *value, HdBackoff *backoff)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue item;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse("delays", "an array of durations");
	it = JsonbIteratorInit(value->val.binary.data);
	backoff->ndelays = 0;
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (backoff->ndelays == HD_BACKOFF_MAX_DELAYS)
			refuse("delays", "at most 32 durations");
		backoff->delays_us[backoff->ndelays++] = delay_value("delays", &item);
	}
	if (backoff->ndelays == 0)
		refuse("delays", "at least one duration");
}

static void
parse_key(const char *key, const JsonbValue *value, HdBackoff *backoff)
{
	static const char *const types[] = {"exponential", "linear", "fixed", "list"};
	static const char *const jitters[] = {"none", "equal", "full"};

	if (strcmp(key, "type") == 0)
		backoff->type =
			word_index(key, value, types, lengthof(types), "exponential, linear, fixed or list");
	else if (strcmp(key, "jitter") == 0)
		backoff->jitter = word_index(key, value, jitters, lengthof(jitters), "none, equal or full");
	else if (strcmp(key, "base") == 0)
		backoff->base_us = delay_value(key, value);
	else if (strcmp(key, "cap") == 0)
		backoff->cap_us = delay_value(key, value);
	else if (strcmp(key, "factor") == 0)
		backoff->factor = factor_value(value);
	else if (strcmp(key, "delays") == 0)
		parse_delays(value, backoff);
	else
		refuse(key, "a known key");
}

void
hd_jobs_backoff_parse(Jsonb *json, HdBackoff *backoff)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	char *key = "";

	hd_jobs_backoff_default(backoff);
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid backoff: not a JSON object")));

	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			parse_key(key, &value, backoff);
	}
	if ((backoff->type == HD_BACKOFF_LIST) != (backoff->ndelays > 0))
		refuse("delays", "delays with type list, and only with it");

	/* A listed delay means what it says, unless jitter was asked for. */
	if (backoff->type == HD_BACKOFF_LIST &&
		getKeyJsonValueFromContainer(&json->root, "jitter", 6, &value) == NULL)
		backoff->jitter = HD_BACKOFF_NONE;
}

int64
hd_jobs_backoff_delay(const HdBackoff *backoff, int attempt)
{
	double us = (double) backoff->base_us;
	int n = Max(attempt, 1);

	switch (backoff->type)
	{
		case HD_BACKOFF_EXPONENTIAL:
			/* The power may be infinite, and no delay times that is none. */
			if (us > 0)
				us *= pow(backoff->factor, n - 1);
			break;
		case HD_BACKOFF_LINEAR:
			us *= n;
			break;
		case HD_BACKOFF_FIXED:
			break;
		case HD_BACKOFF_LIST:
			us = (double) backoff->delays_us[Min(n, backoff->ndelays) - 1];
			break;
	}
	if (backoff->type != HD_BACKOFF_LIST)
		us = Min(us, (double) backoff->cap_us);
	if (backoff->jitter == HD_BACKOFF_FULL)
		us *= pg_prng_double(&pg_global_prng_state);
	else if (backoff->jitter == HD_BACKOFF_EQUAL)
		us *= 0.5 + 0.5 * pg_prng_double(&pg_global_prng_state);
	return (int64) us;
}

/*
 * hd_jobs_sql_backoff_delay
 *		SQL: _backoff_delay(backoff jsonb, attempt int) -> interval, to look at a
 *		policy and to validate one (NULL: the default).
 */
Datum
hd_jobs_sql_backoff_delay(PG_FUNCTION_ARGS)
{
	HdBackoff backoff;
	Interval *result = palloc0(sizeof(Interval));

	if (PG_ARGISNULL(0))
		hd_jobs_backoff_default(&backoff);
	else
		hd_jobs_backoff_parse(PG_GETARG_JSONB_P(0), &backoff);
	result->time = hd_jobs_backoff_delay(&backoff, PG_ARGISNULL(1) ? 1 : PG_GETARG_INT32(1));
	PG_RETURN_INTERVAL_P(result);
}
