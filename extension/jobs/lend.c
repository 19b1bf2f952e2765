/*-------------------------------------------------------------------------
 * lend.c
 *		Places that flows are lent beyond a concurrency that is soft.
 *
 * Model: see lend.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/lend.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/flows.h"
#include "jobs/place.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_flow_grade);

int32
hd_jobs_lend_width(const HdJobFlow *flow)
{
	int left = HD_JOB_LENT_MAX - hd_jobs_list->databases[flow->db].lent;

	if (!flow->soft || flow->step == 0)
		return flow->concurrency;
	if (flow->step < 0)
		return Max(flow->concurrency >> -flow->step, 1);
	return Min(flow->concurrency << flow->step, flow->concurrency + flow->lent + Max(left, 0));
}

void
hd_jobs_lend_count(HdJobFlow *flow)
{
	int32 lent = flow->soft ? Max(flow->running - flow->concurrency, 0) : 0;

	hd_jobs_list->databases[flow->db].lent += lent - flow->lent;
	flow->lent = lent;
	Assert(hd_jobs_list->databases[flow->db].lent >= 0);
}

void
hd_jobs_lend_forget(HdJobFlow *flow)
{
	hd_jobs_list->databases[flow->db].lent -= flow->lent;
	flow->lent = 0;
	flow->step = 0;
	flow->settled_at = 0;
}

static void
learn(HdJobFlow *flow, HdJobGrade grade, TimestampTz now)
{
	if (!flow->soft)
		return;
	if (grade <= HD_JOB_GRADE_SLOW)
	{
		flow->settled_at = now + HD_JOB_SETTLE_US;
		if (flow->step > 0)
			flow->step = 0;
		else if (grade == HD_JOB_GRADE_FAILED)
			flow->step = Max(flow->step - 1, HD_JOB_STEP_MIN);
		return;
	}
	if (flow->running < hd_jobs_lend_width(flow))
		return;
	if (flow->step < 0 ||
		(grade == HD_JOB_GRADE_FAST && flow->step < HD_JOB_STEP_MAX && flow->settled_at <= now))
		flow->step++;
}

/*
 * hd_jobs_sql_flow_grade
 *		SQL: _job_flow_grade(flows text[], grades int[]): how jobs of some flows
 *		did that the transaction ends.
 *
 * A flow that waits for one of its jobs to end is not opened here: those jobs
 * do that when the transaction commits.
 */
Datum
hd_jobs_sql_flow_grade(PG_FUNCTION_ARGS)
{
	Datum *names;
	Datum *grades;
	int n;
	int ngrades;
	uint64 *hashes;
	Oid extension;
	TimestampTz now;
	int32 db;

	if (!hd_settings_preloaded())
		PG_RETURN_VOID();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, sizeof(int32), true, TYPALIGN_INT, &grades,
					  NULL, &ngrades);
	if (n != ngrades)
		elog(ERROR, "%d flows have %d grades", n, ngrades);
	hashes = palloc(sizeof(uint64) * n);
	for (int i = 0; i < n; i++)
		hashes[i] = hd_jobs_place_flow_hash(VARDATA_ANY(DatumGetTextPP(names[i])),
											(int) VARSIZE_ANY_EXHDR(DatumGetTextPP(names[i])));
	extension = hd_spi_extension();
	now = hd_clock_now();

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	for (int i = 0; i < n && db >= 0; i++)
	{
		int32 index = hd_jobs_flow_find(db, hashes[i]);

		if (index >= 0)
			learn(hd_jobs_flow(index), (HdJobGrade) DatumGetInt32(grades[i]), now);
	}
	LWLockRelease(hd_jobs_lock);
	PG_RETURN_VOID();
}
