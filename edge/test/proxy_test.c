/*
 * proxy_test.c
 *	  URLs of proxies, logins, and the list of hosts that go without.
 */
#include "proxy.h"

#include <string.h>

#include "check.h"

static void
test_good(void)
{
	static const struct
	{
		const char *url;
		HdProxyKind kind;
		const char *host;
		uint16_t port;
		const char *login;
	} cases[] = {
		{"", HD_PROXY_NONE, "", 0, ""},
		{"http://p:3128", HD_PROXY_HTTP, "p", 3128, ""},
		{"HTTP://p.example_1:1/", HD_PROXY_HTTP, "p.example_1", 1, ""},
		{"socks5h://10.0.0.1:65535", HD_PROXY_SOCKS, "10.0.0.1", 65535, ""},
		{"http://[::1]:80", HD_PROXY_HTTP, "::1", 80, ""},
		{"http://u:p@p:1", HD_PROXY_HTTP, "p", 1, "u:p"},
		{"http://u@p:1", HD_PROXY_HTTP, "p", 1, "u:"},
		{"http://u%25:a%40%3A@b@p:1", HD_PROXY_HTTP, "p", 1, "u%:a@:@b"},
	};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
	{
		HdProxy proxy;
		const char *problem = hd_proxy_parse(cases[i].url, &proxy);

		CHECK(problem == NULL && proxy.kind == cases[i].kind && proxy.port == cases[i].port &&
				  strcmp(proxy.host, cases[i].host) == 0 &&
				  strcmp(proxy.login, cases[i].login) == 0,
			  "\"%s\"", cases[i].url);
	}
}

static void
test_bad(void)
{
	static const char *const urls[] = {
		"p:1",			 "https://p:1",	   "socks5://p:1",	 "http://",			"http://p",
		"http://p:",	 "http://p:0",	   "http://p:65536", "http://p:1x",		"http://p:-1",
		"http://p: 1",	 "http://:1",	   "http://[::1]",	 "http://[::1",		"http://[::1]1",
		"http://[x]:1",	 "http://[]:1",	   "http://p/x:1",	 "http://p:1/x",	"http://@p:1",
		"http://:x@p:1", "http://%@p:1",   "http://%0@p:1",	 "http://%0ax@p:1", "http://u:\x7f@p:1",
		"http://a b:1",	 "http://p\r\n:1",
	};
	char longest[2 * HD_PROXY_LOGIN_MAX];
	HdProxy proxy;

	for (size_t i = 0; i < HD_COUNT(urls); i++)
		CHECK(hd_proxy_parse(urls[i], &proxy) != NULL, "bad URL %zu", i);

	memset(longest, 'u', sizeof(longest));
	memcpy(longest, "http://", 7);
	memcpy(longest + sizeof(longest) - 5, "@p:1", 5);
	CHECK(hd_proxy_parse(longest, &proxy) != NULL, "a login that is too long");
	longest[sizeof(longest) - 5] = 'u';
	CHECK(!hd_proxy_set_login(&proxy, longest) && hd_proxy_set_login(&proxy, NULL),
		  "one that comes apart");
	memset(longest + 7, 'h', sizeof(longest) - 12);
	memcpy(longest + sizeof(longest) - 3, ":1", 3);
	CHECK(hd_proxy_parse(longest, &proxy) != NULL, "a host that is too long");
}

static void
test_bypass(void)
{
	static const struct
	{
		const char *list;
		const char *host;
		bool bypassed;
	} cases[] = {
		{"", "a", false},
		{"a", "a", true},
		{"a, b", "B", true},
		{"a", "a.", true},
		{"a.example", "b.a.example", false},
		{".example", "b.a.example", true},
		{".example", "example", true},
		{".example", "notexample", false},
		{"example", "notexample", false},
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "11.1.2.3", false},
		{"10.0.0.0/8", "10.example", false},
		{"x,10.1.2.3", "10.1.2.3", true},
		{"fd00::/8", "[fd00::1]", true},
		{"::1", "[::1]", true},
		{"1", "[::1]", false},
		{" , ,", "a", false},
	};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
		CHECK(hd_proxy_bypassed(cases[i].list, cases[i].host) == cases[i].bypassed,
			  "\"%s\" %s \"%s\"", cases[i].list, cases[i].bypassed ? "has" : "has not",
			  cases[i].host);
}

int
main(void)
{
	test_good();
	test_bad();
	test_bypass();
	return check_end();
}
