/*-------------------------------------------------------------------------
 * instance.c
 *		Whether this is the live copy of the data, or a restored one.
 *
 * Model: instance.h.  The answer yes is cached with the oid of the
 * extension, and only when it was read from a row that is committed: one
 * written by this very transaction may yet be rolled back.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/instance.h"

#include "core/clock.h"
#include "core/spi.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef enum InstanceState
{
	INSTANCE_FRESH, /* no row: nothing was ever put in; next: OURS */
	INSTANCE_OURS,	/* this is the live copy; next: COPY by restoring over it */
	INSTANCE_COPY	/* another is, or was, the live one; next: OURS by adoption */
} InstanceState;

/* The extension for which the answer was yes. */
static Oid ours_for = InvalidOid;

/* The (sub)transaction that wrote the first row in this session. */
static TransactionId wrote_in = InvalidTransactionId;

static HdSpiPlan look_plan = {
	.sql =
		"SELECT count(*), "
		"coalesce(bool_or(mine AND (strangers = 0 OR adopted AND since >= last_stranger)), false) "
		"FROM (SELECT i.adopted, i.since, "
		"i.system_identifier = $1 AND i.database_oid = $2 AS mine, "
		"count(*) FILTER (WHERE i.system_identifier <> $1 OR i.database_oid <> $2) OVER () "
		"AS strangers, "
		"max(i.since) FILTER (WHERE i.system_identifier <> $1 OR i.database_oid <> $2) OVER () "
		"AS last_stranger FROM hotdash._instance i) s",
	.nargs = 2,
	.argtypes = {INT8OID, OIDOID},
};

static HdSpiPlan write_plan = {
	.sql = "INSERT INTO hotdash._instance (system_identifier, database_oid, since, adopted) "
		   "VALUES ($1, $2, $3, false)",
	.nargs = 3,
	.argtypes = {INT8OID, OIDOID, TIMESTAMPTZOID},
};

PG_FUNCTION_INFO_V1(hd_instance_sql_state);
PG_FUNCTION_INFO_V1(hd_instance_sql_use);
PG_FUNCTION_INFO_V1(hd_instance_sql_identifier);

static InstanceState
look(void)
{
	Datum values[2] = {Int64GetDatum((int64) GetSystemIdentifier()),
					   ObjectIdGetDatum(MyDatabaseId)};
	InstanceState state = INSTANCE_COPY;
	HdSpi spi;
	bool isnull;

	/* A worker, or a procedure that has just committed, comes without a snapshot. */
	PushActiveSnapshot(GetTransactionSnapshot());
	hd_spi_begin(&spi);
	(void) hd_spi_run(&look_plan, values, NULL, false, 1);
	if (DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) == 0)
		state = INSTANCE_FRESH;
	else if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		state = INSTANCE_OURS;
	hd_spi_end(&spi);
	PopActiveSnapshot();
	return state;
}

static InstanceState
cached_look(void)
{
	Oid extension = hd_spi_extension();
	InstanceState state;

	if (ours_for == extension)
		return INSTANCE_OURS;

	/* Ours, unless this transaction or its part that wrote the row rolls back. */
	if (TransactionIdIsValid(wrote_in) && TransactionIdIsCurrentTransactionId(wrote_in))
		return INSTANCE_OURS;
	state = look();
	if (state == INSTANCE_OURS)
		ours_for = extension;
	return state;
}

bool
hd_instance_is_ours(void)
{
	return cached_look() == INSTANCE_OURS;
}

bool
hd_instance_is_copy(void)
{
	return cached_look() == INSTANCE_COPY;
}

void
hd_instance_use(void)
{
	Datum values[3] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId),
					   TimestampTzGetDatum(hd_clock_real())};
	HdSpi spi;

	if (cached_look() != INSTANCE_FRESH)
		return;
	hd_spi_begin(&spi);
	(void) hd_spi_run(&write_plan, values, NULL, false, 0);
	hd_spi_end(&spi);
	wrote_in = GetCurrentTransactionId();
}

/*
 * hd_instance_sql_state
 *		SQL: _instance_state() -> text: fresh, ours or copy.
 */
Datum
hd_instance_sql_state(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[INSTANCE_FRESH] = "fresh",
		[INSTANCE_OURS] = "ours",
		[INSTANCE_COPY] = "copy",
	};

	PG_RETURN_TEXT_P(cstring_to_text(names[look()]));
}

/*
 * hd_instance_sql_use
 *		SQL: _instance_use(): something that the tick looks after is being put in.
 */
Datum
hd_instance_sql_use(PG_FUNCTION_ARGS)
{
	hd_instance_use();
	PG_RETURN_VOID();
}

/*
 * hd_instance_sql_identifier
 *		SQL: _instance_identifier() -> bigint: what this cluster is called.
 */
Datum
hd_instance_sql_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}
