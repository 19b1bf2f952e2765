/*-------------------------------------------------------------------------
 * network.h
 *		Internet addresses and networks (CIDR), read without a catalogue.
 *
 * Pure C: nothing here allocates, raises or asks the server.
 *-------------------------------------------------------------------------
 */
#ifndef HD_NETWORK_H
#define HD_NETWORK_H

#include "postgres.h"

#define HD_ADDRESS_BYTES 16

/* An address of IPv4 that is written in IPv6 (::ffff:a.b.c.d) is one of IPv4. */
typedef struct HdAddress
{
	int8 length; /* bytes: 4 or 16 */
	uint8 bytes[HD_ADDRESS_BYTES];
} HdAddress;

typedef struct HdNetwork
{
	HdAddress address;
	uint8 bits; /* of it that count */
} HdNetwork;

/*
 * hd_address_parse
 *		Read an address; false where it is none.
 *
 * Strict: four decimal numbers without leading zeros, or RFC 4291 with "::"
 * and a tail of IPv4; no zone, no port, no brackets, no spaces.
 */
extern bool hd_address_parse(const char *text, int length, HdAddress *address);

/*
 * hd_address_from_bytes
 *		An address of 4 or 16 bytes in network order.
 */
extern void hd_address_from_bytes(const uint8 *bytes, int length, HdAddress *address);

/*
 * hd_network_parse
 *		Read a network, address "/" bits; an address alone is a network of one.
 *		Bits of the host are allowed and count for nothing.
 */
extern bool hd_network_parse(const char *text, int length, HdNetwork *network);

/*
 * hd_network_contains
 *		Whether an address is in a network.
 */
extern bool hd_network_contains(const HdNetwork *network, const HdAddress *address);

#endif /* HD_NETWORK_H */
