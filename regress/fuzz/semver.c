/*
 * semver.c
 *	  Semantic versions, a line each: precedence is an order, and build metadata and a "v" are no part of it.
 */
#include "postgres.h"

#include "flags/semver.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {"1.2.3\n1.2.3-alpha.1\nv1.2",
								  "1.0.0-alpha\n1.0.0-alpha.beta\n1.0.0-1",
								  "99999999999999999999.0.1\n1\nV2.0.0+build.7",
								  "1.2.3.4\n01.2.3\n1.0.0-", NULL};
const char *const fuzz_words[] = {"-", ".", "+", "\n", "v", "0", "rc.1", "00", "alpha", "10", NULL};

#define VERSIONS_MOST 3

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

/* What may be written before and behind a version without making another of it. */
static void
check_dressed(const char *text, int length, const HdSemver *version)
{
	char dressed[4200];
	HdSemver other;
	int n = snprintf(dressed, sizeof(dressed), "%s%.*s%s", version->prefixed ? "" : "v", length,
					 text, memchr(text, '+', length) == NULL ? "+b.1" : "");

	if (version->given < HD_SEMVER_NUMBERS)
		return;
	FUZZ_CHECK(hd_flags_semver_parse(dressed, n, &other));
	FUZZ_CHECK(hd_flags_semver_compare(version, &other) == 0);
	FUZZ_CHECK(other.prefixed && other.given == version->given);
}

static void
check_version(const char *text, int length, const HdSemver *version)
{
	FUZZ_CHECK(version->given >= 1 && version->given <= HD_SEMVER_NUMBERS);
	for (int i = 0; i < HD_SEMVER_NUMBERS; i++)
	{
		const HdSemverPart *part = &version->numbers[i];

		FUZZ_CHECK(part->length > 0);
		FUZZ_CHECK(part->length == 1 || part->text[0] != '0');
		for (int at = 0; at < part->length; at++)
			FUZZ_CHECK(part->text[at] >= '0' && part->text[at] <= '9');
	}
	FUZZ_CHECK(hd_flags_semver_compare(version, version) == 0);
	FUZZ_CHECK(hd_flags_semver_same(version, version, HD_SEMVER_NUMBERS));
	if (memchr(text, '\0', length) == NULL)
		check_dressed(text, length, version);
}

static void
check_order(const HdSemver *a, const HdSemver *b)
{
	int order = sign(hd_flags_semver_compare(a, b));

	FUZZ_CHECK(order == -sign(hd_flags_semver_compare(b, a)));
	FUZZ_CHECK(order != 0 || hd_flags_semver_same(a, b, HD_SEMVER_NUMBERS));
	for (int n = 2; n <= HD_SEMVER_NUMBERS; n++)
		FUZZ_CHECK(!hd_flags_semver_same(a, b, n) || hd_flags_semver_same(a, b, n - 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *) data;
	const char *end = at + size;
	HdSemver versions[VERSIONS_MOST];
	int n = 0;

	while (at < end && n < VERSIONS_MOST)
	{
		const char *line = memchr(at, '\n', end - at);
		int length = (int) ((line == NULL ? end : line) - at);

		if (hd_flags_semver_parse(at, length, &versions[n]))
			check_version(at, length, &versions[n++]);
		at += length + 1;
	}
	for (int a = 0; a < n; a++)
		for (int b = 0; b < n; b++)
			check_order(&versions[a], &versions[b]);
	if (n == VERSIONS_MOST && hd_flags_semver_compare(&versions[0], &versions[1]) <= 0 &&
		hd_flags_semver_compare(&versions[1], &versions[2]) <= 0)
		FUZZ_CHECK(hd_flags_semver_compare(&versions[0], &versions[2]) <= 0);
	return 0;
}
