/*-------------------------------------------------------------------------
 * growthbook_regex.c
 *		$regex and $regexi: JavaScript's patterns, run by the server's engine.
 *
 * Text and pattern are UTF-16 units, as in JavaScript, so that a point is one
 * unit and not one character.  Without references to groups the engine is an
 * automaton whose time grows with the text's length alone; compiling has the
 * server's own bound on size.
 *
 * Memory: up to version 15 the server compiles patterns outside of memory
 * contexts, so a callback frees them with the context of the tree.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "flags/growthbook.h"
#include "flags/growthbook_pattern.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"

#define MAX_PATTERN 4096

/* Texts up to this length are matched without an allocation of ours. */
#define SHORT_TEXT 512

struct HdGrowthBookRegex
{
	bool matches_nothing; /* JavaScript refuses the pattern */
	regex_t compiled;
	MemoryContextCallback callback;
};

static void
free_regex(void *arg)
{
	HdGrowthBookRegex *regex = arg;

	pg_regfree(&regex->compiled);
}

static bool
compile(HdGrowthBookParse *parse, const HdScriptPattern *pattern, HdGrowthBookRegex *regex)
{
	char message[128];
	int error = pg_regcomp(&regex->compiled, pattern->out, pattern->nout, REG_ADVANCED | REG_NOSUB,
						   C_COLLATION_OID);

	if (error != REG_OKAY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) pg_regerror(error, &regex->compiled, message, sizeof(message));
		return hd_flags_growthbook_problem(parse, "a regular expression: %s", message);
	}
	regex->callback.func = free_regex;
	regex->callback.arg = regex;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &regex->callback);
	return true;
}

HdGrowthBookRegex *
hd_flags_growthbook_regex(HdGrowthBookParse *parse, const HdValue *pattern, bool insensitive)
{
	HdGrowthBookRegex *regex = palloc0(sizeof(HdGrowthBookRegex));
	HdScriptPattern translation = {.folded = insensitive};
	pg_wchar *units;
	bool fine = true;

	if (pattern->length > MAX_PATTERN)
	{
		(void) hd_flags_growthbook_problem(parse, "a regular expression has more than %d bytes",
										   MAX_PATTERN);
		return NULL;
	}
	units = palloc(sizeof(pg_wchar) * (pattern->length + 1));
	translation.units = units;
	translation.length = hd_flags_units_of(pattern->as.string, pattern->length, units);
	hd_flags_script_translate(&translation);
	if (translation.verdict == HD_SCRIPT_INVALID)
		regex->matches_nothing = true;
	else if (translation.verdict == HD_SCRIPT_FOREIGN)
		fine =
			hd_flags_growthbook_problem(parse, "regular expression \"%.*s\" has no equal here: %s",
										pg_mbcliplen(pattern->as.string, pattern->length, 100),
										pattern->as.string, translation.reason);
	else
		fine = compile(parse, &translation, regex);
	pfree(translation.out);
	pfree(units);
	return fine ? regex : NULL;
}

bool
hd_flags_growthbook_regex_matches(const HdGrowthBookRegex *regex, const HdValue *text)
{
	pg_wchar buffer[SHORT_TEXT];
	pg_wchar *units = buffer;
	int length;
	int outcome;

	if (regex->matches_nothing)
		return false;
	if (text->length > SHORT_TEXT)
		units = palloc(sizeof(pg_wchar) * text->length);
	length = hd_flags_units_of(text->as.string, text->length, units);
	outcome =
		pg_regexec(unconstify(regex_t *, &regex->compiled), units, length, 0, NULL, 0, NULL, 0);
	if (units != buffer)
		pfree(units);
	if (outcome != REG_OKAY && outcome != REG_NOMATCH)
		CHECK_FOR_INTERRUPTS();
	return outcome == REG_OKAY;
}
