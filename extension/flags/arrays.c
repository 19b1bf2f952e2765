/*-------------------------------------------------------------------------
 * arrays.c
 *		Operators that go through arrays: map, filter, reduce, all, some, none,
 *		merge.
 *
 * Each element is a scope of its own; every one counts as a step of the run.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/logic.h"

typedef struct Iteration
{
	HdFlagsScope scope;
	HdValue array;
	HdValueWalk walk;
	int64 count; /* elements seen */
} Iteration;

/* Whether an argument is written as null, and not a rule that gives it. */
static bool
is_literal_null(const HdFlagsNode *node, int n)
{
	const HdValue *value = hd_flags_constant_arg(node, n);

	return n >= node->nargs || (value != NULL && value->type == HD_VALUE_NULL);
}

static bool
begin(HdFlagsRun *run, const HdFlagsNode *node, Iteration *iteration)
{
	if (run->dialect == HD_FLAGS_STRICT && (!node->listed || is_literal_null(node, 0)))
		return hd_flags_throw(run, "Invalid Arguments");
	if (!hd_flags_arg(run, node, 0, &iteration->array))
		return false;
	iteration->scope.parent = run->scope;
	iteration->count = 0;
	hd_flags_walk(&iteration->walk, &iteration->array);
	return true;
}

/* To the next element; false at the end, or when something was thrown. */
static bool
advance(HdFlagsRun *run, Iteration *iteration, bool *thrown)
{
	*thrown = false;
	if (!hd_flags_walk_next(&iteration->walk, &iteration->scope.data))
		return false;
	iteration->scope.index = hd_flags_number((double) iteration->count++);
	*thrown = !hd_flags_step(run);
	return !*thrown;
}

static bool
apply(HdFlagsRun *run, Iteration *iteration, const HdFlagsNode *node, HdValue *result)
{
	bool done;

	run->scope = &iteration->scope;
	done = hd_flags_arg(run, node, 1, result);
	run->scope = iteration->scope.parent;
	return done;
}

/* The same for an operator that makes a list, and the list with room for all. */
static bool
begin_list(HdFlagsRun *run, const HdFlagsNode *node, Iteration *iteration, HdValue *list)
{
	if (run->dialect == HD_FLAGS_STRICT && is_literal_null(node, 1))
		return hd_flags_throw(run, "Invalid Arguments");
	if (!begin(run, node, iteration) || !hd_flags_may_step(run, iteration->walk.left))
		return false;
	list->type = HD_VALUE_LIST;
	list->length = 0;
	list->as.items = palloc(sizeof(HdValue) * (iteration->walk.left + 1));
	return true;
}

static bool
eval_map(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	Iteration iteration = {.count = 0};
	HdValue list = {.type = HD_VALUE_LIST};
	bool thrown;

	if (!begin_list(run, node, &iteration, &list))
		return false;
	while (advance(run, &iteration, &thrown))
		if (!apply(run, &iteration, node, &list.as.items[list.length++]))
			return false;
	*result = list;
	return !thrown;
}

static bool
eval_filter(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	Iteration iteration = {.count = 0};
	HdValue list = {.type = HD_VALUE_LIST};
	HdValue kept;
	bool thrown;

	if (!begin_list(run, node, &iteration, &list))
		return false;
	while (advance(run, &iteration, &thrown))
	{
		if (!apply(run, &iteration, node, &kept))
			return false;
		if (hd_flags_truthy(&kept))
			list.as.items[list.length++] = iteration.scope.data;
	}
	*result = list;
	return !thrown;
}

/* Whether any element is of that truth, found without going on. */
static bool
any(HdFlagsRun *run, const HdFlagsNode *node, bool truth, bool *found, bool *empty)
{
	Iteration iteration = {.count = 0};
	HdValue holds;
	bool thrown = false;

	*found = false;
	if (!begin(run, node, &iteration))
		return false;
	if (run->dialect == HD_FLAGS_STRICT && iteration.array.type == HD_VALUE_NULL)
		return hd_flags_throw(run, "Invalid Arguments");
	*empty = iteration.walk.left == 0;
	while (!*found && advance(run, &iteration, &thrown))
	{
		if (!apply(run, &iteration, node, &holds))
			return false;
		*found = hd_flags_truthy(&holds) == truth;
	}
	return *found || !thrown;
}

static bool
eval_all(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	bool found;
	bool empty;

	if (!any(run, node, false, &found, &empty))
		return false;
	*result = hd_flags_bool(!found && !empty);
	return true;
}

static bool
eval_some(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	bool found;
	bool empty;

	if (!any(run, node, true, &found, &empty))
		return false;
	*result = hd_flags_bool(found);
	return true;
}

static bool
eval_none(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	bool found;
	bool empty;

	if (!any(run, node, true, &found, &empty))
		return false;
	*result = hd_flags_bool(!found);
	return true;
}

static bool
eval_reduce(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	Iteration iteration = {.count = 0};
	HdValuePair pairs[2] = {{.name = hd_flags_literal("current")},
							{.name = hd_flags_literal("accumulator")}};
	bool thrown;

	if (!begin(run, node, &iteration) || !hd_flags_arg(run, node, 2, result))
		return false;
	while (advance(run, &iteration, &thrown))
	{
		pairs[0].value = iteration.scope.data;
		pairs[1].value = *result;
		iteration.scope.data.type = HD_VALUE_PAIRS;
		iteration.scope.data.length = lengthof(pairs);
		iteration.scope.data.as.pairs = pairs;
		if (!apply(run, &iteration, node, result))
			return false;
	}
	return !thrown;
}

static bool
eval_merge(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue *parts = palloc(sizeof(HdValue) * (node->nargs + 1));
	HdValue list = {.type = HD_VALUE_LIST};
	HdValueWalk walk;
	int64 most = 0;

	for (int i = 0; i < node->nargs; i++)
	{
		if (!hd_flags_eval(run, &node->args[i], &parts[i]))
			return false;
		most += hd_flags_is_array(&parts[i]) ? hd_flags_length(&parts[i]) : 1;
	}
	if (!hd_flags_may_step(run, most) || !hd_flags_has_memory(run))
		return false;
	list.as.items = palloc(sizeof(HdValue) * (most + 1));
	for (int i = 0; i < node->nargs; i++)
	{
		if (!hd_flags_is_array(&parts[i]))
		{
			list.as.items[list.length++] = parts[i];
			continue;
		}
		hd_flags_walk(&walk, &parts[i]);
		while (hd_flags_walk_next(&walk, &list.as.items[list.length]))
			if (list.length++, !hd_flags_step(run))
				return false;
	}
	*result = list;
	return true;
}

const HdFlagsOperator hd_flags_operators_arrays[] = {
	{.name = "map", .eval = eval_map},		 {.name = "filter", .eval = eval_filter},
	{.name = "reduce", .eval = eval_reduce}, {.name = "all", .eval = eval_all},
	{.name = "some", .eval = eval_some},	 {.name = "none", .eval = eval_none},
	{.name = "merge", .eval = eval_merge},	 {.name = NULL},
};
