/*-------------------------------------------------------------------------
 * growthbook.c
 *		The operator hd_growthbook: a feature or an experiment of GrowthBook,
 *		evaluated as its SDK for JavaScript does.
 *
 * {"hd_growthbook": {"key": ..., "feature": {...}, "savedGroups": {...},
 * "contextualBandits": {...}}} answers the name of a variant.  The feature is
 * GrowthBook's own JSON; what it needs of the document is beside it.  An
 * experiment of its own stands as "experiment" in the feature's place.
 *
 * Besides the variant it tells whether GrowthBook takes the feature for on,
 * OpenFeature's reason, and, where details are wanted, where the value comes
 * from: GrowthBook's source, rule and experiment's result.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"

/* What a rule came to. */
typedef enum Outcome
{
	NEXT,	/* it says nothing of this unit */
	CHOSEN, /* a value */
	THROWN
} Outcome;

/* Where a value comes from, in GrowthBook's words. */
typedef enum Source
{
	FROM_DEFAULT,
	FROM_FORCE,
	FROM_EXPERIMENT,
	FROM_PREREQUISITE
} Source;

static const char *const source_names[] = {"defaultValue", "force", "experiment", "prerequisite"};

/* What a flag came to. */
typedef struct Decision
{
	const HdGrowthBookChoice *choice;
	Source source;
	HdFlagReason reason;
	HdValue rule;			   /* its id, or "" */
	HdGrowthBookResult result; /* of the experiment that decided; experiment NULL: none did */
} Decision;

/* Members of details that are being put together. */
typedef struct Details
{
	HdValuePair pairs[20];
	int count;
} Details;

static void
add(Details *details, const char *name, HdValue value)
{
	Assert(details->count < lengthof(details->pairs));
	details->pairs[details->count].name = hd_flags_string(name, strlen(name));
	details->pairs[details->count++].value = value;
}

static void
add_given(Details *details, const char *name, HdValue value)
{
	if (value.type != HD_VALUE_NULL)
		add(details, name, value);
}

/* As GrowthBook's result of an experiment. */
static void
add_result(HdGrowthBookUser *user, Details *details, HdGrowthBookResult *result)
{
	const HdGrowthBookExperiment *experiment = result->experiment;
	const HdGrowthBookChoice *choice =
		experiment->nchoices > 0 ? experiment->choices[result->variation] : NULL;
	HdValue document;

	add(details, "experiment", experiment->key);
	add(details, "variationId", hd_flags_number(result->variation));
	add(details, "inExperiment", hd_flags_bool(result->within));
	add(details, "hashUsed", hd_flags_bool(result->hashed));
	add(details, "hashAttribute", result->unit.attribute);
	add(details, "hashValue",
		result->unit.value.type == HD_VALUE_NULL ? hd_flags_literal("") : result->unit.value);
	add(details, "stickyBucketUsed", hd_flags_bool(result->sticky));
	if (choice != NULL)
	{
		add(details, "key", choice->key);
		add_given(details, "name", choice->title);
		if (choice->passthrough)
			add(details, "passthrough", hd_flags_bool(true));
	}
	if (!result->hashed)
		return;
	add(details, "bucket", hd_flags_number(result->bucket));
	if (result->leaf != NULL && result->within)
	{
		add_given(details, "leafId", result->leaf->id);
		add_given(details, "variationWeights", result->leaf->weights);
		add_given(details, "banditVersion", experiment->bandit_version);
	}
	if (result->within && experiment->sticky && hd_flags_growthbook_is_sticky(user) &&
		hd_flags_growthbook_sticky_document(user, experiment, &result->unit, &choice->key,
											&document))
		add(details, "stickyBucketAssignmentDoc", document);
}

/* {"growthbook": {...}}, in the run's memory. */
static HdValue
describe(HdGrowthBookUser *user, Decision *decision)
{
	Details *details = palloc(sizeof(Details));
	HdValuePair *pair = palloc(sizeof(HdValuePair));
	HdValue inner = {.type = HD_VALUE_PAIRS, .as.pairs = details->pairs};
	HdValue outer = {.type = HD_VALUE_PAIRS, .length = 1, .as.pairs = pair};
	const char *source = source_names[decision->source];

	details->count = 0;
	add(details, "source", hd_flags_string(source, strlen(source)));
	add(details, "ruleId", decision->rule);
	if (decision->result.experiment != NULL)
		add_result(user, details, &decision->result);
	inner.length = details->count;
	pair->name = hd_flags_literal("growthbook");
	pair->value = inner;
	return outer;
}

/* Whether the unit is in the share of those for whom a value is forced. */
static bool
is_in_rollout(HdGrowthBookUser *user, const HdGrowthBookRule *rule)
{
	HdGrowthBookUnit unit;
	double bucket;

	if (!rule->is_rollout)
		return true;
	if (!rule->has_range && rule->coverage == 0)
		return false;
	if (!hd_flags_growthbook_unit(user->run, &rule->hashing,
								  rule->sticky && hd_flags_growthbook_is_sticky(user), &unit) ||
		!hd_flags_growthbook_hash(&rule->hashing, &unit.text, &bucket))
		return false;
	if (rule->has_range)
		return bucket >= rule->range.from && bucket < rule->range.to;
	return bucket <= rule->coverage;
}

static Outcome
choose(Decision *decision, const HdGrowthBookChoice *choice, Source source, HdFlagReason reason)
{
	decision->choice = choice;
	decision->source = source;
	decision->reason = reason;
	return CHOSEN;
}

static Outcome
run_experiment(HdGrowthBookUser *user, const HdGrowthBookExperiment *experiment, Decision *decision)
{
	HdGrowthBookResult *result = &decision->result;
	const HdGrowthBookChoice *choice;

	if (!hd_flags_growthbook_run(user, experiment, result))
		return THROWN;
	if (!result->within)
		return NEXT;
	choice = experiment->choices[result->variation];
	return choose(decision, choice, FROM_EXPERIMENT,
				  result->hashed ? HD_FLAG_SPLIT : HD_FLAG_TARGETING_MATCH);
}

static Outcome
run_rule(HdGrowthBookUser *user, const HdGrowthBookFlag *flag, const HdGrowthBookRule *rule,
		 Decision *decision)
{
	Outcome outcome;
	bool met;
	bool gated;

	if (!hd_flags_growthbook_prerequisites(user, &rule->parents, &met, &gated))
		return THROWN;
	if (gated)
		return choose(decision, flag->blocked, FROM_PREREQUISITE, HD_FLAG_TARGETING_MATCH);
	if (!met || hd_flags_growthbook_filtered_out(user->run, &rule->filters))
		return NEXT;
	if (rule->forced != NULL)
	{
		if (rule->condition != NULL && !hd_flags_growthbook_holds(user->run, rule->condition, NULL))
			return NEXT;
		if (!is_in_rollout(user, rule))
			return NEXT;
		decision->rule = rule->id;
		return choose(decision, rule->forced, FROM_FORCE,
					  rule->is_rollout ? HD_FLAG_SPLIT : HD_FLAG_TARGETING_MATCH);
	}
	if (rule->experiment == NULL)
		return NEXT;
	outcome = run_experiment(user, rule->experiment, decision);
	if (outcome == CHOSEN && !decision->choice->passthrough)
		decision->rule = rule->id;
	else if (outcome != THROWN)
	{
		decision->result.experiment = NULL;
		outcome = NEXT;
	}
	return outcome;
}

static Outcome
run_flag(HdGrowthBookUser *user, const HdGrowthBookFlag *flag, Decision *decision)
{
	Outcome outcome = NEXT;

	if (flag->experiment != NULL)
		outcome = run_experiment(user, flag->experiment, decision);
	for (int i = 0; outcome == NEXT && i < flag->nrules; i++)
		outcome = run_rule(user, flag, &flag->rules[i], decision);
	if (outcome == NEXT)
		(void) choose(decision, flag->fallback, FROM_DEFAULT,
					  flag->nrules == 0 && flag->experiment == NULL ? HD_FLAG_STATIC
																	: HD_FLAG_DEFAULT);
	return outcome;
}

/* For an explanation: the rule, and what was hashed to where. */
static void
note(HdFlagsRun *run, const HdFlagsNode *node, const Decision *decision)
{
	const HdGrowthBookResult *result = &decision->result;
	const char *source = source_names[decision->source];
	HdValue value = hd_flags_string(source, strlen(source));

	hd_flags_trace_note(run, node, "source", &value);
	hd_flags_trace_note(run, node, "rule", &decision->rule);
	if (result->experiment == NULL)
		return;
	hd_flags_trace_note(run, node, "experiment", &result->experiment->key);
	hd_flags_trace_note(run, node, "attribute", &result->unit.attribute);
	hd_flags_trace_note(run, node, "unit", &result->unit.value);
	if (!result->hashed)
		return;
	value = hd_flags_number(result->bucket);
	hd_flags_trace_note(run, node, "bucket", &value);
}

static bool
eval_growthbook(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const HdGrowthBookFlag *flag = node->state;
	HdGrowthBookUser user = {.run = run, .node = node};
	Decision decision;

	decision.rule = hd_flags_literal("");
	decision.result.experiment = NULL;
	if (run_flag(&user, flag, &decision) == THROWN)
		return false;
	run->outcome.decided = true;
	run->outcome.on = decision.choice->on;
	run->outcome.by_payload = false;
	run->outcome.payload = NULL;
	run->outcome.reason = decision.reason;
	run->outcome.metadata = run->wants_metadata ? describe(&user, &decision) : hd_flags_null();
	if (unlikely(run->trace != NULL))
		note(run, node, &decision);
	*result = decision.choice->name;
	return true;
}

static void
prepare_growthbook(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	HdGrowthBookParse parse = {.build = build};
	ListCell *cell;

	node->state = hd_flags_growthbook_parse(&parse, arguments);
	if (node->state == NULL)
		hd_flags_problem(build, node, "hd_growthbook: %s", parse.problem);
	foreach (cell, parse.flags)
		hd_flags_asks(build, lfirst(cell), true);
}

const HdFlagsOperator hd_flags_operators_growthbook[] = {
	{.name = "hd_growthbook",
	 .eval = eval_growthbook,
	 .prepare = prepare_growthbook,
	 .verbatim = true,
	 .whole = true},
	{.name = NULL},
};
