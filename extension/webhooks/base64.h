/*-------------------------------------------------------------------------
 * base64.h
 *		Base64 as signatures and secrets use it: RFC 4648, standard alphabet.
 *
 * Purpose: the server's own decoder skips white space and demands padding;
 * a secret wants the opposite of both.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_BASE64_H
#define HD_WEBHOOKS_BASE64_H

#include "postgres.h"

#define HD_BASE64_ENCODED_LENGTH(n) (((n) + 2) / 3 * 4)
#define HD_BASE64_DECODED_MAX(n) ((n) / 4 * 3 + 3)

/*
 * hd_webhooks_base64_encode
 *		Write the padded encoding of src into dst, HD_BASE64_ENCODED_LENGTH
 *		bytes without a final zero.  Returns the number of bytes written.
 */
extern int hd_webhooks_base64_encode(const uint8 *src, int length, char *dst);

/*
 * hd_webhooks_base64_decode
 *		Decode src into dst (at least HD_BASE64_DECODED_MAX bytes).
 *
 * Padding may be absent, but not wrong; unused bits must be zero, so that two
 * texts never mean the same bytes.  Returns the length, or -1.
 */
extern int hd_webhooks_base64_decode(const char *src, int length, uint8 *dst);

#endif /* HD_WEBHOOKS_BASE64_H */
