/*-------------------------------------------------------------------------
 * slots.c
 *		Where buckets live: sets of slots in shared memory.
 *
 * Model and locking: see table.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/slots.h"

#include "common/hashfn.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "limits/snapshot.h"

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

StaticAssertDecl(sizeof(HdSlot) == 64, "a slot is a cache line");

int hd_limits_setting_slots = 65536;

static Table *table = NULL;
static HdSlotSet *sets = NULL;
static HdLogPool *pool = NULL;

static Size
set_count(void)
{
	return (hd_limits_setting_slots + HD_SLOT_WAYS - 1) / HD_SLOT_WAYS;
}

static Size
chunk_count(void)
{
	return set_count() * HD_SLOT_WAYS / SLOTS_PER_CHUNK;
}

static Size
area_size(void)
{
	Size size = MAXALIGN(sizeof(Table)) + PG_CACHE_LINE_SIZE;

	size = add_size(size, mul_size(set_count(), sizeof(HdSlotSet)));
	return add_size(size, mul_size(chunk_count(), sizeof(HdLogChunk)));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	HdLogChunk *chunks;

	table = base;
	sets = (HdSlotSet *) CACHELINEALIGN((char *) base + sizeof(Table));
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
		for (int way = 0; way < HD_SLOT_WAYS; way++)
		{
			pg_atomic_init_u64(&sets[i].slots[way].until, 0);
			hd_limits_log_init(&sets[i].slots[way].log);
		}
	}
	hd_limits_snapshot_load();
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

HdSlotSet *
hd_limits_slots_set(const HdLimitKey *key)
{
	return &sets[((key->hash[0] >> 32) * table->nsets) >> 32];
}

HdSlotSet *
hd_limits_slots_sets(uint64 *n)
{
	*n = table->nsets;
	return sets;
}

HdSlotEra
hd_limits_slots_era(void)
{
	HdSlotEra era = {table->seed, (int64) pg_atomic_read_u64(&table->clock.value), 0};

	return era;
}

void
hd_limits_slots_resume(const HdSlotEra *era)
{
	table->seed = era->seed;
	pg_atomic_write_u64(&table->clock.value, (uint64) era->clock);
	for (uint64 i = 0; i < table->nsets; i++)
		sets[i].latest = era->latest;
}

HdLogPool *
hd_limits_slots_pool(void)
{
	return pool;
}

/* A time in microseconds at which one in nanoseconds has come. */
static int64
us_ceil(int64 ns)
{
	return (ns + HD_NS_PER_US - 1) / HD_NS_PER_US;
}

HdSlot *
hd_limits_slots_find(HdSlotSet *set, const HdLimitKey *key)
{
	uint16 tag = hd_limits_slots_tag(key);

	for (int way = 0; way < HD_SLOT_WAYS; way++)
	{
		if (set->tags[way] == tag && hd_limits_slots_same_key(&set->slots[way], key))
			return &set->slots[way];
	}
	return NULL;
}

/* A session with a stopped clock judges the buckets of others by the time that all share. */
static SlotRank
rank_of(const HdSlot *slot, int64 until, const HdLimitCall *call)
{
	bool moved = call->key->moved;
	int64 now = call->now;

	if (slot->moved)
		return (moved && until <= now * HD_NS_PER_US) ? RANK_DRAINED : RANK_MOVED;
	if (moved)
		now = (int64) pg_atomic_read_u64(&table->clock.value);
	/* forgotten any sooner, it would owe what is only set aside for it */
	if (slot->keep == HD_LIMIT_KEEP_WAL && slot->algorithm == HD_LIMIT_GCRA)
		until = Max(until, hd_limits_slots_mark(slot));
	if (until <= now * HD_NS_PER_US)
		return RANK_DRAINED;
	return (slot->strict || slot->keep == HD_LIMIT_KEEP_WAL || moved) ? RANK_KEEP : RANK_LIVE;
}

/* The way to take over: the key's home if that loses nothing, else the one full soonest among equals. */
static int
choose(HdSlotSet *set, const HdLimitCall *call, SlotRank *rank, uint64 *until)
{
	int home = hd_limits_slots_home(call->key);
	int best = -1;

	*rank = RANK_KEEP;
	*until = HD_SLOT_CLOSED;
	for (int i = 0; i < HD_SLOT_WAYS && !(i == 1 && *rank == RANK_DRAINED); i++)
	{
		int way = (home + i) % HD_SLOT_WAYS;
		uint64 u = pg_atomic_read_u64(&set->slots[way].until);
		SlotRank r =
			(set->tags[way] == 0) ? RANK_DRAINED : rank_of(&set->slots[way], (int64) u, call);

		/* one that is closed belongs to a call on several buckets, this session's */
		if (u == HD_SLOT_CLOSED)
			continue;
		if (r < *rank || (r == *rank && u < *until))
		{
			best = way;
			*rank = r;
			*until = u;
		}
	}
	return best;
}

void
hd_limits_slots_dress(HdSlot *slot, const HdLimitCall *call)
{
	slot->algorithm = (uint8) call->policy->algorithm;
	slot->strict = call->policy->strict;
	slot->keep = (uint8) call->policy->keep;
	slot->emission = call->gcra.emission;
}

/*
 * A slot for a key that has none, its bucket full; NULL when there is no room.
 * What was forgotten had drained by a time that the caller's may lie before,
 * so the new bucket is full as of that time and not earlier.
 */
HdSlot *
hd_limits_slots_create(HdSlotSet *set, const HdLimitCall *call, int64 *room_at)
{
	HdSlot *slot;
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
	} while (!pg_atomic_compare_exchange_u64(&slot->until, &until, HD_SLOT_CLOSED));

	if (rank == RANK_LIVE)
		hd_counters_add(HD_COUNTER_LIMITS_EVICTED, 1);
	else if (!slot->moved)
		set->latest = Max(set->latest, (int64) until);
	hd_limits_log_reset(pool, &slot->log);
	memcpy(slot->hash, call->key->hash, sizeof(slot->hash));
	slot->moved = call->key->moved;
	hd_limits_slots_dress(slot, call);
	set->tags[way] = hd_limits_slots_tag(call->key);
	until = (uint64) (call->now * HD_NS_PER_US);
	if (!slot->moved)
		until = Max(until, (uint64) set->latest);
	pg_write_barrier();
	pg_atomic_write_u64(&slot->until, until);
	return slot;
}

uint64
hd_limits_slots_close(HdSlot *slot)
{
	uint64 until = pg_atomic_read_u64(&slot->until);

	while (!pg_atomic_compare_exchange_u64(&slot->until, &until, HD_SLOT_CLOSED))
		;
	return until;
}

/* Units that a log has in use under the policy that it had, and forget them. */
static int64
forget_log(HdSlot *slot, int64 until, int64 now)
{
	int64 used;

	if (slot->log.newest == 0)
		return 0;
	hd_limits_log_prune(pool, &slot->log, until / HD_NS_PER_US - hd_limits_log_newest(&slot->log),
						now);
	used = slot->log.used;
	hd_limits_log_reset(pool, &slot->log);
	return used;
}

/* Units that a slot owes under the algorithm that it had, and forget them. */
static int64
forget(HdSlot *slot, int64 until, int64 now)
{
	int64 used = 0;

	switch ((HdLimitAlgorithm) slot->algorithm)
	{
		case HD_LIMIT_GCRA:
			used = hd_limits_gcra_used(slot->emission, until, now * HD_NS_PER_US);
			break;
		case HD_LIMIT_LOG:
			used = forget_log(slot, until, now);
			break;
		case HD_LIMIT_WINDOW:
			used = (until > now * HD_NS_PER_US) ? slot->log.used : 0;
			hd_limits_log_init(&slot->log);
			break;
		case HD_LIMIT_CONCURRENCY:
			break;
	}
	return used;
}

/*
 * To a bucket.  More than fits at once counts as all of it; but a strict one
 * remembers what a log had granted in its window, so that a window over the
 * change is no fuller.
 */
static int64
adapt_to_gcra(HdSlot *slot, const HdLimitCall *call, int64 until)
{
	int64 now = call->now * HD_NS_PER_US;
	int64 most = call->gcra.burst + (call->policy->strict ? call->policy->count : 0);
	int64 used;

	if (slot->algorithm == HD_LIMIT_GCRA)
		return hd_limits_gcra_rescale(&call->gcra, slot->emission, until, most, now);
	used = forget(slot, until, call->now);
	return hd_limits_gcra_charge(&call->gcra, Min(used, most), now);
}

/* To a log: what is owed was taken just now. */
static int64
adapt_to_log(HdSlot *slot, const HdLimitCall *call, int64 until)
{
	int64 used;
	bool coarse;

	if (slot->algorithm == HD_LIMIT_LOG)
		return until;
	used = forget(slot, until, call->now);
	if (hd_limits_log_take(pool, &slot->log, call->policy->count, used, false, call->now,
						   &coarse) == 0)
		return call->now * HD_NS_PER_US;
	return (call->now + call->policy->period_us) * HD_NS_PER_US;
}

/* To a window: what is owed was taken in the one that runs. */
static int64
adapt_to_window(HdSlot *slot, const HdLimitCall *call, int64 until)
{
	int64 used = forget(slot, until, call->now);

	slot->log.used = (int32) Min(used, PG_INT32_MAX);
	return ((used > 0) ? call->window_end : call->now) * HD_NS_PER_US;
}

void
hd_limits_slots_adapt(HdSlot *slot, const HdLimitCall *call)
{
	int64 until = (int64) hd_limits_slots_close(slot);

	hd_limits_slots_set_mark(slot, 0);
	switch (call->policy->algorithm)
	{
		case HD_LIMIT_GCRA:
			until = adapt_to_gcra(slot, call, until);
			break;
		case HD_LIMIT_LOG:
			until = adapt_to_log(slot, call, until);
			break;
		case HD_LIMIT_WINDOW:
			until = adapt_to_window(slot, call, until);
			break;
		case HD_LIMIT_CONCURRENCY:
			break;
	}
	hd_limits_slots_dress(slot, call);
	pg_write_barrier();
	pg_atomic_write_u64(&slot->until, (uint64) until);
}
