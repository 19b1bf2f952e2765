/*-------------------------------------------------------------------------
 * pattern.h
 *		Regular expressions as flags write them, told to PostgreSQL's engine.
 *
 * Purpose: flags come from systems whose expressions are RE2's, Rust's or
 * JavaScript's.  PostgreSQL's look alike and mean other things here and there:
 * \b is a backspace, a point matches a line's end, (?m) is something else.  So
 * an expression is translated, and what these engines do not share, or this one
 * cannot do, is refused by name.
 *
 * The language: literals, classes, [sets] with [:names:], (groups), alternatives,
 * * + ? {n,m} and their lazy forms, ^ $ \A \z \b \B, \d \w \s and their
 * complements, \n \t \r \f \v \a \xHH \x{H...} \uHHHH, and the switches i, m, s
 * (and U, which changes nothing here) at any place.  No look-around, no
 * back-references, no \p.  Case and classes are those of ASCII; i with letters
 * beyond ASCII is refused.
 *
 * Pure C: nothing here allocates, raises or asks the server.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_PATTERN_H
#define HD_FLAGS_PATTERN_H

#include "postgres.h"

/* Bytes that an expression may have, and its translation. */
#define HD_PATTERN_MAX 1000
#define HD_PATTERN_MAX_TRANSLATED 16000

/*
 * What it may have, counted with all repetitions written out ((a{9}b){9} has 90
 * characters): characters, parts that may be empty, and places between
 * characters (of the branches outside of all groups, only one counts).
 */
#define HD_PATTERN_MAX_CHARS 1000
#define HD_PATTERN_MAX_GAPS 64
#define HD_PATTERN_MAX_ANCHORS 8

/* Parentheses in parentheses. */
#define HD_PATTERN_MAX_DEPTH 32

/* Switches that hold from the beginning. */
#define HD_PATTERN_IGNORE_CASE 0x01
#define HD_PATTERN_LINES 0x02	/* m: ^ and $ at every line */
#define HD_PATTERN_DOT_ALL 0x04 /* s: a point matches a line's end too */

/* The problem of an expression that is translated, and more than the engine is given. */
#define HD_PATTERN_TOO_COMPLEX "the expression is too complex"

/* An expression of the engine's, to be compiled with REG_NLANCH; not terminated. */
typedef struct HdPattern
{
	int length;
	char text[HD_PATTERN_MAX_TRANSLATED];
} HdPattern;

/*
 * hd_flags_pattern_translate
 *		Translate an expression; NULL, or what is wrong with it: a sentence without
 *		an end, that lives for ever.
 */
extern const char *hd_flags_pattern_translate(const char *text, int length, int switches,
											  HdPattern *pattern);

/*
 * hd_flags_pattern_switch
 *		The switch of a letter (i, m, s); 0 where it is none.
 */
extern int hd_flags_pattern_switch(char letter);

/*
 * hd_flags_pattern_is_mistake
 *		Whether RE2 would not take an expression with that problem either.  Of the
 *		others it takes some.
 */
extern bool hd_flags_pattern_is_mistake(const char *problem);

#endif /* HD_FLAGS_PATTERN_H */
