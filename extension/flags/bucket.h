/*-------------------------------------------------------------------------
 * bucket.h
 *		Where a unit falls: the hashes of several systems, exactly as theirs.
 *
 * Purpose: a flag keeps the bucketing it was made with, so that nobody
 * changes sides when flags move here or a default changes.
 *
 * All functions are pure and allocate nothing; strings are bytes of UTF-8.
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
 *		murmur3 of the deterministic CBOR (RFC 8949, 4.2.1) of a value.
 */
extern uint32 hd_flags_cbor_hash(const HdValue *value);

/*
 * hd_flags_share
 *		A unit's place in [0, 1) in one of the systems: flag_bucket in SQL.
 *
 * salt: what stands before the unit: flag key (flagd), group (unleash), seed
 * (growthbook), "key.salt" or seed (launchdarkly).
 */
extern double hd_flags_share(HdBucketing bucketing, const HdValue *salt, const HdValue *unit);

#endif /* HD_FLAGS_BUCKET_H */
