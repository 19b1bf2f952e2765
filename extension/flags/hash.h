/*-------------------------------------------------------------------------
 * hash.h
 *		The hash functions below the bucketings, over what comes in pieces.
 *
 * Pure C: nothing here allocates, raises or asks the server.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_HASH_H
#define HD_FLAGS_HASH_H

#include "postgres.h"

#include "flags/value.h"

/* MurmurHash3_x86_32 under way. */
typedef struct HdMurmur
{
	uint32 hash;
	uint32 length;
	uint32 tail; /* bytes that make no whole block yet, the first one lowest */
	int ntail;	 /* how many: 0 to 3 */
} HdMurmur;

static inline HdMurmur
hd_flags_murmur_begin(uint32 seed)
{
	HdMurmur murmur = {.hash = seed};

	return murmur;
}

/*
 * hd_flags_murmur_add, hd_flags_murmur_end
 *		Take more bytes; the hash of all that were taken.
 */
extern void hd_flags_murmur_add(HdMurmur *murmur, const char *bytes, int length);
extern uint32 hd_flags_murmur_end(const HdMurmur *murmur);

/*
 * hd_flags_fnv1a_utf16
 *		FNV-1a of 32 bits over the UTF-16 code units of strings, as if they stood
 *		in one.
 *
 * JavaScript's charCodeAt gives units of 16 bits, and each goes into the hash
 * whole: beyond ASCII this differs from FNV-1a over bytes.
 */
extern uint32 hd_flags_fnv1a_utf16(const HdValue *parts, int nparts);

#endif /* HD_FLAGS_HASH_H */
