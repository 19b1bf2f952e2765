/*-------------------------------------------------------------------------
 * unleash.c
 *		The operator hd_unleash: a feature of Unleash, evaluated as its clients do.
 *
 * {"hd_unleash": {"feature": ..., "segments": [...], "json": {...}}}
 *		feature and segments as Unleash's document has them; json has the payloads
 *		of that type, parsed, under their text.
 *
 * Model: a feature is on when it is enabled, its parents are as it wants
 * them, and one of its strategies lets the unit in; the first that does also
 * gives the variant, when it has variants of its own, else the feature's are
 * drawn from.  The operator gives the variant's name, and leaves the rest in
 * the run's outcome: a flag may be on and have no variant, which is then
 * "disabled", as in Unleash.
 *
 * Parents: Unleash allows one level.  A parent that has parents of its own
 * counts as not there, so dependencies that go round end by themselves.
 *
 * Chance: where Unleash draws by chance (no userId and no sessionId, or
 * stickiness "random"), so does this, anew at each evaluation.  Such a flag
 * is not stable within a statement, as it is not between two calls there.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "flags/unleash.h"

#define ROLLOUT_SEED 0

static const HdValue no_variant = {.type = HD_VALUE_STRING, .length = 8, .as.string = "disabled"};

/*
 * Who the unit is, and where it falls
 */

static bool
default_unit(HdFlagsRun *run, char *buffer, HdValue *unit)
{
	static const HdUnleashField user = {.name = {.type = HD_VALUE_STRING,
												 .length = 6,
												 .as.string = "userId"},
										.own = true};
	static const HdUnleashField session = {.name = {.type = HD_VALUE_STRING,
													.length = 9,
													.as.string = "sessionId"},
										   .own = true};

	return hd_flags_unleash_attribute(run, &user, buffer, unit) ||
		   hd_flags_unleash_attribute(run, &session, buffer, unit);
}

static bool
sticky_unit(HdFlagsRun *run, const HdUnleashSticky *sticky, char *buffer, HdValue *unit)
{
	switch (sticky->by)
	{
		case HD_UNLEASH_BY_DEFAULT:
			return default_unit(run, buffer, unit);
		case HD_UNLEASH_BY_FIELD:
			return hd_flags_unleash_attribute(run, &sticky->field, buffer, unit);
		case HD_UNLEASH_BY_CHANCE:
			break;
	}
	return false;
}

/* From 1 to places. */
static uint32
place_of(const HdUnleashSticky *sticky, const HdValue *unit, uint32 places, uint32 seed)
{
	const HdValue parts[] = {sticky->group, *unit};

	return hd_flags_murmur3_parts(parts, lengthof(parts), seed) % places + 1;
}

static uint32
place_by_chance(uint32 places)
{
	return (uint32) pg_prng_uint64_range(&pg_global_prng_state, 1, places);
}

static void
note_place(HdFlagsRun *run, const HdFlagsNode *node, const char *name, uint32 place)
{
	HdValue value = hd_flags_number(place);

	hd_flags_trace_note(run, node, name, &value);
}

/*
 * Strategies
 */

static bool
in_rollout(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashStrategy *strategy)
{
	char buffer[HD_UNLEASH_BUFFER];
	HdValue unit;
	uint32 place;

	if (sticky_unit(run, &strategy->sticky, buffer, &unit))
		place = place_of(&strategy->sticky, &unit, 100, ROLLOUT_SEED);
	else if (strategy->sticky.by != HD_UNLEASH_BY_FIELD)
		place = place_by_chance(100);
	else
		return false;
	if (unlikely(run->trace != NULL))
		note_place(run, node, "bucket", place);
	return place <= strategy->percent;
}

static bool
is_listed(HdFlagsRun *run, const HdUnleashStrategy *strategy)
{
	char buffer[HD_UNLEASH_BUFFER];
	HdValue text;

	if (!hd_flags_unleash_attribute(run, &strategy->field, buffer, &text))
		return false;
	if (strategy->kind == HD_UNLEASH_ADDRESS)
		return hd_flags_unleash_within(&strategy->networks, &text);
	if (strategy->ignore_case)
		text = hd_flags_unleash_lower(&text);
	return hd_flags_unleash_has(&strategy->list, &text);
}

static bool
lets_in(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashStrategy *strategy)
{
	if (strategy->kind == HD_UNLEASH_NOBODY)
		return false;
	for (int i = 0; i < strategy->nconstraints; i++)
		if (!hd_flags_unleash_holds(run, &strategy->constraints[i]))
		{
			if (unlikely(run->trace != NULL))
				hd_flags_trace_note(run, node, "not met", &strategy->constraints[i].source);
			return false;
		}
	switch (strategy->kind)
	{
		case HD_UNLEASH_EVERYBODY:
			return true;
		case HD_UNLEASH_ROLLOUT:
			return in_rollout(run, node, strategy);
		default:
			return is_listed(run, strategy);
	}
}

static bool
some_strategy(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashFeature *feature,
			  const HdUnleashStrategy **chosen)
{
	*chosen = NULL;
	for (int i = 0; i < feature->nstrategies; i++)
	{
		const HdUnleashStrategy *strategy = &feature->strategies[i];
		bool in = lets_in(run, node, strategy);

		if (unlikely(run->trace != NULL))
			hd_flags_trace_note(run, node, in ? "strategy" : "not by strategy", &strategy->name);
		if (in)
		{
			*chosen = strategy;
			return true;
		}
	}
	return feature->nstrategies == 0;
}

/*
 * Variants
 */

static const HdUnleashVariant *
overridden(HdFlagsRun *run, const HdUnleashVariants *variants)
{
	char buffer[HD_UNLEASH_BUFFER];
	HdValue text;

	for (int i = 0; i < variants->n; i++)
		for (int j = 0; j < variants->items[i].noverrides; j++)
		{
			const HdUnleashOverride *override = &variants->items[i].overrides[j];

			if (hd_flags_unleash_attribute(run, &override->field, buffer, &text) &&
				hd_flags_unleash_has(&override->values, &text))
				return &variants->items[i];
		}
	return NULL;
}

static const HdUnleashVariant *
draw_variant(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashVariants *variants)
{
	const HdUnleashVariant *found = overridden(run, variants);
	char buffer[HD_UNLEASH_BUFFER];
	HdValue unit;
	uint32 place;
	uint32 reached = 0;

	if (found != NULL || variants->weight == 0)
		return found;
	if (sticky_unit(run, &variants->sticky, buffer, &unit))
		place = place_of(&variants->sticky, &unit, variants->weight, HD_BUCKET_UNLEASH_VARIANTS);
	else
		place = place_by_chance(variants->weight);
	if (unlikely(run->trace != NULL))
		note_place(run, node, "variant bucket", place);
	for (found = variants->items;; found++)
		if ((reached += found->weight) >= place)
			return found;
}

/*
 * Parents
 */

/* Whether it is another feature that asks this one as its parent. */
static bool
asked_as_parent(const HdFlagsRun *run, const HdFlagsNode *node)
{
	return run->asker != NULL && run->asker->asking->op == node->op;
}

static bool
is_as_wanted(const HdUnleashParent *parent, const HdValue *value, const HdValue *variant)
{
	/* no variant at all: there is no such flag, or it has parents itself */
	if (variant->type == HD_VALUE_NULL || hd_flags_truthy(value) != parent->enabled)
		return false;
	return !parent->enabled || parent->variants.n == 0 ||
		   hd_flags_unleash_has(&parent->variants, variant);
}

/* Whether one parent is as it is wanted; false also for a flag that, in the end, asks for this one. */
static bool
parent_agrees(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashParent *parent, bool *thrown)
{
	HdValue value;
	HdValue variant;

	if (hd_flags_ask(run, node, &parent->feature, &value, &variant))
		return is_as_wanted(parent, &value, &variant);
	*thrown = !run->circular;
	run->circular = false;
	return false;
}

/* False: not all parents are as they are wanted, or one has thrown. */
static bool
parents_agree(HdFlagsRun *run, const HdFlagsNode *node, const HdUnleashFeature *feature,
			  bool *thrown)
{
	*thrown = false;
	for (int i = 0; i < feature->nparents; i++)
		if (!parent_agrees(run, node, &feature->parents[i], thrown))
		{
			if (unlikely(run->trace != NULL))
				hd_flags_trace_note(run, node, "not by parent", &feature->parents[i].feature);
			return false;
		}
	return true;
}

/*
 * The operator
 */

/* Those to draw from: the strategy's, when it has any. */
static const HdUnleashVariants *
variants_of(const HdUnleashFeature *feature, const HdUnleashStrategy *strategy)
{
	return (strategy != NULL && strategy->variants.n > 0) ? &strategy->variants
														  : &feature->variants;
}

/* {"feature_enabled": ...}, which the name of the variant does not tell. */
static HdValue
metadata_of(bool on)
{
	HdValue metadata = {.type = HD_VALUE_PAIRS, .length = 1};

	metadata.as.pairs = palloc(sizeof(HdValuePair));
	metadata.as.pairs->name = hd_flags_literal("feature_enabled");
	metadata.as.pairs->value = hd_flags_bool(on);
	return metadata;
}

static bool
answer(HdFlagsRun *run, bool on, const HdUnleashVariant *variant, HdFlagReason reason,
	   HdValue *result)
{
	HdFlagsOutcome *outcome = &run->outcome;

	outcome->decided = true;
	outcome->on = on;
	outcome->by_payload = true;
	outcome->payload = (variant != NULL && variant->paid) ? &variant->payload : NULL;
	outcome->reason = reason;
	outcome->metadata = run->wants_metadata ? metadata_of(on) : hd_flags_null();
	*result = (variant != NULL) ? variant->name : no_variant;
	return true;
}

/* By which of OpenFeature's reasons a feature is on. */
static HdFlagReason
reason_of(const HdUnleashFeature *feature, const HdUnleashStrategy *strategy)
{
	const HdUnleashVariants *variants = variants_of(feature, strategy);

	if (variants->n > 1 || (strategy != NULL && strategy->kind == HD_UNLEASH_ROLLOUT))
		return HD_FLAG_SPLIT;
	return (strategy == NULL && feature->nparents == 0) ? HD_FLAG_STATIC : HD_FLAG_TARGETING_MATCH;
}

static bool
eval_unleash(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const HdUnleashFeature *feature = node->state;
	const HdUnleashStrategy *strategy;
	const HdUnleashVariants *variants;
	const HdUnleashVariant *variant;
	bool thrown;

	if (feature->nparents > 0 && asked_as_parent(run, node))
	{
		(void) answer(run, false, NULL, HD_FLAG_DEFAULT, result);
		*result = hd_flags_null();
		return true;
	}
	if (!feature->enabled)
		return answer(run, false, NULL, HD_FLAG_STATIC, result);
	if (!parents_agree(run, node, feature, &thrown))
		return !thrown && answer(run, false, NULL, HD_FLAG_DEFAULT, result);
	if (!some_strategy(run, node, feature, &strategy))
		return answer(run, false, NULL, HD_FLAG_DEFAULT, result);
	variants = variants_of(feature, strategy);
	variant = (variants->n > 0) ? draw_variant(run, node, variants) : NULL;
	return answer(run, true, variant, reason_of(feature, strategy), result);
}

static void
prepare_unleash(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const char *problem;
	HdUnleashFeature *feature = hd_flags_unleash_read(arguments, &problem);

	node->state = feature;
	if (problem != NULL)
	{
		hd_flags_problem(build, node, "%s", problem);
		return;
	}
	for (int i = 0; i < feature->nparents; i++)
		hd_flags_asks(build, &feature->parents[i].feature, true);
}

const HdFlagsOperator hd_flags_operators_unleash[] = {
	{.name = "hd_unleash",
	 .eval = eval_unleash,
	 .prepare = prepare_unleash,
	 .verbatim = true,
	 .whole = true},
	{.name = NULL},
};
