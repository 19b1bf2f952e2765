/*-------------------------------------------------------------------------
 * schedule.c
 *		schedule_set and schedule_delete.
 *
 * Model: schedule_set states the whole schedule.  Stating the same times
 * again, as a deployment does, leaves the next time alone, so what was missed
 * meanwhile is still made up for; another expression or zone, or the end of a
 * pause, begins anew from now, but never before what has been fired.
 *
 * Locking: the row, which waits for whoever is firing it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/schedule.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/instance.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "jobs/cron.h"
#include "jobs/jobs.h"
#include "jobs/kinds.h"
#include "jobs/list.h"
#include "jobs/options.h"
#include "jobs/own.h"
#include "jobs/tx.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MAX_NAME 200
#define MAX_ATTEMPTS 1000
#define MAX_MISSED 1000

#define DEFAULT_TIME_ZONE "UTC"
#define DEFAULT_MAX_MISSED 100

/* pg_cron ticks once a minute: what comes by the next tick but one is not late. */
#define DEFAULT_GRACE_US (2 * USECS_PER_MINUTE)

PG_FUNCTION_INFO_V1(hd_jobs_sql_schedule_set);
PG_FUNCTION_INFO_V1(hd_jobs_sql_schedule_delete);

/*
 * Options.
 */

static int
int_option(const char *key, const JsonbValue *value, int low, int high)
{
	char *end;
	char *digits = "";
	long number;

	if (value->type == jbvNumeric)
		digits =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	number = strtol(digits, &end, 10);
	if (*digits == '\0' || *end != '\0' || errno != 0 || number < low || number > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be an integer between %d and %d", key, low, high)));
	return (int) number;
}

static bool
bool_option(const char *key, const JsonbValue *value)
{
	if (value->type != jbvBool)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be true or false", key)));
	return value->val.boolean;
}

static Datum
tags_option(const char *key, const JsonbValue *value)
{
	int n;
	char **strings = hd_jobs_options_strings(key, value, &n);
	Datum *tags = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		tags[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(tags, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
read_option(const char *key, const JsonbValue *value, HdScheduleOptions *options)
{
	if (strcmp(key, "queue") == 0)
		options->queue = hd_jobs_options_string(key, value);
	else if (strcmp(key, "tenant") == 0)
		options->tenant = hd_jobs_options_string(key, value);
	else if (strcmp(key, "order_key") == 0)
		options->order_key = hd_jobs_options_string(key, value);
	else if (strcmp(key, "priority") == 0)
		options->priority = int_option(key, value, 0, HD_JOB_PRIORITIES - 1);
	else if (strcmp(key, "max_attempts") == 0)
		options->max_attempts = int_option(key, value, 1, MAX_ATTEMPTS);
	else if (strcmp(key, "max_missed") == 0)
		options->max_missed = int_option(key, value, 1, MAX_MISSED);
	else if (strcmp(key, "grace") == 0)
		options->grace_us = hd_duration_parse(hd_jobs_options_string(key, value), key, 0);
	else if (strcmp(key, "expires_in") == 0)
		options->expires_us = hd_duration_parse(hd_jobs_options_string(key, value), key, 1000);
	else if (strcmp(key, "paused") == 0)
		options->paused = bool_option(key, value);
	else if (strcmp(key, "tags") == 0)
		options->tags = tags_option(key, value);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option: \"%s\"", key),
				 errhint("Known options are backoff, expires_in, grace, max_attempts, max_missed, "
						 "order_key, paused, priority, queue, tags, tenant, timeout.")));
}

/* Options that job_enqueue reads itself. */
static bool
is_of_job(const char *key)
{
	return strcmp(key, "backoff") == 0 || strcmp(key, "timeout") == 0;
}

static void
keep_of_job(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue name = {.type = jbvString};

	name.val.string.val = unconstify(char *, key);
	name.val.string.len = (int) strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

void
hd_jobs_schedule_options(Jsonb *json, HdScheduleOptions *options)
{
	JsonbParseState *of_job = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	HdJobOptions checked;
	char *key = "";

	memset(options, 0, sizeof(HdScheduleOptions));
	options->priority = -1;
	options->max_missed = DEFAULT_MAX_MISSED;
	options->grace_us = DEFAULT_GRACE_US;
	if (json == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	pushJsonbValue(&of_job, WJB_BEGIN_OBJECT, NULL);
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && is_of_job(key))
			keep_of_job(&of_job, key, &value);
		else if (token == WJB_VALUE)
			read_option(key, &value, options);
	}
	options->of_job = JsonbValueToJsonb(pushJsonbValue(&of_job, WJB_END_OBJECT, NULL));
	hd_jobs_options_parse(options->of_job, &checked);
}

/*
 * The arguments.
 */

/* One of the words, NULL meaning the default, which is returned. */
static char *
word_argument(FunctionCallInfo fcinfo, int n, const char *what, const char *const *words)
{
	char *word;

	if (fcinfo->args[n].isnull)
		return pstrdup(words[0]);
	word = text_to_cstring(DatumGetTextPP(fcinfo->args[n].value));
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return word;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid %s: \"%s\"", what, word),
			 (words[2] != NULL) ? errhint("Use %s, %s or %s.", words[0], words[1], words[2])
								: errhint("Use %s or %s.", words[0], words[1])));
	return NULL;
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	char *name;

	hd_require_arg(fcinfo, 0, "name");
	name = text_to_cstring(DatumGetTextPP(fcinfo->args[0].value));
	if (*name == '\0' || strlen(name) > MAX_NAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a schedule must have 1 to %d bytes", MAX_NAME)));
	for (const char *c = name; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == '\x7f')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("name of a schedule has a control character")));
	return name;
}

/* An object without the key that every fire adds. */
static void
check_payload(Datum datum)
{
	JsonbValue *found;
	Jsonb *payload;

	if (toast_raw_datum_size(datum) - VARHDRSZ > (Size) hd_jobs_setting_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload of a job is larger than %d kB", hd_jobs_setting_max_payload)));
	payload = DatumGetJsonbP(datum);
	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("payload of a schedule must be a JSON object"),
						errdetail("Each job gets the time for which it was planned as key "
								  "\"scheduled_for\" of its payload.")));
	found = getKeyJsonValueFromContainer(&payload->root, "scheduled_for",
										 (int) strlen("scheduled_for"), NULL);
	if (found != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("payload of a schedule must not have the key \"scheduled_for\""),
						errdetail("Each job gets the time for which it was planned under that "
								  "key.")));
}

/*
 * The row.
 */

static HdSpiPlan old_plan = {
	.sql = "SELECT CASE WHEN cron = $3 AND time_zone = $4 AND NOT paused THEN next_at END, "
		   "greatest(last_at, skipped_at, failed_at) "
		   "FROM hotdash._schedule WHERE tenant = $1 AND name = $2 FOR UPDATE",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID},
};

static HdSpiPlan insert_plan = {
	.sql =
		"INSERT INTO hotdash._schedule (tenant, name, cron, time_zone, kind, missed, overlap, "
		"options, payload, paused, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
		"ON CONFLICT DO NOTHING",
	.nargs = 11,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID,
				 BOOLOID, TIMESTAMPTZOID},
};

static HdSpiPlan update_plan = {
	.sql = "UPDATE hotdash._schedule SET cron = $3, time_zone = $4, kind = $5, missed = $6, "
		   "overlap = $7, options = $8, payload = $9, paused = $10, next_at = $11, "
		   "last_error = NULL WHERE tenant = $1 AND name = $2",
	.nargs = 11,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID,
				 BOOLOID, TIMESTAMPTZOID},
};

static HdSpiPlan delete_plan = {
	.sql = "DELETE FROM hotdash._schedule WHERE name = $1 AND hotdash._tenant_sees(tenant)",
	.nargs = 1,
	.argtypes = {TEXTOID},
};

/*
 * Lock the row; values begin with tenant, name, cron and time zone.  Returns
 * false when there is none.  *next: the time that it keeps, DT_NOBEGIN when it
 * begins anew, and then after *after.
 */
static bool
lock_row(Datum *values, TimestampTz *next, TimestampTz *after)
{
	bool found;
	HdSpi spi;

	*next = DT_NOBEGIN;
	*after = hd_clock_now();
	hd_spi_begin(&spi);
	hd_spi_run(&old_plan, values, NULL, false, 1);
	found = SPI_processed > 0;
	if (found)
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		Datum value = SPI_getbinval(tuple, desc, 1, &isnull);

		if (!isnull)
			*next = DatumGetTimestampTz(value);
		value = SPI_getbinval(tuple, desc, 2, &isnull);
		if (!isnull)
			*after = Max(*after, DatumGetTimestampTz(value));
	}
	hd_spi_end(&spi);
	return found;
}

/* Write the row; values are all its columns, the next time last. */
static void
write_row(Datum *values, char *nulls, const HdCron *cron, const pg_tz *zone)
{
	bool written;

	/* What appears between the two statements may have fired already: look again. */
	do
	{
		TimestampTz next;
		TimestampTz after;
		bool found;
		HdSpi spi;

		CHECK_FOR_INTERRUPTS();
		found = lock_row(values, &next, &after);
		if (next == DT_NOBEGIN && !hd_jobs_cron_next(cron, zone, after, &next))
			next = DT_NOEND;
		values[10] = TimestampTzGetDatum(next);
		hd_spi_begin(&spi);
		hd_spi_run(found ? &update_plan : &insert_plan, values, nulls, false, 0);
		written = SPI_processed > 0;
		hd_spi_end(&spi);
	} while (!written);
}

/*
 * hd_jobs_sql_schedule_set
 *		SQL: schedule_set(name, cron, kind, payload, time_zone, missed, overlap,
 *		options).
 */
Datum
hd_jobs_sql_schedule_set(PG_FUNCTION_ARGS)
{
	static const char *const missed_words[] = {"one", "skip", "all", NULL};
	static const char *const overlap_words[] = {"allow", "skip", NULL};
	HdScheduleOptions options;
	HdCron cron;
	pg_tz *zone;
	char *kind;
	Datum values[11] = {0};
	char nulls[12] = "           ";

	values[1] = CStringGetTextDatum(name_argument(fcinfo));
	hd_require_arg(fcinfo, 1, "cron");
	hd_require_arg(fcinfo, 2, "kind");
	hd_jobs_cron_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &cron);
	zone = hd_jobs_cron_zone(PG_ARGISNULL(4) ? DEFAULT_TIME_ZONE
											 : text_to_cstring(PG_GETARG_TEXT_PP(4)));
	kind = text_to_cstring(PG_GETARG_TEXT_PP(2));
	hd_jobs_own_refuse_kind(kind);
	(void) hd_jobs_kind_get(kind);
	hd_jobs_schedule_options(PG_ARGISNULL(7) ? NULL : PG_GETARG_JSONB_P(7), &options);
	if (options.queue != NULL)
	{
		hd_jobs_own_refuse_queue(options.queue);
		(void) hd_jobs_queue_get(options.queue);
	}
	if (!PG_ARGISNULL(3))
		check_payload(PG_GETARG_DATUM(3));

	values[0] = CStringGetTextDatum(hd_settings_tenant(options.tenant));
	values[2] = PG_GETARG_DATUM(1);
	values[3] = CStringGetTextDatum(pg_get_timezone_name(zone));
	values[4] = CStringGetTextDatum(kind);
	values[5] = CStringGetTextDatum(word_argument(fcinfo, 5, "missed", missed_words));
	values[6] = CStringGetTextDatum(word_argument(fcinfo, 6, "overlap", overlap_words));
	values[7] = PG_GETARG_DATUM(7);
	nulls[7] = PG_ARGISNULL(7) ? 'n' : ' ';
	values[8] = PG_GETARG_DATUM(3);
	nulls[8] = PG_ARGISNULL(3) ? 'n' : ' ';
	values[9] = BoolGetDatum(options.paused);
	nulls[10] = options.paused ? 'n' : ' ';

	hd_instance_use();
	write_row(values, nulls, &cron, zone);
	if (hd_settings_preloaded())
		hd_jobs_tx_wake();
	PG_RETURN_VOID();
}

/*
 * hd_jobs_sql_schedule_delete
 *		SQL: schedule_delete(name).
 */
Datum
hd_jobs_sql_schedule_delete(PG_FUNCTION_ARGS)
{
	Datum values[1];
	uint64 deleted;
	char *name;
	HdSpi spi;

	hd_require_arg(fcinfo, 0, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	values[0] = CStringGetTextDatum(name);
	hd_spi_begin(&spi);
	hd_spi_run(&delete_plan, values, NULL, false, 0);
	deleted = SPI_processed;
	hd_spi_end(&spi);
	if (deleted == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("schedule \"%s\" does not exist", name)));
	if (deleted > 1)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("several tenants have a schedule \"%s\"", name),
						errhint("Say which by setting hotdash.tenant.")));
	PG_RETURN_VOID();
}
