/*-------------------------------------------------------------------------
 * versions.c
 *		Calendars as they are stored.
 *
 * Model: see versions.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/versions.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "core/spi.h"
#include "sla/definition.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns of hotdash._calendar_version, in the order of sql/sla_calendars.sql. */
enum
{
	COL_CALENDAR = 1,
	COL_VERSION,
	COL_BEFORE,
	COL_DEFINITION
};

static HdSpiRelation version_table = {.name = "_calendar_version"};
static HdSpiRelation version_index = {.name = "_calendar_version_pkey"};

/* The definition of a version, and which one governs what is before its "from", 0: none. */
static Jsonb *
read_version(int32 calendar, int32 version, int32 *before)
{
	Relation rel = table_open(hd_spi_relation(&version_table), AccessShareLock);
	Jsonb *definition = NULL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull;

	ScanKeyInit(&keys[0], COL_CALENDAR, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(calendar));
	ScanKeyInit(&keys[1], COL_VERSION, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(version));
	scan = systable_beginscan(rel, hd_spi_relation(&version_index), true, GetActiveSnapshot(), 2,
							  keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Datum value = heap_getattr(tuple, COL_DEFINITION, RelationGetDescr(rel), &isnull);

		if (!isnull)
			definition = DatumGetJsonbPCopy(value);
		*before = DatumGetInt32(heap_getattr(tuple, COL_BEFORE, RelationGetDescr(rel), &isnull));
		if (isnull)
			*before = 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (definition == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("version %d of calendar %d does not exist", version, calendar)));
	return definition;
}

/* Rules that are always open in their zone. */
static void
open_always(HdSlaRules *rules)
{
	static HdSlaSpan whole = {0, USECS_PER_DAY};

	for (int i = 0; i < HD_SLA_WEEKDAYS; i++)
		rules->week[i] = (HdSlaSpans){1, &whole};
	rules->shifts.n = 0;
	rules->breaks.n = 0;
	rules->holidays = (HdSlaHolidays){0};
}

static bool
ever_opens(HdSlaRules *rules)
{
	HdSlaCalendar *alone = hd_sla_timeline_make(CurrentMemoryContext, &rules, 1);
	bool opens = hd_sla_timeline_ever_opens(alone);

	pfree(alone);
	return opens;
}

static HdSlaRules *
read_rules(Jsonb *definition, bool names)
{
	HdSlaRules *rules = hd_sla_definition_read(definition, names);

	if (rules->wall_when_empty && !ever_opens(rules))
		open_always(rules);
	return rules;
}

/* Put the rules of a version and of those that govern what is before it in front of the n at the end of pieces. */
static int
read_chain(HdSlaRules **end, int n, int32 calendar, int32 version, bool names)
{
	while (version != 0)
	{
		Jsonb *definition;

		if (n == HD_SLA_MAX_PIECES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("calendar has too many versions that govern a part of time each"),
					 errdetail("At most %d are allowed.", HD_SLA_MAX_PIECES),
					 errhint("State the whole calendar without \"from\".")));
		definition = read_version(calendar, version, &version);
		n++;
		*(end - n) = read_rules(definition, names);
		pfree(definition);
	}
	return n;
}

static MemoryContext
make_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "hotdash calendar", ALLOCSET_SMALL_SIZES);
}

HdSlaCalendar *
hd_sla_versions_load(int32 calendar, int32 version, bool names)
{
	MemoryContext context = make_context();
	MemoryContext saved = MemoryContextSwitchTo(context);
	HdSlaRules **end =
		(HdSlaRules **) palloc(HD_SLA_MAX_PIECES * sizeof(HdSlaRules *)) + HD_SLA_MAX_PIECES;
	int n = read_chain(end, 0, calendar, version, names);

	MemoryContextSwitchTo(saved);
	return hd_sla_timeline_make(context, end - n, n);
}

HdSlaCalendar *
hd_sla_versions_propose(Jsonb *definition, int32 calendar, int32 before)
{
	MemoryContext context = make_context();
	MemoryContext saved = MemoryContextSwitchTo(context);
	HdSlaRules **end =
		(HdSlaRules **) palloc(HD_SLA_MAX_PIECES * sizeof(HdSlaRules *)) + HD_SLA_MAX_PIECES;
	int n;

	*(end - 1) = read_rules(definition, false);
	if (!(*(end - 1))->wall_when_empty && !ever_opens(*(end - 1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid definition of a calendar"), errdetail("It has no open time."),
				 errhint("State hours, or \"when_empty\": \"wall_clock\" for a calendar that "
						 "is always open then.")));
	n = read_chain(end, 1, calendar, before, false);
	MemoryContextSwitchTo(saved);
	return hd_sla_timeline_make(context, end - n, n);
}
