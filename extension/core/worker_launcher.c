/*-------------------------------------------------------------------------
 * worker_launcher.c
 *		The launcher: which database gets a worker, as whom, and when.
 *
 * Model: one process for the cluster, connected to no database.  Each pass
 * decides whether hotdash.worker_role is fit, lists the databases it may
 * connect to, and starts a worker in each that has none.  Whether the
 * extension is there only the worker can see; where it is not, the worker
 * leaves, and the launcher tries again after a delay that doubles up to
 * five minutes.  CREATE EXTENSION asks for a try at once.
 *
 * One worker is started at a time, and the next when that one has found
 * the extension or left, so that looking into a hundred databases never
 * takes more than one of the server's worker processes.
 *
 * The launcher ends with status 1 on SIGTERM, so that the postmaster starts
 * it again unless the server is being stopped.
 *
 * Caveats: workers that run are not touched when a setting changes; they
 * see for themselves whether they are wanted (worker.c).  When no worker
 * process is free (max_worker_processes) the databases that come last in
 * the list go without; the log says so once.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/settings.h"
#include "core/worker_internal.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"

#define LAUNCHER_RESTART_S 5

/* The longest sleep between two passes: how late a new database is seen. */
#define PASS_MS 60000

/* A database without the extension is tried again after this, doubled each time. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 300000

/* A start that takes longer than this no longer keeps others waiting. */
#define START_PATIENCE_MS 5000

/* What the launcher remembers of a database; in its own memory only. */
typedef struct Database
{
	Oid oid;
	char name[NAMEDATALEN];
	bool listed;		/* in this pass */
	bool denied_logged; /* the log was told that the role may not connect */
	int failures;		/* starts in a row after which the worker left */
	TimestampTz next_try;
	TimestampTz started_at;			/* of the start that is under way */
	BackgroundWorkerHandle *handle; /* NULL when none is under way or runs */
} Database;

static List *databases = NIL;
static MemoryContext launcher_context = NULL;

extern PGDLLEXPORT void hd_worker_launch(Datum main_arg);

void
hd_worker_launcher_register(void)
{
	BackgroundWorker worker;

	hd_worker_describe(&worker, InvalidOid, InvalidOid, "hd_worker_launch", "hotdash launcher");
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_name, "hotdash launcher", sizeof(worker.bgw_name));
	RegisterBackgroundWorker(&worker);
}

bool
hd_worker_database_listed(const char *database, bool *valid)
{
	char *copy = pstrdup(hd_setting_databases);
	bool listed = false;
	List *names;
	ListCell *lc;

	*valid = SplitIdentifierString(copy, ',', &names);
	foreach (lc, names)
	{
		const char *name = lfirst(lc);

		if (*valid && (strcmp(name, "*") == 0 || strcmp(name, database) == 0))
			listed = true;
	}
	list_free(names);
	pfree(copy);
	return listed;
}

/* Whether the role that is set is fit to run workers, and its oid.  In a transaction. */
static HdWorkerProblem
check_role(Oid *role)
{
	HdWorkerProblem problem = HD_WORKER_NONE;
	Form_pg_authid form;
	HeapTuple tuple;

	if (hd_setting_worker_role == NULL || *hd_setting_worker_role == '\0')
		return HD_WORKER_OFF;
	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(hd_setting_worker_role));
	if (!HeapTupleIsValid(tuple))
		return HD_WORKER_ROLE_MISSING;
	form = (Form_pg_authid) GETSTRUCT(tuple);
	*role = form->oid;
	if (form->rolsuper)
		problem = HD_WORKER_ROLE_SUPERUSER;
	else if (!form->rolcanlogin)
		problem = HD_WORKER_ROLE_NOLOGIN;
	ReleaseSysCache(tuple);
	return problem;
}

/* Log a problem when it is a new one, and publish it for health(). */
static void
report_problem(HdWorkerProblem problem)
{
	static HdWorkerProblem logged = HD_WORKER_NONE;
	HdWorkerProblem before = logged;

	hd_worker_launcher_report(problem);
	logged = problem;
	if (problem == before)
		return;
	switch (problem)
	{
		case HD_WORKER_NONE:
		case HD_WORKER_OFF:
			break;
		case HD_WORKER_ROLE_MISSING:
			ereport(WARNING, (errcode(ERRCODE_UNDEFINED_OBJECT),
							  errmsg("hotdash starts no workers: role \"%s\" does not exist",
									 hd_setting_worker_role),
							  errhint("Create the role, or change hotdash.worker_role.")));
			break;
		case HD_WORKER_ROLE_SUPERUSER:
			ereport(WARNING, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							  errmsg("hotdash starts no workers: role \"%s\" is a superuser",
									 hd_setting_worker_role),
							  errhint("Set hotdash.worker_role to a role with LOGIN and without "
									  "further rights.")));
			break;
		case HD_WORKER_ROLE_NOLOGIN:
			ereport(WARNING, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
							  errmsg("hotdash starts no workers: role \"%s\" is not permitted to "
									 "log in",
									 hd_setting_worker_role),
							  errhint("Give the role LOGIN, or change hotdash.worker_role.")));
			break;
		case HD_WORKER_LIST_INVALID:
			ereport(WARNING, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							  errmsg("hotdash starts no workers: hotdash.databases is not a valid "
									 "list"),
							  errhint("Write names separated by commas, or * alone.")));
			break;
	}
}

static Database *
remember_database(Oid oid)
{
	MemoryContext old;
	Database *database;
	ListCell *lc;

	foreach (lc, databases)
	{
		database = lfirst(lc);
		if (database->oid == oid)
			return database;
	}
	old = MemoryContextSwitchTo(launcher_context);
	database = palloc0(sizeof(Database));
	database->oid = oid;
	databases = lappend(databases, database);
	MemoryContextSwitchTo(old);
	return database;
}

static void
forget_unlisted_databases(void)
{
	ListCell *lc;

	foreach (lc, databases)
	{
		Database *database = lfirst(lc);

		if (database->listed)
			continue;
		if (database->handle != NULL)
			pfree(database->handle);
		databases = foreach_delete_current(databases, lc);
		pfree(database);
	}
}

/* Whether role may connect to the database of this row.  Never raises, unlike the lookup by oid. */
static bool
may_connect(Oid role, HeapTuple tuple, TupleDesc tupdesc)
{
	Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
	bool isnull;
	Datum datum = heap_getattr(tuple, Anum_pg_database_datacl, tupdesc, &isnull);
	Acl *acl = isnull ? acldefault(OBJECT_DATABASE, form->datdba) : DatumGetAclP(datum);

	return aclmask(acl, role, form->datdba, ACL_CONNECT, ACLMASK_ANY) != 0;
}

/* Take a row of pg_database into the list, if it is to have a worker. */
static void
consider_row(Oid role, HeapTuple tuple, TupleDesc tupdesc)
{
	Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
	Database *database;
	bool valid;

	if (!form->datallowconn || form->datistemplate || database_is_invalid_form(form) ||
		!hd_worker_database_listed(NameStr(form->datname), &valid))
		return;

	database = remember_database(form->oid);
	strlcpy(database->name, NameStr(form->datname), NAMEDATALEN);
	database->listed = may_connect(role, tuple, tupdesc);
	if (!database->listed && !database->denied_logged)
		ereport(LOG, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					  errmsg("hotdash starts no worker in database \"%s\": role \"%s\" may not "
							 "connect",
							 database->name, hd_setting_worker_role),
					  errhint("Grant CONNECT on the database, or leave it out of "
							  "hotdash.databases.")));
	database->denied_logged = !database->listed;
}

static void
list_databases(Oid role)
{
	Relation rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple tuple;
	ListCell *lc;

	foreach (lc, databases)
		((Database *) lfirst(lc))->listed = false;
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		consider_row(role, tuple, RelationGetDescr(rel));
	table_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Bring the list of databases and the role up to date.  False when no worker
 * may run.
 */
static bool
survey(Oid *role)
{
	HdWorkerProblem problem;
	bool valid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	(void) hd_worker_database_listed("", &valid);
	problem = check_role(role);
	if (problem == HD_WORKER_NONE && !valid)
		problem = HD_WORKER_LIST_INVALID;
	if (problem == HD_WORKER_NONE)
		list_databases(*role);
	CommitTransactionCommand();
	report_problem(problem);
	return problem == HD_WORKER_NONE;
}

static bool
start_worker(Database *database, Oid role)
{
	static bool full_logged = false;
	MemoryContext old = MemoryContextSwitchTo(launcher_context);
	BackgroundWorker worker;
	bool started;

	hd_worker_describe(&worker, database->oid, role, "hd_worker_main", "hotdash worker");
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "hotdash worker for %s", database->name);
	started = RegisterDynamicBackgroundWorker(&worker, &database->handle);
	MemoryContextSwitchTo(old);

	database->started_at = hd_clock_real();
	if (!started && !full_logged)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("hotdash could not start the worker for database \"%s\"", database->name),
				 errhint("You may need to increase max_worker_processes.")));
	full_logged = !started;
	return started;
}

/* Note that a worker has ended; decide when the next is due. */
static void
worker_ended(Database *database, TimestampTz now)
{
	int delay = RETRY_MAX_MS;

	pfree(database->handle);
	database->handle = NULL;
	if (database->failures < 9)
		delay = Min(RETRY_MIN_MS << database->failures, RETRY_MAX_MS);
	database->failures++;
	database->next_try = TimestampTzPlusMilliseconds(now, delay);
}

/*
 * See to one database.  Returns when to look again; *starting says whether a
 * start is under way, and is set when one is begun here.
 */
static TimestampTz
tend(Database *database, Oid role, TimestampTz now, bool *starting)
{
	HdWorkerView view;
	TimestampTz due;
	pid_t pid;

	hd_worker_slot_look(database->oid, &view);
	if (view.settled)
		database->failures = 0;
	if (database->handle != NULL && GetBackgroundWorkerPid(database->handle, &pid) == BGWH_STOPPED)
		worker_ended(database, now);
	if (database->handle != NULL || view.pid != 0)
	{
		if (!view.settled &&
			now < TimestampTzPlusMilliseconds(database->started_at, START_PATIENCE_MS))
			*starting = true;
		return DT_NOEND;
	}

	due = Max(database->next_try, view.hold_until);
	if (due > now)
		return due;
	if (*starting)
		return DT_NOEND; /* the one that is starting wakes the launcher */
	*starting = start_worker(database, role);
	return TimestampTzPlusMilliseconds(now, START_PATIENCE_MS);
}

/* One pass.  Returns when the next is due. */
static TimestampTz
pass(void)
{
	TimestampTz now = hd_clock_real();
	TimestampTz next = TimestampTzPlusMilliseconds(now, PASS_MS);
	bool asked = hd_worker_launcher_asked();
	bool starting = false;
	ListCell *lc;
	Oid role;

	if (!survey(&role))
		return next;
	forget_unlisted_databases();
	foreach (lc, databases)
	{
		Database *database = lfirst(lc);
		TimestampTz due;

		if (asked)
		{
			database->failures = 0;
			database->next_try = 0;
		}
		due = tend(database, role, now, &starting);
		next = Min(next, due);
	}
	return next;
}

static void
forget_delays(void)
{
	ListCell *lc;

	foreach (lc, databases)
		((Database *) lfirst(lc))->next_try = 0;
}

void
hd_worker_launch(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	launcher_context =
		AllocSetContextCreate(TopMemoryContext, "hotdash launcher", ALLOCSET_DEFAULT_SIZES);
	hd_worker_launcher_attach();

	while (!ShutdownRequestPending)
	{
		TimestampTz next;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			forget_delays();
		}
		next = pass();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TimestampDifferenceMilliseconds(hd_clock_real(), next), PG_WAIT_EXTENSION);
	}
	proc_exit(1);
}
