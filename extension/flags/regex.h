/*-------------------------------------------------------------------------
 * regex.h
 *		Regular expressions, compiled once and bounded when they run.
 *
 * Purpose: one way to match for hd_regex and for what is imported.  The
 * language stands in pattern.h.
 *
 * Bounds: the engine's time grows with the expression's automaton times the
 * text's length, and with nothing else, since what makes it go back is refused.
 * So the automaton is measured when it is compiled, and a text that would take
 * too long for it is not matched.
 *
 * Memory: of the server's allocator or libc's, by its version; it goes with
 * the context in which the expression was compiled.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_REGEX_H
#define HD_FLAGS_REGEX_H

#include "postgres.h"

#include "flags/pattern.h"

/* Steps that a character of a text may take, and all characters of one match. */
#define HD_REGEX_MAX_STEPS 10000
#define HD_REGEX_MAX_WORK 4000000

/* States times sorts of characters: some 50 bytes of memory each, while a match runs. */
#define HD_REGEX_MAX_TABLE 50000

/* Characters beyond which no text is matched, however simple the expression. */
#define HD_REGEX_MAX_TEXT 65536

typedef struct HdRegex HdRegex;

typedef enum HdRegexOutcome
{
	HD_REGEX_DIFFERS,
	HD_REGEX_MATCHES,
	HD_REGEX_TOO_LONG /* for this expression: it was not tried */
} HdRegexOutcome;

/*
 * hd_flags_regex_compile
 *		Compile an expression in the current context; NULL where it is none, or not
 *		one of ours: *problem says why then, a sentence without an end, palloc'd.
 *
 * switches: of pattern.h, that hold from the beginning.
 */
extern HdRegex *hd_flags_regex_compile(const char *pattern, int length, int switches,
									   const char **problem);

/*
 * hd_flags_regex_match
 *		Whether the expression matches somewhere in the text.
 */
extern HdRegexOutcome hd_flags_regex_match(const HdRegex *regex, const char *text, int length);

#endif /* HD_FLAGS_REGEX_H */
