/*
 * way.h
 *	  Which way a request goes, straight or through a proxy, and the names to look up for it.
 *
 * The way is planned once the URL is known, then walked step by step: hd_way_next()
 * names what is to be looked up, hd_way_use() takes the answer.
 */
#ifndef HD_EDGE_WAY_H
#define HD_EDGE_WAY_H

#include <curl/curl.h>
#include <sys/socket.h>

#include "config.h"
#include "request.h"
#include "resolver.h"
#include "target.h"

/* In this order; a step that needs no lookup is passed over. */
typedef enum HdWayStep
{
	HD_WAY_RECEIVER, /* the receiver's name */
	HD_WAY_PROXY,	 /* the proxy's name */
	HD_WAY_READY
} HdWayStep;

typedef struct HdWay
{
	const HdConfig *config;
	const HdRequest *request;
	const HdProxy *proxy; /* of the request or the settings; NULL: none */
	HdWayStep step;
	struct curl_slist *resolved;   /* CURLOPT_RESOLVE's one entry; owned */
	struct curl_slist *connect_to; /* CURLOPT_CONNECT_TO's, through a proxy; owned */
} HdWay;

typedef enum HdWayAnswer
{
	HD_WAY_GO_ON,
	HD_WAY_BLOCKED,	 /* the receiver has no address that may be reached */
	HD_WAY_NO_MEMORY /* or the names are too long for libcurl */
} HdWayAnswer;

/*
 * Plans the way to a host, as it stands in the URL. False: it must not be reached, which is
 * known for a numeric host behind a proxy; every other address is judged when it is known.
 */
bool hd_way_plan(HdWay *way, const HdConfig *config, const HdRequest *request,
				 const char *host) HD_MUSTCHECK;

/* Releases what the way owns. */
void hd_way_end(HdWay *way);

/* The name to look up next; NULL when all is known. */
const char *hd_way_next(HdWay *way, const HdTarget *target) HD_MUSTCHECK;

/* Takes the addresses of the name that hd_way_next() gave. */
HdWayAnswer hd_way_use(HdWay *way, const HdTarget *target, const char *addresses) HD_MUSTCHECK;

/* May a socket be opened to this address: the receiver's, or the proxy's where there is one? */
bool hd_way_permits(const HdWay *way, const struct sockaddr *address) HD_MUSTCHECK;

/* Whether the request goes inside a connection that the proxy makes for it. */
bool hd_way_tunnels(const HdWay *way) HD_MUSTCHECK;

/* Sets what libcurl has to know of the way. */
CURLcode hd_way_apply(const HdWay *way, CURL *easy) HD_MUSTCHECK;

#endif
