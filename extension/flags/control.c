/*-------------------------------------------------------------------------
 * control.c
 *		Operators that choose: if, and, or, not, ??, try, throw.
 *
 * All evaluate no more than they need.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/logic.h"

/* What json-logic-js takes for one argument, the extended suites refuse. */
static bool
wants_list(HdFlagsRun *run, const HdFlagsNode *node)
{
	return node->listed || run->dialect == HD_FLAGS_JS || hd_flags_throw(run, "Invalid Arguments");
}

static bool
eval_if(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	int i;

	if (!wants_list(run, node))
		return false;
	for (i = 0; i + 1 < node->nargs; i += 2)
	{
		if (!hd_flags_eval(run, &node->args[i], result))
			return false;
		if (hd_flags_truthy(result))
			return hd_flags_eval(run, &node->args[i + 1], result);
	}
	return hd_flags_arg(run, node, i, result);
}

/* The first that is not true, or not false; else the last. */
static bool
eval_until(HdFlagsRun *run, const HdFlagsNode *node, bool until, HdValue *result)
{
	if (!wants_list(run, node))
		return false;
	*result = (run->dialect == HD_FLAGS_JS) ? hd_flags_null() : hd_flags_bool(false);
	for (int i = 0; i < node->nargs; i++)
	{
		if (!hd_flags_eval(run, &node->args[i], result))
			return false;
		if (hd_flags_truthy(result) == until)
			break;
	}
	return true;
}

static bool
eval_and(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_until(run, node, false, result);
}

static bool
eval_or(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_until(run, node, true, result);
}

static bool
eval_not(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue value;

	if (!hd_flags_arg(run, node, 0, &value))
		return false;
	*result = hd_flags_bool(!hd_flags_truthy(&value));
	return true;
}

static bool
eval_truth(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue value;

	if (!hd_flags_arg(run, node, 0, &value))
		return false;
	*result = hd_flags_bool(hd_flags_truthy(&value));
	return true;
}

static bool
eval_coalesce(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	*result = hd_flags_null();
	for (int i = 0; i < node->nargs && result->type == HD_VALUE_NULL; i++)
		if (!hd_flags_eval(run, &node->args[i], result))
			return false;
	return true;
}

/* What is thrown is an object; of anything else, an object of that type. */
static bool
eval_throw(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValuePair *pair;

	if (!hd_flags_arg(run, node, 0, result))
		return false;
	if (hd_flags_is_object(result))
	{
		run->error = *result;
		return false;
	}
	pair = palloc(sizeof(HdValuePair));
	pair->name = hd_flags_literal("type");
	pair->value = *result;
	run->error.type = HD_VALUE_PAIRS;
	run->error.length = 1;
	run->error.as.pairs = pair;
	return false;
}

/* The first that throws nothing.  All but the first see the error as their data. */
static bool
eval_try(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const HdFlagsScope *saved = run->scope;
	HdFlagsScope handler = {.parent = saved};
	bool done;

	*result = hd_flags_null();
	for (int i = 0; i < node->nargs; i++)
	{
		if (i > 0)
		{
			handler.data = run->error;
			run->scope = &handler;
		}
		done = hd_flags_eval(run, &node->args[i], result);
		run->scope = saved;
		if (done)
			return true;
	}
	return node->nargs == 0;
}

static bool
eval_nothing(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	*result = node->constant;
	return true;
}

/* preserve keeps its argument as it stands. */
static void
prepare_preserve(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	node->constant = *arguments;
}

/* log gives its argument; there is nowhere to write it. */
static bool
eval_first(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return hd_flags_arg(run, node, 0, result);
}

const HdFlagsOperator hd_flags_operators_control[] = {
	{.name = "if", .eval = eval_if},
	{.name = "?:", .eval = eval_if},
	{.name = "and", .eval = eval_and},
	{.name = "or", .eval = eval_or},
	{.name = "!", .eval = eval_not},
	{.name = "!!", .eval = eval_truth},
	{.name = "??", .eval = eval_coalesce},
	{.name = "throw", .eval = eval_throw},
	{.name = "try", .eval = eval_try},
	{.name = "preserve", .eval = eval_nothing, .prepare = prepare_preserve, .verbatim = true},
	{.name = "log", .eval = eval_first},
	{.name = NULL},
};
