/*-------------------------------------------------------------------------
 * client.h
 *		The key of a client by its address on the network.
 *
 * Model: each proxy puts the address that called it at the end of
 * X-Forwarded-For.  What trusted proxies put there is true; all to the left of
 * it came with the request and may be anything.  So behind n trusted proxies
 * the client is the n-th address from the right, or the first one where there
 * are fewer.
 *
 * An address of IPv4 is a key as it is written usually.  Of IPv6 its network of
 * 64 bits is, which is what one customer gets: who has one can use 2^64
 * addresses.  What stands in the client's place and is no address gives
 * the one key "unknown", so that nobody can make keys at will.
 *
 * Caveats: only the last 4 kB are looked at, whatever the length, and nothing
 * is allocated.  Pure C, so that the fuzzer needs no server.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_CLIENT_H
#define HD_LIMITS_CLIENT_H

#include "postgres.h"

#include "core/network.h"

/* Bytes of a key with its terminator. */
#define HD_CLIENT_KEY_SIZE 32

/*
 * hd_limits_client_key
 *		The key that a header names for so many trusted proxies, at least one; an
 *		empty one where the header is empty.
 */
extern void hd_limits_client_key(const char *header, int length, int hops, char *key);

/*
 * hd_limits_client_address
 *		The key of an address.
 */
extern void hd_limits_client_address(const HdAddress *address, char *key);

#endif /* HD_LIMITS_CLIENT_H */
