/*
 * client_test.c
 *	  The keys of clients: which part of X-Forwarded-For is theirs, and the one spelling of an address.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "limits/client.h"

#include "check.h"
#include "random.h"

#define LONG_BYTES (1024 * 1024)

static const char *
key_of(const char *header, int hops)
{
	static char key[HD_CLIENT_KEY_SIZE];

	hd_limits_client_key(header, (int) strlen(header), hops, key);
	return key;
}

static void
check_key(const char *header, int hops, const char *expected)
{
	const char *key = key_of(header, hops);

	CHECK(strcmp(key, expected) == 0, "\"%s\" behind %d: \"%s\"", header, hops, key);
}

static void
check_places(void)
{
	check_key("192.0.2.1", 1, "192.0.2.1");
	check_key("6.6.6.6, 192.0.2.1", 1, "192.0.2.1");
	check_key("6.6.6.6, 192.0.2.1, 10.0.0.1", 2, "192.0.2.1");
	check_key("192.0.2.1, 10.0.0.1", 3, "192.0.2.1");
	check_key("192.0.2.1,10.0.0.1", 2, "192.0.2.1");
	check_key(" \t192.0.2.1 \t, 10.0.0.1\t", 2, "192.0.2.1");
	check_key("6.6.6.6, , ,192.0.2.1,, 10.0.0.1,", 2, "192.0.2.1");
	check_key("rubbish, 192.0.2.1", 1, "192.0.2.1");
	check_key("rubbish, 192.0.2.1", 2, "unknown");
	check_key("192.0.2.1, unknown", 1, "unknown");
	check_key("192.0.2.1", PG_INT32_MAX, "192.0.2.1");
	check_key("", 1, "");
	check_key(" , ,\t,", 1, "");
}

static void
check_addresses(void)
{
	check_key("192.0.2.1:65535", 1, "192.0.2.1");
	check_key("[192.0.2.1]:80", 1, "192.0.2.1");
	check_key("2001:db8:1:2:3:4:5:6", 1, "2001:db8:1:2::/64");
	check_key("2001:0DB8:0001:0002::1", 1, "2001:db8:1:2::/64");
	check_key("[2001:db8:1:2::1]", 1, "2001:db8:1:2::/64");
	check_key("[2001:db8:1:2::1]:443", 1, "2001:db8:1:2::/64");
	check_key("2001:db8::1", 1, "2001:db8::/64");
	check_key("2001:0:0:1::1", 1, "2001:0:0:1::/64");
	check_key("0:0:0:1::", 1, "0:0:0:1::/64");
	check_key("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 1, "ffff:ffff:ffff:ffff::/64");
	check_key("::1", 1, "::/64");
	check_key("::ffff:192.0.2.1", 1, "192.0.2.1");
	check_key("[::FFFF:C000:0201]:80", 1, "192.0.2.1");
}

static void
check_rubbish(void)
{
	static const char *const rubbish[] = {"unknown",
										  "_hidden",
										  "localhost",
										  "192.0.2",
										  "192.0.2.256",
										  "192.0.2.01",
										  "192.0.2.1:",
										  "192.0.2.1:8o",
										  "192.0.2.1:123456",
										  "192.0.2.1 192.0.2.2",
										  "192.0.2.1/24",
										  "for=192.0.2.1",
										  "\"192.0.2.1\"",
										  "[2001:db8::1",
										  "2001:db8::1]",
										  "[]",
										  "[",
										  "]",
										  ":",
										  "[2001:db8::1]443",
										  "2001:db8::1::2",
										  "fe80::1%eth0",
										  "\x01",
										  "\xff\xfe"};

	for (int i = 0; i < lengthof(rubbish); i++)
		CHECK(strcmp(key_of(rubbish[i], 1), "unknown") == 0, "\"%s\" is no address", rubbish[i]);
}

/* However long a header is, its end decides; what may lie beyond what is looked at is unknown. */
static void
check_long(void)
{
	static const char fill[] = {'1', ',', ' ', '['};
	static const char tail[] = ", 192.0.2.1, 10.0.0.1";
	char *header = malloc(LONG_BYTES + sizeof(tail));

	for (int i = 0; i < lengthof(fill); i++)
	{
		memset(header, fill[i], LONG_BYTES);
		strcpy(header + LONG_BYTES, tail);
		CHECK(strcmp(key_of(header, 2), "192.0.2.1") == 0, "a megabyte of '%c' before it", fill[i]);
		CHECK(strcmp(key_of(header, 3), "unknown") == 0, "and '%c' in its place", fill[i]);
	}
	free(header);
}

/* The spelling is that of the C library, of an address whose last eight bytes are zero. */
static void
check_spelling(void)
{
	int wrong = 0;

	for (int round = 0; round < 1000000; round++)
	{
		char text[INET6_ADDRSTRLEN];
		char expected[HD_CLIENT_KEY_SIZE + INET6_ADDRSTRLEN];
		uint8 bytes[HD_ADDRESS_BYTES];

		for (int i = 0; i < HD_ADDRESS_BYTES; i++)
			bytes[i] = (random_below(2) == 0) ? 0 : (uint8) random_below(256);
		bytes[0] |= 0x20;
		inet_ntop(AF_INET6, bytes, text, sizeof(text));
		memset(bytes + 8, 0, 8);
		inet_ntop(AF_INET6, bytes, expected, sizeof(expected));
		strcat(expected, "/64");
		wrong += strcmp(key_of(text, 1), expected) != 0;
		inet_ntop(AF_INET, bytes, text, sizeof(text));
		wrong += strcmp(key_of(text, 1), text) != 0;
	}
	CHECK(wrong == 0, "1000000 addresses of either kind, spelt as the C library does");
}

int
main(void)
{
	check_places();
	check_addresses();
	check_rubbish();
	check_long();
	check_spelling();
	return check_end();
}
