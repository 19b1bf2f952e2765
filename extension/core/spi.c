/*-------------------------------------------------------------------------
 * spi.c
 *		SPI as the extension's owner: pinned search path, kept plans, and the
 *		identity of the installed extension.
 *
 * Model: oids of the extension and its relations are looked up once and
 * kept until a message about the schema arrives: schema hotdash is a member
 * of the extension, so DROP EXTENSION drops it, and that invalidates the
 * namespace cache in every session.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/spi.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Counts invalidations of the namespace cache; cached oids carry the count of their time. */
static uint64 generation = 1;
static bool callback_registered = false;

static Oid extension_oid = InvalidOid;
static Oid extension_owner = InvalidOid;
static uint64 extension_generation = 0;

static void
namespace_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
}

static Oid
lookup_owner(Oid extension)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

static void
refresh_extension(void)
{
	uint64 now;

	if (!callback_registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, namespace_changed, (Datum) 0);
		callback_registered = true;
	}
	now = generation;
	if (extension_generation == now && OidIsValid(extension_oid))
		return;
	extension_oid = get_extension_oid("hotdash", true);
	extension_owner = OidIsValid(extension_oid) ? lookup_owner(extension_oid) : InvalidOid;
	extension_generation = now;
}

Oid
hd_spi_extension_missing_ok(void)
{
	refresh_extension();
	return extension_oid;
}

Oid
hd_spi_extension(void)
{
	refresh_extension();
	if (!OidIsValid(extension_oid))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("extension \"hotdash\" is not installed in this database"),
						errhint("Run CREATE EXTENSION hotdash.")));
	return extension_oid;
}

Oid
hd_spi_relation(HdSpiRelation *rel)
{
	(void) hd_spi_extension();
	if (rel->generation == extension_generation && OidIsValid(rel->oid))
		return rel->oid;
	rel->oid = get_relname_relid(rel->name, get_namespace_oid("hotdash", false));
	if (!OidIsValid(rel->oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"hotdash.%s\" does not exist", rel->name),
						errhint("The extension's own tables must not be dropped by hand.")));
	rel->generation = extension_generation;
	return rel->oid;
}

void
hd_spi_switch_user(HdSpi *spi)
{
	(void) hd_spi_extension();
	GetUserIdAndSecContext(&spi->saved_user, &spi->saved_security);
	SetUserIdAndSecContext(extension_owner, spi->saved_security | SECURITY_LOCAL_USERID_CHANGE);
}

void
hd_spi_restore_user(HdSpi *spi)
{
	SetUserIdAndSecContext(spi->saved_user, spi->saved_security);
}

static void
save_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

void
hd_spi_begin(HdSpi *spi)
{
	hd_spi_switch_user(spi);
	spi->guc_level = NewGUCNestLevel();
	save_setting("search_path", "pg_catalog, pg_temp");
	save_setting("enable_seqscan", "off");

	/* What has to scan all the same looks so expensive then that it would be compiled. */
	save_setting("jit", "off");
	SPI_connect();
}

void
hd_spi_begin_for_all(HdSpi *spi)
{
	hd_spi_begin(spi);
	(void) set_config_option("hotdash.tenant", "", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
}

void
hd_spi_end(HdSpi *spi)
{
	SPI_finish();
	AtEOXact_GUC(true, spi->guc_level);
	hd_spi_restore_user(spi);
}

static void
make_plan(HdSpiPlan *plan)
{
	SPIPlanPtr made;

	if (plan->plan != NULL)
		return;
	made = SPI_prepare_cursor(plan->sql, plan->nargs, plan->argtypes,
							  plan->generic ? CURSOR_OPT_GENERIC_PLAN : 0);
	if (made == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", plan->sql, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(made) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", plan->sql);
	plan->plan = made;
}

int
hd_spi_run(HdSpiPlan *plan, Datum *values, const char *nulls, bool read_only, long limit)
{
	int rc;

	make_plan(plan);
	rc = SPI_execute_plan(plan->plan, values, nulls, read_only, limit);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", plan->sql, SPI_result_code_string(rc));
	return rc;
}

void
hd_spi_run_latest(HdSpiPlan *plan, Datum *values, const char *nulls)
{
	int rc;

	make_plan(plan);
	rc = SPI_execute_snapshot(plan->plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
							  false, true, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", plan->sql, SPI_result_code_string(rc));
}

void
hd_spi_run_counting(HdSpiPlan *plan, Datum *values, Snapshot snapshot)
{
	int rc;

	save_setting("enable_seqscan", "on");
	make_plan(plan);
	rc = SPI_execute_snapshot(plan->plan, values, NULL, snapshot, InvalidSnapshot, true, false, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", plan->sql, SPI_result_code_string(rc));
	save_setting("enable_seqscan", "off");
}

Datum
hd_spi_ids(const int64 *ids, int n)
{
	Datum *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
hd_spi_result(uint64 row, int column)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}
