/*-------------------------------------------------------------------------
 * access.c
 *		Operators that read data: var, val, exists, missing, missing_some.
 *
 * Model: data is what the rule runs on: in plain JsonLogic the value given,
 * in a flag the merged context, which is never put together unless a rule
 * asks for all of it; and within an iteration the element.
 *
 * A path that is written in the rule is taken apart when the rule is
 * compiled; one that is computed, each time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/logic.h"
#include "utils/timestamp.h"

typedef struct PathStep
{
	const char *name;
	int length;
	int64 index; /* -1: not a number */
} PathStep;

typedef struct Path
{
	int nsteps; /* 0: all of the data */
	PathStep steps[FLEXIBLE_ARRAY_MEMBER];
} Path;

static bool
outermost(const HdFlagsRun *run)
{
	return run->context != NULL && run->scope->parent == NULL;
}

static bool
json_attribute(JsonbContainer *object, const char *name, int length, HdValue *result)
{
	JsonbValue found;

	if (object == NULL || getKeyJsonValueFromContainer(object, name, length, &found) == NULL)
		return false;
	*result = hd_flags_from_json_value(&found);
	return true;
}

static bool
is_name(const char *name, int length, const char *other, int other_length)
{
	return length == other_length && memcmp(name, other, length) == 0;
}

#define IS_NAME(name, length, other) is_name(name, length, other, sizeof(other) - 1)

/* The attributes of $flagd, which no context can change. */
static HdValue
flagd_attributes(HdFlagsRun *run)
{
	HdValue result = {.type = HD_VALUE_PAIRS, .length = 2};

	result.as.pairs = palloc(sizeof(HdValuePair) * 2);
	result.as.pairs[0].name = hd_flags_literal("flagKey");
	result.as.pairs[0].value = run->flag_key;
	result.as.pairs[1].name = hd_flags_literal("timestamp");
	result.as.pairs[1].value = hd_flags_number((double) timestamptz_to_time_t(hd_flags_now(run)));
	return result;
}

static bool
context_attribute(HdFlagsRun *run, const char *name, int length, HdValue *result)
{
	const HdFlagsContext *context = run->context;

	if (context->targeting_key != NULL && IS_NAME(name, length, "targetingKey"))
	{
		*result = *context->targeting_key;
		return true;
	}
	if (length > 0 && name[0] == '$' && IS_NAME(name, length, "$flagd"))
	{
		*result = flagd_attributes(run);
		return true;
	}
	if (json_attribute(context->given, name, length, result) ||
		json_attribute(context->session, name, length, result))
		return true;
	if (context->environment.type == HD_VALUE_NULL || !IS_NAME(name, length, "environment"))
		return false;
	*result = context->environment;
	return true;
}

bool
hd_flags_attribute(HdFlagsRun *run, const char *name, int length, HdValue *result)
{
	const HdFlagsScope *scope = run->scope;

	if (run->context != NULL)
		return context_attribute(run, name, length, result);
	while (scope->parent != NULL)
		scope = scope->parent;
	return hd_flags_member(&scope->data, name, length, result);
}

bool
hd_flags_read(HdFlagsRun *run, const char *name, int length, HdValue *result)
{
	bool found = hd_flags_attribute(run, name, length, result);

	if (unlikely(run->trace != NULL))
	{
		HdValue key = hd_flags_string(name, length);
		HdValue value = found ? *result : hd_flags_null();

		hd_flags_trace_read(run, &key, &value);
	}
	return found;
}

static void
add_attribute(HdValue *whole, HdValue name, HdValue value)
{
	whole->as.pairs[whole->length].name = name;
	whole->as.pairs[whole->length++].value = value;
}

/* Add the members of an object that are neither among the few of the top nor in the object over it. */
static void
add_under(HdValue *whole, const HdValue *top, JsonbContainer *over, JsonbContainer *object)
{
	HdValue source = {.type = HD_VALUE_JSON, .as.json = object};
	HdValueWalk walk;
	HdValue name;
	HdValue value;
	HdValue known;

	if (object == NULL)
		return;
	hd_flags_members(&walk, &source);
	while (hd_flags_members_next(&walk, &name, &value))
		if (!hd_flags_member(top, name.as.string, name.length, &known) &&
			!json_attribute(over, name.as.string, name.length, &known))
			add_attribute(whole, name, value);
}

HdValue
hd_flags_context_whole(HdFlagsRun *run)
{
	const HdFlagsContext *context = run->context;
	HdValue whole = {.type = HD_VALUE_PAIRS};
	HdValue top;
	HdValue known;
	int most = 3;

	if (run->whole.type != HD_VALUE_NULL)
		return run->whole;
	most += (context->given != NULL) ? JsonContainerSize(context->given) : 0;
	most += (context->session != NULL) ? JsonContainerSize(context->session) : 0;
	whole.as.pairs = palloc(sizeof(HdValuePair) * most);
	add_attribute(&whole, hd_flags_literal("$flagd"), flagd_attributes(run));
	if (context->targeting_key != NULL)
		add_attribute(&whole, hd_flags_literal("targetingKey"), *context->targeting_key);
	top = whole;
	add_under(&whole, &top, NULL, context->given);
	add_under(&whole, &top, context->given, context->session);
	if (context->environment.type != HD_VALUE_NULL &&
		!json_attribute(context->given, "environment", 11, &known) &&
		!json_attribute(context->session, "environment", 11, &known))
		add_attribute(&whole, hd_flags_literal("environment"), context->environment);
	run->whole = whole;
	return whole;
}

/* All of the data.  What an iteration keeps on the stack is copied: it changes. */
static HdValue
scope_whole(HdFlagsRun *run)
{
	HdValue data;

	if (outermost(run))
		return hd_flags_context_whole(run);
	data = run->scope->data;
	if (data.type == HD_VALUE_PAIRS)
	{
		data.as.pairs = palloc(sizeof(HdValuePair) * data.length);
		memcpy(data.as.pairs, run->scope->data.as.pairs, sizeof(HdValuePair) * data.length);
	}
	return data;
}

static bool
step_into(const HdValue *from, const PathStep *step, HdValue *result)
{
	if (hd_flags_is_object(from))
		return hd_flags_member(from, step->name, step->length, result);
	return step->index >= 0 && hd_flags_element(from, step->index, result);
}

static bool
walk_path(HdFlagsRun *run, const Path *path, HdValue *result)
{
	const PathStep *step = path->steps;
	HdValue from;

	if (path->nsteps == 0)
	{
		*result = scope_whole(run);
		return true;
	}
	if (outermost(run) ? !context_attribute(run, step->name, step->length, result)
					   : !step_into(&run->scope->data, step, result))
		return false;
	while (++step < path->steps + path->nsteps)
	{
		from = *result;
		if (!step_into(&from, step, result))
			return false;
	}
	return true;
}

static PathStep
make_step(const char *name, int length)
{
	PathStep step = {.name = name, .length = length, .index = -1};

	if (length == 0 || length > 9)
		return step;
	step.index = 0;
	for (int i = 0; i < length && step.index >= 0; i++)
		step.index = (name[i] >= '0' && name[i] <= '9') ? step.index * 10 + (name[i] - '0') : -1;
	return step;
}

/* As text: what is no string is as JavaScript writes it. */
static const char *
as_text(const HdValue *value, int *length)
{
	StringInfoData text;

	if (value->type == HD_VALUE_STRING)
	{
		*length = value->length;
		return value->as.string;
	}
	initStringInfo(&text);
	hd_flags_append_text(&text, value);
	*length = text.len;
	return text.data;
}

/* "a.b.0" taken apart; "" and null are all of the data, what else is empty as text is a name. */
static Path *
make_path(const HdValue *dotted)
{
	int length;
	const char *text = as_text(dotted, &length);
	bool whole = dotted->type == HD_VALUE_NULL || hd_flags_is_string(dotted, "", 0);
	int nsteps = whole ? 0 : 1;
	Path *path;

	for (int i = 0; i < length; i++)
		nsteps += (text[i] == '.');
	path = palloc(offsetof(Path, steps) + sizeof(PathStep) * nsteps);
	path->nsteps = 0;
	for (int i = 0, begin = 0; nsteps > 0 && i <= length; i++)
		if (i == length || text[i] == '.')
		{
			path->steps[path->nsteps++] = make_step(text + begin, i - begin);
			begin = i + 1;
		}
	return path;
}

static pg_noinline void
trace_path(HdFlagsRun *run, const HdFlagsNode *node, const Path *path, const HdValue *value)
{
	StringInfoData dotted;

	initStringInfo(&dotted);
	for (int i = 0; i < path->nsteps; i++)
		appendStringInfo(&dotted, "%s%.*s", (i > 0) ? "." : "", path->steps[i].length,
						 path->steps[i].name);
	hd_flags_trace_attribute(run, node, &dotted, value);
	pfree(dotted.data);
}

static bool
read_path(HdFlagsRun *run, const Path *path, const HdFlagsNode *node, HdValue *result)
{
	bool done = (walk_path(run, path, result) && result->type != HD_VALUE_NULL) ||
				hd_flags_arg(run, node, 1, result);

	if (unlikely(run->trace != NULL))
	{
		HdValue value = done ? *result : hd_flags_null();

		trace_path(run, node, path, &value);
	}
	return done;
}

/* {"var": [path, default]}, the path known. */
static bool
eval_var_prepared(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return read_path(run, node->state, node, result);
}

/* Likewise, of the outermost data's own attribute in a flag; no default. */
static bool
eval_var_attribute(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const PathStep *step = ((const Path *) node->state)->steps;

	if (unlikely(!outermost(run) || run->trace != NULL))
		return read_path(run, node->state, node, result);
	if (!context_attribute(run, step->name, step->length, result))
		*result = hd_flags_null();
	return true;
}

static bool
eval_var(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue path;

	if (!hd_flags_arg(run, node, 0, &path))
		return false;
	if (run->dialect == HD_FLAGS_STRICT && !node->listed && hd_flags_is_array(&path))
	{
		HdValue array = path;
		HdValue fallback;

		if (!hd_flags_element(&array, 0, &path))
			path = hd_flags_null();
		if (walk_path(run, make_path(&path), result) && result->type != HD_VALUE_NULL)
			return true;
		*result = hd_flags_element(&array, 1, &fallback) ? fallback : hd_flags_null();
		return true;
	}
	return read_path(run, make_path(&path), node, result);
}

static void
prepare_var(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	static const HdValue nothing = {.type = HD_VALUE_NULL};
	const HdValue *path = (node->nargs == 0) ? &nothing : hd_flags_constant_arg(node, 0);
	Path *made;

	if (path == NULL || hd_flags_is_array(path) || hd_flags_is_object(path))
		return;
	made = make_path(path);
	node->state = made;
	node->eval = (made->nsteps == 1 && node->nargs <= 1) ? eval_var_attribute : eval_var_prepared;
}

/* The data so many levels up: elements of iterations and what is known of them in turn. */
static bool
climb(HdFlagsRun *run, double levels, HdValue *result)
{
	const HdFlagsScope *scope = run->scope;
	const HdFlagsScope *saved = run->scope;
	int64 left;

	levels = fabs(levels);
	left = (levels < HD_FLAGS_MAX_DEPTH * 2) ? (int64) levels : HD_FLAGS_MAX_DEPTH * 2;
	while (left >= 2 && scope != NULL)
	{
		scope = scope->parent;
		left -= 2;
	}
	if (scope == NULL)
		return false;
	if (left == 0)
	{
		run->scope = scope;
		*result = scope_whole(run);
		run->scope = saved;
		return true;
	}
	result->type = HD_VALUE_PAIRS;
	result->length = 1;
	result->as.pairs = palloc(sizeof(HdValuePair));
	result->as.pairs[0].name = hd_flags_literal("index");
	result->as.pairs[0].value = scope->index;
	return true;
}

/* Follow the path that the arguments are; false: it leads nowhere. */
static bool
follow(HdFlagsRun *run, const HdFlagsArgs *args, HdValue *result)
{
	int first = 0;
	HdValue levels;
	HdValue from;

	if (args->n > 0 && hd_flags_is_array(&args->values[0]) &&
		hd_flags_element(&args->values[0], 0, &levels) && levels.type == HD_VALUE_NUMBER)
	{
		if (!climb(run, levels.as.number, result))
			return false;
		first = 1;
	}
	else
		*result = scope_whole(run);
	for (int i = first; i < args->n; i++)
	{
		int length;
		const char *text = as_text(&args->values[i], &length);
		PathStep step = make_step(text, length);

		from = *result;
		if (!step_into(&from, &step, result))
			return false;
	}
	return true;
}

static bool
eval_val(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	if (!hd_flags_args(run, node, &args))
		return false;
	if (!node->listed && args.n == 1 && args.values[0].type == HD_VALUE_NULL)
		args.n = 0;
	if (!follow(run, &args, result))
		*result = hd_flags_null();
	return true;
}

static bool
eval_exists(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;
	HdValue found;

	if (!hd_flags_args(run, node, &args))
		return false;
	*result = hd_flags_bool(follow(run, &args, &found));
	return true;
}

/* Whether nothing stands at a path; null and "" are nothing, as in json-logic-js. */
static bool
is_missing(HdFlagsRun *run, const HdValue *path)
{
	HdValue found;

	return !walk_path(run, make_path(path), &found) || found.type == HD_VALUE_NULL ||
		   (found.type == HD_VALUE_STRING && found.length == 0);
}

static HdValue
missing_of(HdFlagsRun *run, const HdValue *paths, int n)
{
	HdValue result = {.type = HD_VALUE_LIST};

	result.as.items = palloc(sizeof(HdValue) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (is_missing(run, &paths[i]))
			result.as.items[result.length++] = paths[i];
	return result;
}

/* The elements of an array, as an array of C. */
static const HdValue *
elements_of(const HdValue *array, int *n)
{
	HdValueWalk walk;
	HdValue *elements = palloc(sizeof(HdValue) * (hd_flags_length(array) + 1));

	*n = 0;
	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &elements[*n]))
		(*n)++;
	return elements;
}

static bool
may_look_for(HdFlagsRun *run, const HdValue *paths)
{
	return hd_flags_may_step(run, hd_flags_length(paths)) && hd_flags_has_memory(run);
}

static bool
eval_missing(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;

	if (!hd_flags_args(run, node, &args))
		return false;
	if (args.n > 0 && hd_flags_is_array(&args.values[0]))
	{
		int n;
		const HdValue *paths;

		if (!may_look_for(run, &args.values[0]))
			return false;
		paths = elements_of(&args.values[0], &n);

		*result = missing_of(run, paths, n);
	}
	else
		*result = missing_of(run, args.values, args.n);
	return true;
}

static bool
eval_missing_some(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue needed;
	HdValue paths;
	const HdValue *each;
	int n;

	if (!hd_flags_arg(run, node, 0, &needed) || !hd_flags_arg(run, node, 1, &paths) ||
		!may_look_for(run, &paths))
		return false;
	each = elements_of(&paths, &n);
	*result = missing_of(run, each, n);
	if (n - result->length >= hd_flags_to_number(&needed))
		result->length = 0;
	return true;
}

const HdFlagsOperator hd_flags_operators_access[] = {
	{.name = "var", .eval = eval_var, .prepare = prepare_var},
	{.name = "val", .eval = eval_val},
	{.name = "exists", .eval = eval_exists},
	{.name = "missing", .eval = eval_missing},
	{.name = "missing_some", .eval = eval_missing_some},
	{.name = NULL},
};
