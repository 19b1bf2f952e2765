/*
 * way.c
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
#include "way.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "easy.h"

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
is_permitted(const HdWay *way, const struct sockaddr *address)
{
	bool private_ok = way->config->allow_private_from_database &&
					  (way->request->flags & HD_REQUEST_PRIVATE_OK) != 0;

	return hd_address_permitted(address, &way->config->allowed_networks, private_ok);
}

bool
hd_way_permits(const HdWay *way, const struct sockaddr *address)
{
	return way->proxy == &way->config->parsed_proxy || is_permitted(way, address);
}

bool
hd_way_tunnels(const HdWay *way)
{
	return way->proxy != NULL &&
		   (way->proxy->kind == HD_PROXY_SOCKS || !way->config->proxy_resolves ||
			strncasecmp(way->request->url, "https:", 6) == 0);
}

/* ---- the plan ---- */

bool
hd_way_plan(HdWay *way, const HdConfig *config, const HdRequest *request, const char *host)
{
	struct sockaddr_storage address;

	*way = (HdWay){.config = config, .request = request, .step = HD_WAY_RECEIVER};
	if (request->proxy != NULL)
		way->proxy = request->proxy;
	else if (config->parsed_proxy.kind != HD_PROXY_NONE &&
			 !hd_proxy_bypassed(config->proxy_bypass, host))
		way->proxy = &config->parsed_proxy;
	if (way->proxy == NULL)
		return true;
	if (parse_host(host, &address))
		return is_permitted(way, (const struct sockaddr *) &address);
	return !config->proxy_resolves || !is_localhost(host);
}

void
hd_way_end(HdWay *way)
{
	curl_slist_free_all(way->resolved);
	curl_slist_free_all(way->connect_to);
	*way = (HdWay){.step = HD_WAY_RECEIVER};
}

const char *
hd_way_next(HdWay *way, const HdTarget *target)
{
	struct sockaddr_storage address;

	if (way->step == HD_WAY_RECEIVER)
	{
		if (!hd_target_is_address(target) && (way->proxy == NULL || !way->config->proxy_resolves))
			return target->host;
		way->step = HD_WAY_PROXY;
	}
	if (way->step == HD_WAY_PROXY)
	{
		if (way->proxy != NULL && !hd_address_parse(way->proxy->host, &address))
			return way->proxy->host;
		way->step = HD_WAY_READY;
	}
	return NULL;
}

/*
 * Hands the addresses to libcurl. The "+" lets its entry expire; it is renewed with each
 * request, so libcurl never asks a name server.
 */
static HdWayAnswer
set_resolved(HdWay *way, const char *host, const char *port, const char *addresses)
{
	char entry[HD_NAME_MAX + HD_RESOLUTION_TEXT + 16];
	int length = snprintf(entry, sizeof(entry), "+%s:%s:%s", host, port, addresses);

	if (length < 0 || (size_t) length >= sizeof(entry))
		return HD_WAY_NO_MEMORY;
	way->resolved = curl_slist_append(NULL, entry);
	return way->resolved != NULL ? HD_WAY_GO_ON : HD_WAY_NO_MEMORY;
}

/* The first that may be reached, of IPv4 if there is one: that a proxy can always reach. */
static bool
choose_address(const HdWay *way, const char *addresses, char chosen[HD_ADDRESS_TEXT + 2])
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
				is_permitted(way, (const struct sockaddr *) &address) &&
				(chosen[0] == '\0' || (chosen[0] == '[' && text[0] != '[')))
				memcpy(chosen, text, length + 1);
		}
		addresses += length;
		addresses += *addresses == ',';
	}
	return chosen[0] != '\0';
}

static HdWayAnswer
set_connect_to(HdWay *way, const char *addresses)
{
	char chosen[HD_ADDRESS_TEXT + 2];
	char entry[HD_ADDRESS_TEXT + 8];

	if (!choose_address(way, addresses, chosen))
		return HD_WAY_BLOCKED;
	/* Whatever host and port: this address, on the same port. */
	snprintf(entry, sizeof(entry), "::%s:", chosen);
	way->connect_to = curl_slist_append(NULL, entry);
	return way->connect_to != NULL ? HD_WAY_GO_ON : HD_WAY_NO_MEMORY;
}

HdWayAnswer
hd_way_use(HdWay *way, const HdTarget *target, const char *addresses)
{
	char proxy_port[8];

	if (way->step++ == HD_WAY_RECEIVER)
		return way->proxy != NULL ? set_connect_to(way, addresses)
								  : set_resolved(way, target->host, target->port, addresses);
	snprintf(proxy_port, sizeof(proxy_port), "%u", (unsigned) way->proxy->port);
	return set_resolved(way, way->proxy->host, proxy_port, addresses);
}

/* ---- libcurl ---- */

static CURLcode
apply_login(const HdWay *way, CURL *easy)
{
	const char *login = way->proxy->login;
	const char *password = strchr(login, ':');
	char user[HD_PROXY_LOGIN_MAX + 1];
	CURLcode code = CURLE_OK;

	if (password == NULL)
		return CURLE_OK;
	memcpy(user, login, (size_t) (password - login));
	user[password - login] = '\0';
	HD_EASY_SET(CURLOPT_PROXYUSERNAME, user);
	HD_EASY_SET(CURLOPT_PROXYPASSWORD, password + 1);
	HD_EASY_SET(CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	/* libcurl does not ask whose login opened a tunnel before it lends it to another. */
	if (way->proxy->kind == HD_PROXY_HTTP && way->proxy == way->request->proxy)
	{
		HD_EASY_SET(CURLOPT_FRESH_CONNECT, 1L);
		HD_EASY_SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return code;
}

static CURLcode
apply_proxy(const HdWay *way, CURL *easy)
{
	const HdProxy *proxy = way->proxy;
	bool is_literal = strchr(proxy->host, ':') != NULL;
	const char *scheme = "http";
	char url[HD_PROXY_HOST_MAX + 32];
	CURLcode code = CURLE_OK;

	/* With an address named by us "socks5" looks nothing up; it writes it as an address. */
	if (proxy->kind == HD_PROXY_SOCKS)
		scheme = way->config->proxy_resolves ? "socks5h" : "socks5";
	snprintf(url, sizeof(url), "%s://%s%s%s:%u", scheme, is_literal ? "[" : "", proxy->host,
			 is_literal ? "]" : "", (unsigned) proxy->port);
	HD_EASY_SET(CURLOPT_PROXY, url);
	HD_EASY_SET(CURLOPT_HTTPPROXYTUNNEL,
				proxy->kind == HD_PROXY_HTTP && hd_way_tunnels(way) ? 1L : 0L);
	HD_EASY_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	HD_EASY_SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	if (code == CURLE_OK)
		code = apply_login(way, easy);
	return code;
}

CURLcode
hd_way_apply(const HdWay *way, CURL *easy)
{
	CURLcode code = CURLE_OK;

	/* Both are set always: libcurl would take what is not from the environment. */
	HD_EASY_SET(CURLOPT_NOPROXY, "");
	if (way->proxy == NULL)
		HD_EASY_SET(CURLOPT_PROXY, "");
	else if (code == CURLE_OK)
		code = apply_proxy(way, easy);
	if (way->resolved != NULL)
		HD_EASY_SET(CURLOPT_RESOLVE, way->resolved);
	if (way->connect_to != NULL)
		HD_EASY_SET(CURLOPT_CONNECT_TO, way->connect_to);
	return code;
}
