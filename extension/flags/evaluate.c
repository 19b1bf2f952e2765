/*-------------------------------------------------------------------------
 * evaluate.c
 *		What all operators need while a rule is evaluated.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "flags/logic.h"
#include "miscadmin.h"

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
	return run->steps <= HD_FLAGS_MAX_STEPS || hd_flags_throw(run, "Too Many Steps");
}

TimestampTz
hd_flags_now(HdFlagsRun *run)
{
	if (run->at == 0)
		run->at = hd_clock_statement();
	return run->at;
}

bool
hd_flags_args(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args)
{
	HdValue *values = args->few;

	if (node->nargs > lengthof(args->few))
		values = palloc(sizeof(HdValue) * node->nargs);
	for (int i = 0; i < node->nargs; i++)
		if (!hd_flags_eval(run, &node->args[i], &values[i]))
			return false;
	args->n = node->nargs;
	args->values = values;
	/* json-logic-js takes such an array for one argument */
	if (run->dialect == HD_FLAGS_STRICT && !node->listed && hd_flags_is_array(&values[0]))
	{
		HdValueWalk walk;
		HdValue *elements = palloc(sizeof(HdValue) * (hd_flags_length(&values[0]) + 1));

		args->n = 0;
		args->values = elements;
		hd_flags_walk(&walk, &values[0]);
		while (hd_flags_walk_next(&walk, &elements[args->n]))
			if (args->n++, !hd_flags_step(run))
				return false;
	}
	return true;
}
