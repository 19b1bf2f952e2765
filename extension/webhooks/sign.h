/*-------------------------------------------------------------------------
 * sign.h
 *		Signatures over bytes: HMAC-SHA256, and those of Standard Webhooks.
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
#define HD_WEBHOOKS_PRIVATE_PREFIX "whsk_"
#define HD_WEBHOOKS_PUBLIC_PREFIX "whpk_"

/* "v1," and the base64 text of 32 bytes */
#define HD_WEBHOOKS_SIGNATURE_LENGTH 47

/* "v1a," and the base64 text of 64 bytes */
#define HD_WEBHOOKS_SIGNATURE_MAX 92

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
 * hd_webhooks_forget_hmac
 *		Wipe what hd_webhooks_hmac keeps of the last key.
 */
extern void hd_webhooks_forget_hmac(void);

/*
 * hd_webhooks_sign
 *		Write the Standard Webhooks signature of id.seconds.body into buf,
 *		HD_WEBHOOKS_SIGNATURE_LENGTH bytes without a final zero.
 */
extern void hd_webhooks_sign(HdBytes key, HdBytes id, HdBytes seconds, HdBytes body, char *buf);

/*
 * hd_webhooks_sign_private
 *		The same with the seed of an ed25519 key, HD_WEBHOOKS_SIGNATURE_MAX bytes.
 */
extern void hd_webhooks_sign_private(const uint8 *seed, HdBytes id, HdBytes seconds, HdBytes body,
									 char *buf);

/*
 * hd_webhooks_decode_secret
 *		The key bytes of a secret: base64, with or without the prefix.
 *
 * key: room for HD_BASE64_DECODED_MAX(length).  Returns the number of bytes,
 * or -1 when the secret is not base64 or holds no byte.
 */
extern int hd_webhooks_decode_secret(const char *secret, int length, uint8 *key);

/*
 * hd_webhooks_decode_exactly
 *		Decode base64 behind a prefix into exactly so many bytes, or return false.
 */
extern bool hd_webhooks_decode_exactly(HdBytes text, const char *prefix, uint8 *bytes, int length);

/*
 * hd_webhooks_equal
 *		Compare in a time that depends on the length alone.
 */
extern bool hd_webhooks_equal(const void *a, const void *b, size_t length);

#endif /* HD_WEBHOOKS_SIGN_H */
