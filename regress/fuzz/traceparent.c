/*
 * traceparent.c
 *	  traceparent: the child of a valid one is valid, and of the same trace.
 */
#include "postgres.h"

#include "core/trace.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
								  "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more",
								  "cc-12345678901234567890123456789012-1234567890123456-01.what",
								  "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", NULL};
const char *const fuzz_words[] = {"00", "-", "ff", "0000000000000000", "A", "01-", NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	char child[HD_TRACEPARENT_LENGTH + 1];

	if (!hd_trace_valid(text, (int) size))
		return 0;
	hd_trace_child(text, child);
	FUZZ_CHECK(strlen(child) == HD_TRACEPARENT_LENGTH);
	FUZZ_CHECK(hd_trace_valid(child, HD_TRACEPARENT_LENGTH));
	FUZZ_CHECK(memcmp(child + 3, text + 3, 32) == 0 && memcmp(child + 36, text + 36, 16) != 0);
	return 0;
}
