/*-------------------------------------------------------------------------
 * match.c
 *		Operators that compare text with something parsed: versions, beginnings
 *		and ends, expressions, networks and times.
 *
 * Model: what is constant in a rule is parsed when the rule is compiled, and
 * what is wrong with it is told then; so an evaluation parses the attribute
 * alone and allocates nothing (but for long texts in hd_regex).
 *
 * flagd's own operators (sem_ver, starts_with, ends_with) take anything when
 * they are compiled, and give null for what they cannot compare: flagd goes on
 * with the default variant then, and so do flags here.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "core/network.h"
#include "flags/instant.h"
#include "flags/logic.h"
#include "flags/regex.h"
#include "flags/semver.h"
#include "mb/pg_wchar.h"

/* Arguments that cannot be compared: no error in a flag. */
static bool
odd(HdFlagsRun *run, HdValue *result)
{
	*result = hd_flags_null();
	return run->dialect == HD_FLAGS_JS || hd_flags_throw(run, "Invalid Arguments");
}

/* The node has from least to most arguments in brackets; a problem otherwise. */
static bool
has_arguments(HdFlagsBuild *build, HdFlagsNode *node, int least, int most)
{
	if (node->listed && node->nargs >= least && node->nargs <= most)
		return true;
	if (least == most)
		hd_flags_problem(build, node, "%s takes %d arguments", node->op->name, least);
	else
		hd_flags_problem(build, node, "%s takes %d to %d arguments", node->op->name, least, most);
	return false;
}

/*
 * Versions
 */

typedef enum VersionOperator
{
	VERSION_EQUAL,
	VERSION_DIFFERENT,
	VERSION_BELOW,
	VERSION_AT_MOST,
	VERSION_AT_LEAST,
	VERSION_ABOVE,
	VERSION_SAME_MAJOR,
	VERSION_SAME_MINOR,
	VERSION_UNKNOWN
} VersionOperator;

/* A version that is a constant of the rule. */
typedef struct VersionState
{
	bool valid;
	HdSemver version;
} VersionState;

static VersionOperator
version_operator(const HdValue *value)
{
	static const char *const names[] = {"=", "!=", "<", "<=", ">=", ">", "^", "~"};

	for (int i = 0; i < lengthof(names); i++)
		if (hd_flags_is_string(value, names[i], (int) strlen(names[i])))
			return (VersionOperator) i;
	return VERSION_UNKNOWN;
}

/* A string, or a number as it is written; buf holds what that is. */
static bool
version_of(const HdValue *value, char buf[DOUBLE_SHORTEST_DECIMAL_LEN], HdSemver *version)
{
	int length;

	if (value->type == HD_VALUE_STRING)
		return hd_flags_semver_parse(value->as.string, value->length, version);
	if (value->type != HD_VALUE_NUMBER)
		return false;
	length = double_to_shortest_decimal_buf(value->as.number, buf);
	return hd_flags_semver_parse(buf, length, version);
}

static bool
compare_versions(const HdSemver *a, VersionOperator how, const HdSemver *b)
{
	int order;

	if (how == VERSION_SAME_MAJOR)
		return hd_flags_semver_same(a, b, 1);
	if (how == VERSION_SAME_MINOR)
		return hd_flags_semver_same(a, b, 2);
	order = hd_flags_semver_compare(a, b);
	switch (how)
	{
		case VERSION_EQUAL:
			return order == 0;
		case VERSION_DIFFERENT:
			return order != 0;
		case VERSION_BELOW:
			return order < 0;
		case VERSION_AT_MOST:
			return order <= 0;
		case VERSION_AT_LEAST:
			return order >= 0;
		default:
			return order > 0;
	}
}

static void
prepare_sem_ver(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *target = hd_flags_constant_arg(node, 2);
	VersionState *state;
	char buf[DOUBLE_SHORTEST_DECIMAL_LEN];

	/* a number is read when it is compared: what a version is made of must stay */
	if (target == NULL || target->type == HD_VALUE_NUMBER)
		return;
	state = palloc(sizeof(VersionState));
	state->valid = version_of(target, buf, &state->version);
	node->state = state;
}

static bool
eval_sem_ver(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const VersionState *prepared = node->state;
	char given_text[DOUBLE_SHORTEST_DECIMAL_LEN];
	char wanted_text[DOUBLE_SHORTEST_DECIMAL_LEN];
	HdFlagsArgs args;
	HdSemver given;
	HdSemver wanted;
	VersionOperator how;

	if (!hd_flags_args_spread(run, node, &args))
		return false;
	if (args.n != 3)
		return odd(run, result);
	how = version_operator(&args.values[1]);
	if (how == VERSION_UNKNOWN || !version_of(&args.values[0], given_text, &given) ||
		!(prepared != NULL ? prepared->valid : version_of(&args.values[2], wanted_text, &wanted)))
		return odd(run, result);
	*result = hd_flags_bool(
		compare_versions(&given, how, prepared != NULL ? &prepared->version : &wanted));
	return true;
}

/*
 * Beginnings and ends
 */

static bool
eval_affix(HdFlagsRun *run, const HdFlagsNode *node, bool at_end, HdValue *result)
{
	const HdValue *text;
	const HdValue *affix;
	HdFlagsArgs args;
	int rest;

	if (!hd_flags_args_spread(run, node, &args))
		return false;
	if (args.n != 2 || args.values[0].type != HD_VALUE_STRING ||
		args.values[1].type != HD_VALUE_STRING)
		return odd(run, result);
	text = &args.values[0];
	affix = &args.values[1];
	rest = text->length - affix->length;
	*result = hd_flags_bool(rest >= 0 && memcmp(text->as.string + (at_end ? rest : 0),
												affix->as.string, affix->length) == 0);
	return true;
}

static bool
eval_starts_with(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_affix(run, node, false, result);
}

static bool
eval_ends_with(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_affix(run, node, true, result);
}

/*
 * Expressions
 */

/* The letters of the third argument; -1 where one means nothing. */
static int
regex_switches(const HdFlagsNode *node)
{
	const HdValue *letters = hd_flags_constant_arg(node, 2);
	int switches = 0;

	if (node->nargs == 2)
		return 0;
	if (letters == NULL || letters->type != HD_VALUE_STRING)
		return -1;
	for (int i = 0; i < letters->length; i++)
	{
		int one = hd_flags_pattern_switch(letters->as.string[i]);

		if (one == 0)
			return -1;
		switches |= one;
	}
	return switches;
}

static void
prepare_regex(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *pattern = hd_flags_constant_arg(node, 1);
	const char *problem;
	int switches;

	if (!has_arguments(build, node, 2, 3))
		return;
	switches = regex_switches(node);
	if (pattern == NULL || pattern->type != HD_VALUE_STRING)
		hd_flags_problem(build, node, "hd_regex takes an expression that is written in the rule");
	else if (switches < 0)
		hd_flags_problem(build, node, "hd_regex takes the switches i, m and s");
	else
	{
		node->state =
			hd_flags_regex_compile(pattern->as.string, pattern->length, switches, &problem);
		if (node->state == NULL)
			hd_flags_problem(build, node, "hd_regex: %s", problem);
	}
}

static bool
eval_regex(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdRegexOutcome outcome;
	HdValue text;

	if (!hd_flags_arg(run, node, 0, &text))
		return false;
	if (text.type != HD_VALUE_STRING)
		return odd(run, result);
	outcome = hd_flags_regex_match(node->state, text.as.string, text.length);
	if (outcome == HD_REGEX_TOO_LONG)
		return odd(run, result);
	*result = hd_flags_bool(outcome == HD_REGEX_MATCHES);
	return true;
}

/*
 * Networks
 */

/* Networks that are constants of the rule. */
typedef struct NetworkState
{
	int n;
	HdNetwork networks[FLEXIBLE_ARRAY_MEMBER];
} NetworkState;

static bool
network_of(const HdValue *value, HdNetwork *network)
{
	return value->type == HD_VALUE_STRING &&
		   hd_network_parse(value->as.string, value->length, network);
}

static void
prepare_cidr(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *given = hd_flags_constant_arg(node, 1);
	bool many = given != NULL && hd_flags_is_array(given);
	HdValueWalk walk;
	HdValue one;
	NetworkState *state;

	if (!has_arguments(build, node, 2, 2) || given == NULL)
		return;
	state = palloc(offsetof(NetworkState, networks) +
				   sizeof(HdNetwork) * (many ? hd_flags_length(given) : 1));
	state->n = 0;
	one = *given;
	hd_flags_walk(&walk, given);
	while (many ? hd_flags_walk_next(&walk, &one) : state->n == 0)
		if (!network_of(&one, &state->networks[state->n++]))
		{
			bool text = one.type == HD_VALUE_STRING;

			hd_flags_problem(build, node, "hd_cidr: \"%.*s\" is no network",
							 text ? pg_mbcliplen(one.as.string, one.length, 64) : 0,
							 text ? one.as.string : "");
			return;
		}
	node->state = state;
}

/* Networks that come out of the context: what is none of them matches nothing. */
static bool
within_given(const HdValue *given, const HdAddress *address)
{
	HdNetwork network;
	HdValueWalk walk;
	HdValue one;

	if (!hd_flags_is_array(given))
		return network_of(given, &network) && hd_network_contains(&network, address);
	hd_flags_walk(&walk, given);
	while (hd_flags_walk_next(&walk, &one))
		if (network_of(&one, &network) && hd_network_contains(&network, address))
			return true;
	return false;
}

static bool
within_prepared(const NetworkState *state, const HdAddress *address)
{
	for (int i = 0; i < state->n; i++)
		if (hd_network_contains(&state->networks[i], address))
			return true;
	return false;
}

static bool
eval_cidr(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdAddress address;
	HdValue text;
	HdValue networks;

	if (!hd_flags_arg(run, node, 0, &text))
		return false;
	if (text.type != HD_VALUE_STRING || !hd_address_parse(text.as.string, text.length, &address))
		return odd(run, result);
	if (node->state != NULL)
	{
		*result = hd_flags_bool(within_prepared(node->state, &address));
		return true;
	}
	if (!hd_flags_arg(run, node, 1, &networks))
		return false;
	*result = hd_flags_bool(within_given(&networks, &address));
	return true;
}

/*
 * Times
 */

#define MOST_TIMES 3

/* Times that are constants of the rule. */
typedef struct TimeState
{
	bool known[MOST_TIMES];
	TimestampTz times[MOST_TIMES];
} TimeState;

static bool
is_now(const HdValue *value)
{
	return hd_flags_is_string(value, "now", 3);
}

static bool
time_of(const HdValue *value, TimestampTz *instant)
{
	if (value->type == HD_VALUE_STRING)
		return hd_flags_instant_parse(value->as.string, value->length, instant);
	return value->type == HD_VALUE_NUMBER && hd_flags_instant_from_epoch(value->as.number, instant);
}

static void
prepare_times(HdFlagsBuild *build, HdFlagsNode *node, int n)
{
	TimeState *state = palloc0(sizeof(TimeState));

	if (!has_arguments(build, node, n, n))
		return;
	for (int i = 0; i < n; i++)
	{
		const HdValue *value = hd_flags_constant_arg(node, i);

		if (value == NULL || is_now(value))
			continue;
		state->known[i] = time_of(value, &state->times[i]);
		if (!state->known[i])
		{
			hd_flags_problem(build, node,
							 "%s: argument %d is neither a time of ISO 8601 nor \"now\" nor "
							 "seconds since 1970",
							 node->op->name, i + 1);
			return;
		}
	}
	node->state = state;
}

static void
prepare_two_times(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	prepare_times(build, node, 2);
}

static void
prepare_three_times(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	prepare_times(build, node, 3);
}

/* The times of n arguments; *odd_one: one of them is none. */
static bool
eval_times(HdFlagsRun *run, const HdFlagsNode *node, int n, TimestampTz *times, bool *odd_one)
{
	const TimeState *state = node->state;

	*odd_one = false;
	for (int i = 0; i < n; i++)
	{
		HdValue value;

		times[i] = state->times[i];
		if (state->known[i])
			continue;
		if (!hd_flags_arg(run, node, i, &value))
			return false;
		if (is_now(&value))
			times[i] = hd_flags_now(run);
		else if (!time_of(&value, &times[i]))
			*odd_one = true;
	}
	return true;
}

/* One of the two times is before the other. */
static bool
eval_order(HdFlagsRun *run, const HdFlagsNode *node, int earlier, int later, HdValue *result)
{
	TimestampTz times[2];
	bool odd_one;

	if (!eval_times(run, node, 2, times, &odd_one))
		return false;
	*result = hd_flags_bool(times[earlier] < times[later]);
	return !odd_one || odd(run, result);
}

static bool
eval_before(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_order(run, node, 0, 1, result);
}

static bool
eval_after(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	return eval_order(run, node, 1, 0, result);
}

/* From the second on, to before the third. */
static bool
eval_between(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	TimestampTz times[3];
	bool odd_one;

	if (!eval_times(run, node, 3, times, &odd_one))
		return false;
	*result = hd_flags_bool(times[0] >= times[1] && times[0] < times[2]);
	return !odd_one || odd(run, result);
}

const HdFlagsOperator hd_flags_operators_match[] = {
	{.name = "sem_ver", .eval = eval_sem_ver, .prepare = prepare_sem_ver},
	{.name = "starts_with", .eval = eval_starts_with},
	{.name = "ends_with", .eval = eval_ends_with},
	{.name = "hd_regex", .eval = eval_regex, .prepare = prepare_regex},
	{.name = "hd_cidr", .eval = eval_cidr, .prepare = prepare_cidr},
	{.name = "hd_before", .eval = eval_before, .prepare = prepare_two_times},
	{.name = "hd_after", .eval = eval_after, .prepare = prepare_two_times},
	{.name = "hd_between", .eval = eval_between, .prepare = prepare_three_times},
	{.name = NULL},
};
