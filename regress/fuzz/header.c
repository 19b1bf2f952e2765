/*
 * header.c
 *	  Header lines, to be sent and received: no line that may be sent holds a second one, and what
 *	  is kept of a received one is printable.
 */
#include "fuzz.h"

#include "header.h"
#include "utf8.h"

const char *const fuzz_seeds[] = {"Retry-After: 120",
								  "X-A:\tb",
								  "Content-Length: 3",
								  "webhook-signature: v1,abc v1,def",
								  "POST",
								  "Date : x",
								  "X: caf\xc3\xa9 \xe9",
								  NULL};
const char *const fuzz_words[] = {":",
								  "\r\n",
								  "\n",
								  "\t",
								  " ",
								  "Transfer-Encoding",
								  "Connection",
								  "CONNECT",
								  "\xc3\xa9",
								  "\xed\xa0\x80",
								  "\xf4\x90\x80\x80",
								  "Retry-After",
								  "\x7f",
								  NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	const char *line = (const char *) data;
	char kept[32];
	char *utf8;
	size_t at = hd_header_value(line, size);

	FUZZ_CHECK(at <= size);
	if (hd_header_problem(line, size) == NULL)
		FUZZ_CHECK(memchr(line, '\r', size) == NULL && memchr(line, '\n', size) == NULL &&
				   memchr(line, '\0', size) == NULL && memchr(line, ':', size) != NULL &&
				   !hd_header_is(line, size, "content-length"));
	hd_header_clean(line + at, size - at, kept, sizeof(kept));
	for (const char *c = kept; *c != '\0'; c++)
		FUZZ_CHECK(*c >= ' ' && *c < 0x7f);
	if (hd_method_valid(text))
		FUZZ_CHECK(strcmp(text, "CONNECT") != 0 && strcspn(text, " \r\n") == strlen(text));
	utf8 = hd_utf8_from_header(text);
	FUZZ_CHECK(utf8 != NULL && hd_utf8_valid(utf8) && strlen(utf8) >= strlen(text));
	free(utf8);
	free(text);
	return 0;
}
