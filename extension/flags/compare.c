/*-------------------------------------------------------------------------
 * compare.c
 *		Operators that compare: ==, ===, <, in and their kin.
 *
 * In the dialect js they are JavaScript's own (ECMA-262, IsLooselyEqual and
 * IsLessThan), where arrays and objects are what they say as text, and two of
 * them are never the same one.  In strict both sides are numbers unless both
 * are strings, a side that is none throws, and all take any number of
 * arguments, each compared with the next until one pair decides.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/logic.h"

typedef enum Comparison
{
	LESS,
	LESS_EQUAL,
	GREATER,
	GREATER_EQUAL,
	EQUAL,
	NOT_EQUAL,
	SAME,
	NOT_SAME
} Comparison;

static bool
is_container(const HdValue *value)
{
	return value->type >= HD_VALUE_LIST;
}

static int
compare_strings(const HdValue *a, const HdValue *b)
{
	int common = memcmp(a->as.string, b->as.string, Min(a->length, b->length));

	return (common != 0) ? common : a->length - b->length;
}

static bool
is_identical(const HdValue *a, const HdValue *b)
{
	return a->type == b->type && !is_container(a) && hd_flags_same(a, b);
}

/* A container as the text that JavaScript compares it by. */
static HdValue
primitive(const HdValue *value)
{
	StringInfoData text;

	if (!is_container(value))
		return *value;
	initStringInfo(&text);
	hd_flags_append_text(&text, value);
	return hd_flags_string(text.data, text.len);
}

static bool
js_equal(const HdValue *a, const HdValue *b)
{
	HdValue left;
	HdValue right;

	if (a->type == b->type || (is_container(a) && is_container(b)))
		return is_identical(a, b);
	if (a->type == HD_VALUE_NULL || b->type == HD_VALUE_NULL)
		return false;
	left = primitive(a);
	right = primitive(b);
	if (left.type == HD_VALUE_STRING && right.type == HD_VALUE_STRING)
		return compare_strings(&left, &right) == 0;
	return hd_flags_to_number(&left) == hd_flags_to_number(&right);
}

static bool
decide(Comparison how, int order)
{
	switch (how)
	{
		case LESS:
			return order < 0;
		case LESS_EQUAL:
			return order <= 0;
		case GREATER:
			return order > 0;
		case GREATER_EQUAL:
			return order >= 0;
		case EQUAL:
		case SAME:
			return order == 0;
		default:
			return order != 0;
	}
}

static bool
decide_numbers(Comparison how, double a, double b)
{
	if (isnan(a) || isnan(b))
		return how == NOT_EQUAL || how == NOT_SAME;
	return decide(how, (a > b) - (a < b));
}

static bool
js_compare(Comparison how, const HdValue *a, const HdValue *b)
{
	HdValue left;
	HdValue right;

	if (how == EQUAL || how == NOT_EQUAL)
		return js_equal(a, b) == (how == EQUAL);
	left = primitive(a);
	right = primitive(b);
	if (left.type == HD_VALUE_STRING && right.type == HD_VALUE_STRING)
		return decide(how, compare_strings(&left, &right));
	return decide_numbers(how, hd_flags_to_number(&left), hd_flags_to_number(&right));
}

/* False: a side is no number. */
static bool
strict_compare(Comparison how, const HdValue *a, const HdValue *b, bool *holds)
{
	double left;
	double right;

	if (a->type == HD_VALUE_STRING && b->type == HD_VALUE_STRING)
	{
		*holds = decide(how, compare_strings(a, b));
		return true;
	}
	if (is_container(a) || is_container(b))
		return false;
	left = hd_flags_to_number(a);
	right = hd_flags_to_number(b);
	*holds = decide_numbers(how, left, right);
	return !isnan(left) && !isnan(right);
}

/* False: thrown. */
static bool
compare_pair(HdFlagsRun *run, Comparison how, const HdValue *a, const HdValue *b, bool *holds)
{
	if (a->type == HD_VALUE_NUMBER && b->type == HD_VALUE_NUMBER)
		*holds = decide_numbers(how, a->as.number, b->as.number);
	else if (how == SAME || how == NOT_SAME)
		*holds = is_identical(a, b) == (how == SAME);
	else if (run->dialect == HD_FLAGS_JS)
		*holds = js_compare(how, a, b);
	else if (!strict_compare(how, a, b, holds))
		return hd_flags_throw(run, "NaN");
	return true;
}

static bool
has_arguments(HdFlagsRun *run, const HdFlagsNode *node)
{
	return run->dialect == HD_FLAGS_JS || (node->listed && node->nargs >= 2) ||
		   hd_flags_throw(run, "Invalid Arguments");
}

static bool
eval_comparison(HdFlagsRun *run, const HdFlagsNode *node, Comparison how, HdValue *result)
{
	HdValue sides[2];
	bool holds = true;
	int i = 1;

	if (!has_arguments(run, node) || !hd_flags_arg(run, node, 0, &sides[0]))
		return false;
	do
	{
		if (!hd_flags_arg(run, node, i, &sides[1]) ||
			!compare_pair(run, how, &sides[0], &sides[1], &holds))
			return false;
		sides[0] = sides[1];
	} while (holds && ++i < node->nargs);
	*result = hd_flags_bool(holds);
	return true;
}

static bool
eval_less(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, LESS, result);
}

static bool
eval_less_equal(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, LESS_EQUAL, result);
}

static bool
eval_greater(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, GREATER, result);
}

static bool
eval_greater_equal(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, GREATER_EQUAL, result);
}

static bool
eval_equal(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, EQUAL, result);
}

static bool
eval_not_equal(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, NOT_EQUAL, result);
}

static bool
eval_same(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, SAME, result);
}

static bool
eval_not_same(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_comparison(run, node, NOT_SAME, result);
}

static bool
contains_text(const HdValue *text, const HdValue *part)
{
	return memmem(text->as.string, text->length, part->as.string, part->length) != NULL;
}

/* A part of a text, or an element of an array. */
static bool
eval_in(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue part;
	HdValue whole;
	HdValue element;
	HdValueWalk walk;
	bool found = false;

	if (!hd_flags_arg(run, node, 0, &part) || !hd_flags_arg(run, node, 1, &whole))
		return false;
	if (whole.type == HD_VALUE_STRING)
	{
		if (part.type != HD_VALUE_STRING)
		{
			StringInfoData text;

			initStringInfo(&text);
			if (part.type == HD_VALUE_NULL)
				appendStringInfoString(&text, "null");
			hd_flags_append_text(&text, &part);
			part = hd_flags_string(text.data, text.len);
		}
		found = whole.length > 0 && contains_text(&whole, &part);
	}
	else
	{
		hd_flags_walk(&walk, &whole);
		while (!found && hd_flags_walk_next(&walk, &element))
			found = is_identical(&part, &element);
	}
	*result = hd_flags_bool(found);
	return true;
}

/* The elements of an array that is written in the rule. */
typedef struct Elements
{
	int n;
	HdValue values[FLEXIBLE_ARRAY_MEMBER];
} Elements;

static bool
eval_in_elements(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const Elements *elements = node->state;
	HdValue part;
	bool found = false;

	if (!hd_flags_arg(run, node, 0, &part))
		return false;
	for (int i = 0; i < elements->n && !found; i++)
		found = is_identical(&part, &elements->values[i]);
	*result = hd_flags_bool(found);
	return true;
}

static void
prepare_in(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *array = hd_flags_constant_arg(node, 1);
	HdValueWalk walk;
	HdValue element;
	Elements *elements;

	if (array == NULL || !hd_flags_is_array(array))
		return;
	elements = palloc(offsetof(Elements, values) + sizeof(HdValue) * hd_flags_length(array));
	elements->n = 0;
	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &element))
		elements->values[elements->n++] = element;
	node->state = elements;
	node->eval = eval_in_elements;
}

const HdFlagsOperator hd_flags_operators_compare[] = {
	{.name = "==", .eval = eval_equal},
	{.name = "!=", .eval = eval_not_equal},
	{.name = "===", .eval = eval_same},
	{.name = "!==", .eval = eval_not_same},
	{.name = "<", .eval = eval_less},
	{.name = "<=", .eval = eval_less_equal},
	{.name = ">", .eval = eval_greater},
	{.name = ">=", .eval = eval_greater_equal},
	{.name = "in", .eval = eval_in, .prepare = prepare_in},
	{.name = NULL},
};
