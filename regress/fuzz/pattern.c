/*
 * pattern.c
 *	  Regular expressions of flags: translated within bounds or refused with a reason, the same each time.
 *
 * The first byte chooses the switches. What is no UTF-8 is passed over, as no text of the server is that. What
 * the server makes of a translation is tested there.
 */
#include "postgres.h"

#include "flags/pattern.h"
#include "fuzz.h"
#include "mb/pg_wchar.h"

const char *const fuzz_seeds[] = {"0^a+b*?$", "1(?i)[[:alpha:]_-]{2,5}|\\d\\.\\w", "2\\bword\\B(?:x|y)",
								  "3[^\\]\\x41-\\x{5a}]\\u00e9", "4((a{1,9}){1,9}){1,9}",
								  "7\\A.*\\z(?s-i:.)", NULL};
const char *const fuzz_words[] = {"(", ")", "[", "]", "[^", "{2,", "}", "|", "\\b", "(?i)", "(?s:",
								  "[:alpha:]", "*?", "\\x{", "\\u", "(?=", "\\1", "\\p{L}", "\\Q",
								  "{1000}", NULL};

#define SWITCHES (HD_PATTERN_IGNORE_CASE | HD_PATTERN_LINES | HD_PATTERN_DOT_ALL)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static HdPattern pattern;
	static HdPattern again;
	const char *text = (const char *) data + 1;
	const char *wrong;
	int length = (int) size - 1;
	int switches;

	if (length < 0 || pg_encoding_verifymbstr(PG_UTF8, text, length) != length)
		return 0;
	switches = data[0] & SWITCHES;
	wrong = hd_flags_pattern_translate(text, length, switches, &pattern);
	FUZZ_CHECK(wrong == hd_flags_pattern_translate(text, length, switches, &again));
	if (wrong == NULL)
	{
		FUZZ_CHECK(length <= HD_PATTERN_MAX);
		FUZZ_CHECK(pattern.length >= 0 && pattern.length <= HD_PATTERN_MAX_TRANSLATED);
		FUZZ_CHECK(again.length == pattern.length);
		FUZZ_CHECK(memcmp(again.text, pattern.text, pattern.length) == 0);
		FUZZ_CHECK(memchr(pattern.text, '\0', pattern.length) == NULL);
	}
	else
		FUZZ_CHECK(wrong[0] != '\0' && wrong[strlen(wrong) - 1] != '.');
	return 0;
}
