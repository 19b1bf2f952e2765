/*-------------------------------------------------------------------------
 * growthbook_parse.c
 *		Features of GrowthBook as rules that can be run, and the parts that rules
 *		and experiments share.
 *
 * A member that JavaScript takes for false counts as not given, as in
 * GrowthBook's SDK.  One of a type that the SDK does not expect is a problem,
 * for there it would throw or give what nobody meant.
 *
 * Names of variants, which stay the same as long as what they name does:
 * default; rule/ID or rule/NUMBER of a value that a rule forces;
 * EXPERIMENT/KEY or EXPERIMENT/NUMBER of a variation; prerequisite, without a
 * value, where a gate is closed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"

#define MAX_CHOICES 1000

bool
hd_flags_growthbook_problem(HdGrowthBookParse *parse, const char *format, ...)
{
	StringInfoData text;
	va_list arguments;
	int needed;

	if (parse->problem != NULL)
		return false;
	initStringInfo(&text);
	for (;;)
	{
		va_start(arguments, format);
		needed = appendStringInfoVA(&text, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	parse->problem = text.data;
	return false;
}

bool
hd_flags_growthbook_given(const HdValue *source, const char *name, HdValue *result)
{
	return hd_flags_member(source, name, strlen(name), result) && hd_flags_growthbook_truth(result);
}

bool
hd_flags_growthbook_number(HdGrowthBookParse *parse, const HdValue *source, const char *name,
						   double *number)
{
	HdValue value;

	if (!hd_flags_member(source, name, strlen(name), &value))
		return true;
	if (value.type != HD_VALUE_NUMBER)
		return hd_flags_growthbook_problem(parse, "%s is no number", name);
	*number = value.as.number;
	return true;
}

bool
hd_flags_growthbook_text(HdGrowthBookParse *parse, const HdValue *source, const char *name,
						 HdValue *text)
{
	HdValue value;

	if (!hd_flags_growthbook_given(source, name, &value))
		return true;
	if (value.type != HD_VALUE_STRING)
		return hd_flags_growthbook_problem(parse, "%s is no string", name);
	*text = value;
	return true;
}

static HdGrowthBookChoice *
choice_by_name(const HdGrowthBookParse *parse, const char *name)
{
	int length = (int) strlen(name);
	ListCell *cell;

	foreach (cell, parse->choices)
	{
		HdGrowthBookChoice *choice = lfirst(cell);

		if (hd_flags_is_string(&choice->name, name, length))
			return choice;
	}
	return NULL;
}

HdGrowthBookChoice *
hd_flags_growthbook_choice(HdGrowthBookParse *parse, char *name, const HdValue *value)
{
	HdGrowthBookChoice *choice = palloc0(sizeof(HdGrowthBookChoice));
	HdGrowthBookChoice *namesake = choice_by_name(parse, name);
	char *unique = name;

	if (list_length(parse->choices) >= MAX_CHOICES)
	{
		(void) hd_flags_growthbook_problem(parse, "it has more than %d values", MAX_CHOICES);
		return NULL;
	}
	while (namesake != NULL && choice_by_name(parse, unique) != NULL)
		unique = psprintf("%s#%d", name, ++namesake->namesakes + 1);
	choice->name = hd_flags_string(unique, strlen(unique));
	choice->value = *value;
	choice->on = hd_flags_growthbook_truth(value);
	parse->choices = lappend(parse->choices, choice);
	return choice;
}

bool
hd_flags_growthbook_range(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookRange *range)
{
	HdValue from;
	HdValue to;

	if (!hd_flags_element(source, 0, &from) || !hd_flags_element(source, 1, &to) ||
		from.type != HD_VALUE_NUMBER || to.type != HD_VALUE_NUMBER)
		return hd_flags_growthbook_problem(parse, "a range is not a list of two numbers");
	range->from = from.as.number;
	range->to = to.as.number;
	return true;
}

bool
hd_flags_growthbook_ranges(HdGrowthBookParse *parse, const HdValue *source,
						   HdGrowthBookRanges *ranges)
{
	HdGrowthBookRange *items;
	HdValueWalk walk;
	HdValue element;

	if (!hd_flags_is_array(source))
		return hd_flags_growthbook_problem(parse, "ranges are no list");
	items = palloc(sizeof(HdGrowthBookRange) * Max(hd_flags_length(source), 1));
	ranges->items = items;
	hd_flags_walk(&walk, source);
	while (hd_flags_walk_next(&walk, &element))
		if (!hd_flags_growthbook_range(parse, &element, &items[ranges->count++]))
			return false;
	return true;
}

/* What GrowthBook does not know it hashes to nothing: version 0 here. */
static bool
parse_version(HdGrowthBookParse *parse, const HdValue *source, int usual, int *version)
{
	HdValue value;

	*version = usual;
	if (hd_flags_growthbook_given(source, "hashVersion", &value))
	{
		if (value.type != HD_VALUE_NUMBER)
			return hd_flags_growthbook_problem(parse, "hashVersion is no number");
		*version = value.as.number == 1 ? 1 : value.as.number == 2 ? 2 : 0;
	}
	parse->hash_version = Max(parse->hash_version, *version);
	return true;
}

bool
hd_flags_growthbook_hashing(HdGrowthBookParse *parse, const HdValue *source, const HdValue *seed,
							HdGrowthBookHashing *hashing)
{
	hashing->seed = *seed;
	hashing->attribute = hd_flags_literal("id");
	hashing->fallback = hd_flags_null();
	return hd_flags_growthbook_text(parse, source, "seed", &hashing->seed) &&
		   hd_flags_growthbook_text(parse, source, "hashAttribute", &hashing->attribute) &&
		   hd_flags_growthbook_text(parse, source, "fallbackAttribute", &hashing->fallback) &&
		   parse_version(parse, source, 1, &hashing->version);
}

static bool
parse_filter(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookFilter *filter)
{
	HdValue seed;
	HdValue ranges = hd_flags_null();

	if (!hd_flags_member(source, "seed", 4, &seed) || seed.type != HD_VALUE_STRING)
		return hd_flags_growthbook_problem(parse, "a filter has no seed");
	(void) hd_flags_member(source, "ranges", 6, &ranges);
	filter->hashing.seed = seed;
	filter->hashing.attribute = hd_flags_literal("id");
	return hd_flags_growthbook_text(parse, source, "attribute", &filter->hashing.attribute) &&
		   parse_version(parse, source, 2, &filter->hashing.version) &&
		   hd_flags_growthbook_ranges(parse, &ranges, &filter->ranges);
}

bool
hd_flags_growthbook_filters(HdGrowthBookParse *parse, const HdValue *source,
							HdGrowthBookFilters *filters)
{
	HdGrowthBookFilter *items;
	HdValueWalk walk;
	HdValue list;
	HdValue element;

	if (!hd_flags_growthbook_given(source, "filters", &list))
		return true;
	if (!hd_flags_is_array(&list))
		return hd_flags_growthbook_problem(parse, "filters are no list");
	items = palloc0(sizeof(HdGrowthBookFilter) * Max(hd_flags_length(&list), 1));
	filters->given = true;
	filters->items = items;
	hd_flags_walk(&walk, &list);
	while (hd_flags_walk_next(&walk, &element))
		if (!parse_filter(parse, &element, &items[filters->count++]))
			return false;
	return true;
}

bool
hd_flags_growthbook_condition_of(HdGrowthBookParse *parse, const HdValue *source,
								 const HdGrowthBookTest **condition)
{
	HdValue given;

	*condition = NULL;
	if (!hd_flags_growthbook_given(source, "condition", &given))
		return true;
	*condition = hd_flags_growthbook_condition(parse, &given);
	return *condition != NULL;
}

static bool
parse_parent(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookParent *parent)
{
	HdValue gate;

	if (!hd_flags_member(source, "id", 2, &parent->flag) || parent->flag.type != HD_VALUE_STRING)
		return hd_flags_growthbook_problem(parse, "a prerequisite has no id");
	parent->gate = hd_flags_growthbook_given(source, "gate", &gate);
	parse->blocks = parse->blocks || parent->gate;
	parse->flags = lappend(parse->flags, &parent->flag);
	return hd_flags_growthbook_condition_of(parse, source, &parent->condition);
}

/* Saved groups are not known in the conditions of prerequisites, nor are they in the SDK. */
bool
hd_flags_growthbook_parents(HdGrowthBookParse *parse, const HdValue *source,
							HdGrowthBookParents *parents)
{
	HdValue saved_groups = parse->saved_groups;
	List *groups = parse->groups;
	HdGrowthBookParent *items;
	HdValueWalk walk;
	HdValue list;
	HdValue element;
	bool parsed = true;

	if (!hd_flags_growthbook_given(source, "parentConditions", &list))
		return true;
	if (!hd_flags_is_array(&list))
		return hd_flags_growthbook_problem(parse, "parentConditions are no list");
	items = palloc0(sizeof(HdGrowthBookParent) * Max(hd_flags_length(&list), 1));
	parents->items = items;
	parse->saved_groups = hd_flags_null();
	parse->groups = NIL;
	hd_flags_walk(&walk, &list);
	while (parsed && hd_flags_walk_next(&walk, &element))
		parsed = parse_parent(parse, &element, &items[parents->count++]);
	parse->saved_groups = saved_groups;
	parse->groups = groups;
	return parsed;
}

/* A value that is forced, for all who pass or for a share of them. */
static bool
parse_forced(HdGrowthBookParse *parse, const HdValue *source, const HdValue *value, int number,
			 HdGrowthBookRule *rule)
{
	char *name = rule->id.length > 0 ? psprintf("rule/%.*s", rule->id.length, rule->id.as.string)
									 : psprintf("rule/%d", number);
	HdValue given;

	rule->forced = hd_flags_growthbook_choice(parse, name, value);
	if (rule->forced == NULL || !hd_flags_growthbook_condition_of(parse, source, &rule->condition))
		return false;
	rule->sticky = !hd_flags_growthbook_given(source, "disableStickyBucketing", &given);
	rule->has_range = hd_flags_growthbook_given(source, "range", &given);
	if (rule->has_range && !hd_flags_growthbook_range(parse, &given, &rule->range))
		return false;
	if (!hd_flags_growthbook_number(parse, source, "coverage", &rule->coverage))
		return false;
	rule->is_rollout =
		rule->has_range || hd_flags_member(source, "coverage", sizeof("coverage") - 1, &given);
	return hd_flags_growthbook_hashing(parse, source, &parse->key, &rule->hashing);
}

static bool
parse_rule(HdGrowthBookParse *parse, const HdValue *source, int number, HdGrowthBookRule *rule)
{
	HdValue value;

	if (!hd_flags_is_object(source))
		return hd_flags_growthbook_problem(parse, "it is no object");
	rule->id = hd_flags_literal("");
	if (!hd_flags_growthbook_text(parse, source, "id", &rule->id) ||
		!hd_flags_growthbook_parents(parse, source, &rule->parents) ||
		!hd_flags_growthbook_filters(parse, source, &rule->filters))
		return false;
	if (hd_flags_member(source, "force", 5, &value))
		return parse_forced(parse, source, &value, number, rule);
	if (!hd_flags_member(source, "contextualVariations", 20, &value) || value.type == HD_VALUE_NULL)
		if (!hd_flags_growthbook_given(source, "variations", &value))
			return true;
	if (!hd_flags_growthbook_truth(&value))
		return true;
	rule->experiment = hd_flags_growthbook_experiment(parse, source, &value, false);
	return rule->experiment != NULL;
}

static bool
parse_rules(HdGrowthBookParse *parse, const HdValue *feature, HdGrowthBookFlag *flag)
{
	HdValueWalk walk;
	HdValue list;
	HdValue element;

	if (!hd_flags_growthbook_given(feature, "rules", &list))
		return true;
	if (!hd_flags_is_array(&list))
		return hd_flags_growthbook_problem(parse, "rules are no list");
	flag->rules = palloc0(sizeof(HdGrowthBookRule) * Max(hd_flags_length(&list), 1));
	hd_flags_walk(&walk, &list);
	while (hd_flags_walk_next(&walk, &element))
	{
		HdGrowthBookRule *rule = &flag->rules[flag->nrules++];

		if (parse_rule(parse, &element, flag->nrules, rule))
			continue;
		parse->problem = psprintf("rule %d: %s", flag->nrules, parse->problem);
		return false;
	}
	return true;
}

static bool
parse_feature(HdGrowthBookParse *parse, const HdValue *feature, HdGrowthBookFlag *flag)
{
	HdValue nothing = hd_flags_null();
	HdValue value = nothing;

	if (!hd_flags_is_object(feature))
		return hd_flags_growthbook_problem(parse, "a feature is no object");
	(void) hd_flags_member(feature, "defaultValue", sizeof("defaultValue") - 1, &value);
	flag->fallback = hd_flags_growthbook_choice(parse, "default", &value);
	if (!parse_rules(parse, feature, flag))
		return false;
	if (parse->blocks)
		flag->blocked = hd_flags_growthbook_choice(parse, "prerequisite", &nothing);
	return !parse->blocks || flag->blocked != NULL;
}

/* Outside of the experiment everyone has its first variation, under another name. */
static bool
parse_alone(HdGrowthBookParse *parse, const HdValue *experiment, HdGrowthBookFlag *flag)
{
	HdValue variations;
	HdValue first = hd_flags_null();

	if (!hd_flags_is_object(experiment))
		return hd_flags_growthbook_problem(parse, "an experiment is no object");
	if (!hd_flags_member(experiment, "variations", sizeof("variations") - 1, &variations) ||
		!hd_flags_is_array(&variations))
		return hd_flags_growthbook_problem(parse, "an experiment has no list of variations");
	(void) hd_flags_element(&variations, 0, &first);
	flag->fallback = hd_flags_growthbook_choice(parse, "default", &first);
	flag->experiment = hd_flags_growthbook_experiment(parse, experiment, &variations, true);
	return flag->experiment != NULL;
}

HdGrowthBookFlag *
hd_flags_growthbook_parse(HdGrowthBookParse *parse, const HdValue *arguments)
{
	HdGrowthBookFlag *flag = palloc0(sizeof(HdGrowthBookFlag));
	HdValue source;
	bool parsed;

	(void) hd_flags_member(arguments, "savedGroups", 11, &parse->saved_groups);
	(void) hd_flags_member(arguments, "contextualBandits", 17, &parse->bandits);
	if (!hd_flags_member(arguments, "key", 3, &parse->key) || parse->key.type != HD_VALUE_STRING)
		parsed = hd_flags_growthbook_problem(parse, "it does not say its key");
	else if (hd_flags_member(arguments, "feature", 7, &source))
		parsed = parse_feature(parse, &source, flag);
	else if (hd_flags_member(arguments, "experiment", 10, &source))
		parsed = parse_alone(parse, &source, flag);
	else
		parsed = hd_flags_growthbook_problem(parse, "it has neither feature nor experiment");
	if (!parsed)
		return NULL;
	flag->hash_version = Max(parse->hash_version, 1);
	flag->nchoices = list_length(parse->choices);
	return flag;
}
