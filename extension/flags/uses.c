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

/* Between two times that counts are handed over. */
#define INTERVAL_US USECS_PER_SEC

static slist_head used = SLIST_STATIC_INIT(used);
static bool watching = false;
static TimestampTz handed_over = 0;

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

static void
flush(void)
{
	slist_mutable_iter iter;

	slist_foreach_modify (iter, &used)
	{
		HdFlag *flag = slist_container(HdFlag, used_node, iter.cur);

		if (hand_over(flag))
		{
			flag->used = false;
			slist_delete_current(&iter);
		}
	}
}

static void
at_end(XactEvent event, void *arg)
{
	TimestampTz now;

	if (slist_is_empty(&used) ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE &&
		 event != XACT_EVENT_PARALLEL_COMMIT && event != XACT_EVENT_PARALLEL_ABORT))
		return;
	now = GetCurrentTransactionStopTimestamp();
	if (now < handed_over + INTERVAL_US && now >= handed_over)
		return;
	handed_over = now;
	flush();
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
	slist_push_head(&used, &flag->used_node);
}

void
hd_flags_uses_give(HdFlag *flag)
{
	if (!flag->used || !watching)
		return;
	(void) hand_over(flag);
	slist_delete(&used, &flag->used_node);
}
