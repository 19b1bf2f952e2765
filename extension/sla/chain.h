/*-------------------------------------------------------------------------
 * chain.h
 *		Chains of clocks in their tables.
 *
 * Model: an input that is not earlier than the last one of its chain, nor than
 * a step that was found since, is applied to the chain's last row alone.  Any
 * other has the whole chain
 * computed anew: its rows are locked, all inputs that are recorded are applied
 * in order (clock.h), and the rows are made to say what comes out.  An input
 * may then belong to another clock than before, clocks may appear that nobody
 * started by hand, and a clock may turn out never to have been.
 *
 * Locking: rows of a chain from its last to its first, so that the one way
 * can turn into the other.  A new row is guarded by its unique key: of two
 * sessions that begin the same cycle the second waits for the first and then
 * finds its row.
 *
 * Caveats: between hd_spi_begin and hd_spi_end, in whose memory all of it is.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_CHAIN_H
#define HD_SLA_CHAIN_H

#include "postgres.h"

#include "sla/clock.h"

/* A row of hotdash._sla_clock. */
typedef struct HdSlaRow
{
	int64 id;
	int32 policy;
	int32 version_id; /* of the policy */
	int cycle;		  /* from 1 */
	bool ahead;		  /* it began at a time to come */
	bool changed;	  /* differs from the table in other things than the clock */
	const char *tenant;
	const char *subject;
	const char *metric;
	const char *priority;
	Datum attributes; /* jsonb; 0: none */
	HdSlaTerms terms;
	HdSlaClock clock;
} HdSlaRow;

/* Which chain, and what its next clock is to be. */
typedef struct HdSlaKey
{
	int32 policy;
	const char *tenant;
	const char *subject;
	const char *metric;
	const char *priority; /* NULL: that of the chain's last clock */
	Datum attributes;	  /* jsonb; 0: those of the chain's last clock */

	/* What a caller may have looked up already. */
	int32 version_id; /* of the policy, in force; 0: not known */
	int32 epoch;	  /* of that version's calendar */
} HdSlaKey;

/*
 * hd_sla_row_lock
 *		Read and lock a clock's row; false when there is none that the session's
 *		tenant may know of.
 * hd_sla_row_lock_last
 *		The same for the last row of a chain.
 */
extern bool hd_sla_row_lock(int64 id, HdSlaRow *row);
extern bool hd_sla_row_lock_last(const HdSlaKey *key, HdSlaRow *row);

/*
 * hd_sla_key_of
 *		The chain of a row.
 */
extern HdSlaKey hd_sla_key_of(const HdSlaRow *row);

/*
 * hd_sla_input
 *		Apply an input to a chain, record it, fire the steps that were due.
 *
 * detail: jsonb that is kept with the input, 0 for none.  Returns the id of
 * the clock that it belongs to, 0 when the chain has none.
 */
extern int64 hd_sla_input(const HdSlaKey *key, HdSlaInput input, TimestampTz at, Datum detail);

/*
 * hd_sla_start_chain
 *		Start a clock of a chain that most likely has none: *is_first, whether it
 *		had none.
 */
extern int64 hd_sla_start_chain(const HdSlaKey *key, TimestampTz at, bool *is_first);

/*
 * hd_sla_input_last
 *		The same where the chain's last row, which is open, is locked.
 */
extern void hd_sla_input_last(HdSlaRow *last, HdSlaInput input, TimestampTz at, Datum detail);

/*
 * hd_sla_replay
 *		Compute a chain anew from its inputs; row is its last, locked, and its
 *		terms may differ from those that it was read with.
 */
extern void hd_sla_replay(const HdSlaRow *row);

/*
 * hd_sla_record
 *		Note in the log what is no input.
 */
extern void hd_sla_record(int64 clock, const char *kind, TimestampTz at, Datum detail);

/*
 * hd_sla_terms_read
 *		Fill in what the version of a row's policy that is in force now asks of its
 *		metric and priority; false when it has no such metric.
 */
extern bool hd_sla_terms_read(HdSlaRow *row);

#endif /* HD_SLA_CHAIN_H */
