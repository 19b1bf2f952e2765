/*-------------------------------------------------------------------------
 * sign.c
 *		HMAC-SHA256 signatures over bytes.
 *
 * Purpose: signs what the edge sends, as the Standard Webhooks specification
 * says: "v1," and base64(HMAC-SHA256(key, id "." seconds "." body)).
 *
 * Model: pure functions.  The digest is the server's own pg_hmac.  No
 * message of this file ever carries a secret or a key.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/sign.h"

#include "common/hmac.h"
#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/base64.h"
#include "webhooks/seconds.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_sign);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_new_key);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_parse_secret);

void
hd_webhooks_hmac(HdBytes key, const HdBytes *parts, int nparts, uint8 mac[PG_SHA256_DIGEST_LENGTH])
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	bool ok = ctx != NULL && pg_hmac_init(ctx, key.data, key.length) >= 0;

	for (int i = 0; ok && i < nparts; i++)
		ok = pg_hmac_update(ctx, parts[i].data, parts[i].length) >= 0;
	if (!ok || pg_hmac_final(ctx, mac, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not compute a signature: %s", pg_hmac_error(ctx))));
	pg_hmac_free(ctx);
}

void
hd_webhooks_sign(HdBytes key, HdBytes id, HdBytes seconds, HdBytes body, char *buf)
{
	HdBytes dot = {".", 1};
	HdBytes parts[] = {id, dot, seconds, dot, body};
	uint8 mac[PG_SHA256_DIGEST_LENGTH];

	hd_webhooks_hmac(key, parts, lengthof(parts), mac);
	memcpy(buf, "v1,", 3);
	hd_webhooks_base64_encode(mac, sizeof(mac), buf + 3);
}

int
hd_webhooks_decode_secret(const char *secret, int length, uint8 *key)
{
	int prefix = strlen(HD_WEBHOOKS_SECRET_PREFIX);
	int decoded;

	if (length >= prefix && memcmp(secret, HD_WEBHOOKS_SECRET_PREFIX, prefix) == 0)
	{
		secret += prefix;
		length -= prefix;
	}
	decoded = hd_webhooks_base64_decode(secret, length, key);
	return decoded > 0 ? decoded : -1;
}

bool
hd_webhooks_equal(const void *a, const void *b, size_t length)
{
	const volatile uint8 *pa = a;
	const volatile uint8 *pb = b;
	uint8 difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= pa[i] ^ pb[i];
	return difference == 0;
}

/*
 * hd_webhooks_sql_sign
 *		SQL: webhook_sign(secret, message_id, at, body) -> text.
 */
Datum
hd_webhooks_sql_sign(PG_FUNCTION_ARGS)
{
	text *secret;
	text *id;
	bytea *body;
	uint8 *key;
	int key_length;
	char seconds[HD_WEBHOOKS_SECONDS_SIZE];
	char signature[HD_WEBHOOKS_SIGNATURE_LENGTH];

	hd_require_arg(fcinfo, 0, "secret");
	hd_require_arg(fcinfo, 1, "message_id");
	hd_require_arg(fcinfo, 2, "at");
	hd_require_arg(fcinfo, 3, "body");
	secret = PG_GETARG_TEXT_PP(0);
	id = PG_GETARG_TEXT_PP(1);
	body = PG_GETARG_BYTEA_PP(3);

	key = palloc(HD_BASE64_DECODED_MAX(VARSIZE_ANY_EXHDR(secret)));
	key_length = hd_webhooks_decode_secret(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret), key);
	if (key_length < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("secret is not \"%s\" followed by base64 text",
							   HD_WEBHOOKS_SECRET_PREFIX)));
	if (memchr(VARDATA_ANY(id), '.', VARSIZE_ANY_EXHDR(id)) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("message id must not contain a dot"),
						errdetail("The signed text separates id, time and body by dots.")));

	hd_webhooks_format_seconds(hd_webhooks_unix_seconds(PG_GETARG_TIMESTAMPTZ(2)), seconds);
	hd_webhooks_sign((HdBytes){key, key_length}, (HdBytes){VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id)},
					 (HdBytes){seconds, strlen(seconds)},
					 (HdBytes){VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)}, signature);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(signature, sizeof(signature)));
}

/*
 * hd_webhooks_sql_new_key
 *		SQL: _webhook_new_key() -> bytea: 32 random bytes for a new secret.
 */
Datum
hd_webhooks_sql_new_key(PG_FUNCTION_ARGS)
{
	int length = PG_SHA256_DIGEST_LENGTH;
	bytea *key = palloc(VARHDRSZ + length);

	if (!pg_strong_random(VARDATA(key), length))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	SET_VARSIZE(key, VARHDRSZ + length);
	PG_RETURN_BYTEA_P(key);
}

/*
 * hd_webhooks_sql_parse_secret
 *		SQL: _webhook_parse_secret(text) -> bytea: the key bytes of a secret
 *		that an endpoint may have.
 */
Datum
hd_webhooks_sql_parse_secret(PG_FUNCTION_ARGS)
{
	text *secret = PG_GETARG_TEXT_PP(0);
	int length = VARSIZE_ANY_EXHDR(secret);
	int prefix = strlen(HD_WEBHOOKS_SECRET_PREFIX);
	bytea *key = palloc(VARHDRSZ + HD_BASE64_DECODED_MAX(length));
	int key_length = -1;

	if (length >= prefix && memcmp(VARDATA_ANY(secret), HD_WEBHOOKS_SECRET_PREFIX, prefix) == 0)
		key_length = hd_webhooks_decode_secret(VARDATA_ANY(secret), length, (uint8 *) VARDATA(key));
	if (key_length < HD_WEBHOOKS_KEY_MIN || key_length > HD_WEBHOOKS_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret must be \"%s\" followed by the base64 text of %d to %d bytes",
						HD_WEBHOOKS_SECRET_PREFIX, HD_WEBHOOKS_KEY_MIN, HD_WEBHOOKS_KEY_MAX)));
	SET_VARSIZE(key, VARHDRSZ + key_length);
	PG_RETURN_BYTEA_P(key);
}
