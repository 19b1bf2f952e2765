/*-------------------------------------------------------------------------
 * growthbook.h
 *		Features and experiments of GrowthBook, as that system evaluates them.
 *
 * Model: the definition keeps GrowthBook's own JSON.  When the flag is
 * compiled it is parsed into what stands here: rules with their conditions as
 * trees of tests, ranges of buckets worked out, names of variants made.  The
 * same parser makes the definition when a document is imported, so that what
 * is stored and what is evaluated cannot differ.
 *
 * What GrowthBook's SDK for JavaScript answers is the measure, with what
 * JavaScript's conversions make of attributes of another type.  What cannot be
 * carried over exactly is a problem with a name, never something similar.
 *
 * Memory: everything parsed lives in the context that was current; strings
 * point into the definition.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_GROWTHBOOK_H
#define HD_FLAGS_GROWTHBOOK_H

#include "postgres.h"

#include "flags/logic.h"
#include "flags/value.h"
#include "nodes/pg_list.h"

/* Buckets [from, to). */
typedef struct HdGrowthBookRange
{
	double from;
	double to;
} HdGrowthBookRange;

typedef struct HdGrowthBookRanges
{
	const HdGrowthBookRange *items;
	int count;
} HdGrowthBookRanges;

typedef struct HdGrowthBookTest HdGrowthBookTest;

/*
 * A part of a condition.  At the outermost subject is NULL: the attributes of
 * the context; below it is the value that a path led to.
 */
typedef bool (*HdGrowthBookHolds)(HdFlagsRun *run, const HdGrowthBookTest *test,
								  const HdValue *subject);

struct HdGrowthBookTest
{
	HdGrowthBookHolds holds;
	HdValue expected;
	HdGrowthBookTest *parts;
	int nparts;
	bool negated;
	bool insensitive; /* strings are compared in lower case */
	void *state;	  /* a path, a set, a pattern: what holds prepared */
};

/* A value that the flag can have, under the name that it has as a variant. */
typedef struct HdGrowthBookChoice
{
	HdValue name;
	HdValue value;
	HdValue key; /* of an experiment's variation, else null */
	HdValue title;
	int namesakes; /* others that would have had its name, while it is parsed */
	bool keyed;	   /* by its meta, and not by its number */
	bool passthrough;
	bool on; /* whether JavaScript takes the value for true */
} HdGrowthBookChoice;

/* Who is hashed, and how. */
typedef struct HdGrowthBookHashing
{
	HdValue seed;
	HdValue attribute;
	HdValue fallback; /* null: none */
	int version;	  /* 1 or 2; others exclude everyone */
} HdGrowthBookHashing;

typedef struct HdGrowthBookFilter
{
	HdGrowthBookHashing hashing;
	HdGrowthBookRanges ranges;
} HdGrowthBookFilter;

typedef struct HdGrowthBookFilters
{
	const HdGrowthBookFilter *items;
	int count;
	bool given; /* an empty list too outweighs a namespace */
} HdGrowthBookFilters;

typedef struct HdGrowthBookParent
{
	HdValue flag;
	const HdGrowthBookTest *condition;
	bool gate;
} HdGrowthBookParent;

typedef struct HdGrowthBookParents
{
	const HdGrowthBookParent *items;
	int count;
} HdGrowthBookParents;

/* Where a contextual bandit's weights hold. */
typedef struct HdGrowthBookLeaf
{
	const HdGrowthBookTest *condition; /* NULL: for all that came so far */
	HdGrowthBookRanges ranges;
	HdValue id;
	HdValue weights; /* a list */
} HdGrowthBookLeaf;

typedef struct HdGrowthBookTargets HdGrowthBookTargets;

typedef struct HdGrowthBookExperiment
{
	HdValue key;
	HdGrowthBookHashing hashing;
	HdGrowthBookChoice **choices; /* the variations */
	int nchoices;
	HdGrowthBookRanges ranges;
	const HdGrowthBookLeaf *leaves; /* the last one is for everyone; NULL: no bandit */
	HdValue bandit_version;
	HdGrowthBookFilters filters;
	const HdGrowthBookFilter *namespace; /* NULL: none */
	const HdGrowthBookTest *condition;	 /* NULL: none */
	HdGrowthBookParents parents;
	HdValue groups;						/* a list; null: none */
	const HdGrowthBookTargets *targets; /* NULL: none */
	int bucket_version;
	int min_bucket_version;
	bool sticky; /* may be */
	bool inactive;
	bool stopped;
	bool is_forced;
	double forced;
} HdGrowthBookExperiment;

typedef struct HdGrowthBookRule
{
	HdValue id; /* "" where it has none */
	HdGrowthBookParents parents;
	HdGrowthBookFilters filters;
	HdGrowthBookChoice *forced; /* NULL: an experiment, or neither */
	const HdGrowthBookTest *condition;
	HdGrowthBookHashing hashing; /* of a rollout */
	bool sticky;
	bool is_rollout;
	bool has_range;
	HdGrowthBookRange range;
	double coverage;
	HdGrowthBookExperiment *experiment; /* NULL: none */
} HdGrowthBookRule;

typedef struct HdGrowthBookFlag
{
	HdGrowthBookChoice *fallback; /* defaultValue */
	HdGrowthBookChoice *blocked;  /* of gates; NULL: there are none */
	HdGrowthBookRule *rules;
	int nrules;
	HdGrowthBookExperiment *experiment; /* an experiment by itself, without a feature around it */
	int hash_version;					/* highest in use */
	int nchoices;						/* in the parser's list */
} HdGrowthBookFlag;

/* A parser's state; the first problem ends it. */
typedef struct HdGrowthBookParse
{
	HdFlagsBuild *build;  /* NULL: for an import */
	HdValue saved_groups; /* an object, or null */
	HdValue bandits;	  /* likewise */
	HdValue key;		  /* the flag's, "" while it is not known */
	char *problem;		  /* NULL: none */
	List *groups;		  /* HdGrowthBookGroup, those that conditions name */
	List *bandits_used;	  /* HdValue *, their names */
	List *flags;		  /* HdValue *, flags that are asked */
	List *choices;		  /* HdGrowthBookChoice * */
	bool blocks;		  /* has a gate */
	int hash_version;
	int depth;
	int ntests;
} HdGrowthBookParse;

/* A saved group that a condition named. */
typedef struct HdGrowthBookGroup
{
	HdValue name;
	bool known;
	void *set; /* HdGrowthBookSet */
} HdGrowthBookGroup;

/*
 * hd_flags_growthbook_problem
 *		The document cannot be carried over, and why.  Returns false; the first
 *		problem counts.
 */
extern bool hd_flags_growthbook_problem(HdGrowthBookParse *parse, const char *format, ...)
	pg_attribute_printf(2, 3);

/*
 * hd_flags_growthbook_parse (growthbook_parse.c)
 *		The operator's arguments, {"feature" or "experiment", "savedGroups",
 *		"contextualBandits"}.  NULL with parse->problem set.
 */
extern HdGrowthBookFlag *hd_flags_growthbook_parse(HdGrowthBookParse *parse,
												   const HdValue *arguments);

/*
 * hd_flags_growthbook_experiment (growthbook_experiment.c)
 *		A rule's or a document's experiment; NULL with parse->problem set.
 */
extern HdGrowthBookExperiment *hd_flags_growthbook_experiment(HdGrowthBookParse *parse,
															  const HdValue *source,
															  const HdValue *variations,
															  bool alone);

/*
 * URLs that an experiment is for (growthbook_targets.c).
 *
 * _targets: false with parse->problem set.  _targeted: whether the URL is one
 * of them; false: thrown, for what a browser makes of it is not known here.
 */
extern bool hd_flags_growthbook_targets(HdGrowthBookParse *parse, const HdValue *source,
										HdGrowthBookExperiment *experiment);
extern bool hd_flags_growthbook_targeted(HdFlagsRun *run, const HdGrowthBookTargets *targets,
										 const HdValue *text, bool *targeted);

/* Parts that rules and experiments share (growthbook_parse.c).  False: a problem. */
extern bool hd_flags_growthbook_hashing(HdGrowthBookParse *parse, const HdValue *source,
										const HdValue *seed, HdGrowthBookHashing *hashing);
extern bool hd_flags_growthbook_filters(HdGrowthBookParse *parse, const HdValue *source,
										HdGrowthBookFilters *filters);
extern bool hd_flags_growthbook_parents(HdGrowthBookParse *parse, const HdValue *source,
										HdGrowthBookParents *parents);
extern bool hd_flags_growthbook_range(HdGrowthBookParse *parse, const HdValue *source,
									  HdGrowthBookRange *range);
extern bool hd_flags_growthbook_ranges(HdGrowthBookParse *parse, const HdValue *source,
									   HdGrowthBookRanges *ranges);
extern bool hd_flags_growthbook_condition_of(HdGrowthBookParse *parse, const HdValue *source,
											 const HdGrowthBookTest **condition);
extern HdGrowthBookChoice *hd_flags_growthbook_choice(HdGrowthBookParse *parse, char *name,
													  const HdValue *value);

/*
 * hd_flags_growthbook_given, _number, _text
 *		A member that JavaScript takes for true; a number or a string where one is
 *		given.  False from _number and _text: it is of another type, a problem.
 */
extern bool hd_flags_growthbook_given(const HdValue *source, const char *name, HdValue *result);
extern bool hd_flags_growthbook_number(HdGrowthBookParse *parse, const HdValue *source,
									   const char *name, double *number);
extern bool hd_flags_growthbook_text(HdGrowthBookParse *parse, const HdValue *source,
									 const char *name, HdValue *text);

/*
 * hd_flags_growthbook_condition (growthbook_condition.c)
 *		A condition as a tree of tests; NULL with parse->problem set.
 */
extern HdGrowthBookTest *hd_flags_growthbook_condition(HdGrowthBookParse *parse,
													   const HdValue *source);

/* Tests of one value (growthbook_tests.c). */
extern bool hd_flags_growthbook_test(HdGrowthBookParse *parse, const HdValue *expected,
									 bool insensitive, HdGrowthBookTest *test);
extern bool hd_flags_growthbook_is_operators(const HdValue *value);

/*
 * hd_flags_growthbook_holds
 *		Whether a condition holds; subject NULL: for the context's attributes.
 */
static inline bool
hd_flags_growthbook_holds(HdFlagsRun *run, const HdGrowthBookTest *test, const HdValue *subject)
{
	return test->holds(run, test, subject);
}

/*
 * JavaScript's conversions (growthbook_script.c).
 *
 * _truth: []  and {} are true, unlike in JsonLogic.  _string: String(), so null
 * is "null".  _json: JSON.stringify(), members in the order of jsonb.  _compare: -1, 0, 1 as < and > have it, 2 where both are false.
 * _order: strings by their UTF-16 units.  _lower: toLowerCase().
 */
extern bool hd_flags_growthbook_truth(const HdValue *value);
extern HdValue hd_flags_growthbook_string(const HdValue *value);
extern HdValue hd_flags_growthbook_json(const HdValue *value);
extern int hd_flags_growthbook_compare(const HdValue *a, const HdValue *b);
extern int hd_flags_growthbook_order(const HdValue *a, const HdValue *b);
extern HdValue hd_flags_growthbook_lower(const HdValue *string);

/* A version padded so that versions compare as strings (growthbook_script.c). */
extern HdValue hd_flags_growthbook_version(const HdValue *value);

/*
 * A set of scalars (growthbook_set.c): $in and saved groups.  Arrays and
 * objects are never in one: JavaScript compares them by identity.
 */
typedef struct HdGrowthBookSet HdGrowthBookSet;

extern HdGrowthBookSet *hd_flags_growthbook_set(const HdValue *list, bool insensitive);
extern bool hd_flags_growthbook_set_has(const HdGrowthBookSet *set, const HdValue *value);

/*
 * JavaScript's regular expressions (growthbook_regex.c).
 *
 * _regex: NULL with parse->problem set: it cannot be carried over.  A pattern
 * that JavaScript refuses matches nothing.
 */
typedef struct HdGrowthBookRegex HdGrowthBookRegex;

extern HdGrowthBookRegex *hd_flags_growthbook_regex(HdGrowthBookParse *parse,
													const HdValue *pattern, bool insensitive);
extern bool hd_flags_growthbook_regex_matches(const HdGrowthBookRegex *regex, const HdValue *text);

/* What is known of the user besides the attributes (growthbook_user.c). */
typedef struct HdGrowthBookUser
{
	HdFlagsRun *run;
	const HdFlagsNode *node; /* the operator */
	bool known;				 /* options was looked up */
	HdValue options;
} HdGrowthBookUser;

/* Whom a hash was asked for. */
typedef struct HdGrowthBookUnit
{
	HdValue attribute;
	HdValue value; /* as it is; null: nobody */
	HdValue text;  /* what is hashed */
	char buffer[32];
} HdGrowthBookUnit;

extern bool hd_flags_growthbook_option(HdGrowthBookUser *user, const char *name, HdValue *result);
extern bool hd_flags_growthbook_is_sticky(HdGrowthBookUser *user);
extern bool hd_flags_growthbook_unit(HdFlagsRun *run, const HdGrowthBookHashing *hashing,
									 bool with_fallback, HdGrowthBookUnit *unit);
extern bool hd_flags_growthbook_hash(const HdGrowthBookHashing *hashing, const HdValue *unit,
									 double *place);
extern bool hd_flags_growthbook_filtered_out(HdFlagsRun *run, const HdGrowthBookFilters *filters);
extern int hd_flags_growthbook_in_ranges(const HdGrowthBookRanges *ranges, double place);
extern int hd_flags_growthbook_from_url(HdGrowthBookUser *user,
										const HdGrowthBookExperiment *experiment);

/* What a sticky bucket says: a variation, -1: none, -2: blocked (growthbook_sticky.c). */
#define HD_GROWTHBOOK_BLOCKED (-2)
extern int hd_flags_growthbook_sticky(HdGrowthBookUser *user,
									  const HdGrowthBookExperiment *experiment);
extern bool hd_flags_growthbook_sticky_document(HdGrowthBookUser *user,
												const HdGrowthBookExperiment *experiment,
												const HdGrowthBookUnit *unit, const HdValue *key,
												HdValue *document);

/* What running an experiment came to (growthbook_run.c). */
typedef struct HdGrowthBookResult
{
	const HdGrowthBookExperiment *experiment;
	const HdGrowthBookLeaf *leaf; /* NULL: none */
	const HdGrowthBookChoice *choice;
	HdGrowthBookUnit unit;
	int variation;
	double bucket;
	bool within; /* the unit is in the experiment */
	bool hashed; /* and its bucket is why */
	bool sticky; /* or an earlier assignment */
} HdGrowthBookResult;

/*
 * hd_flags_growthbook_run
 *		Run an experiment.  False: thrown.
 * hd_flags_growthbook_prerequisites
 *		Whether the flags that are asked first answer as they must; *gated: a gate
 *		does not.  False: thrown, as where they ask each other in a circle.
 */
extern bool hd_flags_growthbook_run(HdGrowthBookUser *user,
									const HdGrowthBookExperiment *experiment,
									HdGrowthBookResult *result);
extern bool hd_flags_growthbook_prerequisites(HdGrowthBookUser *user,
											  const HdGrowthBookParents *parents, bool *met,
											  bool *gated);

#endif /* HD_FLAGS_GROWTHBOOK_H */
