/*-------------------------------------------------------------------------
 * limits.h
 *		Rate limits, as any module uses them.
 *
 * Model: a bucket is known by a key and ruled by the policy that each call
 * brings along.  Two algorithms: GCRA, a bucket that refills steadily, and
 * the exact log, never more than count in any window of one period.  Buckets
 * live in shared memory (table.h) and belong to no transaction: what was
 * taken stays taken when it rolls back, and nobody waits for another's.
 *
 * A bucket that is called with another policy than before keeps what was
 * used, in units: 50 of 100 used are 50 of 80 used, and more than the new
 * policy's burst counts as all of it.  Between the algorithms whole units are
 * carried over, as if they were taken now; callers should not alternate.
 *
 * Time: callers pass hd_clock_now(), read when they ask.  It is not the
 * transaction's now(), and it never goes back: an earlier time than the
 * latest seen (to a millisecond) counts as that one, so that a clock set back
 * changes nothing until real time has caught up.  hotdash.test_clock_offset
 * moves it like everything else.  A session whose clock is stopped
 * (hotdash.now_override) has buckets of its own, at its own time: tests of a
 * single session need no waiting, and what they do reaches no other session.
 *
 * Locking: see table.h.  The calls on a bucket raise no errors, and may be
 * made in a transaction that is aborting; making a key may not.
 *
 * What a crash, or a restart, loses: what the policy's `keep` says.  See
 * snapshot.h and durable.h for the bounds, table.h for those that are kept nowhere.
 *
 * Caveats: all of it needs preload; without, keys cannot be made (55000).
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_LIMITS_H
#define HD_LIMITS_LIMITS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum HdLimitAlgorithm
{
	HD_LIMIT_GCRA,
	HD_LIMIT_LOG,
	HD_LIMIT_WINDOW,	 /* fixed windows, whose bounds a stored limit knows (stored.h) */
	HD_LIMIT_CONCURRENCY /* places and no buckets (places.h): no call here takes it */
} HdLimitAlgorithm;

/* What of a bucket outlives the server's memory. */
typedef enum HdLimitKeep
{
	HD_LIMIT_KEEP_NONE,
	HD_LIMIT_KEEP_SNAPSHOT, /* a file written now and then, and when the server stops */
	HD_LIMIT_KEEP_WAL		/* everything; of stored limits alone */
} HdLimitKeep;

typedef struct HdLimitPolicy
{
	HdLimitAlgorithm algorithm;
	int32 count;	 /* units per period */
	int64 period_us; /* up to a hundred years */
	int32 burst;	 /* units that fit at once; GCRA alone */
	bool strict;	 /* never forgotten while in debt; when there is no room, refused */
	HdLimitKeep keep;
} HdLimitPolicy;

/* Whose limits: names of one have nothing to do with those of another. */
typedef enum HdLimitSpace
{
	HD_LIMIT_SPACE_MODULES,
	HD_LIMIT_SPACE_STORED,
	HD_LIMIT_SPACE_PASSING /* limit_take_with */
} HdLimitSpace;

typedef struct HdLimitKey
{
	uint64 hash[2];
	bool moved; /* of a session whose clock is stopped */
} HdLimitKey;

typedef struct HdLimitAnswer
{
	bool allowed;	 /* the cost was taken, or with cost 0, one unit would fit */
	bool no_room;	 /* not allowed for want of memory, not because of the limit */
	int64 granted;	 /* units taken */
	int64 remaining; /* units that can still be taken now */
	TimestampTz
		retry_at;		 /* when the cost fits, if nobody else takes any: a microsecond before it is
						   * refused; now when it fits now; DT_NOEND when it never does */
	TimestampTz next_at; /* when one more fits, likewise */
	TimestampTz reset_at; /* when the bucket is full again */
} HdLimitAnswer;

/*
 * hd_limits_init
 *		Module entry: the setting and shared memory.
 */
extern void hd_limits_init(void);

/*
 * hd_limits_key
 *		The key of one bucket: of this database and extension, of a module's limit,
 *		of length bytes that tell its buckets apart.
 *
 * Raises 55000 without preload or extension.  The key may be kept as long as
 * the transaction.
 */
extern HdLimitKey hd_limits_key(const char *limit, const void *bytes, Size length);

/*
 * hd_limits_key_of_limit / hd_limits_key_add
 *		The same in two steps, of anybody's limit: what all its keys begin with,
 *		and the bytes.
 */
extern HdLimitKey hd_limits_key_of_limit(HdLimitSpace space, const char *limit);
extern HdLimitKey hd_limits_key_add(const HdLimitKey *limit, const void *bytes, Size length);

/*
 * hd_limits_require_policy
 *		Raise 22023 or 22003 unless a policy that came from a user makes sense.
 *		Everything below demands one that does.
 */
extern void hd_limits_require_policy(const HdLimitPolicy *policy);

/*
 * hd_limits_window_policy
 *		A policy under which no half-open window of period_us ever holds more
 *		than count grants, while at least 95 % of count can be used in each.
 *
 * The second half holds up to ten million per second; the first always.
 */
extern HdLimitPolicy hd_limits_window_policy(int32 count, int64 period_us);

/*
 * hd_limits_take
 *		Take cost units, all or nothing.  Cost 0 looks without taking.
 */
extern HdLimitAnswer hd_limits_take(const HdLimitKey *key, const HdLimitPolicy *policy, int64 cost,
									TimestampTz now);

/*
 * hd_limits_take_up_to
 *		Take as many units as fit, at most want, in one step; returns how many.
 *
 * next: the earliest time at which one more fits.
 */
extern int64 hd_limits_take_up_to(const HdLimitKey *key, const HdLimitPolicy *policy, int64 want,
								  TimestampTz now, TimestampTz *next);

/*
 * hd_limits_refund
 *		Give back n units that were taken at taken_at and not used; returns how
 *		many were given back.
 *
 * Never above full.  A log gives back what still counts of them.  A strict
 * policy under GCRA gives nothing back: a bucket cannot tell an old unit from
 * a new one, and exactness would be lost.
 */
extern int64 hd_limits_refund(const HdLimitKey *key, const HdLimitPolicy *policy, int64 n,
							  TimestampTz taken_at, TimestampTz now);

#endif /* HD_LIMITS_LIMITS_H */
