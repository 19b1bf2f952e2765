/*-------------------------------------------------------------------------
 * sign.c
 *		Signatures over bytes: HMAC-SHA256, and those of Standard Webhooks.
 *
 * Purpose: signs what the edge sends, as the Standard Webhooks specification
 * says: "v1," and base64(HMAC-SHA256(key, id "." seconds "." body)), or
 * "v1a," and base64 of the ed25519 signature of the same.
 *
 * Model: the digest is the server's own pg_hmac.  Its context is made once
 * and given a key each time, since making one takes as long as a digest of
 * half a kilobyte; a resource owner of its own lets it outlive transactions.
 * No message of this file ever carries a secret or a key.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/sign.h"

#include "common/hmac.h"
#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "webhooks/base64.h"
#include "webhooks/ed25519.h"
#include "webhooks/seconds.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_sign);

/* NULL: not made yet, or forgotten. */
static pg_hmac_ctx *context = NULL;

static void
make_context(void)
{
	static ResourceOwner own = NULL;
	ResourceOwner saved = CurrentResourceOwner;

	if (own == NULL)
		own = ResourceOwnerCreate(NULL, "hotdash signatures");
	CurrentResourceOwner = own;
	context = pg_hmac_create(PG_SHA256);
	CurrentResourceOwner = saved;
	if (context == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

void
hd_webhooks_hmac(HdBytes key, const HdBytes *parts, int nparts, uint8 mac[PG_SHA256_DIGEST_LENGTH])
{
	bool ok;

	if (context == NULL)
		make_context();
	ok = pg_hmac_init(context, key.data, key.length) >= 0;
	for (int i = 0; ok && i < nparts; i++)
		ok = pg_hmac_update(context, parts[i].data, parts[i].length) >= 0;
	if (!ok || pg_hmac_final(context, mac, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not compute a signature: %s", pg_hmac_error(context))));
}

void
hd_webhooks_forget_hmac(void)
{
	pg_hmac_free(context);
	context = NULL;
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

void
hd_webhooks_sign_private(const uint8 *seed, HdBytes id, HdBytes seconds, HdBytes body, char *buf)
{
	HdBytes dot = {".", 1};
	HdBytes parts[] = {id, dot, seconds, dot, body};
	uint8 signature[HD_ED25519_SIGNATURE];

	hd_webhooks_ed25519_sign(seed, parts, lengthof(parts), signature);
	memcpy(buf, "v1a,", 4);
	hd_webhooks_base64_encode(signature, sizeof(signature), buf + 4);
}

bool
hd_webhooks_decode_exactly(HdBytes text, const char *prefix, uint8 *bytes, int length)
{
	uint8 decoded[HD_BASE64_DECODED_MAX(HD_WEBHOOKS_SIGNATURE_MAX)];
	size_t skip = strlen(prefix);
	bool ok;

	if (text.length < skip || text.length - skip > HD_WEBHOOKS_SIGNATURE_MAX ||
		memcmp(text.data, prefix, skip) != 0)
		return false;
	ok = hd_webhooks_base64_decode((const char *) text.data + skip, text.length - skip, decoded) ==
		 length;
	if (ok)
		memcpy(bytes, decoded, length);
	explicit_bzero(decoded, sizeof(decoded));
	return ok;
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

static HD_NORETURN void
refuse_secret(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("secret is neither \"%s\" followed by base64 text nor \"%s\" followed by base64 "
				"of a private key",
				HD_WEBHOOKS_SECRET_PREFIX, HD_WEBHOOKS_PRIVATE_PREFIX),
		 errhidestmt(true), errhidecontext(true)));
}

/* Returns the length. */
static int
sign_with(HdBytes secret, HdBytes id, HdBytes seconds, HdBytes body, char *buf)
{
	uint8 pair[HD_ED25519_SEED + HD_ED25519_PUBLIC];
	uint8 *key;
	int key_length;

	if (hd_webhooks_decode_exactly(secret, HD_WEBHOOKS_PRIVATE_PREFIX, pair, sizeof(pair)))
	{
		hd_webhooks_sign_private(pair, id, seconds, body, buf);
		return HD_WEBHOOKS_SIGNATURE_MAX;
	}
	key = palloc(HD_BASE64_DECODED_MAX(secret.length));
	key_length = hd_webhooks_decode_secret(secret.data, secret.length, key);
	if (key_length < 0)
		refuse_secret();
	hd_webhooks_sign((HdBytes){key, key_length}, id, seconds, body, buf);
	return HD_WEBHOOKS_SIGNATURE_LENGTH;
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
	char seconds[HD_WEBHOOKS_SECONDS_SIZE];
	char signature[HD_WEBHOOKS_SIGNATURE_MAX];
	int length;

	hd_require_arg(fcinfo, 0, "secret");
	hd_require_arg(fcinfo, 1, "message_id");
	hd_require_arg(fcinfo, 2, "at");
	hd_require_arg(fcinfo, 3, "body");
	secret = PG_GETARG_TEXT_PP(0);
	id = PG_GETARG_TEXT_PP(1);
	body = PG_GETARG_BYTEA_PP(3);
	if (memchr(VARDATA_ANY(id), '.', VARSIZE_ANY_EXHDR(id)) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("message id must not contain a dot"),
						errdetail("The signed text separates id, time and body by dots.")));

	hd_webhooks_format_seconds(hd_webhooks_unix_seconds(PG_GETARG_TIMESTAMPTZ(2)), seconds);
	length = sign_with((HdBytes){VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)},
					   (HdBytes){VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id)},
					   (HdBytes){seconds, strlen(seconds)},
					   (HdBytes){VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)}, signature);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(signature, length));
}
