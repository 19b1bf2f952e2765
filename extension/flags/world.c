/*-------------------------------------------------------------------------
 * world.c
 *		Operators that look outside of the rule: other flags and segments.
 *
 * A prerequisite is decided in the same context and the same time as the flag
 * that asks.  Circles are found when a flag is set; one that came together in
 * spite of that throws, in every flag of it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/logic.h"

/* How deep flags may ask flags. */
#define MAX_QUESTIONS 32

bool
hd_flags_ask(HdFlagsRun *run, const HdFlagsNode *node, const HdValue *key, HdValue *value,
			 HdValue *variant)
{
	*value = hd_flags_null();
	*variant = hd_flags_null();
	if (run->world == NULL || key->type != HD_VALUE_STRING)
		return true;
	if (run->depth >= MAX_QUESTIONS)
		return hd_flags_throw(run, "Prerequisites Too Deep");
	for (const HdFlagsRun *r = run; r != NULL; r = r->asker)
		if (hd_flags_is_string(&r->flag_key, key->as.string, key->length))
		{
			run->circular = true;
			return hd_flags_throw(run, "Cyclic Prerequisite");
		}
	run->asking = node;
	return run->world->flag(run, key, value, variant);
}

static bool
ask(HdFlagsRun *run, const HdFlagsNode *node, HdValue *value, HdValue *variant)
{
	HdValue key;

	return hd_flags_arg(run, node, 0, &key) && hd_flags_ask(run, node, &key, value, variant);
}

static void
prepare_ask(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *key = hd_flags_constant_arg(node, 0);

	if (key == NULL || key->type != HD_VALUE_STRING)
		hd_flags_problem(build, node, "%s takes the key of a flag, as it stands", node->op->name);
	else
		hd_flags_asks(build, key, false);
}

static void
prepare_segment(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *segment = hd_flags_constant_arg(node, 0);

	if (segment == NULL || segment->type != HD_VALUE_STRING)
		hd_flags_problem(build, node, "hd_segment takes the name of a segment, as it stands");
	else
		hd_flags_asks_segment(build, segment);
}

static bool
eval_flag(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue variant;

	return ask(run, node, result, &variant);
}

static bool
eval_variant(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue value;

	return ask(run, node, &value, result);
}

static bool
eval_segment(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue segment;
	HdValue unit = {.type = HD_VALUE_NULL};
	bool within = false;

	if (!hd_flags_arg(run, node, 0, &segment))
		return false;
	if (node->nargs > 1)
	{
		if (!hd_flags_arg(run, node, 1, &unit))
			return false;
	}
	else
		(void) hd_flags_read(run, "targetingKey", 12, &unit);
	if (run->world != NULL && segment.type == HD_VALUE_STRING && unit.type == HD_VALUE_STRING &&
		!run->world->segment(run, &segment, &unit, &within))
		return false;
	*result = hd_flags_bool(within);
	return true;
}

/* Whether the context's environment is one of those named. */
static bool
eval_environment(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;
	HdValue environment;
	bool found = false;

	if (!hd_flags_args(run, node, &args))
		return false;
	if (hd_flags_read(run, "environment", 11, &environment) && environment.type == HD_VALUE_STRING)
		for (int i = 0; i < args.n && !found; i++)
			found = hd_flags_is_string(&args.values[i], environment.as.string, environment.length);
	*result = hd_flags_bool(found);
	return true;
}

const HdFlagsOperator hd_flags_operators_world[] = {
	{.name = "hd_flag", .eval = eval_flag, .prepare = prepare_ask},
	{.name = "hd_variant", .eval = eval_variant, .prepare = prepare_ask},
	{.name = "hd_segment", .eval = eval_segment, .prepare = prepare_segment},
	{.name = "hd_environment", .eval = eval_environment},
	{.name = NULL},
};
