/*
 * log.h
 *	  Lines on stderr, as text or as one JSON object each.
 *
 * What may be written: ids, host and port, counts, durations, error texts of the
 * system and of libraries. Never: header values, bodies, paths or queries of a
 * URL (a path can be the secret), user names in it, a connection string.
 */
#ifndef HD_EDGE_LOG_H
#define HD_EDGE_LOG_H

#include "common.h"

typedef enum HdLogLevel
{
	HD_LOG_DEBUG,
	HD_LOG_INFO,
	HD_LOG_WARNING,
	HD_LOG_ERROR
} HdLogLevel;

typedef enum HdLogFormat
{
	HD_LOG_TEXT,
	HD_LOG_JSON
} HdLogFormat;

void hd_log_configure(HdLogLevel level, HdLogFormat format);

/* Writes one line; control characters in it are replaced. Safe before hd_log_configure(). */
void hd_log(HdLogLevel level, const char *format, ...) HD_PRINTF(2, 3);

#endif
