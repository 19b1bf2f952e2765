/*-------------------------------------------------------------------------
 * growthbook_condition.c
 *		Conditions of GrowthBook: objects of paths and $and, $or, $nor, $not, as
 *		a tree of tests.
 *
 * An object's members must all hold, so their order, which jsonb does not
 * keep, makes no difference.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"
#include "miscadmin.h"

/* A path: its first step is an attribute of the context. */
typedef struct Path
{
	int nsteps;
	HdValue steps[FLEXIBLE_ARRAY_MEMBER];
} Path;

static bool
holds_all(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	for (int i = 0; i < test->nparts; i++)
		if (!hd_flags_growthbook_holds(run, &test->parts[i], subject))
			return false;
	return true;
}

/* Of no conditions at all one holds. */
static bool
holds_any(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	for (int i = 0; i < test->nparts; i++)
		if (hd_flags_growthbook_holds(run, &test->parts[i], subject))
			return !test->negated;
	return (test->nparts == 0) != test->negated;
}

static bool
holds_not(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return !hd_flags_growthbook_holds(run, &test->parts[0], subject);
}

/* The index that a step is in JavaScript, where arrays are objects: digits without leading zeros. */
static int64
step_index(const HdValue *step)
{
	int64 index = 0;

	if (step->length == 0 || step->length > 9 || (step->as.string[0] == '0' && step->length > 1))
		return -1;
	for (int i = 0; i < step->length; i++)
	{
		if (step->as.string[i] < '0' || step->as.string[i] > '9')
			return -1;
		index = index * 10 + step->as.string[i] - '0';
	}
	return index;
}

/* One step further into *value; false where it leads nowhere. */
static bool
take_step(const HdValue *step, HdValue *value)
{
	if (hd_flags_is_object(value))
		return hd_flags_member(value, step->as.string, step->length, value);
	if (!hd_flags_is_array(value))
		return false;
	if (hd_flags_is_string(step, "length", sizeof("length") - 1))
	{
		*value = hd_flags_number(hd_flags_length(value));
		return true;
	}
	return hd_flags_element(value, step_index(step), value);
}

/* What the path leads to must pass the test; where it leads nowhere, null must. */
static bool
holds_path(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	const Path *path = test->state;
	HdValue value;
	bool found;
	int i = 0;

	if (subject != NULL)
	{
		value = *subject;
		found = true;
	}
	else
	{
		found = hd_flags_read(run, path->steps[0].as.string, path->steps[0].length, &value);
		i = 1;
	}
	for (; found && i < path->nsteps; i++)
		found = take_step(&path->steps[i], &value);
	if (!found)
		value = hd_flags_null();
	return hd_flags_growthbook_holds(run, &test->parts[0], &value);
}

static Path *
parse_path(const HdValue *name)
{
	int nsteps = 1;
	int start = 0;
	Path *path;

	for (int i = 0; i < name->length; i++)
		if (name->as.string[i] == '.')
			nsteps++;
	path = palloc(offsetof(Path, steps) + nsteps * sizeof(HdValue));
	path->nsteps = 0;
	for (int i = 0; i <= name->length; i++)
		if (i == name->length || name->as.string[i] == '.')
		{
			path->steps[path->nsteps++] = hd_flags_string(name->as.string + start, i - start);
			start = i + 1;
		}
	return path;
}

static bool parse_condition(HdGrowthBookParse *parse, const HdValue *source,
							HdGrowthBookTest *test);

/* A list of conditions. */
static bool
parse_list(HdGrowthBookParse *parse, const HdValue *name, const HdValue *source,
		   HdGrowthBookTest *test)
{
	HdValueWalk walk;
	HdValue element;

	if (!hd_flags_is_array(source))
		return hd_flags_growthbook_problem(parse, "%.*s is followed by no list", name->length,
										   name->as.string);
	test->parts = palloc0(sizeof(HdGrowthBookTest) * Max(hd_flags_length(source), 1));
	hd_flags_walk(&walk, source);
	while (hd_flags_walk_next(&walk, &element))
		if (!parse_condition(parse, &element, &test->parts[test->nparts++]))
			return false;
	return true;
}

/* One member of a condition. */
static bool
parse_member(HdGrowthBookParse *parse, const HdValue *name, const HdValue *source,
			 HdGrowthBookTest *test)
{
	bool nor = hd_flags_is_string(name, "$nor", 4);

	if (nor || hd_flags_is_string(name, "$or", 3))
	{
		test->holds = holds_any;
		test->negated = nor;
		return parse_list(parse, name, source, test);
	}
	if (hd_flags_is_string(name, "$and", 4))
	{
		test->holds = holds_all;
		return parse_list(parse, name, source, test);
	}
	test->parts = palloc0(sizeof(HdGrowthBookTest) * 1);
	test->nparts = 1;
	if (hd_flags_is_string(name, "$not", 4))
	{
		test->holds = holds_not;
		return parse_condition(parse, source, test->parts);
	}
	test->holds = holds_path;
	test->state = parse_path(name);
	return hd_flags_growthbook_test(parse, source, false, test->parts);
}

static bool
parse_members(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookTest *test)
{
	HdValueWalk walk;
	HdValue name;
	HdValue value;

	hd_flags_members(&walk, source);
	while (hd_flags_members_next(&walk, &name, &value))
		if (!parse_member(parse, &name, &value, &test->parts[test->nparts++]))
			return false;
	return true;
}

static bool
parse_condition(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookTest *test)
{
	bool parsed;

	check_stack_depth();
	if (source->type != HD_VALUE_JSON || !hd_flags_is_object(source))
		return hd_flags_growthbook_problem(parse, "a condition is no object");
	if (parse->depth >= HD_FLAGS_MAX_DEPTH || parse->ntests > HD_FLAGS_MAX_NODES)
		return hd_flags_growthbook_problem(parse, "a condition is nested too deeply or too large");
	parse->depth++;
	parse->ntests += hd_flags_length(source) + 1;
	test->holds = holds_all;
	test->parts = palloc0(sizeof(HdGrowthBookTest) * Max(hd_flags_length(source), 1));
	parsed = parse_members(parse, source, test);
	parse->depth--;
	return parsed;
}

HdGrowthBookTest *
hd_flags_growthbook_condition(HdGrowthBookParse *parse, const HdValue *source)
{
	HdGrowthBookTest *test = palloc0(sizeof(HdGrowthBookTest));

	return parse_condition(parse, source, test) ? test : NULL;
}
