/*-------------------------------------------------------------------------
 * gates.h
 *		Gates: jobs that have a key.
 *
 * Model: a gate lets as many jobs of its key through into their lanes as may
 * run at once (width), in order.  A strict gate (an order key without a
 * width of its own) lets one through and keeps the order of ids: a job that
 * waits for its retry holds up those behind it.  Other gates are caps: they
 * go by time, and who is not due holds up nobody.
 *
 * Entries behind a gate (BLOCKED) stand in its order.  They may go through
 * only if nothing of the backlog comes before them, that is, up to its
 * cursor.  All rows of a key wait in its line in the table, with or without
 * an entry, so entries can always be dropped and found again.  A gate that
 * is new knows nothing: its cursor stands before everything.
 *
 * What is out counts exactly: ready entries and running ones, of which the
 * ledger keeps the leases.  A gate exists as long as something points to it
 * or rows wait in its backlog.
 *
 * Locking: the list's lock, held exclusively by the caller.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_GATES_H
#define HD_JOBS_GATES_H

#include "jobs/list.h"
#include "jobs/place.h"

/* So many entries wait behind one gate at most. */
#define HD_JOB_GATE_DEPTH 64

/*
 * hd_jobs_gate_find / hd_jobs_gate_get
 *		Index of a gate, -1 when there is none; get makes it, and returns -1 when
 *		there is no room (counted).
 */
extern int32 hd_jobs_gate_find(int32 db, int64 line);
extern int32 hd_jobs_gate_get(int32 db, const HdJobPlace *place);

/*
 * hd_jobs_gate_hold / hd_jobs_gate_let_go
 *		Point to a gate, so that it stays; no longer.
 */
extern void hd_jobs_gate_hold(int32 index);
extern void hd_jobs_gate_let_go(int32 index);

/*
 * hd_jobs_gate_has_room
 *		Whether an entry may wait behind the gate.
 * hd_jobs_gate_accepts
 *		Whether an entry for (at, id) would stand in order: nothing unknown is
 *		before it.
 */
extern bool hd_jobs_gate_has_room(const HdJobGate *gate);
extern bool hd_jobs_gate_accepts(const HdJobGate *gate, TimestampTz at, int64 id);

/*
 * hd_jobs_gate_block
 *		Put an entry behind its gate, as BLOCKED.
 * hd_jobs_gate_seize
 *		An entry that is BLOCKED, or new, comes into a transaction's hands.  In a
 *		strict gate it stands in its place until that ends: nobody may pass it,
 *		for it may come back.
 * hd_jobs_gate_unlink
 *		Take an entry out.
 * hd_jobs_gate_admit
 *		Let entries through, as many as may be, and wake who waits for them.
 */
extern void hd_jobs_gate_block(int32 entry);
extern void hd_jobs_gate_seize(int32 entry);
extern void hd_jobs_gate_unlink(int32 entry);
extern void hd_jobs_gate_admit(int32 index);

/*
 * hd_jobs_gate_note
 *		Rows from (at, id) on wait in the line without an entry.
 * hd_jobs_gate_due
 *		A row (at, id) that was scheduled is due now.
 * hd_jobs_gate_look_again
 *		Something changed: what a look found that began before says nothing.
 * hd_jobs_gate_check
 *		Put the gate among the hungry, or take it out.
 */
extern void hd_jobs_gate_note(int32 index, TimestampTz at, int64 id);
extern void hd_jobs_gate_due(int32 index, TimestampTz at, int64 id);
extern void hd_jobs_gate_look_again(int32 index);
extern void hd_jobs_gate_check(int32 index);

/*
 * hd_jobs_gate_is_stale
 *		Whether the width may not be used by this session.
 */
extern bool hd_jobs_gate_is_stale(const HdJobGate *gate);

/*
 * hd_jobs_gate_doubt
 *		Look again at what a database's gates may let through: kinds changed, or
 *		rows may have been changed by hand.
 */
extern void hd_jobs_gate_doubt(int32 db);

/*
 * hd_jobs_gate_forget
 *		Free a gate that nothing points to, with its backlog.
 */
extern void hd_jobs_gate_forget(int32 index);

#endif /* HD_JOBS_GATES_H */
