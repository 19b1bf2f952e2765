/*-------------------------------------------------------------------------
 * bucket.h
 *		Where a unit falls: the hashes of several systems, exactly as theirs.
 *
 * Purpose: a flag keeps the bucketing it was made with, so that nobody
 * changes sides when flags move here or a default changes.
 *
 * All functions are pure; strings are bytes of UTF-8.  Nothing is allocated
 * for strings and other scalars.
 *
 * What each hashes, and how it cuts:
 *
 *	flagd-v1	murmur3(salt unit) as a signed number: |h| / (2^31 - 1), which is 1
 *				or a little more for three hashes: these units fall nowhere
 *	flagd-v2	murmur3(salt unit): h / 2^32
 *	flagd-v3	murmur3(CBOR of [salt, unit]): h / 2^32
 *	unleash		murmur3(salt ":" unit): (h mod 100) / 100; a rollout of p % has
 *				those below p / 100.  Variants: seed 86028157, h mod the sum of weights
 *	growthbook-1	FNV-1a(unit salt), over UTF-16 as JavaScript does: (h mod 1000) / 1000
 *	growthbook-2	FNV-1a(decimal digits of FNV-1a(salt unit)): (h mod 10000) / 10000
 *	launchdarkly	SHA-1(salt "." unit): the first 60 bits / 2^60
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_BUCKET_H
#define HD_FLAGS_BUCKET_H

#include "postgres.h"

#include "flags/value.h"

typedef enum HdBucketing
{
	HD_BUCKETING_FLAGD_V1,
	HD_BUCKETING_FLAGD_V2,
	HD_BUCKETING_FLAGD_V3,
	HD_BUCKETING_UNLEASH,
	HD_BUCKETING_GROWTHBOOK_1,
	HD_BUCKETING_GROWTHBOOK_2,
	HD_BUCKETING_LAUNCHDARKLY
} HdBucketing;

/* The names, as definitions and flag_bucket have them, in the order of the enum; NULL ends them. */
extern const char *const hd_flags_bucketings[];

/*
 * hd_flags_bucketing_by_name
 *		False when there is none of that name.
 */
extern bool hd_flags_bucketing_by_name(const char *name, int length, HdBucketing *bucketing);

/*
 * hd_flags_murmur3
 *		MurmurHash3_x86_32 (Austin Appleby, public domain algorithm).
 * hd_flags_murmur3_parts
 *		The same of several strings, as if they stood in one.
 */
extern uint32 hd_flags_murmur3(const char *bytes, int length, uint32 seed);
extern uint32 hd_flags_murmur3_parts(const HdValue *parts, int nparts, uint32 seed);

/*
 * hd_flags_cbor_hash
 *		murmur3 of the deterministic CBOR (RFC 8949, 4.2.1) of a value, which must
 *		be handy (value.h).
 * hd_flags_cbor_hash_text
 *		The same of a string that stands in parts.
 */
extern uint32 hd_flags_cbor_hash(const HdValue *value);
extern uint32 hd_flags_cbor_hash_text(const HdValue *parts, int nparts);

/* The seed of Unleash's variants; its rollouts have 0. */
#define HD_BUCKET_UNLEASH_VARIANTS 86028157

/*
 * hd_flags_share
 *		A unit's place in one of the systems, from 0 up to 1, as the list above
 *		says: flag_bucket in SQL.
 *
 * salt: what is hashed with the unit: flag key (flagd), group (unleash), seed
 * (growthbook), "key.salt" or seed (launchdarkly).  Both are strings; with
 * flagd-v3 they may be anything.
 */
extern double hd_flags_share(HdBucketing bucketing, const HdValue *salt, const HdValue *unit);

/* At most so many strings are what a system hashes for a salt and a unit. */
#define HD_BUCKET_PARTS 3

/*
 * hd_flags_bucket_parts
 *		The strings that a system hashes, in its order; returns how many.  Not for
 *		flagd-v3, which hashes an array.
 * hd_flags_parts_share
 *		The place that follows from such strings, likewise.
 */
extern int hd_flags_bucket_parts(HdBucketing bucketing, const HdValue *salt, const HdValue *unit,
								 HdValue *parts);
extern double hd_flags_parts_share(HdBucketing bucketing, const HdValue *parts, int nparts);

#endif /* HD_FLAGS_BUCKET_H */
