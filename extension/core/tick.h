/*-------------------------------------------------------------------------
 * tick.h
 *		Periodic work of the modules, as CALL hotdash._tick() does it.
 *
 * Model: a module registers a function that does what is due, in the
 * current transaction.  Where a background worker runs, a task of the module
 * (worker.h) calls the same function each second, by hd_tick_task; pg_cron
 * calls the procedure each minute.  Both at once must do no harm.  Nothing is
 * due where the extension is not installed, or in a copy (instance.h).
 *-------------------------------------------------------------------------
 */
#ifndef HD_TICK_H
#define HD_TICK_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Do what is due; true when there may be more to do at once. */
typedef bool (*HdTick)(void);

/*
 * hd_tick_register
 *		Add to what the procedure does.  Only from a module's init function.
 */
extern void hd_tick_register(HdTick tick);

/*
 * hd_tick_call
 *		Run what was registered, committing after each step unless atomic.  The
 *		caller has connected to SPI.
 * hd_tick_repeat
 *		The same of one alone.
 */
extern void hd_tick_call(bool atomic);
extern void hd_tick_repeat(HdTick tick, bool atomic);

/*
 * hd_tick_task
 *		The body of a worker's task: one call, in a transaction of its own.
 *		Returns when the next is wanted.
 */
extern TimestampTz hd_tick_task(HdTick tick);

/*
 * hd_tick_is_time
 *		Whether something that is done every so often is due again; notes that it
 *		is done.  A clock that goes back makes it due.
 */
extern bool hd_tick_is_time(TimestampTz *done_at, int64 every_us);

#endif /* HD_TICK_H */
