/*
 * window_test.c
 *	  Under a window policy no window holds more than count grants, and 95 % of it can be used.
 */
#include "postgres.h"

#include "limits/gcra.h"
#include "limits/limits.h"
#include "limits/log.h"

#include "check.h"
#include "random.h"

#define STEPS 4000
#define CHUNKS 1024

static HdLogChunk chunks[CHUNKS];
static HdLogPool pool;
static int64 at[STEPS];
static int64 granted[STEPS];

typedef struct Bucket
{
	HdLimitPolicy policy;
	HdGcra gcra;
	int64 tat;
	HdLog log;
} Bucket;

static bool
open_bucket(Bucket *bucket, int32 count, int64 period)
{
	bucket->policy = hd_limits_window_policy(count, period);
	bucket->tat = 0;
	hd_limits_log_pool_init(&pool, chunks, CHUNKS);
	hd_limits_log_init(&bucket->log);
	return bucket->policy.algorithm == HD_LIMIT_LOG ||
		   hd_limits_gcra_prepare(&bucket->gcra, bucket->policy.count, bucket->policy.period_us,
								  bucket->policy.burst);
}

static int64
take(Bucket *bucket, int64 want, int64 now)
{
	bool coarse;

	if (bucket->policy.algorithm == HD_LIMIT_GCRA)
		return hd_limits_gcra_take(&bucket->gcra, &bucket->tat, want, false, now * 1000);
	hd_limits_log_prune(&pool, &bucket->log, bucket->policy.period_us, now);
	return hd_limits_log_take(&pool, &bucket->log, bucket->policy.count, want, false, now, &coarse);
}

static int64
fullest(int n, int64 period)
{
	int64 sum = 0;
	int64 most = 0;
	int first = 0;

	for (int i = 0; i < n; i++)
	{
		sum += granted[i];
		while (at[first] <= at[i] - period)
			sum -= granted[first++];
		most = Max(most, sum);
	}
	return most;
}

static int32
some_count(void)
{
	static const int32 edges[] = {1, 2, 999, 1000, 1001, 1024, 1025, 5000, 1000000};

	if (random_below(2) == 0)
		return edges[random_below(lengthof(edges))];
	return 1 + (int32) random_below(INT64CONST(1) << (1 + random_below(20)));
}

/* Greedy and idle by turns. */
static bool
never_more(void)
{
	Bucket bucket;
	int32 count = some_count();
	int64 period = 1 + random_below(INT64CONST(1) << (1 + random_below(42)));
	int64 now = random_below(INT64CONST(1) << 50);
	int64 step = 1 + period / (1 + random_below(500));

	if (!open_bucket(&bucket, count, period))
		return false;
	for (int i = 0; i < STEPS; i++)
	{
		now += random_below(20) == 0 ? random_below(2 * period + 1) : random_below(step);
		at[i] = now;
		granted[i] = take(&bucket, 1 + random_below(random_below(3) == 0 ? 2 * count : 10), now);
	}
	return fullest(STEPS, period) <= count;
}

/* Asked for all there is, a hundred times a period. */
static bool
nearly_all(void)
{
	Bucket bucket;
	int32 count = some_count();
	int64 period = Max(INT64CONST(100000), count / 10) + random_below(INT64CONST(1) << 40);
	int64 now = random_below(INT64CONST(1) << 50);
	int64 sum = 0;

	if (!open_bucket(&bucket, count, period))
		return false;
	for (int i = 0; i < 2000; i++)
	{
		now += period / 100;
		sum += take(&bucket, 2 * (int64) count, now);
	}
	return sum >= 19 * (int64) count; /* 95 % of twenty periods */
}

int
main(void)
{
	bool exact = true;
	bool used = true;

	for (int i = 0; i < 2000; i++)
		exact &= never_more();
	CHECK(exact, "8 million random calls: no window holds more than count");
	for (int i = 0; i < 2000; i++)
		used &= nearly_all();
	CHECK(used, "95 %% of count can be used in each period");
	return check_end();
}
