/*-------------------------------------------------------------------------
 * evaluate.c
 *		What all operators need while a rule is evaluated.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "flags/logic.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Every so many steps a cancelled query is noticed. */
#define STEPS_BETWEEN_INTERRUPTS 1024

bool
hd_flags_throw(HdFlagsRun *run, const char *type)
{
	HdValuePair *pair = palloc(sizeof(HdValuePair));

	pair->name = hd_flags_literal("type");
	pair->value = hd_flags_string(type, (int) strlen(type));
	run->error.type = HD_VALUE_PAIRS;
	run->error.length = 1;
	run->error.as.pairs = pair;
	return false;
}

bool
hd_flags_step(HdFlagsRun *run)
{
	if (++run->steps % STEPS_BETWEEN_INTERRUPTS == 0)
		CHECK_FOR_INTERRUPTS();
	return hd_flags_may_step(run, 0) && hd_flags_has_memory(run);
}

bool
hd_flags_may_step(HdFlagsRun *run, int64 n)
{
	return n <= HD_FLAGS_MAX_STEPS - run->steps || hd_flags_throw(run, "Too Many Steps");
}

bool
hd_flags_has_memory(HdFlagsRun *run)
{
	return MemoryContextMemAllocated(CurrentMemoryContext, false) <= run->most_memory ||
		   hd_flags_throw(run, "Too Much Memory");
}

TimestampTz
hd_flags_now(HdFlagsRun *run)
{
	if (run->at == 0)
		run->at = hd_clock_statement();
	return run->at;
}

/* What is not in brackets and gave an array is the arguments themselves. */
static bool
spread(HdFlagsRun *run, HdFlagsArgs *args)
{
	HdValue array = args->values[0];
	HdValueWalk walk;
	HdValue *elements;

	if (!hd_flags_may_step(run, hd_flags_length(&array)))
		return false;
	elements = palloc(sizeof(HdValue) * (hd_flags_length(&array) + 1));
	args->n = 0;
	args->values = elements;
	hd_flags_walk(&walk, &array);
	while (hd_flags_walk_next(&walk, &elements[args->n]))
		if (args->n++, !hd_flags_step(run))
			return false;
	return true;
}

static bool
evaluate_all(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args)
{
	/* cppcheck-suppress ctuuninitvar ; they are written here */
	HdValue *values = args->few;

	if (node->nargs > lengthof(args->few))
		values = palloc(sizeof(HdValue) * node->nargs);
	for (int i = 0; i < node->nargs; i++)
		if (!hd_flags_eval(run, &node->args[i], &values[i]))
			return false;
	args->n = node->nargs;
	args->values = values;
	return true;
}

bool
hd_flags_args_spread(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args)
{
	return evaluate_all(run, node, args) &&
		   (node->listed || !hd_flags_is_array(&args->values[0]) || spread(run, args));
}

bool
hd_flags_args(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args)
{
	if (run->dialect == HD_FLAGS_STRICT)
		return hd_flags_args_spread(run, node, args);
	return evaluate_all(run, node, args);
}
