/*-------------------------------------------------------------------------
 * client.c
 *		The key of a client by its address on the network.
 *
 * Model: see client.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/client.h"

/* More than an address in brackets with a port has; and of the header, all that is looked at. */
#define MAX_ELEMENT 64
#define MAX_TAIL 4096

#define IPV4_BYTES 4
#define NETWORK_GROUPS 4
#define MAX_PORT_DIGITS 5

/* A part of the header, from its first byte to the one after its last. */
typedef struct Span
{
	const char *from;
	const char *to;
} Span;

static Span
trimmed(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return (Span){from, to};
}

/* Nothing, or ":" and a port. */
static bool
is_port(const char *at, const char *end)
{
	if (at == end)
		return true;
	if (*at++ != ':' || at == end || end - at > MAX_PORT_DIGITS)
		return false;
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at == end;
}

/* An address, in brackets or not, and a port or none; that of IPv6 has one in brackets alone. */
static bool
read_element(Span element, HdAddress *address)
{
	const char *from = element.from;
	const char *to = element.to;
	const char *after = to;

	if (to - from > MAX_ELEMENT)
		return false;
	if (*from == '[')
	{
		from++;
		to = memchr(from, ']', to - from);
		if (to == NULL)
			return false;
		after = to + 1;
	}
	else
	{
		const char *colon = memchr(from, ':', to - from);

		if (colon != NULL && memchr(colon + 1, ':', to - colon - 1) == NULL)
			to = after = colon;
	}
	return is_port(after, element.to) && hd_address_parse(from, (int) (to - from), address);
}

/*
 * The n-th element from the right that is not empty, or the first of fewer.
 * False where it may lie further left than is looked at.
 */
static bool
find_element(const char *header, int length, int n, Span *element)
{
	const char *end = header + length;
	const char *start = (length > MAX_TAIL) ? end - MAX_TAIL : header;

	element->from = element->to = end;
	while (n > 0)
	{
		const char *from = end;
		Span span;

		while (from > start && from[-1] != ',')
			from--;
		if (from == start && start > header)
			return false;
		span = trimmed(from, end);
		if (span.from < span.to)
		{
			*element = span;
			n--;
		}
		if (from == start)
			break;
		end = from - 1;
	}
	return true;
}

void
hd_limits_client_key(const char *header, int length, int hops, char *key)
{
	HdAddress address;
	Span element;

	Assert(hops > 0);
	if (find_element(header, length, hops, &element))
	{
		key[0] = '\0';
		if (element.from == element.to)
			return;
		if (read_element(element, &address))
		{
			hd_limits_client_address(&address, key);
			return;
		}
	}
	strlcpy(key, "unknown", HD_CLIENT_KEY_SIZE);
}

static char *
put_decimal(char *at, uint8 number)
{
	if (number >= 100)
		*at++ = '0' + number / 100;
	if (number >= 10)
		*at++ = '0' + number / 10 % 10;
	*at++ = '0' + number % 10;
	return at;
}

/* Without leading zeros. */
static char *
put_group(char *at, const uint8 *bytes)
{
	static const char digits[] = "0123456789abcdef";
	int number = bytes[0] << 8 | bytes[1];
	int shift = 12;

	while (shift > 0 && number >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*at++ = digits[number >> shift & 0xF];
	return at;
}

/*
 * The spelling of RFC 5952: the last four groups are zero, so no other run of
 * zeros is as long as the one at the end.
 */
static void
put_network(char *at, const uint8 *bytes)
{
	int n = NETWORK_GROUPS;

	while (n > 0 && bytes[2 * n - 2] == 0 && bytes[2 * n - 1] == 0)
		n--;
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			*at++ = ':';
		at = put_group(at, bytes + 2 * i);
	}
	memcpy(at, "::/64", sizeof("::/64"));
}

void
hd_limits_client_address(const HdAddress *address, char *key)
{
	if (address->length != IPV4_BYTES)
	{
		put_network(key, address->bytes);
		return;
	}
	for (int i = 0; i < IPV4_BYTES; i++)
	{
		if (i > 0)
			*key++ = '.';
		key = put_decimal(key, address->bytes[i]);
	}
	*key = '\0';
}
