/*-------------------------------------------------------------------------
 * value.c
 *		Values as rules compute with them: reading jsonb, writing it, and
 *		JavaScript's conversions.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "flags/value.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Integers up to here are exact as doubles. */
#define EXACT_INTEGER 9007199254740992.0 /* 2^53 */

/* How deep a value that a rule made may be nested to be handy. */
#define MAX_NESTED 500

HdValue
hd_flags_from_json_value(const JsonbValue *source)
{
	HdValue value = {.type = HD_VALUE_NULL};

	switch (source->type)
	{
		case jbvString:
			return hd_flags_string(source->val.string.val, source->val.string.len);
		case jbvNumeric:
			return hd_flags_number(hd_flags_numeric(source->val.numeric));
		case jbvBool:
			return hd_flags_bool(source->val.boolean);
		case jbvBinary:
			value.type = HD_VALUE_JSON;
			value.as.json = source->val.binary.data;
			return value;
		default:
			return value;
	}
}

HdValue
hd_flags_from_jsonb(Jsonb *source)
{
	HdValue value = {.type = HD_VALUE_JSON, .as.json = &source->root};
	JsonbValue scalar;

	if (!JB_ROOT_IS_SCALAR(source))
		return value;
	(void) JsonbExtractScalar(&source->root, &scalar);
	return hd_flags_from_json_value(&scalar);
}

static Numeric
number_to_numeric(double number)
{
	char text[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (fabs(number) < EXACT_INTEGER && number == trunc(number))
		return int64_to_numeric((int64) number);
	double_to_shortest_decimal_buf(number, text);
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static void push(JsonbParseState **state, JsonbIteratorToken token, const HdValue *value);

static JsonbValue *
push_members(JsonbParseState **state, const HdValue *value)
{
	bool list = value->type == HD_VALUE_LIST;

	check_stack_depth();
	(void) pushJsonbValue(state, list ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < value->length; i++)
		if (list)
			push(state, WJB_ELEM, &value->as.items[i]);
		else
		{
			push(state, WJB_KEY, &value->as.pairs[i].name);
			push(state, WJB_VALUE, &value->as.pairs[i].value);
		}
	return pushJsonbValue(state, list ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
}

/* A scalar, or an array or object of a jsonb. */
static JsonbValue
leaf(const HdValue *value)
{
	JsonbValue result = {.type = jbvNull};

	switch (value->type)
	{
		case HD_VALUE_BOOL:
			result.type = jbvBool;
			result.val.boolean = value->as.boolean;
			break;
		case HD_VALUE_NUMBER:
			if (!isfinite(value->as.number))
				break;
			result.type = jbvNumeric;
			result.val.numeric = number_to_numeric(value->as.number);
			break;
		case HD_VALUE_STRING:
			result.type = jbvString;
			result.val.string.val = unconstify(char *, value->as.string);
			result.val.string.len = value->length;
			break;
		case HD_VALUE_JSON:
			result.type = jbvBinary;
			result.val.binary.data = value->as.json;
			break;
		default:
			break;
	}
	return result;
}

static void
push(JsonbParseState **state, JsonbIteratorToken token, const HdValue *value)
{
	JsonbValue part;

	if (value->type == HD_VALUE_LIST || value->type == HD_VALUE_PAIRS)
	{
		(void) push_members(state, value);
		return;
	}
	part = leaf(value);
	(void) pushJsonbValue(state, token, &part);
}

Jsonb *
hd_flags_to_jsonb(const HdValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue part;

	if (value->type == HD_VALUE_LIST || value->type == HD_VALUE_PAIRS)
		return JsonbValueToJsonb(push_members(&state, value));
	if (value->type == HD_VALUE_JSON)
	{
		JsonbIterator *walk = JsonbIteratorInit(value->as.json);
		JsonbValue *whole = NULL;
		JsonbIteratorToken token;

		while ((token = JsonbIteratorNext(&walk, &part, false)) != WJB_DONE)
			whole = pushJsonbValue(&state, token,
								   (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
									   ? &part
									   : NULL);
		return JsonbValueToJsonb(whole);
	}
	part = leaf(value);
	return JsonbValueToJsonb(&part);
}

bool
hd_flags_member(const HdValue *object, const char *name, int length, HdValue *result)
{
	JsonbValue found;

	if (object->type == HD_VALUE_JSON)
	{
		if (!JsonContainerIsObject(object->as.json) ||
			getKeyJsonValueFromContainer(object->as.json, name, length, &found) == NULL)
			return false;
		*result = hd_flags_from_json_value(&found);
		return true;
	}
	if (object->type == HD_VALUE_PAIRS)
		for (int i = 0; i < object->length; i++)
			if (hd_flags_is_string(&object->as.pairs[i].name, name, length))
			{
				*result = object->as.pairs[i].value;
				return true;
			}
	return false;
}

bool
hd_flags_element(const HdValue *array, int64 index, HdValue *result)
{
	JsonbValue *found;

	if (!hd_flags_is_array(array) || index < 0 || index >= hd_flags_length(array))
		return false;
	if (array->type == HD_VALUE_LIST)
		*result = array->as.items[index];
	else
	{
		found = getIthJsonbValueFromContainer(array->as.json, (uint32) index);
		*result = hd_flags_from_json_value(found);
		pfree(found);
	}
	return true;
}

uint32
hd_flags_length(const HdValue *value)
{
	if (value->type == HD_VALUE_JSON)
		return JsonContainerSize(value->as.json);
	return (value->type == HD_VALUE_LIST || value->type == HD_VALUE_PAIRS) ? value->length : 0;
}

/* Count a member that is about to be read; at the end, free the iterator. */
static bool
step(HdValueWalk *walk)
{
	if (walk->left > 0)
	{
		walk->left--;
		return true;
	}
	if (walk->json != NULL)
		pfree(walk->json);
	walk->json = NULL;
	return false;
}

void
hd_flags_walk(HdValueWalk *walk, const HdValue *array)
{
	JsonbValue whole;

	walk->items = NULL;
	walk->json = NULL;
	walk->left = hd_flags_is_array(array) ? hd_flags_length(array) : 0;
	if (walk->left == 0)
		return;
	if (array->type == HD_VALUE_LIST)
		walk->items = array->as.items;
	else
	{
		walk->json = JsonbIteratorInit(array->as.json);
		(void) JsonbIteratorNext(&walk->json, &whole, true);
	}
}

bool
hd_flags_walk_next(HdValueWalk *walk, HdValue *element)
{
	JsonbValue part;

	if (!step(walk))
		return false;
	if (walk->items != NULL)
		*element = *walk->items++;
	else
	{
		(void) JsonbIteratorNext(&walk->json, &part, true);
		*element = hd_flags_from_json_value(&part);
	}
	return true;
}

void
hd_flags_members(HdValueWalk *walk, const HdValue *object)
{
	JsonbValue whole;

	walk->pairs = NULL;
	walk->json = NULL;
	walk->left = hd_flags_is_object(object) ? hd_flags_length(object) : 0;
	if (walk->left == 0)
		return;
	if (object->type == HD_VALUE_PAIRS)
		walk->pairs = object->as.pairs;
	else
	{
		walk->json = JsonbIteratorInit(object->as.json);
		(void) JsonbIteratorNext(&walk->json, &whole, true);
	}
}

bool
hd_flags_members_next(HdValueWalk *walk, HdValue *name, HdValue *value)
{
	JsonbValue part;

	if (!step(walk))
		return false;
	if (walk->pairs != NULL)
	{
		*name = walk->pairs->name;
		*value = walk->pairs++->value;
		return true;
	}
	(void) JsonbIteratorNext(&walk->json, &part, true);
	*name = hd_flags_from_json_value(&part);
	(void) JsonbIteratorNext(&walk->json, &part, true);
	*value = hd_flags_from_json_value(&part);
	return true;
}

bool
hd_flags_truthy(const HdValue *value)
{
	switch (value->type)
	{
		case HD_VALUE_NULL:
			return false;
		case HD_VALUE_BOOL:
			return value->as.boolean;
		case HD_VALUE_NUMBER:
			return value->as.number != 0 && !isnan(value->as.number);
		case HD_VALUE_STRING:
			return value->length > 0;
		default:
			return hd_flags_is_object(value) || hd_flags_length(value) > 0;
	}
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A number as JavaScript's literals have it, all of the text; NaN where it is none. */
static double
parse_number(const char *text, int length)
{
	char copy[64];
	char *end;
	int digits = 0;
	int64 integer = 0;
	double number;

	while (digits < length && digits < 16 && text[digits] >= '0' && text[digits] <= '9')
		integer = integer * 10 + (text[digits++] - '0');
	if (digits == length && digits < 16)
		return (double) integer;
	if (length >= (int) sizeof(copy) || memchr(text, '_', length) != NULL)
		return NAN;
	memcpy(copy, text, length);
	copy[length] = '\0';
	/* what strtod takes and JavaScript does not: nan, inf, signed and fractional hexadecimals */
	if (strspn(copy, "0123456789+-.eE") != (size_t) length)
	{
		const char *word = copy + (*copy == '-' || *copy == '+');

		if (strcmp(word, "Infinity") == 0)
			return (*copy == '-') ? -INFINITY : INFINITY;
		if (copy[0] != '0' || (copy[1] != 'x' && copy[1] != 'X') || length < 3 ||
			strspn(copy + 2, "0123456789abcdefABCDEF") != (size_t) length - 2)
			return NAN;
	}
	number = strtod(copy, &end);
	return (*end == '\0' && end != copy) ? number : NAN;
}

double
hd_flags_text_to_number(const char *text, int length)
{
	while (length > 0 && is_space(text[0]))
	{
		text++;
		length--;
	}
	while (length > 0 && is_space(text[length - 1]))
		length--;
	return (length == 0) ? 0 : parse_number(text, length);
}

double
hd_flags_to_number(const HdValue *value)
{
	StringInfoData text;

	switch (value->type)
	{
		case HD_VALUE_NULL:
			return 0;
		case HD_VALUE_BOOL:
			return value->as.boolean ? 1 : 0;
		case HD_VALUE_NUMBER:
			return value->as.number;
		case HD_VALUE_STRING:
			return hd_flags_text_to_number(value->as.string, value->length);
		default:
			if (!hd_flags_is_array(value))
				return NAN;
			initStringInfo(&text);
			hd_flags_append_text(&text, value);
			return hd_flags_text_to_number(text.data, text.len);
	}
}

static Size
json_weight(JsonbContainer *json)
{
	return getJsonbOffset(json, JsonContainerSize(json) * (JsonContainerIsObject(json) ? 2 : 1));
}

static Size
weight_within(const HdValue *value, Size most, int depth)
{
	Size weight = sizeof(HdValue);

	if (depth > MAX_NESTED)
		return most + 1;
	switch (value->type)
	{
		case HD_VALUE_STRING:
			return weight + value->length;
		case HD_VALUE_JSON:
			return weight + json_weight(value->as.json);
		case HD_VALUE_LIST:
			for (int i = 0; i < value->length && weight <= most; i++)
				weight += weight_within(&value->as.items[i], most - weight, depth + 1);
			return weight;
		case HD_VALUE_PAIRS:
			for (int i = 0; i < value->length && weight <= most; i++)
				weight += value->as.pairs[i].name.length +
						  weight_within(&value->as.pairs[i].value, most - weight, depth + 1);
			return weight;
		default:
			return weight;
	}
}

Size
hd_flags_weight(const HdValue *value, Size most)
{
	CHECK_FOR_INTERRUPTS();
	return weight_within(value, most, 0);
}

bool
hd_flags_is_handy(const HdValue *value)
{
	if (value->type != HD_VALUE_LIST && value->type != HD_VALUE_PAIRS)
		return true;
	return hd_flags_weight(value, HD_FLAGS_MAX_MADE) <= HD_FLAGS_MAX_MADE;
}

static void
append_text(StringInfo out, const HdValue *value)
{
	HdValueWalk walk;
	HdValue element;
	bool first = true;

	switch (value->type)
	{
		case HD_VALUE_NULL:
			return;
		case HD_VALUE_BOOL:
			appendStringInfoString(out, value->as.boolean ? "true" : "false");
			return;
		case HD_VALUE_NUMBER:
			hd_flags_append_number(out, value->as.number);
			return;
		case HD_VALUE_STRING:
			appendBinaryStringInfo(out, value->as.string, value->length);
			return;
		default:
			break;
	}
	if (!hd_flags_is_array(value))
	{
		appendStringInfoString(out, "[object Object]");
		return;
	}
	/* a context may be nested as deep as the stack allowed its parser, which had more of it */
	if (stack_is_too_deep())
		return;
	hd_flags_walk(&walk, value);
	while (hd_flags_walk_next(&walk, &element))
	{
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		append_text(out, &element);
	}
}

void
hd_flags_append_text(StringInfo out, const HdValue *value)
{
	if (hd_flags_is_handy(value))
		append_text(out, value);
}

static bool
same_arrays(const HdValue *a, const HdValue *b)
{
	HdValueWalk left;
	HdValueWalk right;
	HdValue one;
	HdValue other;

	if (stack_is_too_deep())
		return false;
	hd_flags_walk(&left, a);
	hd_flags_walk(&right, b);
	while (hd_flags_walk_next(&left, &one) && hd_flags_walk_next(&right, &other))
		if (!hd_flags_same(&one, &other))
			return false;
	return true;
}

static bool
same_objects(const HdValue *a, const HdValue *b)
{
	Jsonb *left = hd_flags_to_jsonb(a);
	Jsonb *right = hd_flags_to_jsonb(b);

	return compareJsonbContainers(&left->root, &right->root) == 0;
}

bool
hd_flags_same(const HdValue *a, const HdValue *b)
{
	if (hd_flags_is_array(a) && hd_flags_is_array(b))
		return hd_flags_length(a) == hd_flags_length(b) && same_arrays(a, b);
	if (hd_flags_is_object(a) && hd_flags_is_object(b))
		return same_objects(a, b);
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case HD_VALUE_NULL:
			return true;
		case HD_VALUE_BOOL:
			return a->as.boolean == b->as.boolean;
		case HD_VALUE_NUMBER:
			return a->as.number == b->as.number;
		case HD_VALUE_STRING:
			return hd_flags_is_string(a, b->as.string, b->length);
		default:
			return false;
	}
}
