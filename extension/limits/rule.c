/*-------------------------------------------------------------------------
 * rule.c
 *		A limit as a user defines it, made ready for use.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/rule.h"

#include <math.h>

#include "core/duration.h"
#include "core/zone.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Months of a hundred years, as all periods; and how long one is about. */
#define MAX_MONTHS 1200
#define MONTH_US (INT64CONST(30) * USECS_PER_DAY)

/* Keys of a limit of durability wal: unless it says, and at most. */
#define DEFAULT_KEYS 10000
#define MAX_KEYS 100000

/* The words that an argument may be, as settings have theirs. */
typedef struct config_enum_entry Word;

static const Word algorithms[] = {{"gcra", HD_LIMIT_GCRA, false},
								  {"log", HD_LIMIT_LOG, false},
								  {"window", HD_LIMIT_WINDOW, false},
								  {"concurrency", HD_LIMIT_CONCURRENCY, false},
								  {NULL, 0, false}};
static const Word durabilities[] = {{"none", HD_LIMIT_KEEP_NONE, false},
									{"snapshot", HD_LIMIT_KEEP_SNAPSHOT, false},
									{"wal", HD_LIMIT_KEEP_WAL, false},
									{NULL, 0, false}};
const Word hd_limits_rule_failures[] = {{"open", HD_LIMIT_FAIL_OPEN, false},
										{"closed", HD_LIMIT_FAIL_CLOSED, false},
										{NULL, 0, false}};

static int
parse_word(const char *given, const char *what, const Word *words)
{
	StringInfoData known;

	for (const Word *word = words; word->name != NULL; word++)
	{
		if (strcmp(word->name, given) == 0)
			return word->val;
	}
	initStringInfo(&known);
	for (const Word *word = words; word->name != NULL; word++)
		appendStringInfo(&known, "%s%s",
						 (word == words) ? "" : ((word + 1)->name == NULL ? " and " : ", "),
						 word->name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown %s \"%s\" of a rate limit", what, given),
					errhint("Known are %s.", known.data)));
}

static int32
keys_option(Numeric value)
{
	double keys =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value)));

	if (keys < 1 || keys > MAX_KEYS || keys != floor(keys))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"keys\" of a rate limit must be from 1 to %d", MAX_KEYS)));
	return (int32) keys;
}

static void
set_option(HdLimitRule *rule, const char *name, const JsonbValue *value)
{
	if (strcmp(name, "strict") == 0 && value->type == jbvBool)
		rule->policy.strict = value->val.boolean;
	else if (strcmp(name, "on_failure") == 0 && value->type == jbvString)
		rule->on_failure =
			(HdLimitFailure) parse_word(pnstrdup(value->val.string.val, value->val.string.len),
										"option on_failure", hd_limits_rule_failures);
	else if (strcmp(name, "keys") == 0 && value->type == jbvNumeric)
		rule->keys = keys_option(value->val.numeric);
	else
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid option \"%s\" of a rate limit", name),
						errhint("Options are \"strict\" (true or false), \"on_failure\" "
								"(\"open\" or \"closed\") and \"keys\" (a number).")));
}

static void
read_options(HdLimitRule *rule, Jsonb *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options of a rate limit must be a JSON object")));
	it = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		set_option(rule, name, &value);
	}
}

/* Places have none.  A window may be some months long; everything else has a length in time. */
static void
read_period(HdLimitRule *rule, const HdLimitDefinition *definition)
{
	const Interval *period = definition->period;
	bool has_one = rule->policy.algorithm != HD_LIMIT_CONCURRENCY;

	if (has_one && period == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("period of a rate limit must not be null")));
	if (!has_one && period != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a limit of concurrency has no period"),
				 errhint("Its places are held until they are given back; let period be null.")));
	if (!has_one)
		return;
	if (rule->policy.algorithm != HD_LIMIT_WINDOW || period->month == 0)
	{
		rule->policy.period_us = hd_duration_us(period, "period", 1);
		return;
	}
	if (period->day != 0 || period->time != 0 || period->month < 0 || period->month > MAX_MONTHS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid period of a window"),
				 errhint("A window is some months long, or some days, or less.")));
	rule->months = period->month;
	rule->policy.period_us = MONTH_US * period->month;
}

static void
read_zone(HdLimitRule *rule, const char *name)
{
	if (name == NULL && rule->policy.algorithm != HD_LIMIT_WINDOW)
		return;
	if (name == NULL)
		name = "UTC";
	if (rule->policy.algorithm != HD_LIMIT_WINDOW)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("only windows have a time zone"),
				 errhint("Use algorithm => 'window', or leave time_zone out.")));
	(void) hd_zone_find(name);
	if (strlen(name) >= sizeof(rule->time_zone))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a time zone is too long")));
	strlcpy(rule->time_zone, name, sizeof(rule->time_zone));
}

static void
read_burst(HdLimitRule *rule, const HdLimitDefinition *definition)
{
	rule->policy.burst = definition->has_burst ? definition->burst : definition->count;
	if (rule->policy.algorithm != HD_LIMIT_GCRA && definition->has_burst &&
		definition->burst != definition->count)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("only algorithm gcra has a burst"),
						errhint("The others grant all of count at once; leave burst out.")));
}

static void
require_durable(HdLimitRule *rule)
{
	if (rule->policy.keep != HD_LIMIT_KEEP_WAL)
	{
		if (rule->keys != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"keys\" is for rate limits of durability wal")));
		return;
	}
	if (rule->keys == 0)
		rule->keys = DEFAULT_KEYS;
	if (rule->policy.algorithm == HD_LIMIT_LOG && rule->policy.count > HD_LIMIT_WAL_MOST_RUNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count of an exact log of durability wal must not be greater than %d",
						HD_LIMIT_WAL_MOST_RUNS),
				 errhint("Use durability snapshot, or another algorithm.")));
}

void
hd_limits_rule_compile(HdLimitRule *rule, const HdLimitDefinition *definition)
{
	memset(rule, 0, sizeof(*rule));
	rule->on_failure = HD_LIMIT_FAIL_AS_SET;
	rule->shadow = definition->shadow;
	rule->policy.count = definition->count;
	rule->policy.keep = HD_LIMIT_KEEP_SNAPSHOT;
	if (definition->algorithm != NULL)
		rule->policy.algorithm =
			(HdLimitAlgorithm) parse_word(definition->algorithm, "algorithm", algorithms);
	if (rule->policy.algorithm == HD_LIMIT_CONCURRENCY)
		rule->policy.keep = HD_LIMIT_KEEP_NONE;
	if (definition->durability != NULL)
		rule->policy.keep =
			(HdLimitKeep) parse_word(definition->durability, "durability", durabilities);
	if (rule->policy.algorithm == HD_LIMIT_CONCURRENCY && rule->policy.keep != HD_LIMIT_KEEP_NONE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a limit of concurrency has no durability"),
						errhint("Its places belong to sessions, which end with the server.")));
	read_period(rule, definition);
	read_burst(rule, definition);
	read_zone(rule, definition->time_zone);
	if (definition->options != NULL)
		read_options(rule, definition->options);
	require_durable(rule);
	hd_limits_require_policy(&rule->policy);
	if (rule->policy.algorithm == HD_LIMIT_GCRA)
		(void) hd_limits_gcra_prepare(&rule->gcra, rule->policy.count, rule->policy.period_us,
									  rule->policy.burst);
}

int32
hd_limits_rule_burst(const HdLimitRule *rule)
{
	return (rule->policy.algorithm == HD_LIMIT_GCRA) ? rule->policy.burst : rule->policy.count;
}
