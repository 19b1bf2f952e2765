/*-------------------------------------------------------------------------
 * sla.c
 *		Entry of the SLA clocks.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/sla.h"

#include "sla/scan.h"
#include "core/settings.h"
#include "core/tick.h"
#include "core/worker.h"
#include "sla/counts.h"

static TimestampTz tick_task(void);

static const HdWorkerTask task = {"hotdash: SLA tick", tick_task};

/* In the current transaction; true when there may be more to do at once. */
static bool
tick(void)
{
	return hd_sla_counts_tick();
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

void
hd_sla_init(void)
{
	hd_sla_scan_init();
	hd_sla_counts_define();
	hd_tick_register(tick);
	if (hd_settings_preloaded())
		hd_worker_register(&task);
}
