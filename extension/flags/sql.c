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
#include "flags/flags.h"
#include "flags/result.h"
#include "flags/uses.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_enabled);
PG_FUNCTION_INFO_V1(hd_flags_sql_enabled_for);
PG_FUNCTION_INFO_V1(hd_flags_sql_require);
PG_FUNCTION_INFO_V1(hd_flags_sql_text);
PG_FUNCTION_INFO_V1(hd_flags_sql_number);
PG_FUNCTION_INFO_V1(hd_flags_sql_json);

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

/* Decide a flag that is asked whether it is on. */
static bool
decide_on(HdFlag *flag, HdFlagsQuestion *question, bool otherwise)
{
	HdFlagDecision decision;
	bool answered;
	bool on;

	hd_flags_answer(flag, question, &decision);
	on = is_on(flag, &decision, &answered);
	hd_flags_end(question);
	return answered ? on : otherwise;
}

/* Whether a jsonb is an object; false also where that is not to be seen from its first word. */
static inline bool
is_object(struct varlena *context)
{
	uint32 header;

	if (VARATT_IS_4B_U(context))
		return JB_ROOT_IS_OBJECT((Jsonb *) context);
	if (!VARATT_IS_SHORT(context) || VARATT_IS_EXTERNAL(context))
		return false;
	memcpy(&header, VARDATA_SHORT(context), sizeof(header));
	return (header & JB_FOBJECT) != 0;
}

/* Whether a flag answers the same whatever is asked; then *on is that. */
static inline bool
answers_all(HdFlag *flag, bool *on)
{
	if (flag == NULL || !flag->fixed || hd_flags_overrides_set)
		return false;
	hd_flags_uses_add(flag, flag->default_variant);
	*on = flag->variants[flag->default_variant].value.as.boolean;
	return true;
}

/*
 * flag_enabled(key, context, default_value)
 */
Datum
hd_flags_sql_enabled(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlag *flag;
	bool otherwise = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	bool on;

	hd_require_arg(fcinfo, 0, "key");
	flag = hd_flags_call(fcinfo);
	if ((PG_ARGISNULL(1) || is_object(HD_FLAGS_JSON_ARG(1))) && answers_all(flag, &on))
		PG_RETURN_BOOL(on);
	hd_flags_begin(&question, HD_FLAGS_JSON_ARG(1));
	PG_RETURN_BOOL(decide_on(flag, &question, otherwise));
}

/*
 * flag_enabled_for(key, targeting_key)
 */
Datum
hd_flags_sql_enabled_for(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlag *flag;
	bool on;

	hd_require_arg(fcinfo, 0, "key");
	hd_require_arg(fcinfo, 1, "targeting_key");
	flag = hd_flags_call(fcinfo);
	if (answers_all(flag, &on))
		PG_RETURN_BOOL(on);
	hd_flags_begin_for(&question, hd_flags_text_arg(PG_GETARG_DATUM(1)));
	PG_RETURN_BOOL(decide_on(flag, &question, false));
}

/*
 * flag_require(key, context)
 */
Datum
hd_flags_sql_require(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlag *flag;

	hd_require_arg(fcinfo, 0, "key");
	flag = hd_flags_call(fcinfo);
	hd_flags_begin(&question, HD_FLAGS_JSON_ARG(1));
	if (!decide_on(flag, &question, false))
		ereport(ERROR,
				(errcode(HD_ERRCODE_FLAG_OFF),
				 errmsg("feature \"%s\" is not enabled", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("See flag_explain for the reason.")));
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
	hd_flags_begin(&question, HD_FLAGS_JSON_ARG(2));
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
	HdFlagsWanted wanted =
		PG_ARGISNULL(1) ? HD_FLAGS_WANT_ANY : hd_flags_wanted(HD_FLAGS_JSON_ARG(1));
	HdValue value;

	if (!value_of(fcinfo, wanted, &value))
		return default_value(fcinfo);
	PG_RETURN_JSONB_P(hd_flags_to_jsonb(&value));
}
