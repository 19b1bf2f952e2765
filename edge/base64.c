/*
 * base64.c
 *	  Standard base64 with padding (RFC 4648 §4), encoding only.
 */
#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
hd_base64_encode(const unsigned char *data, size_t length, char *text)
{
	for (size_t i = 0; i < length; i += 3)
	{
		size_t left = length - i;
		uint32_t group = (uint32_t) data[i] << 16;

		if (left > 1)
			group |= (uint32_t) data[i + 1] << 8;
		if (left > 2)
			group |= data[i + 2];
		*text++ = alphabet[group >> 18];
		*text++ = alphabet[(group >> 12) & 63];
		*text++ = left > 1 ? alphabet[(group >> 6) & 63] : '=';
		*text++ = left > 2 ? alphabet[group & 63] : '=';
	}
	*text = '\0';
}
