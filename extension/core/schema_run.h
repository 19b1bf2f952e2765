/*-------------------------------------------------------------------------
 * schema_run.h
 *		Checking a value: what schema_check.c, which walks value and schema, and
 *		schema_rules.c need of each other.
 *
 * Model: each rule says whether it holds and, unless the run is quiet,
 * reports what is wrong.  Quiet are the branches whose failure is no error by
 * itself (anyOf, oneOf, not, if, contains) and runs without anybody to report
 * to; they end at the first rule that fails.
 *
 * For unevaluatedItems and unevaluatedProperties a map called seen goes
 * along, one bool per element or property, of what some rule has looked at.
 * It is NULL wherever no such rule is above, so others pay nothing.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SCHEMA_RUN_H
#define HD_SCHEMA_RUN_H

#include "postgres.h"

#include "core/schema_tree.h"

typedef struct HdSchemaRun
{
	HdSchemaReport report;
	void *arg;
	int quiet;	  /* branches that we are in */
	bool stopped; /* the caller has heard enough */
} HdSchemaRun;

/* A part of the value, and how to get there. */
typedef struct HdSchemaPart
{
	HdSchemaPath path;
	JsonbValue value;
	uint32 type;	/* one bit; a number has that of numbers */
	uint32 members; /* how many elements or properties */
} HdSchemaPart;

/* Goes through the members of an array or object. */
typedef struct HdSchemaWalk
{
	JsonbIterator *iterator;
	const HdSchemaPart *whole;
	int64 index;	   /* of the current one */
	HdSchemaName name; /* of the current one, in objects */
	HdSchemaPart part; /* the current one */
} HdSchemaWalk;

typedef struct HdSchemaRuleCheck
{
	uint32 types; /* which values the rule is about; others fit */
	bool (*check)(HdSchemaRun *run, const HdSchemaRule *rule, const HdSchemaPart *part, bool *seen);
} HdSchemaRuleCheck;

extern const HdSchemaRuleCheck hd_schema_rule_checks[HD_SCHEMA_RULE_KINDS];

/*
 * hd_schema_run_goes_on
 *		Whether further errors are wanted after a first one.
 */
static inline bool
hd_schema_run_goes_on(const HdSchemaRun *run)
{
	return run->quiet == 0 && !run->stopped;
}

/*
 * hd_schema_run_fail
 *		Report an error where that is wanted; false, for the caller to return.
 */
extern bool hd_schema_run_fail(HdSchemaRun *run, const HdSchemaPart *part, const char *rule,
							   const char *format, ...) pg_attribute_printf(4, 5);

/*
 * hd_schema_run_node
 *		Whether a part fits a schema.
 */
extern bool hd_schema_run_node(HdSchemaRun *run, const HdSchemaNode *node, const HdSchemaPart *part,
							   bool *seen);

/*
 * hd_schema_run_member
 *		The same for a member, with the rule that asks to name when the schema
 *		allows nothing.
 */
extern bool hd_schema_run_member(HdSchemaRun *run, const HdSchemaNode *node,
								 const HdSchemaPart *part, const char *rule);

/*
 * hd_schema_run_fits
 *		The same for a branch, quietly.  What it has looked at counts only when
 *		it fits.
 */
extern bool hd_schema_run_fits(HdSchemaRun *run, const HdSchemaNode *node, const HdSchemaPart *part,
							   bool *seen);

/*
 * hd_schema_part_finish
 *		To be called when path and value are set.
 */
extern void hd_schema_part_finish(HdSchemaPart *part);

/*
 * hd_schema_walk_begin, hd_schema_walk_next, hd_schema_walk_end
 *		Go through the members; next is false when there are no more.  end may
 *		be called at any time.
 */
extern void hd_schema_walk_begin(HdSchemaWalk *walk, const HdSchemaPart *whole);
extern bool hd_schema_walk_next(HdSchemaWalk *walk);
extern void hd_schema_walk_end(HdSchemaWalk *walk);

#endif /* HD_SCHEMA_RUN_H */
