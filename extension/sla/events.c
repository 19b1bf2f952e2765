/*-------------------------------------------------------------------------
 * events.c
 *		Events of the domain, as they are told to the clocks of a subject.
 *
 * Model: see events.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/events.h"

#include "catalog/pg_type.h"
#include "core/instance.h"
#include "core/spi.h"
#include "fmgr.h"
#include "sla/arguments.h"
#include "sla/rules.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* In which order one event's inputs are applied to a chain. */
static const HdSlaInput event_order[] = {HD_SLA_RESUME, HD_SLA_PAUSE,  HD_SLA_MEET,
										 HD_SLA_CANCEL, HD_SLA_REOPEN, HD_SLA_START};

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
	.sql = "UPDATE hotdash._sla_clock AS c SET attributes = coalesce(c.attributes, '{}') || "
		   "($3 - '{message,content}'::text[]) "
		   "WHERE c.tenant = $1 AND c.subject = $2 AND c.closed_at IS NULL",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, JSONBOID},
};

static HdSpiPlan rules_plan = {
	.sql = "SELECT hotdash._sla_rules_event($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
};

PG_FUNCTION_INFO_V1(hd_sla_sql_event);

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

void
hd_sla_tell_earlier(const HdSlaKey *key, TimestampTz but_at, const char *but_event)
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

void
hd_sla_tell_rules(const char *tenant, const char *subject, const char *event, Datum attributes,
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

static int
chains_of_event(const HdSlaKey *pattern, const char *event, HdSlaTold **chains)
{
	Datum values[3] = {CStringGetTextDatum(pattern->tenant), CStringGetTextDatum(pattern->subject),
					   CStringGetTextDatum(event)};
	int n;

	hd_spi_run(&event_plan, values, NULL, false, 0);
	n = (int) SPI_processed;
	*chains = palloc0(n * sizeof(HdSlaTold));
	for (int i = 0; i < n; i++)
	{
		HdSlaTold *chain = &(*chains)[i];

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
	HdSlaKey pattern = {.subject =
							hd_sla_name_arg(fcinfo, 0, "subject", HD_SLA_MAX_SUBJECT, false)};
	const char *event = hd_sla_name_arg(fcinfo, 1, "event", HD_SLA_MAX_EVENT, false);
	TimestampTz at = hd_sla_at_arg(fcinfo, 2, false);
	Datum attributes = hd_sla_attributes_arg(fcinfo, 3);
	int followed = 0;
	HdSlaTold *chains;
	Datum detail;
	HdSpi spi;
	int n;

	pattern.tenant = hd_sla_tenant_arg(fcinfo, 4);
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
			hd_sla_tell_earlier(&chains[i].key, at, event);
	}
	if (n == 0)
		keep_for_later(&pattern, at, detail);
	hd_sla_tell_rules(pattern.tenant, pattern.subject, event, attributes, at);
	hd_spi_end(&spi);
	PG_RETURN_INT32(followed);
}
