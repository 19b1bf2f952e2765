/*-------------------------------------------------------------------------
 * past.c
 *		Flags as they were: flag_evaluate_at.
 *
 * The same evaluation with another world: flags, evaluators and segments are
 * looked up in their histories, as of a time, and compiled for this question
 * alone.  What is not kept in a history is as it is now: settings, and the
 * context, which is the caller's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/spi.h"
#include "flags/decide.h"
#include "flags/result.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_evaluate_at);

static HdSpiPlan flag_plan = {
	.sql = "SELECT h.version, h.definition FROM hotdash._flag_history AS h "
		   "WHERE h.kind = 'f' AND h.key = $1 AND h.changed_at <= $2 "
		   "ORDER BY h.version DESC LIMIT 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID},
};

/* NULL where there was neither an evaluator nor metadata. */
static HdSpiPlan shared_plan = {
	.sql =
		"SELECT jsonb_build_object("
		"'$evaluators', coalesce(jsonb_object_agg(w.key, w.definition) FILTER (WHERE w.kind = 'e'), '{}'), "
		"'metadata', coalesce((array_agg(w.definition) FILTER (WHERE w.kind = 'm'))[1], '{}')) "
		"FROM (SELECT DISTINCT ON (h.kind, h.key) h.kind, h.key, h.definition "
		"FROM hotdash._flag_history AS h WHERE h.kind IN ('e', 'm') AND h.changed_at <= $1 "
		"ORDER BY h.kind, h.key, h.version DESC) AS w WHERE w.definition IS NOT NULL "
		"HAVING count(*) > 0",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
};

static HdSpiPlan segment_plan = {
	.sql =
		"SELECT EXISTS (SELECT FROM hotdash._segment_member AS m "
		"WHERE m.place = hotdash._segment_place(s.id, $2) AND m.member = $2 AND m.added_at <= $3) "
		"OR EXISTS (SELECT FROM hotdash._segment_past AS p WHERE p.segment_id = s.id "
		"AND p.member = $2 AND p.added_at <= $3 AND p.removed_at > $3) "
		"FROM hotdash._segment AS s WHERE s.name = $1",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
};

static Datum
as_text(const HdValue *value)
{
	return PointerGetDatum(cstring_to_text_with_len(value->as.string, value->length));
}

/* A copy, in the given context, of a jsonb in the last result. */
static Jsonb *
keep_json(Datum datum, MemoryContext context)
{
	MemoryContext saved = MemoryContextSwitchTo(context);
	Jsonb *copy = DatumGetJsonbPCopy(datum);

	MemoryContextSwitchTo(saved);
	return copy;
}

/* The flag as of a time, compiled in the current context; NULL when there was none. */
static HdFlag *
flag_at(const HdValue *key, TimestampTz at)
{
	MemoryContext context = CurrentMemoryContext;
	Datum values[2] = {as_text(key), TimestampTzGetDatum(at)};
	HdSpi spi;
	Jsonb *definition = NULL;
	Jsonb *shared = NULL;
	int version = 0;

	hd_spi_begin(&spi);
	(void) hd_spi_run(&flag_plan, values, NULL, true, 1);
	if (SPI_processed > 0)
	{
		Datum datum = hd_spi_result(0, 2);

		version = DatumGetInt32(hd_spi_result(0, 1));
		if (datum != (Datum) 0)
			definition = keep_json(datum, context);
	}
	if (definition != NULL)
	{
		(void) hd_spi_run(&shared_plan, values + 1, NULL, true, 1);
		if (SPI_processed > 0)
			shared = keep_json(hd_spi_result(0, 1), context);
	}
	hd_spi_end(&spi);
	if (definition == NULL)
		return NULL;
	return hd_flags_flag_compile(context, key, version, definition, shared);
}

static bool
ask_flag(HdFlagsRun *run, const HdValue *key, HdValue *value, HdValue *variant)
{
	return hd_flags_ask_other(run, flag_at(key, run->at), value, variant);
}

static bool
ask_segment(HdFlagsRun *run, const HdValue *segment, const HdValue *unit, bool *within)
{
	Datum values[3] = {as_text(segment), as_text(unit), TimestampTzGetDatum(run->at)};
	HdSpi spi;

	hd_spi_begin(&spi);
	(void) hd_spi_run(&segment_plan, values, NULL, true, 1);
	*within = SPI_processed > 0 && DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	return true;
}

static const HdFlagsWorld past = {.flag = ask_flag, .segment = ask_segment};

/*
 * flag_evaluate_at(key, at, default_value, context)
 */
Datum
hd_flags_sql_evaluate_at(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdValue key_value;
	HdFlag *flag;
	text *key;
	Datum row;

	hd_require_arg(fcinfo, 0, "key");
	hd_require_arg(fcinfo, 1, "at");
	key = PG_GETARG_TEXT_PP(0);
	key_value = hd_flags_string(VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key));
	hd_flags_begin(&question, PG_ARGISNULL(3) ? NULL : PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(3)));
	question.run.counts = false;
	question.run.world = &past;
	question.run.at = PG_GETARG_TIMESTAMPTZ(1);
	question.run.wants_metadata = true;
	flag = flag_at(&key_value, question.run.at);
	hd_flags_answer(flag, &question, &decision);
	hd_flags_end(&question);
	row = hd_flags_form_result(fcinfo, flag, &decision,
							   PG_ARGISNULL(2) ? NULL : PG_DETOAST_DATUM(PG_GETARG_DATUM(2)));
	return row;
}
