/*-------------------------------------------------------------------------
 * fractional.c
 *		Splitting units by weight: flagd's fractional, and hd_group.
 *
 *		{"fractional": [key?, [variant, weight?], ...]}
 *		{"hd_group": [group, from, to, unit?]}
 *
 * Model: what is hashed is one string.  A key that is given is all of it (so
 * it says its own salt); without one it is made of the flag's key and the
 * targeting key, as the flag's bucketing joins them (bucket.h).  The place of
 * the hash among the weights, in their order, is the variant; null where there
 * is none, with which a flag goes on with its default.
 *
 *	flagd-v1	percents of the sum as doubles, fractions of weights cut off
 *	flagd-v2	(h * sum) >> 32; weights are whole and sum to less than 2^31,
 *				those below 0 are 0
 *	flagd-v3	the same; the key may be of any type but null and array
 *	unleash		as its variants: (murmur3 with their seed) mod sum; whole weights
 *	growthbook	as its ranges: each weight its part of 1, which may have a fraction
 *	launchdarkly	likewise, and the last variant takes what is left
 *
 * Weights are parsed when the rule is compiled, unless one of the variants or
 * weights is a rule itself; then all are evaluated each time.  Splits of one
 * key agree with each other: who is in the first 10 % of one is in the first
 * 10 % of all.  A salt in the key parts them, and hd_group keeps them apart.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/bucket.h"
#include "flags/logic.h"

/* Parts of a key that is built by cat, hashed without being joined, and their bytes. */
#define MOST_PARTS 8
#define MOST_BYTES 65536

typedef struct Share
{
	HdValue variant;
	double weight; /* as written; 1 where there is none, NaN where it is no number */
	uint64 upto;   /* end of its range in whole weights */
} Share;

typedef struct Split
{
	bool numbers;  /* every weight is one */
	bool whole;	   /* and they are integers that flagd takes from v2 on */
	double sum;	   /* of those above 0 */
	int64 cut_sum; /* as flagd-v1 adds them */
	int n;
	Share shares[FLEXIBLE_ARRAY_MEMBER];
} Split;

/* A rule whose weights are all constant. */
typedef struct FractionalState
{
	const HdFlagsNode *key; /* NULL: none is given */
	bool joined;			/* it is a cat of a few parts */
	Split *split;
} FractionalState;

/* What is hashed. */
typedef struct Unit
{
	bool known;
	bool whole; /* one value of any type, with flagd-v3 */
	HdValue value;
	HdValue parts[MOST_PARTS];
	int nparts;
} Unit;

/*
 * The weights
 */

static Split *
make_split(int most)
{
	Split *split = palloc0(offsetof(Split, shares) + sizeof(Share) * most);

	split->numbers = true;
	split->whole = true;
	return split;
}

/* What flagd-v1 makes of a weight: the fraction is cut off, no number is 1. */
static inline int64
cut_weight(double weight)
{
	return isnan(weight) ? 1 : (int64) Max(Min(weight, PG_INT32_MAX), PG_INT32_MIN);
}

static void
add_share(Split *split, const HdValue *variant, const HdValue *weight)
{
	Share *share = &split->shares[split->n++];
	double number = 1;

	if (weight != NULL && weight->type == HD_VALUE_NUMBER)
		number = weight->as.number;
	else if (weight != NULL && weight->type != HD_VALUE_NULL)
		number = NAN;
	share->variant = *variant;
	share->weight = number;
	split->cut_sum += cut_weight(number);
	split->numbers = split->numbers && isfinite(number);
	split->sum += split->numbers ? Max(number, 0) : 0;
	split->whole =
		split->whole && split->numbers && number == trunc(number) && split->sum <= PG_INT32_MAX;
	share->upto = split->whole ? (uint64) split->sum : 0;
}

static bool
may_be_variant(const HdValue *variant)
{
	return !hd_flags_is_array(variant) && !hd_flags_is_object(variant);
}

/* An array of variant and weight; false where it is none. */
static bool
add_pair(Split *split, const HdValue *pair)
{
	HdValue variant;
	HdValue weight;

	if (!hd_flags_element(pair, 0, &variant) || !may_be_variant(&variant))
		return false;
	add_share(split, &variant, hd_flags_element(pair, 1, &weight) ? &weight : NULL);
	return true;
}

/*
 * The place among them
 */

/* n from 0 to 1; the last takes what is left over, or nobody does. */
static const Share *
find_part(const Split *split, double n, bool last_takes_rest)
{
	/* weights that sum to about 1 are parts already, and taken as they are */
	double sum = (split->sum >= 0.99 && split->sum <= 1.01) ? 1 : split->sum;
	double upto = 0;

	if (!split->numbers || split->sum <= 0)
		return NULL;
	for (int i = 0; i < split->n; i++)
	{
		upto += Max(split->shares[i].weight, 0) / sum;
		if (n < upto)
			return &split->shares[i];
	}
	return last_takes_rest ? &split->shares[split->n - 1] : NULL;
}

static const Share *
find_percent(const Split *split, double ratio)
{
	double place = ratio * 100;
	double upto = 0;

	if (split->cut_sum == 0)
		return NULL;
	for (int i = 0; i < split->n; i++)
	{
		upto += 100 * (double) cut_weight(split->shares[i].weight) / (double) split->cut_sum;
		if (place < upto)
			return &split->shares[i];
	}
	return NULL;
}

static const Share *
find_whole(const Split *split, uint64 place)
{
	for (int i = 0; i < split->n; i++)
		if (place < split->shares[i].upto)
			return &split->shares[i];
	return NULL;
}

static uint32
unit_hash(HdBucketing bucketing, const Unit *unit)
{
	if (bucketing == HD_BUCKETING_UNLEASH)
		return hd_flags_murmur3_parts(unit->parts, unit->nparts, HD_BUCKET_UNLEASH_VARIANTS);
	if (bucketing == HD_BUCKETING_FLAGD_V3)
		return unit->whole ? hd_flags_cbor_hash(&unit->value)
						   : hd_flags_cbor_hash_text(unit->parts, unit->nparts);
	return hd_flags_murmur3_parts(unit->parts, unit->nparts, 0);
}

static pg_noinline void
note(HdFlagsRun *run, const HdFlagsNode *node, const char *name, double number)
{
	HdValue value = hd_flags_number(number);

	hd_flags_trace_note(run, node, name, &value);
}

/* By a hash and integers. */
static const Share *
choose_whole(HdFlagsRun *run, const HdFlagsNode *node, const Split *split, const Unit *unit)
{
	uint64 sum = (uint64) split->sum;
	uint32 hash;
	uint64 place;

	if (!split->whole || sum == 0)
		return NULL;
	hash = unit_hash(run->bucketing, unit);
	place = (run->bucketing == HD_BUCKETING_UNLEASH) ? hash % sum : (hash * sum) >> 32;
	if (run->trace != NULL)
	{
		note(run, node, "hash", hash);
		note(run, node, "bucket", (double) place);
		note(run, node, "of", (double) sum);
	}
	return find_whole(split, place);
}

static const Share *
choose(HdFlagsRun *run, const HdFlagsNode *node, const Split *split, const Unit *unit)
{
	double place;

	switch (run->bucketing)
	{
		case HD_BUCKETING_FLAGD_V2:
		case HD_BUCKETING_FLAGD_V3:
		case HD_BUCKETING_UNLEASH:
			return choose_whole(run, node, split, unit);
		default:
			break;
	}
	place = hd_flags_parts_share(run->bucketing, unit->parts, unit->nparts);
	if (run->trace != NULL)
		note(run, node, "bucket", place);
	if (run->bucketing == HD_BUCKETING_FLAGD_V1)
		return find_percent(split, place);
	return find_part(split, place, run->bucketing == HD_BUCKETING_LAUNCHDARKLY);
}

/*
 * What is hashed
 */

/* The targeting key with the flag's key. */
static void
unit_of_context(HdFlagsRun *run, Unit *unit)
{
	HdValue *parts = unit->parts;
	HdValue key = run->flag_key;

	if (!hd_flags_read(run, "targetingKey", 12, &unit->value) ||
		unit->value.type != HD_VALUE_STRING)
		return;
	/* flagd began with v2 to take an empty one for none */
	if (unit->value.length == 0 && run->bucketing != HD_BUCKETING_FLAGD_V1)
		return;
	if (key.type != HD_VALUE_STRING)
		key = hd_flags_literal("");
	unit->known = true;
	if (run->bucketing != HD_BUCKETING_FLAGD_V3)
	{
		unit->nparts = hd_flags_bucket_parts(run->bucketing, &key, &unit->value, parts);
		return;
	}
	parts[0] = key;
	parts[1] = unit->value;
	unit->whole = true;
	unit->value = (HdValue){.type = HD_VALUE_LIST, .length = 2, .as.items = parts};
}

/* A number as the vendors other than flagd hash it: as it is written. */
static HdValue
number_text(const HdValue *number)
{
	StringInfoData text;

	initStringInfo(&text);
	hd_flags_append_number(&text, number->as.number);
	return hd_flags_string(text.data, text.len);
}

/* The key given, which is no array; NULL: there is none. */
static void
unit_of_key(HdFlagsRun *run, const HdValue *key, Unit *unit)
{
	bool flagd = run->bucketing <= HD_BUCKETING_FLAGD_V3;
	bool v3 = run->bucketing == HD_BUCKETING_FLAGD_V3;

	/* a missing attribute is null; only the first two versions go on without */
	if (key == NULL || (key->type == HD_VALUE_NULL && flagd && !v3))
	{
		unit_of_context(run, unit);
		return;
	}
	unit->nparts = 1;
	unit->parts[0] = *key;
	if (key->type == HD_VALUE_STRING)
		unit->known = true;
	else if (v3)
	{
		unit->known = key->type != HD_VALUE_NULL && hd_flags_is_handy(key);
		unit->whole = true;
		unit->value = *key;
	}
	else if (!flagd && key->type == HD_VALUE_NUMBER)
	{
		unit->known = true;
		unit->parts[0] = number_text(key);
	}
}

/* The parts of a cat where each is a string or nothing; *usable: they are. */
static bool
unit_of_parts(HdFlagsRun *run, const HdFlagsNode *cat, Unit *unit, bool *usable)
{
	int64 length = 0;

	*usable = false;
	unit->nparts = cat->nargs;
	for (int i = 0; i < cat->nargs; i++)
	{
		if (!hd_flags_arg(run, cat, i, &unit->parts[i]))
			return false;
		if (unit->parts[i].type == HD_VALUE_NULL)
			unit->parts[i] = hd_flags_literal("");
		if (unit->parts[i].type != HD_VALUE_STRING)
			return true;
		length += unit->parts[i].length;
	}
	/* what is too long is cat's to refuse */
	*usable = length <= MOST_BYTES;
	unit->known = *usable;
	return true;
}

/*
 * The operator
 */

static void
answer(HdFlagsRun *run, const HdFlagsNode *node, const Split *split, const Unit *unit,
	   HdValue *result)
{
	const Share *share = unit->known ? choose(run, node, split, unit) : NULL;

	*result = (share != NULL) ? share->variant : hd_flags_null();
}

/* All arguments are evaluated, and read as flagd reads them. */
static bool
eval_evaluated(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;
	Unit unit = {0};
	Split *split;
	bool keyed;

	*result = hd_flags_null();
	if (!hd_flags_args_spread(run, node, &args))
		return false;
	if (args.n < ((run->bucketing == HD_BUCKETING_FLAGD_V1) ? 2 : 1))
		return true;
	keyed = !hd_flags_is_array(&args.values[0]);
	unit_of_key(run, keyed ? &args.values[0] : NULL, &unit);
	split = make_split(args.n);
	for (int i = keyed ? 1 : 0; i < args.n; i++)
		if (!add_pair(split, &args.values[i]))
			return true;
	answer(run, node, split, &unit, result);
	return true;
}

static bool
eval_prepared(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	const FractionalState *state = node->state;
	bool usable = false;
	HdValue key;
	Unit unit;

	unit.known = false;
	unit.whole = false;
	/* an explanation shows what is hashed in one piece */
	if (state->joined && run->trace == NULL && !unit_of_parts(run, state->key, &unit, &usable))
		return false;
	if (!usable && state->key != NULL)
	{
		if (!hd_flags_eval(run, state->key, &key))
			return false;
		/* an array is no key but a pair */
		if (hd_flags_is_array(&key))
			return eval_evaluated(run, node, result);
	}
	if (!usable)
		unit_of_key(run, state->key != NULL ? &key : NULL, &unit);
	if (run->bucketing == HD_BUCKETING_FLAGD_V1 && node->nargs < 2)
		unit.known = false;
	answer(run, node, state->split, &unit, result);
	return true;
}

static bool
is_cat(const HdFlagsNode *node)
{
	return node->op != NULL && strcmp(node->op->name, "cat") == 0 && node->listed &&
		   node->nargs > 0 && node->nargs <= MOST_PARTS;
}

/* Leaves the node as it is when something about the weights is a rule. */
static void
prepare_fractional(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	const HdValue *first = hd_flags_constant_arg(node, 0);
	FractionalState *state;
	bool keyed;

	if (!node->listed || node->nargs == 0)
		return;
	/* an array with rules in it is a pair; what another rule gives, is seen when it runs */
	keyed = (first != NULL) ? !hd_flags_is_array(first) : node->args[0].op != NULL;
	state = palloc0(sizeof(FractionalState));
	state->split = make_split(node->nargs);
	for (int i = keyed ? 1 : 0; i < node->nargs; i++)
	{
		const HdValue *pair = hd_flags_constant_arg(node, i);

		if (pair == NULL || !add_pair(state->split, pair))
			return;
	}
	if (keyed)
	{
		state->key = &node->args[0];
		state->joined = is_cat(state->key);
	}
	node->state = state;
	node->eval = eval_prepared;
}

/*
 * Groups that exclude each other
 */

static bool
group_argument(HdFlagsRun *run, const HdFlagsNode *node, HdValue *group, double *from, double *to)
{
	HdValue low;
	HdValue high;

	if (!hd_flags_arg(run, node, 0, group) || !hd_flags_arg(run, node, 1, &low) ||
		!hd_flags_arg(run, node, 2, &high))
		return false;
	*from = (low.type == HD_VALUE_NUMBER) ? low.as.number : NAN;
	*to = (high.type == HD_VALUE_NUMBER) ? high.as.number : NAN;
	return true;
}

static bool
eval_group(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdValue parts[3] = {hd_flags_null(), hd_flags_literal(":"), hd_flags_null()};
	double from;
	double to;
	double place;

	*result = hd_flags_null();
	if (!group_argument(run, node, &parts[0], &from, &to))
		return false;
	if (node->nargs > 3)
	{
		if (!hd_flags_arg(run, node, 3, &parts[2]))
			return false;
	}
	else if (!hd_flags_read(run, "targetingKey", 12, &parts[2]))
		parts[2] = hd_flags_null();
	if (parts[0].type != HD_VALUE_STRING || parts[2].type != HD_VALUE_STRING || isnan(from) ||
		isnan(to))
		return run->dialect == HD_FLAGS_JS || hd_flags_throw(run, "Invalid Arguments");
	place = hd_flags_parts_share(HD_BUCKETING_FLAGD_V2, parts, lengthof(parts)) * 100;
	if (run->trace != NULL)
		note(run, node, "bucket", place);
	*result = hd_flags_bool(place >= from && place < to);
	return true;
}

static bool
constant_is_bound(const HdFlagsNode *node, int n)
{
	const HdValue *value = hd_flags_constant_arg(node, n);

	return value == NULL ||
		   (value->type == HD_VALUE_NUMBER && value->as.number >= 0 && value->as.number <= 100);
}

static void
prepare_group(HdFlagsBuild *build, HdFlagsNode *node, const HdValue *arguments)
{
	if (!node->listed || node->nargs < 3 || node->nargs > 4)
		hd_flags_problem(build, node, "hd_group takes a group, from, to and perhaps a unit");
	else if (!constant_is_bound(node, 1) || !constant_is_bound(node, 2))
		hd_flags_problem(build, node, "hd_group takes from and to between 0 and 100");
}

const HdFlagsOperator hd_flags_operators_fractional[] = {
	{.name = "fractional", .eval = eval_evaluated, .prepare = prepare_fractional},
	{.name = "hd_group", .eval = eval_group, .prepare = prepare_group},
	{.name = NULL},
};
