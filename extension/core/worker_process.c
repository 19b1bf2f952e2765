/*-------------------------------------------------------------------------
 * worker_process.c
 *		Processes of ours: how one is asked for, and how it connects.
 *
 * Model: the registration carries database and role to the process, the one
 * as its argument, the other in bgw_extra.  What is put there and what is
 * read from there must agree, so both are here.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/worker.h"

#include "pgstat.h"

void
hd_worker_describe(BackgroundWorker *worker, Oid database, Oid role, const char *function,
				   const char *type)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &role, sizeof(role));
	strlcpy(worker->bgw_library_name, "hotdash", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_type, type, sizeof(worker->bgw_type));
}

void
hd_worker_connect(void)
{
	Oid role;

	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(role));
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(MyBgworkerEntry->bgw_main_arg), role,
											  0);
	pgstat_report_appname(MyBgworkerEntry->bgw_type);
}
