/*-------------------------------------------------------------------------
 * compat.h
 *		The one file that knows server versions.
 *
 * Purpose: every difference between PostgreSQL 15, 16, 17 and 18 that
 * hotdash meets is named here, so that no other file tests
 * PG_VERSION_NUM.
 *-------------------------------------------------------------------------
 */
#ifndef HD_COMPAT_H
#define HD_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"

#if PG_VERSION_NUM < 150000
#error "hotdash needs PostgreSQL 15 or later"
#endif

/* 17 renamed the field of BackendId and moved process numbers to their own type. */
#if PG_VERSION_NUM >= 170000
#define HD_MY_PROCNO MyProcNumber
#else
#define HD_MY_PROCNO (MyProc->pgprocno)
#endif

/* 18 reports library name and version through the magic block. */
#if PG_VERSION_NUM >= 180000
#define HD_MODULE_MAGIC(libname, libversion) \
	PG_MODULE_MAGIC_EXT(.name = libname, .version = libversion)
#else
#define HD_MODULE_MAGIC(libname, libversion) PG_MODULE_MAGIC
#endif

/* 16 added the summarizing index argument and returns an enum. */
#if PG_VERSION_NUM >= 160000
#define HD_INSERT_INDEXES(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false)
#else
#define HD_INSERT_INDEXES(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL)
#endif

#endif							/* HD_COMPAT_H */
