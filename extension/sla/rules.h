/*-------------------------------------------------------------------------
 * rules.h
 *		Escalation rules, as the rest of the module sees them.
 *
 * Model: rules, facts and what is raised are SQL (sql/sla_rules.sql).  Here is
 * what keeps them from costing anything where there are none: whether any rule
 * looks at events is known to the session, until a message says that rules
 * have changed.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_RULES_H
#define HD_SLA_RULES_H

#include "postgres.h"

/*
 * hd_sla_rules_init
 *		The settings.
 */
extern void hd_sla_rules_init(void);

/*
 * hd_sla_rules_any
 *		Whether any rule is in force that looks at events and steps.  While it
 *		says no, _sla_rules_event and _sla_rules_step need not be called; they ask
 *		it themselves.
 */
extern bool hd_sla_rules_any(void);

/*
 * hd_sla_rules_tick
 *		What was left for later, the depth of queues, and what is too old; true
 *		when there may be more to do at once.
 */
extern bool hd_sla_rules_tick(void);

#endif /* HD_SLA_RULES_H */
