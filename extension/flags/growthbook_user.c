/*-------------------------------------------------------------------------
 * growthbook_user.c
 *		Whom a rule is about: the attribute that is hashed, its bucket, and what
 *		the context says in "$growthbook".
 *
 * "$growthbook" is what GrowthBook's SDK is told of a user besides the
 * attributes: enabled, qaMode, url, forcedVariations, groups,
 * stickyBucketAssignmentDocs.
 *
 * GrowthBook hashes the attribute "id" unless a rule says otherwise.  Where a
 * context has no such attribute at all, its targetingKey is the id.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/bucket.h"
#include "flags/growthbook.h"

#define USER_OPTIONS "$growthbook"

bool
hd_flags_growthbook_option(HdGrowthBookUser *user, const char *name, HdValue *result)
{
	if (!user->known)
	{
		user->known = true;
		if (!hd_flags_attribute(user->run, USER_OPTIONS, sizeof(USER_OPTIONS) - 1, &user->options))
			user->options = hd_flags_null();
	}
	return user->options.type != HD_VALUE_NULL &&
		   hd_flags_member(&user->options, name, strlen(name), result);
}

/* Digits of an integer, the usual number, without an allocation. */
static HdValue
integer_text(double number, char *buffer, int size)
{
	int64 left = (int64) fabs(number);
	int n = 0;

	do
	{
		buffer[size - ++n] = (char) ('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		buffer[size - ++n] = '-';
	return hd_flags_string(buffer + size - n, n);
}

/* What JavaScript makes of the value when it is added to a string. */
static HdValue
text_of(HdGrowthBookUnit *unit)
{
	const HdValue *value = &unit->value;

	if (value->type == HD_VALUE_NUMBER && fabs(value->as.number) < 1e15 &&
		value->as.number == trunc(value->as.number))
		return integer_text(value->as.number, unit->buffer, sizeof(unit->buffer));
	return hd_flags_growthbook_string(value);
}

/* An attribute that JavaScript takes for true. */
static bool
find_attribute(HdFlagsRun *run, const HdValue *name, HdValue *value)
{
	bool found = hd_flags_read(run, name->as.string, name->length, value);

	if (!found && hd_flags_is_string(name, "id", 2))
		found = hd_flags_read(run, "targetingKey", sizeof("targetingKey") - 1, value);
	return found && hd_flags_growthbook_truth(value);
}

bool
hd_flags_growthbook_unit(HdFlagsRun *run, const HdGrowthBookHashing *hashing, bool with_fallback,
						 HdGrowthBookUnit *unit)
{
	bool found = find_attribute(run, &hashing->attribute, &unit->value);

	unit->attribute = hashing->attribute;
	if (!found && with_fallback && hashing->fallback.type == HD_VALUE_STRING &&
		find_attribute(run, &hashing->fallback, &unit->value))
	{
		unit->attribute = hashing->fallback;
		found = true;
	}
	if (!found)
		unit->value = hd_flags_null();
	else
		unit->text = text_of(unit);
	return found;
}

bool
hd_flags_growthbook_hash(const HdGrowthBookHashing *hashing, const HdValue *unit, double *place)
{
	if (hashing->version == 0)
		return false;
	*place = hd_flags_share(hashing->version == 1 ? HD_BUCKETING_GROWTHBOOK_1
												  : HD_BUCKETING_GROWTHBOOK_2,
							&hashing->seed, unit);
	return true;
}

int
hd_flags_growthbook_in_ranges(const HdGrowthBookRanges *ranges, double place)
{
	for (int i = 0; i < ranges->count; i++)
		if (place >= ranges->items[i].from && place < ranges->items[i].to)
			return i;
	return -1;
}

bool
hd_flags_growthbook_filtered_out(HdFlagsRun *run, const HdGrowthBookFilters *filters)
{
	HdGrowthBookUnit unit;
	double place;

	for (int i = 0; i < filters->count; i++)
	{
		const HdGrowthBookFilter *filter = &filters->items[i];

		if (!hd_flags_growthbook_unit(run, &filter->hashing, false, &unit) ||
			!hd_flags_growthbook_hash(&filter->hashing, &unit.text, &place) ||
			hd_flags_growthbook_in_ranges(&filter->ranges, place) < 0)
			return true;
	}
	return false;
}

/* A digit of a base up to 16; -1: none. */
static int
digit_of(char c, int base)
{
	int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' ? (c | 0x20) - 'a' + 10 : -1;

	return digit < base ? digit : -1;
}

/* parseInt() of what is before the end; -1 for what is no number or no variation. */
static int
parse_variation(const char *at, const char *end, int limit)
{
	bool negative = false;
	int base = 10;
	int number = 0;
	const char *first;

	while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r')))
		at++;
	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	if (end - at > 1 && at[0] == '0' && (at[1] | 0x20) == 'x')
	{
		base = 16;
		at += 2;
	}
	for (first = at; at < end && digit_of(*at, base) >= 0; at++)
		number = Min(number * base + digit_of(*at, base), limit);
	if (at == first || (negative && number != 0) || number >= limit)
		return -1;
	return number;
}

/* The end of what begins here: before one of two characters, or at the end of all. */
static const char *
end_of(const char *at, const char *end, char one, char other)
{
	while (at < end && *at != one && *at != other)
		at++;
	return at;
}

/*
 * A variation forced by the URL's query, ?KEY=1, for whoever tries things out;
 * -1: none.  The first member of that name counts, and nothing is decoded.
 */
int
hd_flags_growthbook_from_url(HdGrowthBookUser *user, const HdGrowthBookExperiment *experiment)
{
	const HdValue *key = &experiment->key;
	HdValue url;
	const char *at;
	const char *end;
	const char *member;
	const char *sign;

	if (!hd_flags_growthbook_option(user, "url", &url) || url.type != HD_VALUE_STRING)
		return -1;
	end = url.as.string + url.length;
	at = end_of(url.as.string, end, '?', '?');
	if (at == end)
		return -1;
	end = end_of(++at, end, '?', '#');
	for (; at <= end; at = member + 1)
	{
		member = end_of(at, end, '&', '&');
		sign = end_of(at, member, '=', '=');
		if (sign - at == key->length && memcmp(at, key->as.string, key->length) == 0)
			return sign == member ? -1
								  : parse_variation(sign + 1, end_of(sign + 1, member, '=', '='),
													experiment->nchoices);
	}
	return -1;
}
