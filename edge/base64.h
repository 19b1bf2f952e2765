/*
 * base64.h
 *	  Standard base64 with padding (RFC 4648 §4), encoding only.
 */
#ifndef HD_EDGE_BASE64_H
#define HD_EDGE_BASE64_H

#include "common.h"

/* Bytes that hd_base64_encode() writes for `length` bytes, terminator included. */
#define HD_BASE64_SIZE(length) (((length) + 2) / 3 * 4 + 1)

/* Encodes into text, which holds HD_BASE64_SIZE(length) bytes. */
void hd_base64_encode(const unsigned char *data, size_t length, char *text);

#endif
