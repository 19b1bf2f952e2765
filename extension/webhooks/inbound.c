/*-------------------------------------------------------------------------
 * inbound.c
 *		Webhooks that come in: their secrets, and whether one is signed.
 *
 * Model: a source has one secret, or two while one replaces the other; each
 * is sealed (core/secret.h) for the place that is the source.  A request is
 * held against all of them.  A source that is not there costs what a wrong
 * signature costs: the digest of the body, by a key that is nobody's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/secret.h"
#include "core/trace.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/headers.h"
#include "webhooks/seconds.h"
#include "webhooks/verify.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_inbound_seal);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_inbound_verify);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_inbound_trace);

static const char no_key[] = "no_key";

static char *
place_of(const text *source)
{
	return psprintf("inbound/%.*s", (int) VARSIZE_ANY_EXHDR(source), VARDATA_ANY(source));
}

/*
 * hd_webhooks_sql_inbound_seal
 *		SQL: _inbound_seal(source, scheme, secret) -> bytea: what to store; 22023
 *		when the secret cannot be one of the scheme.
 */
Datum
hd_webhooks_sql_inbound_seal(PG_FUNCTION_ARGS)
{
	text *source = PG_GETARG_TEXT_PP(0);
	const HdScheme *scheme = hd_webhooks_scheme(PG_GETARG_TEXT_PP(1));
	text *given = PG_GETARG_TEXT_PP(2);
	HdBytes bytes = {VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};
	char *place = place_of(source);
	HdSecret secret;
	bytea *stored;

	if (bytes.length > HD_SECRET_MAX || !hd_webhooks_check_secret(scheme, bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret cannot be one of the scheme \"%s\"",
						text_to_cstring(PG_GETARG_TEXT_PP(1))),
				 errdetail("It has 1 to %d bytes; of the scheme \"standard\" it is base64 of "
						   "an HMAC key, or a key of ed25519 with its prefix.",
						   HD_SECRET_MAX),
				 errhidestmt(true), errhidecontext(true)));
	secret.length = bytes.length;
	memcpy(secret.data, bytes.data, bytes.length);
	stored = hd_secret_seal(&secret, place);
	hd_secret_wipe(&secret);
	PG_RETURN_BYTEA_P(stored);
}

/*
 * By one of the secrets; a reason otherwise.  A signature that matches none of those that can be
 * opened may be by one that cannot: that is ours to mend, and the sender is to come again.
 */
static const char *
verify_any(const HdScheme *scheme, ArrayType *stored, const char *place, HdIncoming *in)
{
	const char *reason = no_key;
	bool opened_all = true;
	Datum *elements;
	int count;

	deconstruct_array(stored, BYTEAOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count && reason != NULL; i++)
	{
		HdSecret secret;

		if (hd_secret_try_open(DatumGetByteaPP(elements[i]), place, &secret) != HD_SECRET_OPENED)
		{
			opened_all = false;
			continue;
		}
		in->secret = (HdBytes){secret.data, secret.length};
		reason = hd_webhooks_verify(scheme, in);
		in->secret = (HdBytes){NULL, 0};
		hd_webhooks_forget_hmac();
		hd_secret_wipe(&secret);
	}
	if (reason != NULL && !opened_all && strcmp(reason, HD_WEBHOOKS_MISMATCH) == 0)
		return no_key;
	return reason;
}

/*
 * hd_webhooks_sql_inbound_verify
 *		SQL: _inbound_verify(source, scheme, secrets, headers, body, tolerance) ->
 *		text: NULL when the request is signed by one of the secrets.
 *
 * Otherwise a code of webhook_verify_detail, or no_key when it might be signed
 * by one that cannot be opened.  Where scheme is NULL there is no such source: it takes as long.
 */
Datum
hd_webhooks_sql_inbound_verify(PG_FUNCTION_ARGS)
{
	HdIncoming in = {0};
	const char *reason;
	bytea *body;

	hd_require_arg(fcinfo, 4, "body");
	body = PG_GETARG_BYTEA_PP(4);
	in.body = (HdBytes){VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)};
	if (PG_ARGISNULL(1))
	{
		static const uint8 nobody[PG_SHA256_DIGEST_LENGTH];
		uint8 mac[PG_SHA256_DIGEST_LENGTH];

		hd_webhooks_hmac((HdBytes){nobody, sizeof(nobody)}, &in.body, 1, mac);
		hd_webhooks_forget_hmac();
		PG_RETURN_TEXT_P(cstring_to_text(HD_WEBHOOKS_MISMATCH));
	}
	hd_require_arg(fcinfo, 0, "source");
	hd_require_arg(fcinfo, 2, "secrets");
	hd_require_arg(fcinfo, 3, "headers");
	hd_require_arg(fcinfo, 5, "tolerance");
	in.headers = PG_GETARG_JSONB_P(3);
	in.tolerance = PG_GETARG_INT32(5);
	in.now = hd_webhooks_unix_seconds(hd_clock_now());
	reason = verify_any(hd_webhooks_scheme(PG_GETARG_TEXT_PP(1)), PG_GETARG_ARRAYTYPE_P(2),
						place_of(PG_GETARG_TEXT_PP(0)), &in);
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/*
 * hd_webhooks_sql_inbound_trace
 *		SQL: _inbound_trace(headers) -> text: the sender's traceparent, or a new
 *		one where it sent none that is valid.
 */
Datum
hd_webhooks_sql_inbound_trace(PG_FUNCTION_ARGS)
{
	Jsonb *headers = PG_GETARG_JSONB_P(0);
	HdHeader header = HD_HEADER("traceparent");
	char trace[HD_TRACEPARENT_LENGTH + 1];

	if (hd_webhooks_find_headers(headers, &header, 1) &&
		hd_trace_valid(header.value.data, header.value.length))
		PG_RETURN_TEXT_P(cstring_to_text_with_len(header.value.data, HD_TRACEPARENT_LENGTH));
	hd_trace_new(trace);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(trace, HD_TRACEPARENT_LENGTH));
}
