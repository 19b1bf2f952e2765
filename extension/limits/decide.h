/*-------------------------------------------------------------------------
 * decide.h
 *		What a stored limit answers: the bucket's verdict, what the limit makes of
 *		it, and the counts of both.
 *
 * Model: a limit in shadow mode allows what its bucket refuses.  Where the
 * bucket cannot be asked, because the library was not preloaded or its set
 * has no room, hotdash.limit_on_failure or the limit's own option decides.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_DECIDE_H
#define HD_LIMITS_DECIDE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "limits/stored.h"
#include "limits/table.h"

/* What tells the buckets of a limit apart. */
typedef struct HdLimitSubject
{
	const char *bytes;
	int length;
} HdLimitSubject;

/* An answer to callers of SQL; times in microseconds. */
typedef struct HdLimitVerdict
{
	bool allowed;
	bool never; /* the cost can never fit */
	int32 quota;
	int64 remaining;
	int64 retry_after; /* 0 when allowed */
	int64 reset_after;
	int64 next_after; /* until one more unit fits */
	int64 more_after; /* until more fit than remain; -1 when all do */
} HdLimitVerdict;

/*
 * hd_limits_decide_define
 *		Define the setting.
 */
extern void hd_limits_decide_define(void);

/*
 * hd_limits_decide_allow
 *		Whether cost units, 0 or more, were taken; with cost 0, whether one would
 *		fit.  now: hd_clock_now(), read when asked.
 */
extern bool hd_limits_decide_allow(HdLimit *limit, HdLimitSubject subject, int32 cost,
								   TimestampTz now);

/*
 * hd_limits_decide_take
 *		The same with all there is to say.
 */
extern HdLimitVerdict hd_limits_decide_take(HdLimit *limit, HdLimitSubject subject, int32 cost,
											TimestampTz now);

/*
 * hd_limits_decide_look
 *		What hd_limits_decide_take would say of one unit, without taking, and
 *		whether the bucket is in memory.
 */
extern HdLimitVerdict hd_limits_decide_look(HdLimit *limit, HdLimitSubject subject, TimestampTz now,
											bool *held);

/*
 * hd_limits_decide_many
 *		hd_limits_decide_allow for n subjects of one limit; answers gets booleans.
 */
extern void hd_limits_decide_many(HdLimit *limit, const HdLimitSubject *subjects, int n, int32 cost,
								  TimestampTz now, Datum *answers);

/*
 * hd_limits_decide_all
 *		Take from one bucket of each of n limits, at most HD_LIMIT_MOST_AT_ONCE and
 *		all different, or from none.  The limits are copies of the caller's.
 */
extern bool hd_limits_decide_all(HdLimit *limits, int n, HdLimitSubject subject, int32 cost,
								 TimestampTz now);

/*
 * hd_limits_decide_refund
 *		Give back units; how many the bucket took back.
 */
extern int64 hd_limits_decide_refund(HdLimit *limit, HdLimitSubject subject, int32 units,
									 TimestampTz now);

/*
 * hd_limits_decide_reset
 *		Make a bucket full.
 */
extern void hd_limits_decide_reset(HdLimit *limit, HdLimitSubject subject, TimestampTz now);

/*
 * hd_limits_decide_place
 *		What the limit makes of a place (places.h), counted and noted: outcome says
 *		whether there was one (done 1), or no room for one.
 */
extern bool hd_limits_decide_place(HdLimit *limit, const HdLimitKey *key, HdLimitSubject subject,
								   HdLimitOutcome *outcome, TimestampTz now);

#endif /* HD_LIMITS_DECIDE_H */
