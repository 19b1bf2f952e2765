/*-------------------------------------------------------------------------
 * number.c
 *		Numbers: from jsonb to double, and from double to text.
 *
 * A jsonb number is a numeric: base 10000 digits with a weight.  Nearly all
 * that people write have digits that make an integer below 2^53 and a power
 * of ten up to 22, both exact as doubles, so that one multiplication or
 * division rounds as correctly as strtod does (William Clinger, How to Read
 * Floating Point Numbers Accurately, 1990).  All others go the long way.
 * The layout of a numeric is that of the server's files, which does not
 * change; numeric.c there is the reference.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "flags/value.h"
#include "fmgr.h"
#include "utils/builtins.h"

/* Bits of a numeric's first word. */
#define KIND_MASK 0xC000
#define KIND_SHORT 0x8000
#define KIND_SPECIAL 0xC000
#define KIND_NEGATIVE 0x4000 /* of the long form */
#define SHORT_NEGATIVE 0x2000
#define SHORT_WEIGHT_NEGATIVE 0x0040
#define SHORT_WEIGHT_MASK 0x003F

#define EXACT_POWERS 22
#define EXACT_INTEGER INT64CONST(9007199254740992) /* 2^53 */

/* JavaScript writes numbers below this without an exponent, and fractions with up to six zeros. */
#define PLAIN_DIGITS 21
#define PLAIN_ZEROS 6

static const double powers[EXACT_POWERS + 1] = {
	1e0,  1e1,	1e2,  1e3,	1e4,  1e5,	1e6,  1e7,	1e8,  1e9,	1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

/* Words of a numeric; those that a short varlena holds are not aligned. */
static inline int
word(const char *words, int n)
{
	int16 value;

	memcpy(&value, words + n * (int) sizeof(value), sizeof(value));
	return value;
}

double
hd_flags_numeric(Numeric number)
{
	const char *words = VARDATA_ANY(number);
	int nwords = (int) (VARSIZE_ANY_EXHDR(number) / sizeof(int16));
	int head = (uint16) word(words, 0);
	bool is_short = (head & KIND_MASK) == KIND_SHORT;
	int first = is_short ? 1 : 2; /* digit */
	bool negative = is_short ? (head & SHORT_NEGATIVE) != 0 : (head & KIND_MASK) == KIND_NEGATIVE;
	int64 integer = 0;
	int weight;
	int exponent;
	double result;

	if ((head & KIND_MASK) == KIND_SPECIAL)
		goto long_way;
	if (is_short)
		weight = (head & SHORT_WEIGHT_MASK) |
				 ((head & SHORT_WEIGHT_NEGATIVE) != 0 ? ~SHORT_WEIGHT_MASK : 0);
	else
		weight = word(words, 1);
	for (int i = first; i < nwords; i++)
	{
		/* before it is multiplied: ten thousand times an exact integer may be more than 64 bits */
		if (integer > EXACT_INTEGER / 10000)
			goto long_way;
		integer = integer * 10000 + word(words, i);
		if (integer > EXACT_INTEGER)
			goto long_way;
	}
	exponent = (integer == 0) ? 0 : 4 * (weight - (nwords - first - 1));
	if (exponent < -EXACT_POWERS || exponent > EXACT_POWERS)
		goto long_way;
	result =
		(exponent < 0) ? (double) integer / powers[-exponent] : (double) integer * powers[exponent];
	return negative ? -result : result;

long_way:
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(number)));
}

/* The significant digits of a number, and where its point is: 0.digits times ten to the power of it. */
static int
shortest_digits(double number, char *digits, int *point)
{
	char text[DOUBLE_SHORTEST_DECIMAL_LEN];
	int length = double_to_shortest_decimal_bufn(number, text);
	int ndigits = 0;
	int exponent = 0;
	int whole = -1; /* digits before the point */

	for (int i = 0; i < length; i++)
	{
		if (text[i] == 'e')
		{
			text[length] = '\0';
			exponent = (int) strtol(text + i + 1, NULL, 10);
			break;
		}
		if (text[i] == '.')
			whole = ndigits;
		else
			digits[ndigits++] = text[i];
	}
	*point = (whole < 0 ? ndigits : whole) + exponent;
	while (ndigits > 1 && digits[0] == '0')
	{
		memmove(digits, digits + 1, --ndigits);
		(*point)--;
	}
	while (ndigits > 1 && digits[ndigits - 1] == '0')
		ndigits--;
	return ndigits;
}

static void
append_zeros(StringInfo out, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfoChar(out, '0');
}

static void
append_exponential(StringInfo out, const char *digits, int ndigits, int exponent)
{
	appendStringInfoChar(out, digits[0]);
	if (ndigits > 1)
	{
		appendStringInfoChar(out, '.');
		appendBinaryStringInfo(out, digits + 1, ndigits - 1);
	}
	appendStringInfo(out, "e%+d", exponent);
}

/* As ECMA-262, Number::toString, for radix 10. */
void
hd_flags_append_number(StringInfo out, double number)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN] = {0};
	int ndigits;
	int point;

	if (isnan(number))
	{
		appendStringInfoString(out, "NaN");
		return;
	}
	if (number < 0)
		appendStringInfoChar(out, '-');
	if (isinf(number))
	{
		appendStringInfoString(out, "Infinity");
		return;
	}
	if (number == 0)
	{
		appendStringInfoChar(out, '0');
		return;
	}
	ndigits = shortest_digits(fabs(number), digits, &point);
	if (point > PLAIN_DIGITS || point <= -PLAIN_ZEROS)
		append_exponential(out, digits, ndigits, point - 1);
	else if (point >= ndigits)
	{
		appendBinaryStringInfo(out, digits, ndigits);
		append_zeros(out, point - ndigits);
	}
	else if (point > 0)
	{
		appendBinaryStringInfo(out, digits, point);
		appendStringInfoChar(out, '.');
		appendBinaryStringInfo(out, digits + point, ndigits - point);
	}
	else
	{
		appendStringInfoString(out, "0.");
		append_zeros(out, -point);
		appendBinaryStringInfo(out, digits, ndigits);
	}
}
