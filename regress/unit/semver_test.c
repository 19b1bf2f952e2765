/*
 * semver_test.c
 *	  Versions: what is one, and the order of precedence that SemVer 2.0.0 gives.
 */
#include "postgres.h"

#include "flags/semver.h"

#include "check.h"

static bool
parse(const char *text, HdSemver *version)
{
	return hd_flags_semver_parse(text, (int) strlen(text), version);
}

static int
compare(const char *left, const char *right)
{
	HdSemver a;
	HdSemver b;
	int order;

	if (!parse(left, &a) || !parse(right, &b))
		return 99;
	order = hd_flags_semver_compare(&a, &b);
	return (order > 0) - (order < 0);
}

static void
check_valid(void)
{
	static const char *const valid[] = {
		"0.0.0",
		"1.2.3",
		"v1.2.3",
		"V1.2.3",
		"1",
		"1.2",
		"v1",
		"1.0.0-a",
		"1.0.0-0",
		"1.0.0-a.0.b-c",
		"1.0.0+001",
		"1.0.0-x+y.z",
		"1.0.0--",
		"1.0.0-0a",
		"1.0.0+a-b",
		"1.0.0-1a.2",
		"10.20.30-rc.10",
		"99999999999999999999.0.1",
	};
	static const char *const invalid[] = {
		"",
		"v",
		"vv1.0.0",
		"Vv1.0.0",
		"a",
		"01.0.0",
		"1.01.0",
		"1.0.00",
		"1.",
		"1..2",
		"1.2.",
		"1.2.3.",
		"2.0.0.0",
		"1.2-rc",
		"1-rc",
		"1+b",
		"1.0.0-",
		"1.0.0+",
		"1.0.0-a..b",
		"1.0.0-.a",
		"1.0.0-a.",
		"1.0.0-01",
		"1.0.0-a.00",
		"1.0.0+a+b",
		"1.0.0-a_b",
		"-1.0.0",
		" 1.0.0",
		"1.0.0 ",
		"1.0.0-\xC3\xA9",
		"not-a-version",
		"1e15",
	};
	HdSemver version;

	for (int i = 0; i < lengthof(valid); i++)
		CHECK(parse(valid[i], &version), "\"%s\" is a version", valid[i]);
	for (int i = 0; i < lengthof(invalid); i++)
		CHECK(!parse(invalid[i], &version), "\"%s\" is none", invalid[i]);
	CHECK(parse("V1.2", &version) && version.prefixed && version.given == 2 &&
			  version.numbers[2].length == 1 && version.numbers[2].text[0] == '0',
		  "what is written is told, and what is absent is 0");
}

/* Ascending, each below all that follow. */
static void
check_order(void)
{
	static const char *const order[] = {
		"0.0.0",
		"0.0.1",
		"0.1",
		"1.0.0-0",
		"1.0.0-2",
		"1.0.0-11",
		"1.0.0--",
		"1.0.0-A",
		"1.0.0-alpha",
		"1.0.0-alpha.1",
		"1.0.0-alpha.beta",
		"1.0.0-beta",
		"1.0.0-beta.2",
		"1.0.0-beta.11",
		"1.0.0-rc.1",
		"1.0.0-rc.1.0",
		"1",
		"1.0.1",
		"1.2",
		"1.10",
		"2.0.0",
		"10.0.0",
		"99999999999999999999.0.0",
		"100000000000000000000.0.0",
	};
	int wrong = 0;

	for (int i = 0; i < lengthof(order); i++)
		for (int j = 0; j < lengthof(order); j++)
			wrong += compare(order[i], order[j]) != (i > j) - (i < j);
	CHECK(wrong == 0, "%d versions are in their order, pair by pair", (int) lengthof(order));
	CHECK(compare("1.0.0+a", "1.0.0+b") == 0, "build metadata does not count");
	CHECK(compare("1", "1.0.0") == 0 && compare("v1.2", "1.2.0") == 0, "what is absent is 0");
}

static void
check_same(void)
{
	HdSemver a;
	HdSemver b;

	CHECK(parse("3.1.0", &a) && parse("3.9.9-rc", &b) && hd_flags_semver_same(&a, &b, 1) &&
			  !hd_flags_semver_same(&a, &b, 2),
		  "the same major, not the same minor");
	CHECK(parse("3", &a) && parse("3.0.7", &b) && hd_flags_semver_same(&a, &b, 2),
		  "a minor that is absent is 0");
}

int
main(void)
{
	check_valid();
	check_order();
	check_same();
	return check_end();
}
