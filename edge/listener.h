/*
 * listener.h
 *	  The edge's own HTTP server: /health, /metrics and /in/<source>.
 *
 * It runs on a thread of its own and shares nothing with the sender but the counters in
 * metrics.h, the settings, which do not change, and the log.
 */
#ifndef HD_EDGE_LISTENER_H
#define HD_EDGE_LISTENER_H

#include "config.h"

typedef struct HdListener HdListener;

/* Listens and serves from here on; NULL, and a line in the log, when it cannot. */
HdListener *hd_listener_create(const HdConfig *config) HD_MUSTCHECK;

/* /health says that the edge is stopping; the rest goes on. */
void hd_listener_leave(HdListener *listener);

/* Takes nothing more, finishes what is under way for two seconds at most, and ends. */
void hd_listener_free(HdListener *listener);

#endif
