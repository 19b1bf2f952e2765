/*
 * resolver.h
 *	  Host names to addresses, on a few threads of our own, remembered for a while.
 *
 * libcurl's own resolver thread is joined when its handle is removed, so one slow
 * name server would stall every transfer; here a lookup that nobody waits for any more
 * simply ends by itself. Lookups of one name are made once for all who ask.
 *
 * All functions are for the loop's thread.
 */
#ifndef HD_EDGE_RESOLVER_H
#define HD_EDGE_RESOLVER_H

#include "common.h"
#include "loop.h"

#define HD_RESOLVER_NAME_MAX 255
#define HD_RESOLVER_TEXT 1024
#define HD_RESOLVER_THREADS_MOST 16

typedef struct HdResolver HdResolver;

typedef struct HdResolverOptions
{
	size_t threads;			 /* 1 to HD_RESOLVER_THREADS_MOST */
	int64_t ttl_us;			 /* how long addresses are remembered */
	int64_t negative_ttl_us; /* how long a failure is */
} HdResolverOptions;

/* What a name resolved to: numeric addresses as CURLOPT_RESOLVE wants them, or an error. */
typedef struct HdResolution
{
	bool found;
	char text[HD_RESOLVER_TEXT]; /* "192.0.2.1,[2001:db8::1]", or why not */
} HdResolution;

typedef void (*HdResolvedFn)(void *context, const HdResolution *resolution);

/* One who waits; embedded in its owner, linked only between lookup and answer or cancel. */
typedef struct HdLookup
{
	struct HdLookup *previous;
	struct HdLookup *next;
	struct HdName *name; /* NULL: not waiting */
	HdResolvedFn fn;
	void *context;
} HdLookup;

HdResolver *hd_resolver_create(HdLoop *loop, const HdResolverOptions *options) HD_MUSTCHECK;

/* Waits a second at most: a lookup that takes longer outlives the resolver and cleans up itself. */
void hd_resolver_free(HdResolver *resolver);

/*
 * Returns the answer when it is remembered (valid until the next call); else NULL, and
 * lookup->fn is called later with it. Running out of memory is answered as a failure.
 */
const HdResolution *hd_resolver_lookup(HdResolver *resolver, const char *name,
									   HdLookup *lookup) HD_MUSTCHECK;
void hd_resolver_cancel(HdLookup *lookup);

#endif
