/*-------------------------------------------------------------------------
 * sla.c
 *		Entry of the SLA clocks, and their periodic work.
 *
 * Model: the scan has a task and a tick of its own (scan.h), since it goes by
 * instants.  What is done beside it each second: counts are folded, old
 * clocks are deleted, clocks are moved to the epoch of their calendar, and
 * escalation rules catch up.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/sla.h"

#include "core/settings.h"
#include "core/tick.h"
#include "core/worker.h"
#include "sla/calendars.h"
#include "sla/counts.h"
#include "sla/language.h"
#include "sla/rebase.h"
#include "sla/rules.h"
#include "sla/scan.h"

static TimestampTz tick_task(void);

static const HdWorkerTask task = {"hotdash: SLA tick", tick_task};

/* In the current transaction; true when there may be more to do at once. */
static bool
tick(void)
{
	bool more = hd_sla_rebase_tick();

	more = hd_sla_rules_tick() || more;
	return hd_sla_counts_tick() || more;
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

void
hd_sla_init(void)
{
	hd_sla_calendars_init();
	hd_sla_scan_init();
	hd_sla_counts_define();
	hd_sla_language_init();
	hd_sla_rules_init();
	hd_tick_register(tick);
	if (hd_settings_preloaded())
		hd_worker_register(&task);
}
