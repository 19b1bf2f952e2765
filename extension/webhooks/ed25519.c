/*-------------------------------------------------------------------------
 * ed25519.c
 *		Signatures with a key pair, by libcrypto.
 *
 * Model: pure functions.  libcrypto wants what is signed in one piece, so
 * the parts are copied together.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/ed25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "core/compat.h"

static HD_NORETURN void
give_up(void)
{
	ERR_clear_error();
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not use an ed25519 key")));
}

/* Copy the parts together, into memory of the caller's context. */
static HdBytes
join(const HdBytes *parts, int nparts)
{
	size_t length = 0;
	char *bytes;

	for (int i = 0; i < nparts; i++)
		length += parts[i].length;
	bytes = palloc(Max(length, 1));
	length = 0;
	for (int i = 0; i < nparts; i++)
	{
		memcpy(bytes + length, parts[i].data, parts[i].length);
		length += parts[i].length;
	}
	return (HdBytes){bytes, length};
}

void
hd_webhooks_ed25519_public(const uint8 *seed, uint8 *public_key)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, HD_ED25519_SEED);
	size_t length = HD_ED25519_PUBLIC;
	bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &length) == 1;

	EVP_PKEY_free(key);
	if (!ok)
		give_up();
}

void
hd_webhooks_ed25519_sign(const uint8 *seed, const HdBytes *parts, int nparts, uint8 *signature)
{
	HdBytes message = join(parts, nparts);
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, HD_ED25519_SEED);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = HD_ED25519_SIGNATURE;
	bool ok = key != NULL && context != NULL &&
			  EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
			  EVP_DigestSign(context, signature, &length, message.data, message.length) == 1;

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	if (!ok)
		give_up();
	pfree(unconstify(void *, message.data));
}

bool
hd_webhooks_ed25519_verify(const uint8 *public_key, const HdBytes *parts, int nparts,
						   const uint8 *signature)
{
	HdBytes message = join(parts, nparts);
	EVP_PKEY *key =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, HD_ED25519_PUBLIC);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = key != NULL && context != NULL &&
			  EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
			  EVP_DigestVerify(context, signature, HD_ED25519_SIGNATURE, message.data,
							   message.length) == 1;

	/* a signature that does not hold leaves its reason behind */
	ERR_clear_error();
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	pfree(unconstify(void *, message.data));
	return ok;
}
