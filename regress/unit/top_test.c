/*
 * top_test.c
 *	  Streams of keys against exact counts: what Space-Saving says of a key is never less than what was
 *	  added, nor what it says at least ever more, whoever was added often is there, and hours are forgotten.
 */
#include "postgres.h"

#include "limits/top.h"

#include "check.h"
#include "random.h"

#define KEYS 400
#define HOUR (INT64CONST(3600) * 1000000)

static HdTop top;
static uint64 truth[KEYS];

static HdDeniedKey
key_of(int n)
{
	HdDeniedKey key;

	memset(&key, 0, sizeof(key));
	key.hash[0] = 7;
	key.hash[1] = UINT64CONST(0x9E3779B97F4A7C15) * (uint64) (n + 1);
	return key;
}

/* How many keys what the period says is wrong of, after total was added. */
static int
wrong(const HdTopPeriod *period, uint64 total)
{
	int bad = 0;

	for (int n = 0; n < KEYS; n++)
	{
		HdDeniedKey key = key_of(n);
		int way = hd_limits_top_find(period, &key);

		if (way < 0)
			bad += truth[n] > hd_limits_top_floor(period) || truth[n] > total / HD_TOP_WAYS;
		else
			bad += truth[n] > period->counts[way] ||
				   truth[n] < period->counts[way] - period->errors[way];
	}
	return bad;
}

/* A stream in which low numbers come the more often the greater skew is. */
static void
stream(int skew, int most_at_once)
{
	HdTopPeriod *period = hd_limits_top_period(&top, HOUR);
	uint64 total = 0;
	int bad = 0;

	memset(period, 0, sizeof(*period));
	memset(truth, 0, sizeof(truth));
	for (int i = 0; i < 20000; i++)
	{
		int64 n = random_below(KEYS);
		uint64 weight = (uint64) random_below(most_at_once) + 1;
		HdDeniedKey key;

		for (int again = 0; again < skew; again++)
			n = random_below(n + 1);
		key = key_of((int) n);
		hd_limits_top_add(period, &key, weight, HOUR + i);
		truth[n] += weight;
		total += weight;
		if (i % 97 == 0)
			bad += wrong(period, total);
	}
	CHECK(bad == 0 && wrong(period, total) == 0, "skew %d, up to %d at once: bounds hold", skew,
		  most_at_once);
}

static void
few(void)
{
	HdTopPeriod *period = hd_limits_top_period(&top, HOUR);
	HdDeniedKey key = key_of(3);
	int way;

	memset(period, 0, sizeof(*period));
	CHECK(hd_limits_top_find(period, &key) < 0 && hd_limits_top_floor(period) == 0,
		  "nothing is there");
	for (int n = 0; n < HD_TOP_WAYS; n++)
	{
		HdDeniedKey one = key_of(n);

		hd_limits_top_add(period, &one, (uint64) n + 1, 100 - n);
	}
	hd_limits_top_add(period, &key, 10, 5);
	way = hd_limits_top_find(period, &key);
	CHECK(period->counts[way] == 14 && period->errors[way] == 0, "as many keys as counters: exact");
	CHECK(period->last[way] == 97, "the latest time stays");
	key.kind = HD_DENIED_SHADOW;
	CHECK(hd_limits_top_find(period, &key) < 0, "of another kind it is another");
	hd_limits_top_add(period, &key, 1, 200);
	way = hd_limits_top_find(period, &key);
	CHECK(period->counts[way] == 2 && period->errors[way] == 1 && period->last[way] == 200,
		  "one more takes over the least");
	key = key_of(0);
	CHECK(hd_limits_top_find(period, &key) < 0, "which is gone");
}

static void
hours(void)
{
	HdDeniedKey key = key_of(1);

	memset(&top, 0, sizeof(top));
	CHECK(hd_limits_top_turn(&top, 10 * HOUR + 5) == HD_TOP_PERIODS, "the first turn forgets all");
	hd_limits_top_add(hd_limits_top_period(&top, 10 * HOUR), &key, 3, 10 * HOUR);
	CHECK(hd_limits_top_turn(&top, 11 * HOUR - 1) == 0, "an hour is one");
	CHECK(hd_limits_top_turn(&top, 11 * HOUR) == 1 &&
			  hd_limits_top_find(&top.periods[0], &key) < 0 &&
			  hd_limits_top_find(&top.periods[1], &key) == 0,
		  "then it is the one before");
	CHECK(hd_limits_top_turn(&top, 9 * HOUR) == 0 && top.hour == 11,
		  "a clock set back turns nothing");
	CHECK(hd_limits_top_period(&top, 11 * HOUR + 1) == &top.periods[0] &&
			  hd_limits_top_period(&top, 10 * HOUR) == &top.periods[1] &&
			  hd_limits_top_period(&top, 9 * HOUR) == NULL &&
			  hd_limits_top_period(&top, 12 * HOUR) == &top.periods[0],
		  "what is older is not counted");
	CHECK(hd_limits_top_turn(&top, 13 * HOUR) == 2 && hd_limits_top_find(&top.periods[1], &key) < 0,
		  "two hours on, all is forgotten");
}

int
main(void)
{
	few();
	for (int skew = 0; skew < 5; skew++)
	{
		stream(skew, 1);
		stream(skew, 1000);
	}
	hours();
	return check_end();
}
