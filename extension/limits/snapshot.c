/*-------------------------------------------------------------------------
 * snapshot.c
 *		When buckets are written to their file.
 *
 * Model: see snapshot.h; snapshot_file.c knows the file.  The process sleeps on
 * its latch for one interval at a time.  It ends with status 1 on SIGTERM, so
 * that the postmaster starts it again unless the server is being stopped.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/snapshot.h"

#include "core/clock.h"
#include "core/settings.h"
#include "core/worker.h"
#include "limits/snapshot_file.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define RESTART_S 5
#define MAX_INTERVAL_MS (24 * 60 * 60 * 1000)

static int snapshot_interval = 10000;

extern PGDLLEXPORT void hd_limits_snapshot_main(Datum main_arg);

void
hd_limits_snapshot_init(void)
{
	BackgroundWorker worker;

	DefineCustomIntVariable(
		"hotdash.limit_snapshot_interval", "How often rate limit buckets are written to a file.",
		"After a crash they are as they were then. 0: only when the server stops.",
		&snapshot_interval, 10000, 0, MAX_INTERVAL_MS, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	if (IsBinaryUpgrade)
		return;
	hd_worker_describe(&worker, InvalidOid, InvalidOid, "hd_limits_snapshot_main",
					   "hotdash limit snapshots");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_name, "hotdash limit snapshots", sizeof(worker.bgw_name));
	RegisterBackgroundWorker(&worker);
}

/* The postmaster ends: all that used the table are gone. After a crash it does not believe what is there. */
static void
at_end(int code, Datum arg)
{
	if (code == 0)
		(void) hd_limits_snapshot_write(NULL, true);
}

void
hd_limits_snapshot_load(void)
{
	if (IsBinaryUpgrade)
		return;
	hd_limits_snapshot_read();
	if (!IsUnderPostmaster)
		on_shmem_exit(at_end, (Datum) 0);
}

/* Milliseconds until the next file is due; -1: none is. */
static long
until_due(TimestampTz last)
{
	TimestampTz due = TimestampTzPlusMilliseconds(last, snapshot_interval);

	return (snapshot_interval > 0) ? TimestampDifferenceMilliseconds(hd_clock_real(), due) : -1;
}

void
hd_limits_snapshot_main(Datum main_arg)
{
	HdSnapshotTrace trace = {NULL, 0};
	TimestampTz last = hd_clock_real();

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	while (!ShutdownRequestPending)
	{
		long wait;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		last = Min(last, hd_clock_real());
		if (until_due(last) == 0)
		{
			last = hd_clock_real();
			if (hd_limits_snapshot_changed(&trace))
				(void) hd_limits_snapshot_write(&trace, false);
		}
		wait = until_due(last);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | (wait >= 0 ? WL_TIMEOUT : 0) | WL_EXIT_ON_PM_DEATH,
						 wait, PG_WAIT_EXTENSION);
	}
	proc_exit(1);
}
