/*-------------------------------------------------------------------------
 * progress.c
 *		job_progress: how far a running job is.
 *
 * Model: one small row a job in _job_progress, updated in place of its page
 * (no index covers what changes), so the job's own row stays as it is and
 * nothing grows.  The row outlives the job until the tick sweeps it out;
 * nobody sees it, since views join it to jobs that live.
 *
 * Like everything a transaction writes, it is seen by others at commit.
 *
 * Locking: the list's lock for the look at the lease; then the row's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/ledger.h"
#include "jobs/list.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Notes are cut to this many bytes. */
#define MAX_NOTE 1024

PG_FUNCTION_INFO_V1(hd_jobs_sql_progress);

/* What is not given stays, unless it is of an earlier attempt. */
static HdSpiPlan progress_upsert = {
	.sql = "INSERT INTO hotdash._job_progress AS p (job_id, tenant, attempt, percent, note, "
		   "reported_at) SELECT id, tenant, $2, $3, $4, $5 FROM hotdash._job WHERE id = $1 "
		   "AND hotdash._tenant_sees(tenant) "
		   "ON CONFLICT (job_id) DO UPDATE SET attempt = EXCLUDED.attempt, "
		   "reported_at = EXCLUDED.reported_at, "
		   "percent = CASE WHEN p.attempt = EXCLUDED.attempt "
		   "THEN coalesce(EXCLUDED.percent, p.percent) ELSE EXCLUDED.percent END, "
		   "note = CASE WHEN p.attempt = EXCLUDED.attempt "
		   "THEN coalesce(EXCLUDED.note, p.note) ELSE EXCLUDED.note END",
	.nargs = 5,
	.argtypes = {INT8OID, INT2OID, FLOAT8OID, TEXTOID, TIMESTAMPTZOID},
};

/* The attempt that runs under a token; 0 when the token is stale. */
static int
running_attempt(int64 id, int64 token)
{
	Oid extension = hd_spi_extension();
	int attempt = 0;
	int32 db;
	int32 index;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	if (index >= 0)
	{
		const HdJobEntry *entry = hd_jobs_entry(index);
		bool mine = entry->state == HD_JOB_CLAIMED && entry->owner == MyProcPid;

		if (entry->token == token && (mine || entry->state == HD_JOB_LEASED))
			attempt = hd_jobs_ledger_slot(index)->attempt;
	}
	LWLockRelease(hd_jobs_lock);
	return attempt;
}

static Datum
note_argument(FunctionCallInfo fcinfo, int n)
{
	char *note = text_to_cstring(DatumGetTextPP(fcinfo->args[n].value));

	note[pg_mbcliplen(note, (int) strlen(note), MAX_NOTE)] = '\0';
	return CStringGetTextDatum(note);
}

/*
 * hd_jobs_sql_progress
 *		SQL: job_progress(id, token, percent, note).
 */
Datum
hd_jobs_sql_progress(PG_FUNCTION_ARGS)
{
	Datum values[5];
	char nulls[5] = {' ', ' ', ' ', ' ', ' '};
	int attempt;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "id");
	hd_require_arg(fcinfo, 1, "token");
	hd_settings_require_preload("reporting progress");
	nulls[2] = PG_ARGISNULL(2) ? 'n' : ' ';
	nulls[3] = PG_ARGISNULL(3) ? 'n' : ' ';
	if (!PG_ARGISNULL(2) && !(PG_GETARG_FLOAT8(2) >= 0 && PG_GETARG_FLOAT8(2) <= 100))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("percent must be between 0 and 100")));
	attempt = running_attempt(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	if (attempt == 0)
		PG_RETURN_VOID();
	values[0] = PG_GETARG_DATUM(0);
	values[1] = Int16GetDatum(attempt);
	values[2] = PG_GETARG_DATUM(2);
	values[3] = PG_ARGISNULL(3) ? 0 : note_argument(fcinfo, 3);
	values[4] = TimestampTzGetDatum(hd_clock_now());
	hd_spi_begin(&spi);
	hd_spi_run(&progress_upsert, values, nulls, false, 0);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}
