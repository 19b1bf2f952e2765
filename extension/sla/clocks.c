/*-------------------------------------------------------------------------
 * clocks.c
 *		The SQL functions that start clocks, and move one of them.
 *
 * Model: each turns its arguments into inputs of chains (chain.h).  A function
 * that names a clock means that clock: what comes when it is closed already is
 * an error, or nothing where it says the same again.  Events of the domain are
 * in events.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/spi.h"
#include "fmgr.h"
#include "sla/arguments.h"
#include "sla/chain.h"
#include "sla/events.h"
#include "sla/terms.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* A policy, what is in force of it, and whether the subject has clocks. */
static HdSpiPlan start_plan = {
	.sql = "SELECT p.id, p.version_id, coalesce((SELECT k.epoch FROM hotdash._calendar AS k "
		   "WHERE k.id = p.calendar), 0), EXISTS (SELECT FROM hotdash._sla_clock AS c "
		   "WHERE c.tenant = $2 AND c.subject = $3) "
		   "FROM hotdash._sla_policy AS p WHERE p.name = $1",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
	.generic = true,
};

/* The metrics that begin with the subject. */
static HdSpiPlan metrics_plan = {
	.sql = "SELECT m.metric FROM hotdash._sla_metric AS m "
		   "WHERE m.version_id = $1 AND 'created' = ANY (m.starts) ORDER BY m.metric",
	.nargs = 1,
	.argtypes = {INT4OID},
	.generic = true,
};

static HdSpiPlan policy_plan = {
	.sql = "SELECT p.id FROM hotdash._sla_policy AS p WHERE p.name = $1",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

PG_FUNCTION_INFO_V1(hd_sla_sql_start);
PG_FUNCTION_INFO_V1(hd_sla_sql_pause);
PG_FUNCTION_INFO_V1(hd_sla_sql_resume);
PG_FUNCTION_INFO_V1(hd_sla_sql_meet);
PG_FUNCTION_INFO_V1(hd_sla_sql_cancel);
PG_FUNCTION_INFO_V1(hd_sla_sql_retarget);
PG_FUNCTION_INFO_V1(hd_sla_sql_replay);

/*
 * Starting.
 */

static void
refuse_policy(const char *policy)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("SLA policy \"%s\" does not exist", policy),
			 errhint("Make it with sla_policy_set.")));
}

/* The metrics of a chain's policy that begin with the subject; n of them. */
static HdSlaTold *
metrics_to_start(const HdSlaTold *pattern, const char *policy, int *n)
{
	Datum values[1] = {Int32GetDatum(pattern->key.version_id)};
	HdSlaTold *chains;

	hd_spi_run(&metrics_plan, values, NULL, false, 0);
	*n = (int) SPI_processed;
	if (*n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("SLA policy \"%s\" has no metric that starts with the event created",
							   policy),
						errhint("Name the metric.")));
	chains = palloc(*n * sizeof(HdSlaTold));
	for (int i = 0; i < *n; i++)
	{
		chains[i] = *pattern;
		chains[i].key.metric = TextDatumGetCString(hd_spi_result(i, 1));
	}
	return chains;
}

/*
 * The chains to start.  Most subjects are new, so a first clock is tried before anybody looks for
 * others of its metric.
 */
static HdSlaTold *
chains_to_start(const char *policy, const HdSlaKey *pattern, int *n)
{
	Datum values[3] = {CStringGetTextDatum(policy), CStringGetTextDatum(pattern->tenant),
					   CStringGetTextDatum(pattern->subject)};
	HdSlaTold *chain = palloc0(sizeof(HdSlaTold));

	hd_spi_run(&start_plan, values, NULL, false, 1);
	if (SPI_processed == 0)
		refuse_policy(policy);
	chain->key = *pattern;
	chain->key.policy = DatumGetInt32(hd_spi_result(0, 1));
	chain->key.version_id = DatumGetInt32(hd_spi_result(0, 2));
	chain->key.epoch = DatumGetInt32(hd_spi_result(0, 3));
	chain->is_new = DatumGetBool(hd_spi_result(0, 4));
	if (pattern->metric == NULL)
		return metrics_to_start(chain, policy, n);
	if (hd_sla_version(chain->key.version_id, pattern->metric, "") == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("SLA policy \"%s\" has no metric \"%s\"", policy, pattern->metric)));
	*n = 1;
	return chain;
}

/*
 * hd_sla_sql_start
 *		SQL: sla_start(policy, subject, metric, priority, at, attributes, tenant)
 *		-> bigint.
 */
Datum
hd_sla_sql_start(PG_FUNCTION_ARGS)
{
	const char *policy = hd_sla_name_arg(fcinfo, 0, "policy", HD_SLA_MAX_NAME, false);
	TimestampTz at = hd_sla_at_arg(fcinfo, 4, true);
	HdSlaKey pattern = {.metric = hd_sla_name_arg(fcinfo, 2, "metric", HD_SLA_MAX_NAME, true),
						.subject = hd_sla_name_arg(fcinfo, 1, "subject", HD_SLA_MAX_SUBJECT, false),
						.priority = hd_sla_name_arg(fcinfo, 3, "priority", HD_SLA_MAX_NAME, true),
						.attributes = hd_sla_attributes_arg(fcinfo, 5),
						.tenant = hd_sla_tenant_arg(fcinfo, 6)};
	HdSlaTold *chains;
	int64 first = 0;
	HdSpi spi;
	int n;

	hd_instance_use();
	hd_spi_begin(&spi);
	chains = chains_to_start(policy, &pattern, &n);
	for (int i = 0; i < n; i++)
	{
		bool is_first;
		int64 id = hd_sla_start_chain(&chains[i].key, at, &is_first);

		if (i == 0)
			first = id;
		if (chains[i].is_new && is_first)
			hd_sla_tell_earlier(&chains[i].key, at, "");
	}
	hd_sla_tell_rules(pattern.tenant, pattern.subject, "created", pattern.attributes, at);
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
	at = (PG_NARGS() > 1) ? hd_sla_at_arg(fcinfo, 1, false) : hd_clock_now();
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
 * Another target.
 */

static int32
policy_of_name(const char *name)
{
	Datum values[1] = {CStringGetTextDatum(name)};

	hd_spi_run(&policy_plan, values, NULL, false, 1);
	if (SPI_processed == 0)
		refuse_policy(name);
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
	appendStringInfo(&text,
					 "{\"version_id\": %d, \"target\": " INT64_FORMAT ", \"before\": " INT64_FORMAT
					 ", \"priority\": ",
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
	const char *policy = hd_sla_name_arg(fcinfo, 1, "policy", HD_SLA_MAX_NAME, true);
	const char *priority = hd_sla_name_arg(fcinfo, 2, "priority", HD_SLA_MAX_NAME, true);
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
	row.changed = true;
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
