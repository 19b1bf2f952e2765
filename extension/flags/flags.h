/*-------------------------------------------------------------------------
 * flags.h
 *		Feature flags: the module's entry and its settings.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_H
#define HD_FLAGS_H

#include "postgres.h"

#include "flags/bucket.h"

/* hotdash.flag_bucketing: of flags that name none. */
extern int hd_flags_setting_bucketing;

/* hotdash.flag_cache: memory for compiled flags in a session, in kB. */
extern int hd_flags_setting_cache;

/* Whether hotdash.flag_overrides and hotdash.flag_context are set: nearly all can skip them. */
extern bool hd_flags_overrides_set;
extern bool hd_flags_context_set;

/* hotdash.environment; null where it is not set. */
extern HdValue hd_flags_environment;

/*
 * hd_flags_init
 *		Define the settings.  Called once from _PG_init.
 */
extern void hd_flags_init(void);

/*
 * hd_flags_setting_overrides, hd_flags_setting_context
 *		hotdash.flag_overrides, hotdash.flag_context: the object, NULL where it is
 *		not set.  Raises when what a file or a role says is no object.
 */
extern JsonbContainer *hd_flags_setting_overrides(void);
extern JsonbContainer *hd_flags_setting_context(void);

#endif /* HD_FLAGS_H */
