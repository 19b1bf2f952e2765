/*-------------------------------------------------------------------------
 * counts.h
 *		How many clocks there are, by what became of them and when.
 *
 * Purpose: views and reports over any window must be cheap at any number of
 * clocks, and exact.
 *
 * Model: a row of _sla_clock counts in a few places: for its policy, metric,
 * tenant and priority, in the quarter of an hour in which it began, passed
 * its due point or ended.  Whatever is written to _sla_clock, by whomever, a
 * row trigger compares what the row counted as before with what it counts as
 * now.  The differences are summed up per place until the end of the
 * statement, and then go into _sla_delta, a table without an index to which
 * everybody appends: there is no row for which two writers would have to
 * wait.  The tick folds these deltas into _sla_tally.  A reader adds up both
 * tables; since a delta is written in the transaction that writes the clock,
 * and folded in one, the sum is exact in every snapshot.
 *
 * Rows that retention deletes have been counted, and stay so: their counts
 * are marked as of clocks that are gone.  Only those are dumped: the others
 * are counted by the trigger when the rows of _sla_clock are restored.
 *
 * Locking: one folds at a time, whoever comes meanwhile leaves it be; an
 * advisory lock of the transaction, never waited for.
 *
 * Caveats: who disables triggers is not noticed; _sla_recount() puts it
 * right.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_COUNTS_H
#define HD_SLA_COUNTS_H

#include "postgres.h"

/*
 * hd_sla_counts_define
 *		Define the settings and the callbacks.  Called from the module's init.
 */
extern void hd_sla_counts_define(void);

/*
 * hd_sla_counts_tick
 *		Delete a batch of clocks that have been kept long enough, and fold a batch
 *		of deltas, in the current transaction; true when there may be more.
 */
extern bool hd_sla_counts_tick(void);

#endif /* HD_SLA_COUNTS_H */
