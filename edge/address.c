/*
 * address.c
 *	  Which addresses a delivery may connect to (the SSRF guard's rules).
 *
 * Every address becomes 16 bytes, IPv4 in its mapped form, and is looked up in one
 * table of networks taken from the IANA special-purpose registries (RFC 6890 and
 * successors). Outside the table IPv4 is public; IPv6 is public only inside 2000::/3,
 * because nothing else is global unicast today.
 */
#include "address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Rule
{
	const char *prefix;
	unsigned bits;
	HdAddressKind kind;
} Rule;

/* First match wins, so a longer prefix stands before the one that contains it. */
static const Rule rules[] = {
	{"0.0.0.0", 8, HD_ADDRESS_FORBIDDEN},		   /* "this network"; Linux connects to itself */
	{"10.0.0.0", 8, HD_ADDRESS_PRIVATE},		   /* RFC 1918 */
	{"100.100.100.200", 32, HD_ADDRESS_FORBIDDEN}, /* metadata of one cloud, inside CGNAT */
	{"100.64.0.0", 10, HD_ADDRESS_PRIVATE},		   /* shared address space (CGNAT) */
	{"127.0.0.0", 8, HD_ADDRESS_PRIVATE},		   /* loopback */
	{"168.63.129.16", 32, HD_ADDRESS_FORBIDDEN},   /* metadata of one cloud, in public space */
	{"169.254.0.0", 16, HD_ADDRESS_FORBIDDEN},	   /* link-local, where clouds keep metadata */
	{"172.16.0.0", 12, HD_ADDRESS_PRIVATE},		   /* RFC 1918 */
	{"192.0.0.0", 24, HD_ADDRESS_FORBIDDEN},	   /* IETF protocol assignments */
	{"192.0.2.0", 24, HD_ADDRESS_FORBIDDEN},	   /* documentation */
	{"192.88.99.0", 24, HD_ADDRESS_FORBIDDEN},	   /* 6to4 relay, deprecated */
	{"192.168.0.0", 16, HD_ADDRESS_PRIVATE},	   /* RFC 1918 */
	{"198.18.0.0", 15, HD_ADDRESS_FORBIDDEN},	   /* benchmarking */
	{"198.51.100.0", 24, HD_ADDRESS_FORBIDDEN},	   /* documentation */
	{"203.0.113.0", 24, HD_ADDRESS_FORBIDDEN},	   /* documentation */
	{"224.0.0.0", 4, HD_ADDRESS_FORBIDDEN},		   /* multicast */
	{"240.0.0.0", 4, HD_ADDRESS_FORBIDDEN},		   /* reserved, and broadcast */
	{"::ffff:0:0", 96, HD_ADDRESS_PUBLIC},		   /* any other IPv4 */
	{"::1", 128, HD_ADDRESS_PRIVATE},			   /* loopback */
	{"fd00:ec2::254", 128, HD_ADDRESS_FORBIDDEN},  /* metadata of one cloud, inside ULA */
	{"fc00::", 7, HD_ADDRESS_PRIVATE},			   /* unique local */
	{"2001::", 23, HD_ADDRESS_FORBIDDEN},	  /* protocol assignments, with Teredo and ORCHID */
	{"2001:db8::", 32, HD_ADDRESS_FORBIDDEN}, /* documentation */
	{"2002::", 16, HD_ADDRESS_FORBIDDEN},	  /* 6to4: carries any IPv4, deprecated */
	{"3fff::", 20, HD_ADDRESS_FORBIDDEN},	  /* documentation */
	{"2000::", 3, HD_ADDRESS_PUBLIC},		  /* global unicast */
};

static const unsigned char mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const unsigned char nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b};

static void
map_ipv4(const void *ipv4, unsigned char bytes[16])
{
	memcpy(bytes, mapped_prefix, 12);
	memcpy(bytes + 12, ipv4, 4);
}

static bool
text_to_bytes(const char *text, unsigned char bytes[16], bool *is_ipv4)
{
	struct in_addr ipv4;

	*is_ipv4 = inet_pton(AF_INET, text, &ipv4) == 1;
	if (*is_ipv4)
		map_ipv4(&ipv4, bytes);
	return *is_ipv4 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool
sockaddr_to_bytes(const struct sockaddr *address, unsigned char bytes[16])
{
	if (address->sa_family == AF_INET)
	{
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		map_ipv4(&in.sin_addr, bytes);
		return true;
	}
	if (address->sa_family == AF_INET6)
	{
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		memcpy(bytes, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

static bool
prefix_matches(const unsigned char bytes[16], const unsigned char prefix[16], unsigned bits)
{
	unsigned whole = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(bytes, prefix, whole) != 0)
		return false;
	return rest == 0 || ((bytes[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

/* The table in binary, made at first use: it is looked at for every request. */
static const HdNetwork *
rule_networks(void)
{
	static HdNetwork networks[HD_COUNT(rules)];
	static bool made = false;

	for (size_t i = 0; !made && i < HD_COUNT(rules); i++)
	{
		bool is_ipv4;

		/* A prefix that does not parse is a slip in this file; never run with a hole. */
		if (!text_to_bytes(rules[i].prefix, networks[i].bytes, &is_ipv4))
			abort();
		networks[i].bits = rules[i].bits + (is_ipv4 ? 96 : 0);
	}
	made = true;
	return networks;
}

bool
hd_address_parse(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(address, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(address, &in6, sizeof(in6));
	else
		return false;
	return true;
}

static bool
parse_port(const char *text, in_port_t *port)
{
	unsigned long number;
	char *end;

	if (!isdigit((unsigned char) *text) || strlen(text) > 5)
		return false;
	number = strtoul(text, &end, 10);
	*port = htons((uint16_t) number);
	return *end == '\0' && number <= UINT16_MAX;
}

bool
hd_address_parse_place(const char *text, struct sockaddr_storage *address)
{
	const char *colon = strrchr(text, ':');
	char host[HD_ADDRESS_TEXT] = "127.0.0.1";
	bool bracketed = text[0] == '[';
	size_t length;
	in_port_t port;

	memset(address, 0, sizeof(*address));
	if (colon != NULL)
	{
		length = (size_t) (colon - text) - (bracketed ? 2 : 0);
		if (colon == text || (bracketed && (colon - text < 3 || colon[-1] != ']')) ||
			length >= sizeof(host))
			return false;
		memcpy(host, text + (bracketed ? 1 : 0), length);
		host[length] = '\0';
	}
	if (!parse_port(colon != NULL ? colon + 1 : text, &port) || !hd_address_parse(host, address) ||
		(address->ss_family == AF_INET6) != bracketed)
		return false;
	if (bracketed)
		((struct sockaddr_in6 *) address)->sin6_port = port;
	else
		((struct sockaddr_in *) address)->sin_port = port;
	return true;
}

HdAddressKind
hd_address_kind(const struct sockaddr *address)
{
	unsigned char bytes[16];

	if (!sockaddr_to_bytes(address, bytes))
		return HD_ADDRESS_FORBIDDEN;

	/* NAT64 reaches the IPv4 address that it carries: that one is judged. */
	if (memcmp(bytes, nat64_prefix, sizeof(nat64_prefix)) == 0)
		memcpy(bytes, mapped_prefix, sizeof(mapped_prefix));

	for (size_t i = 0; i < HD_COUNT(rules); i++)
	{
		const HdNetwork *network = &rule_networks()[i];

		if (prefix_matches(bytes, network->bytes, network->bits))
			return rules[i].kind;
	}
	return HD_ADDRESS_FORBIDDEN;
}

bool
hd_network_list_has(const HdNetworkList *list, const struct sockaddr *address)
{
	unsigned char bytes[16];

	if (!sockaddr_to_bytes(address, bytes))
		return false;
	for (size_t i = 0; i < list->count; i++)
	{
		if (prefix_matches(bytes, list->networks[i].bytes, list->networks[i].bits))
			return true;
	}
	return false;
}

bool
hd_address_permitted(const struct sockaddr *address, const HdNetworkList *allowed, bool private_ok)
{
	HdAddressKind kind = hd_address_kind(address);

	if (hd_network_list_has(allowed, address))
		return true;
	return kind == HD_ADDRESS_PUBLIC || (kind == HD_ADDRESS_PRIVATE && private_ok);
}

/* Parses one "address" or "address/bits" whose host bits are all zero. */
static bool
parse_network(const char *text, size_t length, HdNetwork *network)
{
	char copy[HD_ADDRESS_TEXT + 4];
	char *slash;
	bool is_ipv4;
	unsigned most;

	if (length == 0 || length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (!text_to_bytes(copy, network->bytes, &is_ipv4))
		return false;
	most = is_ipv4 ? 32 : 128;
	network->bits = most;
	if (slash != NULL)
	{
		char *end;
		unsigned long bits = strtoul(slash, &end, 10);

		if (!isdigit((unsigned char) *slash) || *end != '\0' || bits > most)
			return false;
		network->bits = (unsigned) bits;
	}
	network->bits += 128 - most;

	/* "10.1.0.0/8" is more likely a slip than a wish to open all of 10/8. */
	for (unsigned bit = network->bits; bit < 128; bit++)
	{
		if ((network->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
			return false;
	}
	return true;
}

bool
hd_network_list_parse(const char *text, HdNetworkList *list, const char **wrong)
{
	*list = (HdNetworkList){NULL, 0};
	*wrong = NULL;
	for (;;)
	{
		HdNetwork network;
		HdNetwork *grown;
		size_t length;

		text += strspn(text, ", \t");
		if (*text == '\0')
			return true;
		length = strcspn(text, ", \t");
		if (!parse_network(text, length, &network))
		{
			*wrong = text;
			break;
		}
		grown = realloc(list->networks, (list->count + 1) * sizeof(*grown));
		if (grown == NULL)
			break;
		list->networks = grown;
		list->networks[list->count++] = network;
		text += length;
	}
	hd_network_list_free(list);
	return false;
}

void
hd_network_list_free(HdNetworkList *list)
{
	free(list->networks);
	*list = (HdNetworkList){NULL, 0};
}
