/*
 * hash.c
 *	  The hashes of bucketings: of pieces as of the whole, wherever it is cut.
 *
 * The first two bytes say where.  What is no UTF-8 goes to murmur3 alone: no text of the server is that.
 */
#include "postgres.h"

#include "flags/bucket.h"
#include "flags/hash.h"
#include "fuzz.h"
#include "mb/pg_wchar.h"

const char *const fuzz_seeds[] = {"a\x01user-1", "bcThe quick brown fox", "\x02\x05\xc3\xa9t\xc3\xa9",
								  "\x01\x02\xf0\x9f\x98\x80", NULL};
const char *const fuzz_words[] = {"\xc3\xa9", "\xf0\x9f\x98\x80", "\xe6\x97\xa5", "flag", "\xff",
								  "\x80", NULL};

#define PARTS 3

/* From the algorithm's description: blocks of four bytes, the lowest first, then the rest. */
static uint32
murmur3(const uint8_t *bytes, size_t size, uint32 seed)
{
	uint32 hash = seed;

	for (size_t at = 0; at < size; at += 4)
	{
		uint32 block = 0;

		for (size_t i = 0; i < 4 && at + i < size; i++)
			block |= (uint32) bytes[at + i] << (8 * i);
		block *= 0xcc9e2d51;
		block = block << 15 | block >> 17;
		hash ^= block * 0x1b873593;
		if (at + 4 <= size)
			hash = (hash << 13 | hash >> 19) * 5 + 0xe6546b64;
	}
	hash ^= (uint32) size;
	hash = (hash ^ hash >> 16) * 0x85ebca6b;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35;
	return hash ^ hash >> 16;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text;
	size_t cut[PARTS + 1] = {0};
	HdValue whole;
	HdValue parts[PARTS];
	bool characters;

	if (size < PARTS - 1)
		return 0;
	text = (const char *) data + PARTS - 1;
	size -= PARTS - 1;
	cut[1] = data[0] % (size + 1);
	cut[2] = cut[1] + data[1] % (size - cut[1] + 1);
	cut[3] = size;
	whole = hd_flags_string(text, (int) size);
	characters = pg_encoding_verifymbstr(PG_UTF8, text, (int) size) == (int) size;
	for (int i = 0; i < PARTS; i++)
	{
		parts[i] = hd_flags_string(text + cut[i], (int) (cut[i + 1] - cut[i]));
		/* a character that is cut is none */
		characters &= cut[i] == size || ((uint8_t) text[cut[i]] & 0xc0) != 0x80;
	}
	FUZZ_CHECK(hd_flags_murmur3(text, (int) size, data[0]) ==
			   murmur3((const uint8_t *) text, size, data[0]));
	FUZZ_CHECK(hd_flags_murmur3_parts(parts, PARTS, data[0]) ==
			   hd_flags_murmur3(text, (int) size, data[0]));
	if (characters)
		FUZZ_CHECK(hd_flags_fnv1a_utf16(parts, PARTS) == hd_flags_fnv1a_utf16(&whole, 1));
	return 0;
}
