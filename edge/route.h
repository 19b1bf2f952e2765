/*
 * route.h
 *	  Which way a request goes, straight or through a proxy, and the names to look up for it.
 *
 * The way is planned once the URL is known, then walked step by step: hd_route_next()
 * names what is to be looked up, hd_route_use() takes the answer.
 */
#ifndef HD_EDGE_ROUTE_H
#define HD_EDGE_ROUTE_H

#include <curl/curl.h>
#include <sys/socket.h>

#include "config.h"
#include "request.h"
#include "resolver.h"

/* In this order; a step that needs no lookup is passed over. */
typedef enum HdRouteStep
{
	HD_ROUTE_RECEIVER, /* the receiver's name */
	HD_ROUTE_PROXY,	   /* the proxy's name */
	HD_ROUTE_READY
} HdRouteStep;

typedef struct HdRoute
{
	const HdConfig *config;
	const HdRequest *request;
	const HdProxy *proxy; /* of the request or the settings; NULL: none */
	HdRouteStep step;
	struct curl_slist *resolved;   /* CURLOPT_RESOLVE's one entry; owned */
	struct curl_slist *connect_to; /* CURLOPT_CONNECT_TO's, through a proxy; owned */
} HdRoute;

typedef enum HdRouteAnswer
{
	HD_ROUTE_GO_ON,
	HD_ROUTE_BLOCKED,  /* the receiver has no address that may be reached */
	HD_ROUTE_NO_MEMORY /* or the names are too long for libcurl */
} HdRouteAnswer;

/*
 * Plans the way to a host, as it stands in the URL. False: it must not be reached, which is
 * known for a numeric host behind a proxy; every other address is judged when it is known.
 */
bool hd_route_plan(HdRoute *route, const HdConfig *config, const HdRequest *request,
				   const char *host) HD_MUSTCHECK;

/* Releases what the route owns. */
void hd_route_end(HdRoute *route);

/* The name to look up next; NULL when all is known. */
const char *hd_route_next(HdRoute *route, const char *host) HD_MUSTCHECK;

/* Takes the addresses of the name that hd_route_next() gave. */
HdRouteAnswer hd_route_use(HdRoute *route, const char *host, const char *port,
						   const char *addresses) HD_MUSTCHECK;

/* May a socket be opened to this address: the receiver's, or the proxy's where there is one? */
bool hd_route_permits(const HdRoute *route, const struct sockaddr *address) HD_MUSTCHECK;

/* Whether the request goes inside a connection that the proxy makes for it. */
bool hd_route_tunnels(const HdRoute *route) HD_MUSTCHECK;

/* Sets what libcurl has to know of the way. */
CURLcode hd_route_apply(const HdRoute *route, CURL *easy) HD_MUSTCHECK;

#endif
