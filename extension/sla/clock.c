/*-------------------------------------------------------------------------
 * clock.c
 *		What a clock's state is, given its inputs.
 *
 * Model: see clock.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/clock.h"

#include "sla/calendars.h"

HdSlaClock *
hd_sla_chain_open(HdSlaChain *chain)
{
	HdSlaClock *last = (chain->nclocks > 0) ? &chain->clocks[chain->nclocks - 1] : NULL;

	return (last != NULL && hd_sla_clock_is_open(last)) ? last : NULL;
}

bool
hd_sla_clock_next(const HdSlaClock *clock, int64 *next_b)
{
	if (clock->state != HD_SLA_RUNNING || clock->next_step >= clock->terms->nsteps)
		return false;
	*next_b = clock->due_b + clock->terms->offsets[clock->next_step];
	return true;
}

bool
hd_sla_clock_same(const HdSlaClock *a, const HdSlaClock *b)
{
	bool is_open = hd_sla_clock_is_open(a);

	if (a->state != b->state || a->breached != b->breached || a->paused != b->paused ||
		a->began_paused != b->began_paused || a->next_step != b->next_step)
		return false;
	if (a->started_at != b->started_at || a->last_at != b->last_at)
		return false;

	/* what is not valid may be anything */
	return (is_open || a->closed_at == b->closed_at) &&
		   ((is_open && !a->breached) || a->due_at == b->due_at) &&
		   (!a->breached || a->breached_at == b->breached_at) &&
		   (a->state == HD_SLA_RUNNING ? a->due_b == b->due_b : a->remaining == b->remaining);
}

static void *
grown(void *array, int n, Size size)
{
	return (array == NULL) ? palloc(n * size) : repalloc(array, n * size);
}

static void
reach(HdSlaChain *chain, HdSlaClock *clock, int step, TimestampTz due)
{
	if (chain->nreached == chain->reached_allocated)
	{
		chain->reached_allocated = Max(8, chain->reached_allocated * 2);
		chain->reached = grown(chain->reached, chain->reached_allocated, sizeof(HdSlaReach));
	}
	chain->reached[chain->nreached++] =
		(HdSlaReach){.clock = clock - chain->clocks, .step = step, .due = due};
}

/* Reach the steps of the open clock that were due before an instant. */
static void
settle(HdSlaChain *chain, HdSlaClock *clock, TimestampTz at)
{
	const HdSlaTerms *terms = clock->terms;
	int64 past;
	int64 next_b;

	if (!hd_sla_clock_next(clock, &next_b))
		return;
	past = hd_sla_lane_past(terms->lane, at);
	while (hd_sla_clock_next(clock, &next_b) && next_b <= past)
	{
		TimestampTz instant = hd_sla_lane_instant(terms->lane, next_b);
		int step = terms->steps[clock->next_step++];

		/* what was due when the clock stopped is due when it goes on */
		TimestampTz due = Max(instant, clock->last_at);

		if (step == HD_SLA_STEP_BREACH)
		{
			clock->breached = true;
			clock->breached_at = clock->due_at = due;
		}
		reach(chain, clock, step, due);
	}
}

void
hd_sla_chain_settle(HdSlaChain *chain, TimestampTz at)
{
	HdSlaClock *clock = hd_sla_chain_open(chain);

	if (clock != NULL)
		settle(chain, clock, at);
}

static void
stop(HdSlaClock *clock, HdSlaState state, TimestampTz at)
{
	if (clock->state == HD_SLA_RUNNING)
		clock->remaining = clock->due_b - hd_sla_lane_at(clock->terms->lane, at);
	clock->state = state;
}

static void
run(HdSlaChain *chain, HdSlaClock *clock, TimestampTz at)
{
	if (chain->paused)
	{
		clock->state = HD_SLA_PAUSED;
		return;
	}
	clock->due_b = hd_sla_lane_at(clock->terms->lane, at) + clock->remaining;
	clock->state = HD_SLA_RUNNING;
}

static void
begin(HdSlaChain *chain, TimestampTz at)
{
	HdSlaClock *clock;

	if (chain->nclocks == chain->allocated)
	{
		chain->allocated = Max(4, chain->allocated * 2);
		chain->clocks = grown(chain->clocks, chain->allocated, sizeof(HdSlaClock));
	}
	clock = &chain->clocks[chain->nclocks];
	*clock = (HdSlaClock){.state = HD_SLA_PAUSED, .started_at = at, .last_at = at};
	clock->terms = chain->terms_of(chain->arg, chain->nclocks);
	clock->remaining = clock->terms->target;
	clock->began_paused = clock->paused = chain->paused;
	chain->nclocks++;
	run(chain, clock, at);
}

/* The due point of a clock that ends is what it was; of one that was paused, what it would be. */
static void
end(HdSlaClock *clock, HdSlaState state, TimestampTz at)
{
	int32 lane = clock->terms->lane;

	stop(clock, state, at);
	clock->closed_at = at;
	if (!clock->breached)
		clock->due_at = hd_sla_lane_instant(lane, hd_sla_lane_at(lane, at) + clock->remaining);
}

static void
reopen(HdSlaChain *chain, HdSlaClock *last, TimestampTz at)
{
	if (last == NULL || last->state != HD_SLA_MET)
		return;
	if (last->terms->reopen == HD_SLA_REOPEN_RESTART)
		begin(chain, at);
	else if (last->terms->reopen == HD_SLA_REOPEN_CONTINUE)
		run(chain, last, at);
}

int
hd_sla_chain_apply(HdSlaChain *chain, HdSlaInput input, TimestampTz at)
{
	HdSlaClock *clock = hd_sla_chain_open(chain);
	int mine;

	hd_sla_chain_settle(chain, at);

	/* The clock whose end an input is has that input, not the one which it begins. */
	mine = chain->nclocks - 1;
	switch (input)
	{
		case HD_SLA_START:
			if (clock == NULL)
				begin(chain, at);
			mine = chain->nclocks - 1;
			break;
		case HD_SLA_PAUSE:
			chain->paused = true;
			if (clock != NULL)
				stop(clock, HD_SLA_PAUSED, at);
			break;
		case HD_SLA_RESUME:
			chain->paused = false;
			if (clock != NULL && clock->state == HD_SLA_PAUSED)
				run(chain, clock, at);
			break;
		case HD_SLA_MEET:
			if (clock == NULL)
				break;
			end(clock, HD_SLA_MET, at);
			if (clock->terms->restarts)
				begin(chain, at);
			break;
		case HD_SLA_REOPEN:
			if (clock == NULL)
				reopen(chain, (mine >= 0) ? &chain->clocks[mine] : NULL, at);
			mine = chain->nclocks - 1;
			break;
		case HD_SLA_CANCEL:
			if (clock != NULL)
				end(clock, HD_SLA_CANCELED, at);
			break;
	}
	if (mine >= 0)
	{
		chain->clocks[mine].last_at = at;
		chain->clocks[mine].paused = chain->paused;
	}
	return mine;
}
