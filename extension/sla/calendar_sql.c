/*-------------------------------------------------------------------------
 * calendar_sql.c
 *		Business time in SQL.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "sla/calendars.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_sla_sql_business_at);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_instant);
PG_FUNCTION_INFO_V1(hd_sla_sql_business_past);

/*
 * hd_sla_sql_business_at
 *		SQL: _business_at(lane, at).
 */
Datum
hd_sla_sql_business_at(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hd_sla_lane_at(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/*
 * hd_sla_sql_business_instant
 *		SQL: _business_instant(lane, b).
 */
Datum
hd_sla_sql_business_instant(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(hd_sla_lane_instant(PG_GETARG_INT32(0), PG_GETARG_INT64(1)));
}

/*
 * hd_sla_sql_business_past
 *		SQL: _business_past(lane, now).
 */
Datum
hd_sla_sql_business_past(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hd_sla_lane_past(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}
