/*-------------------------------------------------------------------------
 * classify.c
 *		What follows from the outcome of an attempt.
 *
 * Purpose: the outcome matrix of docs/webhooks.md, row by row.
 *
 * Model: a pure function.  It says what to do with the delivery and with
 * the endpoint, and the shortest time to wait in two kinds: asked is what
 * the receiver asked for and binds always; floor is our own caution and
 * gives way where the endpoint states a schedule of its own.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_classify);

/* Seconds; see the matrix. */
#define FLOOR_RATE_LIMITED 60
#define FLOOR_TIMEOUT_AFTER_SEND 60
#define FLOOR_TLS 300
#define PROXY_DELAY 30
#define INSTANT_RETRY_BELOW_US USECS_PER_SEC

typedef struct Outcome
{
	int status; /* 0 when there was none */
	const char *class;
	int attempt; /* counted from 1 */
	bool sent;	 /* a byte of the request may have left */
	int total_us;
	bool has_retry_after;
	bool extra_status; /* the endpoint asks for this status to be retried */
} Outcome;

typedef struct Verdict
{
	const char *action; /* complete, retry, snooze, dead, disable */
	const char *reason; /* code for the attempt log */
	int floor;			/* seconds; -1: at once */
	bool pause;			/* the endpoint waits, not only this delivery */
	const char *health; /* what it says of the endpoint: success, failure, neutral */
} Verdict;

/* Answers that are not a success; the rest of 4xx is refused, the rest of 5xx is tried again. */
static const struct StatusRow
{
	int status;
	Verdict verdict;
} status_rows[] = {
	{401, {"dead", "unauthorized", 0, false, "neutral"}},
	{403, {"dead", "unauthorized", 0, false, "neutral"}},
	{404, {"dead", "not_found", 0, false, "neutral"}},
	{408, {"retry", "request_timeout", 0, false, "failure"}},
	{409, {"dead", "conflict", 0, false, "neutral"}},
	{410, {"disable", "gone", 0, false, "neutral"}},
	{413, {"dead", "too_large", 0, false, "neutral"}},
	{425, {"retry", "too_early", 0, false, "failure"}},
	{429, {"retry", "rate_limited", 0, true, "neutral"}},
	{502, {"retry", "unavailable", 0, false, "failure"}},
	{503, {"retry", "unavailable", 0, false, "failure"}},
	{504, {"retry", "unavailable", 0, false, "failure"}},
};

/* Attempts without an answer; two verdicts where it matters whether a byte of the request left. */
static const struct ClassRow
{
	const char *class;
	bool sent;
	Verdict verdict;
} class_rows[] = {
	{"dns", false, {"retry", "dns_failed", 0, false, "failure"}},
	{"dns", true, {"retry", "dns_failed", 0, false, "failure"}},
	{"connect", false, {"retry", "connect_failed", 0, false, "failure"}},
	{"connect", true, {"retry", "connect_failed", 0, false, "failure"}},
	{"reset", false, {"retry", "connection_reset", 0, false, "failure"}},
	{"reset", true, {"retry", "unknown_outcome", 0, false, "failure"}},
	{"timeout", false, {"retry", "connect_timeout", 0, false, "failure"}},
	{"timeout", true, {"retry", "unknown_outcome", FLOOR_TIMEOUT_AFTER_SEND, false, "failure"}},
	{"tls", false, {"retry", "tls_failed", FLOOR_TLS, false, "failure"}},
	{"tls", true, {"retry", "tls_failed", FLOOR_TLS, false, "failure"}},
	{"proxy", false, {"snooze", "proxy_failed", PROXY_DELAY, false, "neutral"}},
	{"proxy", true, {"snooze", "proxy_failed", PROXY_DELAY, false, "neutral"}},
	{"protocol", false, {"retry", "protocol_error", 0, false, "failure"}},
	{"protocol", true, {"retry", "protocol_error", 0, false, "failure"}},
	{"blocked", false, {"dead", "address_blocked", 0, false, "neutral"}},
	{"blocked", true, {"dead", "address_blocked", 0, false, "neutral"}},
	{"invalid", false, {"dead", "invalid_request", 0, false, "neutral"}},
	{"invalid", true, {"dead", "invalid_request", 0, false, "neutral"}},
};

static Verdict
usual_verdict(int status)
{
	for (int i = 0; i < lengthof(status_rows); i++)
	{
		if (status_rows[i].status == status)
			return status_rows[i].verdict;
	}
	if (status < 200)
		return (Verdict){"retry", "protocol_error", 0, false, "failure"};
	if (status < 300)
		return (Verdict){"complete", "delivered", 0, false, "success"};
	if (status < 400)
		return (Verdict){"dead", "redirect", 0, false, "neutral"};
	if (status < 500)
		return (Verdict){"dead", "rejected", 0, false, "neutral"};
	return (Verdict){"retry", "server_error", 0, false, "failure"};
}

/* What the header, the attempt's number and the endpoint's own statuses change. */
static Verdict
classify_status(const Outcome *o)
{
	Verdict verdict = usual_verdict(o->status);

	if (o->status == 409 && o->attempt > 1)
		verdict.reason = "conflict_probable_duplicate";
	if (o->status == 413 && o->has_retry_after)
		verdict.action = "retry";
	if (o->status == 429 && !o->has_retry_after)
		verdict.floor = FLOOR_RATE_LIMITED;
	if (o->status >= 502 && o->status <= 504)
		verdict.pause = o->has_retry_after;
	if (o->extra_status && strcmp(verdict.action, "dead") == 0)
		verdict.action = "retry";
	return verdict;
}

/* The request certainly did not arrive, and failed fast: try once more at once. */
static bool
worth_instant_retry(const Outcome *o)
{
	return !o->sent && o->attempt <= 1 && o->total_us < INSTANT_RETRY_BELOW_US &&
		   (strcmp(o->class, "connect") == 0 || strcmp(o->class, "reset") == 0);
}

/* False for a class that the protocol does not know. */
static bool
classify(const Outcome *o, Verdict *verdict)
{
	if (strcmp(o->class, "http") == 0)
	{
		*verdict = classify_status(o);
		return true;
	}
	for (int i = 0; i < lengthof(class_rows); i++)
	{
		if (strcmp(o->class, class_rows[i].class) == 0 && o->sent == class_rows[i].sent)
		{
			*verdict = class_rows[i].verdict;
			if (worth_instant_retry(o))
				verdict->floor = -1;
			return true;
		}
	}
	return false;
}

static bool
array_contains(ArrayType *array, int value)
{
	Datum *elements;
	int count;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		if (DatumGetInt32(elements[i]) == value)
			return true;
	}
	return false;
}

/* The row type stays the same for the whole query, so it is looked up once. */
static TupleDesc
result_descriptor(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		fcinfo->flinfo->fn_extra = BlessTupleDesc(desc);
		MemoryContextSwitchTo(caller);
	}
	return fcinfo->flinfo->fn_extra;
}

/*
 * hd_webhooks_sql_classify
 *		SQL: _webhook_classify(status, class, attempt, sent, total_us,
 *		has_retry_after, retry_statuses) -> (action, reason, floor, pause, health).
 *
 * floor is an interval, or NULL where the delivery may go out again at once.
 */
Datum
hd_webhooks_sql_classify(PG_FUNCTION_ARGS)
{
	Outcome o = {
		.status = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0),
		.class = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1)),
		.attempt = PG_ARGISNULL(2) ? 1 : PG_GETARG_INT32(2),
		.sent = PG_ARGISNULL(3) || PG_GETARG_BOOL(3),
		.total_us = PG_ARGISNULL(4) ? PG_INT32_MAX : PG_GETARG_INT32(4),
		.has_retry_after = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5),
	};
	Verdict verdict;
	Interval floor = {0};
	Datum values[5];
	bool nulls[5] = {false};

	if (!PG_ARGISNULL(6))
		o.extra_status = array_contains(PG_GETARG_ARRAYTYPE_P(6), o.status);
	if (!classify(&o, &verdict))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unrecognized class of outcome: \"%s\"", o.class),
						errdetail("Known are http, dns, connect, tls, timeout, reset, blocked, "
								  "proxy, protocol and invalid.")));

	floor.time = verdict.floor * USECS_PER_SEC;
	values[0] = CStringGetTextDatum(verdict.action);
	values[1] = CStringGetTextDatum(verdict.reason);
	values[2] = IntervalPGetDatum(&floor);
	values[3] = BoolGetDatum(verdict.pause);
	values[4] = CStringGetTextDatum(verdict.health);
	nulls[2] = verdict.floor < 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_descriptor(fcinfo), values, nulls)));
}
