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
#include "jobs/backoff.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static char *
string_option(const char *key, const JsonbValue *value)
{
	if (value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a string", key)));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int
timeout_option(const char *key, const JsonbValue *value)
{
	int64 us = hd_duration_parse(string_option(key, value), "timeout", 1000);

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
	char *text = string_option(key, value);

	if (!hd_trace_valid(text, (int) strlen(text)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid traceparent: \"%s\"", text)));
	return CStringGetTextDatum(text);
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
			DirectFunctionCall3(timestamptz_in, CStringGetDatum(string_option(key, value)),
								ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option: \"%s\"", key),
				 errhint("Known options are backoff, expires_at, timeout, traceparent.")));
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
