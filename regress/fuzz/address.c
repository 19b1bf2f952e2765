/*
 * address.c
 *	  Addresses, networks and places: a network contains itself, a mapped address is its IPv4 one.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <netdb.h>

#include "address.h"

const char *const fuzz_seeds[] = {"127.0.0.1",
								  "::ffff:10.0.0.1",
								  "64:ff9b::1.2.3.4",
								  "10.0.0.0/8, fc00::/7, 192.0.2.7",
								  "[::1]:8090",
								  "127.0.0.1:80",
								  "8090",
								  "2001:db8::/32",
								  NULL};
const char *const fuzz_words[] = {"/8", "/128", "::",	 ":",		  ".",	", ",	 "[",  "]:",
								  "0",	"255",	"ffff:", "64:ff9b::", "/0", "%eth0", "\t", NULL};

/* Both spellings of one IPv4 address are of one kind. */
static void
check_mapped(const struct sockaddr_storage *address)
{
	struct sockaddr_in in;
	char text[HD_ADDRESS_TEXT];
	char mapped[HD_ADDRESS_TEXT + 8];
	struct sockaddr_storage other;

	memcpy(&in, address, sizeof(in));
	FUZZ_CHECK(inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)) != NULL);
	snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
	FUZZ_CHECK(hd_address_parse(mapped, &other));
	FUZZ_CHECK(hd_address_kind((const struct sockaddr *) &other) ==
			   hd_address_kind((const struct sockaddr *) address));
}

static void
check_networks(const char *text)
{
	HdNetworkList list;
	const char *wrong;

	if (!hd_network_list_parse(text, &list, &wrong))
	{
		FUZZ_CHECK(wrong == NULL || (wrong >= text && wrong < text + strlen(text)));
		return;
	}
	for (size_t i = 0; i < list.count; i++)
	{
		struct sockaddr_in6 first = {.sin6_family = AF_INET6};

		FUZZ_CHECK(list.networks[i].bits <= 128);
		memcpy(&first.sin6_addr, list.networks[i].bytes, 16);
		FUZZ_CHECK(hd_address_permitted((const struct sockaddr *) &first, &list, false));
	}
	hd_network_list_free(&list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct sockaddr_storage address;

	if (hd_address_parse(text, &address) && address.ss_family == AF_INET)
		check_mapped(&address);
	if (hd_address_parse_place(text, &address))
		FUZZ_CHECK(address.ss_family == AF_INET || address.ss_family == AF_INET6);
	check_networks(text);
	free(text);
	return 0;
}
