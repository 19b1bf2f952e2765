/*
 * peer.h
 *	  One connection to the listener, and the deadline that it has.
 *
 * Internal to the listener, for its thread alone.
 */
#ifndef HD_EDGE_PEER_H
#define HD_EDGE_PEER_H

#include <microhttpd.h>

#include "call.h"

typedef struct HdPeer
{
	struct HdPeer *previous;
	struct HdPeer *next;
	int fd;		   /* libmicrohttpd's */
	int64_t since; /* its deadline counts from here */
	bool begun;	   /* the first line of a request has come */
	bool cut;
	HdCall *call; /* the request under way; libmicrohttpd's callbacks own it */
} HdPeer;

/* The peer that was added for this connection; NULL when memory was short then. */
HdPeer *hd_peer_of(struct MHD_Connection *connection) HD_MUSTCHECK;

HdPeer *hd_peer_add(HdPeer **list, struct MHD_Connection *connection) HD_MUSTCHECK;
void hd_peer_remove(HdPeer **list, HdPeer *peer);

/*
 * Cuts everybody whose time began before then, except who waits for the database. Who has sent
 * the first line of a request, but not all of it, is told 408.
 */
void hd_peer_cut_late(HdPeer *list, int64_t before);

#endif
