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
} Verdict;

/* Answers that are not a success; the rest of 4xx is refused, the rest of 5xx is tried again. */
static const struct StatusRow
{
	int status;
	Verdict verdict;
} status_rows[] = {
	{401, {.action = "dead", .reason = "unauthorized"}},
	{403, {.action = "dead", .reason = "unauthorized"}},
	{404, {.action = "dead", .reason = "not_found"}},
	{408, {.action = "retry", .reason = "request_timeout"}},
	{409, {.action = "dead", .reason = "conflict"}},
	{410, {.action = "disable", .reason = "gone"}},
	{413, {.action = "dead", .reason = "too_large"}},
	{425, {.action = "retry", .reason = "too_early"}},
	{429, {.action = "retry", .reason = "rate_limited", .pause = true}},
	{502, {.action = "retry", .reason = "unavailable"}},
	{503, {.action = "retry", .reason = "unavailable"}},
	{504, {.action = "retry", .reason = "unavailable"}},
};

/* Attempts without an answer, by whether a byte of the request may have left. */
static const struct ClassRow
{
	const char *class;
	bool instant; /* when nothing left, try once again at once */
	Verdict unsent;
	Verdict sent;
} class_rows[] = {
	{"dns",
	 false,
	 {.action = "retry", .reason = "dns_failed"},
	 {.action = "retry", .reason = "dns_failed"}},
	{"connect",
	 true,
	 {.action = "retry", .reason = "connect_failed"},
	 {.action = "retry", .reason = "connect_failed"}},
	{"reset",
	 true,
	 {.action = "retry", .reason = "connection_reset"},
	 {.action = "retry", .reason = "unknown_outcome"}},
	{"timeout",
	 false,
	 {.action = "retry", .reason = "connect_timeout"},
	 {.action = "retry", .reason = "unknown_outcome", .floor = FLOOR_TIMEOUT_AFTER_SEND}},
	{"tls",
	 false,
	 {.action = "retry", .reason = "tls_failed", .floor = FLOOR_TLS},
	 {.action = "retry", .reason = "tls_failed", .floor = FLOOR_TLS}},
	{"proxy",
	 false,
	 {.action = "snooze", .reason = "proxy_failed", .floor = PROXY_DELAY},
	 {.action = "snooze", .reason = "proxy_failed", .floor = PROXY_DELAY}},
	{"protocol",
	 false,
	 {.action = "retry", .reason = "protocol_error"},
	 {.action = "retry", .reason = "protocol_error"}},
	{"blocked",
	 false,
	 {.action = "dead", .reason = "address_blocked"},
	 {.action = "dead", .reason = "address_blocked"}},
	{"invalid",
	 false,
	 {.action = "dead", .reason = "invalid_request"},
	 {.action = "dead", .reason = "invalid_request"}},
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
		return (Verdict){.action = "retry", .reason = "protocol_error"};
	if (status < 300)
		return (Verdict){.action = "complete", .reason = "delivered"};
	if (status < 400)
		return (Verdict){.action = "dead", .reason = "redirect"};
	if (status < 500)
		return (Verdict){.action = "dead", .reason = "rejected"};
	return (Verdict){.action = "retry", .reason = "server_error"};
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
		const struct ClassRow *row = &class_rows[i];

		if (strcmp(o->class, row->class) != 0)
			continue;
		*verdict = o->sent ? row->sent : row->unsent;
		if (row->instant && !o->sent && o->attempt <= 1 && o->total_us < INSTANT_RETRY_BELOW_US)
			verdict->floor = -1;
		return true;
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
 *		has_retry_after, retry_statuses) -> (action, reason, floor, pause).
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
	Datum values[4];
	bool nulls[4] = {false};

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
	nulls[2] = verdict.floor < 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_descriptor(fcinfo), values, nulls)));
}
