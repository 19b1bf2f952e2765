/*-------------------------------------------------------------------------
 * settings.c
 *		Settings that the core owns.
 *
 * Purpose: define them with unit, range and level, and answer whether the
 * library was preloaded.
 *
 * Caveats: POSTMASTER settings can be defined only while the postmaster
 * loads the library, so those come after the test for preload; without
 * preload they keep the default of their variable.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/settings.h"

#include "miscadmin.h"
#include "utils/guc.h"

int hd_setting_node_id = 0;
char *hd_setting_tenant = NULL;
char *hd_setting_databases = NULL;
char *hd_setting_worker_role = NULL;
bool hd_setting_worker_runs_handlers = true;

static bool preloaded = false;

void
hd_settings_define(void)
{
	preloaded = process_shared_preload_libraries_in_progress;

	DefineCustomStringVariable("hotdash.databases", "Databases that get a background worker.",
							   "A comma-separated list, or * for every database that has the "
							   "extension.",
							   &hd_setting_databases, "*", PGC_SIGHUP, GUC_LIST_INPUT, NULL, NULL,
							   NULL);
	DefineCustomIntVariable("hotdash.node_id", "High bits of every id made by this server.",
							"0 to 2047; ids of different servers never meet.", &hd_setting_node_id,
							0, 0, 2047, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("hotdash.tenant", "Tenant that a missing tenant argument means.",
							   "Settable by superusers and by roles granted SET on it.",
							   &hd_setting_tenant, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("hotdash.worker_role",
							   "Role that the background workers connect as.",
							   "Empty: no worker starts, and pg_cron does the periodic work.",
							   &hd_setting_worker_role, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("hotdash.worker_runs_handlers",
							 "Whether the background workers also run SQL handlers.", NULL,
							 &hd_setting_worker_runs_handlers, true, PGC_SIGHUP, 0, NULL, NULL,
							 NULL);
}

const char *
hd_settings_bound_tenant(void)
{
	return (hd_setting_tenant != NULL && hd_setting_tenant[0] != '\0') ? hd_setting_tenant : NULL;
}

const char *
hd_settings_tenant(const char *given)
{
	const char *own = hd_settings_bound_tenant();

	if (own != NULL && given != NULL && strcmp(own, given) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for another tenant")));
	if (given != NULL)
		return given;
	return (own != NULL) ? own : "";
}

bool
hd_settings_preloaded(void)
{
	return preloaded;
}

void
hd_settings_require_preload(const char *what)
{
	if (preloaded)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("%s needs hotdash's shared memory", what),
					errhint("Add hotdash to shared_preload_libraries and restart the server.")));
}
