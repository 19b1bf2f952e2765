/*-------------------------------------------------------------------------
 * relay.c
 *		Runs of job_work that take over from each other, for pg_cron.
 *
 * Model: see relay.h.  A database's slot in the list has the number of its
 * youngest run, when that ends at the latest, and whom to wake.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/relay.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/spi.h"
#include "core/worker.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

/* How long a run waits for the next one; and how much before its minute it may begin. */
#define OVERLAP_US (2 * USECS_PER_SEC)
#define EARLY_US (10 * USECS_PER_SEC)

/* The run of this process; number 0: none. */
static uint32 my_number = 0;
static int32 my_db = -1;
static Oid my_extension = InvalidOid;

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

/* The end of a run that began now: see relay.h. */
static TimestampTz
latest_end(TimestampTz now)
{
	TimestampTz minute = (now / USECS_PER_MINUTE + 1) * USECS_PER_MINUTE;

	/* One that pg_cron's clock started a little early is that of the coming minute. */
	if (minute - now < EARLY_US)
		minute += USECS_PER_MINUTE;
	return minute + OVERLAP_US;
}

/* This process's run is over; it may have been ended in its midst. */
static void
leave(int code, Datum arg)
{
	HdJobDatabase *database;

	if (my_number == 0)
		return;
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
	my_number = 0;
}

uint32
hd_jobs_relay_begin(TimestampTz *until)
{
	static bool exit_registered = false;
	TimestampTz now = hd_clock_real();
	Oid extension = hd_spi_extension();
	int32 db;

	if (!is_needed())
		return 0;
	if (!exit_registered)
	{
		before_shmem_exit(leave, (Datum) 0);
		exit_registered = true;
	}
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && has_place(db, now))
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
		database->relay_until = *until = latest_end(now);
		database->relay_procno = HD_MY_PROCNO;
	}
	LWLockRelease(hd_jobs_lock);
	return my_number;
}

bool
hd_jobs_relay_goes_on(uint32 number, TimestampTz *until)
{
	TimestampTz now = hd_clock_real();
	Oid extension = hd_spi_extension_missing_ok();
	HdJobDatabase *database;
	bool youngest;

	if (!OidIsValid(extension) || hd_worker_is_held(MyDatabaseId))
		return false;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	database = &hd_jobs_list->databases[my_db];
	youngest = extension == my_extension && database->database == MyDatabaseId &&
			   database->extension == my_extension && database->relay == number;
	if (youngest && database->relay_runs > 1 && now >= *until)
		database->relay_until = *until = now + OVERLAP_US;
	LWLockRelease(hd_jobs_lock);
	return youngest;
}

void
hd_jobs_relay_end(void)
{
	leave(0, (Datum) 0);
}
