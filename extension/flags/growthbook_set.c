/*-------------------------------------------------------------------------
 * growthbook_set.c
 *		Sets of scalars: the lists of $in and the saved groups.
 *
 * Model: made once, sorted by type and value, then looked into by halves, so
 * that a group of a million members costs twenty comparisons.  Members are
 * equal as JavaScript's === has it: "1" is not 1.  Arrays and objects are left
 * out, for those are equal to nothing but themselves.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook.h"

struct HdGrowthBookSet
{
	HdValue *members;
	int count;
	bool insensitive;
};

static int
compare_members(const void *left, const void *right)
{
	const HdValue *a = left;
	const HdValue *b = right;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type)
	{
		case HD_VALUE_BOOL:
			return (int) a->as.boolean - (int) b->as.boolean;
		case HD_VALUE_NUMBER:
			return a->as.number < b->as.number ? -1 : a->as.number > b->as.number;
		case HD_VALUE_STRING:
			if (a->length != b->length)
				return a->length < b->length ? -1 : 1;
			return memcmp(a->as.string, b->as.string, a->length);
		default:
			return 0;
	}
}

static HdValue
folded(const HdValue *value, bool insensitive)
{
	return insensitive && value->type == HD_VALUE_STRING ? hd_flags_growthbook_lower(value)
														 : *value;
}

HdGrowthBookSet *
hd_flags_growthbook_set(const HdValue *list, bool insensitive)
{
	HdGrowthBookSet *set = palloc(sizeof(HdGrowthBookSet));
	HdValueWalk walk;
	HdValue member;

	set->members = palloc(sizeof(HdValue) * Max(hd_flags_length(list), 1));
	set->count = 0;
	set->insensitive = insensitive;
	hd_flags_walk(&walk, list);
	while (hd_flags_walk_next(&walk, &member))
		if (!hd_flags_is_array(&member) && !hd_flags_is_object(&member))
			set->members[set->count++] = folded(&member, insensitive);
	qsort(set->members, set->count, sizeof(HdValue), compare_members);
	return set;
}

static bool
has_scalar(const HdGrowthBookSet *set, const HdValue *value)
{
	HdValue sought = folded(value, set->insensitive);

	if (set->count == 0 || hd_flags_is_array(value) || hd_flags_is_object(value))
		return false;
	return bsearch(&sought, set->members, set->count, sizeof(HdValue), compare_members) != NULL;
}

/* An array is in when any of its elements is. */
bool
hd_flags_growthbook_set_has(const HdGrowthBookSet *set, const HdValue *value)
{
	HdValueWalk walk;
	HdValue element;

	if (!hd_flags_is_array(value))
		return has_scalar(set, value);
	hd_flags_walk(&walk, value);
	while (hd_flags_walk_next(&walk, &element))
		if (has_scalar(set, &element))
			return true;
	return false;
}
