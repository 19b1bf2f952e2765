/*-------------------------------------------------------------------------
 * limits.c
 *		Rate limits, as any module uses them.
 *
 * Model: turns keys, policies and times of callers into calls on the table
 * and its outcomes into answers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/limits.h"

#include "core/clock.h"
#include "core/duration.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "limits/book.h"
#include "limits/decide.h"
#include "limits/denied.h"
#include "limits/log.h"
#include "limits/places.h"
#include "limits/snapshot.h"
#include "limits/stored.h"
#include "limits/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* A hundred years, as all durations. */
#define MAX_PERIOD_US (INT64CONST(36525) * USECS_PER_DAY)

StaticAssertDecl(MAX_PERIOD_US <= HD_LOG_MAX_US, "a log can hold any period");

PG_FUNCTION_INFO_V1(hd_limits_sql_take);
PG_FUNCTION_INFO_V1(hd_limits_sql_refund);

void
hd_limits_init(void)
{
	hd_limits_decide_define();
	hd_limits_stored_init();
	hd_limits_denied_keep_init();
	if (!hd_settings_preloaded())
		return;
	DefineCustomIntVariable("hotdash.limit_slots",
							"Rate limit buckets of the whole cluster kept in memory.",
							"Each takes about 90 bytes. Beyond that, the bucket that is nearest to "
							"full makes room.",
							&hd_limits_setting_slots, 65536, 16, 16 * 1024 * 1024, PGC_POSTMASTER,
							0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"hotdash.limit_policies",
		"Rate limits of the whole cluster whose rules and counts are kept in memory.",
		"Each takes less than two kilobytes. Limits beyond that work, and are counted "
		"together.",
		&hd_limits_setting_policies, 1024, 16, 1024 * 1024, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.limit_violations",
							"Rows of the log of refusals by rate limits, of the whole cluster.",
							"Each takes about a kilobyte. The oldest makes room for a new one.",
							&hd_limits_setting_violations, 1024, 16, 65536, PGC_POSTMASTER, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("hotdash.limit_places",
							"Places of rate limits that can be held at a time in the cluster.",
							"Each takes about 400 bytes. Beyond that, hotdash.limit_on_failure "
							"decides.",
							&hd_limits_setting_places, 4096, 16, 1024 * 1024, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	hd_limits_table_register();
	hd_limits_book_register();
	hd_limits_denied_register();
	hd_limits_places_register();
	hd_limits_snapshot_init();
}

HdLimitKey
hd_limits_key_of_limit(HdLimitSpace space, const char *limit)
{
	HdLimitKey key = {{0, 0}, false};
	Oid home[3];

	hd_settings_require_preload("a rate limit");
	home[0] = MyDatabaseId;
	home[1] = hd_spi_extension();
	home[2] = (Oid) space;
	hd_limits_table_hash(&key, home, sizeof(home));
	hd_limits_table_hash(&key, limit, strlen(limit));
	return key;
}

HdLimitKey
hd_limits_key_add(const HdLimitKey *limit, const void *bytes, Size length)
{
	HdLimitKey key = *limit;

	key.moved = hd_clock_overridden();
	hd_limits_table_hash(&key, bytes, length);
	return key;
}

HdLimitKey
hd_limits_key(const char *limit, const void *bytes, Size length)
{
	HdLimitKey prefix = hd_limits_key_of_limit(HD_LIMIT_SPACE_MODULES, limit);

	return hd_limits_key_add(&prefix, bytes, length);
}

void
hd_limits_require_policy(const HdLimitPolicy *policy)
{
	HdGcra gcra;

	if (policy->count <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("count of a rate limit must be greater than zero")));
	if (policy->algorithm == HD_LIMIT_CONCURRENCY)
		return;
	if (policy->period_us <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("period of a rate limit must be greater than zero")));
	if (policy->period_us > MAX_PERIOD_US)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("period of a rate limit is out of range"),
						errdetail("It may be a hundred years long.")));
	if (policy->algorithm == HD_LIMIT_LOG)
	{
		if (policy->count > HD_LOG_MAX_COUNT)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("count of an exact log must not be greater than %d",
								   HD_LOG_MAX_COUNT)));
		return;
	}
	if (policy->burst <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("burst of a rate limit must be greater than zero")));
	if (!hd_limits_gcra_prepare(&gcra, policy->count, policy->period_us, policy->burst))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("burst of a rate limit is out of range"),
						errdetail("At this rate it would take centuries to refill.")));
}

static void
call(HdLimitCall *c, const HdLimitKey *key, const HdLimitPolicy *policy, TimestampTz now,
	 HdLimitOutcome *outcome)
{
	c->key = key;
	c->policy = policy;
	c->now = hd_limits_table_steady(key, now);
	if (policy->algorithm == HD_LIMIT_GCRA &&
		!hd_limits_gcra_prepare(&c->gcra, policy->count, policy->period_us, policy->burst))
		Assert(false);
	hd_limits_table_call(c, outcome);
}

static TimestampTz
timestamp_of(int64 us)
{
	return (us == HD_GCRA_NEVER) ? DT_NOEND : us;
}

static HdLimitAnswer
take(const HdLimitKey *key, const HdLimitPolicy *policy, int64 want, bool whole, TimestampTz now)
{
	HdLimitCall c = {.want = want, .whole = whole};
	HdLimitOutcome outcome;
	HdLimitAnswer answer;

	Assert(want >= 0);
	call(&c, key, policy, now, &outcome);
	answer.allowed = (want > 0) ? outcome.done == want : outcome.remaining > 0;
	answer.no_room = outcome.no_room;
	answer.granted = outcome.done;
	answer.remaining = outcome.remaining;
	if (answer.allowed)
		answer.retry_at = now;
	else
		answer.retry_at = timestamp_of((want > 0) ? outcome.fits_at : outcome.one_at);
	answer.next_at = timestamp_of(outcome.one_at);
	answer.reset_at = timestamp_of(outcome.reset_at);
	return answer;
}

HdLimitAnswer
hd_limits_take(const HdLimitKey *key, const HdLimitPolicy *policy, int64 cost, TimestampTz now)
{
	return take(key, policy, cost, true, now);
}

int64
hd_limits_take_up_to(const HdLimitKey *key, const HdLimitPolicy *policy, int64 want,
					 TimestampTz now, TimestampTz *next)
{
	HdLimitAnswer answer = take(key, policy, want, false, now);

	*next = answer.next_at;
	return answer.granted;
}

int64
hd_limits_refund(const HdLimitKey *key, const HdLimitPolicy *policy, int64 n, TimestampTz taken_at,
				 TimestampTz now)
{
	HdLimitCall c = {.want = -n, .taken_at = taken_at};
	HdLimitOutcome outcome;

	Assert(n >= 0);
	if (n == 0 || (policy->strict && policy->algorithm == HD_LIMIT_GCRA))
		return 0;
	call(&c, key, policy, now, &outcome);
	return outcome.done;
}

/* What a caller of SQL names; NULL is the strict window. */
static HdLimitPolicy
policy_of(FunctionCallInfo fcinfo)
{
	int32 count = PG_GETARG_INT32(1);
	int64 period_us = hd_duration_us(PG_GETARG_INTERVAL_P(2), "period", 1);
	HdLimitPolicy policy = {.algorithm = HD_LIMIT_GCRA,
							.count = count,
							.period_us = period_us,
							.burst = count};
	char *algorithm;

	if (PG_ARGISNULL(3))
	{
		if (count > 0)
			policy = hd_limits_window_policy(count, period_us);
		return policy;
	}
	algorithm = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (strcmp(algorithm, "log") == 0)
		policy.algorithm = HD_LIMIT_LOG;
	else if (strcmp(algorithm, "gcra") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown algorithm \"%s\" of a rate limit", algorithm),
						errhint("Known are gcra and log.")));
	return policy;
}

/* What both functions begin with: no NULL but the algorithm, a policy that makes sense. */
static HdLimitKey
arguments(FunctionCallInfo fcinfo, HdLimitPolicy *policy, int32 *units)
{
	text *name;

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i) && i != 3)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument %d must not be null", i + 1)));
	}
	name = PG_GETARG_TEXT_PP(0);
	*policy = policy_of(fcinfo);
	hd_limits_require_policy(policy);
	*units = PG_GETARG_INT32(4);
	if (*units < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("units of a rate limit must not be negative")));
	return hd_limits_key("", VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

/*
 * hd_limits_sql_take
 *		SQL: _limit_take(key, count, period, algorithm, want, whole) -> (granted,
 *		remaining, retry_at, next_at, reset_at).
 */
Datum
hd_limits_sql_take(PG_FUNCTION_ARGS)
{
	Datum values[5];
	bool nulls[5] = {false};
	TupleDesc tupdesc;
	HdLimitPolicy policy;
	int32 want;
	HdLimitKey key = arguments(fcinfo, &policy, &want);
	HdLimitAnswer answer;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	answer = take(&key, &policy, want, PG_GETARG_BOOL(5), hd_clock_now());
	values[0] = Int64GetDatum(answer.granted);
	values[1] = Int64GetDatum(answer.remaining);
	values[2] = TimestampTzGetDatum(answer.retry_at);
	values[3] = TimestampTzGetDatum(answer.next_at);
	values[4] = TimestampTzGetDatum(answer.reset_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/*
 * hd_limits_sql_refund
 *		SQL: _limit_refund(key, count, period, algorithm, n, taken_at) -> bigint.
 */
Datum
hd_limits_sql_refund(PG_FUNCTION_ARGS)
{
	HdLimitPolicy policy;
	int32 n;
	HdLimitKey key = arguments(fcinfo, &policy, &n);

	PG_RETURN_INT64(hd_limits_refund(&key, &policy, n, PG_GETARG_TIMESTAMPTZ(5), hd_clock_now()));
}
