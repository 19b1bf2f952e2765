/*-------------------------------------------------------------------------
 * rows.c
 *		Reading and writing the rows of clocks and of their log.
 *
 * Model: see rows.h.  The columns that are read are in one order in all
 * statements, as read_row takes them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/rows.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "sla/calendars.h"
#include "sla/scan.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* The row's columns, and what its clock is held to. */
#define ROW_SQL \
	"SELECT c.id, c.policy, c.version_id, c.cycle, c.tenant, c.subject, c.metric, c.priority, " \
	"c.attributes, c.ahead, c.lane, c.target, m.reopen, m.restarts, t.steps, t.offsets, c.state, " \
	"c.started_at, c.last_at, c.closed_at, c.due_at, c.breached_at, c.due_b, c.remaining, " \
	"c.next_step, c.paused, c.began_paused " \
	"FROM hotdash._sla_clock AS c " \
	"JOIN hotdash._sla_metric AS m ON m.version_id = c.version_id AND m.metric = c.metric " \
	"CROSS JOIN LATERAL (SELECT x.steps, x.offsets FROM hotdash._sla_target AS x " \
	"WHERE x.version_id = c.version_id AND x.metric = c.metric AND x.priority IN (c.priority, '') " \
	"ORDER BY x.priority DESC LIMIT 1) AS t "

enum
{
	ROW_ID = 1,
	ROW_POLICY,
	ROW_VERSION_ID,
	ROW_CYCLE,
	ROW_TENANT,
	ROW_SUBJECT,
	ROW_METRIC,
	ROW_PRIORITY,
	ROW_ATTRIBUTES,
	ROW_AHEAD,
	ROW_LANE,
	ROW_TARGET,
	ROW_REOPEN,
	ROW_RESTARTS,
	ROW_STEPS,
	ROW_OFFSETS,
	ROW_STATE,
	ROW_STARTED_AT,
	ROW_LAST_AT,
	ROW_CLOSED_AT,
	ROW_DUE_AT,
	ROW_BREACHED_AT,
	ROW_DUE_B,
	ROW_REMAINING,
	ROW_NEXT_STEP,
	ROW_PAUSED,
	ROW_BEGAN_PAUSED
};

static HdSpiPlan by_id_plan = {
	.sql = ROW_SQL "WHERE c.id = $1 AND ($2 IS NULL OR c.tenant = $2) FOR UPDATE OF c",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
};

static HdSpiPlan last_plan = {
	.sql = ROW_SQL "WHERE c.tenant = $1 AND c.subject = $2 AND c.policy = $3 AND c.metric = $4 "
				   "ORDER BY c.cycle DESC LIMIT 1 FOR UPDATE OF c",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID},
};

static HdSpiPlan earlier_plan = {
	.sql = ROW_SQL "WHERE c.tenant = $1 AND c.subject = $2 AND c.policy = $3 AND c.metric = $4 "
				   "AND c.cycle < $5 ORDER BY c.cycle DESC FOR UPDATE OF c",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID, INT4OID},
};

static HdSpiPlan insert_plan = {
	.sql = "INSERT INTO hotdash._sla_clock (id, started_at, last_at, closed_at, due_at, "
		   "breached_at, target, due_b, remaining, next_b, policy, version_id, lane, "
		   "calendar_version, cycle, next_step, ahead, paused, began_paused, state, metric, "
		   "priority, tenant, subject, attributes) "
		   "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
		   "CASE WHEN $4 IS NOT NULL THEN (SELECT e.version FROM hotdash._calendar_epoch AS e "
		   "WHERE e.id = $13 >> 1) END, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24 "
		   "ON CONFLICT DO NOTHING",
	.nargs = 24,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
				 TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, INT4OID, INT4OID, INT4OID,
				 INT4OID, INT2OID, BOOLOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				 TEXTOID, JSONBOID},
};

static HdSpiPlan update_plan = {
	.sql = "UPDATE hotdash._sla_clock AS c SET started_at = $2, last_at = $3, closed_at = $4, "
		   "due_at = $5, breached_at = $6, target = $7, due_b = $8, remaining = $9, next_b = $10, "
		   "policy = $11, version_id = $12, lane = $13, calendar_version = CASE WHEN $4 IS NOT NULL "
		   "THEN (SELECT e.version FROM hotdash._calendar_epoch AS e WHERE e.id = $13 >> 1) END, "
		   "cycle = $14, next_step = $15, paused = $17, began_paused = $18, state = $19, "
		   "priority = $21, ahead = $16 "
		   "WHERE c.id = $1",
	.nargs = 21,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
				 TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, INT4OID, INT4OID, INT4OID,
				 INT4OID, INT2OID, BOOLOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID},
};

/* What was found stays known; a step of which the heir has a row of its own cannot be that step. */
static HdSpiPlan bequeath_plan = {
	.sql = "UPDATE hotdash._sla_event AS e SET clock = $2, step = NULL WHERE e.clock = $1",
	.nargs = 2,
	.argtypes = {INT8OID, INT8OID},
};

static HdSpiPlan delete_plan = {
	.sql = "DELETE FROM hotdash._sla_clock AS c WHERE c.id = $1",
	.nargs = 1,
	.argtypes = {INT8OID},
};

static HdSpiPlan event_plan = {
	.sql = "INSERT INTO hotdash._sla_event (clock, id, at, recorded_at, kind, detail) "
		   "VALUES ($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = {INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, JSONBOID},
};

static HdSpiPlan move_plan = {
	.sql = "UPDATE hotdash._sla_event AS e SET clock = $3 WHERE e.clock = $1 AND e.id = $2",
	.nargs = 3,
	.argtypes = {INT8OID, INT8OID, INT8OID},
};

static HdSpiPlan terms_plan = {
	.sql = "SELECT v.id, coalesce(k.epoch, 0), m.at_open, m.reopen, m.restarts, t.target, t.steps, "
		   "t.offsets "
		   "FROM hotdash._sla_policy AS p "
		   "JOIN hotdash._sla_policy_version AS v ON v.id = p.version_id "
		   "JOIN hotdash._sla_metric AS m ON m.version_id = v.id AND m.metric = $2 "
		   "CROSS JOIN LATERAL (SELECT x.target, x.steps, x.offsets FROM hotdash._sla_target AS x "
		   "WHERE x.version_id = v.id AND x.metric = $2 AND x.priority IN ($3, '') "
		   "ORDER BY x.priority DESC LIMIT 1) AS t "
		   "LEFT JOIN hotdash._calendar AS k ON k.id = v.calendar "
		   "WHERE p.id = $1",
	.nargs = 3,
	.argtypes = {INT4OID, TEXTOID, TEXTOID},
};

static HdSpiRelation id_sequence = {.name = "_sla_clock_id"};

static const char *const inputs[HD_SLA_INPUTS] = {
	[HD_SLA_START] = "start", [HD_SLA_PAUSE] = "pause",	  [HD_SLA_RESUME] = "resume",
	[HD_SLA_MEET] = "meet",	  [HD_SLA_REOPEN] = "reopen", [HD_SLA_CANCEL] = "cancel",
};

static const char *const states[] = {
	[HD_SLA_RUNNING] = "running",
	[HD_SLA_PAUSED] = "paused",
	[HD_SLA_MET] = "met",
	[HD_SLA_CANCELED] = "canceled",
};

static const char *const reopens[] = {
	[HD_SLA_REOPEN_CONTINUE] = "continue",
	[HD_SLA_REOPEN_RESTART] = "restart",
	[HD_SLA_REOPEN_IGNORE] = "ignore",
};

/* Which of some words a text is. */
static int
word_of(const char *const *words, int n, const char *text)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(words[i], text) == 0)
			return i;
	}
	elog(ERROR, "unknown word \"%s\" in the tables of SLA clocks", text);
}

HdSlaInput
hd_sla_input_of(const char *name)
{
	return (HdSlaInput) word_of(inputs, lengthof(inputs), name);
}

static int64
next_id(void)
{
	return ((int64) hd_setting_node_id << 52) | nextval_internal(hd_spi_relation(&id_sequence),
																 false);
}

/*
 * Reading.
 */

static const char *
text_at(uint64 row, int column)
{
	return TextDatumGetCString(hd_spi_result(row, column));
}

static bool
is_null_at(uint64 row, int column)
{
	return heap_attisnull(SPI_tuptable->vals[row], column, SPI_tuptable->tupdesc);
}

/* The elements of an array without nulls, of a fixed width. */
static const void *
elements_of(Datum array, int *n)
{
	ArrayType *elements = DatumGetArrayTypePCopy(array);

	*n = ArrayGetNItems(ARR_NDIM(elements), ARR_DIMS(elements));
	return ARR_DATA_PTR(elements);
}

static void
read_steps(HdSlaTerms *terms, uint64 row, int steps, int offsets)
{
	int n;

	terms->steps = elements_of(hd_spi_result(row, steps), &terms->nsteps);
	terms->offsets = elements_of(hd_spi_result(row, offsets), &n);
	if (n != terms->nsteps)
		elog(ERROR, "steps and offsets of an SLA target differ in number");
}

static TimestampTz
time_at(uint64 row, int column)
{
	return DatumGetTimestampTz(hd_spi_result(row, column));
}

static void
read_clock(HdSlaClock *clock, uint64 row)
{
	clock->state = word_of(states, lengthof(states), text_at(row, ROW_STATE));
	clock->started_at = time_at(row, ROW_STARTED_AT);
	clock->last_at = time_at(row, ROW_LAST_AT);
	clock->closed_at = time_at(row, ROW_CLOSED_AT);
	clock->due_at = time_at(row, ROW_DUE_AT);
	clock->breached_at = time_at(row, ROW_BREACHED_AT);
	clock->breached = !is_null_at(row, ROW_BREACHED_AT);
	clock->due_b = DatumGetInt64(hd_spi_result(row, ROW_DUE_B));
	clock->remaining = DatumGetInt64(hd_spi_result(row, ROW_REMAINING));
	clock->next_step = DatumGetInt16(hd_spi_result(row, ROW_NEXT_STEP));
	clock->paused = DatumGetBool(hd_spi_result(row, ROW_PAUSED));
	clock->began_paused = DatumGetBool(hd_spi_result(row, ROW_BEGAN_PAUSED));
}

static void
read_row(HdSlaRow *row, uint64 n)
{
	memset(row, 0, sizeof(*row));
	row->id = DatumGetInt64(hd_spi_result(n, ROW_ID));
	row->policy = DatumGetInt32(hd_spi_result(n, ROW_POLICY));
	row->version_id = DatumGetInt32(hd_spi_result(n, ROW_VERSION_ID));
	row->cycle = DatumGetInt32(hd_spi_result(n, ROW_CYCLE));
	row->ahead = DatumGetBool(hd_spi_result(n, ROW_AHEAD));
	row->tenant = text_at(n, ROW_TENANT);
	row->subject = text_at(n, ROW_SUBJECT);
	row->metric = text_at(n, ROW_METRIC);
	row->priority = text_at(n, ROW_PRIORITY);
	row->attributes = hd_spi_result(n, ROW_ATTRIBUTES);
	row->terms.lane = DatumGetInt32(hd_spi_result(n, ROW_LANE));
	row->terms.target = DatumGetInt64(hd_spi_result(n, ROW_TARGET));
	row->terms.reopen = word_of(reopens, lengthof(reopens), text_at(n, ROW_REOPEN));
	row->terms.restarts = DatumGetBool(hd_spi_result(n, ROW_RESTARTS));
	read_steps(&row->terms, n, ROW_STEPS, ROW_OFFSETS);
	read_clock(&row->clock, n);
}

bool
hd_sla_row_lock(int64 id, HdSlaRow *row)
{
	const char *tenant = hd_settings_bound_tenant();
	Datum values[2] = {Int64GetDatum(id), (tenant != NULL) ? CStringGetTextDatum(tenant) : 0};

	hd_spi_run(&by_id_plan, values, (tenant == NULL) ? " n" : NULL, false, 1);
	if (SPI_processed == 0)
		return false;
	read_row(row, 0);
	return true;
}

bool
hd_sla_row_lock_last(const HdSlaKey *key, HdSlaRow *row)
{
	Datum values[4] = {CStringGetTextDatum(key->tenant), CStringGetTextDatum(key->subject),
					   Int32GetDatum(key->policy), CStringGetTextDatum(key->metric)};
	int64 before = 0;

	for (;;)
	{
		hd_spi_run(&last_plan, values, NULL, false, 1);
		if (SPI_processed == 0)
			return false;
		read_row(row, 0);

		/* behind one that is closed there may be another, begun while we waited for the lock */
		if (hd_sla_clock_is_open(&row->clock) || row->id == before)
			return true;
		before = row->id;
	}
}

int
hd_sla_rows_lock(const HdSlaRow *last, HdSlaRow **rows)
{
	Datum values[5] = {CStringGetTextDatum(last->tenant), CStringGetTextDatum(last->subject),
					   Int32GetDatum(last->policy), CStringGetTextDatum(last->metric),
					   Int32GetDatum(last->cycle)};
	int n;

	hd_spi_run(&earlier_plan, values, NULL, false, 0);
	n = (int) SPI_processed;
	*rows = palloc((n + 1) * sizeof(HdSlaRow));
	for (int i = 0; i < n; i++)
		read_row(&(*rows)[n - 1 - i], i);
	(*rows)[n] = *last;
	return n + 1;
}

bool
hd_sla_terms_read(int32 policy, const char *metric, const char *priority, HdSlaTerms *terms,
				  int32 *version_id)
{
	Datum values[3] = {Int32GetDatum(policy), CStringGetTextDatum(metric),
					   CStringGetTextDatum(priority)};

	hd_spi_run(&terms_plan, values, NULL, false, 1);
	if (SPI_processed == 0)
		return false;
	*version_id = DatumGetInt32(hd_spi_result(0, 1));
	memset(terms, 0, sizeof(*terms));
	terms->lane =
		HD_SLA_LANE(DatumGetInt32(hd_spi_result(0, 2)), DatumGetBool(hd_spi_result(0, 3)));
	terms->reopen = word_of(reopens, lengthof(reopens), text_at(0, 4));
	terms->restarts = DatumGetBool(hd_spi_result(0, 5));
	terms->target = DatumGetInt64(hd_spi_result(0, 6));
	read_steps(terms, 0, 7, 8);
	return true;
}

/*
 * Writing.
 */

typedef struct Values
{
	int n;
	Datum values[HD_SPI_MAX_ARGS];
	char nulls[HD_SPI_MAX_ARGS];
} Values;

static void
put(Values *values, Datum value, bool present)
{
	values->values[values->n] = present ? value : (Datum) 0;
	values->nulls[values->n++] = present ? ' ' : 'n';
}

/* What insert_plan and update_plan have in common, in their order. */
static void
put_row(Values *values, const HdSlaRow *row)
{
	const HdSlaClock *clock = &row->clock;
	bool is_open = hd_sla_clock_is_open(clock);
	bool runs = clock->state == HD_SLA_RUNNING;
	int64 next_b = 0;
	bool has_next = hd_sla_clock_next(clock, &next_b);

	put(values, Int64GetDatum(row->id), true);
	put(values, TimestampTzGetDatum(clock->started_at), true);
	put(values, TimestampTzGetDatum(clock->last_at), true);
	put(values, TimestampTzGetDatum(clock->closed_at), !is_open);
	put(values, TimestampTzGetDatum(clock->due_at), !is_open || clock->breached);
	put(values, TimestampTzGetDatum(clock->breached_at), clock->breached);
	put(values, Int64GetDatum(clock->terms->target), true);
	put(values, Int64GetDatum(clock->due_b), runs);
	put(values, Int64GetDatum(clock->remaining), !runs);
	put(values, Int64GetDatum(next_b), has_next);
	put(values, Int32GetDatum(row->policy), true);
	put(values, Int32GetDatum(row->version_id), true);
	put(values, Int32GetDatum(clock->terms->lane), true);
	put(values, Int32GetDatum(row->cycle), true);
	put(values, Int16GetDatum(clock->next_step), true);
	put(values, BoolGetDatum(row->ahead), true);
	put(values, BoolGetDatum(clock->paused), true);
	put(values, BoolGetDatum(clock->began_paused), true);
	put(values, CStringGetTextDatum(states[clock->state]), true);
	put(values, CStringGetTextDatum(row->metric), true);
	put(values, CStringGetTextDatum(row->priority), true);
	if (has_next)
		hd_sla_scan_notice(hd_sla_lane_instant(clock->terms->lane, next_b));
}

bool
hd_sla_row_insert(HdSlaRow *row)
{
	Values values = {0};

	row->id = next_id();
	row->ahead = row->clock.started_at > hd_clock_now();
	put_row(&values, row);
	put(&values, CStringGetTextDatum(row->tenant), true);
	put(&values, CStringGetTextDatum(row->subject), true);
	put(&values, row->attributes, row->attributes != 0);
	hd_spi_run(&insert_plan, values.values, values.nulls, false, 0);
	return SPI_processed == 1;
}

void
hd_sla_row_update(const HdSlaRow *row)
{
	Values values = {0};

	put_row(&values, row);
	hd_spi_run(&update_plan, values.values, values.nulls, false, 0);
}

void
hd_sla_row_delete(int64 id, int64 heir)
{
	Datum values[2] = {Int64GetDatum(id), Int64GetDatum(heir)};

	hd_spi_run(&bequeath_plan, values, NULL, false, 0);
	hd_spi_run(&delete_plan, values, NULL, false, 0);
}

void
hd_sla_record(int64 clock, const char *kind, TimestampTz at, Datum detail)
{
	Datum values[6] = {Int64GetDatum(clock),
					   Int64GetDatum(next_id()),
					   TimestampTzGetDatum(at),
					   TimestampTzGetDatum(hd_clock_now()),
					   CStringGetTextDatum(kind),
					   detail};

	hd_spi_run(&event_plan, values, (detail == 0) ? "     n" : NULL, false, 0);
}

void
hd_sla_row_input(int64 clock, HdSlaInput input, TimestampTz at, Datum detail)
{
	hd_sla_record(clock, inputs[input], at, detail);
}

void
hd_sla_row_move_input(int64 clock, int64 input, int64 to)
{
	Datum values[3] = {Int64GetDatum(clock), Int64GetDatum(input), Int64GetDatum(to)};

	hd_spi_run(&move_plan, values, NULL, false, 0);
}
