/*-------------------------------------------------------------------------
 * noop.c
 *		Functions that do nothing: what a decision costs is counted from here.
 *
 * They take whatever arguments they are declared with and look at none.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(noop_true);
PG_FUNCTION_INFO_V1(noop_null);

Datum
noop_true(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}

Datum
noop_null(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}
