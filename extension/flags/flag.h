/*-------------------------------------------------------------------------
 * flag.h
 *		A flag as it is compiled, and what it decides for a context.
 *
 * Model: a flag is compiled from its definition into one memory context and
 * never changes.  A decision names a variant, or the default of the caller,
 * with OpenFeature's reason and error code; nothing is raised for a bad flag
 * or a bad context.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_FLAG_H
#define HD_FLAGS_FLAG_H

#include "postgres.h"

#include "access/htup.h"
#include "flags/logic.h"
#include "lib/ilist.h"

/* Reasons whose results depend on nothing else: STATIC, DEFAULT, TARGETING_MATCH. */
#define HD_FLAGS_IMAGES 3

typedef struct HdFlagVariant
{
	HdValue name;
	HdValue value;
	HeapTupleHeader
		images[HD_FLAGS_IMAGES]; /* flag_evaluate's results by reason; NULL: not yet built */
} HdFlagVariant;

/* Names of the definition that rules have given, by their place in it, and the variants of those names. */
#define HD_FLAGS_GIVEN 4

typedef struct HdFlagGiven
{
	const char *name;
	int variant;
} HdFlagGiven;

typedef struct HdFlag
{
	MemoryContext context;
	slist_node node; /* of those given up */
	HdValue key;
	int version;
	Jsonb *definition; /* everything points into it */
	Jsonb *shared;	   /* evaluators and metadata of the set, or NULL; likewise */
	bool enabled;	   /* state */
	bool whole;		   /* the rule is one operator that leaves an outcome */
	bool bucketing_given;
	HdBucketing bucketing; /* when given; else hotdash.flag_bucketing counts */
	HdFlagsDialect dialect;
	HdFlagsNode *targeting; /* NULL: none */
	HdFlagsFacts facts;		/* about the rule */
	int nvariants;
	HdFlagVariant *variants;
	HdFlagGiven given[HD_FLAGS_GIVEN]; /* see there */
	int default_variant;			   /* -1: none, the caller's default */
	bool fixed;						   /* the default variant, a boolean, is the answer to all */
	Jsonb *metadata;				   /* of the set and the flag's own; never NULL */
	Oid extension;					   /* that it belongs to */
	bool used;						   /* since its uses were handed over (uses.h) */
	TimestampTz handed_over;		   /* when they were; 0: never */
	dlist_node used_node;			   /* of a list of uses.c, while used */
	uint64 *uses;					   /* by variant, before them of the caller's default */
} HdFlag;

StaticAssertDecl(sizeof(HdFlag) <= 256, "a byte more takes twice as much of the allocator");

/* OpenFeature's error codes. */
typedef enum HdFlagError
{
	HD_FLAG_OK,
	HD_FLAG_NOT_FOUND,
	HD_FLAG_PARSE_ERROR,
	HD_FLAG_TYPE_MISMATCH,
	HD_FLAG_INVALID_CONTEXT,
	HD_FLAG_GENERAL
} HdFlagError;

typedef struct HdFlagDecision
{
	int variant;  /* of the flag; -1: the caller's default, or the outcome's payload */
	HdValue name; /* of the variant, null: none */
	const HdFlagsOutcome *outcome; /* of the rule, when it left one; in the run */
	HdFlagReason reason;
	HdFlagError error;
	const char *message; /* of an error; valid until the next evaluation */
} HdFlagDecision;

/*
 * hd_flags_reason_name, hd_flags_error_name
 *		As OpenFeature spells them.
 */
extern const char *hd_flags_reason_name(HdFlagReason reason);
extern const char *hd_flags_error_name(HdFlagError error);

/*
 * hd_flags_flag_compile
 *		Compile a definition, in a context of its own below the given one.
 *
 * shared: {"$evaluators": {...}, "metadata": {...}} of the set, or NULL.  All
 * is copied.  A definition that flag_set would refuse gives a flag that says
 * so when it is asked.
 */
extern HdFlag *hd_flags_flag_compile(MemoryContext parent, const HdValue *key, int version,
									 Jsonb *definition, Jsonb *shared);

/*
 * hd_flags_flag_free, hd_flags_flag_sweep
 *		Give a compiled flag up.  It may be deciding, so it lives until
 *		hd_flags_flag_sweep, which is called between decisions.
 */
extern bool hd_flags_given_up; /* there is something to sweep */
extern void hd_flags_flag_free(HdFlag *flag);
extern void hd_flags_flag_sweep(void);

/*
 * hd_flags_decide
 *		What a flag decides.  run: context, world and the time asked about are set
 *		by the caller, the rest here.
 */
extern void hd_flags_decide(HdFlag *flag, HdFlagsRun *run, HdFlagDecision *decision);

/*
 * hd_flags_variant
 *		A variant by its name; -1 when there is none.
 */
extern int hd_flags_variant(const HdFlag *flag, const char *name, int length);

#endif /* HD_FLAGS_FLAG_H */
