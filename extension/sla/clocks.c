/*-------------------------------------------------------------------------
 * clocks.c
 *		The SQL functions that start clocks and tell them what happens.
 *
 * Model: each turns its arguments into inputs of chains (chain.h).  A function
 * that names a clock means that clock: what comes when it is closed already is
 * an error, or nothing where it says the same again.  An event of the domain
 * is told to all chains of its subject, which know by their policy what it
 * means to them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "sla/chain.h"
#include "sla/rows.h"
#include "sla/rules.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Clocks of applications need not agree with ours to the second. */
#define AHEAD_US USECS_PER_MINUTE

#define MAX_NAME 63
#define MAX_SUBJECT 200
#define MAX_ATTRIBUTES (64 * 1024)

/* In which order one event's inputs are applied to a chain. */
static const HdSlaInput event_order[] = {HD_SLA_RESUME, HD_SLA_PAUSE,  HD_SLA_MEET,
										 HD_SLA_CANCEL, HD_SLA_REOPEN, HD_SLA_START};

/*
 * Metrics to start: the one that was named, else all that begin with the subject; what is in force;
 * and whether the subject has clocks, and of this metric.
 */
static HdSpiPlan metrics_plan = {
	.sql = "SELECT p.id, m.metric, p.version_id, coalesce((SELECT k.epoch FROM hotdash._calendar AS k "
		   "WHERE k.id = v.calendar), 0), EXISTS (SELECT FROM hotdash._sla_clock AS c "
		   "WHERE c.tenant = $3 AND c.subject = $4), EXISTS (SELECT FROM hotdash._sla_clock AS c "
		   "WHERE c.tenant = $3 AND c.subject = $4 AND c.policy = p.id AND c.metric = m.metric) "
		   "FROM hotdash._sla_policy AS p "
		   "JOIN hotdash._sla_policy_version AS v ON v.id = p.version_id "
		   "LEFT JOIN hotdash._sla_metric AS m ON m.version_id = p.version_id "
		   "AND CASE WHEN $2 IS NULL THEN 'created' = ANY (m.starts) ELSE m.metric = $2 END "
		   "WHERE p.name = $1 ORDER BY m.metric",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID},
	.generic = true,
};

static HdSpiPlan policy_plan = {
	.sql = "SELECT p.id FROM hotdash._sla_policy AS p WHERE p.name = $1",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

/*
 * Chains of a subject that an event means something to, and what: those there are by the version
 * of their last clock, those that a policy of the subject lets begin with the event by its own.
 */
static HdSpiPlan event_plan = {
	.sql =
		"WITH mine AS (SELECT DISTINCT ON (c.policy, c.metric) c.policy, c.metric, c.version_id "
		"FROM hotdash._sla_clock AS c WHERE c.tenant = $1 AND c.subject = $2 "
		"ORDER BY c.policy, c.metric, c.cycle DESC) "
		"SELECT n.policy, m.metric, $3 = ANY (m.resumes), $3 = ANY (m.pauses), $3 = ANY (m.meets), "
		"$3 = ANY (m.cancels), $3 = ANY (m.reopens), $3 = ANY (m.starts), false "
		"FROM mine AS n JOIN hotdash._sla_metric AS m "
		"ON m.version_id = n.version_id AND m.metric = n.metric "
		"WHERE $3 = ANY (m.resumes || m.pauses || m.meets || m.cancels || m.reopens || m.starts) "
		"UNION ALL "
		"SELECT p.id, m.metric, $3 = ANY (m.resumes), $3 = ANY (m.pauses), $3 = ANY (m.meets), "
		"$3 = ANY (m.cancels), $3 = ANY (m.reopens), true, true "
		"FROM hotdash._sla_policy AS p JOIN hotdash._sla_metric AS m ON m.version_id = p.version_id "
		"WHERE p.id IN (SELECT n.policy FROM mine AS n) AND $3 = ANY (m.starts) "
		"AND NOT EXISTS (SELECT FROM mine AS n WHERE n.policy = p.id AND n.metric = m.metric) "
		"ORDER BY 1, 2",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
	.generic = true,
};

/*
 * What was told of a subject but for one event, and what it means to one metric of a policy: for
 * a chain that was not there when it was told.
 */
static HdSpiPlan told_plan = {
	.sql = "SELECT x.at, x.event, x.event = ANY (m.resumes), x.event = ANY (m.pauses), "
		   "x.event = ANY (m.meets), x.event = ANY (m.cancels), x.event = ANY (m.reopens), "
		   "x.event = ANY (m.starts) "
		   "FROM (SELECT e.at, e.detail ->> 'event' AS event, min(e.id) AS id "
		   "FROM hotdash._sla_clock AS c JOIN hotdash._sla_event AS e ON e.clock = c.id "
		   "WHERE c.tenant = $1 AND c.subject = $2 AND e.detail ? 'event' "
		   "GROUP BY 1, 2 HAVING (e.at, e.detail ->> 'event') IS DISTINCT FROM ($5, $6)) AS x "
		   "JOIN hotdash._sla_policy AS p ON p.id = $3 "
		   "JOIN hotdash._sla_metric AS m ON m.version_id = p.version_id AND m.metric = $4 "
		   "WHERE x.event = ANY (m.resumes || m.pauses || m.meets || m.cancels || m.reopens || "
		   "m.starts) ORDER BY x.at, x.id",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID},
	.generic = true,
};

/* A clock of the subject, to keep an event with that means nothing to any of them as yet. */
static HdSpiPlan any_clock_plan = {
	.sql = "SELECT min(c.id) FROM hotdash._sla_clock AS c WHERE c.tenant = $1 AND c.subject = $2 "
		   "HAVING count(*) > 0",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.generic = true,
};

static HdSpiPlan attributes_plan = {
	.sql = "UPDATE hotdash._sla_clock AS c SET attributes = coalesce(c.attributes, '{}') || $3 "
		   "WHERE c.tenant = $1 AND c.subject = $2 AND c.closed_at IS NULL",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, JSONBOID},
};

static HdSpiPlan rules_plan = {
	.sql = "SELECT hotdash._sla_rules_event($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
};

/* A chain that is told something. */
typedef struct Told
{
	HdSlaKey key;
	bool is_new; /* its subject has clocks, but none of this metric */
	bool means[HD_SLA_INPUTS];
} Told;

PG_FUNCTION_INFO_V1(hd_sla_sql_start);
PG_FUNCTION_INFO_V1(hd_sla_sql_pause);
PG_FUNCTION_INFO_V1(hd_sla_sql_resume);
PG_FUNCTION_INFO_V1(hd_sla_sql_meet);
PG_FUNCTION_INFO_V1(hd_sla_sql_cancel);
PG_FUNCTION_INFO_V1(hd_sla_sql_event);
PG_FUNCTION_INFO_V1(hd_sla_sql_retarget);
PG_FUNCTION_INFO_V1(hd_sla_sql_replay);

/*
 * Arguments.
 */

/* A name that is not empty and not too long; NULL where it may be left out and is. */
static const char *
name_arg(FunctionCallInfo fcinfo, int n, const char *what, int most, bool optional)
{
	const char *name;

	if (optional && PG_ARGISNULL(n))
		return NULL;
	hd_require_arg(fcinfo, n, what);
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (*name == '\0' || strlen(name) > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid %s of an SLA clock", what),
						errdetail("It has 1 to %d bytes.", most)));
	for (const char *c = name; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '\177')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid %s of an SLA clock", what),
							errdetail("It has no control characters.")));
	}
	return name;
}

static TimestampTz
at_arg(FunctionCallInfo fcinfo, int n, bool may_be_ahead)
{
	TimestampTz now = hd_clock_now();
	TimestampTz at = PG_ARGISNULL(n) ? now : PG_GETARG_TIMESTAMPTZ(n);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("argument \"at\" must be finite")));
	if (!may_be_ahead && at > now + AHEAD_US)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"at\" is in the future: %s", timestamptz_to_str(at)),
						errhint("Only a clock's start may be planned.")));
	return at;
}

static Datum
attributes_arg(FunctionCallInfo fcinfo, int n)
{
	Jsonb *attributes;

	if (PG_ARGISNULL(n))
		return (Datum) 0;
	attributes = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(attributes))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("attributes must be a JSON object")));
	if (VARSIZE(attributes) > MAX_ATTRIBUTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("attributes of an SLA clock must not be longer than 64 kB")));
	return JsonbPGetDatum(attributes);
}

static const char *
tenant_arg(FunctionCallInfo fcinfo, int n)
{
	return hd_settings_tenant(PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n)));
}

/*
 * Starting.
 */

static void
refuse_metrics(const char *policy, const char *metric)
{
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("SLA policy \"%s\" does not exist", policy),
						errhint("sla_policy_set makes one.")));
	if (metric != NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("SLA policy \"%s\" has no metric \"%s\"", policy, metric)));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("SLA policy \"%s\" has no metric that starts with the event created",
						   policy),
					errhint("Name the metric.")));
}

/* The chains to start; the policies and metrics are copied out of the result, which others follow. */
static int
chains_to_start(const char *policy, const char *metric, const HdSlaKey *pattern, Told **chains)
{
	Datum values[4] = {CStringGetTextDatum(policy),
					   (metric != NULL) ? CStringGetTextDatum(metric) : 0,
					   CStringGetTextDatum(pattern->tenant), CStringGetTextDatum(pattern->subject)};
	bool isnull;
	int n;

	hd_spi_run(&metrics_plan, values, (metric == NULL) ? " n  " : NULL, false, 0);
	n = (int) SPI_processed;
	if (n > 0)
		(void) SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	if (n == 0 || isnull)
		refuse_metrics(policy, metric);
	*chains = palloc0(n * sizeof(Told));
	for (int i = 0; i < n; i++)
	{
		Told *chain = &(*chains)[i];

		chain->key = *pattern;
		chain->key.policy = DatumGetInt32(hd_spi_result(i, 1));
		chain->key.metric = TextDatumGetCString(hd_spi_result(i, 2));
		chain->key.version_id = DatumGetInt32(hd_spi_result(i, 3));
		chain->key.epoch = DatumGetInt32(hd_spi_result(i, 4));
		chain->key.seems_new = !DatumGetBool(hd_spi_result(i, 6));
		chain->is_new = DatumGetBool(hd_spi_result(i, 5)) && chain->key.seems_new;
	}
	return n;
}

static Datum
event_detail(const char *event)
{
	JsonbParseState *state = NULL;
	JsonbValue key = {.type = jbvString};
	JsonbValue value = {.type = jbvString};

	key.val.string.val = "event";
	key.val.string.len = strlen("event");
	value.val.string.val = unconstify(char *, event);
	value.val.string.len = strlen(event);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Read what an event means to a chain from a result's columns, from column on. */
static void
read_meaning(bool *means, uint64 row, int column)
{
	for (int k = 0; k < HD_SLA_INPUTS; k++)
		means[event_order[k]] = DatumGetBool(hd_spi_result(row, column + k));
}

static int64
apply_meaning(const HdSlaKey *key, const bool *means, TimestampTz at, Datum detail)
{
	int64 belongs = 0;

	for (int k = 0; k < HD_SLA_INPUTS; k++)
	{
		if (means[event_order[k]])
			belongs = hd_sla_input(key, event_order[k], at, detail);
	}
	return belongs;
}

/* Tell a new chain what was told of its subject when it was not there, but for what began it. */
static void
tell_earlier(const HdSlaKey *key, TimestampTz but_at, const char *but_event)
{
	Datum values[6] = {CStringGetTextDatum(key->tenant), CStringGetTextDatum(key->subject),
					   Int32GetDatum(key->policy),		 CStringGetTextDatum(key->metric),
					   TimestampTzGetDatum(but_at),		 CStringGetTextDatum(but_event)};
	SPITupleTable *told;
	uint64 n;

	hd_spi_run(&told_plan, values, NULL, false, 0);
	told = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool means[HD_SLA_INPUTS];
		TimestampTz at;
		Datum detail;

		/* the statements of the last round have left their own */
		SPI_tuptable = told;
		read_meaning(means, i, 3);
		at = DatumGetTimestampTz(hd_spi_result(i, 1));
		detail = event_detail(TextDatumGetCString(hd_spi_result(i, 2)));
		(void) apply_meaning(key, means, at, detail);
	}
}

/* Escalation rules look at what happened, in the same transaction. */
static void
tell_rules(const char *tenant, const char *subject, const char *event, Datum attributes,
		   TimestampTz at)
{
	Datum values[5] = {0, 0, 0, attributes, TimestampTzGetDatum(at)};

	if (!hd_sla_rules_any())
		return;
	values[0] = CStringGetTextDatum(tenant);
	values[1] = CStringGetTextDatum(subject);
	values[2] = CStringGetTextDatum(event);
	hd_spi_run(&rules_plan, values, (attributes == 0) ? "   n " : NULL, false, 1);
}

/*
 * hd_sla_sql_start
 *		SQL: sla_start(policy, subject, metric, priority, at, attributes, tenant)
 *		-> bigint.
 */
Datum
hd_sla_sql_start(PG_FUNCTION_ARGS)
{
	const char *policy = name_arg(fcinfo, 0, "policy", MAX_NAME, false);
	const char *metric = name_arg(fcinfo, 2, "metric", MAX_NAME, true);
	TimestampTz at = at_arg(fcinfo, 4, true);
	HdSlaKey pattern = {.subject = name_arg(fcinfo, 1, "subject", MAX_SUBJECT, false),
						.priority = name_arg(fcinfo, 3, "priority", MAX_NAME, true),
						.attributes = attributes_arg(fcinfo, 5),
						.tenant = tenant_arg(fcinfo, 6)};
	Told *chains;
	int64 first = 0;
	HdSpi spi;
	int n;

	hd_instance_use();
	hd_spi_begin(&spi);
	n = chains_to_start(policy, metric, &pattern, &chains);
	for (int i = 0; i < n; i++)
	{
		int64 id = hd_sla_input(&chains[i].key, HD_SLA_START, at, (Datum) 0);

		if (i == 0)
			first = id;
		if (chains[i].is_new)
			tell_earlier(&chains[i].key, at, "");
	}
	tell_rules(pattern.tenant, pattern.subject, "created", pattern.attributes, at);
	hd_spi_end(&spi);
	PG_RETURN_INT64(first);
}

/*
 * One clock.
 */

static void
lock_clock(int64 id, HdSlaRow *row)
{
	if (!hd_sla_row_lock(id, row))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("SLA clock " INT64_FORMAT " does not exist", id)));
}

/* Of a clock that is closed: whether an input says what is so anyway; else it is an error. */
static void
refuse_closed(const HdSlaRow *row, HdSlaInput input)
{
	HdSlaState state = row->clock.state;

	if ((input == HD_SLA_MEET && state == HD_SLA_MET) ||
		(input == HD_SLA_CANCEL && state == HD_SLA_CANCELED))
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("SLA clock " INT64_FORMAT " is %s", row->id,
						   (state == HD_SLA_MET) ? "met" : "canceled"),
					errdetail("It has been since %s.", timestamptz_to_str(row->clock.closed_at)),
					errhint("What happened before that can be told with the argument \"at\".")));
}

static Datum
input_on_clock(FunctionCallInfo fcinfo, HdSlaInput input)
{
	TimestampTz at;
	HdSlaRow row;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "clock");
	at = (PG_NARGS() > 1) ? at_arg(fcinfo, 1, false) : hd_clock_now();
	hd_instance_use();
	hd_spi_begin(&spi);
	lock_clock(PG_GETARG_INT64(0), &row);
	if (hd_sla_clock_is_open(&row.clock))
		hd_sla_input_last(&row, input, at, (Datum) 0);
	else if (at >= row.clock.closed_at)
		refuse_closed(&row, input);
	else
	{
		HdSlaKey key = hd_sla_key_of(&row);

		(void) hd_sla_input(&key, input, at, (Datum) 0);
	}
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_pause, hd_sla_sql_resume, hd_sla_sql_meet, hd_sla_sql_cancel
 *		SQL: sla_pause(clock, at), sla_resume(clock, at), sla_meet(clock, at),
 *		sla_cancel(clock).
 */
Datum
hd_sla_sql_pause(PG_FUNCTION_ARGS)
{
	return input_on_clock(fcinfo, HD_SLA_PAUSE);
}

Datum
hd_sla_sql_resume(PG_FUNCTION_ARGS)
{
	return input_on_clock(fcinfo, HD_SLA_RESUME);
}

Datum
hd_sla_sql_meet(PG_FUNCTION_ARGS)
{
	return input_on_clock(fcinfo, HD_SLA_MEET);
}

Datum
hd_sla_sql_cancel(PG_FUNCTION_ARGS)
{
	return input_on_clock(fcinfo, HD_SLA_CANCEL);
}

/*
 * An event of the domain.
 */

static int
chains_of_event(const HdSlaKey *pattern, const char *event, Told **chains)
{
	Datum values[3] = {CStringGetTextDatum(pattern->tenant), CStringGetTextDatum(pattern->subject),
					   CStringGetTextDatum(event)};
	int n;

	hd_spi_run(&event_plan, values, NULL, false, 0);
	n = (int) SPI_processed;
	*chains = palloc0(n * sizeof(Told));
	for (int i = 0; i < n; i++)
	{
		Told *chain = &(*chains)[i];

		chain->key = *pattern;
		chain->key.policy = DatumGetInt32(hd_spi_result(i, 1));
		chain->key.metric = TextDatumGetCString(hd_spi_result(i, 2));
		read_meaning(chain->means, i, 3);
		chain->is_new = DatumGetBool(hd_spi_result(i, 9));
	}
	return n;
}

/* What means nothing as yet may do so to a clock that turns out to have begun before it. */
static void
keep_for_later(const HdSlaKey *key, TimestampTz at, Datum detail)
{
	Datum values[2] = {CStringGetTextDatum(key->tenant), CStringGetTextDatum(key->subject)};

	hd_spi_run(&any_clock_plan, values, NULL, false, 1);
	if (SPI_processed > 0)
		hd_sla_record(DatumGetInt64(hd_spi_result(0, 1)), "event", at, detail);
}

/*
 * hd_sla_sql_event
 *		SQL: sla_event(subject, event, at, attributes, tenant) -> int.
 */
Datum
hd_sla_sql_event(PG_FUNCTION_ARGS)
{
	HdSlaKey pattern = {.subject = name_arg(fcinfo, 0, "subject", MAX_SUBJECT, false)};
	const char *event = name_arg(fcinfo, 1, "event", 100, false);
	TimestampTz at = at_arg(fcinfo, 2, false);
	Datum attributes = attributes_arg(fcinfo, 3);
	int followed = 0;
	Told *chains;
	Datum detail;
	HdSpi spi;
	int n;

	pattern.tenant = tenant_arg(fcinfo, 4);
	hd_instance_use();
	hd_spi_begin(&spi);
	if (attributes != 0)
	{
		Datum values[3] = {CStringGetTextDatum(pattern.tenant),
						   CStringGetTextDatum(pattern.subject), attributes};

		hd_spi_run(&attributes_plan, values, NULL, false, 0);
	}
	detail = event_detail(event);
	n = chains_of_event(&pattern, event, &chains);
	for (int i = 0; i < n; i++)
	{
		followed += (apply_meaning(&chains[i].key, chains[i].means, at, detail) != 0);
		if (chains[i].is_new)
			tell_earlier(&chains[i].key, at, event);
	}
	if (n == 0)
		keep_for_later(&pattern, at, detail);
	tell_rules(pattern.tenant, pattern.subject, event, attributes, at);
	hd_spi_end(&spi);
	PG_RETURN_INT32(followed);
}

/*
 * Another target.
 */

static int32
policy_of_name(const char *name)
{
	Datum values[1] = {CStringGetTextDatum(name)};

	hd_spi_run(&policy_plan, values, NULL, false, 1);
	if (SPI_processed == 0)
		refuse_metrics(name, NULL);
	return DatumGetInt32(hd_spi_result(0, 1));
}

/* Have a clock be the last of the same metric's chain of another policy. */
static void
change_policy(HdSlaRow *row, int32 policy)
{
	HdSlaKey key = hd_sla_key_of(row);
	HdSlaRow last;

	key.policy = policy;
	row->policy = policy;
	row->cycle = 1;
	if (!hd_sla_row_lock_last(&key, &last))
		return;
	if (hd_sla_clock_is_open(&last.clock) || last.clock.closed_at > row->clock.started_at)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("subject \"%s\" has a clock of that policy already", row->subject),
				 errdetail("Clock " INT64_FORMAT " was not closed when this one began.", last.id)));
	row->cycle = last.cycle + 1;
}

static Datum
retarget_detail(const HdSlaRow *row, int64 before)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"version_id\": %d, \"target\": " INT64_FORMAT ", \"before\": " INT64_FORMAT ", \"priority\": ",
					 row->version_id, row->terms.target, before);
	escape_json(&text, row->priority);
	appendStringInfoChar(&text, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}

/*
 * hd_sla_sql_retarget
 *		SQL: sla_retarget(clock, policy, priority).
 */
Datum
hd_sla_sql_retarget(PG_FUNCTION_ARGS)
{
	const char *policy = name_arg(fcinfo, 1, "policy", MAX_NAME, true);
	const char *priority = name_arg(fcinfo, 2, "priority", MAX_NAME, true);
	HdSlaRow row;
	int64 before;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "clock");
	hd_instance_use();
	hd_spi_begin(&spi);
	lock_clock(PG_GETARG_INT64(0), &row);
	if (!hd_sla_clock_is_open(&row.clock))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("SLA clock " INT64_FORMAT " is %s", row.id,
						(row.clock.state == HD_SLA_MET) ? "met" : "canceled"),
				 errdetail("It has been since %s.", timestamptz_to_str(row.clock.closed_at))));
	before = row.terms.target;
	if (priority != NULL)
		row.priority = priority;
	if (policy != NULL)
	{
		int32 id = policy_of_name(policy);

		if (id != row.policy)
			change_policy(&row, id);
	}
	if (!hd_sla_terms_read(&row))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the SLA policy has no metric \"%s\"", row.metric)));
	hd_sla_record(row.id, "retarget", hd_clock_now(), retarget_detail(&row, before));
	hd_sla_replay(&row);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_replay
 *		SQL: _sla_replay(clock): what is kept must be what comes out.
 */
Datum
hd_sla_sql_replay(PG_FUNCTION_ARGS)
{
	HdSlaRow row;
	HdSlaRow last;
	HdSlaKey key;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "clock");
	hd_spi_begin(&spi);
	lock_clock(PG_GETARG_INT64(0), &row);
	key = hd_sla_key_of(&row);
	if (hd_sla_row_lock_last(&key, &last))
		hd_sla_replay(&last);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}
