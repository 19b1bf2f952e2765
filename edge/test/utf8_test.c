/*
 * utf8_test.c
 *	  Header values made text that a database takes.
 */
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static bool
becomes(const char *value, const char *expected)
{
	char *text = hd_utf8_from_header(value);
	bool same = text != NULL && strcmp(text, expected) == 0;

	free(text);
	return same;
}

int
main(void)
{
	static const char *const good[] = {"",
									   "plain",
									   "\xc2\x80",
									   "\xdf\xbf",
									   "\xe0\xa0\x80",
									   "\xed\x9f\xbf",
									   "\xee\x80\x80",
									   "\xef\xbf\xbf",
									   "\xf0\x90\x80\x80",
									   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] =
		{"\x80",		 "\xc0\x80",		 "\xc1\xbf",		 "\xc2",
		 "\xe0\x9f\xbf", "\xe0\xa0",		 "\xed\xa0\x80",	 "\xf0\x8f\xbf\xbf",
		 "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"};

	for (size_t i = 0; i < HD_COUNT(good); i++)
		CHECK(hd_utf8_valid(good[i]) && becomes(good[i], good[i]), "good text %zu stays", i + 1);
	for (size_t i = 0; i < HD_COUNT(bad); i++)
	{
		char *text = hd_utf8_from_header(bad[i]);

		CHECK(!hd_utf8_valid(bad[i]) && text != NULL && hd_utf8_valid(text),
			  "bad text %zu is made good", i + 1);
		free(text);
	}
	CHECK(becomes("caf\xe9", "caf\xc3\xa9"), "Latin-1 is read as such");
	CHECK(becomes("\xff\x80", "\xc3\xbf\xc2\x80"), "to both its ends");
	return check_end();
}
