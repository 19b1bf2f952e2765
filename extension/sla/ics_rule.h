/*-------------------------------------------------------------------------
 * ics_rule.h
 *		How iCalendar's events repeat.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_ICS_RULE_H
#define HD_SLA_ICS_RULE_H

#include "postgres.h"

#include "sla/ics.h"

/*
 * hd_sla_ics_rule_read
 *		A rule, FREQ=YEARLY;BYMONTH=11;BYDAY=4TH; NULL, or what is wrong with it.
 */
extern const char *hd_sla_ics_rule_read(HdSlaIcsText text, HdSlaIcsRule *rule);

/*
 * hd_sla_ics_rule_dates
 *		The dates of a rule's period with a number, from 0, in their order; of an
 *		event that begins on a date.  -1: there are no such periods any more.
 *
 * dates: room for HD_SLA_ICS_PERIOD; steps: is counted up.
 */
#define HD_SLA_ICS_PERIOD 366

extern int hd_sla_ics_rule_dates(const HdSlaIcsRule *rule, int32 start, int number, int32 *dates,
								 int64 *steps);

/*
 * hd_sla_ics_year_begins
 *		The first date of a year.
 */
extern int32 hd_sla_ics_year_begins(int year);

#endif /* HD_SLA_ICS_RULE_H */
