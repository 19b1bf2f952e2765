/*
 * network_test.c
 *	  Addresses as inet_pton reads them, more strictly where it is lax, and networks.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "core/network.h"

#include "check.h"
#include "random.h"

static bool
within(const char *network_text, const char *address_text)
{
	HdNetwork network;
	HdAddress address;

	return hd_network_parse(network_text, (int) strlen(network_text), &network) &&
		   hd_address_parse(address_text, (int) strlen(address_text), &address) &&
		   hd_network_contains(&network, &address);
}

/* Random texts of the characters of addresses: the same ones are addresses, with the same bytes. */
static void
check_against_libc(void)
{
	static const char alphabet[] = "0123456789abcdefABF::::....";
	static const char *const pieces[] = {"::",		":",	"1", "0",  "ffff",
										 "1.2.3.4", "12ab", ".", "255"};
	char text[80];
	int valid = 0;
	int wrong = 0;

	for (int round = 0; round < 1000000; round++)
	{
		int n = 0;
		HdAddress address;
		uint8 expected[HD_ADDRESS_BYTES];
		bool v6;
		bool ours;
		bool theirs;

		if (round % 2 == 0)
			for (n = 0; n < 1 + random_below(16); n++)
				text[n] = alphabet[random_below(sizeof(alphabet) - 1)];
		else
			for (int i = (int) random_below(16); i >= 0 && n < 64; i--)
			{
				const char *piece = pieces[random_below(lengthof(pieces))];

				memcpy(text + n, piece, strlen(piece));
				n += (int) strlen(piece);
			}
		text[n] = '\0';
		v6 = strchr(text, ':') != NULL;
		ours = hd_address_parse(text, n, &address);
		theirs = inet_pton(v6 ? AF_INET6 : AF_INET, text, expected) == 1;
		if (ours && theirs)
		{
			int skip = (v6 && address.length == 4) ? 12 : 0;

			valid++;
			wrong += memcmp(address.bytes, expected + skip, address.length) != 0;
		}
		else if (ours != theirs)
		{
			wrong++;
			printf("# \"%s\": %d, inet_pton %d\n", text, ours, theirs);
		}
	}
	CHECK(wrong == 0 && valid > 1000,
		  "1000000 texts, %d of them addresses, as inet_pton reads them", valid);
}

static void
check_networks(void)
{
	static const char *const bad[] =
		{"",		  "10.0.0.0/",	 "10.0.0.0/33",	 "10.0.0.0/-1",
		 "10.0.0/8",  "10.0.0.0/08", "10.0.0.0/8 ",	 "::/129",
		 "fe80::1%e", "[::1]",		 "10.0.0.0/8/8", "1.2.3.4:80",
		 "010.0.0.1", "256.0.0.1",	 "/8",			 "::ffff:1.2.3.4/200"};
	HdNetwork network;

	for (int i = 0; i < lengthof(bad); i++)
		CHECK(!hd_network_parse(bad[i], (int) strlen(bad[i]), &network), "\"%s\" is no network",
			  bad[i]);
	CHECK(within("10.0.0.0/8", "10.255.255.255") && !within("10.0.0.0/8", "11.0.0.0"),
		  "whole bytes");
	CHECK(within("192.168.1.64/26", "192.168.1.127") && !within("192.168.1.64/26", "192.168.1.128"),
		  "bits within a byte");
	CHECK(within("192.168.1.99/26", "192.168.1.64"), "bits of the host do not count");
	CHECK(within("0.0.0.0/0", "255.1.2.3") && !within("0.0.0.0/0", "::1"),
		  "all of IPv4, and no more");
	CHECK(within("1.2.3.4", "1.2.3.4") && !within("1.2.3.4", "1.2.3.5"), "an address alone");
	CHECK(within("2001:db8::/33", "2001:db8:7fff::1") &&
			  !within("2001:db8::/33", "2001:db8:8000::"),
		  "IPv6");
	CHECK(within("::/0", "::1") && !within("::/0", "1.2.3.4"), "all of IPv6, and no more");
	CHECK(within("10.0.0.0/8", "::ffff:10.1.2.3") && within("::ffff:10.0.0.0/104", "10.1.2.3"),
		  "IPv4 written in IPv6 is IPv4");
}

int
main(void)
{
	check_against_libc();
	check_networks();
	return check_end();
}
