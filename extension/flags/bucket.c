/*-------------------------------------------------------------------------
 * bucket.c
 *		Where a unit falls: the systems by name, and their cuts.
 *
 * Model: each system hashes one string, made of a salt and a unit in an order
 * of its own, and turns the hash into a place from 0 up to 1.  The strings are
 * hashed where they stand.
 *
 * SHA-1 is libcrypto's, with a context that is made once in a session.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/bucket.h"

#include <math.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "core/compat.h"
#include "core/errors.h"
#include "flags/hash.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"

#define TWO_TO_32 4294967296.0
#define TWO_TO_60 1152921504606846976.0

PG_FUNCTION_INFO_V1(hd_flags_sql_bucket);

const char *const hd_flags_bucketings[] = {
	[HD_BUCKETING_FLAGD_V1] = "flagd-v1",		  [HD_BUCKETING_FLAGD_V2] = "flagd-v2",
	[HD_BUCKETING_FLAGD_V3] = "flagd-v3",		  [HD_BUCKETING_UNLEASH] = "unleash",
	[HD_BUCKETING_GROWTHBOOK_1] = "growthbook-1", [HD_BUCKETING_GROWTHBOOK_2] = "growthbook-2",
	[HD_BUCKETING_LAUNCHDARKLY] = "launchdarkly", NULL,
};

bool
hd_flags_bucketing_by_name(const char *name, int length, HdBucketing *bucketing)
{
	for (int i = 0; hd_flags_bucketings[i] != NULL; i++)
		if (strlen(hd_flags_bucketings[i]) == (size_t) length &&
			memcmp(hd_flags_bucketings[i], name, length) == 0)
		{
			*bucketing = (HdBucketing) i;
			return true;
		}
	return false;
}

/* Ready for a digest; NULL when libcrypto gives none. */
static EVP_MD_CTX *
sha1_context(void)
{
	static EVP_MD_CTX *context = NULL;

	/* looking the function up again takes longer than the digest */
	if (context != NULL && EVP_DigestInit_ex(context, NULL, NULL) == 1)
		return context;
	EVP_MD_CTX_free(context);
	context = EVP_MD_CTX_new();
	if (context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1)
		return context;
	EVP_MD_CTX_free(context);
	context = NULL;
	return NULL;
}

/* The first 60 bits of the SHA-1 of some strings. */
static uint64
sha1_60(const HdValue *parts, int nparts)
{
	EVP_MD_CTX *context = sha1_context();
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64 bits;
	bool ok = context != NULL;

	for (int i = 0; ok && i < nparts; i++)
		ok = EVP_DigestUpdate(context, parts[i].as.string, parts[i].length) == 1;
	if (!ok || EVP_DigestFinal_ex(context, digest, NULL) != 1)
	{
		ERR_clear_error();
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-1 digest"),
						errhint("The bucketing \"launchdarkly\" needs SHA-1 of libcrypto.")));
	}
	memcpy(&bits, digest, sizeof(bits));
	return pg_ntoh64(bits) >> 4;
}

/* GrowthBook's second version: the hash of the digits of a hash. */
static uint32
fnv1a_twice(const HdValue *parts, int nparts)
{
	uint32 left = hd_flags_fnv1a_utf16(parts, nparts);
	char digits[10];
	HdValue inner;
	int n = 0;

	do
	{
		digits[sizeof(digits) - ++n] = (char) ('0' + left % 10);
		left /= 10;
	} while (left > 0);
	inner = hd_flags_string(digits + sizeof(digits) - n, n);
	return hd_flags_fnv1a_utf16(&inner, 1);
}

int
hd_flags_bucket_parts(HdBucketing bucketing, const HdValue *salt, const HdValue *unit,
					  HdValue *parts)
{
	int n = 0;

	if (bucketing == HD_BUCKETING_GROWTHBOOK_1)
	{
		parts[n++] = *unit;
		parts[n++] = *salt;
		return n;
	}
	parts[n++] = *salt;
	if (bucketing == HD_BUCKETING_UNLEASH)
		parts[n++] = hd_flags_literal(":");
	else if (bucketing == HD_BUCKETING_LAUNCHDARKLY)
		parts[n++] = hd_flags_literal(".");
	parts[n++] = *unit;
	return n;
}

double
hd_flags_parts_share(HdBucketing bucketing, const HdValue *parts, int nparts)
{
	switch (bucketing)
	{
		case HD_BUCKETING_FLAGD_V1:
			return fabs((double) (int32) hd_flags_murmur3_parts(parts, nparts, 0)) / PG_INT32_MAX;
		case HD_BUCKETING_FLAGD_V2:
			return hd_flags_murmur3_parts(parts, nparts, 0) / TWO_TO_32;
		case HD_BUCKETING_FLAGD_V3:
			return hd_flags_cbor_hash_text(parts, nparts) / TWO_TO_32;
		case HD_BUCKETING_UNLEASH:
			return (hd_flags_murmur3_parts(parts, nparts, 0) % 100) / 100.0;
		case HD_BUCKETING_GROWTHBOOK_1:
			return (hd_flags_fnv1a_utf16(parts, nparts) % 1000) / 1000.0;
		case HD_BUCKETING_GROWTHBOOK_2:
			return (fnv1a_twice(parts, nparts) % 10000) / 10000.0;
		case HD_BUCKETING_LAUNCHDARKLY:
			return (double) sha1_60(parts, nparts) / TWO_TO_60;
	}
	pg_unreachable();
}

double
hd_flags_share(HdBucketing bucketing, const HdValue *salt, const HdValue *unit)
{
	HdValue parts[HD_BUCKET_PARTS] = {*salt, *unit};
	HdValue array = {.type = HD_VALUE_LIST, .length = 2, .as.items = parts};

	if (bucketing == HD_BUCKETING_FLAGD_V3)
		return hd_flags_cbor_hash(&array) / TWO_TO_32;
	return hd_flags_parts_share(bucketing, parts,
								hd_flags_bucket_parts(bucketing, salt, unit, parts));
}

static HD_NORETURN void
refuse_algorithm(const char *name, int length)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; hd_flags_bucketings[i] != NULL; i++)
		appendStringInfo(&known, "%s%s", (i > 0) ? ", " : "", hd_flags_bucketings[i]);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("there is no bucketing \"%.*s\"",
						   pg_mbcliplen(name, length, NAMEDATALEN), name),
					errhint("Known are %s.", known.data)));
}

static HdValue
text_argument(text *argument)
{
	return hd_flags_string(VARDATA_ANY(argument), (int) VARSIZE_ANY_EXHDR(argument));
}

/* flag_bucket(algorithm text, salt text, unit text) → float8 */
Datum
hd_flags_sql_bucket(PG_FUNCTION_ARGS)
{
	HdBucketing bucketing;
	HdValue algorithm;
	HdValue salt;
	HdValue unit;

	hd_require_arg(fcinfo, 0, "algorithm");
	hd_require_arg(fcinfo, 1, "salt");
	hd_require_arg(fcinfo, 2, "unit");
	algorithm = text_argument(PG_GETARG_TEXT_PP(0));
	salt = text_argument(PG_GETARG_TEXT_PP(1));
	unit = text_argument(PG_GETARG_TEXT_PP(2));
	if (!hd_flags_bucketing_by_name(algorithm.as.string, algorithm.length, &bucketing))
		refuse_algorithm(algorithm.as.string, algorithm.length);
	PG_RETURN_FLOAT8(hd_flags_share(bucketing, &salt, &unit));
}
