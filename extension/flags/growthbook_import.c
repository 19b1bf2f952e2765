/*-------------------------------------------------------------------------
 * growthbook_import.c
 *		From a feature of a GrowthBook document to the definition of a flag.
 *
 * The definition is what flagd's model has: variants, a default, a rule.  Its
 * rule is one operator that keeps the feature as it came, with those saved
 * groups and bandits that it names.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/errors.h"
#include "flags/growthbook.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_from_growthbook);

/* An object that is being put together. */
static void
add(HdValue *object, HdValue name, HdValue value)
{
	object->as.pairs[object->length].name = name;
	object->as.pairs[object->length++].value = value;
}

static HdValue
new_object(int room)
{
	HdValue object = {.type = HD_VALUE_PAIRS};

	object.as.pairs = palloc(sizeof(HdValuePair) * Max(room, 1));
	return object;
}

static HdValue
make_variants(const HdGrowthBookParse *parse)
{
	HdValue variants = new_object(list_length(parse->choices));
	const HdGrowthBookChoice *choice;
	ListCell *cell;

	foreach (cell, parse->choices)
	{
		choice = lfirst(cell);
		add(&variants, choice->name, choice->value);
	}
	return variants;
}

/* Of the document's saved groups those that the feature names. */
static HdValue
make_groups(const HdGrowthBookParse *parse)
{
	HdValue groups = new_object(list_length(parse->groups));
	const HdGrowthBookGroup *group;
	ListCell *cell;
	HdValue members;

	foreach (cell, parse->groups)
	{
		group = lfirst(cell);
		if (hd_flags_member(&parse->saved_groups, group->name.as.string, group->name.length,
							&members))
			add(&groups, group->name, members);
	}
	return groups;
}

static HdValue
make_bandits(const HdGrowthBookParse *parse)
{
	HdValue bandits = new_object(list_length(parse->bandits_used));
	const HdValue *name;
	ListCell *cell;
	HdValue bandit;
	HdValue before;

	foreach (cell, parse->bandits_used)
	{
		name = lfirst(cell);
		if (hd_flags_member(&parse->bandits, name->as.string, name->length, &bandit) &&
			!hd_flags_member(&bandits, name->as.string, name->length, &before))
			add(&bandits, *name, bandit);
	}
	return bandits;
}

static HdValue
make_rule(const HdGrowthBookParse *parse, const HdValue *kind, const HdValue *body)
{
	HdValue rule = new_object(1);
	HdValue arguments = new_object(4);
	HdValue groups = make_groups(parse);
	HdValue bandits = make_bandits(parse);

	add(&arguments, hd_flags_literal("key"), parse->key);
	add(&arguments, *kind, *body);
	if (groups.length > 0)
		add(&arguments, hd_flags_literal("savedGroups"), groups);
	if (bandits.length > 0)
		add(&arguments, hd_flags_literal("contextualBandits"), bandits);
	add(&rule, hd_flags_literal("hd_growthbook"), arguments);
	return rule;
}

static HdValue
make_definition(const HdGrowthBookParse *parse, const HdGrowthBookFlag *flag, const HdValue *kind,
				const HdValue *body)
{
	HdValue definition = new_object(5);

	add(&definition, hd_flags_literal("state"), hd_flags_literal("ENABLED"));
	add(&definition, hd_flags_literal("variants"), make_variants(parse));
	add(&definition, hd_flags_literal("defaultVariant"), flag->fallback->name);
	add(&definition, hd_flags_literal("targeting"), make_rule(parse, kind, body));
	add(&definition, hd_flags_literal("bucketing"),
		flag->hash_version == 2 ? hd_flags_literal("growthbook-2")
								: hd_flags_literal("growthbook-1"));
	return definition;
}

static HdValue
text_value(FunctionCallInfo fcinfo, int n)
{
	text *argument = PG_GETARG_TEXT_PP(n);

	return hd_flags_string(VARDATA_ANY(argument), (int) VARSIZE_ANY_EXHDR(argument));
}

/* An object, or null. */
static HdValue
jsonb_value(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? hd_flags_null() : hd_flags_from_jsonb(PG_GETARG_JSONB_P(n));
}

/*
 * _flag_from_growthbook(key text, kind text, body jsonb, saved_groups jsonb, bandits jsonb) → jsonb
 *
 * kind: feature or experiment.  All is worked out in a context of its own, for
 * that frees the patterns that were compiled on the way.
 */
Datum
hd_flags_sql_from_growthbook(PG_FUNCTION_ARGS)
{
	MemoryContext saved = CurrentMemoryContext;
	MemoryContext work =
		AllocSetContextCreate(saved, "hotdash growthbook import", ALLOCSET_DEFAULT_SIZES);
	HdGrowthBookParse parse = {.build = NULL};
	HdGrowthBookFlag *flag;
	HdValue arguments;
	HdValue definition;
	HdValue key;
	HdValue kind;
	HdValue body;
	Jsonb *made;
	Jsonb *result;

	hd_require_arg(fcinfo, 0, "key");
	hd_require_arg(fcinfo, 1, "kind");
	hd_require_arg(fcinfo, 2, "body");
	MemoryContextSwitchTo(work);
	key = text_value(fcinfo, 0);
	kind = text_value(fcinfo, 1);
	body = jsonb_value(fcinfo, 2);
	arguments = new_object(4);
	add(&arguments, hd_flags_literal("key"), key);
	add(&arguments, kind, body);
	add(&arguments, hd_flags_literal("savedGroups"), jsonb_value(fcinfo, 3));
	add(&arguments, hd_flags_literal("contextualBandits"), jsonb_value(fcinfo, 4));
	flag = hd_flags_growthbook_parse(&parse, &arguments);
	if (flag == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%.*s \"%.*s\" of GrowthBook cannot be imported", kind.length,
							   kind.as.string, pg_mbcliplen(key.as.string, key.length, 100),
							   key.as.string),
						errdetail("What stops it: %s.", parse.problem)));
	definition = make_definition(&parse, flag, &kind, &body);
	made = hd_flags_to_jsonb(&definition);
	result = MemoryContextAlloc(saved, VARSIZE(made));
	memcpy(result, made, VARSIZE(made));
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(work);
	PG_RETURN_JSONB_P(result);
}
