/*
 * proxy.h
 *	  An egress proxy: its URL, and which hosts go without it.
 *
 * Pure: no state, no memory of its own.
 */
#ifndef HD_EDGE_PROXY_H
#define HD_EDGE_PROXY_H

#include "common.h"

#define HD_PROXY_HOST_MAX 255
#define HD_PROXY_LOGIN_MAX 511

typedef enum HdProxyKind
{
	HD_PROXY_NONE,
	HD_PROXY_HTTP, /* CONNECT, or the absolute form */
	HD_PROXY_SOCKS /* SOCKS 5 */
} HdProxyKind;

typedef struct HdProxy
{
	HdProxyKind kind;
	uint16_t port;
	char host[HD_PROXY_HOST_MAX + 1];	/* a name or an address, without brackets */
	char login[HD_PROXY_LOGIN_MAX + 1]; /* "user:password", decoded; empty: none */
} HdProxy;

/*
 * Parses "http://[user:password@]host:port" or "socks5h://…"; the empty text is no proxy.
 * Returns what is wrong, or NULL. Wiped by the caller where it holds a login.
 */
const char *hd_proxy_parse(const char *url, HdProxy *proxy) HD_MUSTCHECK;

/* Takes a login that comes apart from the URL; NULL or empty: none. False when it is too long. */
bool hd_proxy_set_login(HdProxy *proxy, const char *login) HD_MUSTCHECK;

/*
 * Is the host, as it stands in a URL, among those that go without the proxy? The list has
 * names, ".name" for a name and all below it, and networks for hosts that are addresses,
 * separated by commas or blanks.
 */
bool hd_proxy_bypassed(const char *list, const char *host) HD_MUSTCHECK;

#endif
