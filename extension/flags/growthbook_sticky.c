/*-------------------------------------------------------------------------
 * growthbook_sticky.c
 *		Sticky buckets: a unit stays in the variation that it was once given.
 *
 * GrowthBook keeps such assignments in documents beside the flags, by
 * "attribute||value".  Here the caller keeps them and hands them in with the
 * context, as stickyBucketAssignmentDocs of "$growthbook": an object by those
 * keys, or a list.  An evaluation writes nothing: the document that is to be
 * kept comes back in the details.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"

#define DOCUMENTS "stickyBucketAssignmentDocs"

/* Documents, even none, say that buckets are sticky. */
bool
hd_flags_growthbook_is_sticky(HdGrowthBookUser *user)
{
	HdValue documents;

	return hd_flags_growthbook_option(user, DOCUMENTS, &documents) &&
		   (hd_flags_is_object(&documents) || hd_flags_is_array(&documents));
}

static HdValue
join(const HdValue *left, const char *between, const HdValue *right)
{
	char *text = psprintf("%.*s%s%.*s", left->length, left->as.string, between, right->length,
						  right->as.string);

	return hd_flags_string(text, strlen(text));
}

static HdValue
assignment_key(const HdGrowthBookExperiment *experiment, int version)
{
	char *text = psprintf("%.*s__%d", experiment->key.length, experiment->key.as.string, version);

	return hd_flags_string(text, strlen(text));
}

/* Whether a document of a list is that of an attribute's value. */
static bool
is_document_of(const HdValue *document, const HdValue *attribute, const HdValue *value)
{
	HdValue name;
	HdValue text;

	return hd_flags_member(document, "attributeName", 13, &name) &&
		   hd_flags_member(document, "attributeValue", 14, &text) &&
		   hd_flags_is_string(&name, attribute->as.string, attribute->length) &&
		   hd_flags_is_string(&text, value->as.string, value->length);
}

/* The assignments of an attribute's value; an empty object where there are none. */
static HdValue
assignments_of(HdGrowthBookUser *user, const HdValue *attribute, const HdValue *value)
{
	HdValue nothing = {.type = HD_VALUE_PAIRS};
	HdValue documents;
	HdValue document;
	HdValue assignments;
	HdValue key;
	HdValueWalk walk;
	bool found = false;

	if (!hd_flags_growthbook_option(user, DOCUMENTS, &documents))
		return nothing;
	if (hd_flags_is_array(&documents))
	{
		hd_flags_walk(&walk, &documents);
		while (!found && hd_flags_walk_next(&walk, &document))
			found = is_document_of(&document, attribute, value);
	}
	else
	{
		key = join(attribute, "||", value);
		found = hd_flags_member(&documents, key.as.string, key.length, &document);
	}
	if (found && hd_flags_growthbook_given(&document, "assignments", &assignments))
		return assignments;
	return nothing;
}

/* Text of a unit for a document: a string as it is, else JSON. */
static HdValue
unit_text(const HdValue *value)
{
	return value->type == HD_VALUE_STRING ? *value : hd_flags_growthbook_json(value);
}

static HdValue
attribute_text(HdFlagsRun *run, const HdValue *attribute)
{
	HdGrowthBookHashing hashing = {.attribute = *attribute};
	HdGrowthBookUnit unit;

	if (!hd_flags_growthbook_unit(run, &hashing, false, &unit))
		return hd_flags_literal("");
	return unit_text(&unit.value);
}

static bool
find_assignment(const HdValue *own, const HdValue *fallback,
				const HdGrowthBookExperiment *experiment, int version, HdValue *key)
{
	HdValue name = assignment_key(experiment, version);

	return hd_flags_member(own, name.as.string, name.length, key) ||
		   hd_flags_member(fallback, name.as.string, name.length, key);
}

/* Which variation has a key that was assigned. */
static int
variation_of(const HdGrowthBookExperiment *experiment, const HdValue *key)
{
	if (key->type == HD_VALUE_STRING)
		for (int i = 0; i < experiment->nchoices; i++)
			if (experiment->choices[i]->keyed &&
				hd_flags_is_string(&experiment->choices[i]->key, key->as.string, key->length))
				return i;
	return -1;
}

/*
 * The assignment under the attribute that is hashed outweighs that under its
 * fallback, which without one is the id.
 */
int
hd_flags_growthbook_sticky(HdGrowthBookUser *user, const HdGrowthBookExperiment *experiment)
{
	const HdGrowthBookHashing *hashing = &experiment->hashing;
	HdValue fallback =
		hashing->fallback.type == HD_VALUE_STRING ? hashing->fallback : hd_flags_literal("id");
	HdValue text = attribute_text(user->run, &hashing->attribute);
	HdValue fallback_text = attribute_text(user->run, &fallback);
	HdValue own = assignments_of(user, &hashing->attribute, &text);
	HdValue other = {.type = HD_VALUE_PAIRS};
	HdValue key;

	if (fallback_text.length > 0)
		other = assignments_of(user, &fallback, &fallback_text);
	for (int version = 0; version < experiment->min_bucket_version; version++)
		if (find_assignment(&own, &other, experiment, version, &key))
			return HD_GROWTHBOOK_BLOCKED;
	if (!find_assignment(&own, &other, experiment, experiment->bucket_version, &key))
		return -1;
	return variation_of(experiment, &key);
}

static void
add_pair(HdValue *object, const HdValue *name, const HdValue *value)
{
	object->as.pairs[object->length].name = *name;
	object->as.pairs[object->length++].value = *value;
}

/* The assignments of before, and the new one over them. */
static HdValue
merge(const HdValue *before, const HdValue *name, const HdValue *key)
{
	HdValue merged = {.type = HD_VALUE_PAIRS};
	HdValueWalk walk;
	HdValue member;
	HdValue value;

	merged.as.pairs = palloc(sizeof(HdValuePair) * (hd_flags_length(before) + 1));
	add_pair(&merged, name, key);
	hd_flags_members(&walk, before);
	while (hd_flags_members_next(&walk, &member, &value))
		if (!hd_flags_is_string(&member, name->as.string, name->length))
			add_pair(&merged, &member, &value);
	return merged;
}

/* The document to be kept; false where nothing in it is new. */
bool
hd_flags_growthbook_sticky_document(HdGrowthBookUser *user,
									const HdGrowthBookExperiment *experiment,
									const HdGrowthBookUnit *unit, const HdValue *key,
									HdValue *document)
{
	HdValue text = unit_text(&unit->value);
	HdValue before = assignments_of(user, &unit->attribute, &text);
	HdValue name = assignment_key(experiment, experiment->bucket_version);
	HdValue names[] = {hd_flags_literal("attributeName"), hd_flags_literal("attributeValue"),
					   hd_flags_literal("assignments")};
	HdValue assigned;
	HdValue assignments;

	if (hd_flags_member(&before, name.as.string, name.length, &assigned) &&
		hd_flags_same(&assigned, key))
		return false;
	assignments = merge(&before, &name, key);
	document->type = HD_VALUE_PAIRS;
	document->length = 0;
	document->as.pairs = palloc(sizeof(HdValuePair) * lengthof(names));
	add_pair(document, &names[0], &unit->attribute);
	add_pair(document, &names[1], &text);
	add_pair(document, &names[2], &assignments);
	return true;
}
