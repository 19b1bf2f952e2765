/*-------------------------------------------------------------------------
 * uses.c
 *		How often this session's flags answered what: see uses.h.
 *
 * What shared memory has no room for stays with the flag until the next time,
 * and is lost when the flag goes.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/uses.h"

#include "access/xact.h"
#include "flags/usage.h"
#include "storage/ipc.h"

/* Between two times that a flag's counts are handed over. */
#define INTERVAL_US USECS_PER_SEC

/*
 * Flags with counts.  Each end of a transaction looks at those used since the
 * one before; what has been handed over too recently waits in the other list,
 * which is looked at once in an interval.
 */
static dlist_head used = DLIST_STATIC_INIT(used);
static dlist_head waiting = DLIST_STATIC_INIT(waiting);
static TimestampTz looked = 0; /* at those that wait */
static bool watching = false;

/* True when all of a flag's counts found room. */
static bool
hand_over(HdFlag *flag)
{
	bool all = true;

	for (int i = 0; i <= flag->nvariants; i++)
	{
		const HdValue *name = (i > 0) ? &flag->variants[i - 1].name : NULL;

		if (flag->uses[i] == 0)
			continue;
		if (hd_flags_usage_add(flag->extension, flag->key.as.string, flag->key.length,
							   (name != NULL) ? name->as.string : "",
							   (name != NULL) ? name->length : 0, flag->uses[i]))
			flag->uses[i] = 0;
		else
			all = false;
	}
	return all;
}

/* Whether the moment is within the interval before now; the clock may have gone back. */
static bool
is_recent(TimestampTz moment, TimestampTz now)
{
	return now >= moment && now < moment + INTERVAL_US;
}

/* Those of a list.  What was handed over just before now, waits; where now is 0, nothing does. */
static void
flush_list(dlist_head *list, TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, list)
	{
		HdFlag *flag = dlist_container(HdFlag, used_node, iter.cur);
		bool early = now != 0 && is_recent(flag->handed_over, now);

		dlist_delete(&flag->used_node);
		flag->used = early || !hand_over(flag);
		if (flag->used)
			dlist_push_head(&waiting, &flag->used_node);
		if (!early)
			flag->handed_over = now;
	}
}

static void
flush(void)
{
	flush_list(&used, 0);
	flush_list(&waiting, 0);
}

static void
at_end(XactEvent event, void *arg)
{
	TimestampTz now;

	if ((dlist_is_empty(&used) && dlist_is_empty(&waiting)) ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE &&
		 event != XACT_EVENT_PARALLEL_COMMIT && event != XACT_EVENT_PARALLEL_ABORT))
		return;
	now = GetCurrentTransactionStopTimestamp();
	if (!is_recent(looked, now))
	{
		looked = now;
		flush_list(&waiting, now);
	}
	flush_list(&used, now);
}

static void
at_exit(int code, Datum arg)
{
	flush();
}

void
hd_flags_uses_init(void)
{
	watching = true;
	hd_flags_usage_flush = flush;
	RegisterXactCallback(at_end, NULL);
}

void
hd_flags_uses_note(HdFlag *flag)
{
	static bool leaving = false;

	flag->used = true;
	if (!watching)
		return;
	if (!leaving)
	{
		before_shmem_exit(at_exit, (Datum) 0);
		leaving = true;
	}
	dlist_push_head(&used, &flag->used_node);
}

void
hd_flags_uses_give(HdFlag *flag)
{
	if (!flag->used || !watching)
		return;
	(void) hand_over(flag);
	dlist_delete(&flag->used_node);
}
