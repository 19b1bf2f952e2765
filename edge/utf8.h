/*
 * utf8.h
 *	  Text of unknown encoding made valid UTF-8. Pure functions.
 */
#ifndef HD_EDGE_UTF8_H
#define HD_EDGE_UTF8_H

#include "common.h"

/* Is it UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF? */
bool hd_utf8_valid(const char *text) HD_MUSTCHECK;

/*
 * A header's value as text that the database takes: as it stands when that is UTF-8, else
 * read as Latin-1, which is what the field's grammar once said. free() it; NULL when
 * memory is short.
 */
char *hd_utf8_from_header(const char *value) HD_MUSTCHECK;

#endif
