/*-------------------------------------------------------------------------
 * errors.c
 *		The shared wording of errors, for functions in SQL and PL/pgSQL.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/errors.h"

#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_errors_sql_require_arg);

/*
 * hd_errors_sql_require_arg
 *		SQL: _require_arg(value anyelement, name text).
 */
Datum
hd_errors_sql_require_arg(PG_FUNCTION_ARGS)
{
	hd_require_arg(fcinfo, 1, "name");
	hd_require_arg(fcinfo, 0, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}
