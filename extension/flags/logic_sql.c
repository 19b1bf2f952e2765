/*-------------------------------------------------------------------------
 * logic_sql.c
 *		jsonlogic() and what sets and counts flags by their definitions.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/seen.h"
#include "flags/decide.h"
#include "flags/flags.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_jsonlogic);
PG_FUNCTION_INFO_V1(hd_flags_sql_check);
PG_FUNCTION_INFO_V1(hd_flags_sql_changed);
PG_FUNCTION_INFO_V1(hd_flags_sql_place);

/*
 * A rule or a definition, compiled, and kept from call to call.  That an argument is a parameter does not say that it
 * stays the same: a simple expression of PL/pgSQL is called again with other values.  So it is compared.
 */
typedef struct Compiled
{
	MemoryContext context;
	Jsonb *source; /* NULL: there was none */
	HdFlagsDialect dialect;
	HdFlagsNode *node;
	HdFlag *flag;
	HdFlagsFacts facts;
} Compiled;

static HdFlagsDialect
dialect_arg(FunctionCallInfo fcinfo, int n)
{
	text *name;
	HdValue value;

	if (PG_ARGISNULL(n))
		return HD_FLAGS_JS;
	name = PG_GETARG_TEXT_PP(n);
	value = hd_flags_string(VARDATA_ANY(name), (int) VARSIZE_ANY_EXHDR(name));
	if (hd_flags_is_string(&value, "js", 2))
		return HD_FLAGS_JS;
	if (!hd_flags_is_string(&value, "strict", 6))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("there is no dialect \"%s\"", text_to_cstring(name)),
						errhint("Dialects are js and strict.")));
	return HD_FLAGS_STRICT;
}

static HdValue
json_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? hd_flags_null() : hd_flags_from_jsonb(PG_GETARG_JSONB_P(n));
}

static bool
is_of(const Compiled *compiled, const Jsonb *source)
{
	if (compiled->source == NULL || source == NULL)
		return compiled->source == source;
	return VARSIZE(compiled->source) == VARSIZE(source) &&
		   memcmp(compiled->source, source, VARSIZE(source)) == 0;
}

/* What was compiled by the last call, if it is of this source, else a new one, empty yet. */
static Compiled *
compiled_of(FunctionCallInfo fcinfo, const Jsonb *source, bool *found)
{
	Compiled *compiled = fcinfo->flinfo->fn_extra;
	MemoryContext context;

	*found = compiled != NULL && is_of(compiled, source);
	if (*found)
		return compiled;
	fcinfo->flinfo->fn_extra = NULL;
	if (compiled != NULL)
		MemoryContextDelete(compiled->context);
	context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "hotdash rule", ALLOCSET_SMALL_SIZES);
	compiled = MemoryContextAllocZero(context, sizeof(Compiled));
	compiled->context = context;
	if (source != NULL)
	{
		compiled->source = MemoryContextAlloc(context, VARSIZE(source));
		memcpy(compiled->source, source, VARSIZE(source));
	}
	return compiled;
}

static const HdFlagsNode *
rule_of(FunctionCallInfo fcinfo, HdFlagsDialect dialect)
{
	bool found;
	Compiled *compiled = compiled_of(fcinfo, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), &found);
	HdValue rule;
	MemoryContext saved;

	if (found && compiled->dialect == dialect)
		return compiled->node;
	saved = MemoryContextSwitchTo(compiled->context);
	rule = (compiled->source == NULL) ? hd_flags_null() : hd_flags_from_jsonb(compiled->source);
	compiled->node = hd_flags_compile(&rule, NULL, dialect, &compiled->facts);
	compiled->dialect = dialect;
	MemoryContextSwitchTo(saved);
	fcinfo->flinfo->fn_extra = compiled;
	return compiled->node;
}

static void
raise_thrown(const HdFlagsRun *run)
{
	HdValue type;
	StringInfoData text;

	initStringInfo(&text);
	if (hd_flags_member(&run->error, "type", 4, &type))
		hd_flags_append_text(&text, &type);
	else
		appendStringInfoString(&text, "Error");
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%.*s", pg_mbcliplen(text.data, text.len, 1000), text.data),
			 (run->broken != NULL) ? errdetail("The rule cannot be evaluated: %s.", run->broken)
								   : errdetail("The rule threw an error of this type.")));
}

/*
 * jsonlogic(rule, data, dialect)
 */
Datum
hd_flags_sql_jsonlogic(PG_FUNCTION_ARGS)
{
	HdFlagsDialect dialect = dialect_arg(fcinfo, 2);
	const HdFlagsNode *rule = rule_of(fcinfo, dialect);
	HdFlagsScope scope = {.data = json_arg(fcinfo, 1)};
	HdFlagsRun run = {.scope = &scope, .dialect = dialect, .bucketing = hd_flags_setting_bucketing};
	HdValue result;

	run.most_memory = MemoryContextMemAllocated(CurrentMemoryContext, false) + HD_FLAGS_MAX_MEMORY;
	if (!hd_flags_eval(&run, rule, &result))
		raise_thrown(&run);
	if (!hd_flags_is_handy(&result))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("what the rule gives is too large or nested too deeply")));
	PG_RETURN_JSONB_P(hd_flags_to_jsonb(&result));
}

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid definition of a flag: %s", message), errhint("%s.", hint)));
}

static void
check_members(const HdValue *definition)
{
	static const char *const known[] = {"state",	"variants",	 "defaultVariant", "targeting",
										"metadata", "bucketing", "dialect",		   "key"};
	HdValueWalk walk;
	HdValue name;
	HdValue value;

	hd_flags_members(&walk, definition);
	while (hd_flags_members_next(&walk, &name, &value))
	{
		bool found = name.length > 0 && name.as.string[0] == '$'; /* as "$schema" */

		for (int i = 0; i < lengthof(known) && !found; i++)
			found = hd_flags_is_string(&name, known[i], (int) strlen(known[i]));
		if (!found)
			refuse(psprintf("there is no member \"%.*s\"",
							pg_mbcliplen(name.as.string, name.length, 100), name.as.string),
				   "Members are state, variants, defaultVariant, targeting, metadata, bucketing "
				   "and dialect");
	}
}

static void
check_names(const HdValue *definition)
{
	HdValue value;
	HdBucketing bucketing;

	if (HD_FLAGS_MEMBER(definition, "state", &value) && !hd_flags_is_string(&value, "ENABLED", 7) &&
		!hd_flags_is_string(&value, "DISABLED", 8))
		refuse("unknown state", "A state is ENABLED or DISABLED");
	if (HD_FLAGS_MEMBER(definition, "bucketing", &value) &&
		(value.type != HD_VALUE_STRING ||
		 !hd_flags_bucketing_by_name(value.as.string, value.length, &bucketing)))
		refuse("unknown bucketing",
			   "Bucketings are flagd-v1, flagd-v2, flagd-v3, unleash, growthbook-1, growthbook-2 "
			   "and launchdarkly");
	if (HD_FLAGS_MEMBER(definition, "dialect", &value) && !hd_flags_is_string(&value, "js", 2) &&
		!hd_flags_is_string(&value, "strict", 6))
		refuse("unknown dialect", "Dialects are js and strict");
	if (HD_FLAGS_MEMBER(definition, "metadata", &value) && !hd_flags_is_object(&value))
		refuse("metadata is not an object", "Metadata are names with values");
}

static void
check_variants(const HdValue *definition)
{
	HdValue variants;
	HdValue value;

	if (!HD_FLAGS_MEMBER(definition, "variants", &variants) || !hd_flags_is_object(&variants))
		refuse("it has no variants",
			   "Variants are names with values: {\"variants\": {\"on\": true, \"off\": false}}");
	if (!HD_FLAGS_MEMBER(definition, "defaultVariant", &value) || value.type == HD_VALUE_NULL)
		return;
	if (value.type != HD_VALUE_STRING ||
		!hd_flags_member(&variants, value.as.string, value.length, &value))
		refuse("its default variant is none of its variants",
			   "defaultVariant is the name of a variant, or null for the caller's default");
}

/* An array of the names, as a member of an object. */
static HdValuePair
names_member(const char *name, List *names)
{
	HdValuePair member = {.name = hd_flags_string(name, (int) strlen(name))};
	ListCell *cell;

	member.value.type = HD_VALUE_LIST;
	member.value.length = 0;
	member.value.as.items = palloc(sizeof(HdValue) * (list_length(names) + 1));
	foreach (cell, names)
	{
		text *each = lfirst(cell);

		member.value.as.items[member.value.length++] =
			hd_flags_string(VARDATA(each), (int) VARSIZE(each) - VARHDRSZ);
	}
	return member;
}

/*
 * _flag_check(key, definition): {"flags": [], "needs": [], "segments": [], "refs": [], "problems": []}
 */
Datum
hd_flags_sql_check(PG_FUNCTION_ARGS)
{
	HdValue definition;
	HdValue rule = hd_flags_null();
	HdValue dialect;
	HdFlagsFacts facts;
	HdValuePair members[5];
	HdValue result = {.type = HD_VALUE_PAIRS, .length = lengthof(members), .as.pairs = members};

	hd_require_arg(fcinfo, 1, "definition");
	definition = hd_flags_from_jsonb(PG_GETARG_JSONB_P(1));
	if (!hd_flags_is_object(&definition))
		refuse("it is not an object", "See docs/flags.md for what a definition is");
	check_members(&definition);
	check_names(&definition);
	check_variants(&definition);
	(void) HD_FLAGS_MEMBER(&definition, "targeting", &rule);
	(void) hd_flags_compile(&rule, NULL,
							(HD_FLAGS_MEMBER(&definition, "dialect", &dialect) &&
							 hd_flags_is_string(&dialect, "strict", 6))
								? HD_FLAGS_STRICT
								: HD_FLAGS_JS,
							&facts);
	members[0] = names_member("flags", facts.flags);
	members[1] = names_member("needs", facts.needs);
	members[2] = names_member("segments", facts.segments);
	members[3] = names_member("refs", facts.refs);
	members[4] =
		names_member("problems",
					 (facts.problem != NULL) ? list_make1(cstring_to_text(facts.problem)) : NIL);
	PG_RETURN_JSONB_P(hd_flags_to_jsonb(&result));
}

/*
 * Trigger of the tables that compiled flags come from: tells all sessions.
 */
Datum
hd_flags_sql_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_flags_changed is a trigger function")));
	hd_seen_tell(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

static HdFlag *
definition_of(FunctionCallInfo fcinfo)
{
	bool found;
	Compiled *compiled = compiled_of(fcinfo, PG_GETARG_JSONB_P(0), &found);
	HdValue definition;
	HdValue key;

	if (found)
		return compiled->flag;
	definition = hd_flags_from_jsonb(compiled->source);
	if (!HD_FLAGS_MEMBER(&definition, "key", &key) || key.type != HD_VALUE_STRING)
		key = hd_flags_literal("");
	compiled->flag =
		hd_flags_flag_compile(compiled->context, &key, 0, compiled->source, hd_flags_shared());
	fcinfo->flinfo->fn_extra = compiled;
	return compiled->flag;
}

/*
 * Place of a variant that is a name alone, in a flag of another system.  There a
 * flag may be on without a variant, which is "enabled" then.
 */
static int
place_by_name(const HdFlag *flag, const HdFlagDecision *decision)
{
	if (decision->outcome == NULL || decision->name.type != HD_VALUE_STRING)
		return 0;
	if (decision->outcome->on && hd_flags_is_string(&decision->name, "disabled", 8))
		return hd_flags_variant(flag, "enabled", 7) + 1;
	return hd_flags_variant(flag, decision->name.as.string, decision->name.length) + 1;
}

/*
 * _flag_place(definition, unit, context): the variant that a definition gives,
 * counted from 1 in the order of its names; 0: the caller's default; -1: an
 * error.  For counting an audience.
 */
Datum
hd_flags_sql_place(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlag *flag;

	hd_require_arg(fcinfo, 0, "definition");
	if (PG_ARGISNULL(1))
		PG_RETURN_INT32(0);
	flag = definition_of(fcinfo);
	hd_flags_begin_unit(&question, PG_GETARG_TEXT_PP(1), HD_FLAGS_JSON_ARG(2));
	question.run.counts = false;
	hd_flags_answer(flag, &question, &decision);
	hd_flags_end(&question);
	if (decision.error != HD_FLAG_OK)
		PG_RETURN_INT32(-1);
	PG_RETURN_INT32(decision.variant >= 0 ? decision.variant + 1 : place_by_name(flag, &decision));
}
