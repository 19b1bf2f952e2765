/*-------------------------------------------------------------------------
 * semver.c
 *		Semantic versions: reading and ordering.
 *
 * Model: numbers are kept as digits and compared by length first, so they may
 * be of any size; leading zeros, which would break that, are not allowed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/semver.h"

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_identifier(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool
all_digits(const HdSemverPart *part)
{
	for (int i = 0; i < part->length; i++)
		if (!is_digit(part->text[i]))
			return false;
	return true;
}

static bool
zero_first(const HdSemverPart *part)
{
	return part->length > 1 && part->text[0] == '0';
}

static bool
parse_number(const char **at, const char *end, HdSemverPart *number)
{
	number->text = *at;
	while (*at < end && is_digit(**at))
		(*at)++;
	number->length = (int) (*at - number->text);
	return number->length > 0 && !zero_first(number);
}

/* The identifier at a place, up to a dot or the end. */
static HdSemverPart
identifier(const char *at, const char *end)
{
	HdSemverPart part = {at, 0};

	while (at + part.length < end && at[part.length] != '.')
		part.length++;
	return part;
}

/* Identifiers with dots between them, up to the end or a plus. */
static bool
parse_identifiers(const char **at, const char *end, bool numbers_are_plain, HdSemverPart *whole)
{
	whole->text = *at;
	while (*at < end && *(*at) != '+' && (is_identifier(**at) || **at == '.'))
		(*at)++;
	whole->length = (int) (*at - whole->text);
	for (const char *part = whole->text;; part++)
	{
		HdSemverPart one = identifier(part, *at);

		if (one.length == 0 || (numbers_are_plain && zero_first(&one) && all_digits(&one)))
			return false;
		part += one.length;
		if (part == *at)
			return true;
	}
}

bool
hd_flags_semver_parse(const char *text, int length, HdSemver *version)
{
	static const HdSemverPart zero = {"0", 1};
	const char *at = text;
	const char *end = text + length;
	HdSemverPart build;

	version->given = 0;
	version->prerelease = (HdSemverPart){"", 0};
	version->prefixed = length > 0 && (*at == 'v' || *at == 'V');
	if (version->prefixed)
		at++;
	for (int i = 0; i < HD_SEMVER_NUMBERS; i++)
		version->numbers[i] = zero;
	do
	{
		if (version->given > 0)
			at++;
		if (!parse_number(&at, end, &version->numbers[version->given]))
			return false;
		version->given++;
	} while (version->given < HD_SEMVER_NUMBERS && at < end && *at == '.');
	if (version->given < HD_SEMVER_NUMBERS)
		return at == end;
	if (at < end && *at == '-')
	{
		at++;
		if (!parse_identifiers(&at, end, true, &version->prerelease))
			return false;
	}
	if (at < end && *at == '+')
	{
		at++;
		if (!parse_identifiers(&at, end, false, &build))
			return false;
	}
	return at == end;
}

static int
compare_text(const HdSemverPart *a, const HdSemverPart *b)
{
	int order = memcmp(a->text, b->text, Min(a->length, b->length));

	return (order != 0) ? order : a->length - b->length;
}

static int
compare_numbers(const HdSemverPart *a, const HdSemverPart *b)
{
	if (a->length != b->length)
		return a->length - b->length;
	return memcmp(a->text, b->text, a->length);
}

static int
compare_identifiers(const HdSemverPart *a, const HdSemverPart *b)
{
	bool number = all_digits(a);

	if (number != all_digits(b))
		return number ? -1 : 1;
	return number ? compare_numbers(a, b) : compare_text(a, b);
}

/* A version with a prerelease comes before the one without. */
static int
compare_prereleases(const HdSemverPart *a, const HdSemverPart *b)
{
	const char *left = a->text;
	const char *right = b->text;
	const char *left_end = left + a->length;
	const char *right_end = right + b->length;

	if (a->length == 0 || b->length == 0)
		return (a->length == 0) - (b->length == 0);
	for (;;)
	{
		HdSemverPart one = identifier(left, left_end);
		HdSemverPart other = identifier(right, right_end);
		int order = compare_identifiers(&one, &other);

		if (order != 0)
			return order;
		left += one.length;
		right += other.length;
		if (left == left_end || right == right_end)
			return (left < left_end) - (right < right_end);
		left++;
		right++;
	}
}

int
hd_flags_semver_compare(const HdSemver *a, const HdSemver *b)
{
	for (int i = 0; i < HD_SEMVER_NUMBERS; i++)
	{
		int order = compare_numbers(&a->numbers[i], &b->numbers[i]);

		if (order != 0)
			return order;
	}
	return compare_prereleases(&a->prerelease, &b->prerelease);
}

bool
hd_flags_semver_same(const HdSemver *a, const HdSemver *b, int n)
{
	for (int i = 0; i < n; i++)
		if (compare_numbers(&a->numbers[i], &b->numbers[i]) != 0)
			return false;
	return true;
}
