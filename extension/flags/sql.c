/*-------------------------------------------------------------------------
 * sql.c
 *		The SQL functions that ask flags.
 *
 * None raises for a bad flag or a bad context: the default comes back, and
 * flag_evaluate says why.  None writes; all are STABLE: the same flag, the
 * same context and the same statement give the same answer.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "core/errors.h"
#include "flags/decide.h"
#include "flags/result.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_enabled);
PG_FUNCTION_INFO_V1(hd_flags_sql_enabled_for);
PG_FUNCTION_INFO_V1(hd_flags_sql_require);
PG_FUNCTION_INFO_V1(hd_flags_sql_text);
PG_FUNCTION_INFO_V1(hd_flags_sql_number);
PG_FUNCTION_INFO_V1(hd_flags_sql_json);

#define CONTEXT_ARG(n) \
	(PG_ARGISNULL(n) ? NULL : (struct varlena *) DatumGetPointer(PG_GETARG_DATUM(n)))

/* Whether a decision is "on"; false also where it is no answer to that, which *answered says. */
static bool
is_on(const HdFlag *flag, const HdFlagDecision *decision, bool *answered)
{
	const HdValue *value;

	*answered = true;
	if (decision->outcome != NULL && decision->error == HD_FLAG_OK)
		return decision->outcome->on;
	if (decision->variant >= 0)
	{
		value = &flag->variants[decision->variant].value;
		if (value->type == HD_VALUE_BOOL)
			return value->as.boolean;
	}
	*answered = false;
	return false;
}

/* Decide the flag of a call that is asked whether it is on. */
static bool
decide_on(FunctionCallInfo fcinfo, HdFlagsQuestion *question, bool otherwise)
{
	HdFlag *flag = hd_flags_call(fcinfo);
	HdFlagDecision decision;
	bool answered;
	bool on;

	hd_flags_answer(flag, question, &decision);
	on = is_on(flag, &decision, &answered);
	return answered ? on : otherwise;
}

/*
 * flag_enabled(key, context, default_value)
 */
Datum
hd_flags_sql_enabled(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	bool otherwise = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	bool on;

	hd_require_arg(fcinfo, 0, "key");
	hd_flags_begin(&question, CONTEXT_ARG(1));
	on = decide_on(fcinfo, &question, otherwise);
	hd_flags_end(&question);
	PG_RETURN_BOOL(on);
}

/*
 * flag_enabled_for(key, targeting_key)
 */
Datum
hd_flags_sql_enabled_for(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	bool on;

	hd_require_arg(fcinfo, 0, "key");
	hd_require_arg(fcinfo, 1, "targeting_key");
	hd_flags_begin_for(&question, PG_GETARG_TEXT_PP(1));
	on = decide_on(fcinfo, &question, false);
	hd_flags_end(&question);
	PG_RETURN_BOOL(on);
}

/*
 * flag_require(key, context)
 */
Datum
hd_flags_sql_require(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	bool on;

	hd_require_arg(fcinfo, 0, "key");
	hd_flags_begin(&question, CONTEXT_ARG(1));
	on = decide_on(fcinfo, &question, false);
	hd_flags_end(&question);
	if (!on)
		ereport(ERROR,
				(errcode(HD_ERRCODE_FLAG_OFF),
				 errmsg("feature \"%s\" is not enabled", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("flag_explain shows why.")));
	PG_RETURN_VOID();
}

/* The value of a decision by the type that is asked for; false where it has none of that type. */
static bool
value_of(FunctionCallInfo fcinfo, HdFlagsWanted wanted, HdValue *value)
{
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlag *flag;

	hd_require_arg(fcinfo, 0, "key");
	hd_flags_begin(&question, CONTEXT_ARG(2));
	flag = hd_flags_call(fcinfo);
	hd_flags_answer(flag, &question, &decision);
	hd_flags_value(flag, &decision, wanted, value);
	hd_flags_end(&question);
	return value->type != HD_VALUE_NULL;
}

static Datum
default_value(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		fcinfo->isnull = true;
	return PG_GETARG_DATUM(1);
}

/*
 * flag_text(key, default_value, context)
 */
Datum
hd_flags_sql_text(PG_FUNCTION_ARGS)
{
	HdValue value;

	if (!value_of(fcinfo, HD_FLAGS_WANT_TEXT, &value))
		return default_value(fcinfo);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(value.as.string, value.length));
}

/*
 * flag_number(key, default_value, context)
 */
Datum
hd_flags_sql_number(PG_FUNCTION_ARGS)
{
	HdValue value;

	if (!value_of(fcinfo, HD_FLAGS_WANT_NUMBER, &value))
		return default_value(fcinfo);
	PG_RETURN_FLOAT8(value.as.number);
}

/*
 * flag_json(key, default_value, context)
 */
Datum
hd_flags_sql_json(PG_FUNCTION_ARGS)
{
	HdFlagsWanted wanted = PG_ARGISNULL(1) ? HD_FLAGS_WANT_ANY : hd_flags_wanted(CONTEXT_ARG(1));
	HdValue value;

	if (!value_of(fcinfo, wanted, &value))
		return default_value(fcinfo);
	PG_RETURN_JSONB_P(hd_flags_to_jsonb(&value));
}
