/*
 * address_test.c
 *	  The SSRF guard's rules: every special range from both sides of its border.
 */
#include "address.h"

#include <netdb.h>
#include <string.h>

#include "check.h"

static HdAddressKind
kind(const char *text)
{
	struct sockaddr_storage address;

	if (!hd_address_parse(text, &address))
		return (HdAddressKind) -1;
	return hd_address_kind((const struct sockaddr *) &address);
}

static bool
permitted(const char *text, const char *allowed, bool private_ok)
{
	struct sockaddr_storage address;
	HdNetworkList list;
	const char *wrong;
	bool answer;

	if (!hd_network_list_parse(allowed, &list, &wrong) || !hd_address_parse(text, &address))
		return false;
	answer = hd_address_permitted((const struct sockaddr *) &address, &list, private_ok);
	hd_network_list_free(&list);
	return answer;
}

static void
test_kinds(void)
{
	static const struct
	{
		const char *text;
		HdAddressKind kind;
	} cases[] = {
		{"0.0.0.0", HD_ADDRESS_FORBIDDEN},
		{"0.255.255.255", HD_ADDRESS_FORBIDDEN},
		{"1.0.0.0", HD_ADDRESS_PUBLIC},
		{"9.255.255.255", HD_ADDRESS_PUBLIC},
		{"10.0.0.0", HD_ADDRESS_PRIVATE},
		{"10.255.255.255", HD_ADDRESS_PRIVATE},
		{"11.0.0.0", HD_ADDRESS_PUBLIC},
		{"100.63.255.255", HD_ADDRESS_PUBLIC},
		{"100.64.0.0", HD_ADDRESS_PRIVATE},
		{"100.100.100.200", HD_ADDRESS_FORBIDDEN},
		{"100.127.255.255", HD_ADDRESS_PRIVATE},
		{"100.128.0.0", HD_ADDRESS_PUBLIC},
		{"127.0.0.1", HD_ADDRESS_PRIVATE},
		{"127.255.255.254", HD_ADDRESS_PRIVATE},
		{"128.0.0.0", HD_ADDRESS_PUBLIC},
		{"168.63.129.15", HD_ADDRESS_PUBLIC},
		{"168.63.129.16", HD_ADDRESS_FORBIDDEN},
		{"169.253.255.255", HD_ADDRESS_PUBLIC},
		{"169.254.0.0", HD_ADDRESS_FORBIDDEN},
		{"169.254.169.254", HD_ADDRESS_FORBIDDEN},
		{"169.255.0.0", HD_ADDRESS_PUBLIC},
		{"172.15.255.255", HD_ADDRESS_PUBLIC},
		{"172.16.0.0", HD_ADDRESS_PRIVATE},
		{"172.31.255.255", HD_ADDRESS_PRIVATE},
		{"172.32.0.0", HD_ADDRESS_PUBLIC},
		{"192.0.0.170", HD_ADDRESS_FORBIDDEN},
		{"192.0.1.0", HD_ADDRESS_PUBLIC},
		{"192.0.2.1", HD_ADDRESS_FORBIDDEN},
		{"192.88.99.1", HD_ADDRESS_FORBIDDEN},
		{"192.167.255.255", HD_ADDRESS_PUBLIC},
		{"192.168.0.0", HD_ADDRESS_PRIVATE},
		{"192.168.255.255", HD_ADDRESS_PRIVATE},
		{"192.169.0.0", HD_ADDRESS_PUBLIC},
		{"198.17.255.255", HD_ADDRESS_PUBLIC},
		{"198.18.0.0", HD_ADDRESS_FORBIDDEN},
		{"198.19.255.255", HD_ADDRESS_FORBIDDEN},
		{"198.20.0.0", HD_ADDRESS_PUBLIC},
		{"198.51.100.7", HD_ADDRESS_FORBIDDEN},
		{"203.0.113.7", HD_ADDRESS_FORBIDDEN},
		{"223.255.255.255", HD_ADDRESS_PUBLIC},
		{"224.0.0.1", HD_ADDRESS_FORBIDDEN},
		{"239.255.255.255", HD_ADDRESS_FORBIDDEN},
		{"240.0.0.0", HD_ADDRESS_FORBIDDEN},
		{"255.255.255.255", HD_ADDRESS_FORBIDDEN},
		{"::", HD_ADDRESS_FORBIDDEN},
		{"::1", HD_ADDRESS_PRIVATE},
		{"::2", HD_ADDRESS_FORBIDDEN},
		{"::127.0.0.1", HD_ADDRESS_FORBIDDEN},
		{"::8.8.8.8", HD_ADDRESS_FORBIDDEN},
		{"::ffff:8.8.8.8", HD_ADDRESS_PUBLIC},
		{"::ffff:127.0.0.1", HD_ADDRESS_PRIVATE},
		{"::ffff:a00:1", HD_ADDRESS_PRIVATE},
		{"::ffff:169.254.169.254", HD_ADDRESS_FORBIDDEN},
		{"64:ff9b::8.8.8.8", HD_ADDRESS_PUBLIC},
		{"64:ff9b::10.0.0.1", HD_ADDRESS_PRIVATE},
		{"64:ff9b::169.254.169.254", HD_ADDRESS_FORBIDDEN},
		{"64:ff9b:1::1", HD_ADDRESS_FORBIDDEN},
		{"100::1", HD_ADDRESS_FORBIDDEN},
		{"2001::1", HD_ADDRESS_FORBIDDEN},
		{"2001:1ff:ffff::1", HD_ADDRESS_FORBIDDEN},
		{"2001:200::1", HD_ADDRESS_PUBLIC},
		{"2001:db8::1", HD_ADDRESS_FORBIDDEN},
		{"2002:7f00:1::", HD_ADDRESS_FORBIDDEN},
		{"2002:808:808::", HD_ADDRESS_FORBIDDEN},
		{"2606:4700::1111", HD_ADDRESS_PUBLIC},
		{"3fff:fff::1", HD_ADDRESS_FORBIDDEN},
		{"4000::1", HD_ADDRESS_FORBIDDEN},
		{"5f00::1", HD_ADDRESS_FORBIDDEN},
		{"fc00::1", HD_ADDRESS_PRIVATE},
		{"fd00:ec2::254", HD_ADDRESS_FORBIDDEN},
		{"fdff::1", HD_ADDRESS_PRIVATE},
		{"fe80::1", HD_ADDRESS_FORBIDDEN},
		{"fec0::1", HD_ADDRESS_FORBIDDEN},
		{"ff02::1", HD_ADDRESS_FORBIDDEN},
	};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
		CHECK(kind(cases[i].text) == cases[i].kind, "%s is of kind %d", cases[i].text,
			  (int) cases[i].kind);
}

/* "address port" of a place, or "" when it is none. */
static const char *
place(const char *text)
{
	static char answer[HD_ADDRESS_TEXT + 8];
	struct sockaddr_storage address;
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	answer[0] = '\0';
	if (hd_address_parse_place(text, &address) &&
		getnameinfo((const struct sockaddr *) &address, sizeof(address), host, sizeof(host), port,
					sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(answer, sizeof(answer), "%.40s %.5s", host, port);
	return answer;
}

static void
test_places(void)
{
	static const char *const bad[] =
		{"",	  ":80",	 "127.0.0.1", "127.0.0.1:",	  "127.0.0.1:x",  "::1:80",
		 "[::1]", "[::1]80", "[::1]:",	  "[]:80",		  "[1.2.3.4]:80", "65536",
		 "-1",	  " 80",	 "80 ",		  "localhost:80", "1:2:3",		  "000080"};

	CHECK(strcmp(place("8090"), "127.0.0.1 8090") == 0, "a port alone is on the loopback");
	CHECK(strcmp(place("0"), "127.0.0.1 0") == 0, "0 is any port");
	CHECK(strcmp(place("0.0.0.0:65535"), "0.0.0.0 65535") == 0, "an address and the last port");
	CHECK(strcmp(place("[::1]:81"), "::1 81") == 0, "an IPv6 address");
	for (size_t i = 0; i < HD_COUNT(bad); i++)
		CHECK(place(bad[i])[0] == '\0', "\"%s\" is no place", bad[i]);
}

static void
test_permission(void)
{
	CHECK(permitted("8.8.8.8", "", false), "a public address needs no permission");
	CHECK(!permitted("127.0.0.1", "", false), "loopback needs one");
	CHECK(permitted("127.0.0.1", "", true), "the request's flag opens loopback");
	CHECK(permitted("10.1.2.3", "", true), "and private networks");
	CHECK(!permitted("169.254.169.254", "", true), "but never metadata");
	CHECK(!permitted("0.0.0.0", "", true), "nor this host's other name");
	CHECK(permitted("127.0.0.1", "127.0.0.0/8", false), "the list opens what it names");
	CHECK(permitted("::ffff:127.0.0.1", "127.0.0.0/8", false), "in the mapped form too");
	CHECK(!permitted("127.128.0.1", "127.0.0.0/9", false), "a prefix ends where it ends");
	CHECK(permitted("::1", "10.0.0.0/8, ::1", false), "one address is a network of one");
	CHECK(permitted("169.254.169.254", "169.254.169.254/32", false),
		  "the list wins over all rules");
	CHECK(permitted("fe80::1", "0.0.0.0/0,::/0", false), "everything may be opened");
}

static void
test_lists(void)
{
	static const char *const wrong_lists[] = {"10.0.0.0/33", "10.1.0.0/8",	"::/129",
											  "10.0.0",		 "localhost",	"10.0.0.0/",
											  "10.0.0.0/-1", "10.0.0.0/8x", "0x7f.1",
											  "2130706433",	 "::1/127"};
	HdNetworkList list;
	const char *wrong;

	CHECK(hd_network_list_parse(" , ", &list, &wrong) && list.count == 0,
		  "an empty list is a list");
	hd_network_list_free(&list);
	for (size_t i = 0; i < HD_COUNT(wrong_lists); i++)
		CHECK(!hd_network_list_parse(wrong_lists[i], &list, &wrong) && wrong == wrong_lists[i],
			  "\"%s\" is no network", wrong_lists[i]);
}

/* Spellings that a resolver might accept are not addresses here: they go through one. */
static void
test_spellings(void)
{
	static const char *const odd[] = {"2130706433", "0x7f.1",
									  "0x7f000001", "127.1",
									  "0177.0.0.1", "127.0.0.1.",
									  "[::1]",		"::1%lo",
									  " 127.0.0.1", ""};
	struct sockaddr_storage address;

	for (size_t i = 0; i < HD_COUNT(odd); i++)
		CHECK(!hd_address_parse(odd[i], &address), "\"%s\" is not a canonical address", odd[i]);
}

int
main(void)
{
	struct sockaddr unix_address = {.sa_family = AF_UNIX};

	test_kinds();
	test_places();
	test_permission();
	test_lists();
	test_spellings();
	CHECK(hd_address_kind(&unix_address) == HD_ADDRESS_FORBIDDEN, "other families are forbidden");
	return check_end();
}
