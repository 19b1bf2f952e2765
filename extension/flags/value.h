/*-------------------------------------------------------------------------
 * value.h
 *		Values as rules compute with them.
 *
 * Model: a value is 16 bytes, passed around by pointer and copied freely.
 * Strings and containers are not copied: they point into the definition, the
 * context or the run's memory, all of which outlive the run.  Numbers are
 * doubles, as JsonLogic means them; a jsonb number is decoded when it is
 * read (number.c).
 *
 * An array or an object is either a part of some jsonb (HD_VALUE_JSON),
 * looked into when needed, or was made by a rule (HD_VALUE_LIST,
 * HD_VALUE_PAIRS).
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_VALUE_H
#define HD_FLAGS_VALUE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

typedef enum HdValueType
{
	HD_VALUE_NULL,
	HD_VALUE_BOOL,
	HD_VALUE_NUMBER,
	HD_VALUE_STRING,
	HD_VALUE_LIST,	/* an array made by a rule */
	HD_VALUE_PAIRS, /* an object made by a rule */
	HD_VALUE_JSON	/* an array or object of some jsonb */
} HdValueType;

typedef struct HdValue
{
	HdValueType type;
	int32 length; /* STRING: bytes; LIST, PAIRS: members */
	union
	{
		bool boolean;
		double number;
		const char *string; /* not terminated */
		struct HdValue *items;
		struct HdValuePair *pairs;
		JsonbContainer *json;
	} as;
} HdValue;

typedef struct HdValuePair
{
	HdValue name; /* a string */
	HdValue value;
} HdValuePair;

/* An array or an object that is walked from its first member on, whatever it is made of. */
typedef struct HdValueWalk
{
	const HdValue *items;	  /* of a LIST */
	const HdValuePair *pairs; /* of PAIRS */
	uint32 left;
	JsonbIterator *json;
} HdValueWalk;

static inline HdValue
hd_flags_null(void)
{
	HdValue value = {.type = HD_VALUE_NULL};

	return value;
}

static inline HdValue
hd_flags_bool(bool boolean)
{
	HdValue value = {.type = HD_VALUE_BOOL, .as.boolean = boolean};

	return value;
}

static inline HdValue
hd_flags_number(double number)
{
	HdValue value = {.type = HD_VALUE_NUMBER, .as.number = number};

	return value;
}

static inline HdValue
hd_flags_string(const char *string, int length)
{
	HdValue value = {.type = HD_VALUE_STRING, .length = length, .as.string = string};

	return value;
}

/* A string constant of C. */
#define hd_flags_literal(s) hd_flags_string("" s, sizeof(s) - 1)

static inline bool
hd_flags_is_array(const HdValue *value)
{
	return value->type == HD_VALUE_LIST ||
		   (value->type == HD_VALUE_JSON && JsonContainerIsArray(value->as.json));
}

static inline bool
hd_flags_is_object(const HdValue *value)
{
	return value->type == HD_VALUE_PAIRS ||
		   (value->type == HD_VALUE_JSON && JsonContainerIsObject(value->as.json));
}

/* Whether a value is this string. */
static inline bool
hd_flags_is_string(const HdValue *value, const char *string, int length)
{
	return value->type == HD_VALUE_STRING && value->length == length &&
		   memcmp(value->as.string, string, length) == 0;
}

/*
 * hd_flags_from_jsonb, hd_flags_from_json_value
 *		The value that a jsonb, or a part of one, is.  Nothing is copied.
 */
extern HdValue hd_flags_from_jsonb(Jsonb *source);
extern HdValue hd_flags_from_json_value(const JsonbValue *source);

/*
 * hd_flags_to_jsonb
 *		A value as jsonb, palloc'd.  A number that JSON cannot say is null.
 */
extern Jsonb *hd_flags_to_jsonb(const HdValue *value);

/*
 * hd_flags_member
 *		Member of an object by its name; false where there is none, or the value is
 *		no object.
 */
extern bool hd_flags_member(const HdValue *object, const char *name, int length, HdValue *result);

/* By a name that is a string constant of C. */
#define HD_FLAGS_MEMBER(object, name, result) \
	hd_flags_member(object, "" name, sizeof(name) - 1, result)

/*
 * hd_flags_element, hd_flags_length
 *		Element of an array, from 0, likewise; elements of an array, members of an
 *		object, else 0.
 */
extern bool hd_flags_element(const HdValue *array, int64 index, HdValue *result);
extern uint32 hd_flags_length(const HdValue *value);

/*
 * hd_flags_walk, hd_flags_walk_next
 *		Go through the elements of an array; of any other value there are none.
 */
extern void hd_flags_walk(HdValueWalk *walk, const HdValue *array);
extern bool hd_flags_walk_next(HdValueWalk *walk, HdValue *element);

/*
 * hd_flags_members, hd_flags_members_next
 *		Go through the members of an object, in jsonb's order; of any other value
 *		there are none.
 */
extern void hd_flags_members(HdValueWalk *walk, const HdValue *object);
extern bool hd_flags_members_next(HdValueWalk *walk, HdValue *name, HdValue *value);

/*
 * hd_flags_truthy
 *		JsonLogic's truth: false, null, 0, NaN, "" and [] are not, all else is.
 */
extern bool hd_flags_truthy(const HdValue *value);

/*
 * hd_flags_to_number, hd_flags_text_to_number
 *		A value, or a text, as a number as JavaScript's Number() has it: NaN where
 *		it is none.
 */
extern double hd_flags_to_number(const HdValue *value);
extern double hd_flags_text_to_number(const char *text, int length);

/*
 * hd_flags_weight
 *		About how many bytes a value takes when it is written, each part as often
 *		as it stands there: a rule can make a list that holds another twice, that
 *		one a third, and so on.  Something above most where it is more than that,
 *		or nested too deeply.
 * hd_flags_is_handy
 *		Whether a value can be written as a whole.  Only what a rule made may be
 *		too large; what was given is as large as that.
 */
#define HD_FLAGS_MAX_MADE ((Size) 4 * 1024 * 1024)

extern Size hd_flags_weight(const HdValue *value, Size most);
extern bool hd_flags_is_handy(const HdValue *value);

/*
 * hd_flags_append_text
 *		A value as JavaScript's String() has it, but null is the empty string, and
 *		so is what is not handy, or deeper than the stack.
 * hd_flags_append_number
 *		A number as JavaScript writes it: shortest digits, 1e21 and above with an
 *		exponent.
 */
extern void hd_flags_append_text(StringInfo out, const HdValue *value);
extern void hd_flags_append_number(StringInfo out, double number);

/*
 * hd_flags_numeric
 *		A jsonb number as the double nearest to it (number.c).
 */
extern double hd_flags_numeric(Numeric number);

/*
 * hd_flags_same
 *		Whether two values are the same JSON: 1 and 1.0 are; arrays and objects by
 *		what is in them.
 */
extern bool hd_flags_same(const HdValue *a, const HdValue *b);

#endif /* HD_FLAGS_VALUE_H */
