/*-------------------------------------------------------------------------
 * schema_keywords.c
 *		The keywords of JSON Schema: what each must look like, and the rule that
 *		it becomes.
 *
 * Model: a table of keywords, each with a function that reads its value into
 * a rule of the node that is being built.
 *
 * Caveats: some keywords stand in no rule, because they only name things or
 * mean something beside another one; they are checked all the same, so that
 * a mistake is told when the schema is set.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_build.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/builtins.h"

#define DRAFT "https://json-schema.org/draft/2020-12/schema"
#define MAX_PATTERN 4096

/* A keyword as it stands in the document. */
typedef struct Keyword
{
	const char *name;
	HdSchemaRuleKind kind; /* the rule that it makes, or takes part in */
	void (*compile)(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
					const HdSchemaPath *place);
} Keyword;

/*
 * Reading jsonb
 */

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

static bool
is_text(const JsonbValue *value, const char *text)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(text) &&
		   memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

static int
count_of(const JsonbValue *container)
{
	return (int) JsonContainerSize(container->val.binary.data);
}

static HdSchemaName
name_of(const JsonbValue *string)
{
	HdSchemaName name = {string->val.string.val, string->val.string.len};

	return name;
}

static JsonbIterator *
begin(const JsonbValue *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container->val.binary.data);
	JsonbValue ignored;

	(void) JsonbIteratorNext(&iterator, &ignored, true);
	return iterator;
}

static bool
next_element(JsonbIterator **iterator, JsonbValue *value)
{
	CHECK_FOR_INTERRUPTS();
	return JsonbIteratorNext(iterator, value, true) == WJB_ELEM;
}

static bool
next_member(JsonbIterator **iterator, JsonbValue *name, JsonbValue *value)
{
	CHECK_FOR_INTERRUPTS();
	if (JsonbIteratorNext(iterator, name, true) != WJB_KEY)
		return false;
	(void) JsonbIteratorNext(iterator, value, true);
	return true;
}

static bool
sibling(const HdSchemaBuilder *builder, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(builder->object, name, (int) strlen(name), value) != NULL;
}

/*
 * Parts that several keywords share
 */

static HdSchemaRule *
rule(HdSchemaBuilder *builder, HdSchemaRuleKind kind)
{
	builder->present[kind] = true;
	builder->rules[kind].kind = kind;
	return &builder->rules[kind];
}

static HdSchemaPath
sibling_place(const HdSchemaBuilder *builder, const char *name)
{
	HdSchemaName step = {name, (int) strlen(name)};

	return hd_schema_path_name(builder->place, step);
}

/* A schema that is the value of another keyword of the same node; NULL when there is none. */
static HdSchemaNode *
sibling_node(HdSchemaBuilder *builder, const char *name)
{
	HdSchemaPath place = sibling_place(builder, name);
	JsonbValue value;

	if (!sibling(builder, name, &value))
		return NULL;
	return hd_schema_build_node(builder->compiler, &value, &place);
}

/* Beyond what any value can count: no difference. */
static int64
count_value(const JsonbValue *value, const HdSchemaPath *place)
{
	Datum limit = NumericGetDatum(int64_to_numeric(PG_INT32_MAX));
	Datum zero = NumericGetDatum(int64_to_numeric(0));
	Datum number;

	if (value->type != jbvNumeric || !hd_schema_integer(value->val.numeric))
		hd_schema_refuse(place, "must be an integer");
	number = NumericGetDatum(value->val.numeric);
	if (DatumGetBool(DirectFunctionCall2(numeric_lt, number, zero)))
		hd_schema_refuse(place, "must not be negative");
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, number, limit)))
		return PG_INT32_MAX;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

/* A count that is the value of another keyword of the same node. */
static int64
sibling_count(HdSchemaBuilder *builder, const char *name, int64 missing)
{
	HdSchemaPath place = sibling_place(builder, name);
	JsonbValue value;

	return sibling(builder, name, &value) ? count_value(&value, &place) : missing;
}

static HdSchemaNames
names_value(const JsonbValue *value, const HdSchemaPath *place)
{
	HdSchemaNames names = {0};
	JsonbIterator *iterator;
	JsonbValue element;

	if (!is_array(value))
		hd_schema_refuse(place, "must be an array of strings");
	names.names = palloc(sizeof(HdSchemaName) * Max(count_of(value), 1));
	iterator = begin(value);
	while (next_element(&iterator, &element))
	{
		HdSchemaPath step = hd_schema_path_index(place, names.n);

		if (element.type != jbvString)
			hd_schema_refuse(&step, "must be a string");
		names.names[names.n++] = name_of(&element);
	}
	return names;
}

static HdSchemaNodes
nodes_value(HdSchemaBuilder *builder, const JsonbValue *value, const HdSchemaPath *place)
{
	HdSchemaNodes nodes = {0};
	JsonbIterator *iterator;
	JsonbValue element;

	if (!is_array(value) || count_of(value) == 0)
		hd_schema_refuse(place, "must be an array of one or more schemas");
	nodes.nodes = palloc(sizeof(HdSchemaNode *) * count_of(value));
	iterator = begin(value);
	while (next_element(&iterator, &element))
	{
		HdSchemaPath step = hd_schema_path_index(place, nodes.n);

		nodes.nodes[nodes.n++] = hd_schema_build_node(builder->compiler, &element, &step);
	}
	return nodes;
}

/*
 * Regular expressions are PostgreSQL's.  Two escapes that are common in other
 * dialects mean something quite different in it, so they are not let through.
 */
static void
check_escapes(const char *pattern, int length, const HdSchemaPath *place)
{
	bool bracket = false;

	for (int i = 0; i < length; i++)
	{
		if (pattern[i] == '[' || pattern[i] == ']')
			bracket = (pattern[i] == '[');
		if (pattern[i] != '\\' || ++i == length || bracket)
			continue;
		if (pattern[i] == 'b' || pattern[i] == 'B')
			hd_schema_refuse(place, "\\%c is not about words in PostgreSQL, write \\%c", pattern[i],
							 (pattern[i] == 'b') ? 'y' : 'Y');
	}
}

/* The server keeps the expressions that are in use compiled, a bounded number; so this only tries it. */
static text *
pattern_value(const char *pattern, int length, const HdSchemaPath *place)
{
	pg_wchar *wide;
	regex_t regex;
	char problem[128];
	int code;

	if (length > MAX_PATTERN)
		hd_schema_refuse(place, "a regular expression may have up to %d bytes", MAX_PATTERN);
	check_escapes(pattern, length, place);
	wide = palloc(sizeof(pg_wchar) * (length + 1));
	code = pg_regcomp(&regex, wide, pg_mb2wchar_with_len(pattern, wide, length),
					  REG_ADVANCED | REG_NOSUB, C_COLLATION_OID);
	if (code != REG_OKAY)
	{
		CHECK_FOR_INTERRUPTS();
		pg_regerror(code, &regex, problem, sizeof(problem));
		hd_schema_refuse(place, "not a regular expression: %s", problem);
	}
	pg_regfree(&regex);
	pfree(wide);
	return cstring_to_text_with_len(pattern, length);
}

/* The members of an object, in its order: lists of names for dependentRequired, else schemas. */
static HdSchemaMembers
members_value(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	HdSchemaMembers result = {0};
	JsonbIterator *iterator;
	JsonbValue name;
	JsonbValue member;

	if (!is_object(value))
		hd_schema_refuse(place, "must be an object");
	result.members = palloc0(sizeof(HdSchemaProperty) * Max(count_of(value), 1));
	iterator = begin(value);
	while (next_member(&iterator, &name, &member))
	{
		HdSchemaProperty *property = &result.members[result.n++];
		HdSchemaPath step = hd_schema_path_name(place, name_of(&name));

		property->name = name_of(&name);
		if (kind == HD_SCHEMA_DEPENDENT_REQUIRED)
			property->names = names_value(&member, &step);
		else
			property->node = hd_schema_build_node(builder->compiler, &member, &step);
	}
	return result;
}

/*
 * Keywords
 */

static void
compile_types(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	HdSchemaNames names;
	JsonbValue single = *value;
	uint32 types = 0;

	if (value->type == jbvString)
	{
		names.n = 1;
		names.names = palloc(sizeof(HdSchemaName));
		names.names[0] = name_of(&single);
	}
	else
		names = names_value(value, place);
	if (names.n == 0)
		hd_schema_refuse(place, "must name a type");
	for (int i = 0; i < names.n; i++)
	{
		uint32 type = hd_schema_type_by_name(&names.names[i]);

		if (type == 0)
			hd_schema_refuse(place, "\"%s\" is not a type",
							 hd_schema_clip(names.names[i].name, names.names[i].length));
		types |= type;
	}
	rule(builder, kind)->as.types = types;
}

static void
compile_const(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	HdSchemaConstants *constants = palloc0(sizeof(HdSchemaConstants));

	constants->n = 1;
	constants->constants = palloc0(sizeof(HdSchemaConstant));
	constants->constants[0].value = *value;
	constants->shown = hd_schema_show(value);
	rule(builder, kind)->as.constants = constants;
}

static void
compile_enum(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			 const HdSchemaPath *place)
{
	HdSchemaConstants *constants = palloc0(sizeof(HdSchemaConstants));
	JsonbIterator *iterator;
	JsonbValue element;

	if (!is_array(value))
		hd_schema_refuse(place, "must be an array");
	constants->constants = palloc(sizeof(HdSchemaConstant) * Max(count_of(value), 1));
	iterator = begin(value);
	while (next_element(&iterator, &element))
	{
		constants->constants[constants->n].hash = hd_schema_hash(&element);
		constants->constants[constants->n++].value = element;
	}
	hd_schema_constants_sort(constants->constants, constants->n);
	constants->shown = hd_schema_show(value);
	rule(builder, kind)->as.constants = constants;
}

static void
compile_number(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			   const HdSchemaPath *place)
{
	if (value->type != jbvNumeric)
		hd_schema_refuse(place, "must be a number");
	if (kind == HD_SCHEMA_MULTIPLE_OF &&
		DatumGetBool(DirectFunctionCall2(numeric_le, NumericGetDatum(value->val.numeric),
										 NumericGetDatum(int64_to_numeric(0)))))
		hd_schema_refuse(place, "must be greater than 0");
	rule(builder, kind)->as.number = value->val.numeric;
}

static void
compile_count(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	rule(builder, kind)->as.count = count_value(value, place);
}

static void
compile_pattern(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				const HdSchemaPath *place)
{
	if (value->type != jbvString)
		hd_schema_refuse(place, "must be a string");
	rule(builder, kind)->as.pattern =
		pattern_value(value->val.string.val, value->val.string.len, place);
}

static void
compile_unique_items(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
					 const HdSchemaPath *place)
{
	if (value->type != jbvBool)
		hd_schema_refuse(place, "must be a boolean");
	if (value->val.boolean)
		(void) rule(builder, kind);
}

static HdSchemaItems *
items_rule(HdSchemaBuilder *builder)
{
	HdSchemaRule *made = rule(builder, HD_SCHEMA_ITEMS);

	if (made->as.items == NULL)
		made->as.items = palloc0(sizeof(HdSchemaItems));
	return made->as.items;
}

static void
compile_items(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	items_rule(builder)->rest = hd_schema_build_node(builder->compiler, value, place);
}

static void
compile_prefix_items(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
					 const HdSchemaPath *place)
{
	items_rule(builder)->prefix = nodes_value(builder, value, place);
}

static void
compile_contains(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				 const HdSchemaPath *place)
{
	HdSchemaContains *contains = palloc(sizeof(HdSchemaContains));

	contains->node = hd_schema_build_node(builder->compiler, value, place);
	contains->least = sibling_count(builder, "minContains", 1);
	contains->most = sibling_count(builder, "maxContains", PG_INT64_MAX);
	rule(builder, kind)->as.contains = contains;
}

/* Means something beside contains only, where it is read again. */
static void
compile_contains_count(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
					   const HdSchemaPath *place)
{
	(void) count_value(value, place);
}

static void
compile_names(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	HdSchemaNames *names = palloc(sizeof(HdSchemaNames));

	*names = names_value(value, place);
	rule(builder, kind)->as.names = names;
}

/* dependentRequired and dependentSchemas */
static void
compile_members(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				const HdSchemaPath *place)
{
	HdSchemaMembers *members = palloc(sizeof(HdSchemaMembers));

	*members = members_value(builder, kind, value, place);
	rule(builder, kind)->as.members = members;
}

static HdSchemaProperties *
properties_rule(HdSchemaBuilder *builder)
{
	HdSchemaRule *made = rule(builder, HD_SCHEMA_PROPERTIES);

	if (made->as.properties == NULL)
		made->as.properties = palloc0(sizeof(HdSchemaProperties));
	return made->as.properties;
}

static void
compile_properties(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				   const HdSchemaPath *place)
{
	properties_rule(builder)->named = members_value(builder, kind, value, place);
}

static void
compile_pattern_properties(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
						   const HdSchemaPath *place)
{
	HdSchemaMembers patterns = members_value(builder, kind, value, place);

	for (int i = 0; i < patterns.n; i++)
	{
		HdSchemaName name = patterns.members[i].name;
		HdSchemaPath step = hd_schema_path_name(place, name);

		patterns.members[i].pattern = pattern_value(name.name, name.length, &step);
	}
	properties_rule(builder)->patterns = patterns;
}

static void
compile_additional(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				   const HdSchemaPath *place)
{
	properties_rule(builder)->additional = hd_schema_build_node(builder->compiler, value, place);
}

static void
compile_one(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			const HdSchemaPath *place)
{
	rule(builder, kind)->as.node = hd_schema_build_node(builder->compiler, value, place);
}

static void
compile_reference(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				  const HdSchemaPath *place)
{
	if (value->type != jbvString)
		hd_schema_refuse(place, "must be a string");
	rule(builder, kind)->as.node =
		hd_schema_build_reference(builder->compiler, value->val.string.val, value->val.string.len,
								  place);
}

static void
compile_several(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				const HdSchemaPath *place)
{
	HdSchemaNodes *nodes = palloc(sizeof(HdSchemaNodes));

	*nodes = nodes_value(builder, value, place);
	rule(builder, kind)->as.nodes = nodes;
}

static void
compile_if(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
		   const HdSchemaPath *place)
{
	HdSchemaIf *branch = palloc(sizeof(HdSchemaIf));

	branch->condition = hd_schema_build_node(builder->compiler, value, place);
	branch->then = sibling_node(builder, "then");
	branch->otherwise = sibling_node(builder, "else");
	rule(builder, kind)->as.branch = branch;
}

/* Means something beside if only, where it is found again; but it must be a schema. */
static void
compile_branch(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			   const HdSchemaPath *place)
{
	(void) hd_schema_build_node(builder->compiler, value, place);
}

static void
compile_definitions(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
					const HdSchemaPath *place)
{
	(void) members_value(builder, kind, value, place);
}

static void
compile_draft(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
			  const HdSchemaPath *place)
{
	if (!is_text(value, DRAFT) && !is_text(value, DRAFT "#"))
		hd_schema_refuse(place, "only " DRAFT " is supported");
}

/* At the root it is a name; below it would change what references mean. */
static void
compile_id(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
		   const HdSchemaPath *place)
{
	if (value->type != jbvString)
		hd_schema_refuse(place, "must be a string");
	if (builder->place->parent != NULL)
		hd_schema_refuse(place, "$id is supported at the root only");
}

static void
compile_dynamic(HdSchemaBuilder *builder, HdSchemaRuleKind kind, const JsonbValue *value,
				const HdSchemaPath *place)
{
	hd_schema_refuse(place, "dynamic references are not supported");
}

/* The shorter part of the table first: what most schemas use. */
static const Keyword keywords[] = {
	{"type", HD_SCHEMA_TYPE, compile_types},
	{"properties", HD_SCHEMA_PROPERTIES, compile_properties},
	{"required", HD_SCHEMA_REQUIRED, compile_names},
	{"additionalProperties", HD_SCHEMA_PROPERTIES, compile_additional},
	{"enum", HD_SCHEMA_ENUM, compile_enum},
	{"const", HD_SCHEMA_CONST, compile_const},
	{"items", HD_SCHEMA_ITEMS, compile_items},
	{"$ref", HD_SCHEMA_REF, compile_reference},
	{"minimum", HD_SCHEMA_MINIMUM, compile_number},
	{"maximum", HD_SCHEMA_MAXIMUM, compile_number},
	{"exclusiveMinimum", HD_SCHEMA_EXCLUSIVE_MINIMUM, compile_number},
	{"exclusiveMaximum", HD_SCHEMA_EXCLUSIVE_MAXIMUM, compile_number},
	{"multipleOf", HD_SCHEMA_MULTIPLE_OF, compile_number},
	{"minLength", HD_SCHEMA_MIN_LENGTH, compile_count},
	{"maxLength", HD_SCHEMA_MAX_LENGTH, compile_count},
	{"pattern", HD_SCHEMA_PATTERN, compile_pattern},
	{"minItems", HD_SCHEMA_MIN_ITEMS, compile_count},
	{"maxItems", HD_SCHEMA_MAX_ITEMS, compile_count},
	{"uniqueItems", HD_SCHEMA_UNIQUE_ITEMS, compile_unique_items},
	{"prefixItems", HD_SCHEMA_ITEMS, compile_prefix_items},
	{"contains", HD_SCHEMA_CONTAINS, compile_contains},
	{"minContains", HD_SCHEMA_CONTAINS, compile_contains_count},
	{"maxContains", HD_SCHEMA_CONTAINS, compile_contains_count},
	{"minProperties", HD_SCHEMA_MIN_PROPERTIES, compile_count},
	{"maxProperties", HD_SCHEMA_MAX_PROPERTIES, compile_count},
	{"patternProperties", HD_SCHEMA_PROPERTIES, compile_pattern_properties},
	{"propertyNames", HD_SCHEMA_PROPERTY_NAMES, compile_one},
	{"dependentRequired", HD_SCHEMA_DEPENDENT_REQUIRED, compile_members},
	{"dependentSchemas", HD_SCHEMA_DEPENDENT_SCHEMAS, compile_members},
	{"allOf", HD_SCHEMA_ALL_OF, compile_several},
	{"anyOf", HD_SCHEMA_ANY_OF, compile_several},
	{"oneOf", HD_SCHEMA_ONE_OF, compile_several},
	{"not", HD_SCHEMA_NOT, compile_one},
	{"if", HD_SCHEMA_IF, compile_if},
	{"then", HD_SCHEMA_IF, compile_branch},
	{"else", HD_SCHEMA_IF, compile_branch},
	{"unevaluatedItems", HD_SCHEMA_UNEVALUATED_ITEMS, compile_one},
	{"unevaluatedProperties", HD_SCHEMA_UNEVALUATED_PROPERTIES, compile_one},
	{"$defs", HD_SCHEMA_RULE_KINDS, compile_definitions},
	{"$schema", HD_SCHEMA_RULE_KINDS, compile_draft},
	{"$id", HD_SCHEMA_RULE_KINDS, compile_id},
	{"$dynamicRef", HD_SCHEMA_RULE_KINDS, compile_dynamic},
};

void
hd_schema_build_keyword(HdSchemaBuilder *builder, const JsonbValue *name, const JsonbValue *value)
{
	HdSchemaPath place = hd_schema_path_name(builder->place, name_of(name));

	for (int i = 0; i < lengthof(keywords); i++)
		if (is_text(name, keywords[i].name))
		{
			keywords[i].compile(builder, keywords[i].kind, value, &place);
			return;
		}
}
