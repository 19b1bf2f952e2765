/*-------------------------------------------------------------------------
 * webhooks.c
 *		Settings of the webhooks module.
 *
 * Purpose: the module's entry.  Its logic is in SQL (sql/webhooks*.sql) and
 * in the pure functions beside this file; it has no shared memory.  What is
 * periodic is SQL too, called by the tick once a minute.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/webhooks.h"

#include <ctype.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/parts.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/tick.h"
#include "core/worker.h"
#include "jobs/jobs.h"
#include "utils/guc.h"

#define TIDY_US (INT64CONST(60) * USECS_PER_SEC)

int hd_webhooks_max_payload = 1024;
int hd_webhooks_retry_after_max = 86400;

/* Read by SQL alone; the variables are where the settings live. */
static bool allow_private = false;
static int disable_after = 5 * 24 * 60;
static int message_retention = 30 * 24 * 60;
static int history_retention = 90 * 24 * 60;

#define ORIGIN_MAX 253
static char *origin = NULL;
static char host_name[ORIGIN_MAX + 1] = "";

/* What another tick does each second: what receivers ask for must not keep the first one from its work. */
static HdSpiPlan tell = {.sql = "SELECT hotdash._deliveries_tell(1000)"};

/* What it does each minute, one after the other, each in a transaction of its own. */
static HdSpiPlan steps[] = {
	{.sql = "SELECT hotdash._webhooks_tidy()"},
	{.sql = "SELECT hotdash._webhooks_keep()"},
};

/* Attempts that the engine ends without a report of an edge, and deaths, whoever brings them about. */
static HdSpiPlan died = {
	.sql = "SELECT hotdash._deliveries_died($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan lost = {
	.sql = "SELECT hotdash._attempt_lost($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.argtypes = {INT8OID, INT8OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID},
};

static const HdJobWatch watches[] = {
	{.kind = "webhook.delivery", .died = &died, .lost = &lost},
	{.kind = "http.request", .lost = &lost},
};

static TimestampTz tick_task(void);
static TimestampTz tell_task(void);

static const HdWorkerTask tasks[] = {
	{"hotdash: webhooks tick", tick_task},
	{"hotdash: dead deliveries", tell_task},
};

/* True when there is more of it to do at once. */
static bool
run_step(HdSpiPlan *plan)
{
	bool more;
	HdSpi spi;

	hd_spi_begin(&spi);
	(void) hd_spi_run(plan, NULL, NULL, false, 0);
	more = DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	return more;
}

static bool
tick(void)
{
	static TimestampTz tidied_at = 0;
	static int step = 0;

	if (hd_clock_real() < tidied_at + TIDY_US)
		return false;
	if (run_step(&steps[step]))
		return true;
	step = (step + 1) % lengthof(steps);
	if (step > 0)
		return true;
	tidied_at = hd_clock_real();
	return false;
}

static bool
tell_tick(void)
{
	return run_step(&tell);
}

static TimestampTz
tick_task(void)
{
	return hd_tick_task(tick);
}

static TimestampTz
tell_task(void)
{
	return hd_tick_task(tell_tick);
}

/* It stands in a header, and names a system: letters, digits, dots and dashes. */
static bool
check_origin(char **value, void **extra, GucSource source)
{
	const char *c = *value;

	while (isalnum((unsigned char) *c) || *c == '.' || *c == '-')
		c++;
	if (*c == '\0' && c > *value && c - *value <= ORIGIN_MAX)
		return true;
	GUC_check_errdetail("It must be a DNS name, like events.example.com.");
	return false;
}

/* Where nobody said what this system is called: as its host is, if that is a name at all. */
static const char *
default_origin(void)
{
	char *name = host_name;
	void *extra = NULL;

	if (gethostname(host_name, ORIGIN_MAX) != 0 || !check_origin(&name, &extra, PGC_S_DEFAULT))
		strlcpy(host_name, "hotdash", sizeof(host_name));
	return host_name;
}

void
hd_webhooks_init(void)
{
	hd_tick_register(tick);
	hd_tick_register(tell_tick);
	for (int i = 0; i < lengthof(watches); i++)
		hd_jobs_watch(&watches[i]);
	if (hd_settings_preloaded())
		for (int i = 0; i < lengthof(tasks); i++)
			hd_worker_register(&tasks[i]);
	DefineCustomBoolVariable("hotdash.webhook_allow_private",
							 "Whether webhooks may go to private and loopback addresses.",
							 "Off: the edge refuses such addresses after resolving the name.",
							 &allow_private, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.webhook_disable_after",
							"An endpoint that has done nothing but fail for so long is disabled.",
							"0: never.", &disable_after, 5 * 24 * 60, 0, PG_INT32_MAX, PGC_SUSET,
							GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.webhook_history_retention",
							"How long deliveries and their attempts are kept.",
							"Rounded up to 1, 3, 7, 14, 30, 90 or 365 days; 0: for good.",
							&history_retention, 90 * 24 * 60, 0, HD_PARTS_MAX_DAYS * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.webhook_max_payload",
							"Largest body that may be published as an event.", NULL,
							&hd_webhooks_max_payload, 1024, 1, 1024 * 1024 - 1, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.webhook_message_retention",
							"How long published events are kept, and idempotency keys remembered.",
							"Rounded up to 1, 3, 7, 14, 30, 90 or 365 days; 0: for good.",
							&message_retention, 30 * 24 * 60, 0, HD_PARTS_MAX_DAYS * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomStringVariable("hotdash.webhook_origin",
							   "What receivers that are asked for their consent know us as.",
							   "A DNS name; the default is the host's.", &origin, default_origin(),
							   PGC_SIGHUP, 0, check_origin, NULL, NULL);
	DefineCustomIntVariable("hotdash.webhook_retry_after_max",
							"Longest wait that a receiver may ask for by Retry-After.",
							"A longer one is cut to this.", &hd_webhooks_retry_after_max, 86400, 1,
							PG_INT32_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}
