/*-------------------------------------------------------------------------
 * queue_state.c
 *		What shared memory knows of a queue, for explanations.
 *
 * Locking: the list's lock, for one look.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/place.h"
#include "jobs/rate.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_queue_state);

/* How many sessions of a database wait for a queue. Lock held. */
static int
count_waiters(int32 db, uint64 queue_hash)
{
	int n = 0;

	for (int i = 0; i < hd_jobs_list->max_waiters; i++)
	{
		const HdJobWaiter *waiter = hd_jobs_waiter(i);
		bool wanted = waiter->nqueues == 0;

		if ((waiter->state != HD_JOB_WAITER_ASLEEP && waiter->state != HD_JOB_WAITER_CALLED) ||
			waiter->db != db)
			continue;
		for (int q = 0; q < waiter->nqueues; q++)
			wanted |= waiter->queues[q] == queue_hash;
		n += wanted;
	}
	return n;
}

/* When one more job of the queue may begin by its rate; DT_NOBEGIN: at once. */
static TimestampTz
rate_opens_at(const char *queue)
{
	const HdJobQueueConfig *config = hd_jobs_queue_get(queue);
	HdLimitAnswer answer;
	HdJobRate rate;

	if (config->rate == 0)
		return DT_NOBEGIN;
	hd_jobs_rate_set(&rate, queue, config->rate, config->rate_period_us);
	answer = hd_limits_take(&rate.key, &rate.policy, 0, hd_clock_now());
	return (answer.remaining > 0) ? DT_NOBEGIN : answer.next_at;
}

/*
 * hd_jobs_sql_queue_state
 *		SQL: _job_queue_state(queue, OUT asked_at, OUT waiting, OUT rate_at, OUT
 *		horizon): when somebody last asked for its jobs, how many sessions wait for
 *		them, when its rate lets the next begin (null: now), and until when limited
 *		jobs wait for lost leases.  All null without preload.
 */
Datum
hd_jobs_sql_queue_state(PG_FUNCTION_ARGS)
{
	char *queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum values[4] = {0};
	bool nulls[4] = {true, true, true, true};
	TimestampTz asked_at = 0;
	TimestampTz horizon = 0;
	TimestampTz rate_at;
	TupleDesc desc;
	int waiting = 0;
	int32 db;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (hd_settings_preloaded())
	{
		Oid extension = hd_spi_extension();

		rate_at = rate_opens_at(queue);
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		db = hd_jobs_list_database(MyDatabaseId, extension);
		if (db >= 0)
		{
			int32 slot = hd_jobs_list_queue(db, queue, false);

			if (slot >= 0)
				asked_at = hd_jobs_queue(slot)->asked_at;
			waiting = count_waiters(db, hd_jobs_place_queue_hash(queue));
			horizon = hd_jobs_list->databases[db].horizon;
		}
		LWLockRelease(hd_jobs_lock);
		values[0] = TimestampTzGetDatum(asked_at);
		nulls[0] = asked_at == 0;
		values[1] = Int32GetDatum(waiting);
		nulls[1] = false;
		values[2] = TimestampTzGetDatum(rate_at);
		nulls[2] = rate_at == DT_NOBEGIN;
		values[3] = TimestampTzGetDatum(horizon);
		nulls[3] = horizon <= hd_clock_now();
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
