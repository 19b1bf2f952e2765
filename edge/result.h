/*
 * result.h
 *	  What became of one request, and the JSON that reports it.
 */
#ifndef HD_EDGE_RESULT_H
#define HD_EDGE_RESULT_H

#include <cjson/cJSON.h>

#include "address.h"
#include "common.h"

/* The protocol's error classes; the names stand in result.c. */
typedef enum HdOutcome
{
	HD_OUTCOME_HTTP,	 /* a status came, whatever the body did */
	HD_OUTCOME_DNS,		 /* the name has no address, or could not be looked up */
	HD_OUTCOME_CONNECT,	 /* no TCP connection */
	HD_OUTCOME_TLS,		 /* handshake or certificate */
	HD_OUTCOME_TIMEOUT,	 /* the time was up before a status came */
	HD_OUTCOME_RESET,	 /* the connection ended before a status came */
	HD_OUTCOME_BLOCKED,	 /* the address is refused; no packet was sent */
	HD_OUTCOME_PROXY,	 /* the egress proxy failed */
	HD_OUTCOME_PROTOCOL, /* the answer was not HTTP, or had too many headers */
	HD_OUTCOME_INVALID	 /* the request could not be built */
} HdOutcome;

#define HD_RESULT_EXCERPT 1024

typedef struct HdResult
{
	struct HdResult *next; /* in the reporter's list */
	int64_t id;
	int64_t token;
	HdOutcome outcome;
	int status; /* 0: none */
	bool truncated;
	bool reused; /* on a connection that was open already */
	bool sent;	 /* a byte of the request may have left */
	int64_t dns_us;
	int64_t connect_us;
	int64_t tls_us;
	int64_t ttfb_us;  /* from the start to the first byte of the answer */
	int64_t total_us; /* from the start to the end */
	int64_t sent_at;  /* when it was given to libcurl, microseconds since 1970; 0: it was not */
	char *excerpt;	  /* base64 of the body's start; owned; NULL: no body */
	char *headers;	  /* base64 of the header block, where it was to be kept; owned */
	char remote_ip[HD_ADDRESS_TEXT];
	char retry_after[128];
	char http_date[64];
	char error[256]; /* empty: none */
} HdResult;

/* Memory that it takes. */
size_t hd_result_bytes(const HdResult *result);

void hd_result_free(HdResult *result);
const char *hd_outcome_name(HdOutcome outcome);

/*
 * How many of the first `count` of the list have at most `bytes` of kept texts; one at
 * least, if there is one.
 */
size_t hd_result_list_fit(const HdResult *list, size_t count, size_t bytes);

/*
 * The JSON array that edge_report() takes, of the first `count` of the list; free() it.
 * NULL when memory is short.
 */
char *hd_result_list_json(const HdResult *list, size_t count) HD_MUSTCHECK;

#endif
