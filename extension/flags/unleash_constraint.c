/*-------------------------------------------------------------------------
 * unleash_constraint.c
 *		Constraints of Unleash's strategies and segments: read once, and tested.
 *
 * Two things that can be wrong are kept apart.  A constraint that cannot be
 * understood (an operator that is not known, a version, date or pattern that
 * is none) holds for nobody, inverted or not: a mistake in a rule lets no one
 * in.  An attribute that is missing, or is no number, version or date, does
 * not meet the constraint; inverted it does.
 *
 * Numbers, dates and versions of the context are read at each evaluation,
 * those of the constraint once.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "flags/instant.h"
#include "flags/unleash.h"
#include "mb/pg_wchar.h"

typedef struct Operator
{
	const char *name;
	HdUnleashTest test;
	int order;
	bool negated;
} Operator;

static const Operator operators[] = {
	{"IN", HD_UNLEASH_IN, 0, false},
	{"NOT_IN", HD_UNLEASH_IN, 0, true},
	{"STR_STARTS_WITH", HD_UNLEASH_STARTS, 0, false},
	{"STR_ENDS_WITH", HD_UNLEASH_ENDS, 0, false},
	{"STR_CONTAINS", HD_UNLEASH_CONTAINS, 0, false},
	{"NUM_EQ", HD_UNLEASH_NUMBER, HD_UNLEASH_EQUAL, false},
	{"NUM_GT", HD_UNLEASH_NUMBER, HD_UNLEASH_GREATER, false},
	{"NUM_GTE", HD_UNLEASH_NUMBER, HD_UNLEASH_GREATER | HD_UNLEASH_EQUAL, false},
	{"NUM_LT", HD_UNLEASH_NUMBER, HD_UNLEASH_LESS, false},
	{"NUM_LTE", HD_UNLEASH_NUMBER, HD_UNLEASH_LESS | HD_UNLEASH_EQUAL, false},
	{"DATE_AFTER", HD_UNLEASH_DATE, HD_UNLEASH_GREATER, false},
	{"DATE_BEFORE", HD_UNLEASH_DATE, HD_UNLEASH_LESS, false},
	{"SEMVER_EQ", HD_UNLEASH_SEMVER, HD_UNLEASH_EQUAL, false},
	{"SEMVER_GT", HD_UNLEASH_SEMVER, HD_UNLEASH_GREATER, false},
	{"SEMVER_GTE", HD_UNLEASH_SEMVER, HD_UNLEASH_GREATER | HD_UNLEASH_EQUAL, false},
	{"SEMVER_LT", HD_UNLEASH_SEMVER, HD_UNLEASH_LESS, false},
	{"SEMVER_LTE", HD_UNLEASH_SEMVER, HD_UNLEASH_LESS | HD_UNLEASH_EQUAL, false},
	{"REGEX", HD_UNLEASH_REGEX, 0, false},
	{"IN_CIDR", HD_UNLEASH_CIDR, 0, false},
};

/*
 * Reading texts
 */

/* A decimal number and nothing else, not even blanks. */
static bool
read_number(const HdValue *text, double *number)
{
	if (text->type == HD_VALUE_NUMBER)
	{
		*number = text->as.number;
		return true;
	}
	if (text->type != HD_VALUE_STRING || text->length == 0)
		return false;
	for (int i = 0; i < text->length; i++)
		if (strchr("0123456789+-.eE", text->as.string[i]) == NULL || text->as.string[i] == '\0')
			return false;
	*number = hd_flags_text_to_number(text->as.string, text->length);
	return !isnan(*number);
}

/* All three numbers and nothing before them. */
static bool
read_version(const HdValue *text, HdSemver *version)
{
	return text->type == HD_VALUE_STRING &&
		   hd_flags_semver_parse(text->as.string, text->length, version) &&
		   version->given == HD_SEMVER_NUMBERS && !version->prefixed;
}

static bool
read_time(const HdValue *text, TimestampTz *time)
{
	return text->type == HD_VALUE_STRING &&
		   hd_flags_instant_parse(text->as.string, text->length, time);
}

/*
 * Reading a constraint
 */

static void
read_values(HdUnleashReader *reader, const HdValue *object, HdUnleashConstraint *constraint)
{
	HdValue array;

	(void) hd_flags_unleash_array(reader, object, "values", &array);
	if (constraint->test == HD_UNLEASH_CIDR)
		constraint->with.networks = hd_flags_unleash_networks(&array);
	else
		constraint->with.set = hd_flags_unleash_set(reader, &array, constraint->ignore_case);
}

/* What no engine takes is a mistake in the rule; what only ours does not is refused. */
static bool
read_regex(HdUnleashReader *reader, const HdValue *pattern, HdUnleashConstraint *constraint)
{
	int switches = constraint->ignore_case ? HD_PATTERN_IGNORE_CASE : 0;
	const char *problem;

	if (pattern->type != HD_VALUE_STRING)
		return false;
	constraint->with.regex =
		hd_flags_regex_compile(pattern->as.string, pattern->length, switches, &problem);
	if (constraint->with.regex == NULL && !hd_flags_pattern_is_mistake(problem))
		hd_flags_unleash_refuse(reader, "regular expression \"%.*s\": %s",
								pg_mbcliplen(pattern->as.string, pattern->length, 100),
								pattern->as.string, problem);
	return constraint->with.regex != NULL;
}

static bool
read_value(HdUnleashReader *reader, const HdValue *object, HdUnleashConstraint *constraint)
{
	HdValue value;

	(void) hd_flags_unleash_member(object, "value", &value);
	switch (constraint->test)
	{
		case HD_UNLEASH_NUMBER:
			return read_number(&value, &constraint->with.number);
		case HD_UNLEASH_DATE:
			return read_time(&value, &constraint->with.time);
		case HD_UNLEASH_SEMVER:
			return read_version(&value, &constraint->with.version);
		default:
			return read_regex(reader, &value, constraint);
	}
}

static bool
has_values(HdUnleashTest test)
{
	return test == HD_UNLEASH_IN || test == HD_UNLEASH_STARTS || test == HD_UNLEASH_ENDS ||
		   test == HD_UNLEASH_CONTAINS || test == HD_UNLEASH_CIDR;
}

static const Operator *
operator_by_name(const HdValue *name)
{
	for (int i = 0; i < lengthof(operators); i++)
		if (hd_flags_is_string(name, operators[i].name, (int) strlen(operators[i].name)))
			return &operators[i];
	return NULL;
}

static void
read_constraint(HdUnleashReader *reader, const HdValue *object, HdUnleashConstraint *constraint)
{
	const Operator *op;
	HdValue name;

	memset(constraint, 0, sizeof(*constraint));
	constraint->source = *object;
	if (!hd_flags_unleash_string(reader, object, "contextName", &name))
		hd_flags_unleash_refuse(reader, "a constraint has no \"contextName\"");
	constraint->field = hd_flags_unleash_field(&name);
	if (!hd_flags_unleash_string(reader, object, "operator", &name))
		hd_flags_unleash_refuse(reader, "a constraint has no \"operator\"");
	constraint->inverted = hd_flags_unleash_flag(reader, object, "inverted", false);
	constraint->ignore_case = hd_flags_unleash_flag(reader, object, "caseInsensitive", false);
	if (reader->problem != NULL || (op = operator_by_name(&name)) == NULL)
		return;

	constraint->test = op->test;
	constraint->order = op->order;
	constraint->inverted ^= op->negated;
	/* membership never looks away from case */
	if (op->test == HD_UNLEASH_IN)
		constraint->ignore_case = false;
	if (has_values(op->test))
		read_values(reader, object, constraint);
	else if (!read_value(reader, object, constraint))
		constraint->test = HD_UNLEASH_NEVER;
}

void
hd_flags_unleash_read_constraints(HdUnleashReader *reader, const HdValue *array,
								  HdUnleashConstraint *constraints, int *n)
{
	HdValueWalk walk;
	HdValue object;

	hd_flags_walk(&walk, array);
	while (hd_flags_walk_next(&walk, &object))
	{
		if (!hd_flags_is_object(&object))
			hd_flags_unleash_refuse(reader, "a constraint has to be an object");
		else
			read_constraint(reader, &object, &constraints[(*n)++]);
	}
}

/*
 * Testing
 */

static bool
starts_with(const HdValue *text, const HdValue *part)
{
	return text->length >= part->length &&
		   memcmp(text->as.string, part->as.string, part->length) == 0;
}

static bool
ends_with(const HdValue *text, const HdValue *part)
{
	return text->length >= part->length && memcmp(text->as.string + text->length - part->length,
												  part->as.string, part->length) == 0;
}

static bool
contains(const HdValue *text, const HdValue *part)
{
	return memmem(text->as.string, text->length, part->as.string, part->length) != NULL;
}

static bool
some_part(const HdUnleashConstraint *constraint, const HdValue *text,
		  bool (*test)(const HdValue *text, const HdValue *part))
{
	HdValue lower = constraint->ignore_case ? hd_flags_unleash_lower(text) : *text;

	for (int i = 0; i < constraint->with.set.n; i++)
		if (test(&lower, &constraint->with.set.members[i]))
			return true;
	return false;
}

static bool
in_order(const HdUnleashConstraint *constraint, bool less, bool greater)
{
	int order = less ? HD_UNLEASH_LESS : greater ? HD_UNLEASH_GREATER : HD_UNLEASH_EQUAL;

	return (constraint->order & order) != 0;
}

static bool
test_number(const HdUnleashConstraint *constraint, const HdValue *text)
{
	double bound = constraint->with.number;
	double number;

	return read_number(text, &number) && in_order(constraint, number<bound, number> bound);
}

static bool
test_version(const HdUnleashConstraint *constraint, const HdValue *text)
{
	HdSemver version;
	int order;

	if (!read_version(text, &version))
		return false;
	order = hd_flags_semver_compare(&version, &constraint->with.version);
	return in_order(constraint, order<0, order> 0);
}

static bool
test_time(const HdUnleashConstraint *constraint, const HdValue *text)
{
	TimestampTz bound = constraint->with.time;
	TimestampTz time;

	return read_time(text, &time) && in_order(constraint, time<bound, time> bound);
}

/* What is missing meets nothing; but the time, where none was given, is now. */
static bool
test_missing(HdFlagsRun *run, const HdUnleashConstraint *constraint)
{
	TimestampTz bound = constraint->with.time;
	TimestampTz now;

	if (constraint->test != HD_UNLEASH_DATE ||
		!hd_flags_is_string(&constraint->field.name, "currentTime", 11))
		return false;
	now = hd_flags_now(run);
	return in_order(constraint, now<bound, now> bound);
}

/* A text that is too long to be looked through is let in by nothing. */
static bool
holds_regex(const HdUnleashConstraint *constraint, const HdValue *text)
{
	HdRegexOutcome outcome =
		hd_flags_regex_match(constraint->with.regex, text->as.string, text->length);

	return outcome == (constraint->inverted ? HD_REGEX_DIFFERS : HD_REGEX_MATCHES);
}

static bool
test(const HdUnleashConstraint *constraint, const HdValue *text)
{
	switch (constraint->test)
	{
		case HD_UNLEASH_IN:
			return hd_flags_unleash_has(&constraint->with.set, text);
		case HD_UNLEASH_STARTS:
			return some_part(constraint, text, starts_with);
		case HD_UNLEASH_ENDS:
			return some_part(constraint, text, ends_with);
		case HD_UNLEASH_CONTAINS:
			return some_part(constraint, text, contains);
		case HD_UNLEASH_NUMBER:
			return test_number(constraint, text);
		case HD_UNLEASH_DATE:
			return test_time(constraint, text);
		case HD_UNLEASH_SEMVER:
			return test_version(constraint, text);
		case HD_UNLEASH_CIDR:
			return hd_flags_unleash_within(&constraint->with.networks, text);
		case HD_UNLEASH_REGEX:
		case HD_UNLEASH_NEVER:
			break;
	}
	return false;
}

bool
hd_flags_unleash_holds(HdFlagsRun *run, const HdUnleashConstraint *constraint)
{
	char buffer[HD_UNLEASH_BUFFER];
	HdValue text;

	if (constraint->test == HD_UNLEASH_NEVER)
		return false;
	if (!hd_flags_unleash_attribute(run, &constraint->field, buffer, &text))
		return test_missing(run, constraint) != constraint->inverted;
	if (constraint->test == HD_UNLEASH_REGEX)
		return holds_regex(constraint, &text);
	return test(constraint, &text) != constraint->inverted;
}
