/*-------------------------------------------------------------------------
 * table.c
 *		The buckets in shared memory.
 *
 * Model and locking: see table.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/table.h"

#include "common/hashfn.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "limits/log.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#define WAYS 16
#define SLOT_CLOSED ((uint64) PG_INT64_MAX)
#define NS_PER_US 1000

/* The shared clock is written once in so many microseconds, or every call would fight for it. */
#define CLOCK_STEP_US 1000

/* Chunks of logs: one for so many slots, since most logs need none. */
#define SLOTS_PER_CHUNK 4

/* How gladly a slot is taken over. */
typedef enum SlotRank
{
	RANK_DRAINED, /* loses nothing */
	RANK_MOVED,	  /* of a session whose clock is stopped */
	RANK_LIVE,	  /* in debt: counted */
	RANK_KEEP
} SlotRank;

/* A cache line, so that two keys do not share one. */
typedef struct Slot
{
	uint64 hash[2]; /* set's lock, and closed */
	pg_atomic_uint64
		until;		 /* nanoseconds: full again; SLOT_CLOSED: being rewritten under the lock */
	int64 emission;	 /* of the policy last seen, GCRA; set's lock, and closed */
	HdLog log;		 /* set's lock */
	uint8 algorithm; /* HdLimitAlgorithm; set's lock, and closed */
	bool strict;	 /* likewise */
	bool moved;		 /* likewise */
} Slot;

typedef struct Set
{
	LWLock lock;
	int64 latest;	   /* nanoseconds: nothing was forgotten at a later time; lock */
	uint16 tags[WAYS]; /* of the slots' keys, 0: never used; lock, but read without */
	Slot slots[WAYS] pg_attribute_aligned(sizeof(Slot));
} Set;

/* Fixed after start but for the clock and the pool's word, which have lines of their own. */
typedef struct Table
{
	union
	{
		pg_atomic_uint64 value; /* latest time seen, microseconds */
		char line[PG_CACHE_LINE_SIZE];
	} clock;
	union
	{
		HdLogPool value;
		char line[PG_CACHE_LINE_SIZE];
	} pool;
	uint64 seed;
	uint64 nsets;
} Table;

StaticAssertDecl(sizeof(Slot) == 64, "a slot is a cache line");

int hd_limits_setting_slots = 65536;

static Table *table = NULL;
static Set *sets = NULL;
static HdLogPool *pool = NULL;

static Size
set_count(void)
{
	return (hd_limits_setting_slots + WAYS - 1) / WAYS;
}

static Size
chunk_count(void)
{
	return set_count() * WAYS / SLOTS_PER_CHUNK;
}

static Size
area_size(void)
{
	Size size = MAXALIGN(sizeof(Table)) + PG_CACHE_LINE_SIZE;

	size = add_size(size, mul_size(set_count(), sizeof(Set)));
	return add_size(size, mul_size(chunk_count(), sizeof(HdLogChunk)));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	HdLogChunk *chunks;

	table = base;
	sets = (Set *) CACHELINEALIGN((char *) base + sizeof(Table));
	chunks = (HdLogChunk *) (sets + set_count());
	pool = &table->pool.value;
	if (!fresh)
		return;
	if (!pg_strong_random(&table->seed, sizeof(table->seed)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
	table->nsets = set_count();
	pg_atomic_init_u64(&table->clock.value, 0);
	hd_limits_log_pool_init(pool, chunks, chunk_count());
	for (uint64 i = 0; i < table->nsets; i++)
	{
		LWLockInitialize(&sets[i].lock, lock->tranche);
		for (int way = 0; way < WAYS; way++)
		{
			pg_atomic_init_u64(&sets[i].slots[way].until, 0);
			hd_limits_log_init(&sets[i].slots[way].log);
		}
	}
}

static const HdShmemArea area = {"hotdash_limits", area_size, area_init};

void
hd_limits_table_register(void)
{
	hd_shmem_register(&area);
}

void
hd_limits_table_hash(HdLimitKey *key, const void *bytes, Size length)
{
	/* The server's hash takes an int; what is longer is hashed piece by piece. */
	const Size most = 1024 * 1024;
	const unsigned char *at = bytes;

	do
	{
		int n = (int) Min(length, most);

		key->hash[0] = hash_bytes_extended(at, n, key->hash[0] ^ table->seed);
		key->hash[1] = hash_bytes_extended(at, n, key->hash[1] ^ ~table->seed);
		at += n;
		length -= n;
	} while (length > 0);
}

int64
hd_limits_table_steady(const HdLimitKey *key, TimestampTz now)
{
	uint64 seen = pg_atomic_read_u64(&table->clock.value);
	uint64 time = (uint64) Min(Max(now, 0), HD_LOG_MAX_US);

	if (key->moved)
		return (int64) time;
	while (time > seen + CLOCK_STEP_US)
	{
		if (pg_atomic_compare_exchange_u64(&table->clock.value, &seen, time))
			return (int64) time;
	}
	return (int64) Max(time, seen);
}

static Set *
set_of(const HdLimitKey *key)
{
	return &sets[((key->hash[0] >> 32) * table->nsets) >> 32];
}

static uint16
tag_of(const HdLimitKey *key)
{
	uint16 tag = (uint16) key->hash[1];

	return (tag != 0) ? tag : 1;
}

static inline bool
same_key(const Slot *slot, const HdLimitKey *key)
{
	return slot->hash[0] == key->hash[0] && slot->hash[1] == key->hash[1] &&
		   slot->moved == key->moved;
}

/* The slot is as the call wants it: under GCRA, `until` is all there is to change. */
static inline bool
same_policy(const Slot *slot, const HdLimitCall *call)
{
	return slot->algorithm == (uint8) call->policy->algorithm &&
		   slot->strict == call->policy->strict &&
		   (slot->algorithm == HD_LIMIT_LOG || slot->emission == call->gcra.emission);
}

static int64
us_ceil(int64 ns)
{
	return (ns == HD_GCRA_NEVER) ? ns : (ns + NS_PER_US - 1) / NS_PER_US;
}

/*
 * GCRA
 */

/* The TAT after the call. */
static int64
gcra_move(const HdLimitCall *call, int64 tat, int64 now, int64 *done)
{
	if (call->want < 0)
	{
		*done = Min(-call->want, hd_limits_gcra_used(call->gcra.emission, tat, now));
		return hd_limits_gcra_refund(&call->gcra, tat, *done, now);
	}
	*done = hd_limits_gcra_take(&call->gcra, &tat, call->want, call->whole, now);
	return tat;
}

static void
gcra_report(const HdLimitCall *call, int64 tat, int64 done, HdLimitOutcome *outcome)
{
	int64 now = call->now * NS_PER_US;

	outcome->no_room = false;
	outcome->done = done;
	outcome->remaining = hd_limits_gcra_room(&call->gcra, tat, now);
	outcome->fits_at = us_ceil(hd_limits_gcra_fits_at(&call->gcra, tat, Max(call->want, 0), now));
	outcome->one_at = us_ceil(hd_limits_gcra_fits_at(&call->gcra, tat, 1, now));
	outcome->reset_at = us_ceil(Max(tat, now));
}

/*
 * Move `until` if it is what it was, and where nothing moves, only make sure of
 * that: refusals do not fight for the line.  Otherwise false, with what it is.
 */
static bool
settle(Slot *slot, uint64 *until, uint64 moved)
{
	uint64 before = *until;

	if (moved != before)
		return pg_atomic_compare_exchange_u64(&slot->until, until, moved);
	pg_read_barrier();
	*until = pg_atomic_read_u64(&slot->until);
	return *until == before;
}

/* Without a lock; false when there is no slot for it, or not as the call wants it. */
static bool
gcra_swap(Set *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	uint16 tag = tag_of(call->key);
	int64 now = call->now * NS_PER_US;

	for (int way = 0; way < WAYS; way++)
	{
		Slot *slot = &set->slots[way];
		uint64 until;

		if (set->tags[way] != tag)
			continue;
		until = pg_atomic_read_u64(&slot->until);
		for (;;)
		{
			int64 done;
			uint64 moved;

			if (until == SLOT_CLOSED)
				return false;
			pg_read_barrier();
			if (!same_key(slot, call->key) || !same_policy(slot, call))
				break;
			moved = (uint64) gcra_move(call, (int64) until, now, &done);

			if (!settle(slot, &until, moved))
				continue;
			if (!same_key(slot, call->key) || !same_policy(slot, call))
				return false;
			gcra_report(call, (int64) moved, done, outcome);
			return true;
		}
	}
	return false;
}

/*
 * Slots.  All of this under the set's lock.
 */

static Slot *
find(Set *set, const HdLimitKey *key)
{
	uint16 tag = tag_of(key);

	for (int way = 0; way < WAYS; way++)
	{
		if (set->tags[way] == tag && same_key(&set->slots[way], key))
			return &set->slots[way];
	}
	return NULL;
}

/* A session with a stopped clock judges the buckets of others by the time that all share. */
static SlotRank
rank_of(const Slot *slot, int64 until, const HdLimitCall *call)
{
	bool moved = call->key->moved;
	int64 now = call->now;

	if (slot->moved)
		return (moved && until <= now * NS_PER_US) ? RANK_DRAINED : RANK_MOVED;
	if (moved)
		now = (int64) pg_atomic_read_u64(&table->clock.value);
	if (until <= now * NS_PER_US)
		return RANK_DRAINED;
	return (slot->strict || moved) ? RANK_KEEP : RANK_LIVE;
}

/* The way to take over, the one that is full soonest among equals. */
static int
choose(Set *set, const HdLimitCall *call, SlotRank *rank, uint64 *until)
{
	int best = -1;

	*rank = RANK_KEEP;
	*until = SLOT_CLOSED;
	for (int way = 0; way < WAYS; way++)
	{
		uint64 u = pg_atomic_read_u64(&set->slots[way].until);
		SlotRank r =
			(set->tags[way] == 0) ? RANK_DRAINED : rank_of(&set->slots[way], (int64) u, call);

		if (r < *rank || (r == *rank && u < *until))
		{
			best = way;
			*rank = r;
			*until = u;
		}
	}
	return best;
}

/*
 * A slot for a key that has none, its bucket full; NULL when there is no room.
 * What was forgotten had drained by a time that the caller's may lie before,
 * so the new bucket is full as of that time and not earlier.
 */
static Slot *
create(Set *set, const HdLimitCall *call, int64 *room_at)
{
	Slot *slot;
	SlotRank rank;
	uint64 until;
	int way;

	do
	{
		way = choose(set, call, &rank, &until);
		if (rank == RANK_KEEP)
		{
			hd_counters_add(HD_COUNTER_LIMITS_NO_ROOM, 1);
			*room_at = us_ceil((int64) until);
			return NULL;
		}
		slot = &set->slots[way];
	} while (!pg_atomic_compare_exchange_u64(&slot->until, &until, SLOT_CLOSED));

	if (rank == RANK_LIVE)
		hd_counters_add(HD_COUNTER_LIMITS_EVICTED, 1);
	else if (!slot->moved)
		set->latest = Max(set->latest, (int64) until);
	hd_limits_log_reset(pool, &slot->log);
	memcpy(slot->hash, call->key->hash, sizeof(slot->hash));
	slot->moved = call->key->moved;
	slot->algorithm = (uint8) call->policy->algorithm;
	slot->strict = call->policy->strict;
	slot->emission = call->gcra.emission;
	set->tags[way] = tag_of(call->key);
	until = (uint64) (call->now * NS_PER_US);
	if (!slot->moved)
		until = Max(until, (uint64) set->latest);
	pg_write_barrier();
	pg_atomic_write_u64(&slot->until, until);
	return slot;
}

/* Units that a log has in use under the policy that it had, and forget them. */
static int64
forget_log(Slot *slot, int64 until, int64 now)
{
	int64 used;

	if (slot->log.newest == 0)
		return 0;
	hd_limits_log_prune(pool, &slot->log, until / NS_PER_US - hd_limits_log_newest(&slot->log),
						now);
	used = slot->log.used;
	hd_limits_log_reset(pool, &slot->log);
	return used;
}

/*
 * To a bucket.  More than fits at once counts as all of it; but a strict one
 * remembers what a log had granted in its window, so that a window over the
 * change is no fuller.
 */
static int64
adapt_to_gcra(Slot *slot, const HdLimitCall *call, int64 until)
{
	int64 now = call->now * NS_PER_US;
	int64 most = call->gcra.burst + (call->policy->strict ? call->policy->count : 0);
	int64 used;

	if (slot->algorithm == HD_LIMIT_GCRA)
		return hd_limits_gcra_rescale(&call->gcra, slot->emission, until, most, now);
	used = forget_log(slot, until, call->now);
	return hd_limits_gcra_charge(&call->gcra, Min(used, most), now);
}

/* To a log: what is owed was taken just now. */
static int64
adapt_to_log(Slot *slot, const HdLimitCall *call, int64 until)
{
	int64 now = call->now * NS_PER_US;
	int64 used;
	bool coarse;

	if (slot->algorithm == HD_LIMIT_LOG)
		return until;
	used = hd_limits_gcra_used(slot->emission, until, now);
	if (hd_limits_log_take(pool, &slot->log, call->policy->count, used, false, call->now, &coarse) >
		0)
		now += call->policy->period_us * NS_PER_US;
	return now;
}

/* Carry a bucket over to the policy of the call. */
static void
adapt(Slot *slot, const HdLimitCall *call)
{
	uint64 until = pg_atomic_read_u64(&slot->until);
	int64 next;

	while (!pg_atomic_compare_exchange_u64(&slot->until, &until, SLOT_CLOSED))
		;
	if (call->policy->algorithm == HD_LIMIT_GCRA)
		next = adapt_to_gcra(slot, call, (int64) until);
	else
		next = adapt_to_log(slot, call, (int64) until);
	slot->algorithm = (uint8) call->policy->algorithm;
	slot->strict = call->policy->strict;
	slot->emission = call->gcra.emission;
	pg_write_barrier();
	pg_atomic_write_u64(&slot->until, (uint64) next);
}

/* The key's slot, as the call wants it.  One is made only for a call that takes something. */
static Slot *
locate(Set *set, const HdLimitCall *call, int64 capacity, HdLimitOutcome *outcome)
{
	Slot *slot = find(set, call->key);
	int64 room_at;

	if (slot != NULL)
	{
		if (!same_policy(slot, call))
			adapt(slot, call);
		return slot;
	}
	outcome->no_room = false;
	outcome->done = 0;
	outcome->remaining = capacity;
	outcome->fits_at = (call->want <= capacity) ? call->now : HD_GCRA_NEVER;
	outcome->one_at = outcome->reset_at = call->now;
	if (call->want <= 0 || (call->whole && call->want > capacity))
		return NULL;
	slot = create(set, call, &room_at);
	if (slot == NULL)
	{
		outcome->no_room = true;
		outcome->remaining = 0;
		outcome->fits_at = outcome->one_at = Max(room_at, call->now);
	}
	return slot;
}

/*
 * The exact log
 */

static void
log_apply(Slot *slot, const HdLimitCall *call, int64 now, HdLimitOutcome *outcome)
{
	const HdLimitPolicy *policy = call->policy;
	HdLog *log = &slot->log;
	bool coarse = false;

	hd_limits_log_prune(pool, log, policy->period_us, now);
	if (call->want < 0)
		outcome->done =
			hd_limits_log_refund(pool, log, policy->period_us, -call->want, call->taken_at, now);
	else
		outcome->done =
			hd_limits_log_take(pool, log, policy->count, call->want, call->whole, now, &coarse);
	if (coarse)
		hd_counters_add(HD_COUNTER_LIMITS_COARSE, 1);
	outcome->no_room = false;
	outcome->remaining = Max(policy->count - log->used, 0);
	outcome->one_at = hd_limits_log_fits_at(pool, log, policy->count, policy->period_us, 1, now);
	outcome->fits_at = (call->want > policy->count)
						   ? HD_GCRA_NEVER
						   : hd_limits_log_fits_at(pool, log, policy->count, policy->period_us,
												   Max(call->want, 0), now);
	outcome->reset_at = now;
	if (log->used > 0)
		outcome->reset_at = Max(now, hd_limits_log_newest(log) + policy->period_us);
	if (log->newest != 0)
		pg_atomic_write_u64(&slot->until,
							(uint64) (hd_limits_log_newest(log) + policy->period_us) * NS_PER_US);
}

static void
log_call(Set *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	int64 now = call->now;
	Slot *slot;

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = locate(set, call, call->policy->count, outcome);
	if (slot != NULL)
	{
		/* A caller that read the clock before another but got here after must not go back. */
		if (!slot->moved)
		{
			now = Max(now, us_ceil(set->latest));
			set->latest = now * NS_PER_US;
		}
		log_apply(slot, call, now, outcome);
	}
	LWLockRelease(&set->lock);
}

static void
gcra_call(Set *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	Slot *slot;

	while (!gcra_swap(set, call, outcome))
	{
		LWLockAcquire(&set->lock, LW_EXCLUSIVE);
		slot = locate(set, call, call->gcra.burst, outcome);
		LWLockRelease(&set->lock);
		if (slot == NULL)
			return;
	}
}

void
hd_limits_table_call(const HdLimitCall *call, HdLimitOutcome *outcome)
{
	Set *set = set_of(call->key);

	if (call->policy->algorithm == HD_LIMIT_LOG)
		log_call(set, call, outcome);
	else
		gcra_call(set, call, outcome);
}
