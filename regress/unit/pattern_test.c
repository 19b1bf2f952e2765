/*
 * pattern_test.c
 *	  Expressions: what they become, what is refused, and that random ones do no harm.
 */
#include "postgres.h"

#include "flags/pattern.h"

#include "check.h"
#include "random.h"

static HdPattern pattern;

static bool
becomes(const char *text, int switches, const char *expected)
{
	const char *problem = hd_flags_pattern_translate(text, (int) strlen(text), switches, &pattern);
	bool same = problem == NULL && pattern.length == (int) strlen(expected) &&
				memcmp(pattern.text, expected, pattern.length) == 0;

	if (!same)
		printf("# %s: %.*s\n", problem != NULL ? problem : "became", pattern.length, pattern.text);
	return same;
}

static void
check_translations(void)
{
	static const struct
	{
		const char *from;
		const char *to;
	} rows[] = {
		{"", ""},
		{"abc", "abc"},
		{"^a$", "\\Aa\\Z"},
		{"(?m)^a$", "^a$"},
		{"(?m:^)a$", "(?:^)a\\Z"},
		{"a.b", "a[^\\n]b"},
		{"(?s)a.b", "a.b"},
		{"(?s:.)(.)", "(?:.)(?:[^\\n])"},
		{"(?i)aB1", "[aA][Bb]1"},
		{"a(?i)b(?-i)c", "a[bB]c"},
		{"(?i:a)b", "(?:[aA])b"},
		{"(a(?i)b)c", "(?:a[bB])c"},
		{"(?i)[a-cX]", "[a-cA-CXx]"},
		{"(?i)[[:upper:]]", "[[:alpha:]]"},
		{"(?P<x>a)(?<y1>b)", "(?:a)(?:b)"},
		{"\\bcat\\B", "\\ycat\\Y"},
		{"\\A\\z", "\\A\\Z"},
		{"\\d+\\.?", "[0-9]+\\U0000002e?"},
		{"[\\d_\\-]", "[0-9\\U0000005f\\U0000002d]"},
		{"[\\D\\s]", "[\\u0001-\\u002f\\u003a-\\U0010ffff\\u0009\\u000a\\u000c\\u000d\\u0020]"},
		{"(?Us)a*?.", "a*."},
		{"[]a-]", "[\\U0000005da\\U0000002d]"},
		{"[^]]", "[^\\U0000005d]"},
		{"[[:alpha:][]", "[[:alpha:]\\U0000005b]"},
		{"a*?b+?c??", "a*b+c?"},
		{"a{2}b{3,}c{0,4}?", "a{2,2}b{3,}c{0,4}"},
		{"a{x", "a\\U0000007bx"},
		{"\\x41\\x{1F600}\\u00e9", "A\\U0001f600\\U000000e9"},
		{"\xC3\xA9", "\\U000000e9"},
		{"\\/\\t", "\\U0000002f\\U00000009"},
		{"a|(b|)", "a|(?:b|)"},
	};

	for (int i = 0; i < lengthof(rows); i++)
		CHECK(becomes(rows[i].from, 0, rows[i].to), "%s is translated", rows[i].from);
	CHECK(becomes("a.", HD_PATTERN_IGNORE_CASE | HD_PATTERN_DOT_ALL, "[aA]."),
		  "switches may hold from the beginning");
}

static void
check_refused(void)
{
	static const char *const bad[] = {
		"(regex",
		"a)",
		"[a",
		"[",
		"a\\",
		"*a",
		"a**",
		"a+*",
		"^*",
		"(?i)*",
		"|*",
		"***:a",
		"(?=a)b",
		"(?!a)b",
		"(?<=a)b",
		"(?<!a)b",
		"(a)\\1",
		"\\0",
		"\\pL",
		"\\P{Greek}",
		"\\Qa",
		"\\Z",
		"\\k<a>",
		"(?#x)",
		"(?>a)",
		"(?P=x)",
		"(?P<>a)",
		"(?<x",
		"(?i",
		"(?i--s)a",
		"(?x)a",
		"a{,3}",
		"a{256}",
		"a{1,256}",
		"a{3,2}",
		"[b-a]",
		"[a-\\d]",
		"[[:nope:]]",
		"[\\b]",
		"[\\z]",
		"\\x",
		"\\x4",
		"\\x{}",
		"\\x{110000}",
		"\\x{D800}",
		"\\u12",
		"\\x00",
		"(?i)\xC3\xA9",
		"(?i)[a-\xC3\xA9]",
		"((a{9}){9}){13}",
		"(?:a{255}){4}",
		"[[.a.]]b{999}",
	};

	for (int i = 0; i < lengthof(bad); i++)
		CHECK(hd_flags_pattern_translate(bad[i], (int) strlen(bad[i]), 0, &pattern) != NULL,
			  "%s is refused", bad[i]);
}

static const char *
problem_of(const char *text)
{
	return hd_flags_pattern_translate(text, (int) strlen(text), 0, &pattern);
}

static void
check_broken(void)
{
	CHECK(hd_flags_pattern_is_mistake(problem_of("(regex")) &&
			  hd_flags_pattern_is_mistake(problem_of("(a)\\1")) &&
			  hd_flags_pattern_is_mistake(problem_of("(?=a)b")),
		  "what RE2 refuses too is a mistake");
	CHECK(!hd_flags_pattern_is_mistake(problem_of("\\pL")) &&
			  !hd_flags_pattern_is_mistake(problem_of("(?i)\xC3\xA9")) &&
			  !hd_flags_pattern_is_mistake(problem_of("(a{99}){99}")),
		  "what is missing here is none");
}

static void
check_bounds(void)
{
	char text[HD_PATTERN_MAX + 1];

	memset(text, 'a', sizeof(text));
	CHECK(hd_flags_pattern_translate(text, HD_PATTERN_MAX, 0, &pattern) == NULL,
		  "the longest expression");
	CHECK(hd_flags_pattern_translate(text, HD_PATTERN_MAX + 1, 0, &pattern) != NULL,
		  "one that is longer");
	memset(text, '.', sizeof(text));
	CHECK(hd_flags_pattern_translate(text, HD_PATTERN_MAX, 0, &pattern) == NULL,
		  "one that grows has room");
	CHECK(problem_of("(a?){63}b*") == NULL && problem_of("(a?){63}b*c*") != NULL &&
			  problem_of("(|a|){33}") != NULL && problem_of("((a?){9}){8}") != NULL,
		  "parts that may be empty are counted with their repetitions");
	CHECK(problem_of("^a\\b(b$|c$|\\Bd)") == NULL &&
			  problem_of("\\b(^|$|\\b|\\B|\\A)\\b\\b\\b") != NULL,
		  "so are places between characters");
	CHECK(problem_of("(\\ba\\b)*") == NULL && problem_of("(\\ba\\b$)*") != NULL &&
			  problem_of("(^a){8}") == NULL && problem_of("(^a){9}") != NULL,
		  "more so in repetitions");
	CHECK(problem_of("^a$|^b$|^c$|^d$|^e$|^f$|^g$|^h$|^i$") == NULL,
		  "branches outside of groups are counted one by one");
	memset(text, '(', sizeof(text));
	CHECK(hd_flags_pattern_translate(text, HD_PATTERN_MAX, 0, &pattern) != NULL,
		  "groups in groups have an end");
}

/* What is written are bytes of ASCII, and what is read is there. */
static void
check_random(void)
{
	static const char alphabet[] = "aZ09^$.|?*+(){}[]\\-:,=!<>iPmsxudwbn\xC3\xA9 ";
	char *text = malloc(64);
	int taken = 0;
	int wrong = 0;

	for (int round = 0; round < 1000000; round++)
	{
		int length = 1 + (int) random_below(24);
		/* at the end of its memory, so that a byte too many is noticed */
		char *start = text + 64 - length;

		for (int i = 0; i < length; i++)
			start[i] = alphabet[random_below(sizeof(alphabet) - 1)];
		if (hd_flags_pattern_translate(start, length, (int) random_below(8), &pattern) != NULL)
			continue;
		taken++;
		for (int i = 0; i < pattern.length; i++)
			wrong += (pattern.text[i] & 0x80) != 0;
	}
	free(text);
	CHECK(wrong == 0 && taken > 10000, "1000000 random expressions, %d of them taken", taken);
}

int
main(void)
{
	check_translations();
	check_refused();
	check_broken();
	check_bounds();
	check_random();
	return check_end();
}
