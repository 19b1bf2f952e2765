/*-------------------------------------------------------------------------
 * pattern.c
 *		Regular expressions of RE2, Rust and JavaScript as PostgreSQL's.
 *
 * Model: one pass from left to right writes the translation and weighs the
 * expression: what an atom weighs counts as often as it is repeated.  The
 * engine's compiler takes a time that grows with the third power of the parts
 * in a row that may be empty, and doubles with each anchor; so there are bounds
 * for these, and what would take long never reaches it.
 *
 * The switch i has no place inside PostgreSQL's expressions, so a letter under
 * it becomes the set of its two forms.  ^ and $ mean a line's ends to the
 * engine (REG_NLANCH); without the switch m they become \A and \Z.
 *
 * Groups capture nothing and lazy repetitions are written as greedy ones:
 * neither changes whether a text matches.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/pattern.h"

/* What other engines take, and this one or this file does not. */
#define TOO_LONG "the expression is too long"
#define TOO_LARGE "the expression is too large"
#define TOO_DEEP "groups are nested too deeply"
#define TOO_OFTEN "a repetition is for more than 255 times"
#define ASCII_CASE "case is ignored for letters of ASCII alone"
#define NO_UNICODE "classes of Unicode (\\p) are not supported"
#define NO_QUOTES "quoting (\\Q) is not supported"
#define NO_ESCAPE "an escape is not understood"
#define NO_GROUP "a kind of group is not understood"
#define NO_CLASS "there is no class of that name"

#define UNBOUNDED (-1)
#define MAX_REPEAT 255 /* of the engine */
#define MAX_CODE_POINT 0x10FFFF
#define ANCHORS_IN_CIRCLES 4 /* what one counts for in a repetition, at least */

/* What is wrong with an expression for RE2 as well. */
#define NO_GROUP_END "a group has no end"
#define NO_SET_END "a set has no end"
#define LONE_BACKSLASH "a backslash ends the expression"
#define LONE_PARENTHESIS "a parenthesis was never opened"
#define BACK_REFERENCE "back-references are not supported"
#define LOOK_AHEAD "look-ahead is not supported"
#define LOOK_BEHIND "look-behind is not supported"
#define RANGE_BACKWARDS "a range ends before it begins"
#define BOUNDS_BACKWARDS "a repetition ends before it begins"

/* What an expression or a part of it may cost the compiler. */
typedef struct Weight
{
	int chars;	 /* characters, with all repetitions written out */
	int gaps;	 /* parts that may be empty, likewise */
	int anchors; /* places between characters, likewise */
} Weight;

typedef struct Group
{
	Weight weight; /* of what there is before the group inside of it */
	int switches;  /* outside of the group inside */
} Group;

typedef struct Reader
{
	const char *at;
	const char *end;
	HdPattern *out;
	const char *problem; /* the first one */
	int switches;
	int depth;
	Weight weight;	 /* of the innermost group */
	Weight last;	 /* of what a repetition would repeat */
	bool repeatable; /* there is such a thing */
	bool empty;		 /* nothing is in this branch yet */
	Group groups[HD_PATTERN_MAX_DEPTH];
} Reader;

static bool
refuse(Reader *reader, const char *problem)
{
	if (reader->problem == NULL)
		reader->problem = problem;
	return false;
}

static bool
at_end(const Reader *reader)
{
	return reader->at == reader->end;
}

/* The next character is this one. */
static bool
next_is(const Reader *reader, char c)
{
	return !at_end(reader) && *reader->at == c;
}

/* It is, and taken. */
static bool
take(Reader *reader, char c)
{
	if (!next_is(reader, c))
		return false;
	reader->at++;
	return true;
}

static bool
is_letter(uint32 point)
{
	return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
}

static bool
is_digit(uint32 point)
{
	return point >= '0' && point <= '9';
}

static int
hex_value(char c)
{
	if (is_digit((uint8) c))
		return c - '0';
	c |= 0x20;
	return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}

/*
 * Writing
 */

static bool
emit_bytes(Reader *reader, const char *bytes, int length)
{
	HdPattern *out = reader->out;

	if (out->length + length > HD_PATTERN_MAX_TRANSLATED)
		return refuse(reader, TOO_LONG);
	memcpy(out->text + out->length, bytes, length);
	out->length += length;
	return true;
}

static bool
emit(Reader *reader, const char *text)
{
	return emit_bytes(reader, text, (int) strlen(text));
}

/* A character, inside of a set or outside, that means nothing but itself. */
static bool
emit_character(Reader *reader, uint32 point)
{
	char escaped[11];

	if (is_letter(point) || is_digit(point))
	{
		escaped[0] = (char) point;
		return emit_bytes(reader, escaped, 1);
	}
	snprintf(escaped, sizeof(escaped), "\\U%08x", point);
	return emit_bytes(reader, escaped, 10);
}

/* The innermost group has got heavier. */
static bool
weigh(Reader *reader, const Weight *weight)
{
	reader->weight.chars += weight->chars;
	reader->weight.gaps += weight->gaps;
	reader->weight.anchors += weight->anchors;
	return (reader->weight.chars <= HD_PATTERN_MAX_CHARS &&
			reader->weight.gaps <= HD_PATTERN_MAX_GAPS &&
			reader->weight.anchors <= HD_PATTERN_MAX_ANCHORS) ||
		   refuse(reader, TOO_LARGE);
}

/* Something that may be repeated was written. */
static bool
whole(Reader *reader, const Weight *weight)
{
	reader->last = *weight;
	reader->repeatable = true;
	reader->empty = false;
	return weigh(reader, weight);
}

static bool
atom(Reader *reader)
{
	static const Weight one = {.chars = 1};

	return whole(reader, &one);
}

/* A place between characters. */
static bool
anchor(Reader *reader, const char *how)
{
	static const Weight one = {.anchors = 1};

	reader->repeatable = false;
	reader->empty = false;
	return emit(reader, how) && weigh(reader, &one);
}

/* The beginning or end of a line, or of the text. */
static bool
line_anchor(Reader *reader, const char *of_line, const char *of_text)
{
	return anchor(reader, (reader->switches & HD_PATTERN_LINES) ? of_line : of_text);
}

/* A branch ends: an empty one is a part that may be empty. */
static bool
end_branch(Reader *reader)
{
	Weight gap = {.gaps = reader->empty ? 1 : 0};

	reader->empty = true;
	reader->repeatable = false;
	/* branches outside of all groups have nothing to do with each other */
	if (reader->depth == 0)
		reader->weight.anchors = 0;
	return weigh(reader, &gap);
}

/* One character that stands for itself. */
static bool
literal(Reader *reader, uint32 point)
{
	bool both = (reader->switches & HD_PATTERN_IGNORE_CASE) != 0;

	if (both && point > 0x7F)
		return refuse(reader, ASCII_CASE);
	if (!both || !is_letter(point))
		return emit_character(reader, point) && atom(reader);
	return emit(reader, "[") && emit_character(reader, point) &&
		   emit_character(reader, point ^ 0x20) && emit(reader, "]") && atom(reader);
}

/*
 * Reading characters
 */

/* The code point at the place, which is taken; the text is valid UTF-8. */
static bool
take_character(Reader *reader, uint32 *point)
{
	uint8 first = (uint8) *reader->at++;
	int more = (first >= 0xF0) ? 3 : (first >= 0xE0) ? 2 : (first >= 0xC0) ? 1 : 0;

	*point = (more == 0) ? first : first & (0x3F >> more);
	if (reader->end - reader->at < more)
		return refuse(reader, "the expression is not UTF-8");
	for (; more > 0; more--)
		*point = *point << 6 | ((uint8) *reader->at++ & 0x3F);
	return true;
}

/* Digits of a hexadecimal number: exactly n, or with n 0 those between braces. */
static bool
take_hex(Reader *reader, int n, uint32 *point)
{
	bool braces = (n == 0 && take(reader, '{'));
	int digits = 0;

	*point = 0;
	while (!at_end(reader) && hex_value(*reader->at) >= 0 && (braces || digits < Max(n, 2)) &&
		   *point <= MAX_CODE_POINT)
	{
		*point = *point << 4 | (uint32) hex_value(*reader->at++);
		digits++;
	}
	if (braces ? (digits == 0 || !take(reader, '}')) : digits != Max(n, 2))
		return refuse(reader, "\\x and \\u want hexadecimal digits");
	if (*point == 0 || *point > MAX_CODE_POINT || (*point >= 0xD800 && *point <= 0xDFFF))
		return refuse(reader, "\\x and \\u want a character of Unicode");
	return true;
}

/*
 * What a backslash and a character mean where they are one character; the
 * backslash is taken.  False where they mean something else (nothing more is
 * taken then), or with a problem.
 */
static bool
take_escaped(Reader *reader, uint32 *point)
{
	static const char names[] = "tnrfva";
	static const char values[] = "\t\n\r\f\v\a";
	const char *found;
	char c = *reader->at;

	if (c == 'x' || c == 'u')
	{
		reader->at++;
		return take_hex(reader, (c == 'u') ? 4 : 0, point);
	}
	found = (c != '\0') ? strchr(names, c) : NULL;
	if (found != NULL)
		*point = (uint32) values[found - names];
	else if ((uint8) c < 0x80 && !is_letter((uint8) c) && !is_digit((uint8) c))
		*point = (uint32) c;
	else
		return false;
	reader->at++;
	return true;
}

/* Outside of sets. */
static bool
escape(Reader *reader)
{
	static const struct
	{
		char letter;
		bool atom;
		const char *meaning;
	} classes[] = {
		{'d', true, "[0-9]"},
		{'D', true, "[^0-9]"},
		{'w', true, "[0-9A-Za-z_]"},
		{'W', true, "[^0-9A-Za-z_]"},
		{'s', true, "[\\t\\n\\f\\r ]"},
		{'S', true, "[^\\t\\n\\f\\r ]"},
		{'b', false, "\\y"},
		{'B', false, "\\Y"},
		{'A', false, "\\A"},
		{'z', false, "\\Z"},
	};
	uint32 point;

	if (at_end(reader))
		return refuse(reader, LONE_BACKSLASH);
	for (int i = 0; i < lengthof(classes); i++)
		if (take(reader, classes[i].letter))
			return classes[i].atom ? emit(reader, classes[i].meaning) && atom(reader)
								   : anchor(reader, classes[i].meaning);
	if (take_escaped(reader, &point))
		return literal(reader, point);
	if (reader->problem != NULL)
		return false;
	if (is_digit((uint8) *reader->at))
		return refuse(reader, BACK_REFERENCE);
	if (next_is(reader, 'p') || next_is(reader, 'P'))
		return refuse(reader, NO_UNICODE);
	return refuse(reader, next_is(reader, 'Q') ? NO_QUOTES : NO_ESCAPE);
}

/*
 * Sets
 */

static bool
emit_range(Reader *reader, uint32 low, uint32 high)
{
	return emit_character(reader, low) &&
		   (low == high || (emit(reader, "-") && emit_character(reader, high)));
}

/* The part of a range that is between two letters, in the other case. */
static bool
emit_other_case(Reader *reader, uint32 low, uint32 high, char first, char last)
{
	low = Max(low, (uint32) first);
	high = Min(high, (uint32) last);
	return low > high || emit_range(reader, low ^ 0x20, high ^ 0x20);
}

static bool
set_range(Reader *reader, uint32 low, uint32 high)
{
	if (low > high)
		return refuse(reader, RANGE_BACKWARDS);
	if (!emit_range(reader, low, high))
		return false;
	if ((reader->switches & HD_PATTERN_IGNORE_CASE) == 0)
		return true;
	if (high > 0x7F)
		return refuse(reader, ASCII_CASE);
	return emit_other_case(reader, low, high, 'a', 'z') &&
		   emit_other_case(reader, low, high, 'A', 'Z');
}

/* [:name:], the bracket and colon taken. */
static bool
set_class(Reader *reader)
{
	static const char *const names[] = {"alnum", "alpha", "blank", "cntrl", "digit",
										"graph", "lower", "print", "punct", "space",
										"upper", "word",  "xdigit"};
	bool both = (reader->switches & HD_PATTERN_IGNORE_CASE) != 0;

	for (int i = 0; i < lengthof(names); i++)
	{
		int length = (int) strlen(names[i]);

		if (reader->end - reader->at < length + 2 || memcmp(reader->at, names[i], length) != 0 ||
			reader->at[length] != ':' || reader->at[length + 1] != ']')
			continue;
		reader->at += length + 2;
		if (both && (strcmp(names[i], "lower") == 0 || strcmp(names[i], "upper") == 0))
			return emit(reader, "[:alpha:]");
		return emit(reader, "[:") && emit(reader, names[i]) && emit(reader, ":]");
	}
	return refuse(reader, NO_CLASS);
}

/* One character of a set, or a class; *single: it is a character, that may begin a range. */
static bool
set_member(Reader *reader, uint32 *point, bool *single)
{
	static const struct
	{
		char letter;
		const char *members;
	} classes[] = {
		{'d', "0-9"},
		{'D', "\\u0001-\\u002f\\u003a-\\U0010ffff"},
		{'w', "0-9A-Za-z\\u005f"},
		{'W', "\\u0001-\\u002f\\u003a-\\u0040\\u005b-\\u005e\\u0060\\u007b-\\U0010ffff"},
		{'s', "\\u0009\\u000a\\u000c\\u000d\\u0020"},
		{'S', "\\u0001-\\u0008\\u000b\\u000e-\\u001f\\u0021-\\U0010ffff"},
	};

	*single = true;
	if (reader->end - reader->at >= 2 && reader->at[0] == '[' && reader->at[1] == ':')
	{
		reader->at += 2;
		*single = false;
		return set_class(reader);
	}
	if (!take(reader, '\\'))
		return take_character(reader, point);
	if (at_end(reader))
		return refuse(reader, NO_SET_END);
	if (take_escaped(reader, point))
		return true;
	*single = false;
	if (reader->problem != NULL)
		return false;
	for (int i = 0; i < lengthof(classes); i++)
		if (take(reader, classes[i].letter))
			return emit(reader, classes[i].members);
	return refuse(reader, NO_ESCAPE);
}

/* The opening bracket is taken. */
static bool
set(Reader *reader)
{
	bool first = true;
	uint32 low;
	uint32 high;
	bool single;

	if (!emit(reader, take(reader, '^') ? "[^" : "["))
		return false;
	for (;; first = false)
	{
		if (at_end(reader))
			return refuse(reader, NO_SET_END);
		if (!first && take(reader, ']'))
			return emit(reader, "]") && atom(reader);
		if (!set_member(reader, &low, &single))
			return false;
		if (!single)
			continue;
		high = low;
		if (reader->end - reader->at >= 2 && reader->at[0] == '-' && reader->at[1] != ']')
		{
			reader->at++;
			if (!set_member(reader, &high, &single))
				return false;
			if (!single)
				return refuse(reader, "a range ends with a class");
		}
		if (!set_range(reader, low, high))
			return false;
	}
}

/*
 * Groups
 */

static bool
open_group(Reader *reader, int outer_switches)
{
	Group *group = &reader->groups[reader->depth];

	if (reader->depth == HD_PATTERN_MAX_DEPTH)
		return refuse(reader, TOO_DEEP);
	group->weight = reader->weight;
	group->switches = outer_switches;
	reader->depth++;
	memset(&reader->weight, 0, sizeof(Weight));
	reader->repeatable = false;
	reader->empty = true;
	return emit(reader, "(?:");
}

static bool
close_group(Reader *reader)
{
	Weight weight;

	if (reader->depth == 0)
		return refuse(reader, LONE_PARENTHESIS);
	if (!end_branch(reader))
		return false;
	weight = reader->weight;
	reader->depth--;
	reader->weight = reader->groups[reader->depth].weight;
	reader->switches = reader->groups[reader->depth].switches;
	return emit(reader, ")") && whole(reader, &weight);
}

/* (?i-s) for the rest of the group, or (?i-s: ) for a group of its own; "(?" is taken. */
static bool
switches(Reader *reader)
{
	int before = reader->switches;
	bool off = false;
	int letter;

	for (;; reader->at++)
	{
		if (at_end(reader))
			return refuse(reader, NO_GROUP_END);
		if (*reader->at == '-' && !off)
		{
			off = true;
			continue;
		}
		/* the greedy and the lazy match alike */
		if (*reader->at == 'U')
			continue;
		letter = hd_flags_pattern_switch(*reader->at);
		if (letter == 0)
			break;
		reader->switches = off ? reader->switches & ~letter : reader->switches | letter;
	}
	if (take(reader, ':'))
		return open_group(reader, before);
	reader->repeatable = false;
	return take(reader, ')') || refuse(reader, NO_GROUP);
}

/* The name of a group, which does not matter; "<" is taken. */
static bool
named_group(Reader *reader)
{
	const char *start = reader->at;

	while (!at_end(reader) &&
		   (is_letter((uint8) *reader->at) || is_digit((uint8) *reader->at) || *reader->at == '_'))
		reader->at++;
	if (reader->at == start || !take(reader, '>'))
		return refuse(reader, "a group's name is not understood");
	return open_group(reader, reader->switches);
}

/* The opening parenthesis is taken. */
static bool
group(Reader *reader)
{
	if (!take(reader, '?'))
		return open_group(reader, reader->switches);
	if (next_is(reader, '=') || next_is(reader, '!'))
		return refuse(reader, LOOK_AHEAD);
	if (take(reader, '<'))
	{
		if (next_is(reader, '=') || next_is(reader, '!'))
			return refuse(reader, LOOK_BEHIND);
		return named_group(reader);
	}
	if (take(reader, 'P'))
		return take(reader, '<') ? named_group(reader) : refuse(reader, NO_GROUP);
	return switches(reader);
}

/*
 * Repetitions
 */

static bool
take_count(Reader *reader, int *count)
{
	const char *start = reader->at;

	*count = 0;
	for (; !at_end(reader) && is_digit((uint8) *reader->at); reader->at++)
		*count = Min(*count * 10 + (*reader->at - '0'), MAX_REPEAT + 1);
	return reader->at > start;
}

/* {n}, {n,} or {n,m}, the brace taken; false, nothing more taken and no problem: it is a brace. */
static bool
take_bounds(Reader *reader, int *least, int *most)
{
	const char *start = reader->at;

	if (take_count(reader, least))
	{
		*most = *least;
		if (take(reader, ',') && !take_count(reader, most))
			*most = UNBOUNDED;
		if (take(reader, '}'))
			return true;
	}
	reader->at = start;
	return false;
}

/* What is before is repeated, as the text says. */
static bool
repeat(Reader *reader, const char *how, int least, int most)
{
	bool often = most == UNBOUNDED || most > 1;
	int times = Max(Max(least, most), 1);
	Weight *last = &reader->last;
	Weight more;

	if (!reader->repeatable)
		return refuse(reader, "a repetition has nothing to repeat");
	/* in a circle anchors meet each other */
	more.anchors = last->anchors * ((often ? Max(times, ANCHORS_IN_CIRCLES) : 1) - 1);
	more.chars = last->chars * (times - 1);
	more.gaps = last->gaps * (times - 1) + ((least == 0) ? 1 : 0);
	reader->repeatable = false;
	(void) take(reader, '?');
	return weigh(reader, &more) && emit(reader, how);
}

/* The brace is taken. */
static bool
bounds(Reader *reader)
{
	char how[32];
	int least;
	int most;

	/* to some engines from none to so many times, to others what is written */
	if (next_is(reader, ','))
		return refuse(reader, "a repetition does not say from where");
	if (!take_bounds(reader, &least, &most))
		return literal(reader, '{');
	if (least > MAX_REPEAT || most > MAX_REPEAT)
		return refuse(reader, TOO_OFTEN);
	if (most != UNBOUNDED && most < least)
		return refuse(reader, BOUNDS_BACKWARDS);
	if (most == UNBOUNDED)
		snprintf(how, sizeof(how), "{%d,}", least);
	else
		snprintf(how, sizeof(how), "{%d,%d}", least, most);
	return repeat(reader, how, least, most);
}

static bool
point(Reader *reader)
{
	return emit(reader, (reader->switches & HD_PATTERN_DOT_ALL) ? "." : "[^\\n]") && atom(reader);
}

/* One piece of an expression. */
static bool
piece(Reader *reader)
{
	uint32 character;

	if (!take_character(reader, &character))
		return false;
	switch (character)
	{
		case '\\':
			return escape(reader);
		case '[':
			return set(reader);
		case '(':
			return group(reader);
		case ')':
			return close_group(reader);
		case '|':
			return emit(reader, "|") && end_branch(reader);
		case '*':
			return repeat(reader, "*", 0, UNBOUNDED);
		case '+':
			return repeat(reader, "+", 1, UNBOUNDED);
		case '?':
			return repeat(reader, "?", 0, 1);
		case '{':
			return bounds(reader);
		case '.':
			return point(reader);
		case '^':
			return line_anchor(reader, "^", "\\A");
		case '$':
			return line_anchor(reader, "$", "\\Z");
		default:
			return literal(reader, character);
	}
}

int
hd_flags_pattern_switch(char letter)
{
	switch (letter)
	{
		case 'i':
			return HD_PATTERN_IGNORE_CASE;
		case 'm':
			return HD_PATTERN_LINES;
		case 's':
			return HD_PATTERN_DOT_ALL;
		default:
			return 0;
	}
}

const char *
hd_flags_pattern_translate(const char *text, int length, int switches, HdPattern *pattern)
{
	Reader reader = {.at = text,
					 .end = text + length,
					 .out = pattern,
					 .switches = switches,
					 .empty = true};

	pattern->length = 0;
	if (length > HD_PATTERN_MAX)
		return TOO_LONG;
	while (!at_end(&reader) && piece(&reader))
		;
	if (reader.problem == NULL && reader.depth > 0)
		return NO_GROUP_END;
	return reader.problem;
}

bool
hd_flags_pattern_is_mistake(const char *problem)
{
	static const char *const mistakes[] = {NO_GROUP_END,	 NO_SET_END,	  LONE_BACKSLASH,
										   LONE_PARENTHESIS, BACK_REFERENCE,  LOOK_AHEAD,
										   LOOK_BEHIND,		 RANGE_BACKWARDS, BOUNDS_BACKWARDS};

	for (int i = 0; i < lengthof(mistakes); i++)
		if (strcmp(problem, mistakes[i]) == 0)
			return true;
	return false;
}
