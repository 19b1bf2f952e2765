/*-------------------------------------------------------------------------
 * table.c
 *		Calls on the buckets in shared memory.
 *
 * Model and locking: see table.h; slots.c has the memory.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/table.h"

#include "core/counters.h"
#include "limits/log.h"
#include "limits/slots.h"
#include "storage/lwlock.h"

static int64
us_ceil(int64 ns)
{
	return (ns == HD_GCRA_NEVER) ? ns : (ns + HD_NS_PER_US - 1) / HD_NS_PER_US;
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
	int64 now = call->now * HD_NS_PER_US;
	int64 tolerance = call->gcra.tolerance;

	outcome->no_room = false;
	outcome->done = done;
	outcome->near = done > 0 && tat - now >= tolerance - tolerance / HD_LIMIT_NEAR_PARTS;
	if (call->brief)
		return;
	outcome->remaining = hd_limits_gcra_room(&call->gcra, tat, now);
	outcome->fits_at = us_ceil(hd_limits_gcra_fits_at(&call->gcra, tat, Max(call->want, 0), now));
	outcome->one_at = us_ceil(hd_limits_gcra_fits_at(&call->gcra, tat, 1, now));
	outcome->more_at =
		us_ceil(hd_limits_gcra_fits_at(&call->gcra, tat, outcome->remaining + 1, now));
	outcome->reset_at = us_ceil(Max(tat, now));
}

/*
 * Move `until` if it is what it was, and where nothing moves, only make sure of
 * that: refusals do not fight for the line.  Otherwise false, with what it is.
 */
static bool
settle(HdSlot *slot, uint64 *until, uint64 moved)
{
	uint64 before = *until;

	if (moved != before)
		return pg_atomic_compare_exchange_u64(&slot->until, until, moved);
	pg_read_barrier();
	*until = pg_atomic_read_u64(&slot->until);
	return *until == before;
}

/* What came of a try without a lock. */
typedef enum Swap
{
	SWAP_DONE,
	SWAP_OTHER, /* the slot is another's, or not as the call wants it */
	SWAP_LOCK	/* it is being rewritten */
} Swap;

static Swap
gcra_swap_slot(HdSlot *slot, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	int64 now = call->now * HD_NS_PER_US;
	uint64 until = pg_atomic_read_u64(&slot->until);

	for (;;)
	{
		int64 done;
		uint64 moved;

		if (until == HD_SLOT_CLOSED)
			return SWAP_LOCK;
		pg_read_barrier();
		if (!hd_limits_slots_same_key(slot, call->key) || !hd_limits_slots_same_policy(slot, call))
			return SWAP_OTHER;
		moved = (uint64) gcra_move(call, (int64) until, now, &done);

		if (!settle(slot, &until, moved))
			continue;
		if (!hd_limits_slots_same_key(slot, call->key) || !hd_limits_slots_same_policy(slot, call))
			return SWAP_LOCK;
		gcra_report(call, (int64) moved, done, outcome);
		return SWAP_DONE;
	}
}

/* Without a lock; false when there is no slot for it, or not as the call wants it. */
static bool
gcra_swap(HdSlotSet *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	uint16 tag = hd_limits_slots_tag(call->key);
	int home = hd_limits_slots_home(call->key);
	Swap swap = gcra_swap_slot(&set->slots[home], call, outcome);

	for (int way = 0; swap == SWAP_OTHER && way < HD_SLOT_WAYS; way++)
	{
		if (way != home && set->tags[way] == tag)
			swap = gcra_swap_slot(&set->slots[way], call, outcome);
	}
	return swap == SWAP_DONE;
}

/*
 * What happens to a bucket under its set's lock.  These take `until` and give
 * it as it is afterwards.
 */

static uint64
gcra_apply(const HdLimitCall *call, uint64 until, HdLimitOutcome *outcome)
{
	int64 done;
	int64 tat = gcra_move(call, (int64) until, call->now * HD_NS_PER_US, &done);

	gcra_report(call, tat, done, outcome);
	return (uint64) tat;
}

/* Units that count and those that may, as a log and a window report them. */
static void
report_counted(const HdLimitCall *call, int64 used, HdLimitOutcome *outcome)
{
	int64 count = call->policy->count;

	outcome->no_room = false;
	outcome->remaining = Max(count - used, 0);
	outcome->near =
		outcome->done > 0 && call->want > 0 && outcome->remaining * HD_LIMIT_NEAR_PARTS <= count;
}

static int64
log_change(HdSlot *slot, const HdLimitCall *call, int64 now)
{
	HdLogPool *pool = hd_limits_slots_pool();
	int64 period = call->policy->period_us;
	bool coarse = false;
	int64 done;

	if (call->want < 0 && call->taken_at == HD_LIMIT_NEWEST)
		done = hd_limits_log_refund_newest(pool, &slot->log, -call->want);
	else if (call->want < 0)
		done = hd_limits_log_refund(pool, &slot->log, period, -call->want, call->taken_at, now);
	else
		done = hd_limits_log_take(pool, &slot->log, call->policy->count, call->want, call->whole,
								  now, &coarse);
	if (coarse)
		hd_counters_add(HD_COUNTER_LIMITS_COARSE, 1);
	return done;
}

static uint64
log_apply(HdSlotSet *set, HdSlot *slot, const HdLimitCall *call, uint64 until,
		  HdLimitOutcome *outcome)
{
	const HdLimitPolicy *policy = call->policy;
	HdLogPool *pool = hd_limits_slots_pool();
	HdLog *log = &slot->log;
	int64 now = call->now;

	/* A caller that read the clock before another but got here after must not go back. */
	if (!slot->moved)
	{
		now = Max(now, us_ceil(set->latest));
		set->latest = now * HD_NS_PER_US;
	}
	hd_limits_log_prune(pool, log, policy->period_us, now);
	outcome->done = log_change(slot, call, now);
	report_counted(call, log->used, outcome);
	if (!call->brief)
	{
		outcome->one_at =
			hd_limits_log_fits_at(pool, log, policy->count, policy->period_us, 1, now);
		outcome->fits_at = (call->want > policy->count)
							   ? HD_GCRA_NEVER
							   : hd_limits_log_fits_at(pool, log, policy->count, policy->period_us,
													   Max(call->want, 0), now);
		outcome->more_at = (outcome->remaining == policy->count)
							   ? HD_GCRA_NEVER
							   : hd_limits_log_fits_at(pool, log, policy->count, policy->period_us,
													   outcome->remaining + 1, now);
		outcome->reset_at = now;
		if (log->used > 0)
			outcome->reset_at = Max(now, hd_limits_log_newest(log) + policy->period_us);
	}
	if (log->newest != 0)
		until = (uint64) (hd_limits_log_newest(log) + policy->period_us) * HD_NS_PER_US;
	return until;
}

/*
 * A window ends when its bucket is full again.  A caller whose clock was read
 * in the window before finds the next one begun, and takes from that.  Where the
 * windows have become others, what was used counts in the one that runs now.
 */
static uint64
window_apply(HdSlot *slot, const HdLimitCall *call, uint64 until, HdLimitOutcome *outcome)
{
	int64 count = call->policy->count;
	int64 end = call->window_end;
	int64 used = 0;
	int64 left;

	if ((int64) until > call->now * HD_NS_PER_US)
		used = slot->log.used;
	if (used > 0 && slot->emission > call->now)
		end = (int64) until / HD_NS_PER_US;
	else if (slot->emission != call->window_start)
	{
		slot->emission = call->window_start;
		hd_limits_slots_set_mark(slot, 0);
	}
	left = Max(count - used, 0);
	if (call->want < 0)
	{
		outcome->done = Min(-call->want, used);
		used -= outcome->done;
	}
	else
	{
		outcome->done = (call->want <= left) ? call->want : (call->whole ? 0 : left);
		used += outcome->done;
	}
	slot->log.used = (int32) used;
	report_counted(call, used, outcome);
	outcome->one_at = (used < count) ? call->now : end;
	outcome->fits_at = (call->want > count)			  ? HD_GCRA_NEVER
					   : (used + call->want <= count) ? call->now
													  : end;
	outcome->more_at = (used > 0) ? end : HD_GCRA_NEVER;
	outcome->reset_at = (used > 0) ? end : call->now;
	return (uint64) outcome->reset_at * HD_NS_PER_US;
}

static uint64
apply(HdSlotSet *set, HdSlot *slot, const HdLimitCall *call, uint64 until, HdLimitOutcome *outcome)
{
	switch (call->policy->algorithm)
	{
		case HD_LIMIT_GCRA:
			return gcra_apply(call, until, outcome);
		case HD_LIMIT_LOG:
			return log_apply(set, slot, call, until, outcome);
		case HD_LIMIT_WINDOW:
			return window_apply(slot, call, until, outcome);
		case HD_LIMIT_CONCURRENCY:
			break;
	}
	pg_unreachable();
}

/* What fits at once. */
static int64
capacity_of(const HdLimitCall *call)
{
	return (call->policy->algorithm == HD_LIMIT_GCRA) ? call->gcra.burst : call->policy->count;
}

/* The key's slot, as the call wants it.  One is made only for a call that takes something. */
static HdSlot *
locate(HdSlotSet *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdSlot *slot = hd_limits_slots_find(set, call->key);
	int64 capacity = capacity_of(call);
	int64 room_at;

	if (slot != NULL)
	{
		if (!hd_limits_slots_same_policy(slot, call))
			hd_limits_slots_adapt(slot, call);
		return slot;
	}
	outcome->no_room = outcome->near = false;
	outcome->done = 0;
	outcome->remaining = capacity;
	outcome->fits_at = (call->want <= capacity) ? call->now : HD_GCRA_NEVER;
	outcome->one_at = outcome->reset_at = call->now;
	outcome->more_at = HD_GCRA_NEVER;
	if (call->want <= 0 || (call->whole && call->want > capacity))
		return NULL;
	slot = hd_limits_slots_create(set, call, &room_at);
	if (slot == NULL)
	{
		outcome->no_room = true;
		outcome->remaining = 0;
		outcome->fits_at = outcome->one_at = outcome->more_at = Max(room_at, call->now);
	}
	return slot;
}

static void
locked_call(HdSlotSet *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdSlot *slot;

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = locate(set, call, outcome);
	if (slot != NULL)
		pg_atomic_write_u64(&slot->until,
							apply(set, slot, call, pg_atomic_read_u64(&slot->until), outcome));
	LWLockRelease(&set->lock);
}

static void
gcra_call(HdSlotSet *set, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdSlot *slot;

	while (!gcra_swap(set, call, outcome))
	{
		LWLockAcquire(&set->lock, LW_EXCLUSIVE);
		slot = locate(set, call, outcome);
		LWLockRelease(&set->lock);
		if (slot == NULL)
			return;
	}
}

/* Whether a log has no room for a call, by a look at it. */
static bool
log_refuses(HdSlotSet *set, HdSlot *slot, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdLimitCall look = *call;

	look.want = 0;
	(void) log_apply(set, slot, &look, pg_atomic_read_u64(&slot->until), outcome);
	return outcome->remaining < call->want;
}

/*
 * A call tried on a slot, and undone where it goes beyond the mark: false.  A log
 * has none, so of it only what is refused can be answered.
 */
static bool
marked_apply(HdSlotSet *set, HdSlot *slot, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	int64 emission = slot->emission;
	HdLog log = slot->log;
	uint64 until;

	if ((slot->algorithm == HD_LIMIT_LOG)
			? (call->want <= 0 || !log_refuses(set, slot, call, outcome))
			: hd_limits_slots_mark(slot) == 0)
		return false;
	until = apply(set, slot, call, pg_atomic_read_u64(&slot->until), outcome);
	if (call->want > 0 && outcome->done > 0 &&
		((slot->algorithm == HD_LIMIT_GCRA) ? (int64) until : slot->log.used) >
			hd_limits_slots_mark(slot))
	{
		slot->emission = emission;
		slot->log = log;
		return false;
	}
	pg_atomic_write_u64(&slot->until, until);
	return true;
}

bool
hd_limits_table_call_marked(const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdSlotSet *set = hd_limits_slots_set(call->key);
	HdSlot *slot;
	bool answered = false;

	if (call->whole && call->want > capacity_of(call))
	{
		locked_call(set, call, outcome);
		return true;
	}
	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = hd_limits_slots_find(set, call->key);
	if (slot != NULL && hd_limits_slots_same_policy(slot, call))
		answered = marked_apply(set, slot, call, outcome);
	LWLockRelease(&set->lock);
	return answered;
}

/* What is written too is called under its set's lock, so that both say the same. */
void
hd_limits_table_call(const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdSlotSet *set = hd_limits_slots_set(call->key);

	if (call->policy->algorithm == HD_LIMIT_GCRA && call->policy->keep != HD_LIMIT_KEEP_WAL)
		gcra_call(set, call, outcome);
	else
		locked_call(set, call, outcome);
}

/*
 * Several buckets in one step
 */

/* A bucket of such a call, its slot closed; NULL: none is needed, or there is no room. */
typedef struct Part
{
	HdSlotSet *set;
	HdSlot *slot;
	uint64 until;
} Part;

/* The sets of the calls, each once, in the order in which all lock them. */
static int
sets_of(const HdLimitCall *calls, int n, HdSlotSet **sets)
{
	int nsets = 0;

	for (int i = 0; i < n; i++)
	{
		HdSlotSet *set = hd_limits_slots_set(calls[i].key);
		int at = nsets;

		while (at > 0 && sets[at - 1] > set)
			at--;
		if (at > 0 && sets[at - 1] == set)
			continue;
		memmove(&sets[at + 1], &sets[at], sizeof(HdSlotSet *) * (nsets - at));
		sets[at] = set;
		nsets++;
	}
	return nsets;
}

/* Whether a call alone would fit; outcome as of a call that looks. */
static bool
fits(Part *part, const HdLimitCall *call, HdLimitOutcome *outcome)
{
	HdLimitCall look = *call;

	if (part->slot == NULL)
		return outcome->no_room ? call->open : call->want <= capacity_of(call);
	look.want = 0;
	look.brief = false;
	part->until = apply(part->set, part->slot, &look, part->until, outcome);
	return outcome->remaining >= call->want;
}

bool
hd_limits_table_call_all(const HdLimitCall *calls, const bool *bars, int n,
						 HdLimitOutcome *outcomes)
{
	HdSlotSet *sets[HD_LIMIT_MOST_AT_ONCE];
	Part parts[HD_LIMIT_MOST_AT_ONCE];
	bool fitting[HD_LIMIT_MOST_AT_ONCE];
	int nsets = sets_of(calls, n, sets);
	bool all = true;

	Assert(n <= HD_LIMIT_MOST_AT_ONCE);
	for (int i = 0; i < nsets; i++)
		LWLockAcquire(&sets[i]->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		parts[i].set = hd_limits_slots_set(calls[i].key);
		parts[i].slot = locate(parts[i].set, &calls[i], &outcomes[i]);
		if (parts[i].slot != NULL)
			parts[i].until = hd_limits_slots_close(parts[i].slot);
	}
	for (int i = 0; i < n; i++)
	{
		fitting[i] = fits(&parts[i], &calls[i], &outcomes[i]);
		all = all && (fitting[i] || !bars[i]);
	}
	for (int i = 0; i < n; i++)
	{
		Part *part = &parts[i];

		if (part->slot != NULL && all && fitting[i])
			part->until = apply(part->set, part->slot, &calls[i], part->until, &outcomes[i]);
		outcomes[i].done = (fitting[i] && !outcomes[i].no_room) ? calls[i].want : 0;
		if (part->slot != NULL)
			pg_atomic_write_u64(&part->slot->until, part->until);
	}
	while (nsets > 0)
		LWLockRelease(&sets[--nsets]->lock);
	return all;
}

void
hd_limits_table_forget(const HdLimitKey *key)
{
	HdSlotSet *set = hd_limits_slots_set(key);
	HdSlot *slot;

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = hd_limits_slots_find(set, key);
	if (slot != NULL)
	{
		(void) hd_limits_slots_close(slot);
		hd_limits_log_reset(hd_limits_slots_pool(), &slot->log);
		pg_write_barrier();
		pg_atomic_write_u64(&slot->until, 0);
	}
	LWLockRelease(&set->lock);
}

bool
hd_limits_table_holds(const HdLimitKey *key)
{
	HdSlotSet *set = hd_limits_slots_set(key);
	bool found;

	LWLockAcquire(&set->lock, LW_SHARED);
	found = hd_limits_slots_find(set, key) != NULL;
	LWLockRelease(&set->lock);
	return found;
}

void
hd_limits_table_expect(const HdLimitKey *key)
{
	HdSlotSet *set = hd_limits_slots_set(key);

#if defined(__GNUC__)
	__builtin_prefetch(&set->slots[hd_limits_slots_home(key)], 1);
#endif
}
