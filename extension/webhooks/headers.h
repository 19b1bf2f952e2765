/*-------------------------------------------------------------------------
 * headers.h
 *		Headers of a request that came in: an object of names and texts.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_HEADERS_H
#define HD_WEBHOOKS_HEADERS_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "webhooks/sign.h"

typedef struct HdHeader
{
	const char *name; /* in lower case */
	size_t name_length;
	HdBytes value; /* in the object's own memory */
	bool found;
	bool spoiled; /* there in two spellings, or not a text */
} HdHeader;

/* One to look for. */
#define HD_HEADER(literal) \
	{ \
		.name = (literal), .name_length = sizeof(literal) - 1 \
	}

/*
 * hd_webhooks_find_headers
 *		Look for the wanted headers, names in any case, in one pass.
 *
 * headers is an object.  True when each is there exactly once, as a text.
 */
extern bool hd_webhooks_find_headers(const Jsonb *headers, HdHeader *wanted, int n);

#endif /* HD_WEBHOOKS_HEADERS_H */
