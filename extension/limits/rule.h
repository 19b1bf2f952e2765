/*-------------------------------------------------------------------------
 * rule.h
 *		A limit as a user defines it, made ready for use.
 *
 * Model: what limit_set and limit_take_with are told is checked and compiled
 * here, once, into a rule without pointers, which may lie in shared memory.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_RULE_H
#define HD_LIMITS_RULE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "limits/gcra.h"
#include "limits/limits.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

/* Bytes of a name, with its terminator. */
#define HD_LIMIT_NAME_SIZE 64

/* Most units of an exact log of durability wal: all of them are written each time. */
#define HD_LIMIT_WAL_MOST_RUNS 20

/* What is answered when a limit cannot be asked. */
typedef enum HdLimitFailure
{
	HD_LIMIT_FAIL_OPEN,
	HD_LIMIT_FAIL_CLOSED,
	HD_LIMIT_FAIL_AS_SET /* hotdash.limit_on_failure */
} HdLimitFailure;

/* The first two by their names, for limits and the setting. */
extern const struct config_enum_entry hd_limits_rule_failures[];

typedef struct HdLimitRule
{
	HdLimitPolicy policy;
	HdGcra gcra;  /* the policy prepared, under GCRA */
	int32 months; /* of a window: so many months, or policy.period_us */
	bool shadow;  /* counts what it would refuse, and refuses nothing */
	HdLimitFailure on_failure;
	int32 keys; /* of durability wal: so many at least have room on its pages */
	char time_zone[HD_LIMIT_NAME_SIZE]; /* of a window */
} HdLimitRule;

/* What a user says of it; NULL or 0 is the default. */
typedef struct HdLimitDefinition
{
	int32 count;
	const Interval *period; /* NULL: none, for places */
	int32 burst;
	bool has_burst;
	bool shadow;
	const char *algorithm;
	const char *durability;
	const char *time_zone;
	Jsonb *options;
} HdLimitDefinition;

/*
 * hd_limits_rule_compile
 *		Make a rule.  Raises 22023 or 22003 for what makes no sense.
 */
extern void hd_limits_rule_compile(HdLimitRule *rule, const HdLimitDefinition *definition);

/*
 * hd_limits_rule_burst
 *		What fits at once, the quota that callers are told.
 */
extern int32 hd_limits_rule_burst(const HdLimitRule *rule);

#endif /* HD_LIMITS_RULE_H */
