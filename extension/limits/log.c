/*-------------------------------------------------------------------------
 * log.c
 *		The exact sliding log: never more than count in any window.
 *
 * Model: see log.h.  Runs are in order of their times, all different.  A run
 * may hold 0 units after a refund; it goes when its time comes, or as the
 * newest when the next one does.
 *
 * The pool is a stack of free chunks.  Its word holds the index of the first
 * in the low half and a number in the high half that changes with every
 * change, so that a compare-and-swap fails where the same chunk was taken
 * and put back in between.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/log.h"

#define UNIT_BITS 10
#define RUN(at, units) (((uint64) (at) << UNIT_BITS) | (uint64) (units))
#define RUN_AT(run) ((int64) ((run) >> UNIT_BITS))
#define RUN_UNITS(run) ((int64) ((run) & ((UINT64CONST(1) << UNIT_BITS) - 1)))

StaticAssertDecl(HD_LOG_MAX_COUNT < (1 << UNIT_BITS), "a run holds any number of units");
StaticAssertDecl(sizeof(HdLogChunk) == 64, "a chunk is a cache line");

/* All runs of a log, oldest first. */
typedef struct Walk
{
	const HdLogPool *pool;
	HdLog *log;
	int32 chunk; /* HD_LOG_NO_CHUNK: only the newest is left, or nothing */
	int index;
	bool ended;
} Walk;

void
hd_limits_log_pool_init(HdLogPool *pool, HdLogChunk *chunks, uint64 size)
{
	pool->chunks = chunks;
	pool->size = size;
	for (uint64 i = 0; i < size; i++)
		chunks[i].next = (i + 1 < size) ? (int32) (i + 1) : HD_LOG_NO_CHUNK;
	pg_atomic_init_u64(&pool->free, (size > 0) ? 0 : (uint32) HD_LOG_NO_CHUNK);
}

static uint64
pool_word(uint64 before, int32 first)
{
	return (((before >> 32) + 1) << 32) | (uint32) first;
}

static int32
pool_get(HdLogPool *pool)
{
	uint64 word = pg_atomic_read_u64(&pool->free);

	for (;;)
	{
		int32 first = (int32) (uint32) word;

		if (first == HD_LOG_NO_CHUNK)
			return HD_LOG_NO_CHUNK;
		/* Another may use the chunk by now and next be nonsense; then the exchange fails. */
		if (pg_atomic_compare_exchange_u64(&pool->free, &word,
										   pool_word(word, pool->chunks[first].next)))
			return first;
	}
}

static void
pool_put(HdLogPool *pool, int32 chunk)
{
	uint64 word = pg_atomic_read_u64(&pool->free);

	do
		pool->chunks[chunk].next = (int32) (uint32) word;
	while (!pg_atomic_compare_exchange_u64(&pool->free, &word, pool_word(word, chunk)));
}

void
hd_limits_log_init(HdLog *log)
{
	log->newest = 0;
	log->head = log->tail = HD_LOG_NO_CHUNK;
	log->used = 0;
}

static void
drop_head(HdLogPool *pool, HdLog *log)
{
	int32 chunk = log->head;

	log->head = pool->chunks[chunk].next;
	if (log->head == HD_LOG_NO_CHUNK)
		log->tail = HD_LOG_NO_CHUNK;
	pool_put(pool, chunk);
}

void
hd_limits_log_reset(HdLogPool *pool, HdLog *log)
{
	while (log->head != HD_LOG_NO_CHUNK)
		drop_head(pool, log);
	hd_limits_log_init(log);
}

void
hd_limits_log_prune(HdLogPool *pool, HdLog *log, int64 period, int64 now)
{
	int64 gone = now - period; /* what was granted then or before */

	while (log->head != HD_LOG_NO_CHUNK)
	{
		HdLogChunk *chunk = &pool->chunks[log->head];

		while (chunk->first < chunk->end && RUN_AT(chunk->runs[chunk->first]) <= gone)
			log->used -= RUN_UNITS(chunk->runs[chunk->first++]);
		if (chunk->first < chunk->end)
			return;
		drop_head(pool, log);
	}
	if (log->newest != 0 && RUN_AT(log->newest) <= gone)
		hd_limits_log_init(log);
}

/* The newest run becomes one of the others; false when there is no chunk for it. */
static bool
push_newest(HdLogPool *pool, HdLog *log)
{
	HdLogChunk *chunk;

	if (log->tail == HD_LOG_NO_CHUNK || pool->chunks[log->tail].end == HD_LOG_CHUNK_RUNS)
	{
		int32 fresh = pool_get(pool);

		if (fresh == HD_LOG_NO_CHUNK)
			return false;
		pool->chunks[fresh].next = HD_LOG_NO_CHUNK;
		pool->chunks[fresh].first = pool->chunks[fresh].end = 0;
		if (log->tail == HD_LOG_NO_CHUNK)
			log->head = fresh;
		else
			pool->chunks[log->tail].next = fresh;
		log->tail = fresh;
	}
	chunk = &pool->chunks[log->tail];
	chunk->runs[chunk->end++] = log->newest;
	return true;
}

int64
hd_limits_log_take(HdLogPool *pool, HdLog *log, int32 count, int64 want, bool whole, int64 now,
				   bool *coarse)
{
	int64 room = Max(count - log->used, 0);
	int64 n = want;
	int64 before = 0;

	Assert(count <= HD_LOG_MAX_COUNT);
	*coarse = false;
	if (want > room)
		n = whole ? 0 : room;
	if (n <= 0)
		return 0;
	if (log->newest != 0 && now <= RUN_AT(log->newest))
	{
		now = RUN_AT(log->newest);
		before = RUN_UNITS(log->newest);
	}
	else if (RUN_UNITS(log->newest) > 0 && !push_newest(pool, log))
	{
		before = RUN_UNITS(log->newest);
		*coarse = true;
	}
	log->newest = RUN(now, before + n);
	log->used += (int32) n;
	return n;
}

static void
walk_begin(Walk *walk, const HdLogPool *pool, HdLog *log)
{
	walk->pool = pool;
	walk->log = log;
	walk->chunk = log->head;
	walk->index = (log->head != HD_LOG_NO_CHUNK) ? pool->chunks[log->head].first : 0;
	walk->ended = (log->newest == 0);
}

/* The next run, NULL at the end. */
static uint64 *
walk_next(Walk *walk)
{
	if (walk->ended)
		return NULL;
	while (walk->chunk != HD_LOG_NO_CHUNK)
	{
		HdLogChunk *chunk = &walk->pool->chunks[walk->chunk];

		if (walk->index < chunk->end)
			return &chunk->runs[walk->index++];
		walk->chunk = chunk->next;
		walk->index = 0;
	}
	walk->ended = true;
	return &walk->log->newest;
}

int64
hd_limits_log_fits_at(const HdLogPool *pool, const HdLog *log, int32 count, int64 period, int64 n,
					  int64 now)
{
	int64 surplus = log->used + n - count; /* units that must go first */
	int64 at = now;
	HdLog copy = *log;
	Walk walk;
	uint64 *run;

	walk_begin(&walk, pool, &copy);
	while (surplus > 0 && (run = walk_next(&walk)) != NULL)
	{
		surplus -= RUN_UNITS(*run);
		at = RUN_AT(*run) + period;
	}
	return Max(at, now);
}

/*
 * What was taken at an instant stands in the first run of that time or later:
 * later where precision was lost or the clock had gone back.
 */
int64
hd_limits_log_refund(const HdLogPool *pool, HdLog *log, int64 period, int64 n, int64 taken_at,
					 int64 now)
{
	Walk walk;
	uint64 *run;

	if (taken_at <= now - period)
		return 0;
	walk_begin(&walk, pool, log);
	while ((run = walk_next(&walk)) != NULL)
	{
		if (RUN_AT(*run) < taken_at)
			continue;
		n = Min(n, RUN_UNITS(*run));
		*run = RUN(RUN_AT(*run), RUN_UNITS(*run) - n);
		log->used -= (int32) n;
		return n;
	}
	return 0;
}

int64
hd_limits_log_refund_newest(const HdLogPool *pool, HdLog *log, int64 n)
{
	int64 gone = Min(n, log->used);
	int64 left = log->used - gone; /* units older than those */
	Walk walk;
	uint64 *run;

	walk_begin(&walk, pool, log);
	while ((run = walk_next(&walk)) != NULL)
	{
		int64 stays = Min(left, RUN_UNITS(*run));

		*run = RUN(RUN_AT(*run), stays);
		left -= stays;
	}
	log->used -= (int32) gone;
	return gone;
}

int64
hd_limits_log_newest(const HdLog *log)
{
	return RUN_AT(log->newest);
}

int
hd_limits_log_copy(const HdLogPool *pool, const HdLog *log, uint64 *runs, int most)
{
	uint64 left = pool->size; /* chunks that there can be: what is damaged may be a ring */
	int n = 0;

	if (log->newest == 0)
		return 0;
	for (int32 at = log->head; at != HD_LOG_NO_CHUNK; at = pool->chunks[at].next)
	{
		const HdLogChunk *chunk;

		if (left-- == 0 || at < 0 || (uint64) at >= pool->size)
			return -1;
		chunk = &pool->chunks[at];
		for (int i = chunk->first; i < chunk->end && i < HD_LOG_CHUNK_RUNS; i++)
		{
			if (RUN_UNITS(chunk->runs[i]) == 0)
				continue;
			if (n + 1 >= most)
				return -1;
			runs[n++] = chunk->runs[i];
		}
	}
	runs[n++] = log->newest;
	return n;
}

void
hd_limits_log_append(HdLogPool *pool, HdLog *log, uint64 run)
{
	int64 before = 0;

	if (log->newest != 0 && !push_newest(pool, log))
		before = RUN_UNITS(log->newest);
	log->newest = RUN(RUN_AT(run), before + RUN_UNITS(run));
	log->used += (int32) RUN_UNITS(run);
}

int64
hd_limits_log_run_at(uint64 run)
{
	return RUN_AT(run);
}

int64
hd_limits_log_run_units(uint64 run)
{
	return RUN_UNITS(run);
}

bool
hd_limits_log_is_sane(const uint64 *runs, int n, int64 units)
{
	if (n < 1 || units < 0 || units > HD_LOG_MAX_COUNT)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (RUN_AT(runs[i]) <= 0 || RUN_AT(runs[i]) > HD_LOG_MAX_US ||
			(i > 0 && RUN_AT(runs[i]) <= RUN_AT(runs[i - 1])))
			return false;
		units -= RUN_UNITS(runs[i]);
	}
	return units == 0;
}
