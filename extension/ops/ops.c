/*-------------------------------------------------------------------------
 * ops.c
 *		The module's entry, and its periodic work.
 *
 * Model: the tick looks after alerts and spans; the background worker runs
 * it each second, CALL hotdash._tick() whenever it is called.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ops/ops.h"

#include "core/parts.h"
#include "core/settings.h"
#include "core/tick.h"
#include "core/worker.h"
#include "ops/alerts.h"
#include "ops/spans.h"
#include "utils/guc.h"

/* Read by sql/ops_alerts.sql and sql/ops_cron.sql alone; the variables are where the settings live. */
static int alert_retention = 90 * 24 * 60;
static int cron_seconds = 0;

static TimestampTz tick_task(void);

static const HdWorkerTask task = {"hotdash: operations tick", tick_task};

/* In the current transaction; true when there may be more to do at once. */
static bool
tick(void)
{
	bool more = hd_ops_alerts_tick();

	hd_ops_spans_tick();
	return more;
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

void
hd_ops_init(void)
{
	DefineCustomIntVariable("hotdash.alert_retention", "How long cleared alerts are kept.", NULL,
							&alert_retention, 90 * 24 * 60, 1, HD_PARTS_MAX_DAYS * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.cron_seconds",
							"How often pg_cron looks for steps of SLA clocks that are due.",
							"For cron_install; needs pg_cron 1.5. 0: each minute.", &cron_seconds,
							0, 0, 59, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.span_retention", "How long spans are kept.",
							"Rounded up to 1, 3, 7, 14, 30, 90 or 365 days.",
							&hd_ops_setting_span_retention, 7 * 24 * 60, 1,
							HD_PARTS_MAX_DAYS * 24 * 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL,
							NULL);
	hd_tick_register(tick);
	if (hd_settings_preloaded())
		hd_worker_register(&task);
}
