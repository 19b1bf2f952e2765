/*-------------------------------------------------------------------------
 * growthbook_units.c
 *		Sets of UTF-16 units, and which units JavaScript takes for the same
 *		letter where case does not count.
 *
 * Two units are the same letter when their capitals are, those that are one
 * unit and do not leave or enter ASCII (ECMA-262, Canonicalize without the
 * flag u).  The capitals are ICU's, worked out once a process when the first
 * pattern needs letters beyond ASCII: 128 kB that stay.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "flags/growthbook_pattern.h"
#include "nodes/value.h"
#include "utils/formatting.h"
#include "utils/memutils.h"

#define ASCII 0x80
#define SURROGATES 0xD800
#define SURROGATES_END 0xE000

/* What \s stands for. */
static const struct
{
	uint32 first;
	uint32 last;
} spaces[] = {
	{0x09, 0x0D},	  {0x20, 0x20},		{0xA0, 0xA0},	  {0x1680, 0x1680}, {0x2000, 0x200A},
	{0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF},
};

/* The capital of each unit; NULL: not worked out yet. */
static uint16 *capitals = NULL;

void
hd_flags_units_add(HdUnitSet *set, uint32 first, uint32 last)
{
	for (uint32 unit = first; unit <= last; unit++)
		set->words[unit / 64] |= UINT64CONST(1) << (unit % 64);
}

bool
hd_flags_units_has(const HdUnitSet *set, uint32 unit)
{
	return (set->words[unit / 64] >> (unit % 64) & 1) != 0;
}

void
hd_flags_units_invert(HdUnitSet *set)
{
	for (int i = 0; i < lengthof(set->words); i++)
		set->words[i] = ~set->words[i];
}

bool
hd_flags_units_add_class(HdUnitSet *set, uint32 letter)
{
	HdUnitSet class = {{0}};

	switch (letter)
	{
		case 'w':
		case 'W':
			hd_flags_units_add(&class, 'a', 'z');
			hd_flags_units_add(&class, 'A', 'Z');
			hd_flags_units_add(&class, '_', '_');
			/* FALLTHROUGH */
		case 'd':
		case 'D':
			hd_flags_units_add(&class, '0', '9');
			break;
		case 's':
		case 'S':
			for (int i = 0; i < lengthof(spaces); i++)
				hd_flags_units_add(&class, spaces[i].first, spaces[i].last);
			break;
		default:
			return false;
	}
	if (letter < 'a')
		hd_flags_units_invert(&class);
	for (int i = 0; i < lengthof(set->words); i++)
		set->words[i] |= class.words[i];
	return true;
}

bool
hd_flags_units_run(const HdUnitSet *set, uint32 *first, uint32 *last)
{
	uint32 unit = *first;

	while (unit < HD_UNITS && !hd_flags_units_has(set, unit))
		unit++;
	if (unit == HD_UNITS)
		return false;
	*first = unit;
	while (unit < HD_UNITS && hd_flags_units_has(set, unit))
		unit++;
	*last = unit - 1;
	return true;
}

int
hd_flags_units_of(const char *text, int length, pg_wchar *out)
{
	const unsigned char *byte = (const unsigned char *) text;
	const unsigned char *end = byte + length;
	pg_wchar character;
	int count = 0;

	for (; byte < end; byte += pg_utf_mblen(byte))
	{
		character = utf8_to_unicode(byte);
		if (character < HD_UNITS)
			out[count++] = character;
		else
		{
			character -= HD_UNITS;
			out[count++] = SURROGATES + (character >> 10);
			out[count++] = 0xDC00 + (character & 0x3FF);
		}
	}
	return count;
}

/* All units beyond ASCII but surrogates, each on a line of its own. */
static char *
lines_of_units(void)
{
	char *text = palloc(HD_UNITS * 4 + 1);
	unsigned char *out = (unsigned char *) text;

	for (uint32 unit = ASCII; unit < HD_UNITS; unit++)
	{
		if (unit >= SURROGATES && unit < SURROGATES_END)
			continue;
		unicode_to_utf8(unit, out);
		out += pg_utf_mblen(out);
		*out++ = '\n';
	}
	*out = '\0';
	return text;
}

/* The capital of a unit beyond ASCII, as a line of the text in capitals has it. */
static uint16
capital_of(uint32 unit, const char *line, int length)
{
	pg_wchar capital;

	if (length == 0 || pg_utf_mblen((const unsigned char *) line) != length)
		return unit;
	capital = utf8_to_unicode((const unsigned char *) line);
	return capital < ASCII || capital >= HD_UNITS ? unit : capital;
}

static bool
work_out_capitals(void)
{
	Oid collation =
		get_collation_oid(list_make2(makeString("pg_catalog"), makeString("und-x-icu")), true);
	uint16 *table;
	char *upper;
	char *line;
	char *end;

	if (!OidIsValid(collation))
		return false;
	line = lines_of_units();
	upper = str_toupper(line, strlen(line), collation);
	pfree(line);
	table = MemoryContextAlloc(TopMemoryContext, HD_UNITS * sizeof(uint16));
	for (uint32 unit = 0; unit < HD_UNITS; unit++)
		table[unit] = unit < ASCII ? pg_ascii_toupper(unit) : unit;
	line = upper;
	for (uint32 unit = ASCII; unit < HD_UNITS; unit++)
	{
		if (unit >= SURROGATES && unit < SURROGATES_END)
			continue;
		end = strchr(line, '\n');
		table[unit] = capital_of(unit, line, end - line);
		line = end + 1;
	}
	pfree(upper);
	capitals = table;
	return true;
}

/* Within ASCII, where capitals need no table; what is beyond may be all in or all out. */
static bool
fold_ascii(HdUnitSet *set)
{
	bool all = true;
	bool none = true;

	for (int i = ASCII / 64; i < lengthof(set->words); i++)
	{
		all = all && set->words[i] == PG_UINT64_MAX;
		none = none && set->words[i] == 0;
	}
	if (!all && !none)
		return false;
	for (uint32 unit = 'A'; unit <= 'Z'; unit++)
		if (hd_flags_units_has(set, unit) || hd_flags_units_has(set, unit + 'a' - 'A'))
		{
			hd_flags_units_add(set, unit, unit);
			hd_flags_units_add(set, unit + 'a' - 'A', unit + 'a' - 'A');
		}
	return true;
}

bool
hd_flags_units_fold(HdUnitSet *set)
{
	HdUnitSet capital = {{0}};

	if (fold_ascii(set))
		return true;
	if (capitals == NULL && !work_out_capitals())
		return false;
	for (uint32 unit = 0; unit < HD_UNITS; unit++)
		if (hd_flags_units_has(set, unit))
			hd_flags_units_add(&capital, capitals[unit], capitals[unit]);
	for (uint32 unit = 0; unit < HD_UNITS; unit++)
		if (hd_flags_units_has(&capital, capitals[unit]))
			hd_flags_units_add(set, unit, unit);
	return true;
}
