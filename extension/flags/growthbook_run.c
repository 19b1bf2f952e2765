/*-------------------------------------------------------------------------
 * growthbook_run.c
 *		Experiments of GrowthBook, run; and the flags that are asked before a
 *		rule.
 *
 * The order of the steps is that of the SDK, for it decides: a variation that
 * is forced by URL or by the caller outweighs all that would exclude the unit,
 * a sticky bucket outweighs conditions but no range of the hash that is bad.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/growthbook.h"

/* No variation. */
#define NONE (-1)

/*
 * Whether all flags that are asked answer as they must; *circular: that cannot
 * be told, since one of them asks for a flag that waits for it.  False: thrown.
 */
static bool
ask_all(HdGrowthBookUser *user, const HdGrowthBookParents *parents, bool *met, bool *gated,
		bool *circular)
{
	HdValuePair pair = {.name = hd_flags_literal("value")};
	HdValue object = {.type = HD_VALUE_PAIRS, .length = 1, .as.pairs = &pair};
	HdValue variant;

	*met = true;
	*gated = false;
	*circular = false;
	for (int i = 0; *met && i < parents->count; i++)
	{
		const HdGrowthBookParent *parent = &parents->items[i];

		if (!hd_flags_ask(user->run, user->node, &parent->flag, &pair.value, &variant))
		{
			*circular = user->run->circular;
			return *circular;
		}
		*met = parent->condition == NULL ||
			   hd_flags_growthbook_holds(user->run, parent->condition, &object);
		*gated = !*met && parent->gate;
	}
	return true;
}

/* What was thrown for a circle stays thrown: every flag of it fails. */
bool
hd_flags_growthbook_prerequisites(HdGrowthBookUser *user, const HdGrowthBookParents *parents,
								  bool *met, bool *gated)
{
	bool circular;

	return ask_all(user, parents, met, gated, &circular) && !circular;
}

/* Out of the experiment: its first variation. */
static bool
leave(HdGrowthBookResult *result)
{
	result->variation = 0;
	result->within = false;
	return true;
}

/* In a variation that something else than the bucket decided; one that does not exist is none. */
static bool
force(HdGrowthBookResult *result, double variation)
{
	if (variation < 0 || variation >= result->experiment->nchoices || variation != trunc(variation))
		return leave(result);
	result->variation = (int) variation;
	result->within = true;
	return true;
}

static bool
forced_by_caller(HdGrowthBookUser *user, const HdValue *key, double *variation)
{
	HdValue all;
	HdValue forced;

	if (!hd_flags_growthbook_option(user, "forcedVariations", &all) ||
		!hd_flags_member(&all, key->as.string, key->length, &forced))
		return false;
	*variation = hd_flags_to_number(&forced);
	return true;
}

static bool
is_disabled(HdGrowthBookUser *user)
{
	HdValue enabled;

	return hd_flags_growthbook_option(user, "enabled", &enabled) && enabled.type == HD_VALUE_BOOL &&
		   !enabled.as.boolean;
}

static bool
is_quality_assurance(HdGrowthBookUser *user)
{
	HdValue mode;

	return hd_flags_growthbook_option(user, "qaMode", &mode) && hd_flags_growthbook_truth(&mode);
}

/* Whether the experiment is for the page that the user is at.  False: thrown. */
static bool
is_targeted(HdGrowthBookUser *user, const HdGrowthBookExperiment *experiment, bool *targeted)
{
	HdValue url;

	*targeted = true;
	if (experiment->targets == NULL)
		return true;
	if (!hd_flags_growthbook_option(user, "url", &url) || url.type != HD_VALUE_STRING)
		url = hd_flags_literal("");
	return hd_flags_growthbook_targeted(user->run, experiment->targets, &url, targeted);
}

/* Whether the caller counts the unit among one of the groups. */
static bool
is_in_groups(HdGrowthBookUser *user, const HdValue *groups)
{
	HdValue all;
	HdValue group;
	HdValue within;
	HdValueWalk walk;

	if (groups->type == HD_VALUE_NULL)
		return true;
	if (!hd_flags_growthbook_option(user, "groups", &all))
		return false;
	hd_flags_walk(&walk, groups);
	while (hd_flags_walk_next(&walk, &group))
		if (group.type == HD_VALUE_STRING &&
			hd_flags_member(&all, group.as.string, group.length, &within) &&
			hd_flags_growthbook_truth(&within))
			return true;
	return false;
}

static bool
is_in_namespace(const HdGrowthBookExperiment *experiment, const HdValue *unit)
{
	double place;

	if (experiment->filters.given || experiment->namespace == NULL)
		return true;
	return hd_flags_growthbook_hash(&experiment->namespace->hashing, unit, &place) &&
		   hd_flags_growthbook_in_ranges(&experiment->namespace->ranges, place) >= 0;
}

/* What a unit that was never in the experiment has to pass.  False: thrown. */
static bool
is_eligible(HdGrowthBookUser *user, const HdGrowthBookResult *result, bool *eligible)
{
	const HdGrowthBookExperiment *experiment = result->experiment;
	bool circular = false;
	bool gated;

	*eligible = !hd_flags_growthbook_filtered_out(user->run, &experiment->filters) &&
				is_in_namespace(experiment, &result->unit.text) &&
				(experiment->condition == NULL ||
				 hd_flags_growthbook_holds(user->run, experiment->condition, NULL));
	if (*eligible && !ask_all(user, &experiment->parents, eligible, &gated, &circular))
		return false;
	/* an experiment by itself is not to blame for a circle: nobody is in it */
	user->run->circular = false;
	*eligible = *eligible && !circular && is_in_groups(user, &experiment->groups);
	return true;
}

/* The leaf of a contextual bandit that is the unit's; NULL: it is none. */
static const HdGrowthBookLeaf *
find_leaf(HdFlagsRun *run, const HdGrowthBookExperiment *experiment)
{
	const HdGrowthBookLeaf *leaf = experiment->leaves;

	while (leaf != NULL && leaf->condition != NULL &&
		   !hd_flags_growthbook_holds(run, leaf->condition, NULL))
		leaf++;
	return leaf;
}

/* The steps from the hash on. */
static bool
place(HdGrowthBookUser *user, HdGrowthBookResult *result, int sticky)
{
	const HdGrowthBookExperiment *experiment = result->experiment;
	const HdGrowthBookRanges *ranges =
		result->leaf != NULL ? &result->leaf->ranges : &experiment->ranges;
	double bucket;
	int variation = sticky;

	if (!hd_flags_growthbook_hash(&experiment->hashing, &result->unit.text, &bucket))
		return leave(result);
	if (sticky < 0)
		variation = hd_flags_growthbook_in_ranges(ranges, bucket);
	if (sticky == HD_GROWTHBOOK_BLOCKED || variation < 0)
	{
		result->sticky = sticky == HD_GROWTHBOOK_BLOCKED;
		return leave(result);
	}
	if (experiment->is_forced)
		return force(result, experiment->forced);
	if (is_quality_assurance(user) || experiment->stopped)
		return leave(result);
	result->hashed = true;
	result->bucket = bucket;
	result->sticky = sticky >= 0;
	return force(result, variation);
}

bool
hd_flags_growthbook_run(HdGrowthBookUser *user, const HdGrowthBookExperiment *experiment,
						HdGrowthBookResult *result)
{
	bool sticky = experiment->sticky && hd_flags_growthbook_is_sticky(user);
	bool found = hd_flags_growthbook_unit(user->run, &experiment->hashing, sticky, &result->unit);
	int assigned = NONE;
	bool targeted;
	bool eligible;
	double variation;

	result->experiment = experiment;
	result->leaf = find_leaf(user->run, experiment);
	result->hashed = false;
	result->sticky = false;
	if (experiment->nchoices < 2 || is_disabled(user))
		return leave(result);
	if (!is_targeted(user, experiment, &targeted))
		return false;
	if (!targeted)
		return leave(result);
	variation = hd_flags_growthbook_from_url(user, experiment);
	if (variation >= 0 || forced_by_caller(user, &experiment->key, &variation))
		return force(result, variation);
	if (experiment->inactive || !found)
		return leave(result);
	if (sticky)
		assigned = hd_flags_growthbook_sticky(user, experiment);
	if (assigned < 0)
	{
		if (!is_eligible(user, result, &eligible))
			return false;
		if (!eligible)
			return leave(result);
	}
	return place(user, result, assigned);
}
