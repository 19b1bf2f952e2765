/*
 * address.h
 *	  Which addresses a delivery may connect to (the SSRF guard's rules).
 *
 * The rules look at the address that is about to be connected to, never at the
 * spelling in a URL, so "2130706433", "0x7f.1", a mapped IPv6 form or a name that
 * resolves to something new each time make no difference. Pure: no state but the list.
 */
#ifndef HD_EDGE_ADDRESS_H
#define HD_EDGE_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "common.h"

/* Fits any numeric address with a terminator. */
#define HD_ADDRESS_TEXT INET6_ADDRSTRLEN

typedef enum HdAddressKind
{
	HD_ADDRESS_PUBLIC,	 /* may always be connected to */
	HD_ADDRESS_PRIVATE,	 /* loopback, private, shared (CGNAT), unique local */
	HD_ADDRESS_FORBIDDEN /* metadata, link-local, multicast, reserved, tunnels */
} HdAddressKind;

/* A network of either family; IPv4 stands in its mapped form (::ffff:0:0/96). */
typedef struct HdNetwork
{
	unsigned char bytes[16];
	unsigned bits;
} HdNetwork;

typedef struct HdNetworkList
{
	HdNetwork *networks;
	size_t count;
} HdNetworkList;

/* Numeric text in its canonical form only ("127.0.0.1", "::1"); false for anything else. */
bool hd_address_parse(const char *text, struct sockaddr_storage *address) HD_MUSTCHECK;

/* The same with a port: "127.0.0.1:80", "[::1]:80"; a port alone is on 127.0.0.1. 0 is a port. */
bool hd_address_parse_place(const char *text, struct sockaddr_storage *address) HD_MUSTCHECK;

HdAddressKind hd_address_kind(const struct sockaddr *address) HD_MUSTCHECK;

bool hd_network_list_has(const HdNetworkList *list, const struct sockaddr *address) HD_MUSTCHECK;

/*
 * May a delivery connect there? `allowed` wins over every rule; private_ok opens
 * HD_ADDRESS_PRIVATE and nothing else.
 */
bool hd_address_permitted(const struct sockaddr *address, const HdNetworkList *allowed,
						  bool private_ok) HD_MUSTCHECK;

/*
 * Parses "10.0.0.0/8, ::1/128, 192.0.2.7" into a list to be released with
 * hd_network_list_free(). On failure *wrong points at the item at fault (NULL: out of memory).
 */
bool hd_network_list_parse(const char *text, HdNetworkList *list, const char **wrong) HD_MUSTCHECK;
void hd_network_list_free(HdNetworkList *list);

#endif
