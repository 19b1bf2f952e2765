/*-------------------------------------------------------------------------
 * durable.h
 *		Calls on buckets of durability 'wal', which are exact over a crash.
 *
 * Model: a bucket is in shared memory like all others, and what it owes is on a
 * page too (pages.h), written before a call that took something is answered,
 * and flushed.  To write less often, the page runs ahead of memory, as
 * sequences do: it says that an eighth of what fits at once is taken besides,
 * and until that is used up, nothing needs to be written.  How far it is ahead
 * stands in the slot, its mark.  A log writes every unit, since all times matter.
 *
 * A call that memory alone can answer locks its set and nothing else: one that is
 * refused, and one up to the mark.  Every other one locks the page's buffer,
 * sees to it that memory is at least where the page is, performs the call in
 * memory, writes what it came to, and flushes the log before it answers, no buffer
 * locked meanwhile.  Only then the mark moves, to what the page says by then,
 * so that nobody answers by what is not on disk.
 *
 * What a crash, a restart or a promotion loses: nothing is granted twice.  A key
 * may be granted less, once: by at most an eighth of what fits at once, and what was
 * refunded since the page was written last.
 *
 * A standby cannot write: there such buckets are in memory alone.  When it is
 * promoted it goes on from the pages, at least from what it has granted itself.
 *
 * Where there is no cell for a key, and while somebody has the table locked
 * (VACUUM FULL, TRUNCATE, DROP), the call is answered as one for which there is
 * no room.
 *
 * Why pages of a table and no resource manager of our own: its records would need
 * this library wherever they are replayed, and a hook at checkpoints, which
 * there is none.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_DURABLE_H
#define HD_LIMITS_DURABLE_H

#include "postgres.h"

#include "limits/decide.h"

/*
 * hd_limits_durable_call
 *		hd_limits_table_call for a limit of durability 'wal'.
 */
extern void hd_limits_durable_call(const HdLimit *limit, HdLimitSubject subject,
								   const HdLimitCall *call, HdLimitOutcome *outcome);

/*
 * hd_limits_durable_call_all
 *		hd_limits_table_call_all where some of the limits are of that kind.
 */
extern bool hd_limits_durable_call_all(const HdLimit *limits, HdLimitSubject subject,
									   const HdLimitCall *calls, const bool *bars, int n,
									   HdLimitOutcome *outcomes);

/*
 * hd_limits_durable_forget
 *		Make a bucket full, also on its page.
 */
extern void hd_limits_durable_forget(const HdLimit *limit, HdLimitSubject subject,
									 const HdLimitKey *key, int64 now);

#endif /* HD_LIMITS_DURABLE_H */
