/*-------------------------------------------------------------------------
 * settings.h
 *		Settings that the core owns, and how modules add theirs.
 *
 * Purpose: one place per setting.  A module defines its own settings in its
 * init function; the prefix is reserved after all modules have done so.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SETTINGS_H
#define HD_SETTINGS_H

#include "postgres.h"

/* hotdash.node_id: the high bits of every id made here (0 to 2047). */
extern int hd_setting_node_id;

/* hotdash.tenant: the tenant that a missing argument stands for. */
extern char *hd_setting_tenant;

/* hotdash.databases: databases that get a background worker, '*' for all. */
extern char *hd_setting_databases;

/* hotdash.worker_role: who the workers connect as; empty means none start. */
extern char *hd_setting_worker_role;

/* hotdash.worker_runs_handlers: whether workers also run SQL handlers. */
extern bool hd_setting_worker_runs_handlers;

/*
 * hd_settings_tenant
 *		The tenant that an argument means: given, or hotdash.tenant where it is
 *		NULL.  A session that hotdash.tenant binds to one may name no other: 42501.
 */
extern const char *hd_settings_tenant(const char *given);

/*
 * hd_settings_bound_tenant
 *		The tenant that this session is bound to, NULL when it sees all.
 */
extern const char *hd_settings_bound_tenant(void);

/*
 * hd_settings_define
 *		Define the core's settings.  Called once from _PG_init.
 */
extern void hd_settings_define(void);

/*
 * hd_settings_preloaded
 *		True when the library came in through shared_preload_libraries, so that
 *		shared memory exists.
 */
extern bool hd_settings_preloaded(void);

/*
 * hd_settings_require_preload
 *		Raise 55000 with a hint that names the setting, unless preloaded.
 *
 * what: the thing that needs it, for the message ("claiming jobs").
 */
extern void hd_settings_require_preload(const char *what);

#endif /* HD_SETTINGS_H */
