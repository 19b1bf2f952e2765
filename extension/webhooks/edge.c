/*-------------------------------------------------------------------------
 * edge.c
 *		What the edge needs and SQL cannot do: to wait.
 *
 * Model: the rest of the edge's protocol is in sql/webhooks_edge.sql.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/duration.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/jobs.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_edge_wait);

/*
 * hd_webhooks_sql_edge_wait
 *		SQL: CALL edge_wait(wait, INOUT ready); a minute when not given.
 */
Datum
hd_webhooks_sql_edge_wait(PG_FUNCTION_ARGS)
{
	char *queues[] = {"webhooks"};
	int64 wait = USECS_PER_MINUTE;
	TupleDesc desc;
	Datum value;
	bool isnull = false;

	if (!PG_ARGISNULL(0))
		wait = hd_duration_us(PG_GETARG_INTERVAL_P(0), "wait", 0);
	value = BoolGetDatum(hd_jobs_wait(fcinfo, queues, lengthof(queues), wait));

	/* Only now: the wait ended the transaction in which it was called. */
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &isnull)));
}
