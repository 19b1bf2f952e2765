/*
 * call.h
 *	  One request to the listener: what it may look like, its body, its answer.
 *
 * Internal to call.c and listener.c. A call is made when its headers are complete and lives
 * until libmicrohttpd says that it has ended.
 */
#ifndef HD_EDGE_CALL_H
#define HD_EDGE_CALL_H

#include <microhttpd.h>

#include "config.h"
#include "desk.h"
#include "metrics.h"

/* As much as inbound_set() allows. */
#define HD_SOURCE_MAX 64

typedef struct HdCall
{
	struct MHD_Connection *connection;
	const HdConfig *config;
	void *owner; /* the HdListener */
	HdRoute route;
	bool suspended; /* waits for the desk */
	bool too_large;
	bool counted;  /* its answer is in the metrics */
	char *headers; /* owned; a JSON object */
	char *body;	   /* owned */
	size_t length;
	size_t size;
	size_t dropped; /* body bytes that came after it was too large */
	HdTask task;	/* holds the reply */
	char source[HD_SOURCE_MAX + 1];
} HdCall;

/*
 * NULL when memory is short. The reply has a status already when the request is refused for
 * what its first line and headers say.
 */
HdCall *hd_call_create(const HdConfig *config, struct MHD_Connection *connection, const char *url,
					   const char *method) HD_MUSTCHECK;
void hd_call_free(HdCall *call);

/* Adds to the body; false when there has been so much more than allowed that enough is enough. */
bool hd_call_receive(HdCall *call, const char *data, size_t length) HD_MUSTCHECK;

/* All of it is there: fills the task in, or the reply when that is not to be asked. */
void hd_call_complete(HdCall *call);

/* Gives the reply to libmicrohttpd; false when the connection can only be cut. */
bool hd_call_answer(HdCall *call) HD_MUSTCHECK;

#endif
