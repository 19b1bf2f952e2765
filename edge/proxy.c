/*
 * proxy.c
 *	  An egress proxy: its URL, and which hosts go without it.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"

static const struct
{
	const char *prefix;
	HdProxyKind kind;
} schemes[] = {{"http://", HD_PROXY_HTTP}, {"socks5h://", HD_PROXY_SOCKS}};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "user:password" or "user", percent-encoded. */
static const char *
decode_login(const char *text, size_t length, char login[HD_PROXY_LOGIN_MAX + 1])
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '%')
		{
			int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return "its login cannot be decoded";
			c = (unsigned char) (high << 4 | low);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || used + 2 > HD_PROXY_LOGIN_MAX)
			return "its login is too long or has a control character";
		login[used++] = (char) c;
	}
	if (used == 0 || login[0] == ':')
		return "its user is empty";
	if (memchr(login, ':', used) == NULL)
		login[used++] = ':';
	login[used] = '\0';
	return NULL;
}

static const char *
parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || number < 1 || number > UINT16_MAX ||
		(*end != '\0' && strcmp(end, "/") != 0))
		return "it needs a port from 1 to 65535 at its end";
	*port = (uint16_t) number;
	return NULL;
}

static bool
is_host_text(const char *host, size_t length, bool is_literal)
{
	for (size_t i = 0; i < length; i++)
	{
		char c = host[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && c != '.' && c != (is_literal ? ':' : '-') && (is_literal || c != '_'))
			return false;
	}
	return length > 0 && length <= HD_PROXY_HOST_MAX;
}

static const char *
parse_host(const char *text, HdProxy *proxy)
{
	bool is_literal = *text == '[';
	size_t length = strcspn(text + is_literal, is_literal ? "]" : ":");
	const char *after = text + is_literal + length + is_literal;
	struct in6_addr ignored;

	if (!is_host_text(text + is_literal, length, is_literal) || *(after - is_literal) == '\0' ||
		*after != ':')
		return "it needs a host and a port";
	memcpy(proxy->host, text + is_literal, length);
	proxy->host[length] = '\0';
	if (is_literal && inet_pton(AF_INET6, proxy->host, &ignored) != 1)
		return "its host is not an IPv6 address";
	return parse_port(after + 1, &proxy->port);
}

const char *
hd_proxy_parse(const char *url, HdProxy *proxy)
{
	const char *problem = NULL;
	const char *at;

	memset(proxy, 0, sizeof(*proxy));
	if (*url == '\0')
		return NULL;
	for (size_t i = 0; i < HD_COUNT(schemes) && proxy->kind == HD_PROXY_NONE; i++)
	{
		size_t length = strlen(schemes[i].prefix);

		if (strncasecmp(url, schemes[i].prefix, length) != 0)
			continue;
		proxy->kind = schemes[i].kind;
		url += length;
	}
	if (proxy->kind == HD_PROXY_NONE)
		return "it does not begin with http:// or socks5h://";
	at = strrchr(url, '@');
	if (at != NULL)
		problem = decode_login(url, (size_t) (at - url), proxy->login);
	if (problem == NULL)
		problem = parse_host(at != NULL ? at + 1 : url, proxy);
	return problem;
}

bool
hd_proxy_set_login(HdProxy *proxy, const char *login)
{
	size_t length = login != NULL ? strlen(login) : 0;

	if (length > HD_PROXY_LOGIN_MAX)
		return false;
	if (length > 0)
		memcpy(proxy->login, login, length);
	proxy->login[length] = '\0';
	return true;
}

/* The host of a URL without the brackets of IPv6, and without the dot that ends a full name. */
static bool
plain_host(const char *host, char plain[HD_PROXY_HOST_MAX + 1])
{
	size_t length = strlen(host);

	if (length >= 2 && host[0] == '[' && host[length - 1] == ']')
	{
		host++;
		length -= 2;
	}
	else if (length > 1 && host[length - 1] == '.')
		length--;
	if (length == 0 || length > HD_PROXY_HOST_MAX)
		return false;
	memcpy(plain, host, length);
	plain[length] = '\0';
	return true;
}

static bool
name_matches(const char *item, size_t length, const char *host)
{
	size_t host_length = strlen(host);

	if (*item == '.')
	{
		if (host_length > length && strncasecmp(host + host_length - length, item, length) == 0)
			return true;
		item++;
		length--;
	}
	return length == host_length && strncasecmp(item, host, length) == 0;
}

static bool
network_matches(const char *item, size_t length, const struct sockaddr *address)
{
	char copy[HD_ADDRESS_TEXT + 4];
	HdNetworkList list;
	const char *wrong;
	bool matches;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, item, length);
	copy[length] = '\0';
	if (!hd_network_list_parse(copy, &list, &wrong))
		return false;
	matches = hd_network_list_has(&list, address);
	hd_network_list_free(&list);
	return matches;
}

bool
hd_proxy_bypassed(const char *list, const char *host)
{
	struct sockaddr_storage address;
	char plain[HD_PROXY_HOST_MAX + 1];
	bool is_address;

	if (!plain_host(host, plain))
		return false;
	is_address = hd_address_parse(plain, &address);
	for (;;)
	{
		size_t length;

		list += strspn(list, ", \t");
		length = strcspn(list, ", \t");
		if (length == 0)
			return false;
		if (is_address ? network_matches(list, length, (const struct sockaddr *) &address)
					   : name_matches(list, length, plain))
			return true;
		list += length;
	}
}
