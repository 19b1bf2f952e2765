/*-------------------------------------------------------------------------
 * history.c
 *		What is kept of ended jobs and attempts, and for how long.
 *
 * Model: see history.h.  Each session keeps which part takes a kind's rows,
 * until parts change (core/parts.h) or a relcache message about _kind arrives.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/history.h"

#include "catalog/pg_type.h"
#include "core/duration.h"
#include "core/parts.h"
#include "core/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* Where the rows of a kind go. */
typedef struct KindPart
{
	char kind[NAMEDATALEN]; /* key */
	int16 part;
	Oid history;
	Oid attempt;
} KindPart;

/* A part that is open in a table's handle. */
typedef struct HdJobParts
{
	char kind[NAMEDATALEN]; /* that asked for it last */
	int16 part;
	bool has_history; /* whether that table is open */
	bool has_attempt;
	HdJobTable history;
	HdJobTable attempt;
	struct HdJobParts *next;
} HdJobParts;

int hd_jobs_setting_retention = 7 * 24 * 60;

static HdSpiRelation kind_table = {.name = "_kind"};

static HTAB *kinds = NULL;
static int kinds_retention = 0;		/* the setting when they were read */
static uint64 kinds_generation = 0; /* of the parts, likewise */
static bool stale = true;
static bool look_now = true; /* the tick's: other classes may be wanted since it looked */

static HdSpiPlan part_plan = {
	.sql = "SELECT hotdash._history_part_of($1)",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

static HdPartsKeeper keeper = {
	.keep.sql = "SELECT hotdash._history_keep()",
};

static HdSpiPlan retention_update = {
	.sql = "UPDATE hotdash._kind SET retention = $2 WHERE kind = $1",
	.nargs = 2,
	.argtypes = {TEXTOID, INTERVALOID},
};

/*
 * Which part.
 */

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kind_table.oid)
		stale = look_now = true;
}

/* Make the cache current: an empty one if anything changed. */
static void
refresh(void)
{
	static bool registered = false;
	HASHCTL control = {.keysize = NAMEDATALEN, .entrysize = sizeof(KindPart)};
	Oid was = kind_table.oid;
	uint64 generation = hd_parts_generation();

	if (hd_spi_relation(&kind_table) != was || kinds_retention != hd_jobs_setting_retention)
		stale = look_now = true;
	if (!stale && kinds_generation == generation)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		registered = true;
	}
	if (kinds != NULL)
		hash_destroy(kinds);
	control.hcxt = TopMemoryContext;
	kinds = hash_create("hotdash history", 32, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	kinds_retention = hd_jobs_setting_retention;
	kinds_generation = generation;
	stale = false;
}

static int16
read_part(const char *kind)
{
	Datum values[1] = {CStringGetTextDatum(kind)};
	bool isnull;
	int16 part;
	HdSpi spi;

	/* Of now, whatever the transaction sees: the answer outlives it, and a closed part goes too early. */
	hd_spi_begin(&spi);
	hd_spi_run_latest(&part_plan, values, NULL);
	part = DatumGetInt16(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	hd_spi_end(&spi);
	return part;
}

/* The part that takes a kind's rows now; its tables may be gone if somebody dropped them by hand. */
static KindPart
find_part(const char *kind)
{
	KindPart found;
	KindPart *known;

	refresh();
	known = hash_search(kinds, kind, HASH_FIND, NULL);
	if (known != NULL)
		return *known;
	memset(&found, 0, sizeof(found));
	strlcpy(found.kind, kind, NAMEDATALEN);
	found.part = read_part(kind);
	found.history = hd_parts_relation("_job_history", found.part);
	found.attempt = hd_parts_relation("_job_attempt", found.part);
	*(KindPart *) hash_search(kinds, kind, HASH_ENTER, NULL) = found;
	return found;
}

/*
 * Filing.
 */

/* Of the parts that the handle has open, the one that took this kind's rows before. */
static HdJobParts *
part_in_use(HdJobTable *table, const char *kind)
{
	for (HdJobParts *parts = table->parts; parts != NULL; parts = parts->next)
		if (strcmp(parts->kind, kind) == 0)
			return parts;
	return NULL;
}

static HdJobParts *
part_by_number(HdJobTable *table, int16 number)
{
	HdJobParts *parts;

	for (parts = table->parts; parts != NULL; parts = parts->next)
		if (parts->part == number)
			return parts;
	parts = palloc0(sizeof(HdJobParts));
	parts->part = number;
	parts->next = table->parts;
	table->parts = parts;
	return parts;
}

/* Open one of a part's tables; an oid that is out of date by now is looked up again once. */
static HdJobParts *
open_part(HdJobTable *table, const char *kind, bool attempt)
{
	HdJobParts *parts = part_in_use(table, kind);

	for (int tries = 0; tries < 2; tries++)
	{
		bool *open;

		if (parts == NULL)
		{
			parts = part_by_number(table, find_part(kind).part);
			strlcpy(parts->kind, kind, NAMEDATALEN);
		}
		open = attempt ? &parts->has_attempt : &parts->has_history;
		if (!*open)
		{
			KindPart place = find_part(kind);

			*open = place.part == parts->part &&
					hd_jobs_table_open_other(attempt ? &parts->attempt : &parts->history,
											 attempt ? place.attempt : place.history);
		}
		if (*open)
		{
			(attempt ? &parts->attempt : &parts->history)->gathers = table->gathers;
			return parts;
		}
		stale = true;
		parts = NULL;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("part %d of the history does not exist", find_part(kind).part),
					errhint("Tables of schema hotdash must not be dropped by hand.")));
}

static void
copy_kind(Datum kind, char *copy)
{
	text *value = DatumGetTextPP(kind);

	text_to_cstring_buffer(value, copy, NAMEDATALEN);
	if ((Pointer) value != DatumGetPointer(kind))
		pfree(value);
}

void
hd_jobs_history_file(HdJobTable *table, Datum kind, Datum *values, const bool *nulls)
{
	char name[NAMEDATALEN];
	HdJobParts *parts;

	copy_kind(kind, name);
	parts = open_part(table, name, false);
	values[HD_JOB_HISTORY_PART - 1] = Int16GetDatum(parts->part);
	hd_jobs_table_put(&parts->history, values, nulls, HD_JOB_HISTORY_COUNT);
}

void
hd_jobs_history_file_attempt(HdJobTable *table, Datum kind, Datum *values, const bool *nulls)
{
	char name[NAMEDATALEN];
	HdJobParts *parts;

	copy_kind(kind, name);
	parts = open_part(table, name, true);
	values[HD_JOB_ATTEMPT_PART - 1] = Int16GetDatum(parts->part);
	hd_jobs_table_put(&parts->attempt, values, nulls, HD_JOB_ATTEMPT_COUNT);
}

void
hd_jobs_history_flush(HdJobTable *table)
{
	for (HdJobParts *parts = table->parts; parts != NULL; parts = parts->next)
	{
		if (parts->has_history)
			hd_jobs_table_flush(&parts->history);
		if (parts->has_attempt)
			hd_jobs_table_flush(&parts->attempt);
	}
}

void
hd_jobs_history_close(HdJobTable *table)
{
	hd_jobs_history_flush(table);
	for (HdJobParts *parts = table->parts; parts != NULL; parts = parts->next)
	{
		if (parts->has_history)
			hd_jobs_table_close(&parts->history);
		if (parts->has_attempt)
			hd_jobs_table_close(&parts->attempt);
	}
	table->parts = NULL;
}

/*
 * Keeping and dropping.
 */

void
hd_jobs_history_set(const char *kind, Interval *retention)
{
	Datum values[2] = {CStringGetTextDatum(kind), IntervalPGetDatum(retention)};
	HdSpi spi;

	if (retention != NULL)
	{
		int64 us = hd_duration_us(retention, "retention", 1);

		if (us > HD_PARTS_MAX_DAYS * USECS_PER_DAY)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("retention must not be longer than %d days", HD_PARTS_MAX_DAYS)));
	}
	hd_spi_begin(&spi);
	hd_spi_run(&retention_update, values, (retention == NULL) ? " n" : NULL, false, 0);
	hd_spi_end(&spi);
}

void
hd_jobs_history_tick(void)
{
	refresh();
	hd_parts_tick(&keeper, look_now);
	look_now = false;
}
