/*-------------------------------------------------------------------------
 * flag.c
 *		Definitions to compiled flags, and what those decide.
 *
 * The rules for reasons and errors are those of flagd and OpenFeature: a
 * flag without a rule is STATIC, a rule that gives null falls back to the
 * default variant (DEFAULT), a rule that names a variant is a
 * TARGETING_MATCH, also by chance; a variant that is not there is GENERAL, a
 * rule that cannot be read PARSE_ERROR.  A disabled flag is no error: the
 * caller's default counts.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/flag.h"

#include "core/compat.h"
#include "core/spi.h"
#include "flags/flags.h"
#include "flags/uses.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define FLAG_LEAST 1024 /* as the server's allocator has it */

/*
 * What a flag takes, by the size of its definition, so that one block holds it: measured with
 * flags that are static, have a rollout and have some conditions.
 */
static Size
expected_size(Size definition)
{
	Size start = Min(definition, 200);
	Size size = 200 + 9 * start + 6 * (definition - start);

	return Min(Max(MAXALIGN(size), FLAG_LEAST), ALLOCSET_SMALL_MAXSIZE);
}

bool hd_flags_given_up = false;

static slist_head given_up = SLIST_STATIC_INIT(given_up);

static const char *const reason_names[] = {"STATIC",   "DEFAULT", "TARGETING_MATCH", "SPLIT",
										   "DISABLED", "ERROR",	  "OVERRIDE"};

static const char *const error_names[] =
	{NULL, "FLAG_NOT_FOUND", "PARSE_ERROR", "TYPE_MISMATCH", "INVALID_CONTEXT", "GENERAL"};

const char *
hd_flags_reason_name(HdFlagReason reason)
{
	return reason_names[reason];
}

const char *
hd_flags_error_name(HdFlagError error)
{
	return error_names[error];
}

int
hd_flags_variant(const HdFlag *flag, const char *name, int length)
{
	for (int i = 0; i < flag->nvariants; i++)
		if (hd_flags_is_string(&flag->variants[i].name, name, length))
			return i;
	return -1;
}

static void
compile_variants(HdFlag *flag, const HdValue *definition)
{
	HdValue variants;
	HdValueWalk walk;
	HdValue name;
	HdValue value;
	HdFlagVariant *variant;

	if (!HD_FLAGS_MEMBER(definition, "variants", &variants) || !hd_flags_is_object(&variants))
		return;
	flag->variants = palloc0(sizeof(HdFlagVariant) * Max(hd_flags_length(&variants), 1));
	hd_flags_members(&walk, &variants);
	while (hd_flags_members_next(&walk, &name, &value))
	{
		variant = &flag->variants[flag->nvariants++];
		variant->name = name;
		variant->value = value;
	}
}

static void
compile_settings(HdFlag *flag, const HdValue *definition)
{
	HdValue value;

	flag->enabled =
		!HD_FLAGS_MEMBER(definition, "state", &value) || !hd_flags_is_string(&value, "DISABLED", 8);
	if (HD_FLAGS_MEMBER(definition, "bucketing", &value) && value.type == HD_VALUE_STRING)
		flag->bucketing_given =
			hd_flags_bucketing_by_name(value.as.string, value.length, &flag->bucketing);
	flag->dialect =
		(HD_FLAGS_MEMBER(definition, "dialect", &value) && hd_flags_is_string(&value, "strict", 6))
			? HD_FLAGS_STRICT
			: HD_FLAGS_JS;
	flag->default_variant = -1;
	if (HD_FLAGS_MEMBER(definition, "defaultVariant", &value) && value.type == HD_VALUE_STRING)
		flag->default_variant = hd_flags_variant(flag, value.as.string, value.length);
}

static void
compile_targeting(HdFlag *flag, const HdValue *definition, const HdValue *shared)
{
	HdValue evaluators = {.type = HD_VALUE_PAIRS};
	HdValue rule;

	if (!HD_FLAGS_MEMBER(definition, "targeting", &rule) || rule.type == HD_VALUE_NULL ||
		(hd_flags_is_object(&rule) && hd_flags_length(&rule) == 0))
		return;
	if (shared != NULL)
		(void) HD_FLAGS_MEMBER(shared, "$evaluators", &evaluators);
	flag->targeting = hd_flags_compile(&rule, &evaluators, flag->dialect, &flag->facts);
	flag->whole = flag->targeting->op != NULL && flag->targeting->op->whole;
}

static Jsonb *
copy_jsonb(Jsonb *source)
{
	Jsonb *copy = palloc(VARSIZE(source));

	memcpy(copy, source, VARSIZE(source));
	return copy;
}

/* The set's metadata, and over it the flag's own; what that takes meanwhile is not kept. */
static void
compile_metadata(HdFlag *flag, const HdValue *definition, const HdValue *shared)
{
	HdValue nothing = {.type = HD_VALUE_PAIRS};
	HdValue common;
	HdValue own;
	MemoryContext scratch =
		AllocSetContextCreate(flag->context, "hotdash metadata", ALLOCSET_SMALL_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(scratch);
	Jsonb *merged;

	if (shared == NULL || !HD_FLAGS_MEMBER(shared, "metadata", &common) ||
		!hd_flags_is_object(&common))
		common = nothing;
	if (!HD_FLAGS_MEMBER(definition, "metadata", &own) || !hd_flags_is_object(&own))
		own = nothing;
	merged = hd_flags_to_jsonb(&own);
	if (hd_flags_length(&common) > 0)
		merged = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
													JsonbPGetDatum(hd_flags_to_jsonb(&common)),
													JsonbPGetDatum(merged)));
	MemoryContextSwitchTo(saved);
	flag->metadata = copy_jsonb(merged);
	MemoryContextDelete(scratch);
}

/* Whether a definition may refer to evaluators, and so needs them as long as it lives. */
static bool
refers(const Jsonb *definition)
{
	return memmem(definition, VARSIZE(definition), "$ref", 4) != NULL;
}

HdFlag *
hd_flags_flag_compile(MemoryContext parent, const HdValue *key, int version, Jsonb *definition,
					  Jsonb *shared)
{
	MemoryContext context =
		AllocSetContextCreate(parent, "hotdash flag", 0, expected_size(VARSIZE(definition)),
							  ALLOCSET_SMALL_MAXSIZE);
	MemoryContext saved = MemoryContextSwitchTo(context);
	HdFlag *flag = palloc0(sizeof(HdFlag));
	HdValue whole;
	HdValue common;

	flag->context = context;
	flag->key = hd_flags_string(pnstrdup(key->as.string, key->length), key->length);
	flag->version = version;
	flag->definition = copy_jsonb(definition);
	whole = hd_flags_from_jsonb(flag->definition);
	if (shared != NULL)
	{
		if (refers(definition))
			shared = flag->shared = copy_jsonb(shared);
		common = hd_flags_from_jsonb(shared);
	}
	compile_variants(flag, &whole);
	flag->extension = hd_spi_extension();
	flag->uses = palloc0(sizeof(uint64) * (flag->nvariants + 1));
	compile_settings(flag, &whole);
	compile_targeting(flag, &whole, shared != NULL ? &common : NULL);
	compile_metadata(flag, &whole, shared != NULL ? &common : NULL);
	flag->fixed = flag->enabled && flag->targeting == NULL && flag->default_variant >= 0 &&
				  flag->variants[flag->default_variant].value.type == HD_VALUE_BOOL;
	MemoryContextSwitchTo(saved);
	return flag;
}

void
hd_flags_flag_free(HdFlag *flag)
{
	slist_push_head(&given_up, &flag->node);
	hd_flags_given_up = true;
}

void
hd_flags_flag_sweep(void)
{
	hd_flags_given_up = false;
	while (!slist_is_empty(&given_up))
	{
		slist_node *node = slist_pop_head_node(&given_up);

		HdFlag *flag = slist_container(HdFlag, node, node);

		hd_flags_uses_give(flag);
		MemoryContextDelete(flag->context);
	}
}

static void
fail(HdFlagDecision *decision, HdFlagError error, const char *message)
{
	decision->variant = -1;
	decision->name = hd_flags_null();
	decision->outcome = NULL;
	decision->reason = HD_FLAG_ERROR;
	decision->error = error;
	decision->message = message;
}

/* What was thrown, as text. */
static const char *
thrown_text(const HdFlagsRun *run)
{
	HdValue type;
	StringInfoData text;

	if (run->broken != NULL)
		return run->broken;
	initStringInfo(&text);
	appendStringInfoString(&text, "the rule threw ");
	if (HD_FLAGS_MEMBER(&run->error, "type", &type))
		hd_flags_append_text(&text, &type);
	else
		appendStringInfoString(&text, "an error");
	return text.data;
}

/* The variant of a name.  One that stands in the definition stays what it is, and is compared once. */
static int
named_variant(HdFlag *flag, const HdValue *name)
{
	size_t place = (size_t) (name->as.string - (const char *) flag->definition);
	HdFlagGiven *given = &flag->given[place % HD_FLAGS_GIVEN];

	if (place >= VARSIZE(flag->definition))
		return hd_flags_variant(flag, name->as.string, name->length);
	if (given->name != name->as.string)
	{
		given->name = name->as.string;
		given->variant = hd_flags_variant(flag, name->as.string, name->length);
	}
	return given->variant;
}

/* The variant that a rule's answer names. */
static void
choose(HdFlag *flag, const HdValue *answer, HdFlagDecision *decision)
{
	StringInfoData name;

	if (answer->type == HD_VALUE_STRING)
		decision->variant = named_variant(flag, answer);
	else if (answer->type == HD_VALUE_BOOL)
		decision->variant = answer->as.boolean ? hd_flags_variant(flag, "true", 4)
											   : hd_flags_variant(flag, "false", 5);
	else
	{
		initStringInfo(&name);
		hd_flags_append_text(&name, answer);
		decision->variant = hd_flags_variant(flag, name.data, name.len);
	}
	decision->reason = HD_FLAG_TARGETING_MATCH;
	if (decision->variant < 0)
	{
		initStringInfo(&name);
		hd_flags_append_text(&name, answer);
		fail(decision, HD_FLAG_GENERAL,
			 psprintf("the rule gave \"%.*s\", and the flag has no such variant",
					  pg_mbcliplen(name.data, name.len, 100), name.data));
	}
}

/* By hotdash.flag_overrides; false where it says nothing of this flag. */
static bool
overridden(const HdFlag *flag, HdFlagDecision *decision)
{
	JsonbContainer *overrides = hd_flags_setting_overrides();
	JsonbValue found;

	if (overrides == NULL || getKeyJsonValueFromContainer(overrides, flag->key.as.string,
														  flag->key.length, &found) == NULL)
		return false;
	decision->reason = HD_FLAG_OVERRIDE;
	decision->variant = (found.type == jbvString)
							? hd_flags_variant(flag, found.val.string.val, found.val.string.len)
							: -1;
	if (decision->variant < 0)
		fail(decision, HD_FLAG_GENERAL, "hotdash.flag_overrides names no variant of the flag");
	return true;
}

/* What a rule answered that is a flag of another system as a whole. */
static void
follow_outcome(HdFlag *flag, HdFlagsRun *run, const HdValue *answer, HdFlagDecision *decision)
{
	decision->outcome = &run->outcome;
	if (run->outcome.by_payload)
	{
		decision->variant = -1;
		decision->name = *answer;
	}
	else
		choose(flag, answer, decision);
	if (decision->error == HD_FLAG_OK)
		decision->reason = run->outcome.reason;
}

/* Evaluate the rule. */
static void
ask_rule(HdFlag *flag, HdFlagsRun *run, HdFlagDecision *decision)
{
	static const HdFlagsScope outermost = {.parent = NULL};
	HdValue answer;

	run->scope = &outermost;
	run->dialect = flag->dialect;
	run->bucketing = flag->bucketing_given ? flag->bucketing : hd_flags_setting_bucketing;
	run->flag_key = flag->key;
	run->whole.type = HD_VALUE_NULL;
	run->broken = NULL;
	run->circular = false;
	run->outcome.decided = false;
	if (!hd_flags_eval(run, flag->targeting, &answer))
		fail(decision, run->broken != NULL ? HD_FLAG_PARSE_ERROR : HD_FLAG_GENERAL,
			 thrown_text(run));
	else if (run->outcome.decided && flag->whole)
		follow_outcome(flag, run, &answer, decision);
	else if (answer.type == HD_VALUE_NULL)
	{
		decision->variant = flag->default_variant;
		decision->reason = HD_FLAG_DEFAULT;
	}
	else
		choose(flag, &answer, decision);
}

static void
decide(HdFlag *flag, HdFlagsRun *run, HdFlagDecision *decision)
{
	if (unlikely(hd_flags_overrides_set) && overridden(flag, decision))
		return;
	if (!flag->enabled)
	{
		decision->variant = -1;
		decision->reason = HD_FLAG_DISABLED;
		return;
	}
	if (flag->targeting == NULL)
	{
		decision->variant = flag->default_variant;
		decision->reason = (flag->default_variant < 0) ? HD_FLAG_DEFAULT : HD_FLAG_STATIC;
		return;
	}
	ask_rule(flag, run, decision);
}

void
hd_flags_decide(HdFlag *flag, HdFlagsRun *run, HdFlagDecision *decision)
{
	decision->error = HD_FLAG_OK;
	decision->message = NULL;
	decision->outcome = NULL;
	decision->name.type = HD_VALUE_NULL;
	decide(flag, run, decision);
	if (decision->variant >= 0)
		decision->name = flag->variants[decision->variant].name;
}
