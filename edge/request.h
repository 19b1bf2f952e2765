/*
 * request.h
 *	  One claimed request, decoded from a row of edge_claim().
 *
 * A request is one allocation, so that a slow one keeps no other row's memory alive; what few
 * have, and holds a secret, stands apart and is wiped at the end.
 */
#ifndef HD_EDGE_REQUEST_H
#define HD_EDGE_REQUEST_H

#include <curl/curl.h>

#include "common.h"
#include "proxy.h"

/* Bits of the claim's flags; unknown bits are ignored. */
#define HD_REQUEST_PRIVATE_OK 1U

/* Where a row's values stand, in the order the claim selects them. */
typedef enum HdRequestColumn
{
	HD_COLUMN_ID,
	HD_COLUMN_TOKEN,
	HD_COLUMN_URL,
	HD_COLUMN_METHOD,
	HD_COLUMN_HEADERS,
	HD_COLUMN_BODY,
	HD_COLUMN_TIMEOUT_MS,
	HD_COLUMN_LEASE_MS,
	HD_COLUMN_FLAGS,
	HD_COLUMN_WITHIN_MS,
	HD_COLUMN_KEEP_BYTES,
	HD_COLUMN_PROXY,
	HD_COLUMN_PROXY_LOGIN,
	HD_COLUMN_CLIENT_CERT,
	HD_COLUMN_COUNT
} HdRequestColumn;

/* A value in PostgreSQL's binary format; data NULL: SQL NULL. */
typedef struct HdField
{
	const char *data;
	size_t length;
} HdField;

typedef struct HdRequest
{
	int64_t id;
	int64_t token;
	const char *url;
	const char *method;
	struct curl_slist *headers; /* nodes and lines lie in this allocation */
	const char *body;			/* NULL: none, which differs from an empty one */
	size_t body_length;
	int64_t timeout_us;
	int64_t lease_us;
	int64_t within_us; /* to be sent within this of the claim or not at all; 0: any time */
	size_t keep_bytes; /* of the answer's body, and its headers with it; 0: an excerpt alone */
	uint32_t flags;
	HdProxy *proxy;			   /* NULL: as the settings say */
	char *identity;			   /* PEM: certificates, then their key; NULL: none */
	size_t certificate_length; /* of the certificates in it */
	size_t key_length;		   /* of the key after them */
	bool late;				   /* given back because within_us had passed */
	const char *problem;	   /* why it must not be sent; NULL: it may */
	size_t bytes;			   /* of memory that it takes */
	int64_t claimed_at;		   /* when the claim was sent: the lease is counted from here */
	int64_t received_at;	   /* when its row arrived: the timeout is counted from here */
} HdRequest;

/*
 * Decodes one row. NULL when memory is short or when id or token are missing, so that
 * nothing could be reported about it. Any other fault gives a request with a problem.
 */
HdRequest *hd_request_decode(const HdField fields[HD_COLUMN_COUNT]) HD_MUSTCHECK;

/* Wipes its secrets and frees it; NULL is fine. */
void hd_request_free(HdRequest *request);

#endif
