/*-------------------------------------------------------------------------
 * uses.h
 *		How often this session's flags answered what.
 *
 * Purpose: stale flags are found from what is counted here (usage.h), at the
 * price of an addition for each evaluation.
 *
 * Model: each compiled flag has a counter for each of its variants and one for
 * the caller's default.  They are handed over to shared memory at the end of a
 * transaction, a flag's once a second at most, when a flag leaves the cache,
 * and when the session ends.  So a session that falls idle keeps what a flag
 * answered less than a second after it was handed over before: that the flag is
 * used is known.  Not counted: explanations, audiences and the past.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_USES_H
#define HD_FLAGS_USES_H

#include "postgres.h"

#include "flags/flag.h"

/*
 * hd_flags_uses_init
 *		Watch for the ends of transactions.  Called once, when preloaded; without
 *		preload nothing is counted.
 */
extern void hd_flags_uses_init(void);

/*
 * hd_flags_uses_note
 *		Put a flag that was not used since the last time on the list.
 */
extern void hd_flags_uses_note(HdFlag *flag);

/*
 * hd_flags_uses_give
 *		Hand over what is counted of a flag that is about to go.
 */
extern void hd_flags_uses_give(HdFlag *flag);

/*
 * hd_flags_uses_add
 *		A flag gave a variant, counted from 0; -1: the caller's default.
 */
static inline void
hd_flags_uses_add(HdFlag *flag, int variant)
{
	if (unlikely(!flag->used))
		hd_flags_uses_note(flag);
	flag->uses[variant + 1]++;
}

#endif /* HD_FLAGS_USES_H */
