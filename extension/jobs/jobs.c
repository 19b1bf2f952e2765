/*-------------------------------------------------------------------------
 * jobs.c
 *		The module's entry, and its periodic work.
 *
 * Model: the tick ends leases that ran out, brings a fresh start's rows into
 * the list, notices the end of prepared transactions, forgets databases
 * that were dropped and drops what of the history has expired; by CALL it
 * fires schedules and does what other modules have registered (core/tick.h),
 * for which the worker has tasks of their own.  The background worker runs it each second; pg_cron,
 * through CALL hotdash._tick(), each minute; several at once do no harm.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/jobs.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/instance.h"
#include "core/parts.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/tick.h"
#include "core/worker.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "jobs/after.h"
#include "jobs/claim.h"
#include "jobs/cursors.h"
#include "jobs/finish.h"
#include "jobs/history.h"
#include "jobs/horizon.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/load.h"
#include "jobs/place.h"
#include "jobs/schedule.h"
#include "jobs/table.h"
#include "jobs/tally.h"
#include "jobs/tally_count.h"
#include "jobs/tx.h"
#include "jobs/waiters.h"
#include "jobs/work.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define TICK_US USECS_PER_SEC
#define RESCUE_BATCH 200
#define PRUNE_US (10 * 60 * USECS_PER_SEC)

PG_FUNCTION_INFO_V1(hd_jobs_sql_tick);
PG_FUNCTION_INFO_V1(hd_jobs_sql_reload);
PG_FUNCTION_INFO_V1(hd_jobs_sql_announce);
PG_FUNCTION_INFO_V1(hd_jobs_sql_removed);
PG_FUNCTION_INFO_V1(hd_jobs_sql_line);
PG_FUNCTION_INFO_V1(hd_jobs_sql_kind_hash);

static TimestampTz tick_task(void);

static const HdWorkerTask tick = {"hotdash: jobs tick", tick_task};

static const HdWorkerTask schedules = {"hotdash: schedules", hd_jobs_schedule_task};
static const HdWorkerTask handlers = {"hotdash: SQL handlers", hd_jobs_work_task};

void
hd_jobs_init(void)
{
	DefineCustomIntVariable("hotdash.job_max_payload", "Largest payload of a job.", NULL,
							&hd_jobs_setting_max_payload, 1024, 1, 1024 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hotdash.job_retention",
							"How long ended jobs are kept whose kind says nothing.",
							"Rounded up to 1, 3, 7, 14, 30, 90 or 365 days.",
							&hd_jobs_setting_retention, 7 * 24 * 60, 1, HD_PARTS_MAX_DAYS * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	if (!hd_settings_preloaded())
		return;
	DefineCustomIntVariable("hotdash.job_queues", "Queues of the whole cluster kept in memory.",
							"Beyond that, queues that nobody uses at the moment make room.",
							&hd_jobs_setting_queues, 256, 8, 65536, PGC_POSTMASTER, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("hotdash.job_slots",
							"Ready and running jobs of the whole cluster kept in memory.",
							"Further ready jobs wait in the table and move up in order.",
							&hd_jobs_setting_slots, 65536, 64, 16 * 1024 * 1024, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	hd_jobs_list_register();
	hd_jobs_tally_register();
	hd_jobs_cursors_register();
	hd_worker_register(&tick);
	hd_worker_register(&schedules);
	hd_worker_register(&handlers);
}

/* Databases that were dropped leave their slot behind. */
static void
forget_dropped(void)
{
	Oid databases[HD_JOB_MAX_DATABASES];

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	for (int i = 0; i < HD_JOB_MAX_DATABASES; i++)
		databases[i] = hd_jobs_list->databases[i].database;
	LWLockRelease(hd_jobs_lock);
	for (int i = 0; i < HD_JOB_MAX_DATABASES; i++)
	{
		if (!OidIsValid(databases[i]) ||
			SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(databases[i])))
			continue;
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		if (hd_jobs_list->databases[i].database == databases[i])
			hd_jobs_list_forget(i);
		LWLockRelease(hd_jobs_lock);
	}
}

/* Extensions that this database had before leave their slots behind. */
static void
forget_predecessors(int32 db)
{
	HdJobTable table;
	Oid extension;

	/* The lock on the table lasts: no DROP EXTENSION is open that may yet roll back. */
	hd_jobs_table_open(&table, false);
	hd_jobs_table_close(&table);
	extension = hd_spi_extension();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	if (hd_jobs_list->databases[db].extension == extension)
		hd_jobs_list_forget_others(db);
	LWLockRelease(hd_jobs_lock);
}

/* Once in a while. */
static void
prune_horizon(void)
{
	static TimestampTz pruned_at = 0;

	if (hd_clock_real() < pruned_at + PRUNE_US)
		return;
	pruned_at = hd_clock_real();
	hd_jobs_horizon_prune();
}

/* In the current transaction; true when there may be more to do at once. */
static bool
tick_once(void)
{
	int32 db = hd_jobs_load_database();
	bool more;

	forget_predecessors(db);
	hd_jobs_waiter_pass_overdue();

	/* To know the jobs of a fresh database or of a copy is no harm; to charge one would be. */
	if (!hd_instance_is_ours())
		return false;
	hd_jobs_load_check_prepared(db);
	hd_jobs_tally_move(db);
	more = hd_jobs_after_tick();
	prune_horizon();
	more |= hd_jobs_finish_rescue(RESCUE_BATCH) == RESCUE_BATCH;

	/* Last, since its locks on the history keep readers out until the transaction ends. */
	hd_jobs_history_tick();
	return more;
}

static TimestampTz
tick_task(void)
{
	bool more = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(hd_spi_extension_missing_ok()))
	{
		hd_jobs_waiter_set_ticker();
		more = tick_once();
		forget_dropped();
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return hd_clock_real() + (more ? 0 : TICK_US);
}

/*
 * hd_jobs_sql_tick
 *		SQL: CALL _tick().
 */
Datum
hd_jobs_sql_tick(PG_FUNCTION_ARGS)
{
	bool atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  castNode(CallContext, fcinfo->context)->atomic;
	bool more;

	hd_jobs_claim_check();
	SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC);
	do
	{
		more = tick_once();
		if (!atomic)
			SPI_commit();
	} while (more && !atomic);
	do
	{
		more = hd_instance_is_ours() && hd_jobs_schedule_fire();
		if (!atomic)
			SPI_commit();
	} while (more && !atomic);
	hd_tick_call(atomic);
	forget_dropped();
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * hd_jobs_sql_reload
 *		SQL: _job_reload().
 */
Datum
hd_jobs_sql_reload(PG_FUNCTION_ARGS)
{
	if (hd_settings_preloaded())
		hd_jobs_load_forget();
	PG_RETURN_VOID();
}

/*
 * hd_jobs_sql_announce
 *		SQL: _job_announce(ids): this transaction wrote the rows of jobs that wait
 *		in their lines by SQL.
 */
Datum
hd_jobs_sql_announce(PG_FUNCTION_ARGS)
{
	HdJobTable table;
	Datum *ids;
	int n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, true, TYPALIGN_DOUBLE, &ids, NULL, &n);
	hd_jobs_table_open(&table, false);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		hd_jobs_load_announce(&table, DatumGetInt64(ids[i]));
	}
	hd_jobs_table_close(&table);
	PG_RETURN_VOID();
}

/*
 * hd_jobs_sql_removed
 *		Trigger of _job: rows were deleted by hand, which other jobs of their keys
 *		may have waited for.  The engine's own deletes fire no trigger.
 */
Datum
hd_jobs_sql_removed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_job_removed can only be called as a trigger")));
	if (hd_settings_preloaded())
		hd_jobs_tx_removed();
	PG_RETURN_POINTER(NULL);
}

/*
 * hd_jobs_sql_line
 *		SQL: _job_line(queue, priority, kind, tenant, flow, order_key, per_key) -> bigint.
 */
Datum
hd_jobs_sql_line(PG_FUNCTION_ARGS)
{
	HdJobAddress address = {0};
	HdJobPlace place;
	char *kind;
	char *key = NULL;

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	kind = text_to_cstring(PG_GETARG_TEXT_PP(2));
	address.queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	address.priority = PG_GETARG_INT16(1);
	address.kind_hash = hd_jobs_kind_hash(kind, (int) strlen(kind));
	address.tenant = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		address.flow = text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (!PG_ARGISNULL(5))
		key = text_to_cstring(PG_GETARG_TEXT_PP(5));
	hd_jobs_place_set(&place, &address, key, PG_ARGISNULL(6) ? 0 : PG_GETARG_INT32(6));
	PG_RETURN_INT64(hd_jobs_place_line(&place));
}

/*
 * hd_jobs_sql_kind_hash
 *		SQL: _job_kind_hash(kind) -> int, as the list uses it.
 */
Datum
hd_jobs_sql_kind_hash(PG_FUNCTION_ARGS)
{
	text *kind = PG_GETARG_TEXT_PP(0);

	PG_RETURN_INT32((int32) hd_jobs_kind_hash(VARDATA_ANY(kind), VARSIZE_ANY_EXHDR(kind)));
}
