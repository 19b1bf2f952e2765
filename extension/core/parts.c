/*-------------------------------------------------------------------------
 * parts.c
 *		Tables that are kept for a time, in numbered parts.
 *
 * Model: see parts.h.  A trigger on _part sends a relcache message about it,
 * which counts the generation up in every session.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/parts.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "core/clock.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* How often the tick looks where nothing has changed; a part's time is a matter of hours. */
#define LOOK_US (60 * USECS_PER_SEC)

static HdSpiRelation part_table = {.name = "_part"};
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
