/*
 * http.h
 *	  Sends requests: the multi handle, its sockets and timer, and the transfers in flight.
 *
 * hd_http_start() never blocks and always ends in exactly one call of on_end, perhaps
 * before it returns. All functions are for the loop's thread.
 */
#ifndef HD_EDGE_HTTP_H
#define HD_EDGE_HTTP_H

#include "config.h"
#include "loop.h"
#include "request.h"
#include "resolver.h"
#include "result.h"

typedef struct HdHttp HdHttp;

/*
 * How a request ended. `result` is given away to the callee; NULL means that nothing
 * was sent and nothing learnt about the receiver (short of memory or descriptors, or
 * asked to stop): the request goes back uncharged. The request is only valid during the call.
 */
typedef void (*HdHttpEndFn)(void *context, const HdRequest *request, HdResult *result);

/* For walking over what is in flight. */
typedef void (*HdHttpVisitFn)(void *context, HdRequest *request);

HdHttp *hd_http_create(HdLoop *loop, const HdConfig *config, HdHttpEndFn on_end,
					   void *context) HD_MUSTCHECK;

/* Cuts what is in flight without a word; whoever wants reports drains first. */
void hd_http_free(HdHttp *http);

/* Takes the request over, also when it cannot be sent. */
void hd_http_start(HdHttp *http, HdRequest *request);

size_t hd_http_in_flight(const HdHttp *http);

/* The most memory that these and what is kept of their answers can take. */
size_t hd_http_bytes(const HdHttp *http);
void hd_http_visit(HdHttp *http, HdHttpVisitFn visit, void *context);

/* Ends, as not sent, every transfer of which no byte has left. */
void hd_http_release_unsent(HdHttp *http);

/* The same for one whose lease is gone; false when it has been sent already. */
bool hd_http_drop_unsent(HdHttp *http, int64_t id) HD_MUSTCHECK;

/* Counts the lease of a request in flight from renewed_at. */
void hd_http_renewed(HdHttp *http, int64_t id, int64_t renewed_at);

#endif
