/*-------------------------------------------------------------------------
 * shmem.h
 *		Shared memory of all modules, and the order of locks.
 *
 * Model: a module describes each of its areas by an HdShmemArea and
 * registers it while the postmaster loads the library.  The size is asked
 * for once, after all settings are known; init runs once per start of
 * shared memory, which also means once after each crash of a backend.
 *
 * Locking: whoever needs more than one lock takes them in this order and
 * never the other way round:
 *
 *		1. row and table locks (heavyweight)
 *		2. advisory locks (of alerts, in a class of their own; never waited for)
 *		3. the module's LWLock:  jobs, then limits (one of many); the limits' log
 *		   of refusals, flags' uses (one of many) and worker alone
 *		4. spinlocks (of the server's condition variables; counters are atomics)
 *
 * Under an LWLock: no SPI, no catalog or table access, no wait, no
 * allocation that can grow without bound, no ereport above DEBUG.  No lock
 * is held across a wait.
 *
 * Caveats: shared memory belongs to the cluster and is lost whenever one
 * backend crashes.  What that costs is said in the header of each area.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SHMEM_H
#define HD_SHMEM_H

#include "postgres.h"

#include "storage/lwlock.h"

typedef struct HdShmemArea
{
	const char *name;	/* name in pg_shmem_allocations, and of the LWLock's tranche */
	Size (*size)(void); /* bytes wanted; called when all settings are known */
	void (*init)(void *base, LWLock *lock, bool fresh); /* fresh: zeroed memory, fill it in */
} HdShmemArea;

/*
 * hd_shmem_register
 *		Ask for an area.  Only while the postmaster loads the library.
 *
 * area must live for ever (a static).
 */
extern void hd_shmem_register(const HdShmemArea *area);

/*
 * hd_shmem_install
 *		Chain the request and startup hooks.  Called once from _PG_init.
 */
extern void hd_shmem_install(void);

#endif /* HD_SHMEM_H */
