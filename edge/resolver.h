/*
 * resolver.h
 *	  Host names to addresses, remembered for a while; a slow name server is waited for by nobody
 *	  but those who ask for its own names.
 *
 * libcurl's own resolver thread is joined when its handle is removed, so one slow
 * name server would stall every transfer; here a lookup that nobody waits for any more
 * simply ends by itself (pool.h). Lookups of one name are made once for all who ask.
 *
 * All functions are for the loop's thread.
 */
#ifndef HD_EDGE_RESOLVER_H
#define HD_EDGE_RESOLVER_H

#include "common.h"
#include "loop.h"
#include "pool.h"

/* A lookup that takes longer makes its name a slow one. */
#define HD_RESOLVER_SLOW_US INT64_C(1000000)

typedef struct HdResolver HdResolver;

typedef struct HdResolverOptions
{
	size_t threads;			 /* most of them: 1 to HD_POOL_THREADS_MOST */
	int64_t ttl_us;			 /* how long addresses are good */
	int64_t negative_ttl_us; /* how long it is that a name does not exist */
} HdResolverOptions;

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

/* Waits a second at most, see hd_pool_free(). */
void hd_resolver_free(HdResolver *resolver);

/*
 * Returns the answer when it is remembered (valid until the next call); else NULL, and
 * lookup->fn is called later with it.
 */
const HdResolution *hd_resolver_lookup(HdResolver *resolver, const char *name,
									   HdLookup *lookup) HD_MUSTCHECK;
void hd_resolver_cancel(HdLookup *lookup);

#endif
