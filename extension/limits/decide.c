/*-------------------------------------------------------------------------
 * decide.c
 *		What a stored limit answers.
 *
 * Model: see decide.h.  Everything here is on the way of every call: it
 * allocates nothing, locks nothing itself and reads no clock.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/decide.h"

#include "core/settings.h"
#include "limits/denied.h"
#include "limits/durable.h"
#include "miscadmin.h"
#include "utils/guc.h"

/* Of many keys, so many are hashed before the first of them is asked. */
#define AHEAD 8

static int limit_on_failure = HD_LIMIT_FAIL_OPEN;

void
hd_limits_decide_define(void)
{
	DefineCustomEnumVariable(
		"hotdash.limit_on_failure",
		"What a rate limit answers when it cannot be asked: open allows, closed refuses.",
		"That is without preload, or when its part of memory is full of strict limits.",
		&limit_on_failure, HD_LIMIT_FAIL_OPEN, hd_limits_rule_failures, PGC_SUSET, 0, NULL, NULL,
		NULL);
}

static bool
fails_open(const HdLimitRule *rule)
{
	if (rule->on_failure == HD_LIMIT_FAIL_AS_SET)
		return limit_on_failure == HD_LIMIT_FAIL_OPEN;
	return rule->on_failure == HD_LIMIT_FAIL_OPEN;
}

static void
prepare_call(HdLimitCall *call, HdLimit *limit, const HdLimitKey *key, int64 want, TimestampTz now)
{
	call->key = key;
	call->policy = &limit->rule.policy;
	call->gcra = limit->rule.gcra;
	call->want = want;
	call->whole = true;
	call->brief = false;
	call->now = hd_limits_table_steady(key, now);
	call->taken_at = HD_LIMIT_NEWEST;
	if (limit->rule.policy.algorithm == HD_LIMIT_WINDOW)
	{
		const HdLimitWindow *window = hd_limits_stored_window(limit, call->now);

		call->window_start = window->start;
		call->window_end = window->end;
	}
}

/* A bucket that refuses is noted; kept apart, since what is allowed comes past here more often. */
static pg_noinline void
note(HdLimit *limit, const HdLimitCall *call, HdLimitSubject subject, HdDeniedKind kind)
{
	HdDenial denial = {.limit = limit,
					   .key = call->key,
					   .bytes = subject.bytes,
					   .length = subject.length,
					   .kind = kind,
					   .cost = call->want,
					   .now = call->now};

	hd_limits_denied_note(&denial);
}

static inline void
ask(const HdLimit *limit, HdLimitSubject subject, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	if (unlikely(call->policy->keep == HD_LIMIT_KEEP_WAL))
		hd_limits_durable_call(limit, subject, call, outcome);
	else
		hd_limits_table_call(call, outcome);
}

/* What the limit makes of its bucket's answer, counted. */
static bool
judge(HdLimit *limit, const HdLimitCall *call, HdLimitSubject subject,
	  const HdLimitOutcome *outcome)
{
	const HdLimitRule *rule = &limit->rule;
	bool fits = outcome->done == call->want;

	if (fits)
	{
		hd_limits_book_count(limit->entry, HD_LIMIT_ALLOWED);
		if (unlikely(outcome->near))
			hd_limits_book_count(limit->entry, HD_LIMIT_NEAR);
		return true;
	}
	if (outcome->no_room)
	{
		hd_limits_book_count(limit->entry, HD_LIMIT_FAILED);
		if (!call->key->moved)
			hd_limits_denied_failed(call->now);
		fits = fails_open(rule);
		if (!fits)
			note(limit, call, subject, HD_DENIED_NO_ROOM);
	}
	else if (rule->shadow)
	{
		hd_limits_book_count(limit->entry, HD_LIMIT_SHADOWED);
		note(limit, call, subject, HD_DENIED_SHADOW);
		fits = true;
	}
	else
		note(limit, call, subject, HD_DENIED_REFUSED);
	hd_limits_book_count(limit->entry, fits ? HD_LIMIT_ALLOWED : HD_LIMIT_DENIED);
	return fits;
}

static bool
allow(HdLimit *limit, const HdLimitKey *key, HdLimitSubject subject, int32 cost, TimestampTz now)
{
	HdLimitOutcome outcome;
	HdLimitCall call;

	prepare_call(&call, limit, key, cost, now);
	if (cost == 0)
	{
		ask(limit, subject, &call, &outcome);
		return outcome.remaining > 0 || limit->rule.shadow;
	}
	call.brief = true;
	ask(limit, subject, &call, &outcome);
	return judge(limit, &call, subject, &outcome);
}

bool
hd_limits_decide_allow(HdLimit *limit, HdLimitSubject subject, int32 cost, TimestampTz now)
{
	HdLimitKey key;

	if (limit->entry == NULL)
		return fails_open(&limit->rule);
	key = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	return allow(limit, &key, subject, cost, now);
}

/* The memory of some buckets is on its way while others are asked. */
void
hd_limits_decide_many(HdLimit *limit, const HdLimitSubject *subjects, int n, int32 cost,
					  TimestampTz now, Datum *answers)
{
	HdLimitKey keys[AHEAD];

	for (int i = 0; i < n + AHEAD; i++)
	{
		int done = i - AHEAD;

		CHECK_FOR_INTERRUPTS();
		if (done >= 0)
			answers[done] = BoolGetDatum((limit->entry == NULL) ? fails_open(&limit->rule)
																: allow(limit, &keys[done % AHEAD],
																		subjects[done], cost, now));
		if (i < n && limit->entry != NULL)
		{
			keys[i % AHEAD] = hd_limits_key_add(&limit->key, subjects[i].bytes, subjects[i].length);
			hd_limits_table_expect(&keys[i % AHEAD]);
		}
	}
}

/* Without a bucket to ask: as the limit fails, and again after a unit's time. */
static HdLimitVerdict
blind_verdict(const HdLimit *limit)
{
	const HdLimitRule *rule = &limit->rule;
	HdLimitVerdict verdict = {.allowed = fails_open(rule), .quota = hd_limits_rule_burst(rule)};

	if (!verdict.allowed)
		verdict.retry_after = verdict.reset_after = verdict.next_after = verdict.more_after =
			Max(rule->policy.period_us / rule->policy.count, 1);
	else
	{
		verdict.remaining = verdict.quota;
		verdict.more_after = -1;
	}
	return verdict;
}

static int64
until(int64 instant, int64 now)
{
	return (instant > now) ? instant - now : 0;
}

/*
 * Times count from the caller's clock, which may be behind the one that all
 * share: told a duration, it must not come back too early.
 */
HdLimitVerdict
hd_limits_decide_take(HdLimit *limit, HdLimitSubject subject, int32 cost, TimestampTz now)
{
	HdLimitVerdict verdict;
	HdLimitOutcome outcome;
	HdLimitCall call;
	HdLimitKey key;

	if (limit->entry == NULL)
		return blind_verdict(limit);
	key = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	prepare_call(&call, limit, &key, cost, now);
	ask(limit, subject, &call, &outcome);
	if (cost == 0)
		verdict.allowed = outcome.remaining > 0 || limit->rule.shadow;
	else
		verdict.allowed = judge(limit, &call, subject, &outcome);
	verdict.quota = hd_limits_rule_burst(&limit->rule);
	verdict.remaining = outcome.remaining;
	verdict.never = !verdict.allowed && outcome.fits_at == HD_GCRA_NEVER;
	verdict.next_after = until(outcome.one_at, now);
	verdict.more_after = (outcome.more_at == HD_GCRA_NEVER) ? -1 : until(outcome.more_at, now);
	verdict.reset_after = until(outcome.reset_at, now);
	verdict.retry_after = 0;
	if (!verdict.allowed && !verdict.never)
		verdict.retry_after = (cost == 0) ? verdict.next_after : until(outcome.fits_at, now);
	return verdict;
}

HdLimitVerdict
hd_limits_decide_look(HdLimit *limit, HdLimitSubject subject, TimestampTz now, bool *held)
{
	HdLimitKey key;

	*held = false;
	if (limit->entry != NULL)
	{
		key = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
		*held = hd_limits_table_holds(&key);
	}
	return hd_limits_decide_take(limit, subject, 0, now);
}

/* Without memory, or to look. */
static bool
allow_each(HdLimit *limits, int n, HdLimitSubject subject, int32 cost, TimestampTz now)
{
	bool all = true;

	for (int i = 0; i < n; i++)
		all = hd_limits_decide_allow(&limits[i], subject, cost, now) && all;
	return all;
}

bool
hd_limits_decide_all(HdLimit *limits, int n, HdLimitSubject subject, int32 cost, TimestampTz now)
{
	HdLimitOutcome outcomes[HD_LIMIT_MOST_AT_ONCE];
	HdLimitCall calls[HD_LIMIT_MOST_AT_ONCE];
	HdLimitKey keys[HD_LIMIT_MOST_AT_ONCE];
	bool bars[HD_LIMIT_MOST_AT_ONCE];
	bool durable = false;
	bool all;

	Assert(n >= 1 && n <= HD_LIMIT_MOST_AT_ONCE);
	if (cost == 0 || !hd_settings_preloaded())
		return allow_each(limits, n, subject, cost, now);
	for (int i = 0; i < n; i++)
	{
		keys[i] = hd_limits_key_add(&limits[i].key, subject.bytes, subject.length);
		prepare_call(&calls[i], &limits[i], &keys[i], cost, now);
		calls[i].open = fails_open(&limits[i].rule);
		bars[i] = !limits[i].rule.shadow;
		durable = durable || limits[i].rule.policy.keep == HD_LIMIT_KEEP_WAL;
	}
	all = durable ? hd_limits_durable_call_all(limits, subject, calls, bars, n, outcomes)
				  : hd_limits_table_call_all(calls, bars, n, outcomes);
	for (int i = 0; i < n; i++)
	{
		bool fits = outcomes[i].done == cost;

		/* one that was not at fault was not asked, as far as counts go */
		if (all || !fits)
			(void) judge(&limits[i], &calls[i], subject, &outcomes[i]);
	}
	return all;
}

int64
hd_limits_decide_refund(HdLimit *limit, HdLimitSubject subject, int32 units, TimestampTz now)
{
	HdLimitOutcome outcome;
	HdLimitCall call;
	HdLimitKey key;

	if (limit->entry == NULL || units == 0)
		return 0;
	if (limit->rule.policy.strict && limit->rule.policy.algorithm == HD_LIMIT_GCRA)
		return 0;
	key = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	prepare_call(&call, limit, &key, -(int64) units, now);
	ask(limit, subject, &call, &outcome);
	return outcome.done;
}

void
hd_limits_decide_reset(HdLimit *limit, HdLimitSubject subject, TimestampTz now)
{
	HdLimitKey key;

	if (limit->entry == NULL)
		return;
	key = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	if (limit->rule.policy.keep == HD_LIMIT_KEEP_WAL)
		hd_limits_durable_forget(limit, subject, &key, hd_limits_table_steady(&key, now));
	else
		hd_limits_table_forget(&key);
}

bool
hd_limits_decide_place(HdLimit *limit, const HdLimitKey *key, HdLimitSubject subject,
					   HdLimitOutcome *outcome, TimestampTz now)
{
	HdLimitCall call = {.key = key, .policy = &limit->rule.policy, .want = 1, .now = now};

	return judge(limit, &call, subject, outcome);
}
