/*-------------------------------------------------------------------------
 * retry_after.h
 *		The Retry-After header of an answer.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_RETRY_AFTER_H
#define HD_WEBHOOKS_RETRY_AFTER_H

#include "postgres.h"

/*
 * hd_webhooks_parse_http_date
 *		Unix seconds of an HTTP-date in any of its three forms.
 *
 * now: Unix seconds, for the century of a two-digit year.
 */
extern bool hd_webhooks_parse_http_date(const char *text, int length, int64 now, int64 *seconds);

/*
 * hd_webhooks_parse_delay
 *		Whole seconds of a Retry-After that is a number; a fraction counts as
 *		a second.  Above INT32_MAX stays at INT32_MAX.
 */
extern bool hd_webhooks_parse_delay(const char *text, int length, int64 *seconds);

#endif /* HD_WEBHOOKS_RETRY_AFTER_H */
