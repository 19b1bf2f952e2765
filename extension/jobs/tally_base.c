/*-------------------------------------------------------------------------
 * tally_base.c
 *		Exact counts of rows that transactions change while they are counted.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/tally_base.h"

/* Make room for one more snapshot in place of the older. */
static int
next_snapshot(HdTallyBase *base, bool from_base)
{
	base->last = 1 - base->last;
	base->from_base[base->last] = from_base;
	base->generation++;
	return base->last;
}

int
hd_tally_base_count(HdTallyBase *base, TimestampTz cut)
{
	base->state = HD_TALLY_COUNTING;
	base->cut = base->target = base->late_cut = cut;
	return next_snapshot(base, true);
}

void
hd_tally_base_counted(HdTallyBase *base)
{
	Assert(base->state == HD_TALLY_COUNTING);
	base->state = HD_TALLY_KNOWN;
}

int
hd_tally_base_move(HdTallyBase *base, TimestampTz target)
{
	Assert(base->state == HD_TALLY_KNOWN);
	base->state = HD_TALLY_MOVING;
	base->target = target;
	base->late_cut = base->cut;
	return next_snapshot(base, false);
}

void
hd_tally_base_moved(HdTallyBase *base)
{
	Assert(base->state == HD_TALLY_MOVING);
	base->state = HD_TALLY_KNOWN;
	base->cut = base->target;
}

void
hd_tally_base_abandon(HdTallyBase *base)
{
	if (base->state == HD_TALLY_COUNTING)
		hd_tally_base_invalidate(base);
	else if (base->state == HD_TALLY_MOVING)
	{
		base->state = HD_TALLY_KNOWN;
		base->target = base->cut;
	}
}

void
hd_tally_base_invalidate(HdTallyBase *base)
{
	base->state = HD_TALLY_UNKNOWN;
	base->generation++;
}

bool
hd_tally_base_known(const HdTallyBase *base)
{
	return base->state == HD_TALLY_KNOWN || base->state == HD_TALLY_MOVING;
}

/* Whether a transaction that is over now was over then. */
static bool
has_seen(const HdTallySeen *seen, uint64 xid)
{
	if (xid >= seen->xmax)
		return false;
	for (int i = 0; i < seen->nxids; i++)
		if (seen->xids[i] == (TransactionId) xid)
			return false;
	return true;
}

HdTallyVerdict
hd_tally_base_judge(const HdTallyBase *base, const HdTallySeen *younger, const HdTallySeen *older,
					uint64 xid)
{
	if (!has_seen(younger, xid))
		return HD_TALLY_ADD;
	if (base->from_base[base->last])
		return HD_TALLY_DROP;
	if (!has_seen(older, xid))
		return HD_TALLY_ADD_LATE;
	return base->from_base[1 - base->last] ? HD_TALLY_DROP : HD_TALLY_LOST;
}

void
hd_tally_base_add(const HdTallyBase *base, HdTallyCounts *counts, HdTallyVerdict verdict,
				  const HdTallyChange *change)
{
	bool late = verdict == HD_TALLY_ADD_LATE;

	counts->alive += change->alive;
	counts->held += change->held;
	counts->dead += change->dead;
	if (change->at > (late ? base->late_cut : base->cut))
		counts->scheduled += change->timed;
	if (change->at > (late ? base->late_cut : base->target))
		counts->moved += change->timed;
}
