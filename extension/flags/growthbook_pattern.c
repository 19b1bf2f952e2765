/*-------------------------------------------------------------------------
 * growthbook_pattern.c
 *		Patterns of JavaScript in the server's words.
 *
 * Model: a parser of ECMA-262's patterns without the flag u, with what its
 * Annex B adds, because that is what GrowthBook's SDK compiles.  Characters
 * and classes are sets of UTF-16 units and are written as ranges of numbers,
 * so that no locale has a say.  All groups are written as such that capture
 * nothing, lazy quantifiers as greedy ones: whether something matches does not
 * depend on either.
 *
 * References to groups have no equal here, nor have counts above the
 * server's 255: such patterns are foreign.  What JavaScript refuses is
 * invalid, which is something else: GrowthBook then matches nothing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook_pattern.h"
#include "miscadmin.h"

#define MAX_DEPTH 100
#define MAX_COUNT 255
#define WORD "[A-Za-z0-9_]"

/* No unit: what stands behind the end. */
#define END 0

static uint32
peek(const HdScriptPattern *pattern, int ahead)
{
	return pattern->at + ahead < pattern->length ? pattern->units[pattern->at + ahead] : END;
}

static bool
at_end(const HdScriptPattern *pattern)
{
	return pattern->at >= pattern->length;
}

static bool
accept(HdScriptPattern *pattern, const char *text)
{
	int length = strlen(text);

	if (pattern->at + length > pattern->length)
		return false;
	for (int i = 0; i < length; i++)
		if (pattern->units[pattern->at + i] != (unsigned char) text[i])
			return false;
	pattern->at += length;
	return true;
}

/* Returns false, for the callers to pass on; the first verdict counts. */
static bool
invalid(HdScriptPattern *pattern)
{
	if (pattern->verdict == HD_SCRIPT_FINE)
		pattern->verdict = HD_SCRIPT_INVALID;
	return false;
}

static bool
foreign(HdScriptPattern *pattern, const char *reason)
{
	if (pattern->verdict == HD_SCRIPT_FINE)
	{
		pattern->verdict = HD_SCRIPT_FOREIGN;
		pattern->reason = reason;
	}
	return false;
}

static void
write_text(HdScriptPattern *pattern, const char *text)
{
	int length = strlen(text);

	if (pattern->nout + length > pattern->capacity)
	{
		pattern->capacity = (pattern->nout + length) * 2;
		pattern->out = repalloc(pattern->out, pattern->capacity * sizeof(pg_wchar));
	}
	for (int i = 0; i < length; i++)
		pattern->out[pattern->nout++] = (unsigned char) text[i];
}

static void
write_unit(HdScriptPattern *pattern, uint32 unit)
{
	char text[8];

	snprintf(text, sizeof(text), "\\u%04x", unit & 0xFFFF);
	write_text(pattern, text);
}

/* The one set that is worked with at a time. */
static HdUnitSet *
empty_set(HdScriptPattern *pattern)
{
	memset(pattern->set, 0, sizeof(HdUnitSet));
	return pattern->set;
}

/* A set, also one of a single unit, as an atom. */
static bool
write_set(HdScriptPattern *pattern, HdUnitSet *set, bool inverted)
{
	uint32 first = 0;
	uint32 last = 0;
	bool empty = true;

	if (pattern->folded && !hd_flags_units_fold(set))
		return foreign(pattern,
					   "letters beyond ASCII without regard to case need a server with ICU");
	if (inverted)
		hd_flags_units_invert(set);
	write_text(pattern, "[");
	while (hd_flags_units_run(set, &first, &last))
	{
		write_unit(pattern, first);
		if (last > first)
		{
			write_text(pattern, "-");
			write_unit(pattern, last);
		}
		first = last + 1;
		empty = false;
	}
	/* what no text has, for the set of nothing */
	write_text(pattern, empty ? "^\\u0000-\\uffff]" : "]");
	return true;
}

static bool
write_character(HdScriptPattern *pattern, uint32 unit)
{
	HdUnitSet *set;

	if (!pattern->folded)
	{
		write_unit(pattern, unit);
		return true;
	}
	set = empty_set(pattern);
	hd_flags_units_add(set, unit, unit);
	return write_set(pattern, set, false);
}

static int
hex_digit(uint32 unit)
{
	if (unit >= '0' && unit <= '9')
		return unit - '0';
	unit |= 0x20;
	return unit >= 'a' && unit <= 'f' ? (int) (unit - 'a' + 10) : -1;
}

/* \x and \u: as many digits, or the letter itself. */
static uint32
escape_hex(HdScriptPattern *pattern, uint32 letter, int digits)
{
	uint32 unit = 0;

	for (int i = 0; i < digits; i++)
	{
		if (hex_digit(peek(pattern, i)) < 0)
			return letter;
		unit = unit * 16 + hex_digit(peek(pattern, i));
	}
	pattern->at += digits;
	return unit;
}

/* \0 to \377, whose first digit was read. */
static uint32
escape_octal(HdScriptPattern *pattern, uint32 first)
{
	uint32 unit = first - '0';

	for (int i = 0; i < 2 && peek(pattern, 0) >= '0' && peek(pattern, 0) <= '7'; i++)
	{
		if (unit * 8 + peek(pattern, 0) - '0' > 0377)
			break;
		unit = unit * 8 + peek(pattern, 0) - '0';
		pattern->at++;
	}
	return unit;
}

static bool
is_letter(uint32 unit)
{
	return (unit >= 'a' && unit <= 'z') || (unit >= 'A' && unit <= 'Z');
}

/* The unit that an escape stands for, its backslash read; classes were looked for before. */
static bool
escape_unit(HdScriptPattern *pattern, bool in_class, uint32 *unit)
{
	uint32 letter = peek(pattern, 0);

	if (at_end(pattern))
		return invalid(pattern);
	if (letter == 'c')
	{
		uint32 next = peek(pattern, 1);

		/* without a letter behind it, the backslash is itself and the c comes next */
		*unit = '\\';
		if (is_letter(next) || (in_class && (next == '_' || (next >= '0' && next <= '9'))))
		{
			*unit = next % 32;
			pattern->at += 2;
		}
		return true;
	}
	pattern->at++;
	if (letter >= '0' && letter <= '7')
		*unit = escape_octal(pattern, letter);
	else if (letter == 'x' || letter == 'u')
		*unit = escape_hex(pattern, letter, letter == 'x' ? 2 : 4);
	else if (letter == 'k' && pattern->named)
		return invalid(pattern);
	else
		*unit = letter == 'f'				  ? '\f'
				: letter == 'n'				  ? '\n'
				: letter == 'r'				  ? '\r'
				: letter == 't'				  ? '\t'
				: letter == 'v'				  ? '\v'
				: (letter == 'b' && in_class) ? '\b'
											  : letter;
	return true;
}

/* One member of a class: a unit, or a class by a letter, which goes into the set at once. */
static bool
class_member(HdScriptPattern *pattern, HdUnitSet *set, bool *is_set, uint32 *unit)
{
	*is_set = false;
	if (at_end(pattern))
		return invalid(pattern);
	if (peek(pattern, 0) != '\\')
	{
		*unit = pattern->units[pattern->at++];
		return true;
	}
	pattern->at++;
	if (hd_flags_units_add_class(set, peek(pattern, 0)))
	{
		pattern->at++;
		*is_set = true;
		return true;
	}
	return escape_unit(pattern, true, unit);
}

static bool
class_range(HdScriptPattern *pattern, HdUnitSet *set)
{
	uint32 first = 0;
	uint32 last = 0;
	bool first_is_set;
	bool last_is_set;

	if (!class_member(pattern, set, &first_is_set, &first))
		return false;
	if (peek(pattern, 0) != '-' || at_end(pattern) || peek(pattern, 1) == ']')
	{
		if (!first_is_set)
			hd_flags_units_add(set, first, first);
		return true;
	}
	pattern->at++;
	if (!class_member(pattern, set, &last_is_set, &last))
		return false;
	if (!first_is_set && !last_is_set)
	{
		if (first > last)
			return invalid(pattern);
		hd_flags_units_add(set, first, last);
		return true;
	}
	hd_flags_units_add(set, '-', '-');
	if (!first_is_set)
		hd_flags_units_add(set, first, first);
	if (!last_is_set)
		hd_flags_units_add(set, last, last);
	return true;
}

static bool
parse_class(HdScriptPattern *pattern)
{
	HdUnitSet *set = empty_set(pattern);
	bool inverted = accept(pattern, "^");

	while (!accept(pattern, "]"))
		if (!class_range(pattern, set))
			return false;
	return write_set(pattern, set, inverted);
}

/* The digits of a count; false: there are none.  Those too large for an int stay large. */
static bool
read_count(const HdScriptPattern *pattern, int *at, int64 *count)
{
	int first = *at;

	*count = 0;
	while (*at < pattern->length && pattern->units[*at] >= '0' && pattern->units[*at] <= '9')
	{
		*count = Min(*count * 10 + pattern->units[*at] - '0', PG_INT32_MAX);
		(*at)++;
	}
	return *at > first;
}

/* A backslash and what follows, where no assertion was found. */
static bool
parse_escape(HdScriptPattern *pattern)
{
	uint32 letter = peek(pattern, 0);
	HdUnitSet *set = empty_set(pattern);
	int at = pattern->at;
	int64 number;
	uint32 unit = 0;

	if (hd_flags_units_add_class(set, letter))
	{
		pattern->at++;
		return write_set(pattern, set, false);
	}
	/* a number above that of the groups is a character */
	if (letter != '0' && read_count(pattern, &at, &number) && number <= pattern->groups)
		return foreign(pattern, "it refers back to a group");
	if (letter == 'k' && pattern->named)
		return foreign(pattern, "it refers back to a group");
	return escape_unit(pattern, false, &unit) && write_character(pattern, unit);
}

/* {n}, {n,}, {n,m}; length 0: no such thing stands here, and a brace is a character. */
static int
braces(const HdScriptPattern *pattern, int64 *least, int64 *most)
{
	int at = pattern->at + 1;

	if (peek(pattern, 0) != '{' || !read_count(pattern, &at, least))
		return 0;
	*most = *least;
	if (at < pattern->length && pattern->units[at] == ',')
	{
		at++;
		if (!read_count(pattern, &at, most))
			*most = -1;
	}
	return at < pattern->length && pattern->units[at] == '}' ? at + 1 - pattern->at : 0;
}

static bool
parse_quantifier(HdScriptPattern *pattern)
{
	int64 least;
	int64 most;
	int length = braces(pattern, &least, &most);
	char text[32];

	if (length > 0)
	{
		if (most >= 0 && least > most)
			return invalid(pattern);
		if (Max(least, most) > MAX_COUNT)
			return foreign(pattern, "it counts beyond 255");
		snprintf(text, sizeof(text), "{%d,", (int) least);
		write_text(pattern, text);
		snprintf(text, sizeof(text), most < 0 ? "}" : "%d}", (int) most);
		write_text(pattern, text);
		pattern->at += length;
	}
	else if (accept(pattern, "*"))
		write_text(pattern, "*");
	else if (accept(pattern, "+"))
		write_text(pattern, "+");
	else if (accept(pattern, "?"))
		write_text(pattern, "?");
	else
		return true;
	(void) accept(pattern, "?");
	return true;
}

static bool
at_quantifier(const HdScriptPattern *pattern)
{
	int64 least;
	int64 most;
	uint32 unit = peek(pattern, 0);

	return !at_end(pattern) &&
		   (unit == '*' || unit == '+' || unit == '?' || braces(pattern, &least, &most) > 0);
}

static bool parse_alternatives(HdScriptPattern *pattern);

/* What is inside of a group, and its end. */
static bool
parse_inside(HdScriptPattern *pattern, const char *begin)
{
	check_stack_depth();
	if (++pattern->depth > MAX_DEPTH)
		return foreign(pattern, "it is nested too deeply");
	write_text(pattern, begin);
	if (!parse_alternatives(pattern))
		return false;
	if (!accept(pattern, ")"))
		return invalid(pattern);
	write_text(pattern, ")");
	pattern->depth--;
	return true;
}

/* Looking ahead may be repeated, which means it once; and nothing when it may be left out. */
static bool
parse_ahead(HdScriptPattern *pattern, const char *begin)
{
	int before = pattern->nout;
	int behind;
	int64 least;
	int64 most;

	if (!parse_inside(pattern, begin))
		return false;
	behind = pattern->nout;
	if (!at_quantifier(pattern))
		return true;
	if (braces(pattern, &least, &most) == 0)
		least = peek(pattern, 0) == '+' ? 1 : 0;
	if (!parse_quantifier(pattern))
		return false;
	pattern->nout = least > 0 ? behind : before;
	if (least == 0)
		write_text(pattern, "(?:)");
	return true;
}

/* ^, $, \b, \B and looking around.  *found: there was one. */
static bool
parse_assertion(HdScriptPattern *pattern, bool *found)
{
	*found = true;
	if (accept(pattern, "^"))
		write_text(pattern, "^");
	else if (accept(pattern, "$"))
		write_text(pattern, "$");
	else if (accept(pattern, "\\b"))
		write_text(pattern, "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))");
	else if (accept(pattern, "\\B"))
		write_text(pattern, "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))");
	else if (accept(pattern, "(?<="))
		return parse_inside(pattern, "(?<=");
	else if (accept(pattern, "(?<!"))
		return parse_inside(pattern, "(?<!");
	else if (accept(pattern, "(?="))
		return parse_ahead(pattern, "(?=");
	else if (accept(pattern, "(?!"))
		return parse_ahead(pattern, "(?!");
	else
		*found = false;
	return true;
}

/* A group's name and the bracket behind it. */
static bool
skip_name(HdScriptPattern *pattern)
{
	int first = pattern->at;
	uint32 unit = 0;

	for (; !at_end(pattern) && peek(pattern, 0) != '>'; pattern->at++)
	{
		unit = peek(pattern, 0);
		if (unit >= 0x80 || unit == '\\')
			return foreign(pattern, "a group's name is not of plain letters");
		if (!is_letter(unit) && unit != '_' && unit != '$' &&
			(pattern->at == first || unit < '0' || unit > '9'))
			return invalid(pattern);
	}
	if (at_end(pattern) || pattern->at == first)
		return invalid(pattern);
	pattern->at++;
	return true;
}

static bool
parse_group(HdScriptPattern *pattern)
{
	if (accept(pattern, "?:"))
		return parse_inside(pattern, "(?:");
	if (accept(pattern, "?<"))
		return skip_name(pattern) && parse_inside(pattern, "(?:");
	if (peek(pattern, 0) == '?' && !at_end(pattern))
	{
		/* flags within a pattern: newer engines know them, older ones refuse them */
		if (is_letter(peek(pattern, 1)) || peek(pattern, 1) == '-')
			return foreign(pattern, "it changes its flags");
		return invalid(pattern);
	}
	return parse_inside(pattern, "(?:");
}

static bool
parse_atom(HdScriptPattern *pattern)
{
	HdUnitSet *set;

	if (at_quantifier(pattern))
		return invalid(pattern);
	if (accept(pattern, "("))
		return parse_group(pattern);
	if (accept(pattern, "["))
		return parse_class(pattern);
	if (accept(pattern, "\\"))
		return parse_escape(pattern);
	if (accept(pattern, "."))
	{
		set = empty_set(pattern);
		hd_flags_units_add(set, '\n', '\n');
		hd_flags_units_add(set, '\r', '\r');
		hd_flags_units_add(set, 0x2028, 0x2029);
		return write_set(pattern, set, true);
	}
	return write_character(pattern, pattern->units[pattern->at++]);
}

/* Up to the end, or the bracket that closes the group. */
static bool
parse_alternatives(HdScriptPattern *pattern)
{
	bool assertion;

	while (!at_end(pattern) && peek(pattern, 0) != ')')
	{
		if (accept(pattern, "|"))
		{
			write_text(pattern, "|");
			continue;
		}
		if (!parse_assertion(pattern, &assertion))
			return false;
		if (!assertion && !(parse_atom(pattern) && parse_quantifier(pattern)))
			return false;
	}
	return true;
}

/* Groups that capture, and whether any has a name, before the pattern is read. */
static void
count_groups(HdScriptPattern *pattern)
{
	bool in_class = false;

	for (int i = 0; i < pattern->length; i++)
		switch (pattern->units[i])
		{
			case '\\':
				i++;
				break;
			case '[':
				in_class = true;
				break;
			case ']':
				in_class = false;
				break;
			case '(':
				pattern->at = i + 1;
				if (in_class)
					break;
				if (peek(pattern, 0) != '?')
					pattern->groups++;
				else if (peek(pattern, 1) == '<' && peek(pattern, 2) != '=' &&
						 peek(pattern, 2) != '!')
				{
					pattern->groups++;
					pattern->named = true;
				}
				break;
			default:
				break;
		}
	pattern->at = 0;
}

void
hd_flags_script_translate(HdScriptPattern *pattern)
{
	pattern->verdict = HD_SCRIPT_FINE;
	pattern->capacity = 64;
	pattern->out = palloc(pattern->capacity * sizeof(pg_wchar));
	pattern->set = palloc(sizeof(HdUnitSet));
	count_groups(pattern);
	if (parse_alternatives(pattern) && !at_end(pattern))
		(void) invalid(pattern);
	pfree(pattern->set);
}
