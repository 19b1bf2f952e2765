/*-------------------------------------------------------------------------
 * alerts.c
 *		Alerts: the lock of a name, the look that saves it, and the tick.
 *
 * Model: in sql/ops_alerts.sql.  Here is what SQL cannot do: take a lock of
 * a class of its own without waiting, and look at what is committed now,
 * whatever snapshot the transaction has.
 *
 * Locking: an advisory lock for each name that this transaction is at.  Two
 * names with the same hash share one; then signals are left for the tick
 * that need not have been, which is slower and right.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ops/alerts.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/instance.h"
#include "core/spi.h"
#include "core/tick.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* The application's advisory locks have class 1 (one key) or 2 (two keys). */
#define LOCK_CLASS 0x4844

/* An open alert is noted anew after that; sql/ops_alerts.sql says the same. */
#define NOTE_US (10 * USECS_PER_SEC)

/* How often the depth of queues is looked at. */
#define LEVELS_US (10 * USECS_PER_SEC)
#define SWEEP_US (60 * USECS_PER_SEC)

#define BATCH 100

PG_FUNCTION_INFO_V1(hd_ops_sql_alert_here);
PG_FUNCTION_INFO_V1(hd_ops_sql_alert_known);

/* What lies in the inbox is newer than the alert. */
static HdSpiPlan known_plan = {
	.sql = "SELECT CASE WHEN s.verb IS NOT NULL THEN "
		   "CASE WHEN $3 IS NULL THEN s.verb = 'clear' "
		   "ELSE s.verb = 'raise' AND s.severity >= $3 AND s.at > $4 END "
		   "WHEN $3 IS NULL THEN a.id IS NULL "
		   "ELSE a.id IS NOT NULL AND a.severity >= $3 AND a.last_seen_at > $4 END "
		   "FROM (SELECT) AS one "
		   "LEFT JOIN LATERAL (SELECT x.verb, x.severity, x.at FROM hotdash._alert_signal AS x "
		   "WHERE x.tenant = $1 AND x.name = $2 ORDER BY x.id DESC LIMIT 1) AS s ON true "
		   "LEFT JOIN LATERAL (SELECT y.id, y.severity, y.last_seen_at FROM hotdash._alert AS y "
		   "WHERE y.tenant = $1 AND y.name = $2 AND y.cleared_at IS NULL) AS a ON true",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT2OID, TIMESTAMPTZOID},
};

static HdSpiPlan catch_up_plan = {
	.sql = "SELECT hotdash._alert_catch_up($1)",
	.nargs = 1,
	.argtypes = {INT4OID},
};

static HdSpiPlan queues_plan = {
	.sql = "SELECT hotdash._alert_queues()",
};

static HdSpiPlan sweep_plan = {
	.sql = "SELECT hotdash._alert_sweep($1)",
	.nargs = 1,
	.argtypes = {INT4OID},
};

/* One number for both texts; a zero byte, which text cannot have, between them. */
static uint64
name_key(text *tenant, text *name)
{
	int tenant_length = VARSIZE_ANY_EXHDR(tenant);
	int length = tenant_length + 1 + VARSIZE_ANY_EXHDR(name);
	char *both = palloc(length);

	memcpy(both, VARDATA_ANY(tenant), tenant_length);
	both[tenant_length] = '\0';
	memcpy(both + tenant_length + 1, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	return hash_bytes_extended((const unsigned char *) both, length, 0);
}

/*
 * hd_ops_sql_alert_here
 *		SQL: _alert_here(tenant, name) -> bool.
 */
Datum
hd_ops_sql_alert_here(PG_FUNCTION_ARGS)
{
	uint64 key = name_key(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1));
	LOCKTAG tag;

	hd_instance_use();
	if (IsolationUsesXactSnapshot())
		PG_RETURN_BOOL(false);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, LOCK_CLASS);
	PG_RETURN_BOOL(LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL);
}

/*
 * hd_ops_sql_alert_known
 *		SQL: _alert_known(tenant, name, severity) -> bool.
 */
Datum
hd_ops_sql_alert_known(PG_FUNCTION_ARGS)
{
	Datum values[4] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2),
					   TimestampTzGetDatum(hd_clock_now() - NOTE_US)};
	bool known;
	HdSpi spi;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	hd_spi_begin(&spi);
	hd_spi_run_latest(&known_plan, values, PG_ARGISNULL(2) ? "  n " : NULL);
	known = DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	PG_RETURN_BOOL(known);
}

bool
hd_ops_alerts_tick(void)
{
	static TimestampTz levels_at = 0;
	static TimestampTz swept_at = 0;
	Datum batch[1] = {Int32GetDatum(BATCH)};
	bool more;
	HdSpi spi;

	hd_spi_begin_for_all(&spi);
	hd_spi_run(&catch_up_plan, batch, NULL, false, 1);
	more = DatumGetBool(hd_spi_result(0, 1));
	if (hd_tick_is_time(&levels_at, LEVELS_US))
		hd_spi_run(&queues_plan, NULL, NULL, false, 1);
	if (hd_tick_is_time(&swept_at, SWEEP_US))
	{
		hd_spi_run(&sweep_plan, batch, NULL, false, 1);
		if (DatumGetBool(hd_spi_result(0, 1)))
		{
			swept_at = 0;
			more = true;
		}
	}
	hd_spi_end(&spi);
	return more;
}
