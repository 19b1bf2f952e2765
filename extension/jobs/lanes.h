/*-------------------------------------------------------------------------
 * lanes.h
 *		Lanes: ready jobs of one queue, priority, kind, tenant and flow.
 *
 * Model: the lanes of one kind in a queue and priority form a group, so that
 * a kind that may not run now is passed over at once, however many of its
 * jobs are ready.  In a group a heap tells whose turn it is.
 *
 * Fairness between tenants is start-time fair queueing (Goyal, Vin and
 * Cheng, 1996) with jobs of one size, which serves like deficit round robin:
 * a lane carries a tag that grows by one with each job it gives; the least
 * tag is next, and the older job among equals.  Who comes back after a pause
 * goes on at the tag of whoever was served last, so a tenant's flood delays
 * another's single job by one turn.  Flows (flows.h) of a tenant take turns
 * like tenants.  All lanes of a tenant and flow in a queue and priority (its
 * sisters, of other kinds) share their tag.
 *
 * A lane exists as long as something points to it or rows wait in its
 * backlog.  When slots run short, those that have nothing but a backlog make
 * room (HdJobDatabase.losses).
 *
 * Locking: the list's lock, held exclusively by the caller.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_LANES_H
#define HD_JOBS_LANES_H

#include "jobs/list.h"
#include "jobs/place.h"

/*
 * hd_jobs_lane_find / hd_jobs_lane_get
 *		Index of a lane, -1 when there is none; get makes it, and returns -1 when
 *		there is no room (counted).
 */
extern int32 hd_jobs_lane_find(int32 db, int64 line);
extern int32 hd_jobs_lane_get(int32 db, const HdJobPlace *place);

/*
 * hd_jobs_lane_fits
 *		Whether a lane is there or could be made without taking room from others.
 * hd_jobs_lane_is_spare
 *		The same for a job that could as well wait in the table: the last slots are
 *		kept for those that are asked for, since an entry of a job that nobody asks
 *		for may stay for ever.
 */
extern bool hd_jobs_lane_fits(int32 db, const HdJobPlace *place);
extern bool hd_jobs_lane_is_spare(int32 db, const HdJobPlace *place);

/*
 * hd_jobs_lane_hold / hd_jobs_lane_let_go
 *		Point to a lane, so that it stays; no longer.
 */
extern void hd_jobs_lane_hold(int32 index);
extern void hd_jobs_lane_let_go(int32 index);

/*
 * hd_jobs_lane_enter / hd_jobs_lane_leave
 *		In and out of the group's heap, around every change of the tag, of the first
 *		entry, or of whether the flow is shut.
 */
extern void hd_jobs_lane_enter(int32 index);
extern void hd_jobs_lane_leave(int32 index);

/* Hash of the lane's flow, 0 when it has none. */
extern uint64 hd_jobs_lane_flow_hash(const HdJobLane *lane);

/*
 * hd_jobs_lane_push / hd_jobs_lane_unlink
 *		Put an entry into its lane, as READY; take it out again.
 */
extern void hd_jobs_lane_push(int32 entry);
extern void hd_jobs_lane_unlink(int32 entry);

/*
 * hd_jobs_lane_is_wanted
 *		Whether its kind and its tenant are among those that are asked for.
 */
extern bool hd_jobs_lane_is_wanted(const HdJobLane *lane, const HdJobQueues *wanted);

/*
 * hd_jobs_lane_next
 *		The entry of a priority that is to be claimed next, or -1: of each queue
 *		the one whose turn it is, and the oldest of those.  Queues and kinds that
 *		are at their concurrency or rate are passed over, flows that are shut.
 * hd_jobs_lane_starves
 *		Whether a wanted lane of the priority has no entry but rows in the table.
 * hd_jobs_lane_served
 *		That entry was taken.
 * hd_jobs_lane_unrefuse
 *		A kind that was at its cap is below it: wake those who wait for its jobs, in
 *		whatever queue.
 */
extern int32 hd_jobs_lane_next(const HdJobQueues *wanted, int priority);
extern bool hd_jobs_lane_starves(const HdJobQueues *wanted, int priority);
extern void hd_jobs_lane_served(int32 entry);
extern void hd_jobs_lane_unrefuse(int32 kind);

/*
 * hd_jobs_lane_note
 *		Rows from (at, id) on wait in the lane without an entry.
 * hd_jobs_lane_check
 *		Put the lane among the hungry, or take it out.
 */
extern void hd_jobs_lane_note(int32 index, TimestampTz at, int64 id);
extern void hd_jobs_lane_check(int32 index);

/*
 * hd_jobs_lane_forget
 *		Free a lane that nothing points to, with its backlog.
 * hd_jobs_lane_vacate
 *		Free all lanes and gates of the queue that was not asked for the longest and has
 *		nothing but backlogs; false when there is none.
 */
extern void hd_jobs_lane_forget(int32 index);
extern bool hd_jobs_lane_vacate(void);

#endif /* HD_JOBS_LANES_H */
