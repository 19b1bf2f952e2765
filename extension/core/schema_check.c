/*-------------------------------------------------------------------------
 * schema_check.c
 *		A value against a compiled JSON Schema.
 *
 * Model: a function for each kind of rule.  Each says whether the rule holds
 * and, unless the check is quiet, reports what is wrong.  Quiet are the
 * branches whose failure is no error by itself (anyOf, oneOf, not, if,
 * contains) and checks without anybody to report to; they end at the first
 * rule that fails.
 *
 * For unevaluatedItems and unevaluatedProperties a map goes along, one bool
 * per element or property, of what some rule has looked at.  It is NULL
 * wherever no such rule is above, so others pay nothing.
 *
 * Caveats: an error's message never shows the value, which may be a secret.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_tree.h"

#include "catalog/pg_collation.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct Check
{
	HdSchemaReport report;
	void *arg;
	int quiet;	  /* branches that we are in */
	bool stopped; /* the caller has heard enough */
} Check;

/* A part of the value, and how to get there. */
typedef struct Part
{
	HdSchemaPath path;
	JsonbValue value;
	uint32 type;	/* one bit; a number has that of numbers */
	uint32 members; /* how many elements or properties */
} Part;

typedef struct RuleCheck
{
	uint32 types; /* which values the rule is about; others fit */
	bool (*check)(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen);
} RuleCheck;

static bool check_node(Check *check, const HdSchemaNode *node, const Part *part, bool *seen);

static bool
goes_on(const Check *check)
{
	return check->quiet == 0 && !check->stopped;
}

static bool fail(Check *check, const Part *part, const char *rule, const char *format, ...)
	pg_attribute_printf(4, 5);

/* Report an error; false, for the caller to return. */
static bool
fail(Check *check, const Part *part, const char *rule, const char *format, ...)
{
	StringInfoData message;
	HdSchemaError error;

	if (!goes_on(check))
		return false;
	initStringInfo(&message);
	for (;;)
	{
		va_list arguments;
		int needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&message, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	error.path = hd_schema_path_text(&part->path);
	error.rule = rule;
	error.message = message.data;
	check->stopped = !check->report(check->arg, &error);
	return false;
}

/*
 * Parts
 */

static uint32
type_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return HD_SCHEMA_NULL;
		case jbvBool:
			return HD_SCHEMA_BOOLEAN;
		case jbvString:
			return HD_SCHEMA_STRING;
		case jbvNumeric:
			return HD_SCHEMA_NUMBER;
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? HD_SCHEMA_OBJECT
																 : HD_SCHEMA_ARRAY;
		default:
			elog(ERROR, "unexpected type of a jsonb value: %d", (int) value->type);
			return 0;
	}
}

/* To be called when path and value are set. */
static void
finish_part(Part *part)
{
	part->type = type_of(&part->value);
	part->members =
		(part->value.type == jbvBinary) ? JsonContainerSize(part->value.val.binary.data) : 0;
}

/* Goes through the members of an array or object; part is the current one. */
typedef struct Members
{
	JsonbIterator *iterator;
	const Part *whole;
	int64 index;	   /* of the current one */
	HdSchemaName name; /* of the current one, in objects */
	Part part;
} Members;

static void
members_begin(Members *members, const Part *whole)
{
	JsonbValue ignored;

	members->whole = whole;
	members->index = -1;
	members->iterator = JsonbIteratorInit(whole->value.val.binary.data);
	(void) JsonbIteratorNext(&members->iterator, &ignored, true);
}

static bool
members_next(Members *members)
{
	Part *part = &members->part;
	JsonbIteratorToken token = JsonbIteratorNext(&members->iterator, &part->value, true);

	CHECK_FOR_INTERRUPTS();
	if (token != WJB_ELEM && token != WJB_KEY)
		return false;
	members->index++;
	if (token == WJB_KEY)
	{
		members->name.name = part->value.val.string.val;
		members->name.length = part->value.val.string.len;
		part->path = hd_schema_path_name(&members->whole->path, members->name);
		(void) JsonbIteratorNext(&members->iterator, &part->value, true);
	}
	else
		part->path = hd_schema_path_index(&members->whole->path, (uint32) members->index);
	finish_part(part);
	return true;
}

/* To be called when not all were gone through. */
static void
members_end(Members *members)
{
	if (members->iterator != NULL)
		pfree(members->iterator);
	members->iterator = NULL;
}

static bool
has_member(const Part *part, const HdSchemaName *name)
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

/* A schema for a part of the value: its own words for one that allows nothing. */
static bool
check_member(Check *check, const HdSchemaNode *node, const Part *part, const char *rule)
{
	if (node->never)
		return fail(check, part, rule, "must not be there");
	return check_node(check, node, part, NULL);
}

/* Whether a branch fits.  What it has looked at counts only then. */
static bool
fits(Check *check, const HdSchemaNode *node, const Part *part, bool *seen)
{
	bool *own = NULL;
	bool result;

	if (seen != NULL)
		own = palloc0(Max(part->members, 1));
	check->quiet++;
	result = check_node(check, node, part, own);
	check->quiet--;
	if (own == NULL)
		return result;
	for (uint32 i = 0; result && i < part->members; i++)
		seen[i] |= own[i];
	pfree(own);
	return result;
}

/*
 * Rules of any value
 */

static bool
check_type(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	if ((rule->as.types & part->type) != 0)
		return true;
	if (part->type == HD_SCHEMA_NUMBER && (rule->as.types & HD_SCHEMA_INTEGER) != 0 &&
		hd_schema_integer(part->value.val.numeric))
		return true;
	if (!goes_on(check))
		return false;
	return fail(check, part, "type", "must be of type %s", hd_schema_types_text(rule->as.types));
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
check_const(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	if (hd_schema_equal(&rule->as.constants->constants[0].value, &part->value))
		return true;
	return fail(check, part, "const", "must be %s", rule->as.constants->shown);
}

static bool
check_enum(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	if (is_constant(rule->as.constants, &part->value))
		return true;
	return fail(check, part, "enum", "must be one of %s", rule->as.constants->shown);
}

static bool
check_ref(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	return check_node(check, rule->as.node, part, seen);
}

static bool
check_all_of(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	bool result = true;

	for (int i = 0; i < rule->as.nodes->n && (result || goes_on(check)); i++)
		result &= check_node(check, rule->as.nodes->nodes[i], part, seen);
	return result;
}

static bool
check_any_of(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	bool result = false;

	/* The others may have looked at more. */
	for (int i = 0; i < rule->as.nodes->n && (!result || seen != NULL); i++)
		result |= fits(check, rule->as.nodes->nodes[i], part, seen);
	return result ||
		   fail(check, part, "anyOf", "must fit at least one of %d schemas", rule->as.nodes->n);
}

static bool
check_one_of(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	int matches = 0;

	for (int i = 0; i < rule->as.nodes->n && matches < 2; i++)
		matches += fits(check, rule->as.nodes->nodes[i], part, seen);
	return matches == 1 ||
		   fail(check, part, "oneOf", "must fit exactly one of %d schemas, and fits %s",
				rule->as.nodes->n, (matches == 0) ? "none" : "more than one");
}

static bool
check_not(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	return !fits(check, rule->as.node, part, NULL) ||
		   fail(check, part, "not", "must not fit the schema");
}

static bool
check_if(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaIf *branch = rule->as.branch;
	const HdSchemaNode *next =
		fits(check, branch->condition, part, seen) ? branch->then : branch->otherwise;

	return next == NULL || check_node(check, next, part, seen);
}

/*
 * Numbers and strings
 */

static bool
check_limit(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
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
	if (!goes_on(check))
		return false;
	shown = DatumGetCString(DirectFunctionCall1(numeric_out, limit));
	shown = hd_schema_clip(shown, (int) strlen(shown));
	switch (rule->kind)
	{
		case HD_SCHEMA_MINIMUM:
			return fail(check, part, "minimum", "must be at least %s", shown);
		case HD_SCHEMA_MAXIMUM:
			return fail(check, part, "maximum", "must be at most %s", shown);
		case HD_SCHEMA_EXCLUSIVE_MINIMUM:
			return fail(check, part, "exclusiveMinimum", "must be greater than %s", shown);
		default:
			return fail(check, part, "exclusiveMaximum", "must be less than %s", shown);
	}
}

static bool
check_multiple_of(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
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
	if (!goes_on(check))
		return false;
	shown = DatumGetCString(DirectFunctionCall1(numeric_out, divisor));
	return fail(check, part, "multipleOf", "must be a multiple of %s",
				hd_schema_clip(shown, (int) strlen(shown)));
}

static const char *
plural(int64 n)
{
	return (n == 1) ? "" : "s";
}

static bool
check_length(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	int bytes = part->value.val.string.len;
	int64 limit = rule->as.count;

	/* A character has one byte or more: often enough to know. */
	if (rule->kind == HD_SCHEMA_MIN_LENGTH)
		return (bytes >= limit &&
				pg_mbstrlen_with_len(part->value.val.string.val, bytes) >= limit) ||
			   fail(check, part, "minLength", "must have at least " INT64_FORMAT " character%s",
					limit, plural(limit));
	return bytes <= limit || pg_mbstrlen_with_len(part->value.val.string.val, bytes) <= limit ||
		   fail(check, part, "maxLength", "must have at most " INT64_FORMAT " character%s", limit,
				plural(limit));
}

static bool
matches(text *pattern, const char *string, int length)
{
	return RE_compile_and_execute(pattern, unconstify(char *, string), length,
								  REG_ADVANCED | REG_NOSUB, C_COLLATION_OID, 0, NULL);
}

static bool
check_pattern(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	text *pattern = rule->as.pattern;

	if (matches(pattern, part->value.val.string.val, part->value.val.string.len))
		return true;
	if (!goes_on(check))
		return false;
	return fail(check, part, "pattern", "must match the pattern \"%s\"",
				hd_schema_clip(VARDATA_ANY(pattern), (int) VARSIZE_ANY_EXHDR(pattern)));
}

/*
 * Arrays
 */

/* The numbers of elements and of properties. */
static bool
check_count(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	int64 limit = rule->as.count;
	bool least = rule->kind == HD_SCHEMA_MIN_ITEMS || rule->kind == HD_SCHEMA_MIN_PROPERTIES;
	bool items = rule->kind == HD_SCHEMA_MIN_ITEMS || rule->kind == HD_SCHEMA_MAX_ITEMS;

	if (least ? part->members >= limit : part->members <= limit)
		return true;
	return fail(check, part,
				items ? (least ? "minItems" : "maxItems")
					  : (least ? "minProperties" : "maxProperties"),
				"must have at %s " INT64_FORMAT " %s", least ? "least" : "most", limit,
				items ? ((limit == 1) ? "item" : "items")
					  : ((limit == 1) ? "property" : "properties"));
}

static bool
check_items(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaItems *items = rule->as.items;
	bool result = true;
	Members members;

	members_begin(&members, part);
	while ((result || goes_on(check)) && members_next(&members))
	{
		if (members.index < items->prefix.n)
			result &= check_member(check, items->prefix.nodes[members.index], &members.part,
								   "prefixItems");
		else if (items->rest != NULL)
			result &= check_member(check, items->rest, &members.part, "items");
		else
			break;
		mark(seen, members.index);
	}
	members_end(&members);
	return result;
}

static bool
check_contains(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaContains *contains = rule->as.contains;
	int64 n = 0;
	Members members;

	members_begin(&members, part);
	while (n <= contains->most && members_next(&members))
		if (fits(check, contains->node, &members.part, NULL))
		{
			n++;
			mark(seen, members.index);
		}
	members_end(&members);
	if (n > contains->most)
		return fail(check, part, "maxContains",
					"must have at most " INT64_FORMAT " item%s that fit%s the schema",
					contains->most, plural(contains->most), (contains->most == 1) ? "s" : "");
	return n >= contains->least ||
		   fail(check, part, (contains->least == 1) ? "contains" : "minContains",
				"must have at least " INT64_FORMAT " item%s that fit%s the schema", contains->least,
				plural(contains->least), (contains->least == 1) ? "s" : "");
}

static int
compare_hashes(const void *a, const void *b)
{
	const HdSchemaConstant *x = a;
	const HdSchemaConstant *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

static bool
check_unique_items(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	HdSchemaConstant *elements = palloc(sizeof(HdSchemaConstant) * Max(part->members, 1));
	bool unique = true;
	Members members;

	members_begin(&members, part);
	while (members_next(&members))
	{
		elements[members.index].hash = hd_schema_hash(&members.part.value);
		elements[members.index].value = members.part.value;
	}
	qsort(elements, part->members, sizeof(HdSchemaConstant), compare_hashes);
	for (uint32 i = 0; unique && i < part->members; i++)
		for (uint32 j = i + 1; unique && j < part->members && elements[j].hash == elements[i].hash;
			 j++)
			unique = !hd_schema_equal(&elements[i].value, &elements[j].value);
	pfree(elements);
	return unique || fail(check, part, "uniqueItems", "must not have two equal items");
}

static bool
check_unevaluated(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const char *name =
		(rule->kind == HD_SCHEMA_UNEVALUATED_ITEMS) ? "unevaluatedItems" : "unevaluatedProperties";
	bool result = true;
	Members members;

	members_begin(&members, part);
	while ((result || goes_on(check)) && members_next(&members))
	{
		if (seen[members.index])
			continue;
		result &= check_member(check, rule->as.node, &members.part, name);
		mark(seen, members.index);
	}
	members_end(&members);
	return result;
}

/*
 * Objects
 */

static bool
check_names(Check *check, const Part *part, const HdSchemaNames *names, const char *rule)
{
	bool result = true;

	for (int i = 0; i < names->n && (result || goes_on(check)); i++)
	{
		if (has_member(part, &names->names[i]))
			continue;
		result = false;
		if (goes_on(check))
			(void) fail(check, part, rule, "must have the property \"%s\"",
						hd_schema_clip(names->names[i].name, names->names[i].length));
	}
	return result;
}

static bool
check_required(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	return check_names(check, part, rule->as.names, "required");
}

static bool
check_dependent_required(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaMembers *members = rule->as.members;
	bool result = true;

	for (int i = 0; i < members->n && (result || goes_on(check)); i++)
		if (has_member(part, &members->members[i].name))
			result &= check_names(check, part, &members->members[i].names, "dependentRequired");
	return result;
}

static bool
check_dependent_schemas(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaMembers *members = rule->as.members;
	bool result = true;

	for (int i = 0; i < members->n && (result || goes_on(check)); i++)
		if (has_member(part, &members->members[i].name))
			result &= check_node(check, members->members[i].node, part, seen);
	return result;
}

static bool
check_property_names(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	bool result = true;
	Members members;

	members_begin(&members, part);
	while ((result || goes_on(check)) && members_next(&members))
	{
		Part name = {.path = members.part.path};

		name.value.type = jbvString;
		name.value.val.string.val = unconstify(char *, members.name.name);
		name.value.val.string.len = members.name.length;
		finish_part(&name);
		if (rule->as.node->never || !fits(check, rule->as.node, &name, NULL))
			result = fail(check, &name, "propertyNames", "must have a name that fits the schema");
	}
	members_end(&members);
	return result;
}

/* One property against those of the schema that have to do with it; known: whether any had. */
static bool
check_property(Check *check, const HdSchemaProperties *properties, const Members *members,
			   const HdSchemaProperty *named, bool *known)
{
	bool result = true;

	*known = named != NULL;
	if (named != NULL)
		result = check_member(check, named->node, &members->part, "properties");
	for (int i = 0; i < properties->patterns.n && (result || goes_on(check)); i++)
	{
		const HdSchemaProperty *pattern = &properties->patterns.members[i];

		if (!matches(pattern->pattern, members->name.name, members->name.length))
			continue;
		*known = true;
		result &= check_member(check, pattern->node, &members->part, "patternProperties");
	}
	if (*known || properties->additional == NULL)
		return result;
	*known = true;
	return check_member(check, properties->additional, &members->part, "additionalProperties");
}

static bool
check_properties(Check *check, const HdSchemaRule *rule, const Part *part, bool *seen)
{
	const HdSchemaProperties *properties = rule->as.properties;
	bool result = true;
	int next = 0;
	Members members;

	/* Both are in jsonb's order of names, so one pass finds each in the other. */
	members_begin(&members, part);
	while ((result || goes_on(check)) && members_next(&members))
	{
		const HdSchemaProperty *named = NULL;
		int order = 1;
		bool known;

		while (next < properties->named.n &&
			   (order = hd_schema_names_compare(&properties->named.members[next].name,
												&members.name)) < 0)
			next++;
		if (next < properties->named.n && order == 0)
			named = &properties->named.members[next];
		result &= check_property(check, properties, &members, named, &known);
		if (known)
			mark(seen, members.index);
	}
	members_end(&members);
	return result;
}

/*
 * Nodes
 */

static const RuleCheck rule_checks[HD_SCHEMA_RULE_KINDS] = {
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

static bool
check_node(Check *check, const HdSchemaNode *node, const Part *part, bool *seen)
{
	bool *own = seen;
	bool result = true;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->never)
		return fail(check, part, "false", "must not be there");
	if (node->collects && part->members > 0)
		own = palloc0(part->members);
	for (int i = 0; i < node->nrules && (result || goes_on(check)); i++)
	{
		const RuleCheck *rule = &rule_checks[node->rules[i].kind];

		if ((rule->types & part->type) != 0)
			result &= rule->check(check, &node->rules[i], part, own);
	}
	if (own == seen)
		return result;
	for (uint32 i = 0; seen != NULL && i < part->members; i++)
		seen[i] |= own[i];
	pfree(own);
	return result;
}

bool
hd_schema_check(const HdSchema *schema, Jsonb *value, HdSchemaReport report, void *arg)
{
	Check check = {.report = report, .arg = arg, .quiet = (report == NULL) ? 1 : 0};
	Part whole = {.value = {.type = jbvNull}};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash schema check", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool result;

	if (value != NULL)
		hd_schema_root_value(value, &whole.value);
	finish_part(&whole);
	result = check_node(&check, schema->root, &whole, NULL);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return result;
}
