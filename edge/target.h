/*
 * target.h
 *	  Where a URL leads: its host and port, as libcurl will see them. Pure but for memory.
 *
 * The parser is libcurl's own, so that there are no two opinions of a URL. It decides
 * whose name is looked up; whether a delivery may go there is judged by the address.
 */
#ifndef HD_EDGE_TARGET_H
#define HD_EDGE_TARGET_H

#include <curl/curl.h>

#include "common.h"

typedef struct HdTarget
{
	char *host; /* owned by libcurl; an IPv6 address stands in brackets */
	char *port; /* the same */
} HdTarget;

/* What hd_target_find() says when the fault is ours; compare the pointer. */
extern const char hd_target_no_memory[];

/*
 * Returns what is wrong with the URL, or NULL. The target is released with hd_target_free(),
 * also after a failure.
 */
const char *hd_target_find(const char *url, HdTarget *target) HD_MUSTCHECK;
void hd_target_free(HdTarget *target);

/* Is the host an address already, so that there is no name to look up? */
bool hd_target_is_address(const HdTarget *target) HD_MUSTCHECK;

#endif
