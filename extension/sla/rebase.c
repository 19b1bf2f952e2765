/*-------------------------------------------------------------------------
 * rebase.c
 *		Clocks whose calendar has changed.
 *
 * Model: see rebase.h.  Clocks that somebody else is at are left for the next
 * time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/rebase.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/spi.h"
#include "fmgr.h"
#include "sla/chain.h"
#include "sla/calendars.h"
#include "utils/timestamp.h"

#define BATCH 1000

/* Open clocks in lanes of epochs that are not their calendar's, and the epoch that is. */
static HdSpiPlan stale_plan = {
	.sql = "SELECT x.id, k.epoch FROM hotdash._calendar AS k "
		   "JOIN hotdash._calendar_epoch AS e ON e.calendar = k.id AND e.id <> k.epoch "
		   "CROSS JOIN generate_series(0, 1) AS rule (at_open) "
		   "CROSS JOIN LATERAL (SELECT c.id FROM hotdash._sla_clock AS c "
		   "WHERE c.lane = e.id * 2 + rule.at_open AND c.closed_at IS NULL LIMIT $2) AS x "
		   "WHERE $1 IS NULL OR k.id = $1 LIMIT $2",
	.nargs = 2,
	.argtypes = {INT4OID, INT4OID},
};

/* Clocks that begin at a time that may have become another. */
static HdSpiPlan ahead_plan = {
	.sql = "SELECT c.id, k.epoch FROM hotdash._calendar AS k "
		   "CROSS JOIN generate_series(0, 1) AS rule (at_open) "
		   "JOIN hotdash._sla_clock AS c ON c.lane = k.epoch * 2 + rule.at_open "
		   "WHERE k.id = $1 AND c.ahead AND c.last_at > $2",
	.nargs = 2,
	.argtypes = {INT4OID, TIMESTAMPTZOID},
};

static HdSpiPlan free_plan = {
	.sql = "SELECT FROM hotdash._sla_clock AS c WHERE c.id = $1 AND c.closed_at IS NULL "
		   "FOR UPDATE SKIP LOCKED",
	.nargs = 1,
	.argtypes = {INT8OID},
};

PG_FUNCTION_INFO_V1(hd_sla_sql_rebase);

/* Compute a clock anew in an epoch; false when it is closed or somebody is at it. */
static bool
move_clock(int64 id, int32 epoch)
{
	Datum values[1] = {Int64GetDatum(id)};
	bool is_free;
	HdSlaRow row;
	HdSpi spi;

	/* one by one, since what SPI has read it keeps to its end */
	hd_spi_begin(&spi);
	hd_spi_run(&free_plan, values, NULL, false, 1);
	is_free = SPI_processed > 0 && hd_sla_row_lock(id, &row);
	if (is_free)
	{
		row.terms.lane = HD_SLA_LANE(epoch, HD_SLA_LANE_AT_OPEN(row.terms.lane));
		row.changed = true;
		hd_sla_replay(&row);
	}
	hd_spi_end(&spi);
	return is_free;
}

static int
move_found(void)
{
	SPITupleTable *found = SPI_tuptable;
	uint64 n = SPI_processed;
	int moved = 0;

	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		int64 id = DatumGetInt64(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));
		int32 epoch = DatumGetInt32(SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull));

		moved += move_clock(id, epoch);
	}
	return moved;
}

static int
move_stale(Datum calendar, bool all, int up_to)
{
	Datum values[2] = {calendar, Int32GetDatum(up_to)};

	hd_spi_run(&stale_plan, values, all ? "n " : NULL, false, 0);
	return move_found();
}

bool
hd_sla_rebase_tick(void)
{
	HdSpi spi;
	int moved;

	hd_spi_begin(&spi);
	moved = move_stale((Datum) 0, true, BATCH);
	hd_spi_end(&spi);
	return moved == BATCH;
}

/*
 * hd_sla_sql_rebase
 *		SQL: _sla_rebase(calendar, up_to) -> int.
 */
Datum
hd_sla_sql_rebase(PG_FUNCTION_ARGS)
{
	int up_to = PG_ARGISNULL(1) ? BATCH : PG_GETARG_INT32(1);
	Datum calendar = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);
	int moved;
	HdSpi spi;

	hd_spi_begin(&spi);
	moved = move_stale(calendar, PG_ARGISNULL(0), up_to);
	if (!PG_ARGISNULL(0))
	{
		Datum values[2] = {calendar, TimestampTzGetDatum(hd_clock_now())};

		hd_spi_run(&ahead_plan, values, NULL, false, 0);
		moved += move_found();
	}
	hd_spi_end(&spi);
	PG_RETURN_INT32(moved);
}
