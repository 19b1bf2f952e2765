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

static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return -1;
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
