/*
 * log_test.c
 *	  The exact log against a model that remembers every unit.
 */
#include "postgres.h"

#include "limits/log.h"

#include "check.h"
#include "random.h"

#define STEPS 400
#define CHUNKS 256

static HdLogChunk chunks[CHUNKS];
static HdLogPool pool;

typedef struct Model
{
	int n;
	int64 at[STEPS];
	int64 units[STEPS];
} Model;

static int64
model_used(const Model *model, int64 period, int64 now)
{
	int64 used = 0;

	for (int i = 0; i < model->n; i++)
		used += (model->at[i] > now - period) ? model->units[i] : 0;
	return used;
}

/* The most units in any window: each may begin at a grant. */
static int64
model_fullest(const Model *model, int64 period)
{
	int64 most = 0;

	for (int i = 0; i < model->n; i++)
	{
		int64 sum = 0;

		for (int j = 0; j < model->n; j++)
			sum += (model->at[j] >= model->at[i] && model->at[j] < model->at[i] + period)
					   ? model->units[j]
					   : 0;
		most = Max(most, sum);
	}
	return most;
}

static int
pool_free(void)
{
	int n = 0;

	for (int32 c = (int32) (uint32) pg_atomic_read_u64(&pool.free); c != HD_LOG_NO_CHUNK;
		 c = chunks[c].next)
		n++;
	return n;
}

/* A random walk; with enough chunks it is exact, without it never grants too much. */
static bool
walk(int nchunks, bool *lost_precision)
{
	static Model model;
	HdLog log;
	int32 count = 1 + (int32) random_below(random_below(4) == 0 ? HD_LOG_MAX_COUNT : 30);
	int64 period = 1 + random_below(INT64CONST(1) << (1 + random_below(40)));
	int64 now = random_below(INT64CONST(1) << 51);

	hd_limits_log_pool_init(&pool, chunks, nchunks);
	hd_limits_log_init(&log);
	model.n = 0;
	for (int i = 0; i < STEPS; i++)
	{
		int64 want = random_below(count / 8 + 3);
		bool whole = random_below(2) == 0;
		bool coarse;
		int64 room;
		int64 taken;

		now += random_below(3) * random_below(period / (1 + random_below(20)) + 2);
		hd_limits_log_prune(&pool, &log, period, now);
		room = count - model_used(&model, period, now);
		if (nchunks == CHUNKS && log.used != count - room)
			return false;
		if (want > 0 && want <= count)
		{
			int64 fits = hd_limits_log_fits_at(&pool, &log, count, period, want, now);

			if (nchunks == CHUNKS && count - model_used(&model, period, fits) < want)
				return false;
			if (nchunks == CHUNKS && fits > now &&
				count - model_used(&model, period, fits - 1) >= want)
				return false;
		}
		taken = hd_limits_log_take(&pool, &log, count, want, whole, now, &coarse);
		*lost_precision |= coarse;
		if (nchunks == CHUNKS && (coarse || taken != ((want <= room) ? want : whole ? 0 : room)))
			return false;
		if (taken > 0)
		{
			model.at[model.n] = now;
			model.units[model.n++] = taken;
		}
		if (model.n > 0 && random_below(8) == 0)
		{
			int which = (int) random_below(model.n);
			int64 back =
				hd_limits_log_refund(&pool, &log, period, model.units[which], model.at[which], now);

			if (back > 0 && nchunks == CHUNKS && model.at[which] <= now - period)
				return false;
			/* units of one instant are one run, and nobody can tell them apart */
			for (int j = 0; j < model.n && back > 0; j++)
			{
				int64 part = (model.at[j] == model.at[which]) ? Min(back, model.units[j]) : 0;

				model.units[j] -= part;
				back -= part;
			}
		}
	}
	if (model_fullest(&model, period) > count)
		return false;
	hd_limits_log_reset(&pool, &log);
	return pool_free() == nchunks;
}

static bool
walks(int n, int nchunks, bool *lost_precision)
{
	bool ok = true;

	*lost_precision = false;
	for (int i = 0; i < n; i++)
		ok &= walk(nchunks, lost_precision);
	return ok;
}

static void
half_open(void)
{
	HdLog log;
	bool coarse;

	hd_limits_log_pool_init(&pool, chunks, CHUNKS);
	hd_limits_log_init(&log);
	for (int i = 0; i < 5; i++)
		(void) hd_limits_log_take(&pool, &log, 5, 1, true, 1000 + i, &coarse);
	hd_limits_log_prune(&pool, &log, 60, 1059);
	CHECK(hd_limits_log_take(&pool, &log, 5, 1, true, 1059, &coarse) == 0,
		  "the last microsecond of the window is in it");
	CHECK(hd_limits_log_fits_at(&pool, &log, 5, 60, 1, 1059) == 1060, "and says so");
	CHECK(hd_limits_log_fits_at(&pool, &log, 5, 60, 3, 1059) == 1062, "three fit later");
	hd_limits_log_prune(&pool, &log, 60, 1060);
	CHECK(hd_limits_log_take(&pool, &log, 5, 2, true, 1060, &coarse) == 0, "two do not fit");
	CHECK(hd_limits_log_take(&pool, &log, 5, 2, false, 1060, &coarse) == 1, "one of two does");
	CHECK(hd_limits_log_refund(&pool, &log, 60, 9, 1060, 1060) == 1, "it is given back, once");
	CHECK(hd_limits_log_refund(&pool, &log, 60, 9, 1060, 1060) == 0, "and not twice");
	hd_limits_log_prune(&pool, &log, 60, 2000);
	CHECK(log.used == 0 && log.newest == 0 && pool_free() == CHUNKS, "all of it ends");
}

/* Batches and single units that need no chunk. */
static void
frugal(void)
{
	HdLog log;
	bool coarse;

	hd_limits_log_pool_init(&pool, chunks, 0);
	hd_limits_log_init(&log);
	CHECK(hd_limits_log_take(&pool, &log, 1000, 1000, true, 7, &coarse) == 1000 && !coarse,
		  "1000 units at once need no chunk");
	hd_limits_log_init(&log);
	(void) hd_limits_log_take(&pool, &log, 5, 1, true, 10, &coarse);
	CHECK(hd_limits_log_take(&pool, &log, 5, 1, true, 20, &coarse) == 1 && coarse,
		  "without a chunk the second is granted");
	hd_limits_log_prune(&pool, &log, 60, 70);
	CHECK(log.used == 2, "and the first counts as long as it");
}

/* A log that was copied and put together again is the one it was. */
static void
copied(void)
{
	uint64 runs[HD_LOG_MAX_COUNT + 1];
	uint64 again[HD_LOG_MAX_COUNT + 1];
	HdLog log;
	HdLog copy;
	bool coarse;
	int n;

	hd_limits_log_pool_init(&pool, chunks, CHUNKS);
	hd_limits_log_init(&log);
	hd_limits_log_init(&copy);
	CHECK(hd_limits_log_copy(&pool, &log, runs, 1) == 0, "an empty log has no runs");
	for (int i = 1; i <= 50; i++)
		(void) hd_limits_log_take(&pool, &log, 200, 1 + i % 3, true, 1000 * i, &coarse);
	(void) hd_limits_log_refund(&pool, &log, 1000000, 9, 7000, 50000);
	(void) hd_limits_log_refund_newest(&pool, &log, 1 + 50 % 3);
	n = hd_limits_log_copy(&pool, &log, runs, lengthof(runs));
	CHECK(n == 49, "runs without units are left out, but for the newest");
	CHECK(hd_limits_log_is_sane(runs, n, log.used), "and have its units");
	CHECK(!hd_limits_log_is_sane(runs, n, log.used + 1) && !hd_limits_log_is_sane(runs, 0, 0),
		  "no others");
	CHECK(hd_limits_log_copy(&pool, &log, again, 48) < 0, "there must be room for them");
	for (int i = 0; i < n; i++)
		hd_limits_log_append(&pool, &copy, runs[i]);
	CHECK(copy.used == log.used && hd_limits_log_newest(&copy) == 50000, "its units and end are there");
	CHECK(hd_limits_log_copy(&pool, &copy, again, lengthof(again)) == n &&
			  memcmp(runs, again, sizeof(uint64) * n) == 0,
		  "and its runs");
	chunks[log.tail].next = log.head;
	CHECK(hd_limits_log_copy(&pool, &log, again, lengthof(again)) < 0, "a ring of chunks ends");
	hd_limits_log_pool_init(&pool, chunks, 0);
	hd_limits_log_init(&copy);
	for (int i = 0; i < n; i++)
		hd_limits_log_append(&pool, &copy, runs[i]);
	CHECK(copy.used == log.used && copy.newest != 0 && hd_limits_log_newest(&copy) == 50000,
		  "without chunks all of it counts as long as the newest");
	for (int i = 0; i < 1000; i++)
	{
		(void) hd_limits_log_take(&pool, &copy, 1000, 1, true, 60000 + i, &coarse);
		(void) hd_limits_log_refund_newest(&pool, &copy, 1);
	}
	CHECK(copy.used == log.used, "what is given back at once");
	hd_limits_log_pool_init(&pool, chunks, CHUNKS);
	hd_limits_log_init(&copy);
	for (int i = 0; i < 1000; i++)
	{
		(void) hd_limits_log_take(&pool, &copy, 1000, 1, true, 60000 + i, &coarse);
		(void) hd_limits_log_refund_newest(&pool, &copy, 1);
	}
	CHECK(pool_free() == CHUNKS, "needs no chunks");
}

int
main(void)
{
	bool coarse;

	half_open();
	frugal();
	copied();
	CHECK(walks(1500, CHUNKS, &coarse) && !coarse,
		  "600,000 random calls: grants and retry times as the model, no chunk lost");
	CHECK(walks(1500, 3, &coarse) && coarse, "with 3 chunks: never more than count in any window");
	return check_end();
}
