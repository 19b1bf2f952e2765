/*
 * url.c
 *	  Where a URL leads: what is accepted has a host and a port that a delivery can use.
 */
#include "fuzz.h"

#include "target.h"

const char *const fuzz_seeds[] = {"http://example.com/path?query#fragment",
								  "https://user:password@[2001:db8::1%25eth0]:8443/a/../b",
								  "http://2130706433:80/",
								  "http://0x7f.1",
								  "http://xn--caf-dma.test",
								  "http://\xef\xbc\x91\xef\xbc\x92.test:1",
								  "file:///etc/passwd",
								  NULL};
const char *const fuzz_words[] = {"http://", "https://", "@", "[",	"]",	":",	   "//",
								  "%00",	 "%2e",		 "?", "#",	"\\",	"::ffff:", "127.0.0.1",
								  "0x",		 "%25",		 "0", "..", "xn--", "65536",   "%0d%0a",
								  "file:",	 "\xc3\xa9", " ", NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = fuzz_text(data, size);
	HdTarget target;

	if (hd_target_find(url, &target) == NULL)
	{
		unsigned long port = strtoul(target.port, NULL, 10);

		FUZZ_CHECK(target.host[0] != '\0' && port <= 65535);
		for (const char *c = target.host; *c != '\0'; c++)
			FUZZ_CHECK((unsigned char) *c > ' ' && (unsigned char) *c < 0x7f && *c != '/' &&
					   *c != '@' && *c != ',');
		(void) !hd_target_is_address(&target);
	}
	hd_target_free(&target);
	free(url);
	return 0;
}
