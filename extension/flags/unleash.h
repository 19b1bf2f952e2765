/*-------------------------------------------------------------------------
 * unleash.h
 *		Flags as Unleash has them: read once, then evaluated as its clients do.
 *
 * Model: the operator hd_unleash keeps a feature and the segments it uses as
 * they stood in Unleash's document.  When the flag is compiled they are read
 * into the structures below (unleash_read.c, unleash_constraint.c), and
 * evaluated from them (unleash.c): no JSON is looked into any more.
 *
 * Reference: Unleash's client specification, and where that is silent what
 * its clients agree on; docs/flags_unleash.md says what is done where they
 * do not.
 *
 * All pointers lead into the flag's definition or the memory of its tree.
 * Nothing here changes once it was read.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_UNLEASH_H
#define HD_FLAGS_UNLEASH_H

#include "postgres.h"

#include "core/network.h"
#include "flags/logic.h"
#include "flags/regex.h"
#include "flags/semver.h"

/* An attribute of the context. */
typedef struct HdUnleashField
{
	HdValue name;
	bool own; /* a field of Unleash's context, not one of its properties */
} HdUnleashField;

/* Strings in order of hd_flags_unleash_compare, none twice. */
typedef struct HdUnleashSet
{
	int n;
	HdValue *members;
} HdUnleashSet;

/* Networks; what is none in a list is left out of it. */
typedef struct HdUnleashNetworks
{
	int n;
	HdNetwork *items;
} HdUnleashNetworks;

typedef enum HdUnleashTest
{
	HD_UNLEASH_NEVER, /* not understood: holds for nobody, inverted or not */
	HD_UNLEASH_IN,
	HD_UNLEASH_STARTS,
	HD_UNLEASH_ENDS,
	HD_UNLEASH_CONTAINS,
	HD_UNLEASH_NUMBER,
	HD_UNLEASH_DATE,
	HD_UNLEASH_SEMVER,
	HD_UNLEASH_REGEX,
	HD_UNLEASH_CIDR
} HdUnleashTest;

/* Which outcomes of a comparison will do, together. */
#define HD_UNLEASH_LESS 1
#define HD_UNLEASH_EQUAL 2
#define HD_UNLEASH_GREATER 4

typedef struct HdUnleashConstraint
{
	HdUnleashField field;
	HdUnleashTest test;
	bool inverted;	  /* NOT_IN is IN the other way round */
	bool ignore_case; /* then the strings are in lower case already */
	int order;		  /* of NUMBER, DATE and SEMVER */
	HdValue source;	  /* for explanations */
	union
	{
		HdUnleashSet set; /* IN and the tests of parts of strings */
		double number;
		TimestampTz time;
		HdSemver version;
		const HdRegex *regex;
		HdUnleashNetworks networks;
	} with;
} HdUnleashConstraint;

/* What keeps a unit where it is. */
typedef enum HdUnleashStickiness
{
	HD_UNLEASH_BY_DEFAULT, /* userId, else sessionId, else chance */
	HD_UNLEASH_BY_FIELD,
	HD_UNLEASH_BY_CHANCE
} HdUnleashStickiness;

typedef struct HdUnleashSticky
{
	HdUnleashStickiness by;
	HdUnleashField field;
	HdValue group; /* with the colon that separates it from the unit */
} HdUnleashSticky;

typedef struct HdUnleashOverride
{
	HdUnleashField field;
	HdUnleashSet values;
} HdUnleashOverride;

typedef struct HdUnleashVariant
{
	HdValue name;
	uint32 weight;
	bool paid; /* it has a payload */
	HdFlagsPayload payload;
	int noverrides;
	HdUnleashOverride *overrides;
} HdUnleashVariant;

typedef struct HdUnleashVariants
{
	int n;
	uint32 weight; /* of all */
	HdUnleashSticky sticky;
	HdUnleashVariant *items;
} HdUnleashVariants;

typedef enum HdUnleashStrategyKind
{
	HD_UNLEASH_NOBODY, /* a strategy that is not known, or lacks what it needs */
	HD_UNLEASH_EVERYBODY,
	HD_UNLEASH_ROLLOUT,
	HD_UNLEASH_LISTED, /* a field's value is in a list */
	HD_UNLEASH_ADDRESS
} HdUnleashStrategyKind;

typedef struct HdUnleashStrategy
{
	HdValue name;
	HdUnleashStrategyKind kind;
	int nconstraints; /* its own, and those of its segments */
	HdUnleashConstraint *constraints;
	double percent;				/* ROLLOUT */
	HdUnleashSticky sticky;		/* ROLLOUT */
	HdUnleashField field;		/* LISTED, ADDRESS */
	bool ignore_case;			/* LISTED */
	HdUnleashSet list;			/* LISTED */
	HdUnleashNetworks networks; /* ADDRESS */
	HdUnleashVariants variants;
} HdUnleashStrategy;

typedef struct HdUnleashParent
{
	HdValue feature;
	bool enabled;		   /* what it has to be */
	HdUnleashSet variants; /* one of these; none: any */
} HdUnleashParent;

typedef struct HdUnleashFeature
{
	bool enabled;
	int nparents;
	HdUnleashParent *parents;
	int nstrategies;
	HdUnleashStrategy *strategies;
	HdUnleashVariants variants;
} HdUnleashFeature;

/*
 * hd_flags_unleash_read
 *		A feature from the arguments of hd_unleash, in the current context.  What
 *		could be read of it where *problem says what is wrong.
 */
extern HdUnleashFeature *hd_flags_unleash_read(const HdValue *arguments, const char **problem);

/*
 * HdUnleashReader
 *		What is being read, for what the parts of it need.  A part that cannot be
 *		read says so with hd_flags_unleash_refuse and the rest is read on.
 */
typedef struct HdUnleashReader
{
	const HdValue *json;	 /* payloads of type json, by their text; NULL: none */
	const HdValue *segments; /* an array */
	HdValue feature;		 /* its name */
	const char *problem;	 /* the first one */
} HdUnleashReader;

extern void hd_flags_unleash_refuse(HdUnleashReader *reader, const char *format, ...)
	pg_attribute_printf(2, 3);

/*
 * hd_flags_unleash_read_constraints
 *		The constraints of an array, added to *n of them.
 */
extern void hd_flags_unleash_read_constraints(HdUnleashReader *reader, const HdValue *array,
											  HdUnleashConstraint *constraints, int *n);

/*
 * hd_flags_unleash_member, hd_flags_unleash_string, hd_flags_unleash_flag, hd_flags_unleash_array
 *		A member of an object; null and a wrong type are as if it were missing, but
 *		for the wrong type a problem is noted.  False, and the result empty, when
 *		it is missing.
 */
extern bool hd_flags_unleash_member(const HdValue *object, const char *name, HdValue *result);
extern bool hd_flags_unleash_string(HdUnleashReader *reader, const HdValue *object,
									const char *name, HdValue *result);
extern bool hd_flags_unleash_flag(HdUnleashReader *reader, const HdValue *object, const char *name,
								  bool missing);
extern bool hd_flags_unleash_array(HdUnleashReader *reader, const HdValue *object, const char *name,
								   HdValue *result);

/*
 * hd_flags_unleash_field
 *		The attribute of that name.
 */
extern HdUnleashField hd_flags_unleash_field(const HdValue *name);

/*
 * hd_flags_unleash_set, hd_flags_unleash_split
 *		The set of an array's strings, or of those between the commas of one.
 * hd_flags_unleash_has
 *		Whether a string is in a set.
 */
extern HdUnleashSet hd_flags_unleash_set(HdUnleashReader *reader, const HdValue *array, bool lower);
extern HdUnleashSet hd_flags_unleash_split(const HdValue *list, bool lower);
extern bool hd_flags_unleash_has(const HdUnleashSet *set, const HdValue *member);

/*
 * hd_flags_unleash_networks
 *		The networks and addresses in an array of strings.
 * hd_flags_unleash_within
 *		Whether an address, as text, is in one of them.
 */
extern HdUnleashNetworks hd_flags_unleash_networks(const HdValue *array);
extern bool hd_flags_unleash_within(const HdUnleashNetworks *networks, const HdValue *address);

/*
 * hd_flags_unleash_lower
 *		A string in lower case, whatever the database's locale: itself when it is
 *		so already, else palloc'd.
 */
extern HdValue hd_flags_unleash_lower(const HdValue *string);

/*
 * hd_flags_unleash_attribute
 *		An attribute of the context as text; false where there is none.  buffer is
 *		for numbers.
 */
#define HD_UNLEASH_BUFFER 32
extern bool hd_flags_unleash_attribute(HdFlagsRun *run, const HdUnleashField *field, char *buffer,
									   HdValue *text);

/*
 * hd_flags_unleash_holds
 *		Whether a constraint does.
 */
extern bool hd_flags_unleash_holds(HdFlagsRun *run, const HdUnleashConstraint *constraint);

#endif /* HD_FLAGS_UNLEASH_H */
