/*-------------------------------------------------------------------------
 * unleash_read.c
 *		An Unleash feature from JSON: strategies, variants, dependencies.
 *
 * What makes no sense (a weight that is no number, a strategy without a name)
 * is refused when the flag is set, with what and where.  What makes sense but
 * is not known here (a custom strategy) is a strategy that is on for nobody,
 * as for a client that lacks it.
 *
 * Members that have no bearing on who is in (description, project, type) are
 * kept in the definition and not read.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/unleash.h"

#define MAX_WEIGHT 1000000

/*
 * Stickiness
 */

static HdValue
group_text(const HdValue *group)
{
	char *text = palloc(group->length + 1);

	memcpy(text, group->as.string, group->length);
	text[group->length] = ':';
	return hd_flags_string(text, group->length + 1);
}

/* stickiness may be null: by default. */
static HdUnleashSticky
read_sticky(const HdValue *stickiness, const HdValue *group)
{
	HdUnleashSticky sticky = {.by = HD_UNLEASH_BY_FIELD, .group = group_text(group)};

	if (stickiness->type == HD_VALUE_NULL || stickiness->length == 0 ||
		hd_flags_is_string(stickiness, "default", 7))
		sticky.by = HD_UNLEASH_BY_DEFAULT;
	else if (hd_flags_is_string(stickiness, "random", 6))
		sticky.by = HD_UNLEASH_BY_CHANCE;
	else
		sticky.field = hd_flags_unleash_field(stickiness);
	return sticky;
}

static HdUnleashSticky
sticky_on(const char *field, const HdValue *group)
{
	HdValue name = hd_flags_string(field, (int) strlen(field));

	return read_sticky(&name, group);
}

/*
 * Variants
 */

/* Null when the text is no number. */
static HdValue
number_of(const HdValue *text)
{
	double number =
		(text->length > 0) ? hd_flags_text_to_number(text->as.string, text->length) : NAN;

	return isfinite(number) ? hd_flags_number(number) : hd_flags_null();
}

static void
read_payload(HdUnleashReader *reader, const HdValue *object, HdUnleashVariant *variant)
{
	HdFlagsPayload *payload = &variant->payload;
	HdValue type;
	HdValue text;

	if (!hd_flags_unleash_member(object, "payload", &payload->any))
		return;
	if (!hd_flags_unleash_string(reader, &payload->any, "type", &type) ||
		!hd_flags_unleash_string(reader, &payload->any, "value", &text))
	{
		hd_flags_unleash_refuse(reader, "a payload needs \"type\" and \"value\"");
		return;
	}
	variant->paid = true;
	payload->text = text;
	if (hd_flags_is_string(&type, "number", 6))
		payload->number = number_of(&text);
	if (hd_flags_is_string(&type, "json", 4) && reader->json != NULL)
		(void) hd_flags_member(reader->json, text.as.string, text.length, &payload->json);
}

static uint32
read_weight(HdUnleashReader *reader, const HdValue *object)
{
	HdValue weight;

	if (!hd_flags_unleash_member(object, "weight", &weight))
		return 0;
	if (weight.type == HD_VALUE_NUMBER && weight.as.number >= 0 && weight.as.number <= MAX_WEIGHT &&
		weight.as.number == floor(weight.as.number))
		return (uint32) weight.as.number;
	hd_flags_unleash_refuse(reader, "\"weight\" has to be a whole number from 0 to %d", MAX_WEIGHT);
	return 0;
}

static void
read_overrides(HdUnleashReader *reader, const HdValue *object, HdUnleashVariant *variant)
{
	HdValueWalk walk;
	HdValue array;
	HdValue override;
	HdValue name;

	(void) hd_flags_unleash_array(reader, object, "overrides", &array);
	variant->overrides = palloc(sizeof(HdUnleashOverride) * (hd_flags_length(&array) + 1));
	hd_flags_walk(&walk, &array);
	while (hd_flags_walk_next(&walk, &override))
	{
		HdUnleashOverride *made = &variant->overrides[variant->noverrides++];
		HdValue values;

		if (!hd_flags_unleash_string(reader, &override, "contextName", &name))
			hd_flags_unleash_refuse(reader, "an override has no \"contextName\"");
		(void) hd_flags_unleash_array(reader, &override, "values", &values);
		made->field = hd_flags_unleash_field(&name);
		made->values = hd_flags_unleash_set(reader, &values, false);
	}
}

static void
read_variant(HdUnleashReader *reader, const HdValue *object, HdUnleashVariant *variant)
{
	memset(variant, 0, sizeof(*variant));
	if (!hd_flags_unleash_string(reader, object, "name", &variant->name))
		hd_flags_unleash_refuse(reader, "a variant has no \"name\"");
	variant->weight = read_weight(reader, object);
	read_payload(reader, object, variant);
	read_overrides(reader, object, variant);
}

/* Those of a strategy or of the feature; all are stuck to the same. */
static void
read_variants(HdUnleashReader *reader, const HdValue *owner, HdUnleashVariants *variants)
{
	HdValueWalk walk;
	HdValue array;
	HdValue object;
	uint64 weight = 0;

	(void) hd_flags_unleash_array(reader, owner, "variants", &array);
	variants->items = palloc(sizeof(HdUnleashVariant) * (hd_flags_length(&array) + 1));
	hd_flags_walk(&walk, &array);
	while (hd_flags_walk_next(&walk, &object))
	{
		read_variant(reader, &object, &variants->items[variants->n]);
		weight += variants->items[variants->n++].weight;
	}
	if (weight > PG_INT32_MAX)
		hd_flags_unleash_refuse(reader, "the weights of its variants are too large together");
	variants->weight = (uint32) weight;
}

static void
read_feature_variants(HdUnleashReader *reader, const HdValue *object, HdUnleashVariants *variants)
{
	HdValue array;
	HdValue first;
	HdValue stickiness = hd_flags_null();

	read_variants(reader, object, variants);
	if (hd_flags_unleash_array(reader, object, "variants", &array) &&
		hd_flags_element(&array, 0, &first))
		(void) hd_flags_unleash_string(reader, &first, "stickiness", &stickiness);
	variants->sticky = read_sticky(&stickiness, &reader->feature);
}

/*
 * Strategies
 */

/* A number, or a text that is one; false when it is neither. */
static bool
read_percent(HdUnleashReader *reader, const HdValue *parameters, const char *name, double *percent)
{
	HdValue value;

	if (!hd_flags_unleash_member(parameters, name, &value))
		return false;
	if (value.type != HD_VALUE_STRING && value.type != HD_VALUE_NUMBER)
		hd_flags_unleash_refuse(reader, "\"%s\" has to be a number", name);
	else if (value.type == HD_VALUE_STRING)
		value = number_of(&value);
	*percent = value.as.number;
	return value.type == HD_VALUE_NUMBER;
}

static void
read_flexible(HdUnleashReader *reader, const HdValue *parameters, HdUnleashStrategy *strategy)
{
	HdValue group;
	HdValue stickiness;

	if (!hd_flags_unleash_string(reader, parameters, "groupId", &group) || group.length == 0)
		group = reader->feature;
	(void) hd_flags_unleash_string(reader, parameters, "stickiness", &stickiness);
	strategy->sticky = read_sticky(&stickiness, &group);
	if (read_percent(reader, parameters, "rollout", &strategy->percent))
		strategy->kind = HD_UNLEASH_ROLLOUT;
}

/* The strategies that were there before flexibleRollout; field NULL: by chance. */
static void
read_gradual(HdUnleashReader *reader, const HdValue *parameters, const char *field,
			 HdUnleashStrategy *strategy)
{
	HdValue group;

	if (!hd_flags_unleash_string(reader, parameters, "groupId", &group))
		group = hd_flags_literal("");
	strategy->sticky = sticky_on(field, &group);
	if (read_percent(reader, parameters, "percentage", &strategy->percent))
		strategy->kind = HD_UNLEASH_ROLLOUT;
}

static void
read_listed(HdUnleashReader *reader, const HdValue *parameters, const char *parameter,
			const char *field, HdUnleashStrategy *strategy)
{
	HdValue name = hd_flags_string(field, (int) strlen(field));
	HdValue list;

	strategy->field = hd_flags_unleash_field(&name);
	if (!hd_flags_unleash_string(reader, parameters, parameter, &list))
		return;
	strategy->kind = HD_UNLEASH_LISTED;
	strategy->list = hd_flags_unleash_split(&list, strategy->ignore_case);
}

static void
read_addresses(HdUnleashReader *reader, const HdValue *parameters, HdUnleashStrategy *strategy)
{
	HdValue array = {.type = HD_VALUE_LIST};

	read_listed(reader, parameters, "IPs", "remoteAddress", strategy);
	if (strategy->kind != HD_UNLEASH_LISTED)
		return;
	array.length = strategy->list.n;
	array.as.items = strategy->list.members;
	strategy->networks = hd_flags_unleash_networks(&array);
	strategy->kind = HD_UNLEASH_ADDRESS;
}

static void
read_kind(HdUnleashReader *reader, const HdValue *parameters, HdUnleashStrategy *strategy)
{
	const HdValue *name = &strategy->name;

	if (hd_flags_is_string(name, "default", 7))
		strategy->kind = HD_UNLEASH_EVERYBODY;
	else if (hd_flags_is_string(name, "flexibleRollout", 15))
		read_flexible(reader, parameters, strategy);
	else if (hd_flags_is_string(name, "userWithId", 10))
		read_listed(reader, parameters, "userIds", "userId", strategy);
	else if (hd_flags_is_string(name, "gradualRolloutUserId", 20))
		read_gradual(reader, parameters, "userId", strategy);
	else if (hd_flags_is_string(name, "gradualRolloutSessionId", 23))
		read_gradual(reader, parameters, "sessionId", strategy);
	else if (hd_flags_is_string(name, "gradualRolloutRandom", 20))
		read_gradual(reader, parameters, "random", strategy);
	else if (hd_flags_is_string(name, "remoteAddress", 13))
		read_addresses(reader, parameters, strategy);
	else if (hd_flags_is_string(name, "applicationHostname", 19))
	{
		strategy->ignore_case = true;
		read_listed(reader, parameters, "hostNames", "hostname", strategy);
	}
}

/* A segment by its id; false where the document had none. */
static bool
find_segment(HdUnleashReader *reader, const HdValue *id, HdValue *segment)
{
	HdValueWalk walk;
	HdValue known;

	hd_flags_walk(&walk, reader->segments);
	while (hd_flags_walk_next(&walk, segment))
		if (hd_flags_unleash_member(segment, "id", &known) && hd_flags_same(&known, id))
			return true;
	return false;
}

/* How many constraints a strategy has with its segments; -1: a segment is missing. */
static int
count_constraints(HdUnleashReader *reader, const HdValue *own, const HdValue *ids)
{
	int n = (int) hd_flags_length(own);
	HdValueWalk walk;
	HdValue id;
	HdValue segment;
	HdValue array;

	hd_flags_walk(&walk, ids);
	while (hd_flags_walk_next(&walk, &id))
	{
		if (!find_segment(reader, &id, &segment))
			return -1;
		if (hd_flags_unleash_array(reader, &segment, "constraints", &array))
			n += (int) hd_flags_length(&array);
	}
	return n;
}

/* Own constraints, then those of the segments.  False: there is no such segment. */
static bool
read_conditions(HdUnleashReader *reader, const HdValue *object, HdUnleashStrategy *strategy)
{
	HdValueWalk walk;
	HdValue own;
	HdValue ids;
	HdValue id;
	HdValue segment;
	HdValue array;
	int n;

	(void) hd_flags_unleash_array(reader, object, "constraints", &own);
	(void) hd_flags_unleash_array(reader, object, "segments", &ids);
	n = count_constraints(reader, &own, &ids);
	if (n < 0)
		return false;
	strategy->constraints = palloc(sizeof(HdUnleashConstraint) * (n + 1));
	hd_flags_unleash_read_constraints(reader, &own, strategy->constraints, &strategy->nconstraints);
	hd_flags_walk(&walk, &ids);
	while (hd_flags_walk_next(&walk, &id))
		if (find_segment(reader, &id, &segment) &&
			hd_flags_unleash_array(reader, &segment, "constraints", &array))
			hd_flags_unleash_read_constraints(reader, &array, strategy->constraints,
											  &strategy->nconstraints);
	return true;
}

static void
read_strategy(HdUnleashReader *reader, const HdValue *object, HdUnleashStrategy *strategy)
{
	HdValue parameters;
	HdValue group;
	HdValue stickiness;

	memset(strategy, 0, sizeof(*strategy));
	if (!hd_flags_unleash_string(reader, object, "name", &strategy->name))
		hd_flags_unleash_refuse(reader, "a strategy has no \"name\"");
	if (hd_flags_unleash_member(object, "parameters", &parameters) &&
		!hd_flags_is_object(&parameters))
		hd_flags_unleash_refuse(reader, "\"parameters\" has to be an object");
	read_kind(reader, &parameters, strategy);
	if (!read_conditions(reader, object, strategy))
		strategy->kind = HD_UNLEASH_NOBODY;

	read_variants(reader, object, &strategy->variants);
	(void) hd_flags_unleash_string(reader, &parameters, "stickiness", &stickiness);
	if (!hd_flags_unleash_string(reader, &parameters, "groupId", &group))
		group = reader->feature;
	strategy->variants.sticky = read_sticky(&stickiness, &group);
}

/*
 * The feature
 */

static void
read_strategies(HdUnleashReader *reader, const HdValue *object, HdUnleashFeature *feature)
{
	HdValueWalk walk;
	HdValue array;
	HdValue strategy;

	(void) hd_flags_unleash_array(reader, object, "strategies", &array);
	feature->strategies = palloc(sizeof(HdUnleashStrategy) * (hd_flags_length(&array) + 1));
	hd_flags_walk(&walk, &array);
	while (hd_flags_walk_next(&walk, &strategy))
		read_strategy(reader, &strategy, &feature->strategies[feature->nstrategies++]);
}

static void
read_parents(HdUnleashReader *reader, const HdValue *object, HdUnleashFeature *feature)
{
	HdValueWalk walk;
	HdValue array;
	HdValue parent;
	HdValue variants;

	(void) hd_flags_unleash_array(reader, object, "dependencies", &array);
	feature->parents = palloc(sizeof(HdUnleashParent) * (hd_flags_length(&array) + 1));
	hd_flags_walk(&walk, &array);
	while (hd_flags_walk_next(&walk, &parent))
	{
		HdUnleashParent *made = &feature->parents[feature->nparents++];

		if (!hd_flags_unleash_string(reader, &parent, "feature", &made->feature))
			hd_flags_unleash_refuse(reader, "a dependency has no \"feature\"");
		made->enabled = hd_flags_unleash_flag(reader, &parent, "enabled", true);
		(void) hd_flags_unleash_array(reader, &parent, "variants", &variants);
		made->variants = hd_flags_unleash_set(reader, &variants, false);
	}
}

HdUnleashFeature *
hd_flags_unleash_read(const HdValue *arguments, const char **problem)
{
	HdUnleashFeature *feature = palloc0(sizeof(HdUnleashFeature));
	HdUnleashReader reader = {0};
	HdValue object;
	HdValue segments;
	HdValue json;
	HdValue enabled;

	if (hd_flags_unleash_member(arguments, "json", &json))
		reader.json = &json;
	(void) hd_flags_unleash_array(&reader, arguments, "segments", &segments);
	reader.segments = &segments;
	if (!hd_flags_unleash_member(arguments, "feature", &object) || !hd_flags_is_object(&object))
		hd_flags_unleash_refuse(&reader, "\"feature\" has to be an object");
	else if (!hd_flags_unleash_string(&reader, &object, "name", &reader.feature) ||
			 reader.feature.length == 0)
		hd_flags_unleash_refuse(&reader, "a feature has no \"name\"");
	else
	{
		if (!hd_flags_unleash_member(&object, "enabled", &enabled))
			hd_flags_unleash_refuse(&reader, "a feature has no \"enabled\"");
		feature->enabled = hd_flags_unleash_flag(&reader, &object, "enabled", false);
		read_strategies(&reader, &object, feature);
		read_feature_variants(&reader, &object, &feature->variants);
		read_parents(&reader, &object, feature);
	}
	*problem = reader.problem;
	return feature;
}
