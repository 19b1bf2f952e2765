/*-------------------------------------------------------------------------
 * rules.c
 *		Escalation rules: the way in, and the tick.
 *
 * Invalidation: the trigger of _escalation_rule sends that table's relcache
 * message; whether there are rules is read with the latest snapshot, so a
 * session in an old one never keeps what was true then.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/rules.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/counters.h"
#include "core/spi.h"
#include "core/tick.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* How often the depth of queues is looked at, and what is too old deleted. */
#define DEPTH_US (10 * USECS_PER_SEC)
#define SWEEP_US (60 * USECS_PER_SEC)

#define BATCH 100

PG_FUNCTION_INFO_V1(hd_sla_sql_changed);
PG_FUNCTION_INFO_V1(hd_sla_sql_rules_event);
PG_FUNCTION_INFO_V1(hd_sla_sql_rules_step);
PG_FUNCTION_INFO_V1(hd_sla_sql_rule_failed);

static HdSpiRelation rule_table = {.name = "_escalation_rule"};
static Oid known_table = InvalidOid; /* that any_rules is of */
static uint64 messages = 1;			 /* about that table, or about all */
static uint64 known_messages = 0;	 /* as of which any_rules is */
static bool any_rules = false;

/* Read by sql/sla_escalations.sql alone; the variable is where the setting lives. */
static int retention = 90 * 24 * 60;

static HdSpiPlan any_plan = {
	.sql = "SELECT pg_catalog.cardinality(hotdash._escalation_rules_of_events()) > 0",
};

static HdSpiPlan event_plan = {
	.sql = "SELECT hotdash._escalation_event($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
};

static HdSpiPlan step_plan = {
	.sql = "SELECT hotdash._escalation_step($1, $2, $3)",
	.nargs = 3,
	.argtypes = {INT8OID, INT2OID, TIMESTAMPTZOID},
};

static HdSpiPlan catch_up_plan = {
	.sql = "SELECT hotdash._escalation_catch_up($1)",
	.nargs = 1,
	.argtypes = {INT4OID},
};

static HdSpiPlan depth_plan = {
	.sql = "SELECT hotdash._escalation_depths()",
};

static HdSpiPlan sweep_plan = {
	.sql = "SELECT hotdash._escalation_sweep($1)",
	.nargs = 1,
	.argtypes = {INT4OID},
};

static void
on_message(Datum arg, Oid relid)
{
	if (relid == known_table || relid == InvalidOid)
		messages++;
}

/*
 * hd_sla_sql_changed
 *		SQL: the trigger on tables that sessions remember something of.
 */
Datum
hd_sla_sql_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("must be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

bool
hd_sla_rules_any(void)
{
	Oid table = hd_spi_relation(&rule_table);
	uint64 as_of;
	HdSpi spi;

	/* also in a transaction that has all the locks it needs, and so would not hear of it */
	AcceptInvalidationMessages();
	if (likely(known_messages == messages && table == known_table))
		return any_rules;
	if (!OidIsValid(known_table))
		CacheRegisterRelcacheCallback(on_message, (Datum) 0);
	known_table = table;
	as_of = messages;
	hd_spi_begin(&spi);
	hd_spi_run_latest(&any_plan, NULL, NULL);
	any_rules = DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	known_messages = as_of;
	return any_rules;
}

/*
 * hd_sla_sql_rules_event
 *		SQL: _sla_rules_event(tenant, subject, event, facts, at).
 */
Datum
hd_sla_sql_rules_event(PG_FUNCTION_ARGS)
{
	Datum values[5];
	char nulls[6] = "     ";
	HdSpi spi;

	if (!hd_sla_rules_any())
		PG_RETURN_VOID();
	for (int i = 0; i < lengthof(values); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		if (PG_ARGISNULL(i))
			nulls[i] = 'n';
	}
	hd_spi_begin(&spi);
	hd_spi_run(&event_plan, values, nulls, false, 1);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_rules_step
 *		SQL: _sla_rules_step(clock, step, due).
 */
Datum
hd_sla_sql_rules_step(PG_FUNCTION_ARGS)
{
	Datum values[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	HdSpi spi;

	if (!hd_sla_rules_any())
		PG_RETURN_VOID();
	hd_spi_begin(&spi);
	hd_spi_run(&step_plan, values, NULL, false, 1);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

/*
 * hd_sla_sql_rule_failed
 *		SQL: _escalation_count_failure(): counted also where it is rolled back.
 */
Datum
hd_sla_sql_rule_failed(PG_FUNCTION_ARGS)
{
	hd_counters_add(HD_COUNTER_SLA_RULES_FAILED, 1);
	PG_RETURN_VOID();
}

bool
hd_sla_rules_tick(void)
{
	static TimestampTz depth_at = 0;
	static TimestampTz swept_at = 0;
	Datum batch[1] = {Int32GetDatum(BATCH)};
	bool more;
	HdSpi spi;

	hd_spi_begin_for_all(&spi);
	hd_spi_run(&catch_up_plan, batch, NULL, false, 1);
	more = DatumGetBool(hd_spi_result(0, 1));
	if (hd_tick_is_time(&depth_at, DEPTH_US))
		hd_spi_run(&depth_plan, NULL, NULL, false, 1);
	if (hd_tick_is_time(&swept_at, SWEEP_US))
	{
		hd_spi_run(&sweep_plan, batch, NULL, false, 1);
		if (DatumGetBool(hd_spi_result(0, 1)))
		{
			swept_at = 0;
			more = true;
		}
	}
	hd_spi_end(&spi);
	return more;
}

void
hd_sla_rules_init(void)
{
	DefineCustomIntVariable("hotdash.escalation_retention",
							"How long escalations are kept, and failures of their rules.", NULL,
							&retention, 90 * 24 * 60, 60, 3650 * 24 * 60, PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);
}
