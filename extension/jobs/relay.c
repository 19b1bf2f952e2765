/*-------------------------------------------------------------------------
 * relay.c
 *		Runs of SQL handlers that take over from each other, for pg_cron.
 *
 * Model: see relay.h.  A database's slot in the list has the number of its
 * youngest run, when that ends at the latest, and whom to wake.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/relay.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/worker.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The run of this process; number 0: none. */
static uint32 my_number = 0;
static int32 my_db = -1;
static Oid my_extension = InvalidOid;

/*
 * The call.
 */

/* Whether other databases leave a place. Lock held. */
static bool
has_place(int32 db, TimestampTz now)
{
	int others = 0;

	for (int32 i = 0; i < HD_JOB_MAX_DATABASES; i++)
		if (i != db && hd_jobs_list->databases[i].relay_until > now)
			others++;
	return others < HD_JOB_RELAY_DATABASES;
}

/* Whether this database needs a run that stays. */
static bool
is_needed(void)
{
	int nkinds;

	if (hd_worker_is_held(MyDatabaseId) ||
		(hd_setting_worker_runs_handlers && hd_worker_runs(MyDatabaseId)))
		return false;
	(void) hd_jobs_kind_handled(&nkinds);
	return nkinds > 0;
}

/* A background process may not connect as a role that could not log in. */
static bool
may_log_in(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool may = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return may;
}

static bool
start_process(Oid role)
{
	BackgroundWorker worker;

	hd_worker_describe(&worker, MyDatabaseId, role, "hd_jobs_work_main", "hotdash work");
	strlcpy(worker.bgw_name, "hotdash work for pg_cron", sizeof(worker.bgw_name));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

bool
hd_jobs_relay_start(void)
{
	TimestampTz now = hd_clock_real();
	Oid extension = hd_spi_extension();
	bool enough = false;
	bool place = false;
	int32 db;

	if (!is_needed() || !may_log_in(GetUserId()))
		return false;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0)
	{
		HdJobDatabase *database = &hd_jobs_list->databases[db];

		place = has_place(db, now);
		enough = place && database->relay_runs >= HD_JOB_RELAY_RUNS;
		if (enough && database->relay_until != 0)
			database->relay_until = now + HD_JOB_RELAY_ALONE_US;
	}
	LWLockRelease(hd_jobs_lock);
	return enough || (place && start_process(GetUserId()));
}

/*
 * The run.
 */

/* This process's run is over; it may have been ended in its midst. */
static void
leave(int code, Datum arg)
{
	HdJobDatabase *database;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	database = &hd_jobs_list->databases[my_db];

	/* After DROP EXTENSION the slot may be another's. */
	if (database->database == MyDatabaseId && database->extension == my_extension)
	{
		database->relay_runs--;
		if (database->relay == my_number)
			database->relay_until = 0;
	}
	LWLockRelease(hd_jobs_lock);
}

bool
hd_jobs_relay_begin(void)
{
	TimestampTz now = hd_clock_real();
	Oid extension = hd_spi_extension();
	bool begun = false;
	int32 db;

	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && has_place(db, now) && hd_jobs_list->databases[db].relay_runs < HD_JOB_RELAY_RUNS)
	{
		HdJobDatabase *database = &hd_jobs_list->databases[db];

		/* A latch of somebody else by now does no harm. */
		if (database->relay_runs > 0)
			SetLatch(&ProcGlobal->allProcs[database->relay_procno].procLatch);
		if (++database->relay == 0)
			database->relay = 1;
		my_db = db;
		my_extension = extension;
		my_number = database->relay;
		database->relay_runs++;
		database->relay_until = now + HD_JOB_RELAY_ALONE_US;
		database->relay_procno = HD_MY_PROCNO;
		begun = true;
	}
	LWLockRelease(hd_jobs_lock);
	if (begun)
		before_shmem_exit(leave, (Datum) 0);
	return begun;
}

bool
hd_jobs_relay_goes_on(void)
{
	Oid extension = hd_spi_extension_missing_ok();
	HdJobDatabase *database;
	bool goes_on;

	if (extension != my_extension || hd_worker_is_held(MyDatabaseId))
		return false;
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	database = &hd_jobs_list->databases[my_db];
	goes_on = database->database == MyDatabaseId && database->extension == my_extension &&
			  database->relay == my_number && hd_clock_real() < database->relay_until;
	LWLockRelease(hd_jobs_lock);
	return goes_on;
}
