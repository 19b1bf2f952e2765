/*-------------------------------------------------------------------------
 * horizon.c
 *		How long leases may be out that nobody remembers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/horizon.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/spi.h"
#include "jobs/gates.h"
#include "jobs/moves.h"
#include "jobs/waiters.h"
#include "utils/timestamp.h"

/* What is written exceeds the lease by this much, so that the next minute's claims need not write. */
#define SPARE_US (60 * USECS_PER_SEC)

static HdSpiPlan read_plan = {
	.sql = "SELECT max(ends_at) FROM hotdash._job_horizon",
};

static HdSpiPlan write_plan = {
	.sql = "INSERT INTO hotdash._job_horizon (ends_at) VALUES ($1)",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
};

static HdSpiPlan prune_plan = {
	.sql = "DELETE FROM hotdash._job_horizon WHERE ends_at < $1",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
};

void
hd_jobs_horizon_load(int32 db)
{
	TimestampTz ends_at = 0;
	bool isnull;
	Datum value;

	if (!hd_jobs_list->ledger_lost)
		return;
	hd_spi_run(&read_plan, NULL, NULL, true, 1);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		ends_at = DatumGetTimestampTz(value);
	if (ends_at <= hd_clock_now())
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	hd_jobs_list->databases[db].horizon = ends_at;
	LWLockRelease(hd_jobs_lock);
	ereport(LOG, (errmsg("hotdash: the leases of before the server stopped are not known"),
				  errdetail("Jobs with an order key or a concurrency wait until %s.",
							timestamptz_to_str(ends_at))));
}

void
hd_jobs_horizon_cover(int32 db, TimestampTz expires)
{
	Datum values[1];
	bool covered;
	HdSpi spi;

	/* A handler's lease ends with the server. */
	if (expires == DT_NOEND)
		return;
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	covered = expires <= hd_jobs_list->databases[db].covered_until;
	LWLockRelease(hd_jobs_lock);
	if (covered)
		return;
	values[0] = TimestampTzGetDatum(expires + SPARE_US);
	hd_spi_begin(&spi);
	hd_spi_run(&write_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
	hd_jobs_moves_cover(db, expires + SPARE_US);
}

void
hd_jobs_horizon_check(int32 db, TimestampTz now)
{
	HdJobDatabase *database = &hd_jobs_list->databases[db];

	if (database->horizon == 0 || database->horizon > now || hd_clock_overridden())
		return;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	database->horizon = 0;
	hd_jobs_gate_doubt(db);
	hd_jobs_waiter_wake_database(db, hd_jobs_list->max_waiters);
	LWLockRelease(hd_jobs_lock);
}

void
hd_jobs_horizon_prune(void)
{
	Datum values[1] = {TimestampTzGetDatum(hd_clock_now())};
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&prune_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
}
