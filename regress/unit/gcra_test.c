/*
 * gcra_test.c
 *	  Known answers of redis-cell, throttled and x/time/rate, and the laws against a model that
 *	  remembers every grant.
 */
#include "postgres.h"

#include "limits/gcra.h"

#include "check.h"
#include "random.h"

#define MS INT64CONST(1000000)
#define SECOND (1000 * MS)
#define NEVER (-1)

typedef struct Row
{
	int64 at; /* milliseconds */
	int64 cost;
	bool limited;
	int64 remaining;
	int64 reset; /* milliseconds after at */
	int64 retry; /* likewise, 0 when allowed */
} Row;

static const HdGcra *
prepared(int64 count, int64 period_s, int64 burst)
{
	static HdGcra gcra;

	if (!hd_limits_gcra_prepare(&gcra, count, period_s * 1000000, burst))
		abort();
	return &gcra;
}

/* One call and what it answers, as the reply of CL.THROTTLE. */
static Row
throttle(const HdGcra *gcra, int64 *tat, int64 at, int64 cost)
{
	int64 now = at * MS;
	int64 retry = hd_limits_gcra_fits_at(gcra, *tat, cost, now);
	bool limited = cost > hd_limits_gcra_room(gcra, *tat, now);
	int64 taken = hd_limits_gcra_take(gcra, tat, cost, true, now);
	Row row = {at, cost, limited, hd_limits_gcra_room(gcra, *tat, now), 0, 0};

	if (taken != (limited ? 0 : cost))
		abort();
	row.reset = (Max(*tat, now) - now) / MS;
	row.retry = (retry == HD_GCRA_NEVER) ? NEVER : (retry - now) / MS;
	return row;
}

static void
check_rows(const char *what, const HdGcra *gcra, const Row *rows, int n)
{
	int64 tat = 0;

	for (int i = 0; i < n; i++)
	{
		Row is = throttle(gcra, &tat, rows[i].at, rows[i].cost);

		CHECK(is.limited == rows[i].limited && is.remaining == rows[i].remaining &&
				  is.reset == rows[i].reset && is.retry == rows[i].retry,
			  "%s, row %d: %d, %ld, %ld, %ld", what, i, is.limited, (long) is.remaining,
			  (long) is.reset, (long) is.retry);
	}
}

static void
known_answers(void)
{
	static const Row cell[] = {{0, 6, true, 5, 0, NEVER},	   {0, 1, false, 4, 1000, 0},
							   {0, 1, false, 3, 2000, 0},	   {0, 1, false, 2, 3000, 0},
							   {0, 1, false, 1, 4000, 0},	   {0, 1, false, 0, 5000, 0},
							   {0, 1, true, 0, 5000, 1000},	   {3000, 1, false, 2, 3000, 0},
							   {3100, 1, false, 1, 3900, 0},   {4000, 1, false, 1, 4000, 0},
							   {8000, 1, false, 4, 1000, 0},   {9500, 1, false, 4, 1000, 0},
							   {9500, 0, false, 4, 1000, 0},   {9500, 2, false, 2, 3000, 0},
							   {9500, 5, true, 2, 3000, 3000}, {15000, 6, true, 5, 0, NEVER}};
	static const Row user123[] = {{0, 1, false, 15, 2000, 0}};
	static const Row one[] = {{0, 1, false, 0, 2000, 0}, {0, 1, true, 0, 2000, 2000}};
	static const Row fresh[] = {{0, 1, false, 5, 720000, 0}};
	static const Row login[] = {{0, 5, false, 0, 60000, 0},
								{0, 1, true, 0, 60000, 12000},
								{11999, 1, true, 0, 48001, 1},
								{12000, 1, false, 0, 60000, 0}};
	static const Row burst3[] = {{0, 2, false, 1, 200, 0},		{0, 2, true, 1, 200, 100},
								 {0, 1, false, 0, 300, 0},		{0, 1, true, 0, 300, 100},
								 {100, 4, true, 1, 200, NEVER}, {200, 1, false, 1, 200, 0},
								 {300, 1, false, 1, 200, 0},	{400, 1, false, 1, 200, 0},
								 {400, 1, false, 0, 300, 0},	{400, 1, true, 0, 300, 100},
								 {400, 1, true, 0, 300, 100},	{900, 3, false, 0, 300, 0},
								 {900, 0, false, 0, 300, 0}};
	static const Row oversized[] = {{0, 8, false, 2, 8000, 0},
									{0, 5, true, 2, 8000, 3000},
									{0, 2, false, 0, 10000, 0}};

	check_rows("redis-cell", prepared(1, 1, 5), cell, lengthof(cell));
	check_rows("user123 15 30 60", prepared(30, 60, 16), user123, lengthof(user123));
	check_rows("k 0 1 2", prepared(1, 2, 1), one, lengthof(one));
	check_rows("5 5 3600", prepared(5, 3600, 6), fresh, lengthof(fresh));
	check_rows("5 a minute", prepared(5, 60, 5), login, lengthof(login));
	check_rows("x/time/rate burst 3", prepared(10, 1, 3), burst3, lengthof(burst3));
	check_rows("a refused cost takes nothing", prepared(1, 1, 10), oversized, lengthof(oversized));
}

/* Calls of cost 1 in one instant until one is refused. */
static int
at_once(const HdGcra *gcra, int64 *tat, int64 now)
{
	int n = 0;

	while (hd_limits_gcra_take(gcra, tat, 1, true, now) == 1)
		n++;
	return n;
}

static void
presets(void)
{
	const HdGcra *gcra = prepared(100, 60, 100);
	int64 tat = 0;

	CHECK(at_once(gcra, &tat, 0) == 100, "100 a minute: 100 at once");
	CHECK(tat == 60 * SECOND, "100 a minute: full again after a minute");
	CHECK(hd_limits_gcra_fits_at(gcra, tat, 1, 0) == 600 * MS, "100 a minute: retry after 0.6 s");
	tat = 0;
	CHECK(at_once(prepared(6000, 1, 6001), &tat, 0) == 6001,
		  "6000 a second, 6001 at once, no more");
	tat = 0;
	CHECK(at_once(prepared(10000, 1, 2), &tat, 0) == 2 && tat == 200000,
		  "10,000 a second: the bucket knows of two calls");
}

static void
rounding(void)
{
	HdGcra gcra;
	bool ok = true;

	CHECK(prepared(6000, 1, 1)->emission == 166667, "6000 a second: rounded up to a nanosecond");
	CHECK(prepared(1000000, 1, 1)->emission == 1000, "a million a second: a microsecond");
	for (int i = 0; i < 100000; i++)
	{
		int64 count = 1 + random_below(INT64CONST(1) << random_below(31));
		int64 period = 1 + random_below(INT64CONST(1) << (1 + random_below(50)));

		ok &= hd_limits_gcra_prepare(&gcra, count, period, 1) &&
			  (__int128) gcra.emission * count >= (__int128) period * 1000 &&
			  (__int128) (gcra.emission - 1) * count < (__int128) period * 1000;
	}
	CHECK(ok, "the interval is the least that is not too short");
	CHECK(!hd_limits_gcra_prepare(&gcra, 1, INT64CONST(86400) * 1000000, 200000000),
		  "overflow: 200 million days");
	CHECK(!hd_limits_gcra_prepare(&gcra, 1, PG_INT64_MAX / 999, 1), "overflow: the period");
	CHECK(!hd_limits_gcra_prepare(&gcra, 2, PG_INT64_MAX / 1000, PG_INT64_MAX), "overflow: both");
	CHECK(hd_limits_gcra_prepare(&gcra, 1, HD_GCRA_MAX_NS / 1000, 1), "the longest period");
	CHECK(hd_limits_gcra_fits_at(&gcra, HD_GCRA_MAX_NS, PG_INT64_MAX, 0) == HD_GCRA_NEVER,
		  "the greatest cost never fits");
}

/* A full minute's debt, looked at each millisecond by callers of two policies. */
static bool
alternating_drains(void)
{
	HdGcra gcra[2] = {*prepared(7, 60, 7), *prepared(100, 60, 100)};
	int64 tat = gcra[1].tolerance;
	int64 now = 0;

	tat = hd_limits_gcra_rescale(&gcra[0], gcra[1].emission, tat, 7, now);
	while (tat > now)
	{
		int64 at = now / MS;

		tat = hd_limits_gcra_rescale(&gcra[(at + 1) % 2], gcra[at % 2].emission, tat,
									 gcra[(at + 1) % 2].burst, now);
		now += MS;
	}
	return now > 6 * SECOND && now <= 61 * SECOND;
}

static void
carried_over(void)
{
	HdGcra small = *prepared(10, 60, 10);
	HdGcra large = *prepared(200, 60, 200);
	HdGcra gcra = *prepared(100, 60, 100);
	int64 tat = 2 * gcra.emission;

	CHECK(hd_limits_gcra_used(gcra.emission, tat, 0) == 2, "two of 100 are used");
	CHECK(hd_limits_gcra_room(&small, hd_limits_gcra_charge(&small, 2, 0), 0) == 8, "two of 10");
	CHECK(hd_limits_gcra_room(&large, hd_limits_gcra_charge(&large, 2, 0), 0) == 198, "two of 200");
	CHECK(hd_limits_gcra_fits_at(&small, hd_limits_gcra_charge(&small, 50, 0), 1, 0) ==
			  41 * small.emission,
		  "50 of 10: one fits when 41 have flowed off");
	CHECK(hd_limits_gcra_used(gcra.emission, 1, 0) == 1, "a part of a unit is one");
	CHECK(hd_limits_gcra_rescale(&small, gcra.emission, tat, 10, 0) == 2 * small.emission,
		  "two of 100 are two of 10");
	CHECK(hd_limits_gcra_rescale(&small, gcra.emission, 50 * gcra.emission, 10, 0) ==
			  small.tolerance,
		  "50 of 100 are all of 10");
	CHECK(alternating_drains(), "two policies that alternate do not keep a bucket in debt");
	CHECK(hd_limits_gcra_refund(&gcra, tat, 1, 0) == gcra.emission, "one given back");
	CHECK(hd_limits_gcra_refund(&gcra, tat, PG_INT64_MAX, 0) == 0, "never above full");
	CHECK(hd_limits_gcra_refund(&gcra, -5, 3, 0) == -5, "a full bucket takes nothing back");
}

/*
 * The model remembers all grants. A cost fits at now if for each earlier grant, what was granted from
 * it on is at most the burst and what flowed in since.
 */
#define STEPS 300

typedef struct Model
{
	int n;
	int64 at[STEPS];
	int64 cost[STEPS];
} Model;

static bool
model_fits(const Model *model, const HdGcra *gcra, int64 cost, int64 now)
{
	__int128 sum = cost;

	if (sum > gcra->burst)
		return false;
	for (int i = model->n - 1; i >= 0; i--)
	{
		sum += model->cost[i];
		if (sum * gcra->emission > (__int128) gcra->tolerance + (now - model->at[i]))
			return false;
	}
	return true;
}

static bool
model_agrees(void)
{
	static Model model;
	HdGcra gcra;
	int64 period = 1 + random_below(INT64CONST(1) << (1 + random_below(30)));
	int64 now = random_below(INT64CONST(1) << 59);
	int64 tat = 0;

	if (!hd_limits_gcra_prepare(&gcra, 1 + random_below(1000), period, 1 + random_below(50)))
		return false;
	model.n = 0;
	for (int i = 0; i < STEPS; i++)
	{
		int64 cost = 1 + random_below(gcra.burst + 2);
		bool whole = random_below(2) == 0;
		int64 most = 0;
		int64 taken;
		int64 retry;

		now += random_below(3) * random_below(gcra.emission * gcra.burst / 4 + 2);
		while (most < cost && model_fits(&model, &gcra, most + 1, now))
			most++;
		if (hd_limits_gcra_room(&gcra, tat, now) < most)
			return false;
		retry = hd_limits_gcra_fits_at(&gcra, tat, cost, now);
		if ((retry == HD_GCRA_NEVER) != (cost > gcra.burst))
			return false;
		if (retry != HD_GCRA_NEVER && !model_fits(&model, &gcra, cost, retry))
			return false;
		if (retry != HD_GCRA_NEVER && retry > now && model_fits(&model, &gcra, cost, retry - 1))
			return false;
		taken = hd_limits_gcra_take(&gcra, &tat, cost, whole, now);
		if (taken != ((whole && most < cost) ? 0 : most))
			return false;
		if (taken > 0)
		{
			model.at[model.n] = now;
			model.cost[model.n++] = taken;
		}
	}
	return true;
}

/* Whatever the clock does, no more is granted than its latest time allows. */
static bool
backward_clock_grants_nothing(void)
{
	HdGcra gcra = *prepared(1 + random_below(100), 1, 1 + random_below(20));
	int64 now = 1000 * SECOND;
	int64 latest = now;
	int64 first = now;
	int64 tat = 0;
	int64 granted = 0;

	for (int i = 0; i < STEPS; i++)
	{
		now += random_below(SECOND) - random_below(SECOND);
		latest = Max(latest, now);
		first = Min(first, now);
		granted += hd_limits_gcra_take(&gcra, &tat, 3, false, now);
		if (granted * gcra.emission > gcra.tolerance + (latest - first))
			return false;
	}
	return granted > 0;
}

int
main(void)
{
	bool agrees = true;
	bool backward = true;

	known_answers();
	presets();
	rounding();
	carried_over();
	for (int i = 0; i < 3000; i++)
		agrees &= model_agrees();
	CHECK(agrees, "900,000 random calls: grants and retry times as the model, to the nanosecond");
	for (int i = 0; i < 3000; i++)
		backward &= backward_clock_grants_nothing();
	CHECK(backward, "a clock that goes back and forth grants nothing twice");
	return check_end();
}
