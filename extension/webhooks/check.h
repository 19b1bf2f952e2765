/*-------------------------------------------------------------------------
 * check.h
 *		What an endpoint and an event may look like.
 *
 * Every function whose name has "bad" in it returns what is wrong, as the
 * end of a sentence, or NULL when nothing is.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_CHECK_H
#define HD_WEBHOOKS_CHECK_H

#include "postgres.h"

#define HD_WEBHOOKS_EVENT_TYPE_MAX 128

extern const char *hd_webhooks_bad_url(const char *url, int length);
extern const char *hd_webhooks_bad_authority(const char *authority, int length);
extern const char *hd_webhooks_bad_header_name(const char *name, int length);
extern const char *hd_webhooks_bad_header_value(const char *value, int length);

/*
 * hd_webhooks_event_type_valid
 *		Letters, digits, dot, underscore and dash; 1 to 128 of them.
 */
extern bool hd_webhooks_event_type_valid(const char *type, int length);

#endif /* HD_WEBHOOKS_CHECK_H */
