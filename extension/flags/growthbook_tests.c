/*-------------------------------------------------------------------------
 * growthbook_tests.c
 *		What GrowthBook's conditions ask of one value: plain values and the
 *		operators $eq to $type.
 *
 * Model: the operators are rows of a table, each with what it prepares and
 * what decides.  An operator that GrowthBook does not know holds for nobody,
 * as in GrowthBook; an operand that would make its SDK fail is a problem.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"
#include "miscadmin.h"

/* How two values compare, as bits. */
#define BELOW 1
#define EQUAL 2
#define ABOVE 4

typedef bool (*Prepare)(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test);

typedef struct Operator
{
	const char *name;
	HdGrowthBookHolds holds;
	Prepare prepare; /* NULL: the operand is kept as it is */
	bool negated;
	bool insensitive;
	int relations; /* of comparisons: those that hold */
} Operator;

static bool
is_scalar(const HdValue *value)
{
	return !hd_flags_is_array(value) && !hd_flags_is_object(value);
}

/* ===: arrays and objects equal nothing but themselves, and those here are never the same. */
static bool
is_identical(const HdValue *a, const HdValue *b)
{
	return a->type == b->type && is_scalar(a) && hd_flags_same(a, b);
}

static bool
holds_text(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	HdValue text = hd_flags_growthbook_string(subject);

	if (test->insensitive)
		text = hd_flags_growthbook_lower(&text);
	return hd_flags_is_string(&text, test->expected.as.string, test->expected.length);
}

static bool
holds_number(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return hd_flags_to_number(subject) == test->expected.as.number;
}

static bool
holds_truth(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return subject->type != HD_VALUE_NULL &&
		   hd_flags_growthbook_truth(subject) == test->expected.as.boolean;
}

static bool
holds_null(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return subject->type == HD_VALUE_NULL;
}

static bool
holds_same(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return !is_scalar(subject) && hd_flags_same(subject, &test->expected);
}

static bool
holds_operators(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	for (int i = 0; i < test->nparts; i++)
		if (!hd_flags_growthbook_holds(run, &test->parts[i], subject))
			return false;
	return true;
}

static bool
holds_never(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return false;
}

static bool
holds_identical(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return is_identical(subject, &test->expected) != test->negated;
}

/* The bits of a relation that compare gave; two that do not compare have none. */
static int
relation(int order)
{
	return order > 1 ? 0 : order < 0 ? BELOW : order == 0 ? EQUAL : ABOVE;
}

static bool
holds_order(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	const Operator *op = test->state;

	return (relation(hd_flags_growthbook_compare(subject, &test->expected)) & op->relations) != 0;
}

static bool
holds_version(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	const Operator *op = test->state;
	HdValue version = hd_flags_growthbook_version(subject);

	return (relation(hd_flags_growthbook_order(&version, &test->expected)) & op->relations) != 0;
}

static bool
prepare_version(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	test->expected = hd_flags_growthbook_version(expected);
	return true;
}

static bool
holds_existence(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return (subject->type != HD_VALUE_NULL) == hd_flags_growthbook_truth(&test->expected);
}

static bool
holds_membership(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return hd_flags_growthbook_set_has(test->state, subject) != test->negated;
}

/* In what is no list nothing is, and nothing is not. */
static bool
prepare_set(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	if (!hd_flags_is_array(expected))
		test->holds = holds_never;
	else
		test->state = hd_flags_growthbook_set(expected, test->insensitive);
	return true;
}

/* The group of a name, one for all conditions of a flag. */
static const HdGrowthBookGroup *
find_group(HdGrowthBookParse *parse, const HdValue *name)
{
	HdGrowthBookGroup *group;
	HdValue members;
	ListCell *cell;

	foreach (cell, parse->groups)
	{
		group = lfirst(cell);
		if (hd_flags_is_string(&group->name, name->as.string, name->length))
			return group;
	}
	group = palloc(sizeof(HdGrowthBookGroup));
	group->name = *name;
	group->known = hd_flags_member(&parse->saved_groups, name->as.string, name->length, &members);
	if (group->known && !hd_flags_is_array(&members))
	{
		(void) hd_flags_growthbook_problem(parse, "saved group \"%.*s\" is no list", name->length,
										   name->as.string);
		return NULL;
	}
	if (!group->known)
		members = hd_flags_null();
	group->set = hd_flags_growthbook_set(&members, false);
	parse->groups = lappend(parse->groups, group);
	return group;
}

/* A group that is not known has no members. */
static bool
prepare_group(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	const HdGrowthBookGroup *group;

	if (expected->type != HD_VALUE_STRING)
		return hd_flags_growthbook_problem(parse, "the name of a saved group is no string");
	group = find_group(parse, expected);
	if (group == NULL)
		return false;
	test->state = group->set;
	return true;
}

static bool
holds_denial(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return !hd_flags_growthbook_holds(run, test->parts, subject);
}

static bool
prepare_one(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	test->parts = palloc0(sizeof(HdGrowthBookTest));
	test->nparts = 1;
	return hd_flags_growthbook_test(parse, expected, test->insensitive, test->parts);
}

static bool
holds_size(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	HdValue size = hd_flags_number(hd_flags_length(subject));

	return hd_flags_is_array(subject) && hd_flags_growthbook_holds(run, test->parts, &size);
}

/* Elements that JavaScript takes for false match nothing. */
static bool
holds_element(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	HdValueWalk walk;
	HdValue element;

	hd_flags_walk(&walk, subject);
	while (hd_flags_walk_next(&walk, &element))
	{
		CHECK_FOR_INTERRUPTS();
		if (hd_flags_growthbook_truth(&element) &&
			hd_flags_growthbook_holds(run, test->parts, &element))
			return true;
	}
	return false;
}

static bool
prepare_element(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	if (!hd_flags_is_object(expected))
		return hd_flags_growthbook_problem(parse, "$elemMatch is followed by no object");
	if (hd_flags_growthbook_is_operators(expected))
		return prepare_one(parse, expected, test);
	test->parts = hd_flags_growthbook_condition(parse, expected);
	return test->parts != NULL;
}

static bool
some_element_holds(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *array)
{
	HdValueWalk walk;
	HdValue element;

	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &element))
		if (hd_flags_growthbook_holds(run, test, &element))
			return true;
	return false;
}

static bool
holds_all_elements(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	if (!hd_flags_is_array(subject))
		return false;
	for (int i = 0; i < test->nparts; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!some_element_holds(run, &test->parts[i], subject))
			return false;
	}
	return true;
}

static bool
prepare_list(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	HdValueWalk walk;
	HdValue element;

	if (!hd_flags_is_array(expected))
	{
		test->holds = holds_never;
		return true;
	}
	test->parts = palloc0(sizeof(HdGrowthBookTest) * Max(hd_flags_length(expected), 1));
	hd_flags_walk(&walk, expected);
	while (hd_flags_walk_next(&walk, &element))
		if (!hd_flags_growthbook_test(parse, &element, test->insensitive,
									  &test->parts[test->nparts++]))
			return false;
	return true;
}

static bool
holds_pattern(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	HdValue text = hd_flags_growthbook_string(subject);

	return hd_flags_growthbook_regex_matches(test->state, &text);
}

static bool
prepare_pattern(HdGrowthBookParse *parse, const HdValue *expected, HdGrowthBookTest *test)
{
	if (expected->type != HD_VALUE_STRING)
	{
		test->holds = holds_never;
		return true;
	}
	test->state = hd_flags_growthbook_regex(parse, expected, test->insensitive);
	return test->state != NULL;
}

static HdValue
type_name(const HdValue *value)
{
	switch (value->type)
	{
		case HD_VALUE_NULL:
			return hd_flags_literal("null");
		case HD_VALUE_BOOL:
			return hd_flags_literal("boolean");
		case HD_VALUE_NUMBER:
			return hd_flags_literal("number");
		case HD_VALUE_STRING:
			return hd_flags_literal("string");
		default:
			return hd_flags_is_array(value) ? hd_flags_literal("array")
											: hd_flags_literal("object");
	}
}

static bool
holds_type(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	HdValue name = type_name(subject);

	return is_identical(&name, &test->expected);
}

static const Operator operators[] = {
	{.name = "$eq", .holds = holds_identical},
	{.name = "$ne", .holds = holds_identical, .negated = true},
	{.name = "$lt", .holds = holds_order, .relations = BELOW},
	{.name = "$lte", .holds = holds_order, .relations = BELOW | EQUAL},
	{.name = "$gt", .holds = holds_order, .relations = ABOVE},
	{.name = "$gte", .holds = holds_order, .relations = ABOVE | EQUAL},
	{.name = "$veq", .holds = holds_version, .prepare = prepare_version, .relations = EQUAL},
	{.name = "$vne",
	 .holds = holds_version,
	 .prepare = prepare_version,
	 .relations = BELOW | ABOVE},
	{.name = "$vlt", .holds = holds_version, .prepare = prepare_version, .relations = BELOW},
	{.name = "$vlte",
	 .holds = holds_version,
	 .prepare = prepare_version,
	 .relations = BELOW | EQUAL},
	{.name = "$vgt", .holds = holds_version, .prepare = prepare_version, .relations = ABOVE},
	{.name = "$vgte",
	 .holds = holds_version,
	 .prepare = prepare_version,
	 .relations = ABOVE | EQUAL},
	{.name = "$exists", .holds = holds_existence},
	{.name = "$in", .holds = holds_membership, .prepare = prepare_set},
	{.name = "$nin", .holds = holds_membership, .prepare = prepare_set, .negated = true},
	{.name = "$ini", .holds = holds_membership, .prepare = prepare_set, .insensitive = true},
	{.name = "$nini",
	 .holds = holds_membership,
	 .prepare = prepare_set,
	 .negated = true,
	 .insensitive = true},
	{.name = "$inGroup", .holds = holds_membership, .prepare = prepare_group},
	{.name = "$notInGroup", .holds = holds_membership, .prepare = prepare_group, .negated = true},
	{.name = "$not", .holds = holds_denial, .prepare = prepare_one},
	{.name = "$size", .holds = holds_size, .prepare = prepare_one},
	{.name = "$elemMatch", .holds = holds_element, .prepare = prepare_element},
	{.name = "$all", .holds = holds_all_elements, .prepare = prepare_list},
	{.name = "$alli", .holds = holds_all_elements, .prepare = prepare_list, .insensitive = true},
	{.name = "$regex", .holds = holds_pattern, .prepare = prepare_pattern},
	{.name = "$regexi", .holds = holds_pattern, .prepare = prepare_pattern, .insensitive = true},
	{.name = "$type", .holds = holds_type},
};

static bool
parse_operator(HdGrowthBookParse *parse, const HdValue *name, const HdValue *expected,
			   HdGrowthBookTest *test)
{
	test->expected = *expected;
	test->holds = holds_never;
	for (int i = 0; i < lengthof(operators); i++)
	{
		if (!hd_flags_is_string(name, operators[i].name, strlen(operators[i].name)))
			continue;
		test->holds = operators[i].holds;
		test->negated = operators[i].negated;
		test->insensitive = operators[i].insensitive;
		test->state = unconstify(Operator *, &operators[i]);
		return operators[i].prepare == NULL || operators[i].prepare(parse, expected, test);
	}
	return true;
}

/* Whether an object has members, and all of them are operators. */
bool
hd_flags_growthbook_is_operators(const HdValue *value)
{
	HdValueWalk walk;
	HdValue name;
	HdValue expected;

	if (!hd_flags_is_object(value) || hd_flags_length(value) == 0)
		return false;
	hd_flags_members(&walk, value);
	while (hd_flags_members_next(&walk, &name, &expected))
		if (name.length == 0 || name.as.string[0] != '$')
			return false;
	return true;
}

static bool
parse_operators(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookTest *test)
{
	HdValueWalk walk;
	HdValue name;
	HdValue value;

	test->holds = holds_operators;
	test->parts = palloc0(sizeof(HdGrowthBookTest) * hd_flags_length(source));
	hd_flags_members(&walk, source);
	while (hd_flags_members_next(&walk, &name, &value))
		if (!parse_operator(parse, &name, &value, &test->parts[test->nparts++]))
			return false;
	return true;
}

static HdGrowthBookHolds
plain_test(HdValueType type)
{
	switch (type)
	{
		case HD_VALUE_STRING:
			return holds_text;
		case HD_VALUE_NUMBER:
			return holds_number;
		case HD_VALUE_BOOL:
			return holds_truth;
		case HD_VALUE_NULL:
			return holds_null;
		default:
			return holds_same;
	}
}

bool
hd_flags_growthbook_test(HdGrowthBookParse *parse, const HdValue *expected, bool insensitive,
						 HdGrowthBookTest *test)
{
	bool parsed;

	check_stack_depth();
	if (parse->depth >= HD_FLAGS_MAX_DEPTH || ++parse->ntests > HD_FLAGS_MAX_NODES)
		return hd_flags_growthbook_problem(parse, "a condition is nested too deeply or too large");
	test->insensitive = insensitive;
	if (hd_flags_growthbook_is_operators(expected))
	{
		parse->depth++;
		parsed = parse_operators(parse, expected, test);
		parse->depth--;
		return parsed;
	}
	test->holds = plain_test(expected->type);
	test->expected = insensitive && expected->type == HD_VALUE_STRING
						 ? hd_flags_growthbook_lower(expected)
						 : *expected;
	return true;
}
