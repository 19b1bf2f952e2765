/*-------------------------------------------------------------------------
 * keys.h
 *		The keys that endpoints are signed with.
 *
 * Model: what is sealed (core/secret.h) is one byte that says how the key
 * signs, and its bytes: of an HMAC key 24 to 64, of an ed25519 key the 32 of
 * its seed.  The place that it is bound to is the endpoint.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_KEYS_H
#define HD_WEBHOOKS_KEYS_H

#include "postgres.h"

#include "webhooks/sign.h"

/*
 * hd_webhooks_key_sign
 *		Write the Standard Webhooks signature by a stored key into buf, at most
 *		HD_WEBHOOKS_SIGNATURE_MAX bytes.  Returns the length, or -1 when the key
 *		cannot be opened.
 */
extern int hd_webhooks_key_sign(int64 endpoint, const bytea *stored, HdBytes id, HdBytes seconds,
								HdBytes body, char *buf);

#endif /* HD_WEBHOOKS_KEYS_H */
