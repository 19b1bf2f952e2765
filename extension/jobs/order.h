/*-------------------------------------------------------------------------
 * order.h
 *		Entries of a line in their order.
 *
 * Model: see HdJobOrder in list.h.  Lanes and gates by time are ordered by
 * (at, id), strict gates by id alone.
 *
 * Locking: the list's lock, held exclusively by the caller.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_ORDER_H
#define HD_JOBS_ORDER_H

#include "jobs/list.h"

extern void hd_jobs_order_init(HdJobOrder *order);
extern void hd_jobs_order_add(HdJobOrder *order, bool strict, int32 index);
extern void hd_jobs_order_remove(HdJobOrder *order, bool strict, int32 index);

/* The first entry, -1 when there is none. */
extern int32 hd_jobs_order_first(const HdJobOrder *order, bool strict);

/* Whether (at, id) comes before (other_at, other_id). */
extern bool hd_jobs_order_before(bool strict, TimestampTz at, int64 id, TimestampTz other_at,
								 int64 other_id);

#endif /* HD_JOBS_ORDER_H */
