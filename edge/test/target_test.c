/*
 * target_test.c
 *	  Hosts and ports of URLs: what is found, and what is refused.
 */
#include "target.h"

#include <string.h>

#include "check.h"

static bool
leads_to(const char *url, const char *host, const char *port)
{
	HdTarget target;
	const char *problem = hd_target_find(url, &target);
	bool same = problem == NULL && strcmp(target.host, host) == 0 && strcmp(target.port, port) == 0;

	hd_target_free(&target);
	return same;
}

static bool
is_refused(const char *url)
{
	HdTarget target;
	const char *problem = hd_target_find(url, &target);

	hd_target_free(&target);
	return problem != NULL && problem != hd_target_no_memory;
}

int
main(void)
{
	static const char *const bad[] = {"",
									  "example.com",
									  "/path",
									  "//example.com/",
									  "?query",
									  "ftp://example.com/",
									  "file:///etc/passwd",
									  "http://",
									  "http://a b/",
									  "http://a:99999/",
									  "http://a:x/",
									  "http://[::1/",
									  "http://[127.0.0.1]/",
									  "http://\xef\xbc\x91.test/",
									  "http://caf\xc3\xa9.test/",
									  "http://caf\xe9.test/",
									  "http://a\r\nb/",
									  "http://a%7fb/",
									  "http://a%0d%0ab/",
									  "http://a%00b/",
									  "http://a,b/",
									  "http://a*b/"};

	CHECK(leads_to("http://example.com", "example.com", "80"), "a host alone");
	CHECK(leads_to("https://example.com/a?b#c", "example.com", "443"), "https has its port");
	CHECK(leads_to("http://u:p@example.com:8080/", "example.com", "8080"), "a user is no host");
	CHECK(leads_to("http://example.com#@127.0.0.1/", "example.com", "80"), "nor is a fragment");
	CHECK(leads_to("http://2130706433/", "127.0.0.1", "80"), "a number is an address");
	CHECK(leads_to("http://[::1]:81/", "[::1]", "81"), "an IPv6 address keeps its brackets");
	CHECK(leads_to("http://xn--caf-dma.test/", "xn--caf-dma.test", "80"), "xn-- is a name");
	CHECK(leads_to("http://example.com/caf\xc3\xa9", "example.com", "80"), "a path may be UTF-8");
	for (size_t i = 0; i < HD_COUNT(bad); i++)
		CHECK(is_refused(bad[i]), "bad URL %zu is refused", i + 1);

	/* What came before does not count. */
	CHECK(leads_to("http://one.test:81/a/b", "one.test", "81"), "one URL");
	CHECK(is_refused("c/d"), "is no base of the next");
	CHECK(is_refused("//two.test/"), "in no way");
	return check_end();
}
