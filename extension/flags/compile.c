/*-------------------------------------------------------------------------
 * compile.c
 *		Rules to trees.
 *
 * Model: see logic.h.  A reference to a shared rule (flagd's $ref) is
 * replaced by what it refers to before anything else, wherever it stands, so
 * a rule has no cycles; one that refers to itself is a problem of that rule.
 *
 * What is wrong with a rule is found here where it can be, but told when it
 * is evaluated: one bad rule in a document does not keep the others out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/logic.h"
#include "core/compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* References that are being resolved, innermost first. */
typedef struct HdFlagsRef
{
	const struct HdFlagsRef *outer;
	HdValue name;
} HdFlagsRef;

struct HdFlagsBuild
{
	const HdValue *evaluators;
	HdFlagsDialect dialect;
	const HdFlagsRef *refs;
	int depth;
	int nnodes;
	const char *too_much; /* the rule with what it refers to is, in this way; NULL: it is not */
	HdFlagsFacts *facts;
};

static const HdFlagsOperator *const tables[] = {
	hd_flags_operators_access,	   hd_flags_operators_control,	  hd_flags_operators_compare,
	hd_flags_operators_arithmetic, hd_flags_operators_text,		  hd_flags_operators_arrays,
	hd_flags_operators_fractional, hd_flags_operators_match,	  hd_flags_operators_world,
	hd_flags_operators_unleash,	   hd_flags_operators_growthbook,
};

static void compile(HdFlagsBuild *build, const HdValue *rule, HdFlagsNode *node);

static const HdValue nothing = {.type = HD_VALUE_NULL};

static const HdFlagsOperator *
operator_by_name(const HdValue *name)
{
	for (int i = 0; i < lengthof(tables); i++)
		for (const HdFlagsOperator *op = tables[i]; op->name != NULL; op++)
			if (hd_flags_is_string(name, op->name, (int) strlen(op->name)))
				return op;
	return NULL;
}

static bool
eval_constant(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	*result = node->constant;
	return true;
}

/* An array of rules is the array of what they give. */
static bool
eval_array(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue *items = palloc(sizeof(HdValue) * node->nargs);

	for (int i = 0; i < node->nargs; i++)
		if (!hd_flags_eval(run, &node->args[i], &items[i]))
			return false;
	result->type = HD_VALUE_LIST;
	result->length = node->nargs;
	result->as.items = items;
	return true;
}

static bool
eval_problem(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	run->broken = node->state;
	return hd_flags_throw(run, node->op != NULL ? "Invalid Arguments" : "Unknown Operator");
}

static bool
is_constant(const HdFlagsNode *node)
{
	return node->eval == eval_constant;
}

const HdValue *
hd_flags_constant_arg(const HdFlagsNode *node, int n)
{
	return (n < node->nargs && is_constant(&node->args[n])) ? &node->args[n].constant : NULL;
}

void
hd_flags_problem(HdFlagsBuild *build, HdFlagsNode *node, const char *format, ...)
{
	StringInfoData message;
	int needed;

	initStringInfo(&message);
	do
	{
		va_list args;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&message, needed);
	} while (needed > 0);

	node->eval = eval_problem;
	node->state = message.data;
	if (build->facts->problem == NULL)
		build->facts->problem = message.data;
}

/* Add a name to a list of texts, once. */
static List *
note(List *names, const HdValue *name)
{
	ListCell *cell;

	if (name->type != HD_VALUE_STRING)
		return names;
	foreach (cell, names)
	{
		text *known = lfirst(cell);

		if (hd_flags_is_string(name, VARDATA(known), (int) VARSIZE(known) - VARHDRSZ))
			return names;
	}
	return lappend(names, cstring_to_text_with_len(name->as.string, name->length));
}

void
hd_flags_asks(HdFlagsBuild *build, const HdValue *key, bool circles)
{
	build->facts->flags = note(build->facts->flags, key);
	if (!circles)
		build->facts->needs = note(build->facts->needs, key);
}

void
hd_flags_asks_segment(HdFlagsBuild *build, const HdValue *segment)
{
	build->facts->segments = note(build->facts->segments, segment);
}

static void
make_constant(HdFlagsNode *node, const HdValue *value)
{
	node->eval = eval_constant;
	node->constant = *value;
}

/*
 * A bound is passed.  Who sets a flag is told at once.  A flag that is there
 * may have got that large by a change of what it refers to: it fails as a
 * whole, when it is asked.
 */
static void
give_up(HdFlagsBuild *build, HdFlagsNode *node, const char *problem)
{
	if (build->evaluators == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s", problem),
						errdetail("A rule has at most %d parts and is nested at most %d deep, with "
								  "what it refers to.",
								  HD_FLAGS_MAX_NODES, HD_FLAGS_MAX_DEPTH)));
	build->too_much = problem;
	make_constant(node, &nothing);
}

/* The arguments of a node, n of them that are empty yet; none of them when there are too many. */
static void
make_args(HdFlagsBuild *build, HdFlagsNode *node, int n)
{
	CHECK_FOR_INTERRUPTS();
	node->nargs = 0;
	if (n > HD_FLAGS_MAX_NODES - build->nnodes)
	{
		give_up(build, node, "rule is too large");
		return;
	}
	build->nnodes += n;
	node->args = palloc0(sizeof(HdFlagsNode) * n);
}

static void
compile_elements(HdFlagsBuild *build, const HdValue *array, HdFlagsNode *node)
{
	HdValueWalk walk;
	HdValue element;

	make_args(build, node, (int) hd_flags_length(array));
	hd_flags_walk(&walk, array);
	while (build->too_much == NULL && hd_flags_walk_next(&walk, &element))
		compile(build, &element, &node->args[node->nargs++]);
}

static void
compile_array(HdFlagsBuild *build, const HdValue *array, HdFlagsNode *node)
{
	compile_elements(build, array, node);
	if (build->too_much != NULL)
		return;
	for (int i = 0; i < node->nargs; i++)
		if (!is_constant(&node->args[i]) || (hd_flags_is_object(&node->args[i].constant) &&
											 hd_flags_length(&node->args[i].constant) == 1))
		{
			node->eval = eval_array;
			return;
		}
	make_constant(node, array);
}

static void
compile_operator(HdFlagsBuild *build, const HdValue *name, const HdValue *arguments,
				 HdFlagsNode *node)
{
	const HdFlagsOperator *op = operator_by_name(name);

	if (op == NULL)
	{
		hd_flags_problem(build, node, "there is no operator \"%.*s\"",
						 pg_mbcliplen(name->as.string, name->length, 64), name->as.string);
		return;
	}
	node->op = op;
	node->eval = op->eval;
	node->listed = hd_flags_is_array(arguments);
	if (!op->verbatim)
	{
		if (node->listed)
			compile_elements(build, arguments, node);
		else
		{
			make_args(build, node, 1);
			if (build->too_much == NULL)
				compile(build, arguments, &node->args[node->nargs++]);
		}
	}
	if (op->prepare != NULL && build->too_much == NULL)
		op->prepare(build, node, arguments);
}

static void
compile_ref(HdFlagsBuild *build, const HdValue *name, HdFlagsNode *node)
{
	HdFlagsRef ref = {.outer = build->refs, .name = *name};
	HdValue rule;

	build->facts->refs = note(build->facts->refs, name);
	if (build->evaluators == NULL)
	{
		make_constant(node, &nothing);
		return;
	}
	if (name->type != HD_VALUE_STRING ||
		!hd_flags_member(build->evaluators, name->as.string, name->length, &rule))
	{
		hd_flags_problem(build, node, "there is no evaluator \"%.*s\"",
						 name->type == HD_VALUE_STRING
							 ? pg_mbcliplen(name->as.string, name->length, 64)
							 : 0,
						 name->type == HD_VALUE_STRING ? name->as.string : "");
		return;
	}
	for (const HdFlagsRef *r = build->refs; r != NULL; r = r->outer)
		if (hd_flags_same(&r->name, name))
		{
			hd_flags_problem(build, node, "evaluator \"%.*s\" refers to itself",
							 pg_mbcliplen(name->as.string, name->length, 64), name->as.string);
			return;
		}
	build->refs = &ref;
	compile(build, &rule, node);
	build->refs = ref.outer;
}

static void
compile(HdFlagsBuild *build, const HdValue *rule, HdFlagsNode *node)
{
	HdValueWalk walk;
	HdValue name;
	HdValue value;

	if (++build->depth > HD_FLAGS_MAX_DEPTH)
		give_up(build, node, "rule is nested too deeply");
	else if (hd_flags_is_array(rule))
		compile_array(build, rule, node);
	else if (!hd_flags_is_object(rule) || hd_flags_length(rule) == 0)
		make_constant(node, rule);
	else if (hd_flags_length(rule) > 1)
	{
		/* data to json-logic-js, and nothing that the extended suites define */
		make_constant(node, rule);
		if (build->dialect == HD_FLAGS_STRICT)
			hd_flags_problem(build, node, "an operation is an object with one member");
	}
	else
	{
		hd_flags_members(&walk, rule);
		while (hd_flags_members_next(&walk, &name, &value))
			;
		if (hd_flags_is_string(&name, "$ref", 4))
			compile_ref(build, &value, node);
		else
			compile_operator(build, &name, &value, node);
	}
	build->depth--;
}

HdFlagsNode *
hd_flags_compile(const HdValue *rule, const HdValue *evaluators, HdFlagsDialect dialect,
				 HdFlagsFacts *facts)
{
	HdFlagsBuild build = {.evaluators = evaluators, .dialect = dialect, .facts = facts};
	HdFlagsNode *node = palloc0(sizeof(HdFlagsNode));

	memset(facts, 0, sizeof(*facts));
	compile(&build, rule, node);
	if (build.too_much != NULL)
	{
		node->op = NULL;
		hd_flags_problem(&build, node, "%s", build.too_much);
	}
	return node;
}
