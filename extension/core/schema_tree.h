/*-------------------------------------------------------------------------
 * schema_tree.h
 *		What a JSON Schema is compiled into; for the files schema*.c alone.
 *
 * Model: a node is a schema, a list of rules in the order of HdSchemaRuleKind.
 * Keywords that only make sense together are one rule.  A reference is a rule
 * that leads to another node, so the tree may have cycles; but none that
 * stays at one place of the value, so a check ends where the value does.
 *
 * Names, numbers and constants point into the copy of the document that the
 * compiled schema keeps.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SCHEMA_TREE_H
#define HD_SCHEMA_TREE_H

#include "postgres.h"

#include "core/schema.h"
#include "utils/numeric.h"

/* Types of values, as bits; every integer is a number too. */
#define HD_SCHEMA_NULL 0x01
#define HD_SCHEMA_BOOLEAN 0x02
#define HD_SCHEMA_STRING 0x04
#define HD_SCHEMA_NUMBER 0x08
#define HD_SCHEMA_INTEGER 0x10
#define HD_SCHEMA_ARRAY 0x20
#define HD_SCHEMA_OBJECT 0x40
#define HD_SCHEMA_ANY 0x7f

/* In the order in which they are checked; those of unevaluated parts need what all others found. */
typedef enum HdSchemaRuleKind
{
	HD_SCHEMA_TYPE,
	HD_SCHEMA_CONST,
	HD_SCHEMA_ENUM,
	HD_SCHEMA_MINIMUM,
	HD_SCHEMA_MAXIMUM,
	HD_SCHEMA_EXCLUSIVE_MINIMUM,
	HD_SCHEMA_EXCLUSIVE_MAXIMUM,
	HD_SCHEMA_MULTIPLE_OF,
	HD_SCHEMA_MIN_LENGTH,
	HD_SCHEMA_MAX_LENGTH,
	HD_SCHEMA_PATTERN,
	HD_SCHEMA_MIN_ITEMS,
	HD_SCHEMA_MAX_ITEMS,
	HD_SCHEMA_ITEMS,	/* prefixItems, items */
	HD_SCHEMA_CONTAINS, /* contains, minContains, maxContains */
	HD_SCHEMA_UNIQUE_ITEMS,
	HD_SCHEMA_MIN_PROPERTIES,
	HD_SCHEMA_MAX_PROPERTIES,
	HD_SCHEMA_REQUIRED,
	HD_SCHEMA_DEPENDENT_REQUIRED,
	HD_SCHEMA_PROPERTY_NAMES,
	HD_SCHEMA_PROPERTIES, /* properties, patternProperties, additionalProperties */
	HD_SCHEMA_DEPENDENT_SCHEMAS,
	HD_SCHEMA_REF,
	HD_SCHEMA_ALL_OF,
	HD_SCHEMA_ANY_OF,
	HD_SCHEMA_ONE_OF,
	HD_SCHEMA_NOT,
	HD_SCHEMA_IF, /* if, then, else */
	HD_SCHEMA_UNEVALUATED_ITEMS,
	HD_SCHEMA_UNEVALUATED_PROPERTIES,
	HD_SCHEMA_RULE_KINDS
} HdSchemaRuleKind;

typedef struct HdSchemaNode HdSchemaNode;

typedef struct HdSchemaName
{
	const char *name; /* not terminated */
	int length;
} HdSchemaName;

typedef struct HdSchemaNames
{
	int n;
	HdSchemaName *names;
} HdSchemaNames;

typedef struct HdSchemaNodes
{
	int n;
	HdSchemaNode **nodes;
} HdSchemaNodes;

/* A property of the schema: what a value's property of that name has to do with. */
typedef struct HdSchemaProperty
{
	HdSchemaName name;
	HdSchemaNode *node;	 /* properties, dependentSchemas */
	HdSchemaNames names; /* dependentRequired */
	text *pattern;		 /* patternProperties: the name as a regular expression */
} HdSchemaProperty;

/* In jsonb's order of names: by length, then by bytes. */
typedef struct HdSchemaMembers
{
	int n;
	HdSchemaProperty *members;
} HdSchemaMembers;

typedef struct HdSchemaProperties
{
	HdSchemaMembers named;
	HdSchemaMembers patterns;
	HdSchemaNode *additional; /* NULL: any */
} HdSchemaProperties;

typedef struct HdSchemaItems
{
	HdSchemaNodes prefix;
	HdSchemaNode *rest; /* NULL: any */
} HdSchemaItems;

typedef struct HdSchemaContains
{
	HdSchemaNode *node;
	int64 least;
	int64 most;
} HdSchemaContains;

typedef struct HdSchemaIf
{
	HdSchemaNode *condition;
	HdSchemaNode *then;		 /* or NULL */
	HdSchemaNode *otherwise; /* or NULL */
} HdSchemaIf;

typedef struct HdSchemaConstant
{
	uint64 hash;
	JsonbValue value;
} HdSchemaConstant;

/* In the order of their hashes; a single one, of const, has none. */
typedef struct HdSchemaConstants
{
	int n;
	HdSchemaConstant *constants;
	const char *shown; /* for messages */
} HdSchemaConstants;

typedef struct HdSchemaRule
{
	HdSchemaRuleKind kind;
	union
	{
		uint32 types;
		int64 count;
		Numeric number;
		text *pattern;
		HdSchemaNode *node;
		HdSchemaNodes *nodes;
		HdSchemaNames *names;
		HdSchemaMembers *members;
		HdSchemaConstants *constants;
		HdSchemaProperties *properties;
		HdSchemaItems *items;
		HdSchemaContains *contains;
		HdSchemaIf *branch;
	} as;
} HdSchemaRule;

/* How far the search for circles has come: new, under way, done. */
typedef enum HdSchemaVisit
{
	HD_SCHEMA_NEW,		 /* -> UNDER_WAY */
	HD_SCHEMA_UNDER_WAY, /* -> DONE; met again: a circle */
	HD_SCHEMA_DONE
} HdSchemaVisit;

struct HdSchemaNode
{
	bool never;	   /* the schema false: nothing fits */
	bool collects; /* has a rule on unevaluated parts */
	HdSchemaVisit visit;
	int nrules;
	HdSchemaRule *rules;
};

struct HdSchema
{
	MemoryContext context;
	Jsonb *document;
	HdSchemaNode *root;
};

/* A place in a schema or a value, as a chain on the stack; the root has no parent. */
typedef struct HdSchemaPath
{
	const struct HdSchemaPath *parent;
	const char *name; /* NULL: element number index of an array */
	int length;
	uint32 index;
} HdSchemaPath;

/*
 * hd_schema_path_name, hd_schema_path_index
 *		One step further.
 */
static inline HdSchemaPath
hd_schema_path_name(const HdSchemaPath *parent, HdSchemaName name)
{
	HdSchemaPath path = {parent, name.name, name.length, 0};

	return path;
}

static inline HdSchemaPath
hd_schema_path_index(const HdSchemaPath *parent, uint32 index)
{
	HdSchemaPath path = {parent, NULL, 0, index};

	return path;
}

/*
 * hd_schema_path_text
 *		A place as a JSON pointer, palloc'd, cut where it gets too long to read.
 */
extern char *hd_schema_path_text(const HdSchemaPath *path);

/*
 * hd_schema_clip
 *		A string fit for a message: terminated, palloc'd, cut where it is long.
 */
extern char *hd_schema_clip(const char *string, int length);

/*
 * hd_schema_show
 *		A value as JSON, clipped.
 */
extern char *hd_schema_show(const JsonbValue *value);

/*
 * hd_schema_type_by_name
 *		The bit of a type, 0 when there is none of that name.
 */
extern uint32 hd_schema_type_by_name(const HdSchemaName *name);

/*
 * hd_schema_types_text
 *		The names of all types whose bits are set: "string or null".
 */
extern char *hd_schema_types_text(uint32 types);

/*
 * hd_schema_integer
 *		Whether a number has no fraction; 1.0 has none.
 */
extern bool hd_schema_integer(Numeric number);

/*
 * hd_schema_root_value
 *		The value that a jsonb is, as a part of a larger one would be.
 */
extern void hd_schema_root_value(Jsonb *source, JsonbValue *value);

/*
 * hd_schema_equal
 *		Whether two values are the same JSON; 1 and 1.0 are.
 */
extern bool hd_schema_equal(const JsonbValue *a, const JsonbValue *b);

/*
 * hd_schema_hash
 *		The same for equal values, in this session; seeded, so that nobody can
 *		choose values that meet.
 */
extern uint64 hd_schema_hash(const JsonbValue *value);

/*
 * hd_schema_constants_sort
 *		Into the order of their hashes.
 */
extern void hd_schema_constants_sort(HdSchemaConstant *constants, int n);

/*
 * hd_schema_names_compare
 *		jsonb's order of names.
 */
extern int hd_schema_names_compare(const HdSchemaName *a, const HdSchemaName *b);

#endif /* HD_SCHEMA_TREE_H */
