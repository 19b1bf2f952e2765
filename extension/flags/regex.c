/*-------------------------------------------------------------------------
 * regex.c
 *		Regular expressions, by PostgreSQL's engine.
 *
 * Model: the translation of pattern.c has neither back-references nor
 * look-around, and no captures are asked for; such an expression the engine
 * decides in one pass over the text with automata alone, never going back.  A
 * step of that pass looks at each arc of the automaton at worst.
 *
 * The collation is C: what matches depends on no locale, and is the same after
 * an upgrade of libc and on another server.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/regex.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "regex/regexport.h"
#include "utils/memutils.h"

#define COMPILE_FLAGS (REG_ADVANCED | REG_NLANCH | REG_NOSUB)

/* Texts of up to so many bytes are widened on the stack. */
#define SHORT_TEXT 256

struct HdRegex
{
	regex_t engine;
	bool compiled;	/* there is something to free */
	int most_chars; /* of a text */
	MemoryContextCallback freeing;
};

static void
free_engine(void *argument)
{
	HdRegex *regex = argument;

	if (regex->compiled)
		pg_regfree(&regex->engine);
	regex->compiled = false;
}

/*
 * What the engine may do for one character of a text, in steps that are alike:
 * it follows the arcs of the automaton, and looks for the set of states that
 * they lead to among those it has seen, which are up to twice as many as there
 * are states.
 */
static int64
steps_per_char(const regex_t *engine)
{
	int states = pg_reg_getnumstates(engine);
	int64 steps = (int64) states * 3;

	for (int i = 0; i < states; i++)
		steps += pg_reg_getnumoutarcs(engine, i);
	return steps;
}

/* Each set of states that the engine keeps has a row of this. */
static int64
table_size(const regex_t *engine)
{
	return (int64) pg_reg_getnumstates(engine) * pg_reg_getnumcolors(engine);
}

/* What the engine says of an expression that it does not take. */
static const char *
engine_problem(const regex_t *engine, int code)
{
	char *problem;

	/* before release 16 a cancelled query is told by a code */
	CHECK_FOR_INTERRUPTS();
	if (code == REG_ETOOBIG || code == REG_ECOLORS || code == REG_ESPACE)
		return HD_PATTERN_TOO_COMPLEX;
	problem = palloc(128);
	pg_regerror(code, engine, problem, 128);
	return problem;
}

/* Compile a translation; NULL, or what is wrong with it. */
static const char *
compile_engine(HdRegex *regex, const HdPattern *pattern)
{
	pg_wchar *wide = palloc(sizeof(pg_wchar) * (pattern->length + 1));
	int nchars = pg_mb2wchar_with_len(pattern->text, wide, pattern->length);
	int code = pg_regcomp(&regex->engine, wide, nchars, COMPILE_FLAGS, C_COLLATION_OID);

	pfree(wide);
	if (code != REG_OKAY)
		return engine_problem(&regex->engine, code);
	regex->compiled = true;
	regex->freeing.func = free_engine;
	regex->freeing.arg = regex;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &regex->freeing);
	return NULL;
}

HdRegex *
hd_flags_regex_compile(const char *pattern, int length, int switches, const char **problem)
{
	HdPattern translated;
	HdRegex *regex;
	int64 steps;

	*problem = hd_flags_pattern_translate(pattern, length, switches, &translated);
	if (*problem != NULL)
		return NULL;
	regex = palloc0(sizeof(HdRegex));
	*problem = compile_engine(regex, &translated);
	if (*problem != NULL)
		return NULL;
	steps = steps_per_char(&regex->engine);
	if (steps > HD_REGEX_MAX_STEPS || table_size(&regex->engine) > HD_REGEX_MAX_TABLE)
	{
		free_engine(regex);
		*problem = HD_PATTERN_TOO_COMPLEX;
		return NULL;
	}
	regex->most_chars = (int) Min(HD_REGEX_MAX_WORK / Max(steps, 1), HD_REGEX_MAX_TEXT);
	return regex;
}

HdRegexOutcome
hd_flags_regex_match(const HdRegex *regex, const char *text, int length)
{
	pg_wchar few[SHORT_TEXT + 1];
	pg_wchar *wide = few;
	int nchars;
	int code;

	/* a character has at most four bytes */
	if (length / 4 > regex->most_chars)
		return HD_REGEX_TOO_LONG;
	if (length > SHORT_TEXT)
		wide = palloc(sizeof(pg_wchar) * (length + 1));
	nchars = pg_mb2wchar_with_len(text, wide, length);
	code = (nchars > regex->most_chars) ? REG_ETOOBIG
										: pg_regexec(unconstify(regex_t *, &regex->engine), wide,
													 nchars, 0, NULL, 0, NULL, 0);
	if (wide != few)
		pfree(wide);
	if (code == REG_OKAY)
		return HD_REGEX_MATCHES;
	if (code == REG_NOMATCH)
		return HD_REGEX_DIFFERS;
	/* too long, out of memory, or cancelled before release 16 */
	CHECK_FOR_INTERRUPTS();
	return HD_REGEX_TOO_LONG;
}
