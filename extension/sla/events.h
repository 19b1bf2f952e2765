/*-------------------------------------------------------------------------
 * events.h
 *		Events of the domain, as they are told to the clocks of a subject.
 *
 * Model: an event is told to all chains of its subject, and to those that its
 * policies let begin with it; the policies know what it means to each, as one
 * or more inputs (clock.h).  An event is kept with the inputs that it meant,
 * or, where it meant nothing, with some clock of the subject: a chain that
 * begins later, or turns out to have begun earlier, hears of all of them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_EVENTS_H
#define HD_SLA_EVENTS_H

#include "postgres.h"

#include "sla/chain.h"

/* A chain that is told something. */
typedef struct HdSlaTold
{
	HdSlaKey key;
	bool is_new; /* its subject has clocks, but none of this metric */
	bool means[HD_SLA_INPUTS];
} HdSlaTold;

/*
 * hd_sla_tell_earlier
 *		Tell a new chain what was told of its subject when it was not there, but
 *		for the event that began it.
 *
 * Like the next, between hd_spi_begin and hd_spi_end.
 */
extern void hd_sla_tell_earlier(const HdSlaKey *key, TimestampTz but_at, const char *but_event);

/*
 * hd_sla_tell_rules
 *		Have the escalation rules look at what happened, in this transaction.
 */
extern void hd_sla_tell_rules(const char *tenant, const char *subject, const char *event,
							  Datum attributes, TimestampTz at);

#endif /* HD_SLA_EVENTS_H */
