/*-------------------------------------------------------------------------
 * scan.c
 *		Finding the steps of clocks that are due, and firing each once.
 *
 * Model: see scan.h.  The worker's task scans until nothing is due and then
 * sleeps to the earliest instant of all lanes, for at most LOOK_US.  Therefore
 * only a clock whose step is due within that time has to wake it.  What was
 * passed over because somebody else was at it is looked at again soon, and
 * less and less so.
 *
 * Locking: rows of clocks, as due.h says, until the transaction ends.
 *
 * Caveats: a clock that PREPARE TRANSACTION left is seen LOOK_US after COMMIT
 * PREPARED at the latest.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/scan.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/tick.h"
#include "core/worker.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "sla/due.h"
#include "sla/rules.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#define MAX_STEPS 100000

/* The worker looks at the table at least this often. */
#define LOOK_US USECS_PER_SEC

/* When it looks again for what it could not lock: after that, twice that ... LOOK_US. */
#define AGAIN_US (20 * (int64) 1000)

/* A batch costs so much: a step 1, and each of its actions about as much as 25 steps. */
#define BATCH_COST 1000
#define ACTION_COST 25

typedef struct Batch
{
	TimestampTz now;
	int max_steps;
	int max_cost;
	int nsteps;
	int nclocks;
	int allocated;
	int passed;
	TimestampTz next; /* of the lanes in which nothing is due */
	HdSlaDueStep *steps;
	HdSlaDueClock **clocks;
} Batch;

/* What the last tick of this process found; of the worker only. */
static bool fired_any;
static int last_passed;
static TimestampTz last_next;

/* Of the current transaction. */
static TimestampTz notice = DT_NOEND;

PG_FUNCTION_INFO_V1(hd_sla_sql_scan);
PG_FUNCTION_INFO_V1(hd_sla_sql_scan_tick);
PG_FUNCTION_INFO_V1(hd_sla_sql_scan_first);

static HdSpiPlan clocks_plan = {
	.sql = "UPDATE hotdash._sla_clock AS c "
		   "SET next_step = u.next_step, next_b = u.next_b, "
		   "breached_at = coalesce(u.breached_at, c.breached_at), "
		   "due_at = coalesce(u.breached_at, c.due_at) "
		   "FROM unnest($1, $2, $3, $4) AS u (tid, next_step, next_b, breached_at) "
		   "WHERE c.ctid = u.tid",
	.nargs = 4,
	.argtypes = {TIDARRAYOID, INT2ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID},
};

/* A step that is there already was fired before the state of its clock was computed anew. */
static HdSpiPlan events_plan = {
	.sql = "INSERT INTO hotdash._sla_event AS e (clock, id, at, recorded_at, step, kind) "
		   "SELECT u.clock, "
		   "(SELECT pg_catalog.current_setting('hotdash.node_id')::bigint << 52) "
		   "| pg_catalog.nextval('hotdash._sla_clock_id'), u.at, $4, u.step, "
		   "CASE WHEN u.step = 0 THEN 'breach' WHEN u.step < 50 THEN 'warning' "
		   "ELSE 'escalation' END "
		   "FROM unnest($1, $2, $3) AS u (clock, step, at) "
		   "ON CONFLICT (clock, step) WHERE step IS NOT NULL DO NOTHING",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, INT2ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID},
};

static HdSpiPlan fire_plan = {
	.sql = "SELECT hotdash._sla_fire($1, $2, $3)",
	.nargs = 3,
	.argtypes = {INT8OID, INT2OID, TIMESTAMPTZOID},
};

/*
 * A batch
 */

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int lower = 1;

	switch (type)
	{
		case TIDOID:
			return PointerGetDatum(
				construct_array(values, n, type, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
		case INT2OID:
			return PointerGetDatum(
				construct_array(values, n, type, sizeof(int16), true, TYPALIGN_SHORT));
		default:
			return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type,
													  sizeof(int64), FLOAT8PASSBYVAL,
													  TYPALIGN_DOUBLE));
	}
}

static void
remember(Batch *batch, const HdSlaDueStep *step)
{
	if (batch->nsteps == batch->allocated)
	{
		batch->allocated *= 2;
		batch->steps = repalloc(batch->steps, sizeof(HdSlaDueStep) * batch->allocated);
		batch->clocks = repalloc(batch->clocks, sizeof(HdSlaDueClock *) * batch->allocated);
	}
	batch->steps[batch->nsteps++] = *step;
	if (step->clock->is_listed)
		return;
	step->clock->is_listed = true;
	batch->clocks[batch->nclocks++] = step->clock;
}

/* Take steps, and lock their clocks, until there are enough. */
static void
take(Batch *batch)
{
	HdSlaDue *due = hd_sla_due_open(batch->now, true);
	HdSlaDueStep step;
	int cost = 0;

	batch->allocated = 64;
	batch->steps = palloc(sizeof(HdSlaDueStep) * batch->allocated);
	batch->clocks = palloc(sizeof(HdSlaDueClock *) * batch->allocated);
	while (batch->nsteps < batch->max_steps && cost < batch->max_cost &&
		   hd_sla_due_take(due, batch->max_steps - batch->nsteps, &step))
	{
		remember(batch, &step);
		cost += 1 + ACTION_COST * step.actions;
	}
	batch->passed = hd_sla_due_passed(due);
	batch->next = hd_sla_due_next(due);
	hd_sla_due_close(due);
}

/* Write what the clocks have become. */
static void
write_clocks(const Batch *batch)
{
	int n = batch->nclocks;
	Datum *tids = palloc(sizeof(Datum) * n);
	Datum *next_steps = palloc(sizeof(Datum) * n);
	Datum *next_bs = palloc(sizeof(Datum) * n);
	Datum *breached = palloc(sizeof(Datum) * n);
	bool *no_next = palloc(sizeof(bool) * n);
	bool *no_breach = palloc(sizeof(bool) * n);
	Datum values[4];

	for (int i = 0; i < n; i++)
	{
		HdSlaDueClock *clock = batch->clocks[i];

		tids[i] = PointerGetDatum(&clock->tid);
		next_steps[i] = Int16GetDatum(clock->next_step);
		next_bs[i] = Int64GetDatum(clock->next_b);
		breached[i] = TimestampTzGetDatum(clock->breached_at);
		no_next[i] = clock->is_last;
		no_breach[i] = TIMESTAMP_IS_NOEND(clock->breached_at);
	}
	values[0] = array_of(tids, NULL, n, TIDOID);
	values[1] = array_of(next_steps, NULL, n, INT2OID);
	values[2] = array_of(next_bs, no_next, n, INT8OID);
	values[3] = array_of(breached, no_breach, n, TIMESTAMPTZOID);
	hd_spi_run(&clocks_plan, values, NULL, false, 0);
	if (SPI_processed != n)
		elog(ERROR, "%d clocks were locked and " UINT64_FORMAT " changed", n, SPI_processed);
}

/* Fire steps without actions, all at once; returns how many were not there yet. */
static int
fire_plain(const Batch *batch, int from, int to)
{
	int n = to - from;
	Datum *clocks = palloc(sizeof(Datum) * n);
	Datum *steps = palloc(sizeof(Datum) * n);
	Datum *ats = palloc(sizeof(Datum) * n);
	Datum values[4];

	for (int i = 0; i < n; i++)
	{
		const HdSlaDueStep *step = &batch->steps[from + i];

		clocks[i] = Int64GetDatum(step->clock->id);
		steps[i] = Int16GetDatum(step->step);
		ats[i] = TimestampTzGetDatum(step->at);
	}
	values[0] = array_of(clocks, NULL, n, INT8OID);
	values[1] = array_of(steps, NULL, n, INT2OID);
	values[2] = array_of(ats, NULL, n, TIMESTAMPTZOID);
	values[3] = TimestampTzGetDatum(batch->now);
	hd_spi_run(&events_plan, values, NULL, false, 0);
	return (int) SPI_processed;
}

static int
fire_with_actions(const HdSlaDueStep *step)
{
	Datum values[3] = {Int64GetDatum(step->clock->id), Int16GetDatum(step->step),
					   TimestampTzGetDatum(step->at)};
	bool fired;

	hd_spi_run(&fire_plan, values, NULL, false, 1);
	fired = DatumGetBool(hd_spi_result(0, 1));
	SPI_freetuptable(SPI_tuptable);
	return fired ? 1 : 0;
}

/*
 * In due order: steps without actions go together as far as none with actions lies between them.
 * Escalation rules want to see each.
 */
static int
fire(const Batch *batch)
{
	bool one_by_one = hd_sla_rules_any();
	int fired = 0;
	int from = 0;

	while (from < batch->nsteps)
	{
		int to = from;

		CHECK_FOR_INTERRUPTS();
		while (!one_by_one && to < batch->nsteps && batch->steps[to].actions == 0)
			to++;
		if (to > from)
			fired += fire_plain(batch, from, to);
		if (to < batch->nsteps)
			fired += fire_with_actions(&batch->steps[to++]);
		from = to;
	}
	return fired;
}

/* Returns how many steps were fired. */
static int
scan(Batch *batch)
{
	int fired = 0;
	HdSpi spi;

	hd_spi_begin_for_all(&spi);
	take(batch);
	if (batch->nclocks > 0)
	{
		write_clocks(batch);
		fired = fire(batch);
	}
	hd_spi_end(&spi);
	return fired;
}

/*
 * Who scans
 */

bool
hd_sla_scan_tick(void)
{
	Batch batch = {.now = hd_clock_now(), .max_steps = BATCH_COST, .max_cost = BATCH_COST};

	(void) scan(&batch);
	fired_any = batch.nsteps > 0;
	last_passed = batch.passed;
	last_next = batch.next;

	/* A batch that found nothing knows when the next step is due. */
	return fired_any;
}

/* When the worker wants to look again, in its real time. */
static TimestampTz
next_look(void)
{
	static int64 again = AGAIN_US;
	TimestampTz now = hd_clock_now();
	int64 wait = LOOK_US;

	if (last_next - now < wait)
		wait = Max(last_next - now, 0) + 1;
	if (last_passed == 0)
		again = AGAIN_US;
	else if (again < wait)
	{
		wait = again;
		again *= 2;
	}
	return hd_clock_real() + wait;
}

static TimestampTz
run_task(void)
{
	TimestampTz when;

	fired_any = false;
	last_passed = 0;
	last_next = DT_NOEND;
	when = hd_tick_task(hd_sla_scan_tick);
	return fired_any ? when : Min(when, next_look());
}

static const HdWorkerTask task = {"hotdash: SLA scan", run_task};

void
hd_sla_scan_notice(TimestampTz due)
{
	notice = Min(notice, due);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	TimestampTz due = notice;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	notice = DT_NOEND;
	if (event == XACT_EVENT_COMMIT && due < DT_NOEND && due - hd_clock_now() <= LOOK_US)
		hd_worker_wake(MyDatabaseId);
}

void
hd_sla_scan_init(void)
{
	RegisterXactCallback(at_end_of_transaction, NULL);
	hd_tick_register(hd_sla_scan_tick);
	if (hd_settings_preloaded())
		hd_worker_register(&task);
}

/*
 * SQL
 */

/*
 * hd_sla_sql_scan
 *		SQL: sla_scan(up_to int) -> int.
 */
Datum
hd_sla_sql_scan(PG_FUNCTION_ARGS)
{
	Batch batch = {.max_cost = PG_INT32_MAX};
	int32 up_to = PG_ARGISNULL(0) ? 1000 : PG_GETARG_INT32(0);

	PreventCommandIfReadOnly("sla_scan()");
	if (up_to < 1 || up_to > MAX_STEPS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("up_to must be between 1 and %d", MAX_STEPS)));
	if (hd_settings_bound_tenant() != NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for a session bound to a tenant"),
						errdetail("A scan is of the clocks of all tenants.")));
	if (!hd_instance_is_ours())
		PG_RETURN_INT32(0);
	batch.now = hd_clock_now();
	batch.max_steps = up_to;
	PG_RETURN_INT32(scan(&batch));
}

/*
 * hd_sla_sql_scan_tick
 *		SQL: CALL _sla_scan_tick().
 */
Datum
hd_sla_sql_scan_tick(PG_FUNCTION_ARGS)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  castNode(CallContext, fcinfo->context)->atomic;

	PreventCommandIfReadOnly("CALL hotdash._sla_scan_tick()");
	SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
	hd_tick_repeat(hd_sla_scan_tick, atomic);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_scan_first
 *		SQL: _sla_scan_first() -> timestamptz.
 */
Datum
hd_sla_sql_scan_first(PG_FUNCTION_ARGS)
{
	TimestampTz first;
	HdSlaDue *due;
	HdSpi spi;

	hd_spi_begin(&spi);
	due = hd_sla_due_open(hd_clock_now(), false);
	first = hd_sla_due_first(due);
	hd_sla_due_close(due);
	hd_spi_end(&spi);
	if (TIMESTAMP_IS_NOEND(first))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(first);
}
