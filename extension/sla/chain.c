/*-------------------------------------------------------------------------
 * chain.c
 *		Chains of clocks in their tables.
 *
 * Model: see chain.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/chain.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/spi.h"
#include "sla/calendars.h"
#include "sla/rows.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* An input, and the row that it is recorded with. */
typedef struct Input
{
	int64 id;
	int64 row;
	TimestampTz at;
	HdSlaInput kind;
	int clock; /* of the chain, once applied */
} Input;

typedef struct Replay
{
	HdSlaKey key;
	int nrows;
	HdSlaRow *rows;
	int ninputs;
	Input *inputs;
	HdSlaRow *fresh; /* terms of clocks beyond the rows */
} Replay;

static HdSpiPlan inputs_plan = {
	.sql = "SELECT e.id, e.clock, e.at, e.kind FROM hotdash._sla_event AS e "
		   "WHERE e.clock = ANY ($1) "
		   "AND e.kind IN ('start', 'pause', 'resume', 'meet', 'reopen', 'cancel') "
		   "ORDER BY e.at, e.id",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
};

static HdSpiPlan fire_plan = {
	.sql = "SELECT hotdash._sla_fire($1, $2, $3)",
	.nargs = 3,
	.argtypes = {INT8OID, INT2OID, TIMESTAMPTZOID},
};

HdSlaKey
hd_sla_key_of(const HdSlaRow *row)
{
	return (HdSlaKey){.policy = row->policy,
					  .tenant = row->tenant,
					  .subject = row->subject,
					  .metric = row->metric,
					  .priority = row->priority,
					  .attributes = row->attributes};
}

static void
fire(const HdSlaChain *chain, const HdSlaRow *rows)
{
	for (int i = 0; i < chain->nreached; i++)
	{
		const HdSlaReach *reached = &chain->reached[i];
		Datum values[3] = {Int64GetDatum(rows[reached->clock].id), Int16GetDatum(reached->step),
						   TimestampTzGetDatum(reached->due)};

		hd_spi_run(&fire_plan, values, NULL, false, 1);
	}
}

/* The row of a clock that begins: what the policy says now, where it still knows the metric. */
static HdSlaRow
fresh_row(const HdSlaKey *key, const HdSlaRow *last)
{
	HdSlaRow row = (last != NULL) ? *last : (HdSlaRow){.policy = key->policy};
	bool known;

	row.id = 0;
	row.tenant = key->tenant;
	row.subject = key->subject;
	row.metric = key->metric;
	if (key->priority != NULL)
		row.priority = key->priority;
	if (row.priority == NULL)
		row.priority = "";
	if (key->attributes != 0)
		row.attributes = key->attributes;
	known = (key->version_id != 0) ? hd_sla_row_terms(&row, key->version_id, key->epoch)
								   : hd_sla_terms_read(&row);
	if (!known && last == NULL)
		elog(ERROR, "policy %d has no metric \"%s\"", key->policy, key->metric);
	return row;
}

/*
 * In order.
 */

typedef struct Advance
{
	const HdSlaKey *key;
	const HdSlaRow *last;
	HdSlaRow *fresh;
} Advance;

static const HdSlaTerms *
terms_of_next(void *arg, int n)
{
	Advance *advance = arg;

	advance->fresh = palloc(sizeof(HdSlaRow));
	*advance->fresh = fresh_row(advance->key, advance->last);
	return &advance->fresh->terms;
}

/* Bring a chain forward by its last row; false when another session has begun the same cycle. */
static bool
advance(const HdSlaKey *key, HdSlaRow *last, HdSlaInput input, TimestampTz at, Datum detail,
		int64 *belongs)
{
	Advance now = {.key = key, .last = last};
	HdSlaChain chain = {.terms_of = terms_of_next, .arg = &now};
	HdSlaRow rows[2];
	int nrows = 0;
	int mine;

	if (last != NULL)
	{
		chain.paused = last->clock.paused;
		chain.base = last->cycle - 1;
		chain.nclocks = chain.allocated = 1;
		chain.clocks = palloc(sizeof(HdSlaClock));
		chain.clocks[0] = last->clock;
		chain.clocks[0].terms = &last->terms;
		rows[nrows++] = *last;
	}
	mine = hd_sla_chain_apply(&chain, input, at);
	*belongs = 0;
	if (mine < 0)
		return true;
	if (chain.nclocks > nrows)
	{
		bool follows = nrows > mine; /* the input ended the clock before */

		rows[nrows] = *now.fresh;
		rows[nrows].cycle = chain.base + nrows + 1;
		rows[nrows].clock = chain.clocks[nrows];
		if (!hd_sla_row_insert(&rows[nrows], follows ? "restart" : hd_sla_input_name(input),
							   follows ? (Datum) 0 : detail))
			return false;
	}
	*belongs = rows[mine].id;
	if (mine < nrows)
	{
		rows[mine].clock = chain.clocks[mine];
		if (input == HD_SLA_REOPEN)
		{
			hd_sla_row_update(&rows[mine]);
			hd_sla_row_input(*belongs, input, at, detail);
		}
		else
			hd_sla_row_advance(&rows[mine], input, at, detail);
	}
	fire(&chain, rows);
	return true;
}

/*
 * Out of order.
 */

static const HdSlaTerms *
terms_in_replay(void *arg, int n)
{
	Replay *replay = arg;

	if (n < replay->nrows)
		return &replay->rows[n].terms;
	if (replay->fresh == NULL)
	{
		replay->fresh = palloc(sizeof(HdSlaRow));
		*replay->fresh = fresh_row(&replay->key, &replay->rows[replay->nrows - 1]);
	}
	return &replay->fresh->terms;
}

static void
read_inputs(Replay *replay)
{
	int64 *ids = palloc(replay->nrows * sizeof(int64));
	Datum values[1];

	for (int i = 0; i < replay->nrows; i++)
		ids[i] = replay->rows[i].id;
	values[0] = hd_spi_ids(ids, replay->nrows);
	hd_spi_run(&inputs_plan, values, NULL, false, 0);
	replay->ninputs = (int) SPI_processed;
	replay->inputs = palloc(replay->ninputs * sizeof(Input));
	for (int i = 0; i < replay->ninputs; i++)
	{
		Input *input = &replay->inputs[i];

		input->id = DatumGetInt64(hd_spi_result(i, 1));
		input->row = DatumGetInt64(hd_spi_result(i, 2));
		input->at = DatumGetTimestampTz(hd_spi_result(i, 3));
		input->kind = hd_sla_input_of(TextDatumGetCString(hd_spi_result(i, 4)));
	}
}

/* Make the rows say what came out: those there were, those that are new, and none beyond. */
static HdSlaRow *
write_rows(Replay *replay, HdSlaChain *chain)
{
	int n = Max(chain->nclocks, replay->nrows);
	HdSlaRow *rows = palloc(n * sizeof(HdSlaRow));

	for (int i = 0; i < n; i++)
	{
		HdSlaRow *row = &rows[i];
		bool is_new = i >= replay->nrows;
		bool same;
		bool breached;

		*row = is_new ? *replay->fresh : replay->rows[i];
		if (i >= chain->nclocks)
			continue;
		same = !is_new && !row->changed && hd_sla_clock_same(&row->clock, &chain->clocks[i]);
		breached = !is_new && row->clock.breached;
		row->cycle = chain->base + i + 1;
		row->clock = chain->clocks[i];
		if (is_new && !hd_sla_row_insert(row, "restart", (Datum) 0))
			elog(ERROR, "cycle %d of an SLA clock is there already", row->cycle);
		if (!is_new && !same)
			hd_sla_row_update(row);
		if (breached && !row->clock.breached)
			hd_sla_record(row->id, "withdrawn", hd_clock_now(), 0);
	}
	return rows;
}

static void
run_replay(Replay *replay)
{
	HdSlaRow *first = &replay->rows[0];
	HdSlaChain chain = {.terms_of = terms_in_replay, .arg = replay};
	HdSlaRow *rows;

	chain.base = first->cycle - 1;
	chain.paused = chain.base > 0 && first->clock.began_paused;
	for (int i = 0; i < replay->ninputs; i++)
	{
		Input *input = &replay->inputs[i];
		int belongs = hd_sla_chain_apply(&chain, input->kind, input->at);

		/* what came before the start is kept with the first clock */
		input->clock = Max(belongs, 0);
	}
	/* what a scan has found is not forgotten, nor has it to be found again */
	hd_sla_chain_settle(&chain, hd_clock_now());
	if (chain.nclocks == 0)
		elog(ERROR, "SLA clock " INT64_FORMAT " was never started", first->id);
	rows = write_rows(replay, &chain);
	for (int i = 0; i < replay->ninputs; i++)
	{
		if (rows[replay->inputs[i].clock].id != replay->inputs[i].row)
			hd_sla_row_move_input(replay->inputs[i].row, replay->inputs[i].id,
								  rows[replay->inputs[i].clock].id);
	}
	for (int i = chain.nclocks; i < replay->nrows; i++)
		hd_sla_row_delete(rows[i].id, rows[chain.nclocks - 1].id);
	fire(&chain, rows);
}

void
hd_sla_replay(const HdSlaRow *row)
{
	Replay replay = {.key = hd_sla_key_of(row)};

	replay.nrows = hd_sla_rows_lock(row, &replay.rows);
	read_inputs(&replay);
	run_replay(&replay);
}

/*
 * Either.
 */

/*
 * Whether an input comes later than all that its chain's last row says: the inputs before it, and
 * the steps that a scan has found since.
 */
static bool
in_order(const HdSlaRow *last, TimestampTz at)
{
	const HdSlaClock *clock = &last->clock;

	if (at < clock->last_at)
		return false;
	if (clock->state != HD_SLA_RUNNING || clock->next_step == 0)
		return true;
	return clock->due_b + last->terms.offsets[clock->next_step - 1] <=
		   hd_sla_lane_past(last->terms.lane, at);
}

static void
out_of_order(const HdSlaRow *last, HdSlaInput input, TimestampTz at, Datum detail)
{
	hd_sla_row_input(last->id, input, at, detail);
	hd_sla_replay(last);
}

int64
hd_sla_input(const HdSlaKey *key, HdSlaInput input, TimestampTz at, Datum detail)
{
	HdSlaRow last;
	int64 belongs;

	for (;;)
	{
		bool found = hd_sla_row_lock_last(key, &last);

		if (!found && input != HD_SLA_START)
			return 0;
		if (found && !in_order(&last, at))
		{
			out_of_order(&last, input, at, detail);
			return last.id;
		}
		if (advance(key, found ? &last : NULL, input, at, detail, &belongs))
			return belongs;
	}
}

int64
hd_sla_start_chain(const HdSlaKey *key, TimestampTz at, bool *is_first)
{
	int64 id;

	*is_first = advance(key, NULL, HD_SLA_START, at, (Datum) 0, &id);
	return *is_first ? id : hd_sla_input(key, HD_SLA_START, at, (Datum) 0);
}

void
hd_sla_input_last(HdSlaRow *last, HdSlaInput input, TimestampTz at, Datum detail)
{
	HdSlaKey key = hd_sla_key_of(last);
	int64 belongs;

	if (!in_order(last, at))
		out_of_order(last, input, at, detail);
	else if (!advance(&key, last, input, at, detail, &belongs))
		elog(ERROR, "the cycle after SLA clock " INT64_FORMAT " is there already", last->id);
}
