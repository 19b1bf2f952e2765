/*
 * route.c
 *	  Which way a request goes, straight or through a proxy, and the names to look up for it.
 *
 * Rules that hold here:
 * - A name that libcurl could look up has been looked up already: it never asks itself.
 * - Through a proxy too it is us who resolve the receiver's name, judge the addresses and name
 *	 one of them to the proxy, inside a tunnel; so a name that leads into our own network, or
 *	 into the proxy's, leads nowhere. Only where proxy_resolves says that the proxy sees to
 *	 that itself do names go to it.
 * - A proxy that a request brings is judged like a receiver. The one of the settings is where
 *	 whoever runs the edge wants it.
 */
#include "route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Sets one option unless an earlier one failed. */
#define SET(option, value) \
	do \
	{ \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(easy, (option), (value)); \
	} while (0)

/* ---- addresses ---- */

/* Also "[::1]" and "127.0.0.1.", as they may stand in a URL. */
static bool
parse_host(const char *host, struct sockaddr_storage *address)
{
	char text[HD_ADDRESS_TEXT + 2];
	size_t length = strlen(host);

	if (*host == '[' && length > 2)
	{
		host++;
		length -= 2;
	}
	else if (length > 1 && host[length - 1] == '.')
		length--;
	if (length >= sizeof(text))
		return false;
	memcpy(text, host, length);
	text[length] = '\0';
	return hd_address_parse(text, address);
}

static bool
is_numeric(const char *host)
{
	struct sockaddr_storage address;

	return host[0] == '[' || hd_address_parse(host, &address);
}

/* Names that can only mean the machine of whoever looks them up. */
static bool
is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t length = strlen(host);
	size_t tail = sizeof(name) - 1;

	if (length > 0 && host[length - 1] == '.')
		length--;
	return length >= tail && strncasecmp(host + length - tail, name, tail) == 0 &&
		   (length == tail || host[length - tail - 1] == '.');
}

static bool
is_permitted(const HdRoute *route, const struct sockaddr *address)
{
	bool private_ok = route->config->allow_private_from_database &&
					  (route->request->flags & HD_REQUEST_PRIVATE_OK) != 0;

	return hd_address_permitted(address, &route->config->allowed_networks, private_ok);
}

bool
hd_route_permits(const HdRoute *route, const struct sockaddr *address)
{
	return route->proxy == &route->config->parsed_proxy || is_permitted(route, address);
}

bool
hd_route_tunnels(const HdRoute *route)
{
	return route->proxy != NULL &&
		   (route->proxy->kind == HD_PROXY_SOCKS || !route->config->proxy_resolves ||
			strncasecmp(route->request->url, "https:", 6) == 0);
}

/* ---- the plan ---- */

bool
hd_route_plan(HdRoute *route, const HdConfig *config, const HdRequest *request, const char *host)
{
	struct sockaddr_storage address;

	*route = (HdRoute){.config = config, .request = request, .step = HD_ROUTE_RECEIVER};
	if (request->proxy != NULL)
		route->proxy = request->proxy;
	else if (config->parsed_proxy.kind != HD_PROXY_NONE &&
			 !hd_proxy_bypassed(config->proxy_bypass, host))
		route->proxy = &config->parsed_proxy;
	if (route->proxy == NULL)
		return true;
	if (parse_host(host, &address))
		return is_permitted(route, (const struct sockaddr *) &address);
	return !config->proxy_resolves || !is_localhost(host);
}

void
hd_route_end(HdRoute *route)
{
	curl_slist_free_all(route->resolved);
	curl_slist_free_all(route->connect_to);
	*route = (HdRoute){.step = HD_ROUTE_RECEIVER};
}

const char *
hd_route_next(HdRoute *route, const char *host)
{
	if (route->step == HD_ROUTE_RECEIVER)
	{
		if (!is_numeric(host) && (route->proxy == NULL || !route->config->proxy_resolves))
			return host;
		route->step = HD_ROUTE_PROXY;
	}
	if (route->step == HD_ROUTE_PROXY)
	{
		if (route->proxy != NULL && !is_numeric(route->proxy->host))
			return route->proxy->host;
		route->step = HD_ROUTE_READY;
	}
	return NULL;
}

/*
 * Hands the addresses to libcurl. The "+" lets its entry expire; it is renewed with each
 * request, so libcurl never asks a name server.
 */
static HdRouteAnswer
set_resolved(HdRoute *route, const char *host, const char *port, const char *addresses)
{
	char entry[HD_RESOLVER_NAME_MAX + HD_RESOLVER_TEXT + 16];
	int length = snprintf(entry, sizeof(entry), "+%s:%s:%s", host, port, addresses);

	if (length < 0 || (size_t) length >= sizeof(entry))
		return HD_ROUTE_NO_MEMORY;
	route->resolved = curl_slist_append(NULL, entry);
	return route->resolved != NULL ? HD_ROUTE_GO_ON : HD_ROUTE_NO_MEMORY;
}

/* The first that may be reached, of IPv4 if there is one: that a proxy can always reach. */
static bool
choose_address(const HdRoute *route, const char *addresses, char chosen[HD_ADDRESS_TEXT + 2])
{
	chosen[0] = '\0';
	while (*addresses != '\0')
	{
		size_t length = strcspn(addresses, ",");
		char text[HD_ADDRESS_TEXT + 2];
		struct sockaddr_storage address;

		if (length < sizeof(text))
		{
			memcpy(text, addresses, length);
			text[length] = '\0';
			if (parse_host(text, &address) &&
				is_permitted(route, (const struct sockaddr *) &address) &&
				(chosen[0] == '\0' || (chosen[0] == '[' && text[0] != '[')))
				memcpy(chosen, text, length + 1);
		}
		addresses += length;
		addresses += *addresses == ',';
	}
	return chosen[0] != '\0';
}

static HdRouteAnswer
set_connect_to(HdRoute *route, const char *addresses)
{
	char chosen[HD_ADDRESS_TEXT + 2];
	char entry[HD_ADDRESS_TEXT + 8];

	if (!choose_address(route, addresses, chosen))
		return HD_ROUTE_BLOCKED;
	/* Whatever host and port: this address, on the same port. */
	snprintf(entry, sizeof(entry), "::%s:", chosen);
	route->connect_to = curl_slist_append(NULL, entry);
	return route->connect_to != NULL ? HD_ROUTE_GO_ON : HD_ROUTE_NO_MEMORY;
}

HdRouteAnswer
hd_route_use(HdRoute *route, const char *host, const char *port, const char *addresses)
{
	char proxy_port[8];

	if (route->step++ == HD_ROUTE_RECEIVER)
		return route->proxy != NULL ? set_connect_to(route, addresses)
									: set_resolved(route, host, port, addresses);
	snprintf(proxy_port, sizeof(proxy_port), "%u", (unsigned) route->proxy->port);
	return set_resolved(route, route->proxy->host, proxy_port, addresses);
}

/* ---- libcurl ---- */

static CURLcode
apply_login(const HdRoute *route, CURL *easy)
{
	const char *login = route->proxy->login;
	const char *password = strchr(login, ':');
	char user[HD_PROXY_LOGIN_MAX + 1];
	CURLcode code = CURLE_OK;

	if (password == NULL)
		return CURLE_OK;
	memcpy(user, login, (size_t) (password - login));
	user[password - login] = '\0';
	SET(CURLOPT_PROXYUSERNAME, user);
	SET(CURLOPT_PROXYPASSWORD, password + 1);
	SET(CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	/* libcurl does not ask whose login opened a tunnel before it lends it to another. */
	if (route->proxy->kind == HD_PROXY_HTTP && route->proxy == route->request->proxy)
	{
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return code;
}

static CURLcode
apply_proxy(const HdRoute *route, CURL *easy)
{
	const HdProxy *proxy = route->proxy;
	bool is_literal = strchr(proxy->host, ':') != NULL;
	const char *scheme = "http";
	char url[HD_PROXY_HOST_MAX + 32];
	CURLcode code = CURLE_OK;

	/* With an address named by us "socks5" looks nothing up; it writes it as an address. */
	if (proxy->kind == HD_PROXY_SOCKS)
		scheme = route->config->proxy_resolves ? "socks5h" : "socks5";
	snprintf(url, sizeof(url), "%s://%s%s%s:%u", scheme, is_literal ? "[" : "", proxy->host,
			 is_literal ? "]" : "", (unsigned) proxy->port);
	SET(CURLOPT_PROXY, url);
	SET(CURLOPT_HTTPPROXYTUNNEL,
		proxy->kind == HD_PROXY_HTTP && hd_route_tunnels(route) ? 1L : 0L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	if (code == CURLE_OK)
		code = apply_login(route, easy);
	return code;
}

CURLcode
hd_route_apply(const HdRoute *route, CURL *easy)
{
	CURLcode code = CURLE_OK;

	/* Both are set always: libcurl would take what is not from the environment. */
	SET(CURLOPT_NOPROXY, "");
	if (route->proxy == NULL)
		SET(CURLOPT_PROXY, "");
	else if (code == CURLE_OK)
		code = apply_proxy(route, easy);
	if (route->resolved != NULL)
		SET(CURLOPT_RESOLVE, route->resolved);
	if (route->connect_to != NULL)
		SET(CURLOPT_CONNECT_TO, route->connect_to);
	return code;
}
