/*-------------------------------------------------------------------------
 * rows.c
 *		Reading and writing the rows of clocks and of their log.
 *
 * Model: see rows.h.  The columns that are read are in one order in all
 * statements, as read_row takes them.  An input that comes in order takes two
 * statements: one that locks the row, one that writes it and the input.
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
#include "sla/terms.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define ROW_SQL \
	"SELECT c.id, c.policy, c.version_id, c.cycle, c.tenant, c.subject, c.metric, c.priority, " \
	"c.attributes, c.ahead, c.lane, c.target, c.state, c.started_at, c.last_at, c.closed_at, " \
	"c.due_at, c.breached_at, c.due_b, c.remaining, c.next_step, c.paused, c.began_paused " \
	"FROM hotdash._sla_clock AS c "

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
	.sql = ROW_SQL "WHERE c.id = $1 AND c.tenant = coalesce($2, c.tenant) FOR UPDATE",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.generic = true,
};

static HdSpiPlan last_plan = {
	.sql = ROW_SQL "WHERE c.tenant = $1 AND c.subject = $2 AND c.policy = $3 AND c.metric = $4 "
				   "ORDER BY c.cycle DESC LIMIT 1 FOR UPDATE",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID},
	.generic = true,
};

static HdSpiPlan earlier_plan = {
	.sql = ROW_SQL "WHERE c.tenant = $1 AND c.subject = $2 AND c.policy = $3 AND c.metric = $4 "
				   "AND c.cycle < $5 ORDER BY c.cycle DESC FOR UPDATE",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID, INT4OID},
	.generic = true,
};

/* A clock and the first line of its log. */
static HdSpiPlan insert_plan = {
	.sql = "WITH c AS (INSERT INTO hotdash._sla_clock (id, started_at, last_at, closed_at, due_at, "
		   "breached_at, target, due_b, remaining, next_b, policy, version_id, lane, "
		   "cycle, next_step, ahead, paused, began_paused, state, metric, "
		   "priority, tenant, subject, attributes) "
		   "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
		   "$14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24 - '{message,content}'::text[] "
		   "ON CONFLICT DO NOTHING RETURNING id) "
		   "INSERT INTO hotdash._sla_event (clock, id, at, recorded_at, kind, detail) "
		   "SELECT c.id, $25, $2, $26, $27, $28 FROM c",
	.nargs = 28,
	.argtypes = {INT8OID,		 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
				 TIMESTAMPTZOID, INT8OID,		 INT8OID,		 INT8OID,		 INT8OID,
				 INT4OID,		 INT4OID,		 INT4OID,		 INT4OID,		 INT2OID,
				 BOOLOID,		 BOOLOID,		 BOOLOID,		 TEXTOID,		 TEXTOID,
				 TEXTOID,		 TEXTOID,		 TEXTOID,		 JSONBOID,		 INT8OID,
				 TIMESTAMPTZOID, TEXTOID,		 JSONBOID},
	.generic = true,
};

/* What an input that comes in order changes, and the input; then the same where it closes the clock. */
#define ADVANCE_SQL \
	"WITH e AS (INSERT INTO hotdash._sla_event (clock, id, at, recorded_at, kind, detail) " \
	"VALUES ($1, $12, $13, $14, $15, $16)) " \
	"UPDATE hotdash._sla_clock AS c SET last_at = $2, due_at = $3, breached_at = $4, due_b = $5, " \
	"remaining = $6, next_b = $7, next_step = $8, ahead = $9, paused = $10, state = $11"
#define ADVANCE_TYPES \
	INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT2OID, \
		BOOLOID, BOOLOID, TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, JSONBOID

static HdSpiPlan advance_plan = {
	.sql = ADVANCE_SQL " WHERE c.id = $1",
	.nargs = 16,
	.argtypes = {ADVANCE_TYPES},
	.generic = true,
};

static HdSpiPlan close_plan = {
	.sql = ADVANCE_SQL ", closed_at = $17, calendar_version = (SELECT x.version "
					   "FROM hotdash._calendar_epoch AS x WHERE x.id = c.lane >> 1) "
					   "WHERE c.id = $1",
	.nargs = 17,
	.argtypes = {ADVANCE_TYPES, TIMESTAMPTZOID},
	.generic = true,
};

static HdSpiPlan update_plan = {
	.sql =
		"UPDATE hotdash._sla_clock AS c SET started_at = $2, last_at = $3, closed_at = $4, "
		"due_at = $5, breached_at = $6, target = $7, due_b = $8, remaining = $9, next_b = $10, "
		"policy = $11, version_id = $12, lane = $13, calendar_version = CASE WHEN $4 IS NOT NULL "
		"THEN (SELECT e.version FROM hotdash._calendar_epoch AS e WHERE e.id = $13 >> 1) END, "
		"cycle = $14, next_step = $15, paused = $17, began_paused = $18, state = $19, "
		"priority = $21, ahead = $16 "
		"WHERE c.id = $1",
	.nargs = 21,
	.argtypes = {INT8OID,		 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
				 TIMESTAMPTZOID, INT8OID,		 INT8OID,		 INT8OID,		 INT8OID,
				 INT4OID,		 INT4OID,		 INT4OID,		 INT4OID,		 INT2OID,
				 BOOLOID,		 BOOLOID,		 BOOLOID,		 TEXTOID,		 TEXTOID,
				 TEXTOID},
	.generic = true,
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

/* The version of a policy that is in force, and the epoch of its calendar. */
static HdSpiPlan in_force_plan = {
	.sql = "SELECT p.version_id, coalesce((SELECT k.epoch FROM hotdash._calendar AS k "
		   "WHERE k.id = p.calendar), 0) FROM hotdash._sla_policy AS p WHERE p.id = $1",
	.nargs = 1,
	.argtypes = {INT4OID},
	.generic = true,
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

const char *
hd_sla_input_name(HdSlaInput input)
{
	return inputs[input];
}

static int64
next_id(void)
{
	return ((int64) hd_setting_node_id << 52) |
		   nextval_internal(hd_spi_relation(&id_sequence), false);
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
	read_clock(&row->clock, n);
}

/* The rest of what a row's clock is held to, which may take a statement of its own. */
static void
complete(HdSlaRow *row)
{
	const HdSlaVersion *version = hd_sla_version(row->version_id, row->metric, row->priority);
	int32 lane = row->terms.lane;
	int64 target = row->terms.target;

	if (version == NULL)
		elog(ERROR, "version %d of an SLA policy has no metric \"%s\"", row->version_id,
			 row->metric);
	row->terms = version->terms;
	row->terms.lane = lane;
	row->terms.target = target;
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
	complete(row);
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
			break;
		before = row->id;
	}
	complete(row);
	return true;
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
	for (int i = 0; i < n; i++)
		complete(&(*rows)[i]);
	(*rows)[n] = *last;
	return n + 1;
}

bool
hd_sla_row_terms(HdSlaRow *row, int32 version_id, int32 epoch)
{
	const HdSlaVersion *version = hd_sla_version(version_id, row->metric, row->priority);

	if (version == NULL)
		return false;
	row->version_id = version_id;
	row->terms = version->terms;
	row->terms.lane = HD_SLA_LANE(epoch, version->at_open);
	return true;
}

bool
hd_sla_terms_read(HdSlaRow *row)
{
	Datum values[1] = {Int32GetDatum(row->policy)};

	hd_spi_run(&in_force_plan, values, NULL, false, 1);
	return SPI_processed > 0 && hd_sla_row_terms(row, DatumGetInt32(hd_spi_result(0, 1)),
												 DatumGetInt32(hd_spi_result(0, 2)));
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

/* The columns of an event behind its clock and, in that order, its number; recorded now. */
static void
put_event(Values *values, const char *kind, TimestampTz at, bool with_at, Datum detail)
{
	put(values, Int64GetDatum(next_id()), true);
	if (with_at)
		put(values, TimestampTzGetDatum(at), true);
	put(values, TimestampTzGetDatum(hd_clock_now()), true);
	put(values, CStringGetTextDatum(kind), true);
	put(values, detail, detail != 0);
}

bool
hd_sla_row_insert(HdSlaRow *row, const char *kind, Datum detail)
{
	Values values = {0};

	row->id = next_id();
	row->ahead = row->clock.started_at > hd_clock_now();
	put_row(&values, row);
	put(&values, CStringGetTextDatum(row->tenant), true);
	put(&values, CStringGetTextDatum(row->subject), true);
	put(&values, row->attributes, row->attributes != 0);
	put_event(&values, kind, row->clock.started_at, false, detail);
	hd_spi_run(&insert_plan, values.values, values.nulls, false, 0);
	if (SPI_processed == 0)
		return false;

	/* one that is closed already, as only a chain computed anew has it, keeps its calendar's version */
	if (!hd_sla_clock_is_open(&row->clock))
		hd_sla_row_update(row);
	return true;
}

void
hd_sla_row_advance(const HdSlaRow *row, HdSlaInput input, TimestampTz at, Datum detail)
{
	const HdSlaClock *clock = &row->clock;
	bool is_open = hd_sla_clock_is_open(clock);
	bool runs = clock->state == HD_SLA_RUNNING;
	int64 next_b = 0;
	bool has_next = hd_sla_clock_next(clock, &next_b);
	Values values = {0};

	put(&values, Int64GetDatum(row->id), true);
	put(&values, TimestampTzGetDatum(clock->last_at), true);
	put(&values, TimestampTzGetDatum(clock->due_at), !is_open || clock->breached);
	put(&values, TimestampTzGetDatum(clock->breached_at), clock->breached);
	put(&values, Int64GetDatum(clock->due_b), runs);
	put(&values, Int64GetDatum(clock->remaining), !runs);
	put(&values, Int64GetDatum(next_b), has_next);
	put(&values, Int16GetDatum(clock->next_step), true);
	put(&values, BoolGetDatum(row->ahead || clock->last_at > hd_clock_now()), true);
	put(&values, BoolGetDatum(clock->paused), true);
	put(&values, CStringGetTextDatum(states[clock->state]), true);
	put_event(&values, inputs[input], at, true, detail);
	if (has_next)
		hd_sla_scan_notice(hd_sla_lane_instant(clock->terms->lane, next_b));
	put(&values, TimestampTzGetDatum(clock->closed_at), true);
	hd_spi_run(is_open ? &advance_plan : &close_plan, values.values, values.nulls, false, 0);
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
	Datum values[6] = {Int64GetDatum(clock),	  Int64GetDatum(next_id()),
					   TimestampTzGetDatum(at),	  TimestampTzGetDatum(hd_clock_now()),
					   CStringGetTextDatum(kind), detail};

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
