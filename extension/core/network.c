/*-------------------------------------------------------------------------
 * network.c
 *		Internet addresses and networks.
 *
 * Model: an address is bytes in network order.  Text that several programs
 * read in several ways (octal, leading zeros, fewer than four numbers) is no
 * address: a rule about networks must not be walked around by spelling.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/network.h"

#define IPV4_BYTES 4
#define MAPPED_BYTES 12 /* before an address of IPv4 in one of IPv6 */
#define GROUP_BYTES 2

/* A decimal number of up to three digits, as it is written usually; -1: there is none. */
static int
parse_decimal(const char **at, const char *end, int largest)
{
	const char *start = *at;
	int number = 0;

	while (*at < end && **at >= '0' && **at <= '9' && *at - start < 3)
		number = number * 10 + (*(*at)++ - '0');
	if (*at == start || number > largest || (*start == '0' && *at - start > 1))
		return -1;
	return number;
}

/* All of the text is an address of IPv4. */
static bool
parse_ipv4(const char *at, const char *end, uint8 *bytes)
{
	for (int i = 0; i < IPV4_BYTES; i++)
	{
		int number;

		if (i > 0 && (at == end || *at++ != '.'))
			return false;
		number = parse_decimal(&at, end, 255);
		if (number < 0)
			return false;
		bytes[i] = (uint8) number;
	}
	return at == end;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Up to four hexadecimal digits; how many there are. */
static int
parse_group(const char *at, const char *end, uint8 *bytes)
{
	int number = 0;
	int n = 0;

	while (n < 4 && at + n < end && hex_digit(at[n]) >= 0)
		number = number << 4 | hex_digit(at[n++]);
	bytes[0] = (uint8) (number >> 8);
	bytes[1] = (uint8) number;
	return n;
}

/*
 * Groups, one after the other; the place of "::" is kept, and what follows it
 * moved to the end when all is read.
 */
static bool
parse_ipv6(const char *at, const char *end, uint8 *bytes)
{
	int n = 0;	  /* bytes read */
	int gap = -1; /* where "::" stands */

	memset(bytes, 0, HD_ADDRESS_BYTES);
	while (at < end)
	{
		int digits;

		if (end - at >= 2 && at[0] == ':' && at[1] == ':')
		{
			if (gap >= 0)
				return false;
			gap = n;
			at += 2;
			if (at == end)
				break;
		}
		else if (n > 0 && *at++ != ':')
			return false;
		if (n <= MAPPED_BYTES && parse_ipv4(at, end, bytes + n))
		{
			n += IPV4_BYTES;
			break;
		}
		if (n == HD_ADDRESS_BYTES || (digits = parse_group(at, end, bytes + n)) == 0)
			return false;
		at += digits;
		n += GROUP_BYTES;
	}
	if (gap < 0)
		return n == HD_ADDRESS_BYTES;
	/* the gap stands for a group at least */
	if (n > HD_ADDRESS_BYTES - GROUP_BYTES)
		return false;
	memmove(bytes + HD_ADDRESS_BYTES - (n - gap), bytes + gap, n - gap);
	memset(bytes + gap, 0, HD_ADDRESS_BYTES - n);
	return true;
}

static bool
is_mapped(const HdAddress *address)
{
	static const uint8 prefix[MAPPED_BYTES] = {[10] = 0xFF, [11] = 0xFF};

	return address->length == HD_ADDRESS_BYTES && memcmp(address->bytes, prefix, MAPPED_BYTES) == 0;
}

static void
unmap(HdAddress *address)
{
	memmove(address->bytes, address->bytes + MAPPED_BYTES, IPV4_BYTES);
	address->length = IPV4_BYTES;
}

/* As it is written. */
static bool
parse_address(const char *text, const char *end, HdAddress *address)
{
	if (memchr(text, ':', end - text) == NULL)
	{
		address->length = IPV4_BYTES;
		return parse_ipv4(text, end, address->bytes);
	}
	address->length = HD_ADDRESS_BYTES;
	return parse_ipv6(text, end, address->bytes);
}

bool
hd_address_parse(const char *text, int length, HdAddress *address)
{
	if (!parse_address(text, text + length, address))
		return false;
	if (is_mapped(address))
		unmap(address);
	return true;
}

void
hd_address_from_bytes(const uint8 *bytes, int length, HdAddress *address)
{
	Assert(length == IPV4_BYTES || length == HD_ADDRESS_BYTES);
	address->length = (int8) length;
	memcpy(address->bytes, bytes, length);
	if (is_mapped(address))
		unmap(address);
}

bool
hd_network_parse(const char *text, int length, HdNetwork *network)
{
	const char *end = text + length;
	const char *slash = memchr(text, '/', length);
	int bits;

	if (!parse_address(text, slash != NULL ? slash : end, &network->address))
		return false;
	bits = network->address.length * BITS_PER_BYTE;
	if (slash != NULL)
	{
		const char *at = slash + 1;

		bits = parse_decimal(&at, end, bits);
		if (bits < 0 || at != end)
			return false;
	}
	if (is_mapped(&network->address) && bits >= MAPPED_BYTES * BITS_PER_BYTE)
	{
		unmap(&network->address);
		bits -= MAPPED_BYTES * BITS_PER_BYTE;
	}
	network->bits = (uint8) bits;
	return true;
}

bool
hd_network_contains(const HdNetwork *network, const HdAddress *address)
{
	int whole = network->bits / BITS_PER_BYTE;
	int rest = network->bits % BITS_PER_BYTE;

	if (network->address.length != address->length ||
		memcmp(network->address.bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 ||
		   ((network->address.bytes[whole] ^ address->bytes[whole]) >> (BITS_PER_BYTE - rest)) == 0;
}
