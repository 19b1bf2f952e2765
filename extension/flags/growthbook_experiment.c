/*-------------------------------------------------------------------------
 * growthbook_experiment.c
 *		Experiments of GrowthBook as something that can be run: variations, the
 *		ranges of buckets that they have, and the leaves of contextual bandits.
 *
 * Ranges are worked out in the SDK's order of additions and
 * multiplications, each rounded to a double, for a bucket at the border falls
 * by the last bit.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/growthbook.h"

/* How far the sum of weights may be from 1. */
#define LEAST_WEIGHT 0.99
#define MOST_WEIGHT 1.01

/* A bandit's leaf for those whom no other one is for. */
#define NO_LEAF (-1)

/* Bucket versions are looked for one by one. */
#define MAX_BUCKET_VERSION 10000

static HdValue
equal_weights(int n)
{
	HdValue weights = {.type = HD_VALUE_LIST, .length = n};

	weights.as.items = palloc(sizeof(HdValue) * Max(n, 1));
	for (int i = 0; i < n; i++)
		weights.as.items[i] = hd_flags_number(1.0 / n);
	return weights;
}

/* The weights to go by: those given where they are as many as the variations and add up to 1. */
static bool
usable_weights(HdGrowthBookParse *parse, const HdValue *given, int n, HdValue *weights)
{
	double total = 0;
	HdValueWalk walk;
	HdValue weight;

	*weights = equal_weights(n);
	if (!hd_flags_growthbook_truth(given))
		return true;
	if (!hd_flags_is_array(given))
		return hd_flags_growthbook_problem(parse, "weights are no list");
	hd_flags_walk(&walk, given);
	while (hd_flags_walk_next(&walk, &weight))
	{
		if (weight.type != HD_VALUE_NUMBER)
			return hd_flags_growthbook_problem(parse, "a weight is no number");
		total += weight.as.number;
	}
	if (hd_flags_length(given) == n && total >= LEAST_WEIGHT && total <= MOST_WEIGHT)
		*weights = *given;
	return true;
}

static bool
ranges_of_weights(HdGrowthBookParse *parse, const HdValue *given, double coverage, int n,
				  HdGrowthBookRanges *ranges)
{
	HdGrowthBookRange *items = palloc(sizeof(HdGrowthBookRange) * Max(n, 1));
	volatile double begin = 0;
	volatile double share;
	HdValueWalk walk;
	HdValue weights;
	HdValue weight;

	if (!usable_weights(parse, given, n, &weights))
		return false;
	coverage = coverage < 0 ? 0 : coverage > 1 ? 1 : coverage;
	ranges->items = items;
	hd_flags_walk(&walk, &weights);
	while (hd_flags_walk_next(&walk, &weight))
	{
		/* volatile: no machine may fuse the two operations into one */
		share = coverage * weight.as.number;
		items[ranges->count].from = begin;
		items[ranges->count++].to = begin + share;
		begin = begin + weight.as.number;
	}
	return true;
}

/* The ranges that a list of weights makes, unless the source has its own. */
static bool
parse_ranges(HdGrowthBookParse *parse, const HdValue *source, const HdValue *weights, int n,
			 HdGrowthBookRanges *ranges)
{
	double coverage = 1;
	HdValue given;

	if (hd_flags_growthbook_given(source, "ranges", &given))
		return hd_flags_growthbook_ranges(parse, &given, ranges);
	return hd_flags_growthbook_number(parse, source, "coverage", &coverage) &&
		   ranges_of_weights(parse, weights, coverage, n, ranges);
}

/* A variation's key, name and passing through, of the experiment's meta. */
static bool
parse_meta(HdGrowthBookParse *parse, const HdValue *source, int i, HdValue *key, HdValue *title,
		   bool *passthrough)
{
	HdValue list;
	HdValue meta;
	HdValue given;

	*key = hd_flags_null();
	*title = hd_flags_null();
	*passthrough = false;
	if (!hd_flags_growthbook_given(source, "meta", &list))
		return true;
	if (!hd_flags_element(&list, i, &meta) || !hd_flags_is_object(&meta))
		return hd_flags_growthbook_problem(parse, "meta says nothing of variation %d", i);
	*passthrough = hd_flags_growthbook_given(&meta, "passthrough", &given);
	return hd_flags_growthbook_text(parse, &meta, "key", key) &&
		   hd_flags_growthbook_text(parse, &meta, "name", title);
}

static bool
parse_variation(HdGrowthBookParse *parse, const HdValue *source, const HdValue *value, int i,
				HdGrowthBookExperiment *experiment)
{
	HdGrowthBookChoice *choice;
	HdValue key;
	HdValue title;
	bool passthrough;
	bool keyed;
	char *number = psprintf("%d", i);

	if (!parse_meta(parse, source, i, &key, &title, &passthrough))
		return false;
	keyed = key.type != HD_VALUE_NULL;
	if (!keyed)
		key = hd_flags_string(number, strlen(number));
	choice =
		hd_flags_growthbook_choice(parse,
								   psprintf("%.*s/%.*s", experiment->key.length,
											experiment->key.as.string, key.length, key.as.string),
								   value);
	if (choice == NULL)
		return false;
	choice->key = key;
	choice->title = title;
	choice->keyed = keyed;
	choice->passthrough = passthrough;
	experiment->choices[i] = choice;
	return true;
}

static bool
parse_variations(HdGrowthBookParse *parse, const HdValue *source, const HdValue *variations,
				 HdGrowthBookExperiment *experiment)
{
	HdValueWalk walk;
	HdValue value;

	if (!hd_flags_is_array(variations))
		return hd_flags_growthbook_problem(parse, "variations are no list");
	experiment->choices =
		palloc(sizeof(HdGrowthBookChoice *) * Max(hd_flags_length(variations), 1));
	hd_flags_walk(&walk, variations);
	while (hd_flags_walk_next(&walk, &value))
		if (!parse_variation(parse, source, &value, experiment->nchoices++, experiment))
			return false;
	return true;
}

static bool
parse_leaf(HdGrowthBookParse *parse, const HdValue *source, const HdValue *context, int n,
		   HdGrowthBookLeaf *leaf)
{
	if (!hd_flags_is_object(context))
		return hd_flags_growthbook_problem(parse, "a context of a bandit is no object");
	(void) hd_flags_member(context, "leafId", 6, &leaf->id);
	(void) hd_flags_member(context, "weights", 7, &leaf->weights);
	return hd_flags_growthbook_condition_of(parse, context, &leaf->condition) &&
		   parse_ranges(parse, source, &leaf->weights, n, &leaf->ranges);
}

/* The last leaf: the weights of the rule itself. */
static void
add_last_leaf(const HdValue *source, HdGrowthBookExperiment *experiment, HdGrowthBookLeaf *leaf)
{
	leaf->ranges = experiment->ranges;
	leaf->id = hd_flags_number(NO_LEAF);
	if (!hd_flags_growthbook_given(source, "weights", &leaf->weights))
		leaf->weights = equal_weights(experiment->nchoices);
}

/* A reference that leads nowhere leaves a plain experiment. */
static bool
parse_bandit(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookExperiment *experiment)
{
	HdValue *name = palloc0(sizeof(HdValue));
	HdGrowthBookLeaf *leaves;
	HdValue bandit;
	HdValue contexts = hd_flags_null();
	HdValue context;
	HdValueWalk walk;
	int n = 0;

	if (!hd_flags_growthbook_text(parse, source, "contextualBanditRef", name))
		return false;
	if (name->type == HD_VALUE_NULL)
		return true;
	parse->bandits_used = lappend(parse->bandits_used, name);
	if (!hd_flags_member(&parse->bandits, name->as.string, name->length, &bandit) ||
		!hd_flags_growthbook_truth(&bandit))
		return true;
	if (hd_flags_growthbook_given(&bandit, "contexts", &contexts) && !hd_flags_is_array(&contexts))
		return hd_flags_growthbook_problem(parse, "the contexts of a bandit are no list");
	leaves = palloc0(sizeof(HdGrowthBookLeaf) * (hd_flags_length(&contexts) + 1));
	hd_flags_walk(&walk, &contexts);
	while (hd_flags_walk_next(&walk, &context))
		if (!parse_leaf(parse, source, &context, experiment->nchoices, &leaves[n++]))
			return false;
	add_last_leaf(source, experiment, &leaves[n]);
	(void) hd_flags_member(&bandit, "banditVersion", sizeof("banditVersion") - 1,
						   &experiment->bandit_version);
	experiment->leaves = leaves;
	return true;
}

/* ["name", from, to]: a filter of the first hash. */
static bool
parse_namespace(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookExperiment *experiment)
{
	HdGrowthBookFilter *filter;
	HdGrowthBookRange *range;
	HdValue given;
	HdValue name;
	HdValue ends[2];
	char *seed;

	if (!hd_flags_growthbook_given(source, "namespace", &given))
		return true;
	if (!hd_flags_element(&given, 0, &name) || name.type != HD_VALUE_STRING ||
		!hd_flags_element(&given, 1, &ends[0]) || ends[0].type != HD_VALUE_NUMBER ||
		!hd_flags_element(&given, 2, &ends[1]) || ends[1].type != HD_VALUE_NUMBER)
		return hd_flags_growthbook_problem(parse, "a namespace is not a name and two numbers");
	filter = palloc0(sizeof(HdGrowthBookFilter));
	range = palloc(sizeof(HdGrowthBookRange));
	range->from = ends[0].as.number;
	range->to = ends[1].as.number;
	seed = psprintf("__%.*s", name.length, name.as.string);
	filter->hashing.seed = hd_flags_string(seed, strlen(seed));
	filter->hashing.version = 1;
	filter->ranges.items = range;
	filter->ranges.count = 1;
	experiment->namespace = filter;
	return true;
}

static bool
parse_bucket_version(HdGrowthBookParse *parse, const HdValue *source, const char *name,
					 int *version)
{
	double number = 0;

	if (!hd_flags_growthbook_number(parse, source, name, &number))
		return false;
	if (number != trunc(number) || number < 0 || number > MAX_BUCKET_VERSION)
		return hd_flags_growthbook_problem(parse, "%s is not an integer from 0 to %d", name,
										   MAX_BUCKET_VERSION);
	*version = (int) number;
	return true;
}

/* What only an experiment can have that is not in a feature's rule. */
static bool
parse_own(HdGrowthBookParse *parse, const HdValue *source, HdGrowthBookExperiment *experiment)
{
	HdValue given;

	if (hd_flags_growthbook_given(source, "url", &given))
		return hd_flags_growthbook_problem(parse, "url is a pattern of an old kind");
	if (hd_flags_growthbook_given(source, "urlPatterns", &given) &&
		!hd_flags_growthbook_targets(parse, &given, experiment))
		return false;
	if (hd_flags_growthbook_given(source, "groups", &experiment->groups) &&
		!hd_flags_is_array(&experiment->groups))
		return hd_flags_growthbook_problem(parse, "groups are no list");
	experiment->is_forced = hd_flags_member(source, "force", 5, &given);
	if (!hd_flags_growthbook_number(parse, source, "force", &experiment->forced))
		return false;
	if (hd_flags_member(source, "active", 6, &given))
		experiment->inactive = given.type == HD_VALUE_BOOL && !given.as.boolean;
	if (hd_flags_member(source, "status", 6, &given))
	{
		experiment->inactive = experiment->inactive || hd_flags_is_string(&given, "draft", 5);
		experiment->stopped = hd_flags_is_string(&given, "stopped", 7);
	}
	return hd_flags_growthbook_parents(parse, source, &experiment->parents);
}

HdGrowthBookExperiment *
hd_flags_growthbook_experiment(HdGrowthBookParse *parse, const HdValue *source,
							   const HdValue *variations, bool alone)
{
	HdGrowthBookExperiment *experiment = palloc0(sizeof(HdGrowthBookExperiment));
	HdValue weights = hd_flags_null();
	HdValue given;

	experiment->key = parse->key;
	experiment->sticky = !hd_flags_growthbook_given(source, "disableStickyBucketing", &given);
	(void) hd_flags_member(source, "weights", 7, &weights);
	if (!hd_flags_growthbook_text(parse, source, "key", &experiment->key) ||
		!parse_variations(parse, source, variations, experiment) ||
		!hd_flags_growthbook_hashing(parse, source, &experiment->key, &experiment->hashing) ||
		!parse_ranges(parse, source, &weights, experiment->nchoices, &experiment->ranges) ||
		!hd_flags_growthbook_filters(parse, source, &experiment->filters) ||
		!parse_namespace(parse, source, experiment) ||
		!hd_flags_growthbook_condition_of(parse, source, &experiment->condition) ||
		!parse_bucket_version(parse, source, "bucketVersion", &experiment->bucket_version) ||
		!parse_bucket_version(parse, source, "minBucketVersion", &experiment->min_bucket_version))
		return NULL;
	if (alone ? !parse_own(parse, source, experiment) : !parse_bandit(parse, source, experiment))
		return NULL;
	return experiment;
}
