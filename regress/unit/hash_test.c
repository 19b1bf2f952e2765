/*
 * hash_test.c
 *	  Known answers of MurmurHash3 and FNV-1a, and that parts hash as the whole.
 */
#include "postgres.h"

#include "flags/bucket.h"
#include "flags/hash.h"

#include "check.h"
#include "random.h"

static HdValue
string(const char *text)
{
	return hd_flags_string(text, (int) strlen(text));
}

static void
check_murmur(void)
{
	static const struct
	{
		const char *text;
		uint32 seed;
		uint32 hash;
	} rows[] = {
		{"", 0, 0},
		{"", 1, 0x514E28B7},
		{"test", 0, 0xBA6BD213},
		{"Hello, world!", 0x9747B28C, 0x24884CBA},
		{"The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723},
		{"ejOoVL", 0, 0},
		{"bY9fO-", 0, 1},
		{"SI7p-", 0, 2147483647U},
		{"6LvT0", 0, 2147483648U},
		{"ceQdGm", 0, 4294967295U},
		{"fractional-flagjack", 0, 2682799072U},
		{"jon@company.com", 0, 1557731397U},
		{"user1", 0, 3305849917U},
		{"Feature.flexibleRollout.10:174", 0, 3067997709U},
		{"Feature.flexibleRollout.10:499", 0, 330494531U},
	};

	for (int i = 0; i < lengthof(rows); i++)
		CHECK(hd_flags_murmur3(rows[i].text, (int) strlen(rows[i].text), rows[i].seed) ==
				  rows[i].hash,
			  "murmur3 of \"%s\" with seed %u is %u", rows[i].text, rows[i].seed, rows[i].hash);
}

/* Bytes cut at random places, empty parts among them, hash as in one piece. */
static void
check_parts(void)
{
	char bytes[64];
	HdValue parts[5];
	int wrong = 0;

	for (int round = 0; round < 100000; round++)
	{
		int length = (int) random_below(sizeof(bytes) + 1);
		uint32 seed = (uint32) random_below(INT64CONST(0x100000000));
		int start = 0;

		for (int i = 0; i < length; i++)
			bytes[i] = (char) random_below(256);
		for (int i = 0; i < lengthof(parts); i++)
		{
			int end = (i == lengthof(parts) - 1) ? length
												 : start + (int) random_below(length - start + 1);

			parts[i] = hd_flags_string(bytes + start, end - start);
			start = end;
		}
		wrong += hd_flags_murmur3_parts(parts, lengthof(parts), seed) !=
				 hd_flags_murmur3(bytes, length, seed);
	}
	CHECK(wrong == 0, "100000 strings hash the same in parts");
}

/* FNV-1a over code units, which are written out here. */
static uint32
fnv(const uint16 *units, int n)
{
	uint32 hash = 0x811C9DC5;

	for (int i = 0; i < n; i++)
		hash = (hash ^ units[i]) * 0x01000193;
	return hash;
}

static void
check_fnv(void)
{
	static const uint16 e_acute[] = {0x00E9};
	static const uint16 euro[] = {0x20AC, 'x'};
	static const uint16 grin[] = {0xD83D, 0xDE00};
	HdValue a = string("a");
	HdValue parts[2] = {string("\xE2\x82\xAC"), string("x")};
	HdValue broken = hd_flags_string("\xF0\x9F\x98", 3);

	CHECK(hd_flags_fnv1a_utf16(&a, 0) == 0x811C9DC5, "FNV-1a of nothing is its basis");
	CHECK(hd_flags_fnv1a_utf16(&a, 1) == 0xE40C292C, "FNV-1a of \"a\"");
	CHECK(hd_flags_fnv1a_utf16(&a, 1) % 1000 == 220, "GrowthBook's \"a\" without a seed is 0.22");
	a = string("\xC3\xA9");
	CHECK(hd_flags_fnv1a_utf16(&a, 1) == fnv(e_acute, 1), "two bytes are one unit");
	CHECK(hd_flags_fnv1a_utf16(parts, 2) == fnv(euro, 2), "three bytes are one unit, in parts");
	a = string("\xF0\x9F\x98\x80");
	CHECK(hd_flags_fnv1a_utf16(&a, 1) == fnv(grin, 2), "four bytes are two units");
	CHECK(hd_flags_fnv1a_utf16(&broken, 1) != 0, "a character that is cut off is read no further");
}

int
main(void)
{
	check_murmur();
	check_parts();
	check_fnv();
	return check_end();
}
