/*-------------------------------------------------------------------------
 * top.c
 *		Which keys were refused most, in bounded memory.
 *
 * Model: see top.h.  Free counters count 0, so that they are taken first and
 * bring no error.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/top.h"

#define HOUR_US (INT64CONST(3600) * 1000000)

static int64
hour_of(int64 at)
{
	return at / HOUR_US;
}

int
hd_limits_top_turn(HdTop *top, int64 at)
{
	int64 hours = hour_of(at) - top->hour;

	if (hours <= 0)
		return 0;
	if (hours == 1)
		top->periods[1] = top->periods[0];
	else
		memset(&top->periods[1], 0, sizeof(HdTopPeriod));
	memset(&top->periods[0], 0, sizeof(HdTopPeriod));
	top->hour = hour_of(at);
	return (int) Min(hours, HD_TOP_PERIODS);
}

HdTopPeriod *
hd_limits_top_period(HdTop *top, int64 at)
{
	int64 back = top->hour - hour_of(at);

	return (back < HD_TOP_PERIODS) ? &top->periods[Max(back, 0)] : NULL;
}

static uint64
tag_of(const HdDeniedKey *key)
{
	return key->hash[1] + key->kind * 2 + key->moved;
}

int
hd_limits_top_find(const HdTopPeriod *period, const HdDeniedKey *key)
{
	uint64 tag = tag_of(key);

	for (int way = 0; way < HD_TOP_WAYS; way++)
	{
		if (period->tags[way] == tag && period->counts[way] > 0 &&
			hd_limits_top_same(&period->keys[way], key))
			return way;
	}
	return -1;
}

static int
least(const HdTopPeriod *period)
{
	int found = 0;

	for (int way = 1; way < HD_TOP_WAYS; way++)
	{
		if (period->counts[way] < period->counts[found])
			found = way;
	}
	return found;
}

void
hd_limits_top_add(HdTopPeriod *period, const HdDeniedKey *key, uint64 weight, int64 at)
{
	int way = hd_limits_top_find(period, key);

	Assert(weight > 0);
	if (way < 0)
	{
		way = least(period);
		period->tags[way] = tag_of(key);
		period->keys[way] = *key;
		period->errors[way] = period->counts[way];
		period->last[way] = at;
	}
	period->counts[way] += weight;
	period->last[way] = Max(period->last[way], at);
}

uint64
hd_limits_top_floor(const HdTopPeriod *period)
{
	return period->counts[least(period)];
}
