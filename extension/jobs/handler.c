/*-------------------------------------------------------------------------
 * handler.c
 *		Running a job's SQL handler.
 *
 * Model: claim, effect and completion are one transaction, so the effect of
 * a handler in the database happens exactly once.  The handler runs in a
 * subtransaction: when it fails, its effects go and the failed attempt is
 * recorded in the same transaction.  If the server dies meanwhile, the
 * ledger knows that the handler was running and the attempt is charged.
 *
 * Security: the handler runs as its kind's role, in a context in which SET
 * ROLE and SET SESSION AUTHORIZATION are refused.  Before the engine takes
 * over again, whatever the handler left for the end of the transaction has
 * happened as that role: deferred triggers are fired, in rounds until none
 * is left, cursors WITH HOLD, which would run at commit, are closed, and its
 * settings are undone.  Temporary objects would outlive the transaction and
 * shadow names for whoever uses the session next: once a handler touched the
 * session's temporary schema, everything in it is dropped.
 *
 * Locking: none beyond what claiming and finishing take.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/handler.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "core/clock.h"
#include "core/compat.h"
#include "executor/instrument.h"
#include "fmgr.h"
#include "jobs/cancel.h"
#include "jobs/claim.h"
#include "jobs/cursors.h"
#include "jobs/finish.h"
#include "jobs/kinds.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* Nobody renews the lease of a handler: it lasts as long as its transaction. */
#define HANDLER_LEASE DT_NOEND

typedef struct HandledJob
{
	bool found;
	int64 id;
	int64 token;
	int timeout_ms;
	char *kind;
	char *tenant;
	Jsonb *json; /* what the handler gets */
} HandledJob;

static volatile sig_atomic_t timed_out = false;
static TimeoutId handler_timeout = MAX_TIMEOUTS;

static void
on_timeout(void)
{
	timed_out = true;
	kill(MyProcPid, SIGINT);
}

/*
 * What the handler gets.
 */

static void
add(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue name = {.type = jbvString};

	name.val.string.val = unconstify(char *, key);
	name.val.string.len = (int) strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
add_text(JsonbParseState **state, const char *key, char *text)
{
	JsonbValue value = {.type = jbvNull};

	if (text != NULL)
	{
		value.type = jbvString;
		value.val.string.val = text;
		value.val.string.len = (int) strlen(text);
	}
	add(state, key, &value);
}

static void
add_int(JsonbParseState **state, const char *key, int number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	add(state, key, &value);
}

static void
add_payload(JsonbParseState **state, HdJobTable *table)
{
	bool isnull;
	Datum payload = hd_jobs_table_column(table, HD_JOB_COL_PAYLOAD, &isnull);
	JsonbValue value = {.type = jbvNull};

	if (!isnull)
		JsonbToJsonbValue(DatumGetJsonbPCopy(payload), &value);
	add(state, "payload", &value);
}

static Jsonb *
describe(HdJobTable *table, int64 id)
{
	JsonbParseState *state = NULL;
	JsonbValue *object;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	add_text(&state, "id", psprintf(INT64_FORMAT, id));
	add_text(&state, "kind", hd_jobs_table_text(table, HD_JOB_COL_KIND));
	add_text(&state, "queue", hd_jobs_table_text(table, HD_JOB_COL_QUEUE));
	add_text(&state, "tenant", hd_jobs_table_text(table, HD_JOB_COL_TENANT));
	add_text(&state, "traceparent", hd_jobs_table_text(table, HD_JOB_COL_TRACEPARENT));
	add_int(&state, "attempt",
			DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_ATTEMPT, NULL)) + 1);
	add_int(&state, "max_attempts",
			DatumGetInt16(hd_jobs_table_column(table, HD_JOB_COL_MAX_ATTEMPTS, NULL)));
	add_payload(&state, table);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(object);
}

static void
remember(HdJobTable *table, int64 token, TimestampTz expires, void *arg)
{
	HandledJob *job = arg;
	bool isnull;
	Datum timeout = hd_jobs_table_column(table, HD_JOB_COL_TIMEOUT, &isnull);

	job->found = true;
	job->id = DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL));
	job->token = token;
	job->timeout_ms = isnull ? 0 : DatumGetInt32(timeout);
	job->kind = hd_jobs_table_text(table, HD_JOB_COL_KIND);
	job->tenant = hd_jobs_table_text(table, HD_JOB_COL_TENANT);
	job->json = describe(table, job->id);
}

/*
 * Running it.
 */

/* What a kind must have for its jobs to be run here. */
static void
check_handler(const HdJobKind *kind)
{
	if (kind->handler == NULL || !OidIsValid(kind->run_as))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("job kind \"%s\" has no handler any more", kind->kind)));
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(kind->run_as)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the role that handlers of kind \"%s\" run as was dropped", kind->kind)));
}

/* The handler's oid, found and allowed to be executed as its role, which is the current user. */
static Oid
resolve_handler(const HdJobKind *kind)
{
	Oid function =
		DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(kind->handler)));

	if (!HD_MAY_EXECUTE(function, kind->run_as))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" may not execute %s",
							   GetUserNameFromId(kind->run_as, false), kind->handler)));
	return function;
}

/* A tenant's job sees and enqueues for that tenant alone; it belongs to the caller's settings level. */
static void
bind_to_tenant(const char *tenant)
{
	if (tenant[0] != '\0')
		(void) set_config_option("hotdash.tenant", tenant, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Call the handler as its role, and let everything it deferred happen as that role. */
static Jsonb *
call_as_role(const HdJobKind *kind, const HandledJob *job)
{
	FmgrInfo function;
	LOCAL_FCINFO(fcinfo, 1);
	Oid saved_user;
	int saved_security;
	int guc_level;
	Datum result;

	check_handler(kind);
	GetUserIdAndSecContext(&saved_user, &saved_security);
	guc_level = NewGUCNestLevel();
	bind_to_tenant(job->tenant);
	SetUserIdAndSecContext(kind->run_as, saved_security | SECURITY_LOCAL_USERID_CHANGE);
	fmgr_info(resolve_handler(kind), &function);

	hd_jobs_cursors_watch();
	PushActiveSnapshot(GetTransactionSnapshot());
	InitFunctionCallInfoData(*fcinfo, &function, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(job->json);
	fcinfo->args[0].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	PopActiveSnapshot();
	AfterTriggerFireDeferred();
	hd_jobs_cursors_close();
	if (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE)
		ResetTempTableNamespace();

	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(saved_user, saved_security);
	return fcinfo->isnull ? NULL : DatumGetJsonbPCopy(result);
}

static void
arm_timeout(int timeout_ms)
{
	timed_out = false;
	if (timeout_ms <= 0)
		return;
	if (handler_timeout == MAX_TIMEOUTS)
		handler_timeout = RegisterTimeout(USER_TIMEOUT, on_timeout);
	enable_timeout_after(handler_timeout, timeout_ms);
}

/* A cancel that the timeout asked for and nobody took notice of must not hit what comes next. */
static void
disarm_timeout(int timeout_ms)
{
	if (timeout_ms > 0)
		disable_timeout(handler_timeout, false);
	if (timed_out)
		QueryCancelPending = false;
}

/*
 * Whether the session was cancelled from outside, which is not the handler's
 * failure.  A handler can raise the same SQLSTATE, and must be charged then.
 */
static bool
is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed_out && error->funcname != NULL &&
		   strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/* SQLSTATE, message, detail and where it happened, as the attempt's error. */
static char *
error_text(const ErrorData *error, int timeout_ms)
{
	StringInfoData text;

	initStringInfo(&text);
	if (timed_out)
		appendStringInfo(&text, "57014: the handler ran longer than its timeout of %d ms",
						 timeout_ms);
	else
		appendStringInfo(&text, "%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
	if (error->detail != NULL)
		appendStringInfo(&text, "\nDETAIL: %s", error->detail);
	if (error->context != NULL)
		appendStringInfo(&text, "\nCONTEXT: %s", error->context);
	return text.data;
}

/*
 * What the process has used so far: work that it does for the job, and none
 * that others do for it (parallel workers).
 */
static HdJobCost
cost_so_far(void)
{
	struct rusage usage;
	HdJobCost cost = {0, (int64) pgWalUsage.wal_bytes};

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		cost.cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * USECS_PER_SEC +
					  usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
	return cost;
}

/* How a handler's run ended. */
typedef struct Outcome
{
	Jsonb *result;
	char *error;  /* NULL: none */
	bool stopped; /* interrupted, since the job is to be cancelled */
	HdJobCost cost;
} Outcome;

/*
 * Call the handler; until it is back, its timeout and a cancel of its job
 * interrupt it.  Raises an error when either did, also if the handler took
 * no notice.
 */
static Jsonb *
call_interruptibly(const HdJobKind *kind, const HandledJob *job, int timeout_ms)
{
	Jsonb *result;
	bool stopped;

	hd_jobs_cancel_watch(job->id, job->token);
	arm_timeout(timeout_ms);
	result = call_as_role(kind, job);
	HOLD_INTERRUPTS();
	disarm_timeout(timeout_ms);
	stopped = hd_jobs_cancel_unwatch(job->id, job->token);
	RESUME_INTERRUPTS();
	if (timed_out || stopped)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("handler interrupted")));
	return result;
}

/*
 * The handler's error was caught: undo what it did, and judge.  Errors that
 * are not its own go on.
 */
static void
handler_failed(const HandledJob *job, int timeout_ms, MemoryContext context, ResourceOwner owner,
			   Outcome *outcome)
{
	ErrorData *data;

	HOLD_INTERRUPTS();
	disarm_timeout(timeout_ms);
	MemoryContextSwitchTo(context);
	data = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	outcome->stopped = hd_jobs_cancel_unwatch(job->id, job->token);
	RESUME_INTERRUPTS();
	if (is_cancel(data))
	{
		if (!outcome->stopped)
			ReThrowError(data);
		return;
	}
	outcome->stopped = outcome->stopped && data->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed_out;
	if (!outcome->stopped)
		outcome->error = error_text(data, timeout_ms);
}

static void
record(const HandledJob *job, const Outcome *outcome)
{
	HdJobTable table;

	hd_jobs_table_open(&table, false);
	table.cost = &outcome->cost;
	if (outcome->stopped)
		hd_jobs_finish_stopped(&table, job->id, job->token);
	else if (outcome->error != NULL)
		(void) hd_jobs_finish_failed(&table, job->id, job->token, outcome->error, -1, false);
	else
		(void) hd_jobs_finish_complete(&table, job->id, job->token, outcome->result);
	hd_jobs_table_close(&table);
}

/* Run one claimed job and record how it ended, all in the current transaction. */
static void
run_job(HandledJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	HdJobKind kind = *hd_jobs_kind_get(job->kind);
	int timeout_ms =
		(job->timeout_ms > 0) ? job->timeout_ms : (int) Min(kind.timeout_us / 1000, INT_MAX);
	HdJobCost before = cost_so_far();
	volatile Outcome outcome = {0};
	Outcome known;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		outcome.result = call_interruptibly(&kind, job, timeout_ms);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		handler_failed(job, timeout_ms, context, owner, (Outcome *) &outcome);
	}
	PG_END_TRY();

	known = outcome;
	known.cost = cost_so_far();
	known.cost.cpu_us -= before.cpu_us;
	known.cost.wal_bytes -= before.wal_bytes;
	record(job, &known);
}

bool
hd_jobs_handler_next(const HdJobQueues *wanted)
{
	HdJobClaim claim = {.queues = *wanted, .batch = 1};
	HandledJob job = {0};
	HdJobTable table;

	claim.hold.worker = psprintf("job_work pid %d", MyProcPid);
	claim.hold.now = hd_clock_now();
	claim.hold.expires = HANDLER_LEASE;
	claim.hold.handler = true;
	hd_jobs_table_open(&table, false);
	(void) hd_jobs_claim_run(&table, &claim, remember, &job);
	hd_jobs_table_close(&table);
	if (job.found)
		run_job(&job);
	return job.found;
}
