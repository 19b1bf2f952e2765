/*-------------------------------------------------------------------------
 * sla.h
 *		SLA clocks, as the library's entry sees them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_H
#define HD_SLA_H

#include "postgres.h"

/*
 * hd_sla_init
 *		Module entry: settings, the tick, the worker's task.
 */
extern void hd_sla_init(void);

#endif /* HD_SLA_H */
