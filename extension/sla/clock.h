/*-------------------------------------------------------------------------
 * clock.h
 *		What a clock's state is, given its inputs.
 *
 * Purpose: the arithmetic of clocks, without tables.  A chain is one metric
 * of one subject: its clocks one after the other, a cycle each, at most the
 * last of them open.  hd_sla_chain_apply brings a chain forward by one input;
 * applying all inputs of a chain in order to an empty one gives the state
 * that the tables must show.  Since both ways are the same function, what is
 * kept and what is computed anew cannot differ.
 *
 * Model: a clock runs while its subject is not paused and it is open.  Its
 * due point lies in the business time of its lane (calendars.h); pausing
 * keeps what remains of the target, resuming adds that to the present.  Before
 * an input is applied, the steps that were due before it are reached: the
 * warnings, the breach, the escalations.
 *
 * A subject stays paused when a clock of it is met; the next clock of the
 * chain then begins paused.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_CLOCK_H
#define HD_SLA_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Number of the step that is the breach. */
#define HD_SLA_STEP_BREACH 0

typedef enum HdSlaState
{
	HD_SLA_RUNNING, /* to PAUSED, MET, CANCELED */
	HD_SLA_PAUSED,	/* to RUNNING, MET, CANCELED */
	HD_SLA_MET,		/* to RUNNING or PAUSED when it is opened again */
	HD_SLA_CANCELED /* for good */
} HdSlaState;

typedef enum HdSlaInput
{
	HD_SLA_START,
	HD_SLA_PAUSE,
	HD_SLA_RESUME,
	HD_SLA_MEET,
	HD_SLA_REOPEN,
	HD_SLA_CANCEL
} HdSlaInput;

#define HD_SLA_INPUTS 6

typedef enum HdSlaReopen
{
	HD_SLA_REOPEN_CONTINUE, /* the same clock goes on; the time between does not count */
	HD_SLA_REOPEN_RESTART,	/* a new clock */
	HD_SLA_REOPEN_IGNORE
} HdSlaReopen;

/* What a clock is held to. */
typedef struct HdSlaTerms
{
	int64 target; /* microseconds of business time, > 0 */
	int32 lane;
	HdSlaReopen reopen;
	bool restarts; /* the next cycle begins when one is met */
	int nsteps;
	const int16 *steps;	  /* their numbers, in the order in which they are due */
	const int64 *offsets; /* microseconds of business time from the due point to each */
} HdSlaTerms;

typedef struct HdSlaClock
{
	HdSlaState state;
	const HdSlaTerms *terms;
	TimestampTz started_at;
	TimestampTz last_at;	 /* of the latest input */
	TimestampTz closed_at;	 /* met, canceled */
	TimestampTz due_at;		 /* met, canceled or breached: the due point as it was */
	TimestampTz breached_at; /* valid when breached */
	int64 due_b;			 /* running: where in business time the target is reached */
	int64 remaining;		 /* otherwise: what is left of it, negative when late */
	int next_step;			 /* how many steps have been reached */
	bool breached;
	bool began_paused; /* the subject was when it began */
	bool paused;	   /* the subject is, as far as its inputs tell */
} HdSlaClock;

/* A step that was reached when an input was applied. */
typedef struct HdSlaReach
{
	int clock; /* of the chain */
	int step;  /* its number */
	TimestampTz due;
} HdSlaReach;

typedef struct HdSlaChain
{
	bool paused; /* the subject is, whether a clock is open or not */
	int base;	 /* cycles before the first of these clocks */
	int nclocks;
	int allocated;
	HdSlaClock *clocks;
	int nreached;
	int reached_allocated;
	HdSlaReach *reached;

	/* Terms of a clock that begins, as the nth of these. */
	const HdSlaTerms *(*terms_of)(void *arg, int n);
	void *arg;
} HdSlaChain;

/*
 * hd_sla_chain_apply
 *		Bring a chain forward by one input, which must not be earlier than those
 *		before it.  Returns which of the clocks the input belongs to, -1 before the
 *		first.
 *
 * Memory comes from the current context.  Raises 22008 where the calendar
 * ends before a due point.
 */
extern int hd_sla_chain_apply(HdSlaChain *chain, HdSlaInput input, TimestampTz at);

/*
 * hd_sla_chain_settle
 *		Reach the steps of the open clock that were due before an instant.
 */
extern void hd_sla_chain_settle(HdSlaChain *chain, TimestampTz at);

/*
 * hd_sla_chain_open
 *		The clock of a chain that is open, NULL when none is.
 */
extern HdSlaClock *hd_sla_chain_open(HdSlaChain *chain);

/*
 * hd_sla_clock_next
 *		Where in business time the next step of a running clock is due; false when
 *		it does not run, or no step is left.
 */
extern bool hd_sla_clock_next(const HdSlaClock *clock, int64 *next_b);

/*
 * hd_sla_clock_same
 *		Whether two clocks are in the same state.
 */
extern bool hd_sla_clock_same(const HdSlaClock *a, const HdSlaClock *b);

/*
 * hd_sla_clock_is_open
 *		Neither met nor canceled.
 */
static inline bool
hd_sla_clock_is_open(const HdSlaClock *clock)
{
	return clock->state == HD_SLA_RUNNING || clock->state == HD_SLA_PAUSED;
}

#endif /* HD_SLA_CLOCK_H */
