/*
 * report.c
 *	  Tells the database what became of requests: results, leases, and what goes back.
 *
 * Model: results gather in a list for report_delay, or until report_batch of them are
 * there; then one statement reports them, in one transaction. While it is out the next
 * ones gather. They leave the list when the database has confirmed them, so a lost
 * connection means that they are sent again; the tokens tell the database which of
 * them it knows already, and those come back as they were the first time.
 *
 * A batch that the database refuses because of its content is halved until the one at
 * fault is alone; that one is dropped, with an error in the log, and its lease sees to the rest.
 * Any other refusal (no such function, read-only, shutting down …) is waited out.
 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "metrics.h"

/* A report ends where the answers in it, which may be kept whole, come to this. */
#define REPORT_BYTES (4 * 1024 * 1024)

typedef enum Statement
{
	STATEMENT_REPORT,
	STATEMENT_RENEW,
	STATEMENT_RELEASE
} Statement;

static const HdDbStatement statements[] = {
	[STATEMENT_REPORT] = {"edge_report", "SELECT id, state FROM hotdash.edge_report($1, $2)", 2, 0},
	[STATEMENT_RENEW] = {"edge_renew", "SELECT id, state FROM hotdash.edge_renew($1, $2, $3, $4)",
						 4, 0},
	[STATEMENT_RELEASE] = {"edge_release", "SELECT hotdash.edge_release($1, $2, $3)", 3, 0},
};

/* Tickets that wait for one statement; the first `out` are in the one under way. */
typedef struct TicketQueue
{
	HdTicket *tickets;
	size_t count;
	size_t size;
	size_t out;
} TicketQueue;

struct HdReporter
{
	const HdConfig *config;
	HdReporterCallbacks callbacks;
	HdDb *db;
	HdTimer gather;
	HdResult *head;
	HdResult *tail;
	size_t count;  /* results in the list */
	size_t bytes;  /* of them */
	size_t out;	   /* the first of them, in the report under way */
	size_t limit;  /* results in one report; below report_batch after a refusal */
	int64_t since; /* when the oldest result that is not out was added */
	bool hurry;
	TicketQueue releases;
	TicketQueue renewals;
	int64_t renew_lease_us;
	int64_t renew_sent_at;
};

static void send_next(HdReporter *reporter);

static void
note_backlog(const HdReporter *reporter)
{
	hd_metrics_set(HD_METRIC_BACKLOG, (int64_t) hd_reporter_backlog(reporter));
}

/* ---- tickets ---- */

static bool
push_ticket(TicketQueue *queue, HdTicket ticket)
{
	if (queue->count == queue->size)
	{
		size_t size = queue->size == 0 ? 64 : queue->size * 2;
		HdTicket *tickets = realloc(queue->tickets, size * sizeof(*tickets));

		if (tickets == NULL)
			return false;
		queue->tickets = tickets;
		queue->size = size;
	}
	queue->tickets[queue->count++] = ticket;
	return true;
}

static void
pop_tickets(TicketQueue *queue)
{
	memmove(queue->tickets, queue->tickets + queue->out,
			(queue->count - queue->out) * sizeof(*queue->tickets));
	queue->count -= queue->out;
	queue->out = 0;
}

/* The queue's ids, or its tokens, as a bigint[] literal; NULL when memory is short. */
static char *
array_text(const TicketQueue *queue, bool tokens)
{
	enum
	{
		NUMBER_BYTES = 21
	};
	size_t size = queue->count * NUMBER_BYTES + 3;
	char *text = malloc(size);
	size_t used = 1;

	if (text == NULL)
		return NULL;
	text[0] = '{';
	for (size_t i = 0; i < queue->count; i++)
	{
		int length = snprintf(text + used, size - used, "%s%" PRId64, i > 0 ? "," : "",
							  tokens ? queue->tickets[i].token : queue->tickets[i].id);

		used += (size_t) length;
	}
	text[used++] = '}';
	text[used] = '\0';
	return text;
}

/* ---- answers ---- */

/* Is it the content of the report that the database objects to, so that trying again is no use? */
static bool
is_content_error(const char *sqlstate)
{
	static const char *const waited_out[] = {"08", "0A", "25", "26", "28", "3D", "3F",
											 "40", "42", "53", "55", "57", "58"};

	for (size_t i = 0; i < HD_COUNT(waited_out); i++)
	{
		if (strncmp(sqlstate, waited_out[i], 2) == 0)
			return false;
	}
	return *sqlstate != '\0';
}

static void
drop_first(HdReporter *reporter)
{
	HdResult *result = reporter->head;

	reporter->head = result->next;
	if (reporter->head == NULL)
		reporter->tail = NULL;
	reporter->count--;
	reporter->bytes -= hd_result_bytes(result);
	note_backlog(reporter);
	hd_result_free(result);
}

/* The database refused the report under way. */
static void
refused(HdReporter *reporter, const PGresult *result)
{
	const char *sqlstate = hd_db_failure(reporter->db, result, "reporting");
	size_t size = reporter->out;

	reporter->out = 0;
	if (!is_content_error(sqlstate))
		hd_db_reconnect(reporter->db, "reports are refused");
	else if (size > 1)
		reporter->limit = size / 2;
	else
	{
		hd_log(HD_LOG_ERROR, "the result of request %" PRId64 " cannot be reported and is dropped",
			   reporter->head->id);
		drop_first(reporter);
	}
}

static void
confirmed(HdReporter *reporter, const PGresult *result)
{
	int rows = PQntuples(result);
	int lost = 0;

	for (int row = 0; row < rows && PQnfields(result) == 2; row++)
		lost += strcmp(PQgetvalue(result, row, 1), "lost") == 0 ? 1 : 0;
	if (lost > 0)
		hd_log(HD_LOG_WARNING, "%d of %zu results came after their lease had ended", lost,
			   reporter->out);
	for (; reporter->out > 0; reporter->out--)
		drop_first(reporter);
	reporter->limit *= 2;
	if (reporter->limit > (size_t) reporter->config->report_batch)
		reporter->limit = (size_t) reporter->config->report_batch;
}

static void
changed(HdReporter *reporter)
{
	send_next(reporter);
	reporter->callbacks.on_change(reporter->callbacks.context);
}

static void
reported(void *context, const PGresult *result)
{
	HdReporter *reporter = context;

	if (result == NULL)
		reporter->out = 0;
	else if (PQresultStatus(result) == PGRES_TUPLES_OK)
		confirmed(reporter, result);
	else
		refused(reporter, result);
	changed(reporter);
}

static void
released(void *context, const PGresult *result)
{
	HdReporter *reporter = context;

	if (result == NULL)
		reporter->releases.out = 0;
	else
	{
		/* Refused or not, it is not tried again: leases end by themselves. */
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			(void) hd_db_failure(reporter->db, result, "releasing");
		pop_tickets(&reporter->releases);
	}
	changed(reporter);
}

static void
renewed(void *context, const PGresult *result)
{
	HdReporter *reporter = context;

	pop_tickets(&reporter->renewals);
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		(void) hd_db_failure(reporter->db, result, "renewing leases");
	else if (result != NULL && PQnfields(result) == 2)
	{
		for (int row = 0; row < PQntuples(result); row++)
			reporter->callbacks.on_renewed(reporter->callbacks.context,
										   strtoll(PQgetvalue(result, row, 0), NULL, 10),
										   strcmp(PQgetvalue(result, row, 1), "renewed") == 0,
										   reporter->renew_sent_at);
	}
	changed(reporter);
}

/* ---- sending ---- */

static void
send_tickets(HdReporter *reporter, Statement statement, TicketQueue *queue, HdDbAnswerFn answer)
{
	char *ids = array_text(queue, false);
	char *tokens = array_text(queue, true);
	char lease_ms[24];
	const char *values[] = {reporter->config->name, ids, tokens, lease_ms};

	if (ids == NULL || tokens == NULL)
	{
		/* No memory to tell; their leases speak for them. */
		hd_log(HD_LOG_WARNING, "out of memory: %zu leases are left to end", queue->count);
		queue->count = 0;
		goto out;
	}
	snprintf(lease_ms, sizeof(lease_ms), "%" PRId64, reporter->renew_lease_us / HD_US_PER_MS);
	queue->out = queue->count;
	hd_db_send(reporter->db, statement, values, reporter->config->query_timeout * HD_US_PER_MS,
			   answer);
out:
	free(ids);
	free(tokens);
}

static void
send_report(HdReporter *reporter)
{
	size_t most = (size_t) hd_db_hello(reporter->db)->max_batch;
	size_t size = reporter->count < reporter->limit ? reporter->count : reporter->limit;
	const char *values[2] = {reporter->config->name, NULL};
	char *json;

	if (size > most)
		size = most;
	size = hd_result_list_fit(reporter->head, size, REPORT_BYTES);
	json = hd_result_list_json(reporter->head, size);
	if (json == NULL)
	{
		/* Transfers that end free memory; try again when one has. */
		hd_timer_arm(&reporter->gather, HD_US_PER_S);
		return;
	}
	values[1] = json;
	reporter->out = size;
	reporter->since = hd_clock_us();
	hd_timer_disarm(&reporter->gather);
	hd_db_send(reporter->db, STATEMENT_REPORT, values,
			   reporter->config->query_timeout * HD_US_PER_MS, reported);
	free(json);
}

/* Sends what is most urgent: leases first, then what goes back, then results. */
static void
send_next(HdReporter *reporter)
{
	int64_t due = reporter->since + reporter->config->report_delay * HD_US_PER_MS - hd_clock_us();

	if (!hd_db_ready(reporter->db))
		return;
	if (reporter->renewals.count > 0)
		send_tickets(reporter, STATEMENT_RENEW, &reporter->renewals, renewed);
	else if (reporter->releases.count > 0)
		send_tickets(reporter, STATEMENT_RELEASE, &reporter->releases, released);
	else if (reporter->count == 0)
		return;
	else if (reporter->hurry || due <= 0 || reporter->count >= reporter->limit)
		send_report(reporter);
	else if (!hd_timer_armed(&reporter->gather))
		hd_timer_arm(&reporter->gather, due);
}

static void
gathered(void *context)
{
	send_next(context);
}

/* ---- for the owner ---- */

void
hd_reporter_add(HdReporter *reporter, HdResult *result)
{
	if (reporter->count == reporter->out)
		reporter->since = hd_clock_us();
	result->next = NULL;
	if (reporter->tail != NULL)
		reporter->tail->next = result;
	else
		reporter->head = result;
	reporter->tail = result;
	reporter->count++;
	reporter->bytes += hd_result_bytes(result);
	note_backlog(reporter);
	send_next(reporter);
}

void
hd_reporter_release(HdReporter *reporter, int64_t id, int64_t token)
{
	if (!push_ticket(&reporter->releases, (HdTicket){id, token}))
		hd_log(HD_LOG_WARNING, "out of memory: request %" PRId64 " is left to its lease", id);
	send_next(reporter);
}

bool
hd_reporter_renew(HdReporter *reporter, const HdTicket *tickets, size_t count, int64_t lease_us)
{
	if (reporter->renewals.count > 0)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		if (!push_ticket(&reporter->renewals, tickets[i]))
			break;
	}
	reporter->renew_lease_us = lease_us;
	reporter->renew_sent_at = hd_clock_us();
	send_next(reporter);
	return true;
}

void
hd_reporter_hurry(HdReporter *reporter)
{
	reporter->hurry = true;
	send_next(reporter);
}

size_t
hd_reporter_backlog(const HdReporter *reporter)
{
	return reporter->count + reporter->releases.count;
}

size_t
hd_reporter_bytes(const HdReporter *reporter)
{
	return reporter->bytes;
}

bool
hd_reporter_ready(const HdReporter *reporter)
{
	return hd_db_ready(reporter->db) || hd_db_busy(reporter->db);
}

static void
ready(void *context)
{
	HdReporter *reporter = context;

	/* A renewal from before the break may be about leases that have ended since. */
	reporter->renewals.count = 0;
	changed(reporter);
}

static void
other_protocol(void *context)
{
	const HdReporter *reporter = context;

	reporter->callbacks.on_protocol(reporter->callbacks.context);
}

HdReporter *
hd_reporter_create(HdLoop *loop, const HdConfig *config, const HdReporterCallbacks *callbacks)
{
	HdReporter *reporter = calloc(1, sizeof(*reporter));
	HdDbOptions options = {.label = "report",
						   .name = HD_DB_REPORT,
						   .statements = statements,
						   .statement_count = HD_COUNT(statements)};

	if (reporter == NULL)
		return NULL;
	reporter->config = config;
	reporter->callbacks = *callbacks;
	reporter->limit = (size_t) config->report_batch;
	options.callbacks = (HdDbCallbacks){ready, other_protocol, reporter};
	reporter->db = hd_db_create(loop, config, &options);
	if (reporter->db == NULL || !hd_timer_init(&reporter->gather, loop, gathered, reporter))
	{
		hd_reporter_free(reporter);
		return NULL;
	}
	return reporter;
}

void
hd_reporter_free(HdReporter *reporter)
{
	if (reporter == NULL)
		return;
	hd_db_free(reporter->db);
	hd_timer_free(&reporter->gather);
	while (reporter->count > 0)
		drop_first(reporter);
	free(reporter->releases.tickets);
	free(reporter->renewals.tickets);
	free(reporter);
}

void
hd_reporter_open(HdReporter *reporter)
{
	hd_db_open(reporter->db);
}
