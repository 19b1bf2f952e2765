/*-------------------------------------------------------------------------
 * worker_yield.c
 *		Makes workers leave for commands that need the database to themselves.
 *
 * Model: a utility hook in the session that runs the command.  For DROP
 * DATABASE, CREATE DATABASE with this one as template, ALTER DATABASE with
 * RENAME or SET TABLESPACE, DROP EXTENSION and ALTER EXTENSION UPDATE it
 * puts a hold on the database, asks its worker to leave and waits until it
 * has (worker_slots.c); then the command goes on as it would without.  The
 * worker comes back when the hold is over, if the database and the
 * extension are still there.
 *
 * CREATE EXTENSION and CREATE DATABASE tell the launcher when they commit,
 * so that a worker comes at once.
 *
 * Locking: the hook runs before the command takes any lock, because the
 * worker may have to finish something first.
 *
 * Caveats: only those are served who could run the command, so that nobody
 * else can keep workers away.  Where the worker does not leave in time, the
 * command meets it as it would meet any session.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/worker_internal.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type prev_utility = NULL;

/* Set by a command after which the launcher has to look again, until the transaction ends. */
static bool retry_at_commit = false;

static bool
owns_database(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool owns = false;

	if (HeapTupleIsValid(tuple))
	{
		owns = has_privs_of_role(GetUserId(), ((Form_pg_database) GETSTRUCT(tuple))->datdba);
		ReleaseSysCache(tuple);
	}
	return owns;
}

static DefElem *
find_option(List *options, const char *name)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *option = lfirst(lc);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* The database that a command needs to itself, by name; NULL for most. */
static char *
database_needed(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return castNode(DropdbStmt, statement)->dbname;

		case T_CreatedbStmt:
		{
			DefElem *option = find_option(castNode(CreatedbStmt, statement)->options, "template");

			return (option != NULL && option->arg != NULL) ? defGetString(option) : NULL;
		}

		case T_RenameStmt:
		{
			RenameStmt *rename = castNode(RenameStmt, statement);

			return (rename->renameType == OBJECT_DATABASE) ? rename->subname : NULL;
		}

		case T_AlterDatabaseStmt:
		{
			AlterDatabaseStmt *alter = castNode(AlterDatabaseStmt, statement);

			return (find_option(alter->options, "tablespace") != NULL) ? alter->dbname : NULL;
		}

		default:
			return NULL;
	}
}

/* Whether a command drops or updates the extension of this database. */
static bool
changes_extension(Node *statement)
{
	ListCell *lc;

	if (IsA(statement, AlterExtensionStmt))
		return strcmp(castNode(AlterExtensionStmt, statement)->extname, "hotdash") == 0;
	if (!IsA(statement, DropStmt) || castNode(DropStmt, statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (lc, castNode(DropStmt, statement)->objects)
	{
		if (strcmp(strVal(lfirst(lc)), "hotdash") == 0)
			return true;
	}
	return false;
}

/* Whether the launcher has reason to look again once a command is committed. */
static bool
wants_retry(Node *statement)
{
	return IsA(statement, CreatedbStmt) ||
		   (IsA(statement, CreateExtensionStmt) &&
			strcmp(castNode(CreateExtensionStmt, statement)->extname, "hotdash") == 0);
}

static void
clear_the_way(Node *statement)
{
	char *name = database_needed(statement);
	Oid database = InvalidOid;

	if (name != NULL)
	{
		database = get_database_oid(name, true);
		if (OidIsValid(database) && !owns_database(database))
			database = InvalidOid;
	}
	else if (changes_extension(statement) && superuser())
		database = MyDatabaseId;

	if (OidIsValid(database))
		hd_worker_slot_hold(database);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (retry_at_commit && event == XACT_EVENT_COMMIT)
		hd_worker_launcher_retry(MyDatabaseId);
	retry_at_commit = false;
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node *statement = pstmt->utilityStmt;
	bool retry = wants_retry(statement);

	clear_the_way(statement);
	if (prev_utility != NULL)
		prev_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context, params, query_env,
								dest, qc);
	if (retry)
		retry_at_commit = true;
}

void
hd_worker_yield_install(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(at_end_of_transaction, NULL);
}
