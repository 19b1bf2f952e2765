/*-------------------------------------------------------------------------
 * webhooks.h
 *		Webhooks: endpoints, messages, deliveries.
 *-------------------------------------------------------------------------
 */
#ifndef HD_WEBHOOKS_H
#define HD_WEBHOOKS_H

#include "postgres.h"

/* hotdash.webhook_max_payload: largest body that may be published, in kB. */
extern int hd_webhooks_max_payload;

/* hotdash.webhook_retry_after_max: longest wait that a receiver may ask for, in seconds. */
extern int hd_webhooks_retry_after_max;

/*
 * hd_webhooks_init
 *		Module entry: define the settings.  Called once from _PG_init.
 */
extern void hd_webhooks_init(void);

#endif /* HD_WEBHOOKS_H */
