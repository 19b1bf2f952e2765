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

#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"

#if PG_VERSION_NUM < 150000
#error "hotdash needs PostgreSQL 15 or later"
#endif

/* 16 moved the macros of variable-length values out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 17 renamed the field of BackendId, moved process numbers to their own type and virtual ids together. */
#if PG_VERSION_NUM >= 170000
#define HD_MY_PROCNO MyProcNumber
#define HD_MY_LXID (MyProc->vxid.lxid)
#else
#define HD_MY_PROCNO (MyProc->pgprocno)
#define HD_MY_LXID (MyProc->lxid)
#endif

/*
 * libpq/libpq.h cannot be included: it needs the headers of GSSAPI where the server was built with
 * that. The set that a backend waits with for its client; null in other processes.
 */
extern PGDLLIMPORT struct WaitEventSet *FeBeWaitSet;
#define HD_CLIENT_SOCKET_POS 0

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

/* 16 tells membership from the right to SET ROLE. */
#if PG_VERSION_NUM >= 160000
#define HD_CHECK_CAN_BECOME(member, role) check_can_set_role(member, role)
#else
#define HD_CHECK_CAN_BECOME(member, role) check_is_member_of_role(member, role)
#endif

/* 16 frees what a check hook hands over with its own allocator.  Needs utils/guc.h. */
#if PG_VERSION_NUM >= 160000
#define HD_GUC_MALLOC(size) guc_malloc(LOG, size)
#else
#define HD_GUC_MALLOC(size) malloc(size)
#endif

/* 18 wants it before the declaration, where all take it. */
#if PG_VERSION_NUM >= 180000
#define HD_NORETURN pg_noreturn
#else
#define HD_NORETURN pg_attribute_noreturn()
#endif

/* 18 added a place for instrumentation. */
#if PG_VERSION_NUM >= 180000
#define HD_INDEX_BEGINSCAN(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define HD_INDEX_BEGINSCAN(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* 16 made the check of rights generic. */
#if PG_VERSION_NUM >= 160000
#define HD_MAY_EXECUTE(function, role) \
	(object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK)
#else
#define HD_MAY_EXECUTE(function, role) \
	(pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK)
#endif

#endif /* HD_COMPAT_H */
