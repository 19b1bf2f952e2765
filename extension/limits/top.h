/*-------------------------------------------------------------------------
 * top.h
 *		Which keys were refused most, in bounded memory.
 *
 * Model: Space-Saving (Metwally, Agrawal, El Abbadi: Efficient computation of
 * frequent and top-k elements in data streams, ICDT 2005).  So many counters;
 * a key that has none takes over the one that counts least and goes on from
 * its number, which is noted as the error.  Then, of n that were added:
 *
 *	- a key that has a counter was added at most `count` times, and at least
 *	  count - error times;
 *	- one that has none, at most as often as the least counter says, which is
 *	  n / HD_TOP_WAYS at most: so who was added more often than that is there.
 *
 * Keys are spread over many such sets by their hash, and n is what was added to
 * one of them.  A set counts by the hour: this one and the one before, so that
 * who was refused last week does not hide who is today.
 *
 * Locking: the caller's.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_TOP_H
#define HD_LIMITS_TOP_H

#include "postgres.h"

#include "limits/rule.h"

#define HD_TOP_WAYS 16
#define HD_TOP_PERIODS 2

/* Of a longer key so many bytes are kept, whole characters. */
#define HD_DENIED_BYTES 92

/* Why a call found no units. */
typedef enum HdDeniedKind
{
	HD_DENIED_REFUSED,
	HD_DENIED_SHADOW,  /* would have been, but the limit refuses nothing as yet */
	HD_DENIED_NO_ROOM, /* there was no memory for its bucket */
	HD_DENIED_KINDS
} HdDeniedKind;

/* Who was refused.  What makes it itself: hash, moved and kind. */
typedef struct HdDeniedKey
{
	uint64 hash[2]; /* as of HdLimitKey: of database, extension, limit and key */
	uint64 whole;	/* of a key that was cut, the hash of all of it */
	Oid database;
	Oid extension;
	uint8 length; /* bytes kept */
	uint8 kind;	  /* HdDeniedKind */
	bool cut;
	bool moved; /* by a session whose clock is stopped */
	char limit[HD_LIMIT_NAME_SIZE];
	char bytes[HD_DENIED_BYTES];
} HdDeniedKey;

typedef struct HdTopPeriod
{
	uint64 tags[HD_TOP_WAYS];
	uint64 counts[HD_TOP_WAYS]; /* 0: free */
	uint64 errors[HD_TOP_WAYS];
	int64 last[HD_TOP_WAYS]; /* microseconds */
	HdDeniedKey keys[HD_TOP_WAYS];
} HdTopPeriod;

typedef struct HdTop
{
	int64 hour; /* that periods[0] is of; periods[1] is of the one before */
	HdTopPeriod periods[HD_TOP_PERIODS];
} HdTop;

static inline bool
hd_limits_top_same(const HdDeniedKey *a, const HdDeniedKey *b)
{
	return a->hash[0] == b->hash[0] && a->hash[1] == b->hash[1] && a->moved == b->moved &&
		   a->kind == b->kind;
}

/*
 * hd_limits_top_turn
 *		Have periods[0] be of the hour of an instant (microseconds), unless it is of a later
 *		one; returns by how many hours it moved, HD_TOP_PERIODS for all beyond.
 */
extern int hd_limits_top_turn(HdTop *top, int64 at);

/*
 * hd_limits_top_period
 *		The period that an instant falls in, NULL when it is forgotten.
 */
extern HdTopPeriod *hd_limits_top_period(HdTop *top, int64 at);

/*
 * hd_limits_top_find / hd_limits_top_add
 *		The counter of a key, or -1; and add weight, above 0, to it.
 */
extern int hd_limits_top_find(const HdTopPeriod *period, const HdDeniedKey *key);
extern void hd_limits_top_add(HdTopPeriod *period, const HdDeniedKey *key, uint64 weight, int64 at);

/*
 * hd_limits_top_floor
 *		What may have been added at most for a key that has no counter.
 */
extern uint64 hd_limits_top_floor(const HdTopPeriod *period);

#endif /* HD_LIMITS_TOP_H */
