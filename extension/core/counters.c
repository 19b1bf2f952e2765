/*-------------------------------------------------------------------------
 * counters.c
 *		Counters of what happened, shared by all sessions.
 *
 * Locking: none; each counter is an atomic of its own.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/counters.h"

#include "core/shmem.h"
#include "fmgr.h"
#include "funcapi.h"
#include "port/atomics.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

static pg_atomic_uint64 *counters = NULL;

static const char *const names[] = {
	[HD_COUNTER_JOBS_ENQUEUED] = "jobs_enqueued",
	[HD_COUNTER_JOBS_SHELVED] = "jobs_shelved",
	[HD_COUNTER_JOBS_CLAIMED] = "jobs_claimed",
	[HD_COUNTER_JOBS_ENDED] = "jobs_ended",
	[HD_COUNTER_JOBS_GIVEN_BACK] = "jobs_given_back",
	[HD_COUNTER_JOBS_RESCUED] = "jobs_rescued",
	[HD_COUNTER_JOBS_LOST] = "jobs_lost",
	[HD_COUNTER_JOBS_REFILLED] = "jobs_refilled",
	[HD_COUNTER_JOBS_LIST_FULL] = "jobs_list_full",
	[HD_COUNTER_JOBS_QUEUES_FULL] = "jobs_queues_full",
	[HD_COUNTER_JOBS_COUNTED] = "jobs_counted",
	[HD_COUNTER_JOBS_CUT_MOVED] = "jobs_cut_moved",
	[HD_COUNTER_LIMITS_EVICTED] = "limits_evicted",
	[HD_COUNTER_LIMITS_NO_ROOM] = "limits_no_room",
	[HD_COUNTER_LIMITS_COARSE] = "limits_coarse",
	[HD_COUNTER_LIMITS_PLACES_FULL] = "limits_places_full",
	[HD_COUNTER_FLAGS_USES_LOST] = "flags_uses_lost",
	[HD_COUNTER_SLA_RULES_FAILED] = "sla_rules_failed",
};

StaticAssertDecl(lengthof(names) == HD_COUNTER_COUNT, "every counter has a name");

PG_FUNCTION_INFO_V1(hd_counters_sql_list);

static Size
area_size(void)
{
	return sizeof(pg_atomic_uint64) * HD_COUNTER_COUNT;
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	counters = base;
	if (!fresh)
		return;
	for (int i = 0; i < HD_COUNTER_COUNT; i++)
		pg_atomic_init_u64(&counters[i], 0);
}

static const HdShmemArea area = {"hotdash_counters", area_size, area_init};

void
hd_counters_register(void)
{
	hd_shmem_register(&area);
}

void
hd_counters_add(HdCounter counter, uint64 n)
{
	if (counters != NULL && n > 0)
		pg_atomic_fetch_add_u64(&counters[counter], (int64) n);
}

/*
 * hd_counters_sql_list
 *		SQL: _counters() -> setof (name text, value bigint); empty without preload.
 */
Datum
hd_counters_sql_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; counters != NULL && i < HD_COUNTER_COUNT; i++)
	{
		Datum values[2];
		bool nulls[2] = {false, false};

		values[0] = CStringGetTextDatum(names[i]);
		values[1] = Int64GetDatum((int64) pg_atomic_read_u64(&counters[i]));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
