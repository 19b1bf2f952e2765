/*-------------------------------------------------------------------------
 * keys.c
 *		The keys that endpoints are signed with: made, shown, used.
 *
 * Model: keys.h.  A key is in the open only in C, on the stack, and wiped
 * before the function returns.  Errors about a secret hide the statement
 * that brought it from the log.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/keys.h"

#include "core/compat.h"
#include "core/errors.h"
#include "core/secret.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "webhooks/base64.h"
#include "webhooks/ed25519.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_key_make);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_key_text);

/* The first byte of a sealed key. */
typedef enum Signing
{
	SIGNING_HMAC = 'h',
	SIGNING_ED25519 = 'e'
} Signing;

#define PLACE_MAX 40

static void
name_place(int64 endpoint, char *place)
{
	snprintf(place, PLACE_MAX, "endpoint/" INT64_FORMAT, endpoint);
}

int
hd_webhooks_key_sign(int64 endpoint, const bytea *stored, HdBytes id, HdBytes seconds, HdBytes body,
					 char *buf)
{
	char place[PLACE_MAX];
	HdSecret secret;
	int length = -1;

	name_place(endpoint, place);
	if (hd_secret_try_open(stored, place, &secret) != HD_SECRET_OPENED)
		return -1;
	if (secret.length > 1 && secret.data[0] == SIGNING_HMAC)
	{
		hd_webhooks_sign((HdBytes){secret.data + 1, secret.length - 1}, id, seconds, body, buf);
		hd_webhooks_forget_hmac();
		length = HD_WEBHOOKS_SIGNATURE_LENGTH;
	}
	else if (secret.length == 1 + HD_ED25519_SEED)
	{
		hd_webhooks_sign_private(secret.data + 1, id, seconds, body, buf);
		length = HD_WEBHOOKS_SIGNATURE_MAX;
	}
	hd_secret_wipe(&secret);
	return length;
}

static void
make_random(HdSecret *secret, Signing signing)
{
	secret->length = 1 + PG_SHA256_DIGEST_LENGTH;
	secret->data[0] = signing;
	if (!pg_strong_random(secret->data + 1, PG_SHA256_DIGEST_LENGTH))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
}

static void
parse_shared(HdBytes text, HdSecret *secret)
{
	uint8 key[HD_BASE64_DECODED_MAX(2 * HD_WEBHOOKS_KEY_MAX)] = {0};
	size_t prefix = strlen(HD_WEBHOOKS_SECRET_PREFIX);
	int length = -1;

	if (text.length >= prefix && text.length - prefix <= 2 * HD_WEBHOOKS_KEY_MAX &&
		memcmp(text.data, HD_WEBHOOKS_SECRET_PREFIX, prefix) == 0)
		length =
			hd_webhooks_base64_decode((const char *) text.data + prefix, text.length - prefix, key);
	if (length < HD_WEBHOOKS_KEY_MIN || length > HD_WEBHOOKS_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret must be \"%s\" followed by the base64 text of %d to %d bytes",
						HD_WEBHOOKS_SECRET_PREFIX, HD_WEBHOOKS_KEY_MIN, HD_WEBHOOKS_KEY_MAX),
				 errhidestmt(true), errhidecontext(true)));
	secret->length = 1 + length;
	secret->data[0] = SIGNING_HMAC;
	memcpy(secret->data + 1, key, length);
	explicit_bzero(key, sizeof(key));
}

/* The public half is held against the private one: a pair that does not belong together signs in vain. */
static void
parse_private(HdBytes text, HdSecret *secret)
{
	uint8 pair[HD_ED25519_SEED + HD_ED25519_PUBLIC];
	uint8 public_key[HD_ED25519_PUBLIC];
	bool ok = hd_webhooks_decode_exactly(text, HD_WEBHOOKS_PRIVATE_PREFIX, pair, sizeof(pair));

	if (ok)
	{
		hd_webhooks_ed25519_public(pair, public_key);
		ok = memcmp(public_key, pair + HD_ED25519_SEED, HD_ED25519_PUBLIC) == 0;
	}
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret must be \"%s\" followed by the base64 text of an ed25519 key pair",
						HD_WEBHOOKS_PRIVATE_PREFIX),
				 errhidestmt(true), errhidecontext(true)));
	secret->length = 1 + HD_ED25519_SEED;
	secret->data[0] = SIGNING_ED25519;
	memcpy(secret->data + 1, pair, HD_ED25519_SEED);
	explicit_bzero(pair, sizeof(pair));
}

static text *
encode(const char *prefix, const uint8 *bytes, int length)
{
	int skip = strlen(prefix);
	text *result = palloc(VARHDRSZ + skip + HD_BASE64_ENCODED_LENGTH(length));

	memcpy(VARDATA(result), prefix, skip);
	skip += hd_webhooks_base64_encode(bytes, length, VARDATA(result) + skip);
	SET_VARSIZE(result, VARHDRSZ + skip);
	return result;
}

static text *
public_text(const HdSecret *secret)
{
	uint8 public_key[HD_ED25519_PUBLIC];

	hd_webhooks_ed25519_public(secret->data + 1, public_key);
	return encode(HD_WEBHOOKS_PUBLIC_PREFIX, public_key, sizeof(public_key));
}

/*
 * hd_webhooks_sql_key_make
 *		SQL: _endpoint_key_make(endpoint, secret, signing) -> (key, public_key): a
 *		key to store, from a secret or, where that is NULL, a random one.
 *
 * signing is hmac or ed25519.  public_key is NULL for hmac.
 */
Datum
hd_webhooks_sql_key_make(PG_FUNCTION_ARGS)
{
	Signing signing;
	HdBytes given = {NULL, 0};
	char place[PLACE_MAX];
	HdSecret secret = {0};
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false, false};

	hd_require_arg(fcinfo, 0, "endpoint");
	hd_require_arg(fcinfo, 2, "signing");
	signing = VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)) == 4 ? SIGNING_HMAC : SIGNING_ED25519;
	nulls[1] = signing == SIGNING_HMAC;
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	name_place(PG_GETARG_INT64(0), place);
	if (!PG_ARGISNULL(1))
	{
		text *text_given = PG_GETARG_TEXT_PP(1);

		given = (HdBytes){VARDATA_ANY(text_given), VARSIZE_ANY_EXHDR(text_given)};
	}
	if (given.data == NULL)
		make_random(&secret, signing);
	else if (signing == SIGNING_HMAC)
		parse_shared(given, &secret);
	else
		parse_private(given, &secret);
	if (signing == SIGNING_ED25519)
		values[1] = PointerGetDatum(public_text(&secret));
	values[0] = PointerGetDatum(hd_secret_seal(&secret, place));
	hd_secret_wipe(&secret);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * hd_webhooks_sql_key_text
 *		SQL: _endpoint_key_text(endpoint, key) -> text: what the receiver needs:
 *		the secret, or of an ed25519 key the public half.
 */
Datum
hd_webhooks_sql_key_text(PG_FUNCTION_ARGS)
{
	char place[PLACE_MAX];
	HdSecret secret;
	text *result;

	name_place(PG_GETARG_INT64(0), place);
	hd_secret_open(PG_GETARG_BYTEA_PP(1), place, &secret);
	if (secret.data[0] == SIGNING_HMAC)
		result = encode(HD_WEBHOOKS_SECRET_PREFIX, secret.data + 1, secret.length - 1);
	else
		result = public_text(&secret);
	hd_secret_wipe(&secret);
	PG_RETURN_TEXT_P(result);
}
