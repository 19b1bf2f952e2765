/*-------------------------------------------------------------------------
 * sets.c
 *		job_kind_set, queue_set, queue_pause and queue_resume.
 *
 * Model: each states a whole object.  They are C because a kind's run_as is
 * checked against whoever really calls: in a SECURITY DEFINER function that
 * is no longer known.
 *
 * Locking: a row of _kind or _queue; readers are told by a relcache message
 * at commit (kinds.c).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/schema.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/backoff.h"
#include "jobs/history.h"
#include "jobs/kinds.h"
#include "jobs/own.h"
#include "limits/limits.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_kind_set);
PG_FUNCTION_INFO_V1(hd_jobs_sql_queue_set);
PG_FUNCTION_INFO_V1(hd_jobs_sql_queue_pause);
PG_FUNCTION_INFO_V1(hd_jobs_sql_queue_resume);

static HdSpiPlan kind_upsert = {
	.sql =
		"INSERT INTO hotdash._kind (kind, handler, queue, run_as, max_attempts, backoff, timeout, "
		"concurrency, concurrency_per_key, payload_schema) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
		"ON CONFLICT (kind) DO UPDATE SET "
		"handler = EXCLUDED.handler, queue = EXCLUDED.queue, run_as = EXCLUDED.run_as, "
		"max_attempts = EXCLUDED.max_attempts, backoff = EXCLUDED.backoff, "
		"timeout = EXCLUDED.timeout, concurrency = EXCLUDED.concurrency, "
		"concurrency_per_key = EXCLUDED.concurrency_per_key, "
		"payload_schema = EXCLUDED.payload_schema",
	.nargs = 10,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, REGROLEOID, INT2OID, JSONBOID, INTERVALOID, INT4OID,
				 INT4OID, JSONBOID},
};

static HdSpiPlan hash_taken = {
	.sql = "SELECT kind FROM hotdash._kind WHERE kind <> $1 AND hotdash._job_kind_hash(kind) = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, INT4OID},
};

static HdSpiPlan queue_upsert = {
	.sql = "INSERT INTO hotdash._queue (queue, paused, notify, concurrency, rate, rate_period, "
		   "alert_at, escalate_at) "
		   "VALUES ($1, false, $2, $3, $4, $5, $6, $7) ON CONFLICT (queue) DO UPDATE SET "
		   "notify = $2, concurrency = $3, rate = $4, rate_period = $5, alert_at = $6, "
		   "escalate_at = $7",
	.nargs = 7,
	.argtypes = {TEXTOID, BOOLOID, INT4OID, INT4OID, INTERVALOID, INT4OID, INT4OID},
};

/* Queue default need not have a row before. */
static HdSpiPlan queue_hold = {
	.sql = "INSERT INTO hotdash._queue (queue, paused, notify) VALUES ($1, $2, false) "
		   "ON CONFLICT (queue) DO UPDATE SET paused = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, BOOLOID},
};

/* The options argument exists from the first day; no option does yet. */
static void
refuse_options(FunctionCallInfo fcinfo, int n)
{
	if (fcinfo->args[n].isnull)
		return;
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(fcinfo->args[n].value)) ||
		JB_ROOT_COUNT(DatumGetJsonbP(fcinfo->args[n].value)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option"),
				 errhint("No option is known to this version; pass an empty object or none.")));
}

/* How many jobs may run at once; null is any number. */
static Datum
concurrency_argument(FunctionCallInfo fcinfo, int n, const char *name, char *null)
{
	*null = 'n';
	if (fcinfo->args[n].isnull)
		return (Datum) 0;
	if (DatumGetInt32(fcinfo->args[n].value) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be at least 1", name),
				 errhint("Leave it out for no limit; queue_pause stops a queue.")));
	*null = ' ';
	return fcinfo->args[n].value;
}

/* handler(jsonb) returns jsonb, a plain function. */
static void
check_handler(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool fits;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function with OID %u does not exist", function)));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	fits = form->pronargs == 1 && form->proargtypes.values[0] == JSONBOID &&
		   form->prorettype == JSONBOID && !form->proretset && form->prokind == PROKIND_FUNCTION;
	ReleaseSysCache(tuple);
	if (!fits)
		ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
						errmsg("%s cannot handle jobs", format_procedure(function)),
						errdetail("A handler takes one jsonb and returns one jsonb.")));
}

/* Who the handler runs as: a role that the caller could become anyway. */
static Oid
run_as_argument(FunctionCallInfo fcinfo, int n)
{
	Oid role;

	if (fcinfo->args[n].isnull)
	{
		if (superuser())
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("a handler does not run as a superuser by default"),
							errhint("Name the role in run_as.")));
		return GetUserId();
	}
	role = DatumGetObjectId(fcinfo->args[n].value);
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role with OID %u does not exist", role)));
	HD_CHECK_CAN_BECOME(GetUserId(), role);
	return role;
}

/* A schema that compiles; null is none. */
static Datum
schema_argument(FunctionCallInfo fcinfo, int n, char *null)
{
	*null = 'n';
	if (fcinfo->args[n].isnull)
		return (Datum) 0;
	hd_schema_free(hd_schema_compile(DatumGetJsonbP(fcinfo->args[n].value), CurrentMemoryContext));
	*null = ' ';
	return fcinfo->args[n].value;
}

static void
check_hash(const char *kind)
{
	Datum values[2];
	HdSpi spi;

	values[0] = CStringGetTextDatum(kind);
	values[1] = Int32GetDatum((int32) hd_jobs_kind_hash(kind, (int) strlen(kind)));
	hd_spi_begin(&spi);
	hd_spi_run(&hash_taken, values, NULL, false, 1);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("name \"%s\" hashes like that of another kind", kind),
						errhint("Choose another name.")));
	hd_spi_end(&spi);
}

/*
 * The queue that is stated, else the default; a kind of the server's own stays
 * in its queue, and no other comes in.
 */
static char *
queue_argument(FunctionCallInfo fcinfo, int n, const char *kind)
{
	const char *own = hd_jobs_own_queue_of(kind);
	char *queue;

	if (fcinfo->args[n].isnull)
		return pstrdup((own != NULL) ? own : HD_JOB_DEFAULT_QUEUE);
	queue = text_to_cstring(DatumGetTextPP(fcinfo->args[n].value));
	(void) hd_jobs_queue_get(queue);
	if (own == NULL)
		hd_jobs_own_refuse_queue(queue);
	else if (strcmp(queue, own) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("kind \"%s\" is the server's own and stays in queue \"%s\"", kind, own)));
	return queue;
}

/* A kind of the server's own is worked by a process beside it, and its payloads are the server's. */
static void
check_own(FunctionCallInfo fcinfo, const char *kind)
{
	if (hd_jobs_own_queue_of(kind) != NULL && !(PG_ARGISNULL(1) && PG_ARGISNULL(9)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("kind \"%s\" is the server's own and can have no handler and no "
							   "payload_schema",
							   kind)));
}

/*
 * hd_jobs_sql_kind_set
 *		SQL: job_kind_set(...).
 */
Datum
hd_jobs_sql_kind_set(PG_FUNCTION_ARGS)
{
	char *kind;
	char *queue;
	int max_attempts = PG_ARGISNULL(4) ? HD_JOB_DEFAULT_ATTEMPTS : PG_GETARG_INT32(4);
	Datum values[10] = {0};
	char nulls[11] = "          ";
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "kind");
	kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hd_jobs_name_check(kind, "kind");
	check_own(fcinfo, kind);
	queue = queue_argument(fcinfo, 2, kind);
	if (max_attempts < 1 || max_attempts > 1000)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_attempts must be between 1 and 1000")));
	values[7] = concurrency_argument(fcinfo, 7, "concurrency", &nulls[7]);
	values[8] = concurrency_argument(fcinfo, 8, "concurrency_per_key", &nulls[8]);
	values[9] = schema_argument(fcinfo, 9, &nulls[9]);
	refuse_options(fcinfo, 11);
	check_hash(kind);

	values[0] = CStringGetTextDatum(kind);
	nulls[1] = nulls[3] = 'n';
	if (!PG_ARGISNULL(1))
	{
		Oid function = PG_GETARG_OID(1);

		check_handler(function);
		values[1] = CStringGetTextDatum(format_procedure_qualified(function));
		values[3] = ObjectIdGetDatum(run_as_argument(fcinfo, 3));
		nulls[1] = nulls[3] = ' ';
	}
	values[2] = CStringGetTextDatum(queue);
	values[4] = Int16GetDatum((int16) max_attempts);
	nulls[5] = PG_ARGISNULL(5) ? 'n' : ' ';
	if (!PG_ARGISNULL(5))
	{
		HdBackoff checked;

		hd_jobs_backoff_parse(PG_GETARG_JSONB_P(5), &checked);
		values[5] = PG_GETARG_DATUM(5);
	}
	nulls[6] = PG_ARGISNULL(6) ? 'n' : ' ';
	if (!PG_ARGISNULL(6))
	{
		(void) hd_duration_us(PG_GETARG_INTERVAL_P(6), "timeout", 1000);
		values[6] = PG_GETARG_DATUM(6);
	}

	hd_spi_begin(&spi);
	hd_spi_run(&kind_upsert, values, nulls, false, 0);
	hd_spi_end(&spi);
	hd_jobs_history_set(kind, PG_ARGISNULL(10) ? NULL : PG_GETARG_INTERVAL_P(10));
	PG_RETURN_VOID();
}

/* The rate and its period, a second unless stated; null is no rate. */
static void
rate_arguments(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	HdLimitPolicy policy;

	nulls[0] = nulls[1] = 'n';
	if (fcinfo->args[2].isnull)
	{
		if (!fcinfo->args[3].isnull)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("rate_period needs a rate")));
		return;
	}
	values[0] = fcinfo->args[2].value;
	values[1] = fcinfo->args[3].isnull
					? DirectFunctionCall3(interval_in, CStringGetDatum("1 second"),
										  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))
					: fcinfo->args[3].value;
	if (DatumGetInt32(values[0]) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("rate must be at least 1"),
						errhint("Leave it out for no limit; queue_pause stops a queue.")));
	policy =
		hd_limits_window_policy(DatumGetInt32(values[0]),
								hd_duration_us(DatumGetIntervalP(values[1]), "rate_period", 1000));
	hd_limits_require_policy(&policy);
	nulls[0] = nulls[1] = ' ';
}

/* At how many ready jobs an alert is raised, and at how many it becomes critical. */
static void
alert_arguments(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	for (int i = 0; i < 2; i++)
	{
		values[i] = fcinfo->args[4 + i].value;
		nulls[i] = fcinfo->args[4 + i].isnull ? 'n' : ' ';
	}
	if (nulls[0] == ' ' && DatumGetInt32(values[0]) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("alert_at must be at least 1")));
	if (nulls[1] == ' ' && nulls[0] == 'n')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("escalate_at needs an alert_at")));
	if (nulls[1] == ' ' && DatumGetInt32(values[1]) <= DatumGetInt32(values[0]))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("escalate_at must be greater than alert_at")));
}

/*
 * hd_jobs_sql_queue_set
 *		SQL: queue_set(...).  Whether the queue is paused stays as it is.
 */
Datum
hd_jobs_sql_queue_set(PG_FUNCTION_ARGS)
{
	Datum values[7] = {0};
	char nulls[8] = "       ";
	char *queue;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "queue");
	queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hd_jobs_name_check(queue, "queue");
	values[0] = CStringGetTextDatum(queue);
	values[1] = BoolGetDatum(!PG_ARGISNULL(6) && PG_GETARG_BOOL(6));
	values[2] = concurrency_argument(fcinfo, 1, "concurrency", &nulls[2]);
	rate_arguments(fcinfo, &values[3], &nulls[3]);
	alert_arguments(fcinfo, &values[5], &nulls[5]);
	refuse_options(fcinfo, 7);
	hd_spi_begin(&spi);
	hd_spi_run(&queue_upsert, values, nulls, false, 0);
	hd_spi_end(&spi);
	PG_RETURN_VOID();
}

static void
set_paused(FunctionCallInfo fcinfo, bool paused)
{
	Datum values[2];
	char *queue;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "queue");
	queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	(void) hd_jobs_queue_get(queue);
	values[0] = CStringGetTextDatum(queue);
	values[1] = BoolGetDatum(paused);
	hd_spi_begin(&spi);
	hd_spi_run(&queue_hold, values, NULL, false, 0);
	hd_spi_end(&spi);
}

/*
 * hd_jobs_sql_queue_pause
 *		SQL: queue_pause(queue).
 */
Datum
hd_jobs_sql_queue_pause(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, true);
	PG_RETURN_VOID();
}

/*
 * hd_jobs_sql_queue_resume
 *		SQL: queue_resume(queue).
 */
Datum
hd_jobs_sql_queue_resume(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, false);
	PG_RETURN_VOID();
}
