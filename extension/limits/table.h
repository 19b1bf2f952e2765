/*-------------------------------------------------------------------------
 * table.h
 *		The buckets in shared memory.
 *
 * Model: hotdash.limit_slots slots in sets of sixteen; a key's hash names its
 * set.  A slot's word `until` says when its bucket is full again.  For GCRA
 * it is the whole state; for a log the rest stands in the slot and in chunks
 * of a pool (log.h).  A bucket that is full is as good as absent, so whoever
 * needs a slot takes over one that has drained, and no sweeper is needed.
 *
 * When all sixteen are in debt, the bucket that would be full soonest is given
 * up, which is counted (limits_evicted): its key starts full again and may
 * get up to its burst, or a log's count, more than it should.  A bucket of a
 * strict policy is never given up, nor one that is written; when all sixteen are such, a new key is
 * refused for want of room, which is counted too (limits_no_room).  With half
 * of the slots in debt that meets one new key in 120, with a quarter one in
 * 200,000.
 *
 * Locking: a GCRA bucket is read and moved by compare-and-swap of `until`
 * alone.  Everything else happens under the set's LWLock, all of a log
 * included.  Whoever rewrites a slot's other fields first swaps `until` for
 * HD_SLOT_CLOSED, so that no swap made by the old fields succeeds, and opens it
 * last.  No other lock is taken under a set's.
 *
 * A swap may succeed though the slot has changed hands in between, if `until`
 * came back to the same nanosecond.  So the key is looked at once more after
 * it; if it is another's, that one was charged too much and the caller
 * starts over.  Nothing is granted that was not charged.
 *
 * A call on several buckets at once locks their sets in the order of their
 * places and closes all of their slots before it decides, so that nobody sees
 * a part of it.
 *
 * What a crash loses: all of it; what of a bucket comes back its policy says
 * (`keep`): nothing, what snapshot.h has in a file, or what durable.h has
 * written.  A key of which nothing comes back starts full, so in a window that
 * contains the crash it may get twice what its policy allows, the share before and
 * the share after, never more for each crash.
 *
 * Caveats: entries of a dropped database or extension are found by nobody,
 * since both are part of the key, and drain like others.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_TABLE_H
#define HD_LIMITS_TABLE_H

#include "postgres.h"

#include "limits/gcra.h"
#include "limits/limits.h"

/* hotdash.limit_slots: buckets of the whole cluster kept in memory. */
extern int hd_limits_setting_slots;

/* A call on one bucket. */
typedef struct HdLimitCall
{
	const HdLimitKey *key;
	const HdLimitPolicy *policy;
	HdGcra gcra;		/* the policy, prepared, under GCRA */
	int64 want;			/* units; below 0 gives them back */
	bool whole;			/* all or nothing */
	bool brief;			/* only what was done is asked for */
	bool open;			/* of several at once: a lack of room stops nobody */
	int64 now;			/* microseconds, steady */
	int64 window_start; /* of such a policy, the window that runs */
	int64 window_end;
	int64 taken_at; /* of units given back; HD_LIMIT_NEWEST: those taken last */
} HdLimitCall;

/* Near its limit is what has a fifth left, or less. */
#define HD_LIMIT_NEAR_PARTS 5

#define HD_LIMIT_NEWEST PG_INT64_MAX

/* What it came to; of a brief call only the first three. */
typedef struct HdLimitOutcome
{
	bool no_room;
	bool near;		 /* something was taken, and at most a fifth is left */
	int64 done;		 /* units taken or given back */
	int64 remaining; /* afterwards */
	int64 fits_at;	 /* when want units fit, of those not taken; microseconds or HD_GCRA_NEVER */
	int64 one_at;	 /* when one more fits */
	int64 more_at;	 /* when more fit than remain; HD_GCRA_NEVER when all do */
	int64 reset_at;
} HdLimitOutcome;

/*
 * hd_limits_table_register
 *		Ask for the shared memory.  Called once from the module's init.
 */
extern void hd_limits_table_register(void);

/*
 * hd_limits_table_hash
 *		Hash bytes onto a key; its first call starts from a key of zeroes.
 *
 * Seeded by chance at each start: nobody outside can make keys that meet.
 */
extern void hd_limits_table_hash(HdLimitKey *key, const void *bytes, Size length);

/*
 * hd_limits_table_steady
 *		A time that does not go back, in microseconds.
 */
extern int64 hd_limits_table_steady(const HdLimitKey *key, TimestampTz now);

/*
 * hd_limits_table_call
 *		Perform a call.  Raises no error.
 */
extern void hd_limits_table_call(const HdLimitCall *call, HdLimitOutcome *outcome);

/*
 * hd_limits_table_call_marked
 *		Perform a call of durability wal if memory can answer it alone: it takes
 *		nothing, or what it takes is on disk already (durable.h).
 */
extern bool hd_limits_table_call_marked(const HdLimitCall *call, HdLimitOutcome *outcome);

/* Most buckets that can be called in one step. */
#define HD_LIMIT_MOST_AT_ONCE 8

/*
 * hd_limits_table_call_all
 *		Take from n different buckets, in all of them or in none, in one step.
 *		True when it was taken.
 *
 * The calls are whole.  A call that is no bar (bars[i] false) is taken where it
 * fits and stops nobody.  outcomes[i].done says, also after a refusal, whether
 * the i-th alone would have fitted.
 */
extern bool hd_limits_table_call_all(const HdLimitCall *calls, const bool *bars, int n,
									 HdLimitOutcome *outcomes);

/*
 * hd_limits_table_forget
 *		Make a bucket full.
 */
extern void hd_limits_table_forget(const HdLimitKey *key);

/*
 * hd_limits_table_holds
 *		Whether a key's bucket is in memory; one that is not is full, or of
 *		durability 'wal' and on its page alone.
 */
extern bool hd_limits_table_holds(const HdLimitKey *key);

/*
 * hd_limits_table_expect
 *		Have the memory of a key's set fetched, to be there when it is called.
 */
extern void hd_limits_table_expect(const HdLimitKey *key);

#endif /* HD_LIMITS_TABLE_H */
