/*-------------------------------------------------------------------------
 * logic.h
 *		JsonLogic: rules compiled to a tree, and the tree evaluated.
 *
 * Model: a node is an operator, its arguments and what the operator prepared
 * of them when the rule was compiled (a parsed version, a compiled pattern).
 * A node evaluates itself and asks its arguments when it needs them, so what
 * is lazy in JsonLogic is lazy here.  Operators stand in tables, one a file;
 * a new one is a row of a table and a function.
 *
 * A rule is compiled into one memory context and never changes; any number of
 * runs may use it.  A run allocates in its own context, which is emptied with
 * the next; common rules allocate nothing.
 *
 * Errors: a rule that goes wrong returns false and leaves its error in the
 * run, as a thrown value; nothing is raised, but for a query that is
 * cancelled or out of memory.  In the dialect js, operators that get odd
 * arguments give what json-logic-js gives; in strict they throw.
 *
 * Bounds: depth and size of a rule when it is compiled, steps and memory of a
 * run while it runs; so no rule overflows the stack, takes for ever or takes
 * all there is.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_LOGIC_H
#define HD_FLAGS_LOGIC_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "flags/bucket.h"
#include "flags/value.h"
#include "nodes/pg_list.h"

/* How deep a rule may be nested, and how many nodes it may have. */
#define HD_FLAGS_MAX_DEPTH 128
#define HD_FLAGS_MAX_NODES 65536

/* Elements that all iterations of a run may visit, nested ones multiplied. */
#define HD_FLAGS_MAX_STEPS 100000

/* What a run may allocate, beside the context given. */
#define HD_FLAGS_MAX_MEMORY ((Size) 64 * 1024 * 1024)

typedef enum HdFlagsDialect
{
	HD_FLAGS_JS,	/* as json-logic-js, for flags: odd arguments are no error */
	HD_FLAGS_STRICT /* as the extended suites of compat-tables */
} HdFlagsDialect;

typedef struct HdFlagsNode HdFlagsNode;
typedef struct HdFlagsRun HdFlagsRun;
typedef struct HdFlagsBuild HdFlagsBuild;
typedef struct HdFlagsTrace HdFlagsTrace;

/* False: an error was thrown, see hd_flags_throw. */
typedef bool (*HdFlagsEval)(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result);

/* What an operator does with a node when it is compiled; may replace its eval and set its state. */
typedef void (*HdFlagsPrepare)(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments);

typedef struct HdFlagsOperator
{
	const char *name;
	HdFlagsEval eval;
	HdFlagsPrepare prepare; /* or NULL */
	bool verbatim;			/* its arguments are data: no nodes are made of them */
	bool whole;				/* a flag of another system: leaves run->outcome */
} HdFlagsOperator;

struct HdFlagsNode
{
	HdFlagsEval eval;
	const HdFlagsOperator *op; /* NULL: a constant, or an array of rules */
	union
	{
		HdValue constant; /* of a constant, and of an operator that keeps its argument as data */
		struct
		{
			HdFlagsNode *args;
			int nargs;
			bool listed; /* the arguments were an array, and not one value without brackets */
		};
	};
	void *state; /* what the operator prepared */
};

/*
 * Where a rule is being evaluated: the data, or an element of an iteration.
 * The operator val climbs two levels for each: the element, then what is
 * known about the iteration (its index), then the data around it.
 */
typedef struct HdFlagsScope
{
	const struct HdFlagsScope *parent;
	HdValue data;
	HdValue index; /* null outside of iterations */
} HdFlagsScope;

/*
 * What a flag's rule can read: the context given, under it that of the
 * session, under it the environment.  Any part may be missing.  A fast path
 * gives the targeting key alone.
 */
typedef struct HdFlagsContext
{
	JsonbContainer *given;		  /* an object, or NULL */
	JsonbContainer *session;	  /* hotdash.flag_context, or NULL */
	HdValue environment;		  /* hotdash.environment; null: unset */
	const HdValue *targeting_key; /* given alone; NULL: look in the others */
} HdFlagsContext;

/* A value by the type that is asked for; null where it has none of that type. */
typedef struct HdFlagsPayload
{
	HdValue any;
	HdValue text;
	HdValue number;
	HdValue json;
} HdFlagsPayload;

/* OpenFeature's reasons, and one more. */
typedef enum HdFlagReason
{
	HD_FLAG_STATIC,
	HD_FLAG_DEFAULT,
	HD_FLAG_TARGETING_MATCH,
	HD_FLAG_SPLIT,
	HD_FLAG_DISABLED,
	HD_FLAG_ERROR,
	HD_FLAG_OVERRIDE /* hotdash.flag_overrides */
} HdFlagReason;

/*
 * What an operator that is a whole flag of another system leaves beside its
 * answer, the variant's name.  Of a flag whose rule is such an operator, this
 * counts where it says something.
 */
typedef struct HdFlagsOutcome
{
	bool decided;				   /* all below are set; false when the run starts */
	bool on;					   /* what flag_enabled says, whatever the value */
	bool by_payload;			   /* the value is the payload's, and the variant a name alone */
	const HdFlagsPayload *payload; /* NULL: the caller's default */
	HdFlagReason reason;
	HdValue metadata; /* laid over the flag's own, null: none; only when wanted */
} HdFlagsOutcome;

struct HdFlagsRun
{
	const HdFlagsScope
		*scope; /* innermost; its data is null at the outermost when context is set */
	const HdFlagsContext *context; /* NULL: plain JsonLogic */
	HdFlagsDialect dialect;
	HdBucketing bucketing;
	HdValue flag_key;				  /* $flagd.flagKey; null in plain JsonLogic */
	TimestampTz at;					  /* $flagd.timestamp; 0: not asked for yet */
	const struct HdFlagsWorld *world; /* other flags and segments; NULL: there are none */
	HdValue whole;					  /* all of the context; null: not asked for yet */
	HdValue error;					  /* thrown last */
	const char *broken;				  /* why the rule could not be compiled, when that was thrown */
	int64 steps;					  /* elements visited by iterations */
	Size most_memory;				  /* of the current memory context */
	HdFlagsTrace *trace;			  /* NULL but for an explanation */
	const HdFlagsRun *asker;		  /* the run of the flag that asks for this one, or NULL */
	const HdFlagsNode *asking;		  /* its node that does */
	int depth;						  /* askers */
	bool circular;					  /* a flag that asked for itself was what was thrown */
	bool counts;					  /* as a use of the flag */
	bool wants_metadata;			  /* set outcome.metadata */
	HdFlagsOutcome outcome;
};

/* What is outside of a rule: as of now, or as of a time (flag.h). */
typedef struct HdFlagsWorld
{
	/*
	 * Value and variant of another flag in the run's context, by hd_flags_ask alone; of one that
	 * does not exist, is disabled or fails, nulls.  False: thrown, for a circle.
	 */
	bool (*flag)(HdFlagsRun *run, const HdValue *key, HdValue *value, HdValue *variant);
	/* Whether the unit is in the segment; false: thrown. */
	bool (*segment)(HdFlagsRun *run, const HdValue *segment, const HdValue *unit, bool *within);
} HdFlagsWorld;

/*
 * hd_flags_compile
 *		A rule as a tree, in the current context.  The rule must live as long.
 *
 * evaluators: for $ref, an object of rules; NULL when they are not known and
 * the rule is compiled for what can be told of it.  A rule that cannot be
 * compiled is a node that throws when it is evaluated (flagd loads such a
 * flag, and it fails alone); *facts get why.  A rule that is nested too deeply
 * or too large is 54000 while evaluators are not known, and such a node as a
 * whole where they are.
 */
typedef struct HdFlagsFacts
{
	const char *problem; /* the first thing that is wrong with the rule, or NULL */
	List *flags;		 /* other flags it asks for, as text */
	List *needs;		 /* those that must not ask for it in turn */
	List *segments;		 /* that it looks into */
	List *refs;			 /* evaluators that it refers to */
} HdFlagsFacts;

extern HdFlagsNode *hd_flags_compile(const HdValue *rule, const HdValue *evaluators,
									 HdFlagsDialect dialect, HdFlagsFacts *facts);

extern bool hd_flags_eval_traced(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result);

/*
 * hd_flags_eval, hd_flags_eval_traced
 *		Evaluate a node; and remember what came of it, for an explanation.
 */
static inline bool
hd_flags_eval(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	if (unlikely(run->trace != NULL))
		return hd_flags_eval_traced(run, node, result);
	return node->eval(run, node, result);
}

/*
 * hd_flags_throw
 *		Leave an error of a type in the run; returns false.  type lives for ever.
 */
extern bool hd_flags_throw(HdFlagsRun *run, const char *type);

/*
 * hd_flags_step
 *		Count an element visited; false, and thrown, when there were too many.
 * hd_flags_may_step
 *		Whether so many may be visited, asked before room is made for them; false:
 *		thrown.
 * hd_flags_has_memory
 *		Whether the run may allocate more, asked by what makes something as large
 *		as its data; false: thrown.
 */
extern bool hd_flags_step(HdFlagsRun *run);
extern bool hd_flags_may_step(HdFlagsRun *run, int64 n);
extern bool hd_flags_has_memory(HdFlagsRun *run);

/*
 * hd_flags_arg
 *		Evaluate argument n; null where there are fewer.
 */
static inline bool
hd_flags_arg(HdFlagsRun *run, const HdFlagsNode *node, int n, HdValue *result)
{
	if (n < node->nargs)
		return hd_flags_eval(run, &node->args[n], result);
	*result = hd_flags_null();
	return true;
}

/*
 * hd_flags_constant_arg
 *		Argument n where it is a constant, else NULL: for prepare functions.
 */
extern const HdValue *hd_flags_constant_arg(const HdFlagsNode *node, int n);

/*
 * hd_flags_attribute
 *		A top-level attribute of what the rule runs on, the context merged; false
 *		where there is none.
 */
extern bool hd_flags_attribute(HdFlagsRun *run, const char *name, int length, HdValue *result);

/*
 * hd_flags_read
 *		The same of an attribute that decides something: explanations show it.
 */
extern bool hd_flags_read(HdFlagsRun *run, const char *name, int length, HdValue *result);

/*
 * hd_flags_ask
 *		Value and variant of another flag, for a node that asks: null where there
 *		is none.  False: thrown, for a circle of flags.
 */
extern bool hd_flags_ask(HdFlagsRun *run, const HdFlagsNode *node, const HdValue *key,
						 HdValue *value, HdValue *variant);

/*
 * hd_flags_asks, hd_flags_asks_segment
 *		For prepare functions: the rule asks for another flag, or for a segment.
 *
 * circles: a circle of such questions is a matter of evaluation, and the flag
 * may be set all the same.
 */
extern void hd_flags_asks(HdFlagsBuild *build, const HdValue *key, bool circles);
extern void hd_flags_asks_segment(HdFlagsBuild *build, const HdValue *segment);

/*
 * hd_flags_problem
 *		For prepare functions: the rule cannot be compiled, and why; the node will
 *		throw.  The message is a sentence without an end.
 */
extern void hd_flags_problem(HdFlagsBuild *build, HdFlagsNode *node, const char *format, ...)
	pg_attribute_printf(3, 4);

/*
 * hd_flags_now
 *		The time that a run is for: of the statement, or the time asked about.
 */
extern TimestampTz hd_flags_now(HdFlagsRun *run);

/*
 * hd_flags_args, hd_flags_args_spread
 *		All arguments, evaluated.  An array that one without brackets gives is the
 *		arguments themselves: in strict, or always (flagd's own operators); to
 *		json-logic-js it is one argument.
 */
typedef struct HdFlagsArgs
{
	int n;
	const HdValue *values;
	HdValue few[8];
} HdFlagsArgs;

extern bool hd_flags_args(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args);
extern bool hd_flags_args_spread(HdFlagsRun *run, const HdFlagsNode *node, HdFlagsArgs *args);

/*
 * hd_flags_context_whole
 *		The context as one object.
 */
extern HdValue hd_flags_context_whole(HdFlagsRun *run);

/*
 * hd_flags_trace_note
 *		For an explanation: what an operator found out, as name and value.  Nothing
 *		outside of explanations.  Call it behind a test of run->trace.
 */
extern void hd_flags_trace_note(HdFlagsRun *run, const HdFlagsNode *node, const char *name,
								const HdValue *value);

/*
 * hd_flags_trace_read
 *		For an explanation, likewise: an attribute that an operator has looked up
 *		by itself, null where it is missing.
 */
extern void hd_flags_trace_read(HdFlagsRun *run, const HdValue *name, const HdValue *value);

/*
 * hd_flags_trace_attribute
 *		Both, of an attribute by its path, which is copied.
 */
extern void hd_flags_trace_attribute(HdFlagsRun *run, const HdFlagsNode *node, StringInfo path,
									 const HdValue *value);

/* The tables of operators, each ended by a row without a name. */
extern const HdFlagsOperator hd_flags_operators_access[];	  /* var, val, exists, missing */
extern const HdFlagsOperator hd_flags_operators_control[];	  /* if, and, or, !, try, ?? */
extern const HdFlagsOperator hd_flags_operators_compare[];	  /* ==, ===, <, in */
extern const HdFlagsOperator hd_flags_operators_arithmetic[]; /* +, -, min, max */
extern const HdFlagsOperator hd_flags_operators_text[];		  /* cat, substr, starts_with */
extern const HdFlagsOperator hd_flags_operators_arrays[];	  /* map, filter, reduce, merge */
extern const HdFlagsOperator hd_flags_operators_fractional[]; /* fractional, hd_group */
extern const HdFlagsOperator hd_flags_operators_match[]; /* sem_ver, hd_regex, hd_cidr, hd_before */
extern const HdFlagsOperator hd_flags_operators_world[]; /* hd_flag, hd_variant, hd_segment */
extern const HdFlagsOperator hd_flags_operators_unleash[];	  /* hd_unleash_... */
extern const HdFlagsOperator hd_flags_operators_growthbook[]; /* hd_growthbook_... */

#endif /* HD_FLAGS_LOGIC_H */
