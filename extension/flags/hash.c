/*-------------------------------------------------------------------------
 * hash.c
 *		MurmurHash3_x86_32 and FNV-1a, over strings and parts of strings.
 *
 * Model: the parts of what is hashed (a flag's key, a separator, a unit) stand
 * in different places; they are taken one after the other, with up to three
 * bytes kept until a block of four is whole.  Blocks are little endian on
 * every machine, so that all machines agree.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/bucket.h"
#include "flags/hash.h"

#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#define BLOCK 4

#define FNV_BASIS 0x811C9DC5U
#define FNV_PRIME 0x01000193U

static inline uint32
scramble(uint32 block)
{
	block *= 0xCC9E2D51U;
	block = pg_rotate_left32(block, 15);
	return block * 0x1B873593U;
}

static inline uint32
mix(uint32 hash, uint32 block)
{
	hash ^= scramble(block);
	hash = pg_rotate_left32(hash, 13);
	return hash * 5 + 0xE6546B64U;
}

static inline uint32
finish(uint32 hash, uint32 tail, int ntail, uint32 length)
{
	if (ntail > 0)
		hash ^= scramble(tail);
	hash ^= length;
	hash ^= hash >> 16;
	hash *= 0x85EBCA6BU;
	hash ^= hash >> 13;
	hash *= 0xC2B2AE35U;
	return hash ^ (hash >> 16);
}

static inline uint32
block_at(const char *bytes)
{
	uint32 block;

	memcpy(&block, bytes, BLOCK);
#ifdef WORDS_BIGENDIAN
	block = pg_bswap32(block);
#endif
	return block;
}

/* The 0 to 3 bytes at the end of a string. */
static inline uint32
tail_of(const char *bytes, int length)
{
	uint32 tail = 0;

	if (length > 2)
		tail |= (uint32) (uint8) bytes[2] << 16;
	if (length > 1)
		tail |= (uint32) (uint8) bytes[1] << 8;
	if (length > 0)
		tail |= (uint8) bytes[0];
	return tail;
}

/* What is kept and what is new together make the next block. */
static inline void
add(HdMurmur *murmur, const char *bytes, int length)
{
	int shift = murmur->ntail * BITS_PER_BYTE;
	uint64 kept = murmur->tail;
	uint32 hash = murmur->hash;

	murmur->length += length;
	for (; length >= BLOCK; length -= BLOCK, bytes += BLOCK)
	{
		kept |= (uint64) block_at(bytes) << shift;
		hash = mix(hash, (uint32) kept);
		kept >>= 32;
	}
	kept |= (uint64) tail_of(bytes, length) << shift;
	murmur->ntail += length;
	if (murmur->ntail >= BLOCK)
	{
		hash = mix(hash, (uint32) kept);
		kept >>= 32;
		murmur->ntail -= BLOCK;
	}
	murmur->tail = (uint32) kept;
	murmur->hash = hash;
}

static inline uint32
end(const HdMurmur *murmur)
{
	return finish(murmur->hash, murmur->tail, murmur->ntail, murmur->length);
}

void
hd_flags_murmur_add(HdMurmur *murmur, const char *bytes, int length)
{
	add(murmur, bytes, length);
}

uint32
hd_flags_murmur_end(const HdMurmur *murmur)
{
	return end(murmur);
}

uint32
hd_flags_murmur3(const char *bytes, int length, uint32 seed)
{
	uint32 hash = seed;
	int left;

	for (left = length; left >= BLOCK; left -= BLOCK, bytes += BLOCK)
		hash = mix(hash, block_at(bytes));
	return finish(hash, tail_of(bytes, left), left, (uint32) length);
}

uint32
hd_flags_murmur3_parts(const HdValue *parts, int nparts, uint32 seed)
{
	HdMurmur murmur = hd_flags_murmur_begin(seed);

	for (int i = 0; i < nparts; i++)
		if (parts[i].type == HD_VALUE_STRING)
			add(&murmur, parts[i].as.string, parts[i].length);
	return end(&murmur);
}

/*
 * The code point at a place, and how many bytes it takes.  A byte that begins
 * none stands for itself, so that whatever the bytes are, none is read that is
 * not there.
 */
static inline uint32
code_point(const uint8 *at, const uint8 *end, int *length)
{
	uint32 point = *at;
	int more = (point >= 0xF0) ? 3 : (point >= 0xE0) ? 2 : (point >= 0xC0) ? 1 : 0;

	*length = 1;
	if (more == 0 || end - at <= more)
		return point;
	point &= 0x3F >> more;
	for (int i = 1; i <= more; i++)
		point = (point << 6) | (at[i] & 0x3F);
	*length = 1 + more;
	return point;
}

static uint32
fnv1a_add(uint32 hash, const char *string, int length)
{
	const uint8 *at = (const uint8 *) string;
	const uint8 *end = at + length;

	while (at < end)
	{
		int taken = 1;
		uint32 point = (*at < 0x80) ? *at : code_point(at, end, &taken);

		at += taken;
		if (point > 0xFFFF)
		{
			point -= 0x10000;
			hash = (hash ^ (0xD800 + (point >> 10))) * FNV_PRIME;
			point = 0xDC00 + (point & 0x3FF);
		}
		hash = (hash ^ point) * FNV_PRIME;
	}
	return hash;
}

uint32
hd_flags_fnv1a_utf16(const HdValue *parts, int nparts)
{
	uint32 hash = FNV_BASIS;

	for (int i = 0; i < nparts; i++)
		if (parts[i].type == HD_VALUE_STRING)
			hash = fnv1a_add(hash, parts[i].as.string, parts[i].length);
	return hash;
}
