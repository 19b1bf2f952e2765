/*-------------------------------------------------------------------------
 * schema_rules.c
 *		The rules of a JSON Schema, each as a question to a part of a value.
 *
 * Model: a function for each kind of rule, or for a few that are alike; the
 * table at the end says which, and what types of values it is about.
 *
 * Caveats: an error's message never shows the value, which may be a secret;
 * and it is not even made where nobody listens, since a branch may fail for
 * each of a million elements.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_run.h"

#include "catalog/pg_collation.h"
#include "core/compat.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "utils/builtins.h"

static bool
has_member(const HdSchemaPart *part, const HdSchemaName *name)
{
	JsonbValue found;

	return getKeyJsonValueFromContainer(part->value.val.binary.data, name->name, name->length,
										&found) != NULL;
}

static void
mark(bool *seen, int64 index)
{
	if (seen != NULL)
		seen[index] = true;
}

/*
 * Rules of any value
 */

static bool
check_type(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	if ((rule->as.types & part->type) != 0)
		return true;
	if (part->type == HD_SCHEMA_NUMBER && (rule->as.types & HD_SCHEMA_INTEGER) != 0 &&
		hd_schema_integer(part->value.val.numeric))
		return true;
	if (!hd_schema_run_goes_on(run))
		return false;
	return hd_schema_run_fail(run, part, "type", "must be of type %s",
							  hd_schema_types_text(rule->as.types));
}

static bool
is_constant(const HdSchemaConstants *constants, const JsonbValue *value)
{
	uint64 hash = hd_schema_hash(value);
	int low = 0;
	int high = constants->n;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (constants->constants[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < constants->n && constants->constants[low].hash == hash; low++)
		if (hd_schema_equal(&constants->constants[low].value, value))
			return true;
	return false;
}

static bool
check_const(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	if (hd_schema_equal(&rule->as.constants->constants[0].value, &part->value))
		return true;
	return hd_schema_run_fail(run, part, "const", "must be %s", rule->as.constants->shown);
}

static bool
check_enum(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	if (is_constant(rule->as.constants, &part->value))
		return true;
	return hd_schema_run_fail(run, part, "enum", "must be one of %s", rule->as.constants->shown);
}

static bool
check_ref(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	return hd_schema_run_node(run, rule->as.node, part, seen);
}

static bool
check_all_of(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	bool result = true;

	for (int i = 0; i < rule->as.nodes->n && (result || hd_schema_run_goes_on(run)); i++)
		result &= hd_schema_run_node(run, rule->as.nodes->nodes[i], part, seen);
	return result;
}

static bool
check_any_of(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	bool result = false;

	/* The others may have looked at more. */
	for (int i = 0; i < rule->as.nodes->n && (!result || seen != NULL); i++)
		result |= hd_schema_run_fits(run, rule->as.nodes->nodes[i], part, seen);
	return result || hd_schema_run_fail(run, part, "anyOf", "must fit at least one of %d schemas",
										rule->as.nodes->n);
}

static bool
check_one_of(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	int matches = 0;

	for (int i = 0; i < rule->as.nodes->n && matches < 2; i++)
		matches += hd_schema_run_fits(run, rule->as.nodes->nodes[i], part, seen);
	return matches == 1 ||
		   hd_schema_run_fail(run, part, "oneOf", "must fit exactly one of %d schemas, and fits %s",
							  rule->as.nodes->n, (matches == 0) ? "none" : "more than one");
}

static bool
check_not(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	return !hd_schema_run_fits(run, rule->as.node, part, NULL) ||
		   hd_schema_run_fail(run, part, "not", "must not fit the schema");
}

static bool
check_if(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	const HdSchemaIf *branch = rule->as.branch;
	const HdSchemaNode *next =
		hd_schema_run_fits(run, branch->condition, part, seen) ? branch->then : branch->otherwise;

	return next == NULL || hd_schema_run_node(run, next, part, seen);
}

/*
 * Numbers and strings
 */

static bool
check_limit(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	Datum limit = NumericGetDatum(rule->as.number);
	int32 order = DatumGetInt32(
		DirectFunctionCall2(numeric_cmp, NumericGetDatum(part->value.val.numeric), limit));
	char *shown;

	if ((rule->kind == HD_SCHEMA_MINIMUM && order >= 0) ||
		(rule->kind == HD_SCHEMA_MAXIMUM && order <= 0) ||
		(rule->kind == HD_SCHEMA_EXCLUSIVE_MINIMUM && order > 0) ||
		(rule->kind == HD_SCHEMA_EXCLUSIVE_MAXIMUM && order < 0))
		return true;
	if (!hd_schema_run_goes_on(run))
		return false;
	shown = DatumGetCString(DirectFunctionCall1(numeric_out, limit));
	shown = hd_schema_clip(shown, (int) strlen(shown));
	switch (rule->kind)
	{
		case HD_SCHEMA_MINIMUM:
			return hd_schema_run_fail(run, part, "minimum", "must be at least %s", shown);
		case HD_SCHEMA_MAXIMUM:
			return hd_schema_run_fail(run, part, "maximum", "must be at most %s", shown);
		case HD_SCHEMA_EXCLUSIVE_MINIMUM:
			return hd_schema_run_fail(run, part, "exclusiveMinimum", "must be greater than %s",
									  shown);
		default:
			return hd_schema_run_fail(run, part, "exclusiveMaximum", "must be less than %s", shown);
	}
}

static bool
check_multiple_of(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	Datum divisor = NumericGetDatum(rule->as.number);
	Datum rest =
		DirectFunctionCall2(numeric_mod, NumericGetDatum(part->value.val.numeric), divisor);
	Numeric zero = int64_to_numeric(0);
	bool multiple = DatumGetBool(DirectFunctionCall2(numeric_eq, rest, NumericGetDatum(zero)));
	char *shown;

	pfree(DatumGetPointer(rest));
	pfree(zero);
	if (multiple)
		return true;
	if (!hd_schema_run_goes_on(run))
		return false;
	shown = DatumGetCString(DirectFunctionCall1(numeric_out, divisor));
	return hd_schema_run_fail(run, part, "multipleOf", "must be a multiple of %s",
							  hd_schema_clip(shown, (int) strlen(shown)));
}

static const char *
plural(int64 n)
{
	return (n == 1) ? "" : "s";
}

static bool
check_length(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	int bytes = part->value.val.string.len;
	int64 limit = rule->as.count;

	/* A character has one byte or more: often enough to know. */
	if (rule->kind == HD_SCHEMA_MIN_LENGTH)
		return (bytes >= limit &&
				pg_mbstrlen_with_len(part->value.val.string.val, bytes) >= limit) ||
			   hd_schema_run_fail(run, part, "minLength",
								  "must have at least " INT64_FORMAT " character%s", limit,
								  plural(limit));
	return bytes <= limit || pg_mbstrlen_with_len(part->value.val.string.val, bytes) <= limit ||
		   hd_schema_run_fail(run, part, "maxLength",
							  "must have at most " INT64_FORMAT " character%s", limit,
							  plural(limit));
}

static bool
matches(text *pattern, const char *string, int length)
{
	return RE_compile_and_execute(pattern, unconstify(char *, string), length,
								  REG_ADVANCED | REG_NOSUB, C_COLLATION_OID, 0, NULL);
}

static bool
check_pattern(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	text *pattern = rule->as.pattern;

	if (matches(pattern, part->value.val.string.val, part->value.val.string.len))
		return true;
	if (!hd_schema_run_goes_on(run))
		return false;
	return hd_schema_run_fail(run, part, "pattern", "must match the pattern \"%s\"",
							  hd_schema_clip(VARDATA_ANY(pattern),
											 (int) VARSIZE_ANY_EXHDR(pattern)));
}

/*
 * Arrays
 */

/* The numbers of elements and of properties. */
static bool
check_count(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	int64 limit = rule->as.count;
	bool least = rule->kind == HD_SCHEMA_MIN_ITEMS || rule->kind == HD_SCHEMA_MIN_PROPERTIES;
	bool items = rule->kind == HD_SCHEMA_MIN_ITEMS || rule->kind == HD_SCHEMA_MAX_ITEMS;

	if (least ? part->members >= limit : part->members <= limit)
		return true;
	return hd_schema_run_fail(run, part,
							  items ? (least ? "minItems" : "maxItems")
									: (least ? "minProperties" : "maxProperties"),
							  "must have at %s " INT64_FORMAT " %s", least ? "least" : "most",
							  limit,
							  items ? ((limit == 1) ? "item" : "items")
									: ((limit == 1) ? "property" : "properties"));
}

static bool
check_items(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	const HdSchemaItems *items = rule->as.items;
	bool result = true;
	HdSchemaWalk walk;

	hd_schema_walk_begin(&walk, part);
	while ((result || hd_schema_run_goes_on(run)) && hd_schema_walk_next(&walk))
	{
		if (walk.index < items->prefix.n)
			result &= hd_schema_run_member(run, items->prefix.nodes[walk.index], &walk.part,
										   "prefixItems");
		else if (items->rest != NULL)
			result &= hd_schema_run_member(run, items->rest, &walk.part, "items");
		else
			break;
		mark(seen, walk.index);
	}
	hd_schema_walk_end(&walk);
	return result;
}

static bool
check_contains(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	const HdSchemaContains *contains = rule->as.contains;
	int64 n = 0;
	HdSchemaWalk walk;

	hd_schema_walk_begin(&walk, part);
	while (n <= contains->most && hd_schema_walk_next(&walk))
		if (hd_schema_run_fits(run, contains->node, &walk.part, NULL))
		{
			n++;
			mark(seen, walk.index);
		}
	hd_schema_walk_end(&walk);
	if (n > contains->most)
		return hd_schema_run_fail(run, part, "maxContains",
								  "must have at most " INT64_FORMAT " item%s that fit%s the schema",
								  contains->most, plural(contains->most),
								  (contains->most == 1) ? "s" : "");
	return n >= contains->least ||
		   hd_schema_run_fail(run, part, (contains->least == 1) ? "contains" : "minContains",
							  "must have at least " INT64_FORMAT " item%s that fit%s the schema",
							  contains->least, plural(contains->least),
							  (contains->least == 1) ? "s" : "");
}

static bool
check_unique_items(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	HdSchemaConstant *elements = palloc(sizeof(HdSchemaConstant) * Max(part->members, 1));
	bool unique = true;
	HdSchemaWalk walk;

	hd_schema_walk_begin(&walk, part);
	while (hd_schema_walk_next(&walk))
	{
		elements[walk.index].hash = hd_schema_hash(&walk.part.value);
		elements[walk.index].value = walk.part.value;
	}
	hd_schema_constants_sort(elements, (int) part->members);
	for (uint32 i = 0; unique && i < part->members; i++)
		for (uint32 j = i + 1; unique && j < part->members && elements[j].hash == elements[i].hash;
			 j++)
			unique = !hd_schema_equal(&elements[i].value, &elements[j].value);
	pfree(elements);
	return unique || hd_schema_run_fail(run, part, "uniqueItems", "must not have two equal items");
}

static bool
check_unevaluated(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	const char *name =
		(rule->kind == HD_SCHEMA_UNEVALUATED_ITEMS) ? "unevaluatedItems" : "unevaluatedProperties";
	bool result = true;
	HdSchemaWalk walk;

	hd_schema_walk_begin(&walk, part);
	while ((result || hd_schema_run_goes_on(run)) && hd_schema_walk_next(&walk))
	{
		if (seen[walk.index])
			continue;
		result &= hd_schema_run_member(run, rule->as.node, &walk.part, name);
		mark(seen, walk.index);
	}
	hd_schema_walk_end(&walk);
	return result;
}

/*
 * Objects
 */

static bool
check_names(HdSchemaRun *run, const HdSchemaPart *part, const HdSchemaNames *names,
			const char *rule)
{
	bool result = true;

	for (int i = 0; i < names->n && (result || hd_schema_run_goes_on(run)); i++)
	{
		if (has_member(part, &names->names[i]))
			continue;
		result = false;
		if (hd_schema_run_goes_on(run))
			(void) hd_schema_run_fail(run, part, rule, "must have the property \"%s\"",
									  hd_schema_clip(names->names[i].name, names->names[i].length));
	}
	return result;
}

static bool
check_required(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	return check_names(run, part, rule->as.names, "required");
}

static bool
check_dependent_required(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part,
						 bool *seen)
{
	const HdSchemaMembers *members = rule->as.members;
	bool result = true;

	for (int i = 0; i < members->n && (result || hd_schema_run_goes_on(run)); i++)
		if (has_member(part, &members->members[i].name))
			result &= check_names(run, part, &members->members[i].names, "dependentRequired");
	return result;
}

static bool
check_dependent_schemas(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part,
						bool *seen)
{
	const HdSchemaMembers *members = rule->as.members;
	bool result = true;

	for (int i = 0; i < members->n && (result || hd_schema_run_goes_on(run)); i++)
		if (has_member(part, &members->members[i].name))
			result &= hd_schema_run_node(run, members->members[i].node, part, seen);
	return result;
}

static bool
check_property_names(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part,
					 bool *seen)
{
	bool result = true;
	HdSchemaWalk walk;

	hd_schema_walk_begin(&walk, part);
	while ((result || hd_schema_run_goes_on(run)) && hd_schema_walk_next(&walk))
	{
		HdSchemaPart name = {.path = walk.part.path};

		name.value.type = jbvString;
		name.value.val.string.val = unconstify(char *, walk.name.name);
		name.value.val.string.len = walk.name.length;
		hd_schema_part_finish(&name);
		if (rule->as.node->never || !hd_schema_run_fits(run, rule->as.node, &name, NULL))
			result = hd_schema_run_fail(run, &name, "propertyNames",
										"must have a name that fits the schema");
	}
	hd_schema_walk_end(&walk);
	return result;
}

/* One property against those of the schema that have to do with it; known: whether any had. */
static bool
check_property(HdSchemaRun *run, const HdSchemaProperties *properties, const HdSchemaWalk *walk,
			   const HdSchemaProperty *named, bool *known)
{
	bool result = true;

	*known = named != NULL;
	if (named != NULL)
		result = hd_schema_run_member(run, named->node, &walk->part, "properties");
	for (int i = 0; i < properties->patterns.n && (result || hd_schema_run_goes_on(run)); i++)
	{
		const HdSchemaProperty *pattern = &properties->patterns.members[i];

		if (!matches(pattern->pattern, walk->name.name, walk->name.length))
			continue;
		*known = true;
		result &= hd_schema_run_member(run, pattern->node, &walk->part, "patternProperties");
	}
	if (*known || properties->additional == NULL)
		return result;
	*known = true;
	return hd_schema_run_member(run, properties->additional, &walk->part, "additionalProperties");
}

static bool
check_properties(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen)
{
	const HdSchemaProperties *properties = rule->as.properties;
	bool result = true;
	int next = 0;
	HdSchemaWalk walk;

	/* Both are in jsonb's order of names, so one pass finds each in the other. */
	hd_schema_walk_begin(&walk, part);
	while ((result || hd_schema_run_goes_on(run)) && hd_schema_walk_next(&walk))
	{
		const HdSchemaProperty *named = NULL;
		int order = 1;
		bool known;

		while (next < properties->named.n &&
			   (order =
					hd_schema_names_compare(&properties->named.members[next].name, &walk.name)) < 0)
			next++;
		if (next < properties->named.n && order == 0)
			named = &properties->named.members[next];
		result &= check_property(run, properties, &walk, named, &known);
		if (known)
			mark(seen, walk.index);
	}
	hd_schema_walk_end(&walk);
	return result;
}

const HdSchemaRuleCheck hd_schema_rule_checks[HD_SCHEMA_RULE_KINDS] = {
	[HD_SCHEMA_TYPE] = {HD_SCHEMA_ANY, check_type},
	[HD_SCHEMA_CONST] = {HD_SCHEMA_ANY, check_const},
	[HD_SCHEMA_ENUM] = {HD_SCHEMA_ANY, check_enum},
	[HD_SCHEMA_MINIMUM] = {HD_SCHEMA_NUMBER, check_limit},
	[HD_SCHEMA_MAXIMUM] = {HD_SCHEMA_NUMBER, check_limit},
	[HD_SCHEMA_EXCLUSIVE_MINIMUM] = {HD_SCHEMA_NUMBER, check_limit},
	[HD_SCHEMA_EXCLUSIVE_MAXIMUM] = {HD_SCHEMA_NUMBER, check_limit},
	[HD_SCHEMA_MULTIPLE_OF] = {HD_SCHEMA_NUMBER, check_multiple_of},
	[HD_SCHEMA_MIN_LENGTH] = {HD_SCHEMA_STRING, check_length},
	[HD_SCHEMA_MAX_LENGTH] = {HD_SCHEMA_STRING, check_length},
	[HD_SCHEMA_PATTERN] = {HD_SCHEMA_STRING, check_pattern},
	[HD_SCHEMA_MIN_ITEMS] = {HD_SCHEMA_ARRAY, check_count},
	[HD_SCHEMA_MAX_ITEMS] = {HD_SCHEMA_ARRAY, check_count},
	[HD_SCHEMA_ITEMS] = {HD_SCHEMA_ARRAY, check_items},
	[HD_SCHEMA_CONTAINS] = {HD_SCHEMA_ARRAY, check_contains},
	[HD_SCHEMA_UNIQUE_ITEMS] = {HD_SCHEMA_ARRAY, check_unique_items},
	[HD_SCHEMA_MIN_PROPERTIES] = {HD_SCHEMA_OBJECT, check_count},
	[HD_SCHEMA_MAX_PROPERTIES] = {HD_SCHEMA_OBJECT, check_count},
	[HD_SCHEMA_REQUIRED] = {HD_SCHEMA_OBJECT, check_required},
	[HD_SCHEMA_DEPENDENT_REQUIRED] = {HD_SCHEMA_OBJECT, check_dependent_required},
	[HD_SCHEMA_PROPERTY_NAMES] = {HD_SCHEMA_OBJECT, check_property_names},
	[HD_SCHEMA_PROPERTIES] = {HD_SCHEMA_OBJECT, check_properties},
	[HD_SCHEMA_DEPENDENT_SCHEMAS] = {HD_SCHEMA_OBJECT, check_dependent_schemas},
	[HD_SCHEMA_REF] = {HD_SCHEMA_ANY, check_ref},
	[HD_SCHEMA_ALL_OF] = {HD_SCHEMA_ANY, check_all_of},
	[HD_SCHEMA_ANY_OF] = {HD_SCHEMA_ANY, check_any_of},
	[HD_SCHEMA_ONE_OF] = {HD_SCHEMA_ANY, check_one_of},
	[HD_SCHEMA_NOT] = {HD_SCHEMA_ANY, check_not},
	[HD_SCHEMA_IF] = {HD_SCHEMA_ANY, check_if},
	[HD_SCHEMA_UNEVALUATED_ITEMS] = {HD_SCHEMA_ARRAY, check_unevaluated},
	[HD_SCHEMA_UNEVALUATED_PROPERTIES] = {HD_SCHEMA_OBJECT, check_unevaluated},
};
