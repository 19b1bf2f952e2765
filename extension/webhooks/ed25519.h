/*-------------------------------------------------------------------------
 * ed25519.h
 *		Signatures with a key pair, by libcrypto.
 *
 * Caveats: a signature takes some 50 microseconds, checking one twice that.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_ED25519_H
#define HD_WEBHOOKS_ED25519_H

#include "postgres.h"

#include "webhooks/sign.h"

#define HD_ED25519_SEED 32
#define HD_ED25519_PUBLIC 32
#define HD_ED25519_SIGNATURE 64

/*
 * hd_webhooks_ed25519_public
 *		The public key that belongs to a seed.
 */
extern void hd_webhooks_ed25519_public(const uint8 *seed, uint8 *public_key);

/*
 * hd_webhooks_ed25519_sign
 *		Sign the parts, one after the other.
 */
extern void hd_webhooks_ed25519_sign(const uint8 *seed, const HdBytes *parts, int nparts,
									 uint8 *signature);

/*
 * hd_webhooks_ed25519_verify
 *		Whether a signature of the parts holds.  Any bytes will do for a key.
 */
extern bool hd_webhooks_ed25519_verify(const uint8 *public_key, const HdBytes *parts, int nparts,
									   const uint8 *signature);

#endif /* HD_WEBHOOKS_ED25519_H */
