/*
 * header.h
 *	  Rules for the method and the header lines of a request.
 *
 * The database has checked them already; the edge checks again because a CR or LF
 * that slips through would let one tenant write another request. Pure functions.
 */
#ifndef HD_EDGE_HEADER_H
#define HD_EDGE_HEADER_H

#include "common.h"

/* A method is a token in upper case; CONNECT and TRACE are not ours to send. */
bool hd_method_valid(const char *method) HD_MUSTCHECK;

/*
 * Checks one "Name: value" line; NULL when it may be sent, else a sentence why not.
 * Lines that frame the message (Content-Length, Transfer-Encoding, …) are refused:
 * they are the sender's to write.
 */
const char *hd_header_problem(const char *line, size_t length) HD_MUSTCHECK;

/* Does the line carry this name? The name is compared without case. */
bool hd_header_is(const char *line, size_t length, const char *name) HD_MUSTCHECK;

/* Where the value begins, leading blanks skipped; line[length] when it is empty. */
size_t hd_header_value(const char *line, size_t length) HD_MUSTCHECK;

/*
 * Copies a received header value into text (size bytes), trimmed, cut when too long,
 * everything outside printable ASCII replaced, so that it is safe in JSON and in a log.
 */
void hd_header_clean(const char *value, size_t length, char *text, size_t size);

#endif
