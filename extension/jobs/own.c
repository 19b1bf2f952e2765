/*-------------------------------------------------------------------------
 * own.c
 *		What is the server's own: kinds, queues and flows of jobs that only its
 *		own functions enqueue.
 *
 * Model: see own.h.  Names are compared when a session reads what is known of
 * a kind or a queue (kinds.c), not at each enqueue; a flow, which few jobs
 * have, by its first letters.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/own.h"

#include "fmgr.h"
#include "jobs/place.h"
#include "utils/builtins.h"

#define SENDERS_QUEUE "webhooks"

static const struct
{
	const char *kind;
	const char *queue;
	const char *maker; /* the function to use instead */
} own_kinds[] = {
	{"webhook.delivery", SENDERS_QUEUE, "event_publish"},
	{"http.request", SENDERS_QUEUE, "http_request"},
};

static const char *const own_queues[] = {SENDERS_QUEUE};

/* Limits of a receiver are those of its flow, whoever's jobs are in it. */
static const char *const own_flows[] = {"endpoint:", HD_JOB_FAIR_PREFIX};

PG_FUNCTION_INFO_V1(hd_jobs_sql_own_refuse);

static int
find_kind(const char *kind)
{
	for (int i = 0; i < lengthof(own_kinds); i++)
		if (strcmp(kind, own_kinds[i].kind) == 0)
			return i;
	return -1;
}

const char *
hd_jobs_own_queue_of(const char *kind)
{
	int i = find_kind(kind);

	return (i < 0) ? NULL : own_kinds[i].queue;
}

bool
hd_jobs_own_is_queue(const char *queue)
{
	for (int i = 0; i < lengthof(own_queues); i++)
		if (strcmp(queue, own_queues[i]) == 0)
			return true;
	return false;
}

void
hd_jobs_own_refuse_kind(const char *kind)
{
	int i = find_kind(kind);

	if (i >= 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("jobs of kind \"%s\" are the server's own", kind),
						errhint("Use hotdash.%s.", own_kinds[i].maker)));
}

void
hd_jobs_own_refuse_queue(const char *queue)
{
	if (hd_jobs_own_is_queue(queue))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("queue \"%s\" is the server's own", queue),
				 errhint("Use hotdash.event_publish or hotdash.http_request, or name another "
						 "queue.")));
}

void
hd_jobs_own_refuse_flow(const char *flow)
{
	for (int i = 0; i < lengthof(own_flows); i++)
		if (strncmp(flow, own_flows[i], strlen(own_flows[i])) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("flow \"%s\" is the server's own", flow),
					 errhint("Choose a name that does not begin with \"%s\".", own_flows[i])));
}

/*
 * hd_jobs_sql_own_refuse
 *		SQL: _job_refuse_own(kind text, queue text): raises 42501; either may be
 *		null.
 */
Datum
hd_jobs_sql_own_refuse(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		hd_jobs_own_refuse_kind(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (!PG_ARGISNULL(1))
		hd_jobs_own_refuse_queue(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}
