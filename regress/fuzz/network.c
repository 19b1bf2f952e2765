/*
 * network.c
 *	  Addresses and networks: an address is one when inet_pton says so, a network holds what is in a
 *	  smaller one of it.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "core/network.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {"10.0.0.1 10.0.0.0/8",	   "::ffff:10.0.0.1 10.0.0.0/9",
								  "2001:db8::1 2001:db8::/32", "::1 ::/0",
								  "1.2.3.4 1.2.3.4/33",		   NULL};
const char *const fuzz_words[] = {"/8", "/128", "::",	 ":",  ".",	  " ",
								  "0",	"255",	"ffff:", "/0", "/32", NULL};

/* What the C library says of it; mapped addresses are of IPv4 here. */
static bool
library_reads(const char *text, HdAddress *address)
{
	static const uint8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memset(address, 0, sizeof(*address));
	address->length = 4;
	if (inet_pton(AF_INET, text, address->bytes) == 1)
		return true;
	address->length = 16;
	if (inet_pton(AF_INET6, text, address->bytes) != 1)
		return false;
	if (memcmp(address->bytes, mapped, sizeof(mapped)) == 0)
	{
		address->length = 4;
		memmove(address->bytes, address->bytes + sizeof(mapped), 4);
	}
	return true;
}

static bool
check_address(const char *data, int length, HdAddress *address)
{
	char *text = fuzz_text((const uint8_t *) data, length);
	bool read = hd_address_parse(data, length, address);
	HdAddress other;

	if (memchr(data, '\0', length) != NULL)
		FUZZ_CHECK(!read);
	else
	{
		FUZZ_CHECK(read == library_reads(text, &other));
		FUZZ_CHECK(!read || (address->length == other.length &&
							 memcmp(address->bytes, other.bytes, address->length) == 0));
	}
	free(text);
	return read;
}

static void
check_network(const HdNetwork *network, const HdAddress *address)
{
	HdNetwork wider = *network;
	bool within = hd_network_contains(network, address);

	FUZZ_CHECK(network->bits <= network->address.length * 8);
	FUZZ_CHECK(hd_network_contains(network, &network->address));
	FUZZ_CHECK(!within || address->length == network->address.length);
	while (wider.bits > 0)
	{
		wider.bits--;
		FUZZ_CHECK(!within || hd_network_contains(&wider, address));
		within = hd_network_contains(&wider, address);
	}
	FUZZ_CHECK(within == (address->length == network->address.length));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	const char *blank = memchr(text, ' ', size);
	HdAddress address;
	HdNetwork network;
	int length = (int) (blank == NULL ? size : (size_t) (blank - text));
	bool read = check_address(text, length, &address);

	if (read)
	{
		FUZZ_CHECK(hd_network_parse(text, length, &network));
		FUZZ_CHECK(network.bits == address.length * 8);
		FUZZ_CHECK(hd_network_contains(&network, &address));
	}
	if (blank == NULL || !hd_network_parse(blank + 1, (int) size - length - 1, &network))
		return 0;
	if (!read)
		address = network.address;
	check_network(&network, &address);
	return 0;
}
