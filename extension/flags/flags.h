/*-------------------------------------------------------------------------
 * flags.h
 *		Feature flags: what the rest of the library sees of them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_H
#define HD_FLAGS_H

#include "postgres.h"

/*
 * hd_flags_init
 *		Define the settings and watch the tables.  Called once from _PG_init.
 */
extern void hd_flags_init(void);

#endif /* HD_FLAGS_H */
