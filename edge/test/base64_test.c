/*
 * base64_test.c
 *	  The vectors of RFC 4648, and bytes above 127.
 */
#include "base64.h"

#include <string.h>

#include "check.h"

int
main(void)
{
	static const char *const cases[][2] = {{"", ""},
										   {"f", "Zg=="},
										   {"fo", "Zm8="},
										   {"foo", "Zm9v"},
										   {"foob", "Zm9vYg=="},
										   {"fooba", "Zm9vYmE="},
										   {"foobar", "Zm9vYmFy"},
										   {"\xff\xfe\xfd", "//79"}};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
	{
		char text[16];
		size_t length = strlen(cases[i][0]);

		hd_base64_encode((const unsigned char *) cases[i][0], length, text);
		CHECK(strcmp(text, cases[i][1]) == 0 && strlen(text) + 1 == HD_BASE64_SIZE(length),
			  "base64 of %zu bytes (RFC 4648 §10)", length);
	}
	return check_end();
}
