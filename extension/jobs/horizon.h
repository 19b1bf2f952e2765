/*-------------------------------------------------------------------------
 * horizon.h
 *		How long leases may be out that nobody remembers.
 *
 * Model: concurrency and order keys count leases, which the ledger keeps
 * over a crash of processes.  With the machine, or on a standby that is
 * promoted, the ledger may be lost, and workers may still be at jobs that
 * look ready.  So claims of jobs that are limited keep a horizon in a logged
 * table, beyond which no lease ends; where the ledger was lost, limited jobs
 * wait until it has passed.  Others are claimed at once.
 *
 * A claim writes only when its lease ends later than what was written, with
 * a minute to spare: about once a minute.
 *
 * Locking: the list's lock, taken here.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_HORIZON_H
#define HD_JOBS_HORIZON_H

#include "jobs/list.h"

/*
 * hd_jobs_horizon_load
 *		After a start, read how long limited jobs have to wait.  Runs SPI inside
 *		the caller's hd_spi_begin.
 */
extern void hd_jobs_horizon_load(int32 db);

/*
 * hd_jobs_horizon_cover
 *		A limited job's lease ends at expires, which must be written down.
 */
extern void hd_jobs_horizon_cover(int32 db, TimestampTz expires);

/*
 * hd_jobs_horizon_check
 *		Let limited jobs go on when the horizon has passed.
 */
extern void hd_jobs_horizon_check(int32 db, TimestampTz now);

/*
 * hd_jobs_horizon_prune
 *		Forget horizons that have passed.  For the tick.
 */
extern void hd_jobs_horizon_prune(void);

#endif /* HD_JOBS_HORIZON_H */
