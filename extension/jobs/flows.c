/*-------------------------------------------------------------------------
 * flows.c
 *		Flows: jobs that share limits of their own within a queue.
 *
 * Model: see flows.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/flows.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/lanes.h"
#include "jobs/lend.h"
#include "jobs/notes.h"
#include "jobs/place.h"
#include "jobs/tx.h"
#include "jobs/waiters.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The limits of so many flows are read at once. */
#define MAX_LOADED 256

PG_FUNCTION_INFO_V1(hd_jobs_sql_flow_hash);
PG_FUNCTION_INFO_V1(hd_jobs_sql_flow_changed);
PG_FUNCTION_INFO_V1(hd_jobs_sql_flow_state);

static HdHeapNode *
timer_of(int32 index)
{
	return &hd_jobs_flow(index)->timer;
}

static bool
opens_before(int32 a, int32 b)
{
	return hd_jobs_flow(a)->opens_at < hd_jobs_flow(b)->opens_at;
}

static const HdHeapOps by_opening = {timer_of, opens_before};

int32
hd_jobs_flow_find(int32 db, uint64 hash)
{
	for (int32 i = *hd_jobs_flow_bucket(db, hash); i >= 0; i = hd_jobs_flow(i)->hash_next)
		if (hd_jobs_flow(i)->hash == hash && hd_jobs_flow(i)->db == db)
			return i;
	return -1;
}

int32
hd_jobs_flow_get(int32 db, uint64 hash)
{
	int32 index = hd_jobs_flow_find(db, hash);
	HdJobFlow *flow;
	int32 *bucket;

	if (index >= 0)
		return index;
	index = hd_jobs_list->free_flow;
	Assert(index >= 0);
	flow = hd_jobs_flow(index);
	hd_jobs_list->free_flow = flow->hash_next;
	hd_jobs_list->nflows++;
	memset(flow, 0, sizeof(HdJobFlow));
	flow->hash = hash;
	flow->db = db;
	flow->lanes = -1;
	flow->stale = true;
	bucket = hd_jobs_flow_bucket(db, hash);
	flow->hash_next = *bucket;
	*bucket = index;
	return index;
}

void
hd_jobs_flow_join(int32 flow, int32 lane)
{
	hd_jobs_lane(lane)->flow = flow;
	hd_jobs_lane(lane)->next_of_flow = hd_jobs_flow(flow)->lanes;
	hd_jobs_flow(flow)->lanes = lane;
	hd_jobs_flow(flow)->refs++;
}

/* Out of what would open it. */
static void
forget_reason(int32 index)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	if (flow->timed)
		hd_jobs_heap_remove(&by_opening, &hd_jobs_list->flow_timers, index);
	flow->timed = false;
	if (flow->unknown.next != NULL)
	{
		dlist_delete(&flow->unknown);
		flow->unknown.next = flow->unknown.prev = NULL;
	}
}

void
hd_jobs_flow_part(int32 lane)
{
	int32 index = hd_jobs_lane(lane)->flow;
	HdJobFlow *flow = hd_jobs_flow(index);
	int32 *link = &flow->lanes;

	while (*link != lane)
		link = &hd_jobs_lane(*link)->next_of_flow;
	*link = hd_jobs_lane(lane)->next_of_flow;
	hd_jobs_lane(lane)->flow = -1;
	if (--flow->refs > 0)
		return;
	forget_reason(index);
	hd_jobs_lend_forget(flow);
	link = hd_jobs_flow_bucket(flow->db, flow->hash);
	while (*link != index)
		link = &hd_jobs_flow(*link)->hash_next;
	*link = flow->hash_next;
	flow->hash = 0;
	flow->hash_next = hd_jobs_list->free_flow;
	hd_jobs_list->free_flow = index;
	hd_jobs_list->nflows--;
}

bool
hd_jobs_flow_is_shut(const HdJobLane *lane)
{
	return lane->flow >= 0 && hd_jobs_flow(lane->flow)->shut;
}

bool
hd_jobs_flow_is_limited(const HdJobLane *lane)
{
	const HdJobFlow *flow;

	if (lane->flow < 0)
		return false;
	flow = hd_jobs_flow(lane->flow);
	return flow->concurrency > 0 && !flow->soft;
}

/*
 * Shutting and opening.
 */

/* opens_at: when by itself; DT_NOEND: something else will open it. */
static void
shut(int32 index, TimestampTz opens_at)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	Assert(!flow->shut);
	for (int32 i = flow->lanes; i >= 0; i = hd_jobs_lane(i)->next_of_flow)
		hd_jobs_lane_leave(i);
	flow->shut = true;
	for (int32 i = flow->lanes; i >= 0; i = hd_jobs_lane(i)->next_of_flow)
		hd_jobs_lane_check(i);
	if (opens_at == DT_NOEND)
		return;
	flow->opens_at = opens_at;
	flow->timed = true;
	hd_jobs_heap_insert(&by_opening, &hd_jobs_list->flow_timers, index);
}

static void
reopen(int32 index)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	forget_reason(index);
	if (!flow->shut)
		return;
	flow->shut = false;
	for (int32 i = flow->lanes; i >= 0; i = hd_jobs_lane(i)->next_of_flow)
	{
		const HdJobLane *lane = hd_jobs_lane(i);

		hd_jobs_lane_enter(i);
		hd_jobs_lane_check(i);
		if (lane->order.count > 0 || lane->hungry.next != NULL)
			hd_jobs_waiter_wake_queue(lane->queue, Max(lane->order.count, 1));
	}
}

void
hd_jobs_flow_open(TimestampTz now)
{
	while (hd_jobs_list->flow_timers >= 0 &&
		   hd_jobs_flow(hd_jobs_list->flow_timers)->opens_at <= now)
		reopen(hd_jobs_list->flow_timers);
}

TimestampTz
hd_jobs_flow_next(void)
{
	return (hd_jobs_list->flow_timers >= 0) ? hd_jobs_flow(hd_jobs_list->flow_timers)->opens_at
											: DT_NOEND;
}

/*
 * Beginning and ending.
 */

static bool
is_stale(const HdJobFlow *flow)
{
	if (flow->stale || (flow->viewer != 0 && flow->viewer != MyProcPid))
		return true;
	return flow->viewer == 0 && hd_jobs_notes_changed_flows();
}

/* The flow's bucket, as this session's clock sees it. */
static HdLimitKey
bucket_of(const HdJobFlow *flow)
{
	HdLimitKey key = flow->bucket;

	key.moved = hd_clock_overridden();
	return key;
}

/* Shut a flow until its limits have been read. */
static void
shut_unknown(int32 index)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	shut(index, DT_NOEND);
	dlist_push_tail(&hd_jobs_list->databases[flow->db].unknown_flows, &flow->unknown);
}

/*
 * The limits let nothing through.  What only this transaction sees of them
 * must not stand in the way of others, who would not meet the flow any more.
 */
static void
refuse(int32 index, TimestampTz opens_at)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	if (flow->viewer == 0)
	{
		shut(index, opens_at);

		/* Whoever sleeps now does not know that time, and this session may be long at its work. */
		if (opens_at != DT_NOEND)
			hd_jobs_waiter_wake_lane(flow->lanes, 1);
		return;
	}
	flow->stale = true;
	flow->viewer = 0;
	shut_unknown(index);
}

/* Take cost units of the rate; where it does not let them through, shut the flow until it does. */
static bool
pass_rate(int32 index, int64 cost, TimestampTz now)
{
	HdJobFlow *flow = hd_jobs_flow(index);
	HdLimitKey key = bucket_of(flow);
	HdLimitAnswer answer = hd_limits_take(&key, &flow->rate, cost, now);

	if (!answer.allowed)
		refuse(index, answer.retry_at);
	return answer.allowed;
}

bool
hd_jobs_flow_admits(int32 index, const HdJobQueues *wanted)
{
	HdJobFlow *flow;
	TimestampTz now;

	if (index < 0)
		return true;
	flow = hd_jobs_flow(index);
	if (is_stale(flow))
	{
		shut_unknown(index);
		return false;
	}
	if (flow->concurrency > 0 && wanted->held_back && !flow->soft)
	{
		refuse(index, hd_jobs_list->databases[flow->db].horizon);
		return false;
	}
	if (flow->concurrency > 0 && flow->running >= hd_jobs_lend_width(flow))
	{
		refuse(index, DT_NOEND);
		return false;
	}
	if (flow->held_until == DT_NOBEGIN && !flow->rated)
		return true;
	now = hd_clock_now();
	if (flow->held_until > now)
	{
		refuse(index, flow->held_until);
		return false;
	}
	return !flow->rated || pass_rate(index, 0, now);
}

bool
hd_jobs_flow_pay(int32 index)
{
	return index < 0 || !hd_jobs_flow(index)->rated || pass_rate(index, 1, hd_clock_now());
}

void
hd_jobs_flow_started(int32 index)
{
	if (index < 0)
		return;
	hd_jobs_flow(index)->running++;
	hd_jobs_lend_count(hd_jobs_flow(index));
}

void
hd_jobs_flow_stopped(int32 index)
{
	HdJobFlow *flow;

	if (index < 0)
		return;
	flow = hd_jobs_flow(index);
	flow->running--;
	hd_jobs_lend_count(flow);

	/* What else may have shut it has a time, or is being read. */
	if (flow->shut && !flow->timed && flow->unknown.next == NULL)
		reopen(index);
}

/*
 * Limits.
 */

static HdSpiPlan limits_plan = {
	.sql = "SELECT hash, concurrency, rate, rate_period_us, held_until, soft "
		   "FROM hotdash._job_flow "
		   "WHERE hash = ANY ($1)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static void
doubt(int32 index)
{
	HdJobFlow *flow = hd_jobs_flow(index);

	flow->changes++;
	flow->stale = true;
	flow->viewer = 0;

	/* Whoever meets it next asks for its limits. */
	reopen(index);
}

void
hd_jobs_flow_doubt(int32 db, uint64 hash)
{
	int32 index = hd_jobs_flow_find(db, hash);

	if (index >= 0)
		doubt(index);
}

void
hd_jobs_flow_doubt_all(int32 db)
{
	for (int32 i = 0; i < hd_jobs_list->max_flows; i++)
		if (hd_jobs_flow(i)->hash != 0 && hd_jobs_flow(i)->db == db)
			doubt(i);
}

bool
hd_jobs_flow_is_wanted(int32 db)
{
	return !dlist_is_empty(&hd_jobs_list->databases[db].unknown_flows);
}

typedef struct Limits
{
	uint64 hash;
	uint32 changes;
	int concurrency;
	bool soft;
	TimestampTz held_until;
	bool rated;
	HdLimitPolicy rate;
	HdLimitKey bucket;
} Limits;

/* Which limits are wanted, at most n. */
static int
collect_wanted(int32 db, Limits *limits, int n)
{
	int count = 0;
	dlist_iter iter;

	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	dlist_foreach (iter, &hd_jobs_list->databases[db].unknown_flows)
	{
		const HdJobFlow *flow = dlist_container(HdJobFlow, unknown, iter.cur);

		if (count == n)
			break;
		memset(&limits[count], 0, sizeof(Limits));
		limits[count].hash = flow->hash;
		limits[count].changes = flow->changes;
		limits[count].soft = hd_jobs_place_flow_is_fair(flow->hash);
		limits[count].concurrency = limits[count].soft ? HD_JOB_FAIR_WIDTH : 0;
		limits[count++].held_until = DT_NOBEGIN;
	}
	LWLockRelease(hd_jobs_lock);
	return count;
}

/* What a row says. */
static void
read_row(uint64 row, Limits *limits)
{
	int32 rate = DatumGetInt32(hd_spi_result(row, 3));
	bool isnull;

	limits->concurrency = DatumGetInt32(hd_spi_result(row, 2));
	limits->soft = DatumGetBool(hd_spi_result(row, 6));
	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 5, &isnull);
	if (!isnull)
		limits->held_until = DatumGetTimestampTz(hd_spi_result(row, 5));
	limits->rated = rate > 0;
	if (!limits->rated)
		return;
	limits->rate = hd_limits_window_policy(rate, DatumGetInt64(hd_spi_result(row, 4)));
	limits->bucket = hd_limits_key("flow", &limits->hash, sizeof(uint64));
}

static void
read_limits(Limits *limits, int n)
{
	int64 *hashes = palloc(sizeof(int64) * n);
	Datum values[1];
	HdSpi spi;

	for (int i = 0; i < n; i++)
		hashes[i] = (int64) limits[i].hash;
	hd_spi_begin(&spi);
	values[0] = hd_spi_ids(hashes, n);
	hd_spi_run(&limits_plan, values, NULL, false, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		uint64 hash = (uint64) DatumGetInt64(hd_spi_result(row, 1));

		for (int i = 0; i < n; i++)
			if (limits[i].hash == hash)
				read_row(row, &limits[i]);
	}
	hd_spi_end(&spi);
	pfree(hashes);
}

void
hd_jobs_flow_load(int32 db)
{
	Limits *limits = palloc(sizeof(Limits) * MAX_LOADED);
	int n = collect_wanted(db, limits, MAX_LOADED);

	if (n > 0)
	{
		read_limits(limits, n);
		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		for (int i = 0; i < n; i++)
		{
			int32 index = hd_jobs_flow_find(db, limits[i].hash);
			HdJobFlow *flow;

			/* Changed since: what was read may be old, so it stays among the unknown. */
			if (index < 0 || hd_jobs_flow(index)->changes != limits[i].changes)
				continue;
			flow = hd_jobs_flow(index);
			flow->stale = false;
			flow->viewer = hd_jobs_notes_changed_flows() ? MyProcPid : 0;
			flow->concurrency = limits[i].concurrency;
			flow->soft = limits[i].soft;
			if (!flow->soft)
				hd_jobs_lend_forget(flow);
			hd_jobs_lend_count(flow);
			flow->held_until = limits[i].held_until;
			flow->rated = limits[i].rated;
			flow->rate = limits[i].rate;
			flow->bucket = limits[i].bucket;
			reopen(index);
		}
		LWLockRelease(hd_jobs_lock);
	}
	pfree(limits);
}

/*
 * The SQL functions.
 */

/*
 * hd_jobs_sql_flow_hash
 *		SQL: _job_flow_hash(flow) -> bigint, as the list uses it.
 */
Datum
hd_jobs_sql_flow_hash(PG_FUNCTION_ARGS)
{
	text *flow = PG_GETARG_TEXT_PP(0);

	PG_RETURN_INT64(
		(int64) hd_jobs_place_flow_hash(VARDATA_ANY(flow), (int) VARSIZE_ANY_EXHDR(flow)));
}

static void
note_change(HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	int column = SPI_fnumber(desc, "hash");
	int64 hash = DatumGetInt64(SPI_getbinval(tuple, desc, column, &isnull));

	hd_jobs_tx_flow_changed((uint64) hash);
}

/*
 * hd_jobs_sql_flow_changed
 *		SQL: trigger after each row that is changed in _job_flow, and after TRUNCATE.
 */
Datum
hd_jobs_sql_flow_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_job_flow_changed can only be called as a trigger for each row")));
	if (!hd_settings_preloaded())
		PG_RETURN_POINTER(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		hd_jobs_tx_flow_changed(HD_JOB_ALL_FLOWS);
		PG_RETURN_POINTER(NULL);
	}
	note_change(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		note_change(trigger->tg_newtuple, RelationGetDescr(trigger->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/*
 * hd_jobs_sql_flow_state
 *		SQL: _job_flow_state(flow, OUT running, OUT shut, OUT opens_at, OUT width, OUT
 *		soft): how many of its jobs run, whether nothing of it may begin now, and until
 *		when, where a time ends that; how many may run at once; the soft concurrency
 *		that this came of.  All null where memory does not know the flow.
 */
Datum
hd_jobs_sql_flow_state(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	uint64 hash = hd_jobs_place_flow_hash(VARDATA_ANY(name), (int) VARSIZE_ANY_EXHDR(name));
	Datum values[5] = {0};
	bool nulls[5] = {true, true, true, true, true};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (hd_settings_preloaded())
	{
		Oid extension = hd_spi_extension();
		int32 db;
		int32 index;

		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		db = hd_jobs_list_database(MyDatabaseId, extension);
		hd_jobs_flow_open(hd_clock_now());
		index = (db >= 0) ? hd_jobs_flow_find(db, hash) : -1;
		if (index >= 0)
		{
			const HdJobFlow *flow = hd_jobs_flow(index);

			values[0] = Int32GetDatum(flow->running);
			values[1] = BoolGetDatum(flow->shut);
			values[2] = TimestampTzGetDatum(flow->opens_at);
			nulls[0] = nulls[1] = false;
			nulls[2] = !flow->timed;
			values[3] = Int32GetDatum(hd_jobs_lend_width(flow));
			nulls[3] = flow->concurrency == 0;
			values[4] = Int32GetDatum(flow->concurrency);
			nulls[4] = !flow->soft;
		}
		LWLockRelease(hd_jobs_lock);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
