/*-------------------------------------------------------------------------
 * memory.c
 *		How much of the list's memory is in use, for tests and operators.
 *
 * Purpose: when nothing waits and nothing runs, no line, group, kind or flow
 * may be left, and no count may differ from zero.
 *
 * Locking: one pass under the list's lock.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/settings.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/list.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_memory);

/* One kind of slot: how many there are and are in use, and the sum of what they count. */
typedef struct Usage
{
	const char *part;
	int64 slots;
	int64 used;
	int64 running;
} Usage;

static void
count_lines(Usage *lane, Usage *gate)
{
	for (int32 i = 0; i < hd_jobs_list->max_lanes; i++)
		lane->used += hd_jobs_lane(i)->line != 0;
	for (int32 i = 0; i < hd_jobs_list->max_gates; i++)
		if (hd_jobs_gate(i)->line != 0)
		{
			gate->used++;
			gate->running += hd_jobs_gate(i)->running;
		}
}

static void
count_flows(Usage *flow)
{
	for (int32 i = 0; i < hd_jobs_list->max_flows; i++)
		if (hd_jobs_flow(i)->hash != 0)
		{
			flow->used++;
			flow->running += hd_jobs_flow(i)->running;
		}
}

static void
count_owners(Usage *group, Usage *kind, Usage *queue)
{
	for (int32 i = 0; i < hd_jobs_list->max_groups; i++)
		group->used += hd_jobs_group(i)->queue >= 0;
	for (int32 i = 0; i < hd_jobs_list->max_kinds; i++)
		if (hd_jobs_kind_count(i)->db >= 0)
		{
			kind->used++;
			kind->running += hd_jobs_kind_count(i)->running;
		}
	for (int32 i = 0; i < hd_jobs_list->max_queues; i++)
		if (hd_jobs_queue(i)->name[0] != '\0')
		{
			queue->used += hd_jobs_queue(i)->refs > 0;
			queue->running += hd_jobs_queue(i)->running;
		}
}

/*
 * hd_jobs_sql_memory
 *		SQL: _job_memory() -> setof (part, slots, used, running), of the whole
 *		cluster; a queue counts as used while a line belongs to it.
 */
Datum
hd_jobs_sql_memory(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Usage usage[] = {{.part = "entries"}, {.part = "lanes"},  {.part = "gates"}, {.part = "groups"},
					 {.part = "kinds"},	  {.part = "queues"}, {.part = "flows"}};

	InitMaterializedSRF(fcinfo, 0);
	if (!hd_settings_preloaded())
		return (Datum) 0;
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	usage[0].slots = hd_jobs_list->capacity;
	usage[0].used = hd_jobs_list->capacity - hd_jobs_list->nfree;
	usage[1].slots = hd_jobs_list->max_lanes;
	usage[2].slots = hd_jobs_list->max_gates;
	usage[3].slots = hd_jobs_list->max_groups;
	usage[4].slots = hd_jobs_list->max_kinds;
	usage[5].slots = hd_jobs_list->max_queues;
	usage[6].slots = hd_jobs_list->max_flows;
	count_lines(&usage[1], &usage[2]);
	count_owners(&usage[3], &usage[4], &usage[5]);
	count_flows(&usage[6]);
	LWLockRelease(hd_jobs_lock);
	for (int i = 0; i < lengthof(usage); i++)
	{
		Datum values[4] = {CStringGetTextDatum(usage[i].part), Int64GetDatum(usage[i].slots),
						   Int64GetDatum(usage[i].used), Int64GetDatum(usage[i].running)};
		bool nulls[4] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
