/*-------------------------------------------------------------------------
 * parts.c
 *		Tables that are kept for a time, in numbered parts.
 *
 * Model: see parts.h.  A trigger on _part sends a relcache message about it,
 * which counts the generation up in every session.
 *
 * A writer's INSERT names its part's table, so that nothing is locked but
 * that; its text and plan last until another part takes the rows.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/parts.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/clock.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* How often the tick looks where nothing has changed; a part's time is a matter of hours. */
#define LOOK_US (60 * USECS_PER_SEC)

static HdSpiRelation part_table = {.name = "_part"};

static HdSpiPlan open_plan = {
	.sql = "SELECT hotdash._part_open($1)",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

static uint64 generation = 1;

PG_FUNCTION_INFO_V1(hd_parts_sql_changed);

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == part_table.oid)
		generation++;
}

/*
 * hd_parts_sql_changed
 *		Trigger of _part: tell every session at commit.
 */
Datum
hd_parts_sql_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("_part_changed can only be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}

uint64
hd_parts_generation(void)
{
	static bool registered = false;
	Oid was = part_table.oid;

	/* A statement that locks no table would not have taken in what others committed. */
	AcceptInvalidationMessages();
	if (hd_spi_relation(&part_table) != was)
		generation++;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		registered = true;
	}
	return generation;
}

Oid
hd_parts_relation(const char *parent, int16 part)
{
	return get_relname_relid(psprintf("%s_%d", parent, part), get_namespace_oid("hotdash", false));
}

/*
 * Filing.
 */

/* All columns by name, the part's number in place of the rows' own. */
static void
make_insert(HdPartsWriter *writer, int16 part, Oid rows_type)
{
	Relation rel = relation_open(get_typ_typrelid(get_element_type(rows_type)), AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData names;
	StringInfoData values;
	const char *comma = "";

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		appendStringInfo(&names, "%s%s", comma, quote_identifier(name));
		if (strcmp(name, "part") == 0)
			appendStringInfo(&values, "%s%d", comma, part);
		else
			appendStringInfo(&values, "%sr.%s", comma, quote_identifier(name));
		comma = ", ";
	}
	relation_close(rel, AccessShareLock);

	if (writer->insert.plan != NULL)
		SPI_freeplan(writer->insert.plan);
	writer->insert.plan = NULL;
	if (writer->insert.sql != NULL)
		pfree((void *) writer->insert.sql);
	writer->insert.sql = MemoryContextStrdup(
		TopMemoryContext, psprintf("INSERT INTO hotdash.%s_%d (%s) SELECT %s FROM unnest($1) AS r",
								   writer->parent, part, names.data, values.data));
	writer->insert.nargs = 1;
	writer->insert.argtypes[0] = rows_type;
}

/* Between hd_spi_begin and hd_spi_end. */
static void
find_part(HdPartsWriter *writer, Oid rows_type)
{
	Datum values[1] = {CStringGetTextDatum(writer->family)};
	uint64 current = hd_parts_generation();
	int16 part;

	/* Of now, whatever the transaction sees: the answer outlives it. */
	writer->generation = 0;
	hd_spi_run_latest(&open_plan, values, NULL);
	part = DatumGetInt16(hd_spi_result(0, 1));
	writer->table = hd_parts_relation(writer->parent, part);
	if (!OidIsValid(writer->table))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("part %d of \"%s\" does not exist", part, writer->parent),
						errhint("Tables of schema hotdash must not be dropped by hand.")));
	if (writer->insert.plan == NULL || part != writer->part || rows_type != writer->rows_type)
		make_insert(writer, part, rows_type);
	writer->part = part;
	writer->rows_type = rows_type;
	writer->generation = current;
}

int16
hd_parts_file(HdPartsWriter *writer, Datum rows, Oid rows_type)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	do
	{
		if (writer->generation != hd_parts_generation() || writer->rows_type != rows_type)
			find_part(writer, rows_type);
		LockRelationOid(writer->table, RowExclusiveLock);

		/* Closed or dropped before the lock was there: then it is not the one. */
	} while (writer->generation != hd_parts_generation());
	hd_spi_run(&writer->insert, &rows, NULL, false, 0);
	hd_spi_end(&spi);
	return writer->part;
}

void
hd_parts_tick(HdPartsKeeper *keeper, bool changed)
{
	TimestampTz now = hd_clock_now();
	uint64 current = hd_parts_generation();
	HdSpi spi;

	if (!changed && keeper->done && keeper->generation == current && keeper->looked <= now &&
		now < keeper->looked + LOOK_US)
		return;
	hd_spi_begin(&spi);
	hd_spi_run(&keeper->keep, NULL, NULL, false, 1);
	keeper->done = DatumGetBool(hd_spi_result(0, 1));
	hd_spi_end(&spi);
	keeper->generation = current;
	keeper->looked = now;
}
