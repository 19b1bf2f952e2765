/*-------------------------------------------------------------------------
 * cbor.c
 *		The hash of a value of any type: of its deterministic CBOR.
 *
 * Purpose: flagd-v3 hashes the bytes that RFC 8949 (section 4.2.1) and flagd's
 * rules for numbers give a value, so that every type may be a unit and all
 * languages agree.
 *
 * Model: the bytes are hashed as they come and written nowhere; a scalar
 * allocates nothing.  CBOR sorts the names of an object by their encodings,
 * which begin with the length: that is jsonb's own order, so only an object
 * that a rule made is sorted here.
 *
 * Numbers: one without a fraction from -2^63 to 2^64-1 is an integer (-0.0 is
 * 0); any other is the shortest float that holds it exactly.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "flags/bucket.h"
#include "flags/hash.h"
#include "miscadmin.h"

/* Major types, in the upper three bits of the first byte. */
#define MAJOR_UNSIGNED 0
#define MAJOR_NEGATIVE 1
#define MAJOR_TEXT 3
#define MAJOR_ARRAY 4
#define MAJOR_MAP 5
#define MAJOR_SIMPLE 7

/* What stands in the lower five: a small number, or how long the number is that follows. */
#define ONE_BYTE 24
#define TWO_BYTES 25
#define FOUR_BYTES 26
#define EIGHT_BYTES 27

#define SIMPLE_FALSE 20
#define SIMPLE_TRUE 21
#define SIMPLE_NULL 22

#define TWO_TO_63 9223372036854775808.0
#define TWO_TO_64 18446744073709551616.0

static void add_value(HdMurmur *murmur, const HdValue *value);

/* A first byte and the n bytes of a number behind it, the highest first. */
static void
add_bytes(HdMurmur *murmur, int major, int info, uint64 number, int n)
{
	char bytes[1 + sizeof(uint64)];

	bytes[0] = (char) ((major << 5) | info);
	for (int i = n; i > 0; i--, number >>= 8)
		bytes[i] = (char) (number & 0xFF);
	hd_flags_murmur_add(murmur, bytes, 1 + n);
}

/* A type with a number in as few bytes as it fits into. */
static void
add_head(HdMurmur *murmur, int major, uint64 number)
{
	if (number < ONE_BYTE)
		add_bytes(murmur, major, (int) number, 0, 0);
	else if (number <= PG_UINT8_MAX)
		add_bytes(murmur, major, ONE_BYTE, number, 1);
	else if (number <= PG_UINT16_MAX)
		add_bytes(murmur, major, TWO_BYTES, number, 2);
	else if (number <= PG_UINT32_MAX)
		add_bytes(murmur, major, FOUR_BYTES, number, 4);
	else
		add_bytes(murmur, major, EIGHT_BYTES, number, 8);
}

/* A float of 32 bits as one of 16, if that holds it exactly. */
static bool
as_half(float number, uint16 *half)
{
	uint32 bits;
	uint32 mantissa;
	int exponent;
	int drop;

	memcpy(&bits, &number, sizeof(bits));
	exponent = (int) ((bits >> 23) & 0xFF) - 127;
	mantissa = bits & 0x7FFFFF;
	*half = (bits >> 16) & 0x8000;
	if (exponent == 128)
	{
		*half |= 0x7C00 | ((mantissa != 0) ? 0x0200 : 0);
		return true;
	}
	if (exponent > 15 || exponent < -24)
		return false;
	if (exponent >= -14)
	{
		*half |= ((exponent + 15) << 10) | (mantissa >> 13);
		return (mantissa & 0x1FFF) == 0;
	}
	/* a subnormal: the leading bit is written, and all move to the right */
	mantissa |= 0x800000;
	drop = -1 - exponent;
	*half |= mantissa >> drop;
	return (mantissa & ((1U << drop) - 1)) == 0;
}

static void
add_float(HdMurmur *murmur, double number)
{
	/* what does not fit into a float is infinite in it, and not equal then */
	bool fits = fabs(number) <= FLT_MAX || !isfinite(number);
	float narrow = fits ? (float) number : 0;
	uint16 half;
	uint32 bits32;
	uint64 bits64;

	if (isnan(number) || (double) narrow == number)
	{
		if (as_half(narrow, &half))
		{
			add_bytes(murmur, MAJOR_SIMPLE, TWO_BYTES, half, 2);
			return;
		}
		memcpy(&bits32, &narrow, sizeof(bits32));
		add_bytes(murmur, MAJOR_SIMPLE, FOUR_BYTES, bits32, 4);
		return;
	}
	memcpy(&bits64, &number, sizeof(bits64));
	add_bytes(murmur, MAJOR_SIMPLE, EIGHT_BYTES, bits64, 8);
}

static void
add_number(HdMurmur *murmur, double number)
{
	if (number != trunc(number) || number < -TWO_TO_63 || number >= TWO_TO_64)
		add_float(murmur, number);
	else if (number >= 0)
		add_head(murmur, MAJOR_UNSIGNED, (uint64) number);
	else
		add_head(murmur, MAJOR_NEGATIVE, (uint64) ~(int64) number);
}

static void
add_text(HdMurmur *murmur, const char *string, int length)
{
	add_head(murmur, MAJOR_TEXT, length);
	hd_flags_murmur_add(murmur, string, length);
}

/* An array or object of some jsonb, with all that is in it. */
static void
add_json(HdMurmur *murmur, JsonbContainer *container)
{
	JsonbIterator *walk = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue part;
	HdValue scalar;

	while ((token = JsonbIteratorNext(&walk, &part, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY)
			add_head(murmur, MAJOR_ARRAY, part.val.array.nElems);
		else if (token == WJB_BEGIN_OBJECT)
			add_head(murmur, MAJOR_MAP, part.val.object.nPairs);
		else if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
		{
			scalar = hd_flags_from_json_value(&part);
			add_value(murmur, &scalar);
		}
	}
}

static int
compare_names(const void *left, const void *right)
{
	const HdValue *a = &((const HdValuePair *) left)->name;
	const HdValue *b = &((const HdValuePair *) right)->name;

	if (a->length != b->length)
		return (a->length < b->length) ? -1 : 1;
	return memcmp(a->as.string, b->as.string, a->length);
}

/* An object that a rule made. */
static void
add_pairs(HdMurmur *murmur, const HdValue *object)
{
	HdValuePair *sorted = palloc(sizeof(HdValuePair) * (object->length + 1));

	memcpy(sorted, object->as.pairs, sizeof(HdValuePair) * object->length);
	qsort(sorted, object->length, sizeof(HdValuePair), compare_names);
	add_head(murmur, MAJOR_MAP, object->length);
	for (int i = 0; i < object->length; i++)
	{
		add_value(murmur, &sorted[i].name);
		add_value(murmur, &sorted[i].value);
	}
	pfree(sorted);
}

static void
add_value(HdMurmur *murmur, const HdValue *value)
{
	switch (value->type)
	{
		case HD_VALUE_NULL:
			add_bytes(murmur, MAJOR_SIMPLE, SIMPLE_NULL, 0, 0);
			break;
		case HD_VALUE_BOOL:
			add_bytes(murmur, MAJOR_SIMPLE, value->as.boolean ? SIMPLE_TRUE : SIMPLE_FALSE, 0, 0);
			break;
		case HD_VALUE_NUMBER:
			add_number(murmur, value->as.number);
			break;
		case HD_VALUE_STRING:
			add_text(murmur, value->as.string, value->length);
			break;
		case HD_VALUE_LIST:
			check_stack_depth();
			add_head(murmur, MAJOR_ARRAY, value->length);
			for (int i = 0; i < value->length; i++)
				add_value(murmur, &value->as.items[i]);
			break;
		case HD_VALUE_PAIRS:
			check_stack_depth();
			add_pairs(murmur, value);
			break;
		case HD_VALUE_JSON:
			add_json(murmur, value->as.json);
			break;
	}
}

uint32
hd_flags_cbor_hash(const HdValue *value)
{
	HdMurmur murmur = hd_flags_murmur_begin(0);

	add_value(&murmur, value);
	return hd_flags_murmur_end(&murmur);
}

uint32
hd_flags_cbor_hash_text(const HdValue *parts, int nparts)
{
	HdMurmur murmur = hd_flags_murmur_begin(0);
	uint64 length = 0;

	for (int i = 0; i < nparts; i++)
		length += parts[i].length;
	add_head(&murmur, MAJOR_TEXT, length);
	for (int i = 0; i < nparts; i++)
		hd_flags_murmur_add(&murmur, parts[i].as.string, parts[i].length);
	return hd_flags_murmur_end(&murmur);
}
