/*-------------------------------------------------------------------------
 * alerts.h
 *		Alerts: raised once, cleared once.
 *
 * Model: in sql/ops_alerts.sql.
 *-------------------------------------------------------------------------
 */
#ifndef HD_OPS_ALERTS_H
#define HD_OPS_ALERTS_H

#include "postgres.h"

/*
 * hd_ops_alerts_tick
 *		Apply signals that were left, end silences, check the depth of queues,
 *		forget old alerts; in the current transaction.  True when there may be
 *		more to do at once.
 */
extern bool hd_ops_alerts_tick(void);

#endif /* HD_OPS_ALERTS_H */
