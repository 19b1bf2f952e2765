/*-------------------------------------------------------------------------
 * unleash_values.c
 *		Reading an Unleash feature: members, sets of strings, lower case; and
 *		what its context says.
 *
 * Lower case: Unleash's clients use Unicode's, whatever the machine's locale.
 * So does this: the C library's C.UTF-8 locale has it for single characters,
 * and the two cases where more than that is needed, a final sigma and the
 * dotted capital I, are done here.  Where there is no such locale, only ASCII
 * is turned.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <wctype.h>

#include "flags/unleash.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#define CAPITAL_DOTTED_I 0x130
#define COMBINING_DOT 0x307
#define CAPITAL_SIGMA 0x3a3
#define SIGMA 0x3c3
#define FINAL_SIGMA 0x3c2

void
hd_flags_unleash_refuse(HdUnleashReader *reader, const char *format, ...)
{
	va_list args;
	char message[512];

	if (reader->problem != NULL)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	reader->problem = pstrdup(message);
}

bool
hd_flags_unleash_member(const HdValue *object, const char *name, HdValue *result)
{
	if (hd_flags_member(object, name, (int) strlen(name), result) && result->type != HD_VALUE_NULL)
		return true;
	*result = hd_flags_null();
	return false;
}

bool
hd_flags_unleash_string(HdUnleashReader *reader, const HdValue *object, const char *name,
						HdValue *result)
{
	if (!hd_flags_unleash_member(object, name, result))
		return false;
	if (result->type == HD_VALUE_STRING)
		return true;
	hd_flags_unleash_refuse(reader, "\"%s\" has to be a string", name);
	*result = hd_flags_null();
	return false;
}

bool
hd_flags_unleash_flag(HdUnleashReader *reader, const HdValue *object, const char *name,
					  bool missing)
{
	HdValue value;

	if (!hd_flags_unleash_member(object, name, &value))
		return missing;
	if (value.type == HD_VALUE_BOOL)
		return value.as.boolean;
	hd_flags_unleash_refuse(reader, "\"%s\" has to be true or false", name);
	return missing;
}

bool
hd_flags_unleash_array(HdUnleashReader *reader, const HdValue *object, const char *name,
					   HdValue *result)
{
	if (!hd_flags_unleash_member(object, name, result))
		return false;
	if (hd_flags_is_array(result))
		return true;
	hd_flags_unleash_refuse(reader, "\"%s\" has to be an array", name);
	*result = hd_flags_null();
	return false;
}

HdUnleashField
hd_flags_unleash_field(const HdValue *name)
{
	static const char *const own[] = {"userId",	 "sessionId",	"remoteAddress",
									  "appName", "environment", "currentTime"};
	HdUnleashField field = {.name = *name};

	for (int i = 0; i < lengthof(own); i++)
		field.own |= hd_flags_is_string(name, own[i], (int) strlen(own[i]));
	return field;
}

/*
 * Sets
 */

static int
compare(const void *a, const void *b)
{
	const HdValue *left = a;
	const HdValue *right = b;

	if (left->length != right->length)
		return (left->length < right->length) ? -1 : 1;
	return memcmp(left->as.string, right->as.string, left->length);
}

static void
put_in_order(HdUnleashSet *set)
{
	int n = 0;

	if (set->n > 1)
		qsort(set->members, set->n, sizeof(HdValue), compare);
	for (int i = 0; i < set->n; i++)
		if (n == 0 || compare(&set->members[n - 1], &set->members[i]) != 0)
			set->members[n++] = set->members[i];
	set->n = n;
}

HdUnleashSet
hd_flags_unleash_set(HdUnleashReader *reader, const HdValue *array, bool lower)
{
	HdUnleashSet set = {.members = palloc(sizeof(HdValue) * (hd_flags_length(array) + 1))};
	HdValueWalk walk;
	HdValue element;

	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &element))
	{
		if (element.type != HD_VALUE_STRING)
			hd_flags_unleash_refuse(reader, "\"values\" and \"variants\" have to be strings");
		else
			set.members[set.n++] = lower ? hd_flags_unleash_lower(&element) : element;
	}
	put_in_order(&set);
	return set;
}

static HdValue
trimmed(const char *text, int length)
{
	while (length > 0 && isspace((unsigned char) text[0]))
		text++, length--;
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	return hd_flags_string(text, length);
}

HdUnleashSet
hd_flags_unleash_split(const HdValue *list, bool lower)
{
	HdUnleashSet set = {0};
	const char *text = list->as.string;
	int most = 1;

	for (int i = 0; i < list->length; i++)
		most += (text[i] == ',');
	set.members = palloc(sizeof(HdValue) * most);
	for (int i = 0, begin = 0; i <= list->length; i++)
		if (i == list->length || text[i] == ',')
		{
			HdValue member = trimmed(text + begin, i - begin);

			set.members[set.n++] = lower ? hd_flags_unleash_lower(&member) : member;
			begin = i + 1;
		}
	put_in_order(&set);
	return set;
}

bool
hd_flags_unleash_has(const HdUnleashSet *set, const HdValue *member)
{
	int low = 0;
	int high = set->n;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		int order = compare(&set->members[middle], member);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/*
 * Networks
 */

HdUnleashNetworks
hd_flags_unleash_networks(const HdValue *array)
{
	HdUnleashNetworks networks = {.n = 0};
	HdValueWalk walk;
	HdValue element;

	networks.items = palloc(sizeof(HdNetwork) * (hd_flags_length(array) + 1));
	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &element))
		if (element.type == HD_VALUE_STRING &&
			hd_network_parse(element.as.string, element.length, &networks.items[networks.n]))
			networks.n++;
	return networks;
}

bool
hd_flags_unleash_within(const HdUnleashNetworks *networks, const HdValue *address)
{
	HdAddress parsed;

	if (!hd_address_parse(address->as.string, address->length, &parsed))
		return false;
	for (int i = 0; i < networks->n; i++)
		if (hd_network_contains(&networks->items[i], &parsed))
			return true;
	return false;
}

/*
 * Lower case
 */

/* Once in a backend; (locale_t) 0 where the system has none. */
static locale_t
unicode_locale(void)
{
	static bool tried = false;
	static locale_t locale = (locale_t) 0;

	if (!tried)
	{
		tried = true;
		locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
	}
	return locale;
}

static pg_wchar
lower_of(pg_wchar letter, locale_t locale)
{
	if (letter < 0x80)
		return pg_ascii_tolower((unsigned char) letter);
	return (locale == (locale_t) 0) ? letter : (pg_wchar) towlower_l((wint_t) letter, locale);
}

static bool
is_letter(const char *at, locale_t locale)
{
	return locale != (locale_t) 0 &&
		   iswalpha_l((wint_t) utf8_to_unicode((const unsigned char *) at), locale);
}

/* A sigma is final after a letter and with none behind it. */
static bool
is_final(const HdValue *string, int at, locale_t locale)
{
	const char *text = string->as.string;
	int before = at - 1;

	if (at == 0)
		return false;
	while (before > 0 && ((unsigned char) text[before] & 0xc0) == 0x80)
		before--;
	return is_letter(text + before, locale) &&
		   (at + 2 >= string->length || !is_letter(text + at + 2, locale));
}

static int
put_lower(const HdValue *string, int at, locale_t locale, unsigned char *out)
{
	pg_wchar letter = utf8_to_unicode((const unsigned char *) string->as.string + at);

	if (letter == CAPITAL_DOTTED_I && locale != (locale_t) 0)
	{
		out[0] = 'i';
		unicode_to_utf8(COMBINING_DOT, out + 1);
		return 3;
	}
	if (letter == CAPITAL_SIGMA)
		letter = is_final(string, at, locale) ? FINAL_SIGMA : SIGMA;
	else
		letter = lower_of(letter, locale);
	unicode_to_utf8(letter, out);
	return pg_utf_mblen(out);
}

static bool
is_lower_ascii(const HdValue *string)
{
	for (int i = 0; i < string->length; i++)
		if (IS_HIGHBIT_SET(string->as.string[i]) ||
			(string->as.string[i] >= 'A' && string->as.string[i] <= 'Z'))
			return false;
	return true;
}

HdValue
hd_flags_unleash_lower(const HdValue *string)
{
	locale_t locale = unicode_locale();
	unsigned char *out;
	int length = 0;

	if (is_lower_ascii(string))
		return *string;
	/* of two bytes three may come, of one or three or four never more */
	out = palloc(string->length / 2 * 3 + MAX_MULTIBYTE_CHAR_LEN);
	for (int at = 0, n; at < string->length; at += n)
	{
		n = pg_utf_mblen((const unsigned char *) string->as.string + at);
		length += put_lower(string, at, locale, out + length);
	}
	return hd_flags_string((char *) out, length);
}

/*
 * The context
 */

/* A number as JavaScript writes it; whole ones, as ids are, without any memory. */
static HdValue
number_text(double number, char *buffer)
{
	StringInfoData text;

	if (fabs(number) < 9007199254740992.0 && number == (double) (int64) number)
		return hd_flags_string(buffer, pg_lltoa((int64) number, buffer));
	initStringInfo(&text);
	hd_flags_append_number(&text, number);
	return hd_flags_string(text.data, text.len);
}

/* Its own fields Unleash has at the top, all others in the context's properties. */
static bool
find(HdFlagsRun *run, const HdValue *name, bool at_top, HdValue *value)
{
	HdValue properties;

	if (at_top)
		return hd_flags_attribute(run, name->as.string, name->length, value) &&
			   value->type != HD_VALUE_NULL;
	return hd_flags_attribute(run, "properties", 10, &properties) &&
		   hd_flags_member(&properties, name->as.string, name->length, value) &&
		   value->type != HD_VALUE_NULL;
}

static bool
look_up(HdFlagsRun *run, const HdUnleashField *field, HdValue *value)
{
	const HdValue *name = &field->name;

	if (find(run, name, field->own, value) || find(run, name, !field->own, value))
		return true;
	*value = hd_flags_null();
	return hd_flags_is_string(name, "userId", 6) &&
		   hd_flags_attribute(run, "targetingKey", 12, value);
}

bool
hd_flags_unleash_attribute(HdFlagsRun *run, const HdUnleashField *field, char *buffer,
						   HdValue *text)
{
	HdValue value;
	bool found = look_up(run, field, &value);

	if (unlikely(run->trace != NULL))
		hd_flags_trace_read(run, &field->name, &value);
	if (!found)
		return false;
	switch (value.type)
	{
		case HD_VALUE_STRING:
			*text = value;
			return true;
		case HD_VALUE_NUMBER:
			*text = number_text(value.as.number, buffer);
			return true;
		case HD_VALUE_BOOL:
			*text = value.as.boolean ? hd_flags_literal("true") : hd_flags_literal("false");
			return true;
		default:
			return false;
	}
}
