/*-------------------------------------------------------------------------
 * sign.h
 *		HMAC-SHA256 signatures over bytes.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_SIGN_H
#define HD_WEBHOOKS_SIGN_H

#include "postgres.h"

#include "common/sha2.h"

/* Of a Standard Webhooks secret, decoded. */
#define HD_WEBHOOKS_KEY_MIN 24
#define HD_WEBHOOKS_KEY_MAX 64
#define HD_WEBHOOKS_SECRET_PREFIX "whsec_"

/* "v1," and the base64 text of 32 bytes */
#define HD_WEBHOOKS_SIGNATURE_LENGTH 47

/* Bytes that somebody else owns. */
typedef struct HdBytes
{
	const void *data;
	size_t length;
} HdBytes;

/*
 * hd_webhooks_hmac
 *		HMAC-SHA256 of the parts, one after the other, into mac.
 */
extern void hd_webhooks_hmac(HdBytes key, const HdBytes *parts, int nparts,
							 uint8 mac[PG_SHA256_DIGEST_LENGTH]);

/*
 * hd_webhooks_sign
 *		Write the Standard Webhooks signature of id.seconds.body into buf,
 *		HD_WEBHOOKS_SIGNATURE_LENGTH bytes without a final zero.
 */
extern void hd_webhooks_sign(HdBytes key, HdBytes id, HdBytes seconds, HdBytes body, char *buf);

/*
 * hd_webhooks_decode_secret
 *		The key bytes of a secret: base64, with or without the prefix.
 *
 * key: room for HD_BASE64_DECODED_MAX(length).  Returns the number of bytes,
 * or -1 when the secret is not base64 or holds no byte.
 */
extern int hd_webhooks_decode_secret(const char *secret, int length, uint8 *key);

/*
 * hd_webhooks_equal
 *		Compare in a time that depends on the length alone.
 */
extern bool hd_webhooks_equal(const void *a, const void *b, size_t length);

#endif /* HD_WEBHOOKS_SIGN_H */
