/*-------------------------------------------------------------------------
 * base64.c
 *		Base64 as signatures and secrets use it: RFC 4648, standard alphabet.
 *
 * Model: pure functions over bytes.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
hd_webhooks_base64_encode(const uint8 *src, int length, char *dst)
{
	char *p = dst;

	for (int i = 0; i < length; i += 3)
	{
		int left = length - i;
		uint32 group = (uint32) src[i] << 16;

		if (left > 1)
			group |= (uint32) src[i + 1] << 8;
		if (left > 2)
			group |= src[i + 2];
		*p++ = alphabet[group >> 18];
		*p++ = alphabet[(group >> 12) & 0x3f];
		*p++ = left > 1 ? alphabet[(group >> 6) & 0x3f] : '=';
		*p++ = left > 2 ? alphabet[group & 0x3f] : '=';
	}
	return p - dst;
}

/* By character, those of ASCII; -1: not in the alphabet. */
/* clang-format off */
static const int8 digits_of[128] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1, -1, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
	-1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
	-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};
/* clang-format on */

static int
digit_value(char c)
{
	return (unsigned char) c < lengthof(digits_of) ? digits_of[(unsigned char) c] : -1;
}

int
hd_webhooks_base64_decode(const char *src, int length, uint8 *dst)
{
	uint32 group = 0;
	int digits = length;
	int out = 0;

	while (digits > 0 && src[digits - 1] == '=')
		digits--;
	if (digits % 4 == 1 || (digits < length && (length % 4 != 0 || length - digits > 2)))
		return -1;

	for (int i = 0; i < digits; i++)
	{
		int value = digit_value(src[i]);

		if (value < 0)
			return -1;
		group = (group << 6) | value;
		if (i % 4 == 3)
		{
			dst[out++] = group >> 16;
			dst[out++] = group >> 8;
			dst[out++] = group;
			group = 0;
		}
	}

	if (digits % 4 == 2)
	{
		if ((group & 0x0f) != 0)
			return -1;
		dst[out++] = group >> 4;
	}
	else if (digits % 4 == 3)
	{
		if ((group & 0x03) != 0)
			return -1;
		dst[out++] = group >> 10;
		dst[out++] = group >> 2;
	}
	return out;
}
