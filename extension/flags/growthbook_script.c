/*-------------------------------------------------------------------------
 * growthbook_script.c
 *		What JavaScript makes of values, as GrowthBook's conditions rely on it:
 *		truth, text, order, lower case; and GrowthBook's order of versions.
 *
 * Strings that are made here live in the current context: the run's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "flags/growthbook.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/formatting.h"
#include "utils/json.h"

/* Digits of a version's part are padded to this width. */
#define VERSION_WIDTH 5

/* Such a version is no pre-release and sorts behind those of the same number. */
#define VERSION_PARTS 3

bool
hd_flags_growthbook_truth(const HdValue *value)
{
	return value->type >= HD_VALUE_LIST || hd_flags_truthy(value);
}

HdValue
hd_flags_growthbook_string(const HdValue *value)
{
	StringInfoData text;

	if (value->type == HD_VALUE_STRING)
		return *value;
	if (value->type == HD_VALUE_NULL)
		return hd_flags_literal("null");
	if (value->type == HD_VALUE_BOOL)
		return value->as.boolean ? hd_flags_literal("true") : hd_flags_literal("false");
	initStringInfo(&text);
	hd_flags_append_text(&text, value);
	return hd_flags_string(text.data, text.len);
}

static void
append_json(StringInfo out, const HdValue *value)
{
	HdValueWalk walk;
	HdValue part;
	JsonbIterator *json;
	JsonbIteratorToken token;
	JsonbValue member;
	bool first = true;

	check_stack_depth();
	if (value->type == HD_VALUE_STRING)
		escape_json(out, pnstrdup(value->as.string, value->length));
	else if (hd_flags_is_array(value))
	{
		appendStringInfoChar(out, '[');
		hd_flags_walk(&walk, value);
		while (hd_flags_walk_next(&walk, &part))
		{
			appendStringInfoString(out, first ? "" : ",");
			append_json(out, &part);
			first = false;
		}
		appendStringInfoChar(out, ']');
	}
	else if (value->type == HD_VALUE_JSON)
	{
		appendStringInfoChar(out, '{');
		json = JsonbIteratorInit(value->as.json);
		while ((token = JsonbIteratorNext(&json, &member, true)) != WJB_DONE)
		{
			if (token != WJB_KEY && token != WJB_VALUE)
				continue;
			part = hd_flags_from_json_value(&member);
			appendStringInfoString(out, token == WJB_VALUE ? ":" : first ? "" : ",");
			append_json(out, &part);
			first = false;
		}
		appendStringInfoChar(out, '}');
	}
	else
	{
		part = hd_flags_growthbook_string(value);
		appendBinaryStringInfo(out, part.as.string, part.length);
	}
}

HdValue
hd_flags_growthbook_json(const HdValue *value)
{
	StringInfoData out;

	initStringInfo(&out);
	append_json(&out, value);
	return hd_flags_string(out.data, out.len);
}

/*
 * In UTF-16 a character beyond the first plane begins with a unit below those
 * of U+E000 to U+FFFF; in UTF-8 its first byte, 0xF0 and up, is above theirs,
 * 0xEE and 0xEF.
 */
static inline int
unit_rank(unsigned char byte)
{
	if (byte >= 0xF0)
		return byte - 2;
	return byte >= 0xEE ? byte + 0x10 : byte;
}

int
hd_flags_growthbook_order(const HdValue *a, const HdValue *b)
{
	int common = Min(a->length, b->length);
	int left;
	int right;

	for (int i = 0; i < common; i++)
	{
		if (a->as.string[i] == b->as.string[i])
			continue;
		left = unit_rank((unsigned char) a->as.string[i]);
		right = unit_rank((unsigned char) b->as.string[i]);
		return left < right ? -1 : 1;
	}
	return a->length < b->length ? -1 : a->length > b->length;
}

int
hd_flags_growthbook_compare(const HdValue *a, const HdValue *b)
{
	bool a_container = hd_flags_is_array(a) || hd_flags_is_object(a);
	bool b_container = hd_flags_is_array(b) || hd_flags_is_object(b);
	HdValue left = a_container ? hd_flags_growthbook_string(a) : *a;
	HdValue right = b_container ? hd_flags_growthbook_string(b) : *b;
	double x;
	double y;

	if (left.type == HD_VALUE_STRING && right.type == HD_VALUE_STRING)
		return hd_flags_growthbook_order(&left, &right);
	x = hd_flags_to_number(&left);
	y = hd_flags_to_number(&right);
	if (isnan(x) || isnan(y))
		return 2;
	return x < y ? -1 : x > y;
}

static bool
is_ascii(const HdValue *string)
{
	for (int i = 0; i < string->length; i++)
		if ((signed char) string->as.string[i] < 0)
			return false;
	return true;
}

/*
 * Lower case without a language, as toLowerCase() has it, is ICU's root
 * collation; a server built without ICU has but that of the database.
 */
static Oid
lower_collation(void)
{
	Oid found =
		get_collation_oid(list_make2(makeString("pg_catalog"), makeString("und-x-icu")), true);

	return OidIsValid(found) ? found : DEFAULT_COLLATION_OID;
}

HdValue
hd_flags_growthbook_lower(const HdValue *string)
{
	char *lower;

	if (!is_ascii(string))
	{
		lower = str_tolower(string->as.string, string->length, lower_collation());
		return hd_flags_string(lower, strlen(lower));
	}
	for (int i = 0; i < string->length; i++)
	{
		if (string->as.string[i] < 'A' || string->as.string[i] > 'Z')
			continue;
		lower = pnstrdup(string->as.string, string->length);
		for (; i < string->length; i++)
			lower[i] = pg_ascii_tolower((unsigned char) lower[i]);
		return hd_flags_string(lower, string->length);
	}
	return *string;
}

/* Where a version's build begins: at a plus sign, unless a line ends behind it. */
static int
version_end(const HdValue *version)
{
	int first = 0;

	for (int i = 0; i < version->length; i++)
		if (version->as.string[i] == '\n' || version->as.string[i] == '\r')
			first = i + 1;
	for (int i = first; i < version->length; i++)
		if (version->as.string[i] == '+')
			return i;
	return version->length;
}

static void
append_version_part(StringInfo out, const char *part, int length)
{
	bool digits = length > 0;

	for (int i = 0; i < length; i++)
		digits = digits && part[i] >= '0' && part[i] <= '9';
	if (digits && length < VERSION_WIDTH)
		appendStringInfoSpaces(out, VERSION_WIDTH - length);
	appendBinaryStringInfo(out, part, length);
}

/*
 * Its parts, split at points and hyphens, numbers padded with spaces, joined
 * with hyphens.
 */
HdValue
hd_flags_growthbook_version(const HdValue *value)
{
	HdValue version = value->type == HD_VALUE_NUMBER ? hd_flags_growthbook_string(value) : *value;
	StringInfoData out;
	int parts = 1;
	int start = 0;
	int end;

	if (version.type != HD_VALUE_STRING || version.length == 0)
		version = hd_flags_literal("0");
	end = version_end(&version);
	if (end > 0 && version.as.string[0] == 'v')
		start = 1;
	initStringInfo(&out);
	for (int i = start; i <= end; i++)
	{
		if (i < end && version.as.string[i] != '.' && version.as.string[i] != '-')
			continue;
		append_version_part(&out, version.as.string + start, i - start);
		start = i + 1;
		if (i < end)
		{
			appendStringInfoChar(&out, '-');
			parts++;
		}
	}
	if (parts == VERSION_PARTS)
		appendStringInfoString(&out, "-~");
	return hd_flags_string(out.data, out.len);
}
