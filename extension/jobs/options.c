/*-------------------------------------------------------------------------
 * options.c
 *		The options argument of job_enqueue and job_enqueue_many.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/options.h"

#include <limits.h>

#include "core/duration.h"
#include "core/trace.h"
#include "fmgr.h"
#include "jobs/after.h"
#include "jobs/backoff.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* Longest name of a flow. */
#define MAX_FLOW 255

char *
hd_jobs_options_string(const char *key, const JsonbValue *value)
{
	if (value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a string", key)));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

char **
hd_jobs_options_strings(const char *key, const JsonbValue *value, int *n)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue element;
	char **strings;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be an array of strings", key)));
	strings = palloc(sizeof(char *) * Max(JsonContainerSize(value->val.binary.data), 1));
	*n = 0;
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			strings[(*n)++] = hd_jobs_options_string(key, &element);
	}
	return strings;
}

static int
timeout_option(const char *key, const JsonbValue *value)
{
	int64 us = hd_duration_parse(hd_jobs_options_string(key, value), "timeout", 1000);

	if (us / 1000 > INT_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout is too long")));
	return (int) (us / 1000);
}

static Datum
backoff_option(const JsonbValue *value)
{
	HdBackoff checked;
	Jsonb *json = JsonbValueToJsonb((JsonbValue *) value);

	hd_jobs_backoff_parse(json, &checked);
	return JsonbPGetDatum(json);
}

static Datum
traceparent_option(const char *key, const JsonbValue *value)
{
	char *text = hd_jobs_options_string(key, value);

	hd_trace_require_valid(text);
	return CStringGetTextDatum(text);
}

static float8
confidence_option(const JsonbValue *value)
{
	float8 confidence = -1;

	if (value->type == jbvNumeric)
		confidence = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (confidence < 0 || confidence > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("confidence must be a number between 0 and 1")));
	return confidence;
}

static void
approval_part(const char *key, const JsonbValue *value, HdJobOptions *options)
{
	if (strcmp(key, "why") == 0)
		options->why = CStringGetTextDatum(hd_jobs_options_string(key, value));
	else if (strcmp(key, "confidence") == 0)
	{
		options->confidence_given = true;
		options->confidence = confidence_option(value);
	}
	else if (strcmp(key, "sources") == 0)
		options->sources = JsonbPGetDatum(JsonbValueToJsonb((JsonbValue *) value));
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown key in option \"approval\": \"%s\"", key),
						errhint("Known keys are confidence, sources, why.")));
}

/* {why, confidence, sources}, each of them optional. */
static void
approval_option(const JsonbValue *value, HdJobOptions *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue part;
	char *key = "";

	options->approval = true;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"approval\" must be a JSON object")));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(part.val.string.val, part.val.string.len);
		else if (token == WJB_VALUE)
			approval_part(key, &part, options);
	}
}

static int
on_failure_option(const char *key, const JsonbValue *value)
{
	static const char *const words[] = {
		[HD_JOB_ON_FAILURE_WAIT] = "wait",
		[HD_JOB_ON_FAILURE_CANCEL] = "cancel",
		[HD_JOB_ON_FAILURE_RUN] = "run",
	};
	char *word = hd_jobs_options_string(key, value);

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid on_failure: \"%s\"", word),
			 errhint("Use wait, cancel or run.")));
	return 0;
}

/* An id, which inside JSON is a string; a number is taken too. */
static int64
batch_option(const char *key, const JsonbValue *value)
{
	int64 batch;

	if (value->type == jbvNumeric)
		batch =
			DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
	else
		batch = DatumGetInt64(
			DirectFunctionCall1(int8in, CStringGetDatum(hd_jobs_options_string(key, value))));
	if (batch == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("batch 0 does not exist")));
	return batch;
}

static void
require_flow(const char *flow)
{
	if (flow[0] == '\0' || strlen(flow) > MAX_FLOW)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("flow must have 1 to %d bytes", MAX_FLOW)));
}

/* One for each job. */
static void
flows_option(const char *key, const JsonbValue *value, HdJobOptions *options)
{
	options->flows = hd_jobs_options_strings(key, value, &options->nflows);
	for (int i = 0; i < options->nflows; i++)
		require_flow(options->flows[i]);
}

static void
parse_option(const char *key, const JsonbValue *value, HdJobOptions *options)
{
	if (strcmp(key, "backoff") == 0)
		options->backoff = backoff_option(value);
	else if (strcmp(key, "timeout") == 0)
		options->timeout_ms = timeout_option(key, value);
	else if (strcmp(key, "traceparent") == 0)
		options->traceparent = traceparent_option(key, value);
	else if (strcmp(key, "expires_at") == 0)
	{
		options->expires = true;
		options->expires_at = DatumGetTimestampTz(
			DirectFunctionCall3(timestamptz_in, CStringGetDatum(hd_jobs_options_string(key, value)),
								ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	else if (strcmp(key, "approval") == 0)
		approval_option(value, options);
	else if (strcmp(key, "batch") == 0)
		options->batch = batch_option(key, value);
	else if (strcmp(key, "flow") == 0)
	{
		options->flow = hd_jobs_options_string(key, value);
		require_flow(options->flow);
	}
	else if (strcmp(key, "flows") == 0)
		flows_option(key, value, options);
	else if (strcmp(key, "on_failure") == 0)
	{
		options->on_failure_given = true;
		options->on_failure = on_failure_option(key, value);
	}
	else
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option: \"%s\"", key),
			 errhint(
				 "Known options are approval, backoff, batch, expires_at, flow, flows, on_failure, "
				 "timeout, traceparent.")));
}

void
hd_jobs_options_parse(Jsonb *json, HdJobOptions *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	char *key = "";

	memset(options, 0, sizeof(HdJobOptions));
	if (json == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			parse_option(key, &value, options);
	}
}
