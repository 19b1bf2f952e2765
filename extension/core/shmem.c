/*-------------------------------------------------------------------------
 * shmem.c
 *		Shared memory of all modules: request at load, attach at startup.
 *
 * Locking: none of its own; each area gets one LWLock from a tranche named
 * after it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/shmem.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#define HD_SHMEM_MAX_AREAS 16

static const HdShmemArea *areas[HD_SHMEM_MAX_AREAS];
static int narea = 0;

static shmem_request_hook_type prev_request = NULL;
static shmem_startup_hook_type prev_startup = NULL;

void
hd_shmem_register(const HdShmemArea *area)
{
	Assert(process_shared_preload_libraries_in_progress);
	if (narea >= HD_SHMEM_MAX_AREAS)
		elog(ERROR, "too many shared memory areas");
	areas[narea++] = area;
}

static void
request(void)
{
	if (prev_request != NULL)
		prev_request();
	for (int i = 0; i < narea; i++)
	{
		RequestAddinShmemSpace(areas[i]->size());
		RequestNamedLWLockTranche(areas[i]->name, 1);
	}
}

static void
startup(void)
{
	if (prev_startup != NULL)
		prev_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < narea; i++)
	{
		Size size = areas[i]->size();
		bool found;
		void *base = ShmemInitStruct(areas[i]->name, size, &found);

		if (!found)
			memset(base, 0, size);
		areas[i]->init(base, &GetNamedLWLockTranche(areas[i]->name)->lock, !found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
hd_shmem_install(void)
{
	prev_request = shmem_request_hook;
	shmem_request_hook = request;
	prev_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}
