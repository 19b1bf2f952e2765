/*-------------------------------------------------------------------------
 * hotdash.c
 *		Entry of the shared library: settings, shared memory, modules.
 *
 * Purpose: _PG_init and the table of modules; nothing else.  Works without
 * preload too: then no shared memory is asked for, and what needs it raises
 * 55000 with a hint.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/secret_keys.h"
#include "core/settings.h"
#include "core/shmem.h"
#include "core/trace.h"
#include "core/worker.h"
#include "flags/flags.h"
#include "fmgr.h"
#include "jobs/jobs.h"
#include "limits/limits.h"
#include "miscadmin.h"
#include "ops/ops.h"
#include "sla/sla.h"
#include "utils/guc.h"
#include "webhooks/webhooks.h"

HD_MODULE_MAGIC("hotdash", "0.1.0");

/* Each defines its settings and, when preloaded, registers its shared memory and hooks. */
static void (*const modules[])(void) = {
	hd_limits_init, hd_jobs_init, hd_webhooks_init, hd_flags_init,
	hd_sla_init,	hd_ops_init,  hd_worker_init,
};

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	hd_settings_define();
	hd_clock_define();
	hd_trace_define();
	hd_secret_keys_define();
	if (hd_settings_preloaded())
		hd_counters_register();
	for (int i = 0; i < lengthof(modules); i++)
		modules[i]();
	MarkGUCPrefixReserved("hotdash");
	if (hd_settings_preloaded())
		hd_shmem_install();
}
