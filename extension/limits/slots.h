/*-------------------------------------------------------------------------
 * slots.h
 *		Where buckets live: sets of slots in shared memory.
 *
 * The inside of table.h, which has the model: shared by slots.c, which makes,
 * finds and takes over slots, table.c, which performs calls on them, and
 * whoever walks all of them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_SLOTS_H
#define HD_LIMITS_SLOTS_H

#include "postgres.h"

#include "limits/log.h"
#include "limits/table.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#define HD_SLOT_WAYS 16
#define HD_SLOT_CLOSED ((uint64) PG_INT64_MAX)
#define HD_NS_PER_US 1000

/* A cache line, so that two keys do not share one. */
typedef struct HdSlot
{
	uint64 hash[2]; /* set's lock, and closed */
	pg_atomic_uint64
		until;		 /* nanoseconds: full again; HD_SLOT_CLOSED: being rewritten under the lock */
	int64 emission;	 /* of the policy last seen, GCRA; set's lock, and closed.  Of a window: when it
						 * began, microseconds */
	HdLog log;		 /* set's lock; of a window only the number of units; see also the mark */
	uint8 algorithm; /* HdLimitAlgorithm; set's lock, and closed */
	uint8 keep;		 /* HdLimitKeep, likewise; WAL: `until` too is changed under the lock alone */
	bool strict;	 /* likewise */
	bool moved;		 /* likewise */
} HdSlot;

typedef struct HdSlotSet
{
	LWLock lock;
	int64 latest;			   /* nanoseconds: nothing was forgotten at a later time; lock */
	uint16 tags[HD_SLOT_WAYS]; /* of the slots' keys, 0: never used; lock, but read without */
	HdSlot slots[HD_SLOT_WAYS] pg_attribute_aligned(sizeof(HdSlot));
} HdSlotSet;

/*
 * hd_limits_slots_set
 *		The set that a key is in.
 */
extern HdSlotSet *hd_limits_slots_set(const HdLimitKey *key);

/*
 * hd_limits_slots_sets
 *		All of them, and how many there are.
 */
extern HdSlotSet *hd_limits_slots_sets(uint64 *n);

/* What all buckets have in common, as far as a later life of the server needs it. */
typedef struct HdSlotEra
{
	uint64 seed;  /* of the hashes of keys */
	int64 clock;  /* latest time seen, microseconds */
	int64 latest; /* nanoseconds: nothing was forgotten at a later time */
} HdSlotEra;

/*
 * hd_limits_slots_era / hd_limits_slots_resume
 *		What it is, all but latest, which the sets know; and go on with one of an
 *		earlier life, while the table is being made.
 */
extern HdSlotEra hd_limits_slots_era(void);
extern void hd_limits_slots_resume(const HdSlotEra *era);

/*
 * hd_limits_slots_pool
 *		Where logs have their chunks from.
 */
extern HdLogPool *hd_limits_slots_pool(void);

/*
 * hd_limits_slots_tag
 *		What a key's slot is found by in its set, never 0.
 */
static inline uint16
hd_limits_slots_tag(const HdLimitKey *key)
{
	uint16 tag = (uint16) key->hash[1];

	return (tag != 0) ? tag : 1;
}

/*
 * hd_limits_slots_home
 *		The way of its set that a key takes if it can: it is looked at first, and
 *		so a call mostly waits for one place in memory and not for two.
 */
static inline int
hd_limits_slots_home(const HdLimitKey *key)
{
	return (int) ((key->hash[1] >> 16) % HD_SLOT_WAYS);
}

/* Whether a slot is a key's. */
static inline bool
hd_limits_slots_same_key(const HdSlot *slot, const HdLimitKey *key)
{
	return slot->hash[0] == key->hash[0] && slot->hash[1] == key->hash[1] &&
		   slot->moved == key->moved;
}

/* Whether it is as the call wants it: under GCRA, `until` is all there is to change. */
static inline bool
hd_limits_slots_same_policy(const HdSlot *slot, const HdLimitCall *call)
{
	return slot->algorithm == (uint8) call->policy->algorithm &&
		   slot->strict == call->policy->strict && slot->keep == (uint8) call->policy->keep &&
		   (slot->algorithm != HD_LIMIT_GCRA || slot->emission == call->gcra.emission);
}

/*
 * How far what is on disk runs ahead of a slot of durability wal (durable.h): `until`
 * of a bucket, units of a window.  0: the slot may owe less than what is on disk; and
 * HD_SLOT_MARK_NONE: it does not, but nothing is ahead.  A log has none.  The slot's
 * log is not in use then and lends the place.  Under the set's lock.
 */
#define HD_SLOT_MARK_NONE (-1)

static inline int64
hd_limits_slots_mark(const HdSlot *slot)
{
	return (slot->algorithm == HD_LIMIT_LOG) ? 0 : (int64) slot->log.newest;
}

static inline void
hd_limits_slots_set_mark(HdSlot *slot, int64 mark)
{
	if (slot->algorithm != HD_LIMIT_LOG)
		slot->log.newest = (uint64) mark;
}

/*
 * hd_limits_slots_find
 *		A key's slot or NULL.  Under the set's lock, as what follows.
 */
extern HdSlot *hd_limits_slots_find(HdSlotSet *set, const HdLimitKey *key);

/*
 * hd_limits_slots_create
 *		A slot for a key that has none, its bucket full; NULL when there is no
 *		room, then with the time (microseconds) at which there may be.
 */
extern HdSlot *hd_limits_slots_create(HdSlotSet *set, const HdLimitCall *call, int64 *room_at);

/*
 * hd_limits_slots_adapt
 *		Carry a slot over to the policy of the call.
 */
extern void hd_limits_slots_adapt(HdSlot *slot, const HdLimitCall *call);

/*
 * hd_limits_slots_dress
 *		Have a slot, closed, say which policy it was last called with.
 */
extern void hd_limits_slots_dress(HdSlot *slot, const HdLimitCall *call);

/*
 * hd_limits_slots_close
 *		Have no swap succeed on a slot until `until` is written again; returns
 *		what it was.
 */
extern uint64 hd_limits_slots_close(HdSlot *slot);

#endif /* HD_LIMITS_SLOTS_H */
