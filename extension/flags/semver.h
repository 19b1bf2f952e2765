/*-------------------------------------------------------------------------
 * semver.h
 *		Semantic versions, read where they stand.
 *
 * Pure C: nothing here allocates, raises or asks the server.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_SEMVER_H
#define HD_FLAGS_SEMVER_H

#include "postgres.h"

/* A piece of the text that was read. */
typedef struct HdSemverPart
{
	const char *text;
	int length;
} HdSemverPart;

#define HD_SEMVER_NUMBERS 3

/* Valid as long as the text is. */
typedef struct HdSemver
{
	HdSemverPart numbers[HD_SEMVER_NUMBERS]; /* major, minor, patch: digits, "0" where absent */
	int given;								 /* how many of them are written */
	bool prefixed;							 /* a "v" or "V" stands before it */
	HdSemverPart prerelease;				 /* without its hyphen; length 0: there is none */
} HdSemver;

/*
 * hd_flags_semver_parse
 *		Read a version; false where it is none.
 *
 * As flagd has it: SemVer 2.0.0, and a "v" or "V" before it, and MAJOR and
 * MAJOR.MINOR alone.  Who is stricter looks at given and prefixed.
 */
extern bool hd_flags_semver_parse(const char *text, int length, HdSemver *version);

/*
 * hd_flags_semver_compare
 *		Order by precedence: below, equal to or above 0.  Build metadata counts
 *		for nothing.
 */
extern int hd_flags_semver_compare(const HdSemver *a, const HdSemver *b);

/*
 * hd_flags_semver_same
 *		Whether the first n of major, minor and patch are the same.
 */
extern bool hd_flags_semver_same(const HdSemver *a, const HdSemver *b, int n);

#endif /* HD_FLAGS_SEMVER_H */
