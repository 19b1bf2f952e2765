/*
 * claim.h
 *	  Takes requests from the database as fast as there is room for them, and no faster.
 *
 * It has a connection of its own, because it spends its idle time inside
 * CALL edge_wait(), which returns the moment something is committed.
 */
#ifndef HD_EDGE_CLAIM_H
#define HD_EDGE_CLAIM_H

#include "config.h"
#include "loop.h"
#include "request.h"

typedef struct HdClaimer HdClaimer;

typedef struct HdClaimerCallbacks
{
	size_t (*room)(void *context);						   /* how many requests may be taken now */
	void (*on_request)(void *context, HdRequest *request); /* gives it away */
	HdLoopFn on_stopped;								   /* after hd_claimer_stop() */
	HdLoopFn on_protocol;								   /* see HdDbCallbacks */
	void *context;
} HdClaimerCallbacks;

HdClaimer *hd_claimer_create(HdLoop *loop, const HdConfig *config,
							 const HdClaimerCallbacks *callbacks) HD_MUSTCHECK;
void hd_claimer_free(HdClaimer *claimer);
void hd_claimer_open(HdClaimer *claimer);

/* There may be room now. Cheap, may be called after every request that ends. */
void hd_claimer_kick(HdClaimer *claimer);

/* Takes nothing for a while: this machine is short of something. */
void hd_claimer_pause(HdClaimer *claimer, int64_t pause_us);

/* Takes nothing more; a claim that is under way still hands out what it got. */
void hd_claimer_stop(HdClaimer *claimer);
bool hd_claimer_stopped(const HdClaimer *claimer);

#endif
