/*-------------------------------------------------------------------------
 * arithmetic.c
 *		Operators that calculate: +, -, *, /, %, min, max.
 *
 * In the dialect js, + and * read their arguments as json-logic-js does, with
 * parseFloat, and what is no number makes the result none; in strict it
 * throws, as does a result that is not finite.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/logic.h"

typedef double (*Step)(double a, double b);

static double
add(double a, double b)
{
	return a + b;
}

static double
subtract(double a, double b)
{
	return a - b;
}

static double
multiply(double a, double b)
{
	return a * b;
}

static double
divide(double a, double b)
{
	return a / b;
}

static double
smaller(double a, double b)
{
	return (isnan(a) || a < b) ? a : b;
}

static double
larger(double a, double b)
{
	return (isnan(a) || a > b) ? a : b;
}

/* The number that a text begins with, as JavaScript's parseFloat; NaN where there is none. */
static double
parse_float(const HdValue *value)
{
	StringInfoData text;
	char *begin;
	char *end;
	double number;

	if (value->type == HD_VALUE_NUMBER)
		return value->as.number;
	if (value->type == HD_VALUE_NULL || value->type == HD_VALUE_BOOL)
		return NAN;
	initStringInfo(&text);
	hd_flags_append_text(&text, value);
	begin = text.data + strspn(text.data, " \t\n\v\f\r");
	if (strncmp(begin + (*begin == '-' || *begin == '+'), "Infinity", 8) == 0)
		return (*begin == '-') ? -INFINITY : INFINITY;
	/* strtod takes hexadecimals and names */
	begin[strspn(begin, "+-0123456789.eE")] = '\0';
	number = strtod(begin, &end);
	return (end == begin) ? NAN : number;
}

static bool
to_number(HdFlagsRun *run, const HdValue *value, bool parsed, double *number)
{
	if (run->dialect == HD_FLAGS_JS)
	{
		*number = parsed ? parse_float(value) : hd_flags_to_number(value);
		return true;
	}
	*number = (value->type >= HD_VALUE_LIST) ? NAN : hd_flags_to_number(value);
	return !isnan(*number) || hd_flags_throw(run, "NaN");
}

static bool
finish(HdFlagsRun *run, double number, HdValue *result)
{
	*result = hd_flags_number(number);
	return run->dialect == HD_FLAGS_JS || isfinite(number) || hd_flags_throw(run, "NaN");
}

/* Go through all arguments, from a value or from the first argument. */
static bool
fold(HdFlagsRun *run, const HdFlagsArgs *args, Step step, bool parsed, double first,
	 HdValue *result)
{
	double number;

	for (int i = 0; i < args->n; i++)
	{
		if (!to_number(run, &args->values[i], parsed, &number))
			return false;
		first = (i == 0 && isnan(first)) ? number : step(first, number);
	}
	return finish(run, first, result);
}

static bool
eval_plus(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	return hd_flags_args(run, node, &args) && fold(run, &args, add, true, 0, result);
}

static bool
eval_times(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	return hd_flags_args(run, node, &args) && fold(run, &args, multiply, true, 1, result);
}

static bool
need(HdFlagsRun *run, const HdFlagsArgs *args, int n)
{
	return run->dialect == HD_FLAGS_JS || args->n >= n || hd_flags_throw(run, "Invalid Arguments");
}

/* With one argument, what the operator does to a neutral value and it. */
static bool
fold_from_first(HdFlagsRun *run, const HdFlagsNode *node, Step step, double neutral,
				HdValue *result)
{
	HdFlagsArgs args;
	double number;

	if (!hd_flags_args(run, node, &args) || !need(run, &args, 1))
		return false;
	if (args.n > 1)
		return fold(run, &args, step, false, NAN, result);
	if (args.n == 0)
		return finish(run, NAN, result);
	return to_number(run, &args.values[0], false, &number) &&
		   finish(run, step(neutral, number), result);
}

static bool
eval_minus(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return fold_from_first(run, node, subtract, 0, result);
}

static bool
eval_divide(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return fold_from_first(run, node, divide, (run->dialect == HD_FLAGS_JS) ? NAN : 1, result);
}

static bool
eval_modulo(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	if (!hd_flags_args(run, node, &args) || !need(run, &args, 2))
		return false;
	if (args.n < 2)
		return finish(run, NAN, result);
	return fold(run, &args, fmod, false, NAN, result);
}

static bool
eval_min(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	if (!hd_flags_args(run, node, &args) || !need(run, &args, 1))
		return false;
	return fold(run, &args, smaller, false, (args.n > 0) ? NAN : INFINITY, result);
}

static bool
eval_max(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	if (!hd_flags_args(run, node, &args) || !need(run, &args, 1))
		return false;
	return fold(run, &args, larger, false, (args.n > 0) ? NAN : -INFINITY, result);
}

const HdFlagsOperator hd_flags_operators_arithmetic[] = {
	{.name = "+", .eval = eval_plus},	{.name = "-", .eval = eval_minus},
	{.name = "*", .eval = eval_times},	{.name = "/", .eval = eval_divide},
	{.name = "%", .eval = eval_modulo}, {.name = "min", .eval = eval_min},
	{.name = "max", .eval = eval_max},	{.name = NULL},
};
