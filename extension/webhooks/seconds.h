/*-------------------------------------------------------------------------
 * seconds.h
 *		Unix time in whole seconds, as headers carry it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_SECONDS_H
#define HD_WEBHOOKS_SECONDS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define HD_WEBHOOKS_SECONDS_SIZE 24

#define HD_WEBHOOKS_EPOCH_OFFSET ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* Whole seconds since 1970, rounded down. */
static inline int64
hd_webhooks_unix_seconds(TimestampTz at)
{
	int64 seconds = at / USECS_PER_SEC;

	if (at % USECS_PER_SEC < 0)
		seconds--;
	return seconds + HD_WEBHOOKS_EPOCH_OFFSET;
}

/* buf: HD_WEBHOOKS_SECONDS_SIZE bytes. */
static inline void
hd_webhooks_format_seconds(int64 seconds, char *buf)
{
	snprintf(buf, HD_WEBHOOKS_SECONDS_SIZE, INT64_FORMAT, seconds);
}

#endif /* HD_WEBHOOKS_SECONDS_H */
