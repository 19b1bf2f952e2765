/*-------------------------------------------------------------------------
 * expose.c
 *		Exposures: an answer, and the record that somebody was shown it.
 *
 * Model: in sql/flags_exposures.sql.  What has been recorded before, which is
 * nearly always, costs two probes of indexes and writes nothing, as the
 * newest snapshot sees it, whatever the transaction's is.
 *
 * The probes go to the indexes directly: by SPI, with its change of user and
 * settings, an exposure that is there already took ten times as long.
 *
 * Locking: an advisory lock for each exposure that this transaction is the
 * first to record, up to a bound.  Two with the same hash share one; then one
 * of them is filed as late, which is slower and right.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/sha2.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "flags/decide.h"
#include "flags/result.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Beside the class of alerts (ops/alerts.c); the application's are 1 and 2. */
#define LOCK_CLASS 0x4845

/* Locks that a transaction may take for exposures: the server has 64 for each session. */
#define MAX_LOCKS 32

/* Longer units are known by their hash: they have to fit into an index. */
#define MAX_UNIT 1000

#define SHA256_PREFIX "sha256:"

/* What names an exposure: the columns of the primary key, in its order. */
typedef struct Exposure
{
	text *key;
	text *unit;
	text *variant;
	text *tenant;
} Exposure;

#define NAMES 4

PG_FUNCTION_INFO_V1(hd_flags_sql_expose);
PG_FUNCTION_INFO_V1(hd_flags_sql_exposure_here);

static HdSpiRelation exposures = {.name = "_flag_exposure"};
static HdSpiRelation exposures_index = {.name = "_flag_exposure_pkey"};
static HdSpiRelation late = {.name = "_flag_exposure_late"};
static HdSpiRelation late_index = {.name = "_flag_exposure_late_unit"};

/* Whoever had the lock before has committed, or has taken it back. */
static HdSpiPlan add_plan = {
	.sql = "INSERT INTO hotdash._flag_exposure (key, unit, variant, tenant, exposed_at, version) "
		   "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID},
};

static HdSpiPlan add_late_plan = {
	.sql = "INSERT INTO hotdash._flag_exposure_late "
		   "(key, unit, variant, tenant, exposed_at, version) VALUES ($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID},
};

/*
 * The lock
 */

/* One number for all names; a zero byte, which text cannot have, after each. */
static uint64
hash_of(const Exposure *exposure)
{
	text *const names[NAMES] = {exposure->key, exposure->unit, exposure->variant, exposure->tenant};
	static const unsigned char end = 0;
	uint64 hash = 0;

	for (int i = 0; i < NAMES; i++)
	{
		hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(names[i]),
								   VARSIZE_ANY_EXHDR(names[i]), hash);
		hash = hash_bytes_extended(&end, 1, hash);
	}
	return hash;
}

/* False when it is not to be had now, or the transaction has that many already. */
static bool
take_lock(const Exposure *exposure, int up_to)
{
	static LocalTransactionId counted_in = InvalidLocalTransactionId;
	static int count = 0;
	uint64 hash = hash_of(exposure);
	LOCKTAG tag;

	if (counted_in != HD_MY_LXID)
	{
		counted_in = HD_MY_LXID;
		count = 0;
	}
	/* Under an old snapshot a row that was committed since would be an error. */
	if (IsolationUsesXactSnapshot() || count >= up_to)
		return false;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, LOCK_CLASS);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	count++;
	return true;
}

/*
 * hd_flags_sql_exposure_here
 *		SQL: _exposure_here(key, unit, variant, tenant, up_to) -> bool.
 */
Datum
hd_flags_sql_exposure_here(PG_FUNCTION_ARGS)
{
	Exposure exposure = {PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1), PG_GETARG_TEXT_PP(2),
						 PG_GETARG_TEXT_PP(3)};

	PG_RETURN_BOOL(take_lock(&exposure, PG_GETARG_INT32(4)));
}

/*
 * Recording
 */

/* Whether a table has it; both have the names as their first columns, and an index on them. */
static bool
is_in(HdSpiRelation *table, HdSpiRelation *index, const Exposure *exposure, Snapshot snapshot)
{
	const Datum names[NAMES] = {PointerGetDatum(exposure->key), PointerGetDatum(exposure->unit),
								PointerGetDatum(exposure->variant),
								PointerGetDatum(exposure->tenant)};
	Relation rel = table_open(hd_spi_relation(table), AccessShareLock);
	ScanKeyData keys[NAMES];
	SysScanDesc scan;
	bool found;

	for (int i = 0; i < NAMES; i++)
	{
		ScanKeyInit(&keys[i], i + 1, BTEqualStrategyNumber, F_TEXTEQ, names[i]);
		keys[i].sk_collation = C_COLLATION_OID;
	}
	scan = systable_beginscan(rel, hd_spi_relation(index), true, snapshot, NAMES, keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static bool
is_recorded(const Exposure *exposure)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool found = is_in(&exposures, &exposures_index, exposure, snapshot) ||
				 is_in(&late, &late_index, exposure, snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

static void
record(const Exposure *exposure, int version)
{
	Datum values[6] = {
		PointerGetDatum(exposure->key),		 PointerGetDatum(exposure->unit),
		PointerGetDatum(exposure->variant),	 PointerGetDatum(exposure->tenant),
		TimestampTzGetDatum(hd_clock_now()), Int32GetDatum(version),
	};
	HdSpi spi;

	hd_instance_use();
	hd_spi_begin(&spi);
	hd_spi_run(take_lock(exposure, MAX_LOCKS) ? &add_plan : &add_late_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
}

/*
 * Who and what
 */

static text *
hashed(const char *bytes, int length)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	char hex[sizeof(SHA256_PREFIX) + 2 * PG_SHA256_DIGEST_LENGTH] = SHA256_PREFIX;

	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) bytes, length) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute %s hash: %s", "SHA256", pg_cryptohash_error(context))));
	pg_cryptohash_free(context);
	hex_encode((char *) digest, sizeof(digest), hex + sizeof(SHA256_PREFIX) - 1);
	return cstring_to_text_with_len(hex, sizeof(hex) - 1);
}

/* The targeting key of the merged context, a text or a number; NULL: there is none. */
static text *
unit_of(HdFlagsRun *run)
{
	HdValue value;
	StringInfoData text;

	if (!hd_flags_attribute(run, "targetingKey", 12, &value) ||
		(value.type != HD_VALUE_STRING && value.type != HD_VALUE_NUMBER))
		return NULL;
	initStringInfo(&text);
	hd_flags_append_text(&text, &value);
	if (text.len == 0)
		return NULL;
	return (text.len > MAX_UNIT) ? hashed(text.data, text.len)
								 : cstring_to_text_with_len(text.data, text.len);
}

static void
expose(const HdFlag *flag, const HdFlagDecision *decision, HdFlagsRun *run)
{
	Exposure exposure = {.unit = unit_of(run)};
	const HdValue *variant = &decision->name;

	if (exposure.unit == NULL)
		return;
	exposure.key = cstring_to_text_with_len(flag->key.as.string, flag->key.length);
	exposure.variant = cstring_to_text_with_len(variant->as.string, variant->length);
	exposure.tenant = cstring_to_text(hd_settings_tenant(NULL));
	if (!is_recorded(&exposure))
		record(&exposure, flag->version);
}

/*
 * hd_flags_sql_expose
 *		SQL: flag_expose(key, default_value, context) -> flag_result.
 */
Datum
hd_flags_sql_expose(PG_FUNCTION_ARGS)
{
	struct varlena *otherwise = PG_ARGISNULL(1) ? NULL : PG_DETOAST_DATUM(PG_GETARG_DATUM(1));
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlag *flag;
	Datum result;

	hd_require_arg(fcinfo, 0, "key");
	hd_flags_begin(&question, PG_ARGISNULL(2) ? NULL : PG_DETOAST_DATUM(PG_GETARG_DATUM(2)));
	question.run.wants_metadata = true;
	flag = hd_flags_call(fcinfo);
	hd_flags_answer(flag, &question, &decision);
	hd_flags_end(&question);
	/* Which may find that the value is of another type than the default. */
	result = hd_flags_form_result(fcinfo, flag, &decision, otherwise);
	if (decision.error == HD_FLAG_OK && decision.name.type == HD_VALUE_STRING)
		expose(flag, &decision, &question.run);
	return result;
}
