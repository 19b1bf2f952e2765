/*-------------------------------------------------------------------------
 * verify.h
 *		Signatures of webhooks that others send us.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_VERIFY_H
#define HD_WEBHOOKS_VERIFY_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "webhooks/sign.h"

#define HD_WEBHOOKS_TOLERANCE 300 /* seconds, before and after, where nothing is said */

/* A request that came in, and what it is held against. */
typedef struct HdIncoming
{
	HdBytes secret;
	HdBytes body;
	const Jsonb *headers; /* an object */
	int64 tolerance;	  /* seconds */
	int64 now;			  /* Unix seconds */
} HdIncoming;

/* Of a scheme, given to hd_webhooks_verify. */
typedef struct HdScheme HdScheme;

/*
 * hd_webhooks_scheme
 *		The scheme of that name; raises 22023 that lists those there are.
 */
extern const HdScheme *hd_webhooks_scheme(const text *name);

/*
 * hd_webhooks_check_secret
 *		Whether a secret can be a key of the scheme.
 */
extern bool hd_webhooks_check_secret(const HdScheme *scheme, HdBytes secret);

/* The code of a signature that does not match, in a request that is well formed. */
#define HD_WEBHOOKS_MISMATCH "mismatch"

/*
 * hd_webhooks_verify
 *		NULL when the request is signed with the secret, else a code that
 *		verify.c lists.
 */
extern const char *hd_webhooks_verify(const HdScheme *scheme, const HdIncoming *in);

#endif /* HD_WEBHOOKS_VERIFY_H */
