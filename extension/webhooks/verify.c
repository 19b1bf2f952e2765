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

#include "webhooks/verify.h"

#include <ctype.h>

#include "core/clock.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/base64.h"
#include "webhooks/ed25519.h"
#include "webhooks/headers.h"
#include "webhooks/seconds.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_verify);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_verify_detail);

#define HEX_LENGTH (2 * PG_SHA256_DIGEST_LENGTH)
#define BASE64_LENGTH HD_BASE64_ENCODED_LENGTH(PG_SHA256_DIGEST_LENGTH)
#define TIMESTAMP_DIGITS_MAX 12

/* An ed25519 signature takes a hundred microseconds to check: of a list no more than so many. */
#define PUBLIC_TRIES_MAX 4

static const char bad_secret[] = "bad_secret";
static const char missing_header[] = "missing_header";
static const char malformed_header[] = "malformed_header";
static const char too_old[] = "too_old";
static const char too_new[] = "too_new";
static const char mismatch[] = HD_WEBHOOKS_MISMATCH;

static const char *
check_time(const HdIncoming *in, HdBytes text)
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

/* The public key that a secret is or holds; false when it is neither. */
static bool
public_key_of(HdBytes secret, uint8 public_key[HD_ED25519_PUBLIC])
{
	uint8 pair[HD_ED25519_SEED + HD_ED25519_PUBLIC];

	if (hd_webhooks_decode_exactly(secret, HD_WEBHOOKS_PUBLIC_PREFIX, public_key,
								   HD_ED25519_PUBLIC))
		return true;
	if (!hd_webhooks_decode_exactly(secret, HD_WEBHOOKS_PRIVATE_PREFIX, pair, sizeof(pair)))
		return false;
	memcpy(public_key, pair + HD_ED25519_SEED, HD_ED25519_PUBLIC);
	explicit_bzero(pair, sizeof(pair));
	return true;
}

/* Of a list of version,signature; unknown versions are skipped. */
static bool
match_private(const uint8 *public_key, HdBytes list, const HdBytes *parts, int nparts)
{
	uint8 given[HD_ED25519_SIGNATURE];
	HdBytes signature;
	int tries = 0;

	while (next_part(&list, ' ', &signature))
	{
		if (hd_webhooks_decode_exactly(signature, "v1a,", given, sizeof(given)) &&
			tries++ < PUBLIC_TRIES_MAX &&
			hd_webhooks_ed25519_verify(public_key, parts, nparts, given))
			return true;
	}
	return false;
}

static bool
match_shared(HdBytes key, HdBytes list, const HdHeader *headers, HdBytes body)
{
	char expected[HD_WEBHOOKS_SIGNATURE_LENGTH];
	HdBytes signature;
	bool matched = false;

	hd_webhooks_sign(key, headers[0].value, headers[1].value, body, expected);
	while (next_part(&list, ' ', &signature))
		matched |= same_text(signature, expected, sizeof(expected));
	return matched;
}

/* key: of an HMAC, or a public one when asymmetric. */
static const char *
check_standard(const HdIncoming *in, HdBytes key, bool asymmetric)
{
	HdHeader headers[] = {HD_HEADER("webhook-id"), HD_HEADER("webhook-timestamp"),
						  HD_HEADER("webhook-signature")};
	HdBytes id;
	HdBytes seconds;
	const char *wrong;

	if (!hd_webhooks_find_headers(in->headers, headers, lengthof(headers)))
		return missing_header;
	id = headers[0].value;
	seconds = headers[1].value;
	if (id.length == 0 || memchr(id.data, '.', id.length) != NULL)
		return malformed_header;
	wrong = check_time(in, seconds);
	if (wrong != NULL)
		return wrong;
	if (asymmetric ? match_private(key.data, headers[2].value,
								   (HdBytes[]){id, {".", 1}, seconds, {".", 1}, in->body}, 5)
				   : match_shared(key, headers[2].value, headers, in->body))
		return NULL;
	return mismatch;
}

/* Bytes of a decoded secret that stand on the stack; more are palloc'd. */
#define USUAL_KEY 128

static const char *
verify_standard(const HdIncoming *in)
{
	uint8 buffer[USUAL_KEY];
	size_t room = HD_BASE64_DECODED_MAX(in->secret.length);
	uint8 *key = room > USUAL_KEY ? palloc(room) : buffer;
	const char *answer = bad_secret;
	int length;

	if (public_key_of(in->secret, key))
		answer = check_standard(in, (HdBytes){key, HD_ED25519_PUBLIC}, true);
	else
	{
		length = hd_webhooks_decode_secret(in->secret.data, in->secret.length, key);
		if (length >= 0)
			answer = check_standard(in, (HdBytes){key, length}, false);
		explicit_bzero(key, Max(length, 0));
	}
	return answer;
}

/* Stripe-Signature: t=seconds,v1=hex[,v1=hex]; the secret is used as it stands. */
static const char *
verify_stripe(const HdIncoming *in)
{
	HdHeader header = HD_HEADER("stripe-signature");
	HdBytes list;
	HdBytes rest;
	HdBytes item;
	HdBytes seconds = {NULL, 0};
	char expected[HEX_LENGTH];
	const char *wrong;
	bool matched = false;

	if (!hd_webhooks_find_headers(in->headers, &header, 1))
		return missing_header;
	list = rest = header.value;
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

/* A signature of a prefix and hex. */
static const char *
check_hex(const HdIncoming *in, HdBytes given, const char *prefix, const HdBytes *parts, int nparts)
{
	char expected[HEX_LENGTH];

	if (!has_prefix(given, prefix))
		return malformed_header;
	hex_hmac(in->secret, parts, nparts, expected);
	return same_text(skip(given, strlen(prefix)), expected, sizeof(expected)) ? NULL : mismatch;
}

static const char *
verify_github(const HdIncoming *in)
{
	HdHeader header = HD_HEADER("x-hub-signature-256");

	if (!hd_webhooks_find_headers(in->headers, &header, 1))
		return missing_header;
	return check_hex(in, header.value, "sha256=", &in->body, 1);
}

static const char *
verify_slack(const HdIncoming *in)
{
	HdHeader headers[] = {HD_HEADER("x-slack-request-timestamp"), HD_HEADER("x-slack-signature")};
	const char *wrong;

	if (!hd_webhooks_find_headers(in->headers, headers, lengthof(headers)))
		return missing_header;
	wrong = check_time(in, headers[0].value);
	if (wrong != NULL)
		return wrong;
	return check_hex(in, headers[1].value,
					 "v0=", (HdBytes[]){{"v0:", 3}, headers[0].value, {":", 1}, in->body}, 4);
}

static const char *
verify_chatwoot(const HdIncoming *in)
{
	HdHeader headers[] = {HD_HEADER("x-chatwoot-timestamp"), HD_HEADER("x-chatwoot-signature")};
	const char *wrong;

	if (!hd_webhooks_find_headers(in->headers, headers, lengthof(headers)))
		return missing_header;
	wrong = check_time(in, headers[0].value);
	if (wrong != NULL)
		return wrong;
	return check_hex(in, headers[1].value,
					 "sha256=", (HdBytes[]){headers[0].value, {".", 1}, in->body}, 3);
}

static const char *
verify_shopify(const HdIncoming *in)
{
	HdHeader header = HD_HEADER("x-shopify-hmac-sha256");
	uint8 mac[PG_SHA256_DIGEST_LENGTH];
	char expected[BASE64_LENGTH];

	if (!hd_webhooks_find_headers(in->headers, &header, 1))
		return missing_header;
	hd_webhooks_hmac(in->secret, &in->body, 1, mac);
	hd_webhooks_base64_encode(mac, sizeof(mac), expected);
	return same_text(header.value, expected, sizeof(expected)) ? NULL : mismatch;
}

struct HdScheme
{
	const char *name;
	const char *(*verify)(const HdIncoming *in);
};

static const HdScheme schemes[] = {
	{"standard", verify_standard}, {"stripe", verify_stripe},	{"github", verify_github},
	{"slack", verify_slack},	   {"shopify", verify_shopify}, {"chatwoot", verify_chatwoot},
};

const HdScheme *
hd_webhooks_scheme(const text *name)
{
	HdBytes wanted = {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)};

	for (int i = 0; i < lengthof(schemes); i++)
	{
		if (wanted.length == strlen(schemes[i].name) && has_prefix(wanted, schemes[i].name))
			return &schemes[i];
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unrecognized signature scheme: \"%s\"", text_to_cstring(name)),
					errdetail("Known are standard, stripe, github, slack, shopify and "
							  "chatwoot.")));
}

bool
hd_webhooks_check_secret(const HdScheme *scheme, HdBytes secret)
{
	uint8 public_key[HD_ED25519_PUBLIC];
	uint8 *key;
	bool ok;

	if (secret.length == 0 || scheme->verify != verify_standard)
		return secret.length > 0;
	if (public_key_of(secret, public_key))
		return true;
	key = palloc(HD_BASE64_DECODED_MAX(secret.length));
	ok = hd_webhooks_decode_secret(secret.data, secret.length, key) > 0;
	explicit_bzero(key, HD_BASE64_DECODED_MAX(secret.length));
	pfree(key);
	return ok;
}

const char *
hd_webhooks_verify(const HdScheme *scheme, const HdIncoming *in)
{
	return in->secret.length == 0 ? bad_secret : scheme->verify(in);
}

/* The common body of both functions: NULL when the signature holds. */
static const char *
verify(FunctionCallInfo fcinfo)
{
	text *name;
	text *secret;
	bytea *body;
	HdIncoming in;

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
	in.tolerance = HD_WEBHOOKS_TOLERANCE;
	if (!PG_ARGISNULL(4))
		in.tolerance = hd_duration_us(PG_GETARG_INTERVAL_P(4), "tolerance", 0) / USECS_PER_SEC;
	in.now = hd_webhooks_unix_seconds(hd_clock_now());

	if (!JB_ROOT_IS_OBJECT(in.headers))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("headers must be a JSON object of names and texts")));
	return hd_webhooks_verify(hd_webhooks_scheme(name), &in);
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
