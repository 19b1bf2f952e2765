/*-------------------------------------------------------------------------
 * verify.c
 *		Signatures of webhooks that others send us.
 *
 * Purpose: the schemes standard, stripe, github, slack, shopify and
 * chatwoot, over the raw bytes of the body.
 *
 * Model: each scheme reads its headers (names in any case), computes the
 * one signature that it expects and compares texts in constant time: text,
 * because several base64 texts can stand for the same bytes and only one of
 * them was sent by the holder of the secret.  The answer is NULL or a code:
 *
 *		bad_secret			the secret cannot be a key of this scheme
 *		missing_header		a header that the scheme needs is not there, or
 *							there twice, or not a text
 *		malformed_header	a header is there but cannot be read
 *		too_old, too_new	the time in the header is outside the tolerance
 *		mismatch			no signature matches
 *
 * Caveats: github and shopify sign no time, so only their delivery id tells
 * a replay.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "core/clock.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "webhooks/base64.h"
#include "webhooks/seconds.h"
#include "webhooks/sign.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_verify);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_verify_detail);

#define HEX_LENGTH (2 * PG_SHA256_DIGEST_LENGTH)
#define BASE64_LENGTH HD_BASE64_ENCODED_LENGTH(PG_SHA256_DIGEST_LENGTH)
#define DEFAULT_TOLERANCE 300 /* seconds, before and after */
#define TIMESTAMP_DIGITS_MAX 12

static const char bad_secret[] = "bad_secret";
static const char missing_header[] = "missing_header";
static const char malformed_header[] = "malformed_header";
static const char too_old[] = "too_old";
static const char too_new[] = "too_new";
static const char mismatch[] = "mismatch";

typedef struct Incoming
{
	HdBytes secret;
	HdBytes body;
	Jsonb *headers;
	int64 tolerance; /* seconds */
	int64 now;		 /* Unix seconds */
} Incoming;

/* False unless the header is there exactly once, as a text. */
static bool
find_header(const Incoming *in, const char *name, HdBytes *value)
{
	size_t length = strlen(name);
	JsonbIterator *it = JsonbIteratorInit(&in->headers->root);
	JsonbIteratorToken token;
	JsonbValue v;
	int found = 0;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_KEY || v.val.string.len != length ||
			pg_strncasecmp(v.val.string.val, name, length) != 0)
			continue;
		(void) JsonbIteratorNext(&it, &v, true);
		if (v.type != jbvString || ++found > 1)
			return false;
		*value = (HdBytes){v.val.string.val, v.val.string.len};
	}
	return found == 1;
}

static const char *
check_time(const Incoming *in, HdBytes text)
{
	const char *digits = text.data;
	int64 seconds = 0;

	if (text.length == 0 || text.length > TIMESTAMP_DIGITS_MAX)
		return malformed_header;
	for (size_t i = 0; i < text.length; i++)
	{
		if (!isdigit((unsigned char) digits[i]))
			return malformed_header;
		seconds = seconds * 10 + (digits[i] - '0');
	}
	if (in->now - seconds > in->tolerance)
		return too_old;
	if (seconds - in->now > in->tolerance)
		return too_new;
	return NULL;
}

static bool
has_prefix(HdBytes text, const char *prefix)
{
	return text.length >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

static HdBytes
skip(HdBytes text, size_t n)
{
	return (HdBytes){(const char *) text.data + n, text.length - n};
}

/* Split off what comes before the separator (or all of it); false at the end. */
static bool
next_part(HdBytes *rest, char separator, HdBytes *part)
{
	const char *found;

	if (rest->data == NULL)
		return false;
	found = memchr(rest->data, separator, rest->length);
	*part = *rest;
	if (found == NULL)
		rest->data = NULL;
	else
	{
		part->length = found - (const char *) rest->data;
		*rest = skip(*rest, part->length + 1);
	}
	return true;
}

static bool
same_text(HdBytes given, const char *expected, size_t length)
{
	return given.length == length && hd_webhooks_equal(given.data, expected, length);
}

static void
hex_hmac(HdBytes key, const HdBytes *parts, int nparts, char hex[HEX_LENGTH])
{
	static const char digits[] = "0123456789abcdef";
	uint8 mac[PG_SHA256_DIGEST_LENGTH];

	hd_webhooks_hmac(key, parts, nparts, mac);
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
	{
		hex[2 * i] = digits[mac[i] >> 4];
		hex[2 * i + 1] = digits[mac[i] & 0x0f];
	}
}

/* webhook-signature: a list of version,signature; unknown versions are skipped. */
static const char *
verify_standard(const Incoming *in)
{
	uint8 *key = palloc(HD_BASE64_DECODED_MAX(in->secret.length));
	int key_length = hd_webhooks_decode_secret(in->secret.data, in->secret.length, key);
	HdBytes id;
	HdBytes seconds;
	HdBytes list;
	HdBytes signature;
	char expected[HD_WEBHOOKS_SIGNATURE_LENGTH];
	const char *wrong;
	bool matched = false;

	if (key_length < 0)
		return bad_secret;
	if (!find_header(in, "webhook-id", &id) || !find_header(in, "webhook-timestamp", &seconds) ||
		!find_header(in, "webhook-signature", &list))
		return missing_header;
	if (id.length == 0 || memchr(id.data, '.', id.length) != NULL)
		return malformed_header;
	wrong = check_time(in, seconds);
	if (wrong != NULL)
		return wrong;

	hd_webhooks_sign((HdBytes){key, key_length}, id, seconds, in->body, expected);
	while (next_part(&list, ' ', &signature))
		matched |= same_text(signature, expected, sizeof(expected));
	return matched ? NULL : mismatch;
}

/* Stripe-Signature: t=seconds,v1=hex[,v1=hex]; the secret is used as it stands. */
static const char *
verify_stripe(const Incoming *in)
{
	HdBytes list;
	HdBytes rest;
	HdBytes item;
	HdBytes seconds = {NULL, 0};
	char expected[HEX_LENGTH];
	const char *wrong;
	bool matched = false;

	if (!find_header(in, "stripe-signature", &list))
		return missing_header;
	rest = list;
	while (next_part(&rest, ',', &item))
	{
		if (!has_prefix(item, "t="))
			continue;
		if (seconds.data != NULL)
			return malformed_header;
		seconds = skip(item, 2);
	}
	if (seconds.data == NULL)
		return malformed_header;
	wrong = check_time(in, seconds);
	if (wrong != NULL)
		return wrong;

	hex_hmac(in->secret, (HdBytes[]){seconds, {".", 1}, in->body}, 3, expected);
	while (next_part(&list, ',', &item))
	{
		if (has_prefix(item, "v1="))
			matched |= same_text(skip(item, 3), expected, sizeof(expected));
	}
	return matched ? NULL : mismatch;
}

/* One header that holds a prefix and the hex signature of the parts. */
static const char *
verify_hex(const Incoming *in, const char *header, const char *prefix, const HdBytes *parts,
		   int nparts)
{
	HdBytes signature;
	char expected[HEX_LENGTH];

	if (!find_header(in, header, &signature))
		return missing_header;
	if (!has_prefix(signature, prefix))
		return malformed_header;
	hex_hmac(in->secret, parts, nparts, expected);
	return same_text(skip(signature, strlen(prefix)), expected, sizeof(expected)) ? NULL : mismatch;
}

static const char *
verify_github(const Incoming *in)
{
	return verify_hex(in, "x-hub-signature-256", "sha256=", &in->body, 1);
}

static const char *
verify_slack(const Incoming *in)
{
	HdBytes seconds;
	const char *wrong;

	if (!find_header(in, "x-slack-request-timestamp", &seconds))
		return missing_header;
	wrong = check_time(in, seconds);
	if (wrong != NULL)
		return wrong;
	return verify_hex(in, "x-slack-signature",
					  "v0=", (HdBytes[]){{"v0:", 3}, seconds, {":", 1}, in->body}, 4);
}

static const char *
verify_chatwoot(const Incoming *in)
{
	HdBytes seconds;
	const char *wrong;

	if (!find_header(in, "x-chatwoot-timestamp", &seconds))
		return missing_header;
	wrong = check_time(in, seconds);
	if (wrong != NULL)
		return wrong;
	return verify_hex(in, "x-chatwoot-signature",
					  "sha256=", (HdBytes[]){seconds, {".", 1}, in->body}, 3);
}

static const char *
verify_shopify(const Incoming *in)
{
	HdBytes signature;
	uint8 mac[PG_SHA256_DIGEST_LENGTH];
	char expected[BASE64_LENGTH];

	if (!find_header(in, "x-shopify-hmac-sha256", &signature))
		return missing_header;
	hd_webhooks_hmac(in->secret, &in->body, 1, mac);
	hd_webhooks_base64_encode(mac, sizeof(mac), expected);
	return same_text(signature, expected, sizeof(expected)) ? NULL : mismatch;
}

static const struct Scheme
{
	const char *name;
	const char *(*verify)(const Incoming *in);
} schemes[] = {
	{"standard", verify_standard}, {"stripe", verify_stripe},	{"github", verify_github},
	{"slack", verify_slack},	   {"shopify", verify_shopify}, {"chatwoot", verify_chatwoot},
};

/* The common body of both functions: NULL when the signature holds. */
static const char *
verify(FunctionCallInfo fcinfo)
{
	text *name;
	text *secret;
	bytea *body;
	Incoming in;

	hd_require_arg(fcinfo, 0, "scheme");
	hd_require_arg(fcinfo, 1, "secret");
	hd_require_arg(fcinfo, 2, "headers");
	hd_require_arg(fcinfo, 3, "body");
	name = PG_GETARG_TEXT_PP(0);
	secret = PG_GETARG_TEXT_PP(1);
	in.headers = PG_GETARG_JSONB_P(2);
	body = PG_GETARG_BYTEA_PP(3);
	in.secret = (HdBytes){VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)};
	in.body = (HdBytes){VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)};
	in.tolerance = DEFAULT_TOLERANCE;
	if (!PG_ARGISNULL(4))
		in.tolerance = hd_duration_us(PG_GETARG_INTERVAL_P(4), "tolerance", 0) / USECS_PER_SEC;
	in.now = hd_webhooks_unix_seconds(hd_clock_now());

	if (!JB_ROOT_IS_OBJECT(in.headers))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("headers must be a JSON object of names and texts")));
	for (int i = 0; i < lengthof(schemes); i++)
	{
		HdBytes wanted = {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)};

		if (wanted.length == strlen(schemes[i].name) && has_prefix(wanted, schemes[i].name))
			return in.secret.length == 0 ? bad_secret : schemes[i].verify(&in);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unrecognized signature scheme: \"%s\"", text_to_cstring(name)),
					errdetail("Known are standard, stripe, github, slack, shopify and "
							  "chatwoot.")));
}

/*
 * hd_webhooks_sql_verify
 *		SQL: webhook_verify(scheme, secret, headers, body, tolerance) -> bool.
 */
Datum
hd_webhooks_sql_verify(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(verify(fcinfo) == NULL);
}

/*
 * hd_webhooks_sql_verify_detail
 *		SQL: webhook_verify_detail(the same) -> (ok, reason).
 */
Datum
hd_webhooks_sql_verify_detail(PG_FUNCTION_ARGS)
{
	const char *reason = verify(fcinfo);
	TupleDesc desc;
	Datum values[2] = {BoolGetDatum(reason == NULL)};
	bool nulls[2] = {false, reason == NULL};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (reason != NULL)
		values[1] = CStringGetTextDatum(reason);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
