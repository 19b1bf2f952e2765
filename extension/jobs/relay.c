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
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

/* How long a run waits for the next one; and how much before its minute it may begin. */
#define OVERLAP_US (2 * USECS_PER_SEC)
#define EARLY_US (10 * USECS_PER_SEC)

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

uint32
hd_jobs_relay_begin(TimestampTz *until)
{
	TimestampTz now = hd_clock_real();
	Oid extension = hd_spi_extension();
	uint32 number = 0;
	int32 db;

	if (!is_needed())
		return 0;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	if (db >= 0 && has_place(db, now))
	{
		HdJobDatabase *database = &hd_jobs_list->databases[db];

		/* A latch of somebody else by now does no harm. */
		if (database->relay_until > now)
			SetLatch(&ProcGlobal->allProcs[database->relay_procno].procLatch);
		do
			number = ++database->relay;
		while (number == 0);
		database->relay_until = *until = latest_end(now);
		database->relay_procno = HD_MY_PROCNO;
	}
	LWLockRelease(hd_jobs_lock);
	return number;
}

bool
hd_jobs_relay_goes_on(uint32 number)
{
	Oid extension = hd_spi_extension_missing_ok();
	bool youngest;
	int32 db;

	if (!OidIsValid(extension) || hd_worker_is_held(MyDatabaseId))
		return false;
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	db = hd_jobs_list_database(MyDatabaseId, extension);
	youngest = db >= 0 && hd_jobs_list->databases[db].relay == number;
	LWLockRelease(hd_jobs_lock);
	return youngest;
}

void
hd_jobs_relay_end(uint32 number)
{
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	for (int32 i = 0; i < HD_JOB_MAX_DATABASES; i++)
	{
		HdJobDatabase *database = &hd_jobs_list->databases[i];

		if (database->database == MyDatabaseId && database->relay == number &&
			database->relay_procno == HD_MY_PROCNO)
			database->relay_until = 0;
	}
	LWLockRelease(hd_jobs_lock);
}
