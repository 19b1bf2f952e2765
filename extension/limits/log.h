/*-------------------------------------------------------------------------
 * log.h
 *		The exact sliding log: never more than count in any window.
 *
 * Model: the time of each unit granted is kept for one period.  A unit
 * granted at t counts at now while t > now - period, so of any half-open
 * window [a, a + period) at most count units were granted, wherever it
 * begins, and whatever fits is granted.
 *
 * Units granted in the same microsecond are one run: a time and a number in
 * 64 bits.  The newest run stands in the log itself, older ones in chunks
 * from a pool, oldest first.  A worker that claims hundreds of jobs at a time
 * so needs no chunk at all, and neither does the first request of a client.
 *
 * When the pool is empty, the newest run takes the new units in and moves to
 * the new time.  That costs precision, never the limit: some units count
 * longer than they should.
 *
 * Time: microseconds since 2000, up to 2142.  It must not go back from one
 * call to the next: what was forgotten at a later time is gone.
 *
 * Locking: a log belongs to its caller, who excludes others.  The pool is
 * shared by all logs and lock-free.
 *
 * Caveats: uses nothing of the server but its atomics' inline functions, so
 * that the unit tests link it alone.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_LOG_H
#define HD_LIMITS_LOG_H

#include "postgres.h"

#include "port/atomics.h"

/* Most units in a window: what a run's number can hold. */
#define HD_LOG_MAX_COUNT 1000

/* Bound of instants and of periods: nanoseconds of the sum of two still fit. */
#define HD_LOG_MAX_US (INT64CONST(1) << 52)

#define HD_LOG_CHUNK_RUNS 7
#define HD_LOG_NO_CHUNK (-1)

/* Cache line of runs.  Owned by one log; next also links free chunks. */
typedef struct HdLogChunk
{
	uint64 runs[HD_LOG_CHUNK_RUNS];
	int32 next;	  /* chunk with younger runs, or the next free one */
	uint16 first; /* runs[first] to runs[end - 1] are in use */
	uint16 end;
} HdLogChunk;

/* Where chunks come from. */
typedef struct HdLogPool
{
	pg_atomic_uint64 free; /* first free chunk, and how often it changed, see log.c */
	uint64 size;
	HdLogChunk *chunks;
} HdLogPool;

typedef struct HdLog
{
	uint64 newest; /* run; 0: nothing was granted within the period */
	int32 head;	   /* chunk with the oldest runs, HD_LOG_NO_CHUNK: no more than the newest */
	int32 tail;	   /* chunk with the youngest of the others */
	int32 used;	   /* units in all runs */
} HdLog;

/*
 * hd_limits_log_pool_init
 *		Put size chunks, at most a billion, into the pool.
 */
extern void hd_limits_log_pool_init(HdLogPool *pool, HdLogChunk *chunks, uint64 size);

/*
 * hd_limits_log_init / hd_limits_log_reset
 *		An empty log.  The first for memory that holds none yet, the second
 *		gives the chunks back.
 */
extern void hd_limits_log_init(HdLog *log);
extern void hd_limits_log_reset(HdLogPool *pool, HdLog *log);

/*
 * hd_limits_log_prune
 *		Forget what counts no longer at now.  Everything below wants that done
 *		before, with the same now.
 */
extern void hd_limits_log_prune(HdLogPool *pool, HdLog *log, int64 period, int64 now);

/*
 * hd_limits_log_take
 *		Take want units, 0 to HD_LOG_MAX_COUNT; where that is too many: none if
 *		whole, else as many as fit.  Returns how many were taken.
 *
 * coarse: set when the pool was empty and precision was lost.
 */
extern int64 hd_limits_log_take(HdLogPool *pool, HdLog *log, int32 count, int64 want, bool whole,
								int64 now, bool *coarse);

/*
 * hd_limits_log_fits_at
 *		The earliest instant, now or later, at which n units, at most count,
 *		fit if nobody takes any before.
 */
extern int64 hd_limits_log_fits_at(const HdLogPool *pool, const HdLog *log, int32 count,
								   int64 period, int64 n, int64 now);

/*
 * hd_limits_log_refund
 *		Give back n units that were taken at an instant; returns how many of
 *		them still counted.
 */
extern int64 hd_limits_log_refund(const HdLogPool *pool, HdLog *log, int64 period, int64 n,
								  int64 taken_at, int64 now);

/*
 * hd_limits_log_refund_newest
 *		Give back the n units that were taken last; returns how many there were.
 */
extern int64 hd_limits_log_refund_newest(const HdLogPool *pool, HdLog *log, int64 n);

/*
 * hd_limits_log_newest
 *		When the newest run was granted; only of a log that is not empty.
 */
extern int64 hd_limits_log_newest(const HdLog *log);

/*
 * hd_limits_log_copy
 *		Copy the runs that count, oldest first, and the newest in any case; returns
 *		how many, or -1 when there are more than most or the chunks make no sense.
 */
extern int hd_limits_log_copy(const HdLogPool *pool, const HdLog *log, uint64 *runs, int most);

/*
 * hd_limits_log_append
 *		Add a run that is newer than all that the log has, as it was copied.
 */
extern void hd_limits_log_append(HdLogPool *pool, HdLog *log, uint64 run);

/*
 * hd_limits_log_run_at / hd_limits_log_run_units / hd_limits_log_is_sane
 *		When a run was granted, and how many units; whether n runs can be those of a
 *		log with so many.
 */
extern int64 hd_limits_log_run_at(uint64 run);
extern int64 hd_limits_log_run_units(uint64 run);
extern bool hd_limits_log_is_sane(const uint64 *runs, int n, int64 units);

#endif /* HD_LIMITS_LOG_H */
