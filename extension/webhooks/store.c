/*-------------------------------------------------------------------------
 * store.c
 *		Messages, deliveries and attempts go into their tables.
 *
 * Model: sql/webhooks_retention.sql says which families of parts there are
 * (core/parts.h) and for how long they are kept.
 *
 * Locking: RowExclusiveLock on the part until the transaction ends.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/parts.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static HdPartsWriter writers[] = {
	{.family = "webhook_messages", .parent = "_message"},
	{.family = "webhook_history", .parent = "_delivery"},
	{.family = "webhook_history", .parent = "_delivery_attempt"},
};

PG_FUNCTION_INFO_V1(hd_webhooks_sql_file);

/* By the type that it has had before, or else by the table's name. */
static HdPartsWriter *
writer_of(Oid rows_type)
{
	const char *name;

	for (int i = 0; i < lengthof(writers); i++)
		if (writers[i].rows_type == rows_type)
			return &writers[i];
	name = get_rel_name(get_typ_typrelid(get_element_type(rows_type)));
	for (int i = 0; i < lengthof(writers); i++)
		if (name != NULL && strcmp(writers[i].parent, name) == 0)
			return &writers[i];
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("rows of type %s are not filed", format_type_be(rows_type))));
}

/*
 * hd_webhooks_sql_file
 *		SQL: _webhook_file(rows anyarray) -> smallint, the part.
 */
Datum
hd_webhooks_sql_file(PG_FUNCTION_ARGS)
{
	Oid rows_type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	PG_RETURN_INT16(hd_parts_file(writer_of(rows_type), PG_GETARG_DATUM(0), rows_type));
}
