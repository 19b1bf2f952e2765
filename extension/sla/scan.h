/*-------------------------------------------------------------------------
 * scan.h
 *		Finding the steps of clocks that are due, and firing each once.
 *
 * Model: a scan takes steps in the order of due.h, writes what their clocks
 * have become, and the steps as events, in the caller's transaction; those
 * that have actions go through _sla_fire, one by one (sql/sla_actions.sql).
 * Several scans at once share the work: a clock that one of them holds, the
 * others pass over.
 *
 * Once: the clock's row is locked from when its step is found, and says which
 * step is next; whoever has the lock next finds that changed.  Where the state
 * of a clock was computed anew, and a step comes a second time, the unique
 * index of _sla_event says so.
 *
 * Who scans: the worker, from one instant to the next (hd_sla_scan_notice);
 * pg_cron by CALL hotdash._tick() each minute, and CALL
 * hotdash._sla_scan_tick() each few seconds where it can; anybody by
 * sla_scan().  What was due while nobody did is caught up by the next.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_SCAN_H
#define HD_SLA_SCAN_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * hd_sla_scan_notice
 *		This transaction leaves a clock whose next step is due at an instant.  If
 *		that is so soon that the worker may sleep over it, it is woken at commit.
 */
extern void hd_sla_scan_notice(TimestampTz due);

/*
 * hd_sla_scan_tick
 *		Fire a batch, so small that its locks are held for less than a tenth of a
 *		second; true when there may be more.
 */
extern bool hd_sla_scan_tick(void);

/*
 * hd_sla_scan_init
 *		Module entry: the tick, the worker's task.
 */
extern void hd_sla_scan_init(void);

#endif /* HD_SLA_SCAN_H */
