/*
 * conninfo.h
 *	  What a connection string leaves out, and which of its hosts is tried first.
 */
#ifndef HD_EDGE_CONNINFO_H
#define HD_EDGE_CONNINFO_H

#include "common.h"

/* Keywords and values for PQconnectStartParams(), both NULL-terminated. */
typedef struct HdConninfo
{
	char **keywords;
	char **values;
	size_t count;
} HdConninfo;

/*
 * Parses a libpq connection string and adds the edge's defaults where it says nothing:
 * target_session_attrs=read-write, TCP keepalives, tcp_user_timeout, application name.
 * The hosts are rotated by `turn`, so that a first host that accepts and then stays
 * silent does not hide the others. Release with hd_conninfo_free(), also after a failure.
 */
bool hd_conninfo_build(const char *text, unsigned turn, HdConninfo *conninfo) HD_MUSTCHECK;
void hd_conninfo_free(HdConninfo *conninfo);

/* Is the text a connection string at all? Says nothing about why not: it may hold a password. */
bool hd_conninfo_valid(const char *text) HD_MUSTCHECK;

/* Rotates a comma-separated list to the left; malloc'ed; NULL when memory is short. */
char *hd_conninfo_rotate(const char *list, unsigned turn) HD_MUSTCHECK;

#endif
