/*
 * utf8.c
 *	  Text of unknown encoding made valid UTF-8. Pure functions.
 */
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static bool
is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes of the character at c, 0 when it is none; a terminator ends it like any wrong byte. */
static size_t
character_length(const unsigned char *c)
{
	if (c[0] < 0x80)
		return 1;
	if (c[0] >= 0xc2 && c[0] <= 0xdf)
		return is_continuation(c[1]) ? 2 : 0;
	if (c[0] >= 0xe0 && c[0] <= 0xef)
	{
		bool wrong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f);

		return !wrong && is_continuation(c[1]) && is_continuation(c[2]) ? 3 : 0;
	}
	if (c[0] >= 0xf0 && c[0] <= 0xf4)
	{
		bool wrong = (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f);

		return !wrong && is_continuation(c[1]) && is_continuation(c[2]) && is_continuation(c[3])
				   ? 4
				   : 0;
	}
	return 0;
}

bool
hd_utf8_valid(const char *text)
{
	const unsigned char *c = (const unsigned char *) text;

	while (*c != '\0')
	{
		size_t length = character_length(c);

		if (length == 0)
			return false;
		c += length;
	}
	return true;
}

char *
hd_utf8_from_header(const char *value)
{
	char *text;
	char *to;

	if (hd_utf8_valid(value))
		return strdup(value);
	text = malloc(strlen(value) * 2 + 1);
	if (text == NULL)
		return NULL;
	to = text;
	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c >= 0x80)
		{
			*to++ = (char) (0xc0 | c >> 6);
			c = 0x80 | (c & 0x3f);
		}
		*to++ = (char) c;
	}
	*to = '\0';
	return text;
}
