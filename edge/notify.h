/*
 * notify.h
 *	  Tells the service manager how the edge is: sd_notify's protocol, by hand.
 *
 * One datagram of NAME=value lines to the socket that NOTIFY_SOCKET names, a path or, after
 * "@", an abstract name. Without that variable nothing is told. No state but the
 * environment, which does not change.
 */
#ifndef HD_EDGE_NOTIFY_H
#define HD_EDGE_NOTIFY_H

#include "common.h"

/* Sends the text, lines and all; false when a manager is there and could not be told. */
bool hd_notify(const char *text) HD_MUSTCHECK;

/* How long the manager waits for WATCHDOG=1 before it kills us; 0: it does not. */
int64_t hd_notify_watchdog_us(void);

#endif
