/*
 * client.c
 *	  Keys of clients: whatever the header is, the key is an address in its one spelling or the one for
 *	  all that is none, and what stands left of what trusted proxies added changes nothing.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "fuzz.h"
#include "limits/client.h"

const char *const fuzz_seeds[] = {"192.0.2.1, 10.0.0.1",	 "[2001:db8::1]:443",
								  "::ffff:10.0.0.1",		 "unknown, , 1.2.3.4:80",
								  "6.6.6.6,2001:db8:0:1::5", NULL};
const char *const fuzz_words[] = {", ",	   ",",		  "::", ":",  ".",		   "[",
								  "]",	   ":443",	  " ",	"\t", "192.0.2.1", "2001:db8::1",
								  "ffff:", "unknown", "0",	NULL};

/* The key as the C library spells what it reads of it. */
static void
check_spelling(const char *key)
{
	char address[HD_CLIENT_KEY_SIZE];
	char spelt[INET6_ADDRSTRLEN];
	uint8 bytes[HD_ADDRESS_BYTES];
	int family = (strchr(key, ':') != NULL) ? AF_INET6 : AF_INET;
	char *slash;

	strcpy(address, key);
	slash = strchr(address, '/');
	FUZZ_CHECK((slash != NULL) == (family == AF_INET6));
	if (slash != NULL)
	{
		FUZZ_CHECK(strcmp(slash, "/64") == 0);
		*slash = '\0';
	}
	FUZZ_CHECK(inet_pton(family, address, bytes) == 1);
	FUZZ_CHECK(inet_ntop(family, bytes, spelt, sizeof(spelt)) != NULL);
	FUZZ_CHECK(strcmp(address, spelt) == 0);
	for (int i = 8; slash != NULL && i < HD_ADDRESS_BYTES; i++)
		FUZZ_CHECK(bytes[i] == 0);
}

/* One more element at the right, behind one more proxy. */
static void
check_one_more(const char *header, int length, int hops, const char *expected)
{
	static const char more[] = ", [2001:db8::1]:9";
	char *longer = malloc(length + sizeof(more));
	char key[HD_CLIENT_KEY_SIZE];

	memcpy(longer, header, length);
	memcpy(longer + length, more, sizeof(more) - 1);
	hd_limits_client_key(longer, length + (int) sizeof(more) - 1, hops + 1, key);
	FUZZ_CHECK(strcmp(key, (expected[0] != '\0') ? expected : "2001:db8::/64") == 0);
	free(longer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *header = (const char *) data;
	char key[HD_CLIENT_KEY_SIZE];

	for (int hops = 1; hops <= 3; hops++)
	{
		hd_limits_client_key(header, (int) size, hops, key);
		FUZZ_CHECK(strlen(key) < sizeof(key));
		if (key[0] != '\0' && strcmp(key, "unknown") != 0)
			check_spelling(key);
		/* so short that nothing lies beyond what is looked at */
		if (size < 4000)
			check_one_more(header, (int) size, hops, key);
	}
	return 0;
}
