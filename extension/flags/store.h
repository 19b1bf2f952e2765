/*-------------------------------------------------------------------------
 * store.h
 *		What is kept about flags: settings and periodic work.
 *
 * Model: in sql/flags_segments.sql, sql/flags_exposures.sql and
 * sql/flags_usage.sql.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_STORE_H
#define HD_FLAGS_STORE_H

#include "postgres.h"

/*
 * hd_flags_store_init
 *		Define the settings of what is kept, ask for shared memory and for the
 *		tick.  Called once from the module's init.
 */
extern void hd_flags_store_init(void);

#endif /* HD_FLAGS_STORE_H */
