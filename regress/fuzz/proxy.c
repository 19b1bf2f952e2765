/*
 * proxy.c
 *	  A proxy's URL, and a list of hosts that go without it: what is accepted can be connected to.
 */
#include "fuzz.h"

#include "proxy.h"

const char *const fuzz_seeds[] = {"http://user:password@proxy.example:3128",
								  "socks5h://[2001:db8::1]:1080/", "http://a%40b:%25@10.0.0.1:8080",
								  ".example.com, localhost,10.0.0.0/8 ::1", NULL};
const char *const fuzz_words[] = {"http://", "socks5h://", "@", ":", "[", "]", "%00", "%",
								  "/",		 "65536",	   ",", ".", " ", "0", NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	HdProxy proxy;

	if (hd_proxy_parse(text, &proxy) == NULL && proxy.kind != HD_PROXY_NONE)
	{
		FUZZ_CHECK(proxy.host[0] != '\0' && proxy.port > 0);
		FUZZ_CHECK(proxy.login[0] == '\0' ||
				   (proxy.login[0] != ':' && strchr(proxy.login, ':') != NULL));
		for (const char *c = proxy.host; *c != '\0'; c++)
			FUZZ_CHECK((unsigned char) *c > ' ' && (unsigned char) *c < 0x7f && *c != '/' &&
					   *c != '@' && *c != ',' && *c != '[' && *c != ']');
		(void) !hd_proxy_bypassed(text, proxy.host);
	}
	FUZZ_CHECK(!hd_proxy_bypassed("", text));
	(void) !hd_proxy_bypassed(text, "[::1]");
	(void) !hd_proxy_bypassed(text, "10.0.0.1");
	(void) !hd_proxy_bypassed(text, "a.example.com.");
	free(text);
	return 0;
}
