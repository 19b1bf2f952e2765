/*-------------------------------------------------------------------------
 * headers.c
 *		What a client of HTTP is told of a limit: fields of the answer, and an error.
 *
 * Model: the fields are those of what the bucket would answer now; nothing is
 * taken.  All seconds are whole, rounded up: who comes back when they have
 * passed does not come too early, and who is told 2 waits no third.
 *
 * Two families.  The older one, X-RateLimit-*, has no standard; its Reset
 * is the time until the bucket is full, in seconds or as a date.  The other is that
 * of the IETF's draft (RateLimit and RateLimit-Policy, in the structured fields
 * of RFC 9651); its t is the time until more is left than r.
 *
 * Caveats: what remains may be gone before the client reads of it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "limits/places.h"
#include "limits/sql.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_limits_sql_headers);
PG_FUNCTION_INFO_V1(hd_limits_sql_enforce);

/* As PostgREST has it: the last three characters are the status of the answer. */
#define ERRCODE_TOO_MANY_REQUESTS MAKE_SQLSTATE('P', 'T', '4', '2', '9')

#define UNIX_EPOCH_US ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* What there is to tell; times in microseconds, -1 where there is none. */
typedef struct Standing
{
	HdLimit *limit;
	int32 quota;
	int64 remaining;
	int64 reset_after;
	int64 more_after;
	int64 retry_after; /* only where not even one unit fits */
	TimestampTz now;
} Standing;

static int64
whole_seconds(int64 us)
{
	return (us + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

/* Of places nobody knows when one is given back. */
static Standing
standing_of_places(HdLimit *limit, HdLimitSubject subject)
{
	int32 count = limit->rule.policy.count;
	int held = (limit->entry != NULL) ? hd_limits_places_held(limit, subject) : 0;

	return (Standing){.limit = limit,
					  .quota = count,
					  .remaining = Max(count - held, 0),
					  .reset_after = -1,
					  .more_after = -1,
					  .retry_after = -1};
}

static Standing
standing_of(HdLimit *limit, HdLimitSubject subject)
{
	TimestampTz now = hd_clock_now();
	HdLimitVerdict verdict;

	if (limit->rule.policy.algorithm == HD_LIMIT_CONCURRENCY)
		return standing_of_places(limit, subject);
	verdict = hd_limits_decide_take(limit, subject, 0, now);
	return (Standing){.limit = limit,
					  .quota = verdict.quota,
					  .remaining = verdict.remaining,
					  .reset_after = verdict.reset_after,
					  .more_after = verdict.more_after,
					  .retry_after = verdict.allowed ? -1 : verdict.retry_after,
					  .now = now};
}

static void
put_field(JsonbParseState **fields, char *name, const char *value)
{
	JsonbValue part = {.type = jbvString};

	part.val.string.val = name;
	part.val.string.len = (int) strlen(name);
	pushJsonbValue(fields, WJB_KEY, &part);
	part.val.string.val = pstrdup(value);
	part.val.string.len = (int) strlen(value);
	pushJsonbValue(fields, WJB_VALUE, &part);
}

static void
put_number(JsonbParseState **fields, char *name, int64 number)
{
	put_field(fields, name, psprintf(INT64_FORMAT, number));
}

static void
put_retry_after(JsonbParseState **fields, const Standing *standing)
{
	if (standing->retry_after >= 0)
		put_number(fields, "Retry-After", whole_seconds(standing->retry_after));
}

/*
 * The older family
 */

/* from: what Reset counts from, microseconds. */
static void
put_older(JsonbParseState **fields, const Standing *standing, int64 from)
{
	put_number(fields, "X-RateLimit-Limit", standing->quota);
	put_number(fields, "X-RateLimit-Remaining", standing->remaining);
	if (standing->reset_after >= 0)
		put_number(fields, "X-RateLimit-Reset", whole_seconds(from + standing->reset_after));
	put_retry_after(fields, standing);
}

static void
put_legacy(JsonbParseState **fields, const Standing *standing)
{
	put_older(fields, standing, 0);
}

static void
put_legacy_epoch(JsonbParseState **fields, const Standing *standing)
{
	put_older(fields, standing, standing->now + UNIX_EPOCH_US);
}

/*
 * The IETF's
 */

/*
 * A name as a string of structured fields, which is of printable ASCII: other
 * bytes, and the sign of percent itself, become %XX.
 */
static void
append_name(StringInfo field, const char *name)
{
	appendStringInfoChar(field, '"');
	for (const unsigned char *at = (const unsigned char *) name; *at != '\0'; at++)
	{
		if (*at < ' ' || *at > '~' || *at == '%')
			appendStringInfo(field, "%%%02X", *at);
		else if (*at == '"' || *at == '\\')
			appendStringInfo(field, "\\%c", *at);
		else
			appendStringInfoChar(field, (char) *at);
	}
	appendStringInfoChar(field, '"');
}

/* Of a window of months, the one that runs. */
static int64
window_seconds(const Standing *standing)
{
	const HdLimitWindow *window;

	if (standing->limit->rule.months == 0)
		return whole_seconds(standing->limit->rule.policy.period_us);
	window = hd_limits_stored_window(standing->limit, standing->now);
	return whole_seconds(window->end - window->start);
}

static void
put_policy(JsonbParseState **fields, const Standing *standing)
{
	const HdLimitPolicy *policy = &standing->limit->rule.policy;
	StringInfoData field;

	initStringInfo(&field);
	append_name(&field, standing->limit->name);
	appendStringInfo(&field, ";q=%d", policy->count);
	if (policy->algorithm == HD_LIMIT_CONCURRENCY)
		appendStringInfoString(&field, ";qu=\"concurrent-requests\"");
	else
		appendStringInfo(&field, ";w=" INT64_FORMAT, window_seconds(standing));
	if (standing->quota != policy->count)
		appendStringInfo(&field, ";hotdash-burst=%d", standing->quota);
	put_field(fields, "RateLimit-Policy", field.data);
}

static void
put_ietf(JsonbParseState **fields, const Standing *standing)
{
	StringInfoData field;

	initStringInfo(&field);
	append_name(&field, standing->limit->name);
	appendStringInfo(&field, ";r=" INT64_FORMAT, standing->remaining);
	if (standing->more_after >= 0)
		appendStringInfo(&field, ";t=" INT64_FORMAT, whole_seconds(standing->more_after));
	put_field(fields, "RateLimit", field.data);
	put_policy(fields, standing);
	put_retry_after(fields, standing);
}

typedef void (*PutFields)(JsonbParseState **fields, const Standing *standing);

static PutFields
style_named(const char *style)
{
	if (strcmp(style, "legacy") == 0)
		return put_legacy;
	if (strcmp(style, "legacy-epoch") == 0)
		return put_legacy_epoch;
	if (strcmp(style, "ietf") == 0)
		return put_ietf;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown style \"%s\" of headers", style),
					errhint("Known are legacy, legacy-epoch and ietf.")));
}

/*
 * hd_limits_sql_headers
 *		SQL: limit_headers(name, key, style) -> jsonb, an object of strings.
 */
Datum
hd_limits_sql_headers(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_limit(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	PutFields put =
		PG_ARGISNULL(2) ? put_legacy : style_named(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	Standing standing = standing_of(limit, subject);
	JsonbParseState *fields = NULL;

	pushJsonbValue(&fields, WJB_BEGIN_OBJECT, NULL);
	put(&fields, &standing);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&fields, WJB_END_OBJECT, NULL)));
}

/*
 * hd_limits_sql_enforce
 *		SQL: limit_enforce(name, key, cost): raises PT429 when it is refused.
 */
Datum
hd_limits_sql_enforce(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_rate(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int32 cost = hd_limits_sql_cost(fcinfo, 2);
	HdLimitVerdict verdict = hd_limits_decide_take(limit, subject, cost, hd_clock_now());
	int64 wait = whole_seconds(verdict.retry_after);

	if (verdict.allowed)
		PG_RETURN_VOID();
	ereport(ERROR,
			(errcode(ERRCODE_TOO_MANY_REQUESTS), errmsg("rate limit \"%s\" exceeded", limit->name),
			 errdetail(
				 "%d of %d units are left, and %d were asked for; all are there in " INT64_FORMAT
				 " s.",
				 (int) verdict.remaining, verdict.quota, cost, whole_seconds(verdict.reset_after)),
			 verdict.never ? errhint("So many units never fit at once.")
						   : errhint("Retry after " INT64_FORMAT " s.", wait)));
}
