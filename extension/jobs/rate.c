/*-------------------------------------------------------------------------
 * rate.c
 *		Rates of queues: how many jobs may begin in a period.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/rate.h"

#include "core/clock.h"
#include "jobs/tx.h"

void
hd_jobs_rate_set(HdJobRate *rate, const char *queue, int count, int64 period_us)
{
	rate->left = -1;
	if (count == 0)
		return;
	rate->policy = hd_limits_window_policy(count, period_us);
	rate->key = hd_limits_key("queue", queue, strlen(queue));
	rate->left = 0;
}

void
hd_jobs_rate_look(HdJobQueues *queues, TimestampTz *next)
{
	TimestampTz now = hd_clock_now();

	for (int i = 0; i < queues->n; i++)
	{
		HdJobRate *rate = &queues->rates[i];
		HdLimitAnswer answer;

		if (rate->left < 0)
			continue;
		answer = hd_limits_take(&rate->key, &rate->policy, 0, now);
		rate->left = answer.remaining;
		if (rate->left == 0)
			*next = Min(*next, answer.next_at);
	}
}

/* Number of a queue among those that are asked for, by its slot. */
static int
which(const HdJobQueues *queues, int32 slot)
{
	for (int i = 0; i < queues->n; i++)
		if (queues->slots[i] == slot)
			return i;
	return -1;
}

int
hd_jobs_rate_pay(HdJobQueues *queues, int32 *taken, int n, TimestampTz now)
{
	int64 *paid = palloc0(sizeof(int64) * Max(queues->n, 1));
	int kept = 0;

	/* In one step for each queue, then let go of the last ones of those that got less. */
	for (int i = 0; i < n; i++)
		paid[which(queues, hd_jobs_lane(hd_jobs_entry(taken[i])->lane)->queue)]++;
	for (int i = 0; i < queues->n; i++)
	{
		HdJobRate *rate = &queues->rates[i];
		TimestampTz next;

		if (rate->left >= 0 && paid[i] > 0)
			paid[i] = hd_limits_take_up_to(&rate->key, &rate->policy, paid[i], now, &next);
	}
	for (int i = 0; i < n; i++)
	{
		int queue = which(queues, hd_jobs_lane(hd_jobs_entry(taken[i])->lane)->queue);

		if (paid[queue]-- > 0)
			taken[kept++] = taken[i];
		else
			hd_jobs_tx_unclaim(taken[i]);
	}
	pfree(paid);
	return kept;
}

void
hd_jobs_rate_refund(const HdJobQueues *queues, int32 queue, TimestampTz paid_at)
{
	int i = which(queues, queue);

	if (i >= 0 && queues->rates[i].left >= 0)
		(void) hd_limits_refund(&queues->rates[i].key, &queues->rates[i].policy, 1, paid_at,
								hd_clock_now());
}
