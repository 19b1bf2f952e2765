/*-------------------------------------------------------------------------
 * growthbook_pattern.h
 *		Patterns of JavaScript in the server's words.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_GROWTHBOOK_PATTERN_H
#define HD_FLAGS_GROWTHBOOK_PATTERN_H

#include "postgres.h"

#include "mb/pg_wchar.h"

typedef enum HdScriptVerdict
{
	HD_SCRIPT_FINE,
	HD_SCRIPT_INVALID, /* JavaScript refuses it too */
	HD_SCRIPT_FOREIGN  /* it has no equal here */
} HdScriptVerdict;

/* Sets of UTF-16 units (growthbook_units.c). */
#define HD_UNITS 0x10000

typedef struct HdUnitSet
{
	uint64 words[HD_UNITS / 64];
} HdUnitSet;

/* A pattern being translated: UTF-16 units in, what the server's compiler reads out. */
typedef struct HdScriptPattern
{
	const pg_wchar *units;
	int length;
	int at;
	int groups;	 /* that capture, in all of it */
	bool named;	 /* some of them have names */
	bool folded; /* without regard to case */
	int depth;
	HdScriptVerdict verdict;
	const char *reason; /* of a foreign one */
	HdUnitSet *set;		/* for the parser to work with */
	pg_wchar *out;
	int nout;
	int capacity;
} HdScriptPattern;

/*
 * hd_flags_script_translate
 *		Fill out and nout, or say in verdict why not.
 */
extern void hd_flags_script_translate(HdScriptPattern *pattern);

extern void hd_flags_units_add(HdUnitSet *set, uint32 first, uint32 last);
extern bool hd_flags_units_has(const HdUnitSet *set, uint32 unit);
extern void hd_flags_units_invert(HdUnitSet *set);

/* The set that \d, \w, \s or a capital of them stands for, added; false: none. */
extern bool hd_flags_units_add_class(HdUnitSet *set, uint32 letter);

/* All units of the same case-folded form added; false: the server lacks what tells them. */
extern bool hd_flags_units_fold(HdUnitSet *set);

/* The next run of units in the set, from *first on; false: there is none. */
extern bool hd_flags_units_run(const HdUnitSet *set, uint32 *first, uint32 *last);

/* UTF-8 as UTF-16 units; out holds as many as there are bytes.  Returns how many. */
extern int hd_flags_units_of(const char *text, int length, pg_wchar *out);

#endif /* HD_FLAGS_GROWTHBOOK_PATTERN_H */
