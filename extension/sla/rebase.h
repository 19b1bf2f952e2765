/*-------------------------------------------------------------------------
 * rebase.h
 *		Clocks whose calendar has changed.
 *
 * Model: business time is counted from a calendar's epoch (calendars.h).  A
 * change of what is to come keeps the epoch, and no clock has to be touched
 * but those that begin later than the change.  A change of the past begins a
 * new one: clocks go on in the old epoch until they are computed anew in the
 * new one, the first by calendar_set itself, the rest by the tick.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_REBASE_H
#define HD_SLA_REBASE_H

#include "postgres.h"

/*
 * hd_sla_rebase_tick
 *		Move a batch of clocks of old epochs, in the current transaction.  True when
 *		there may be more.
 */
extern bool hd_sla_rebase_tick(void);

#endif /* HD_SLA_REBASE_H */
