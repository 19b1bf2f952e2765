/*
 * desk.c
 *	  The listener's side of the database: a connection of its own, and who waits for it.
 *
 * Model: one statement at a time. Health and metrics are snapshots that hold for a second,
 * so a flood of probes costs the server one statement a second, and everybody who asks while
 * one is being made gets that one. Inbound requests stand in a queue. While the
 * database is away nobody waits: a sender that is told so comes back by itself.
 *
 * A connection that was lost leaves open whether the request under way was taken in. It is
 * answered with a 503, the sender sends it again under the same id, and the database knows it.
 *
 * The functions may be missing (an older extension) or not granted: then their routes say 503
 * and the others work.
 */
#include "desk.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "metrics.h"

#define SNAPSHOT_US HD_US_PER_S
#define MISSING_US (60 * HD_US_PER_S)
#define LOG_EVERY_US HD_US_PER_S

typedef enum Statement
{
	STATEMENT_HEALTH,
	STATEMENT_METRICS,
	STATEMENT_IN
} Statement;

static const HdDbStatement statements[] = {
	[STATEMENT_HEALTH] = {"health", "SELECT h ->> 'status', h::text FROM hotdash.health() AS h", 0,
						  0},
	[STATEMENT_METRICS] = {"metrics", "SELECT hotdash.metrics()", 0, 0},
	[STATEMENT_IN] = {"inbound_receive",
					  "SELECT accepted, status, message_id, reason "
					  "FROM hotdash.inbound_receive($1::text, $2::jsonb, $3::bytea)",
					  3, 0},
};

/* The last answer to a question that many ask. */
typedef struct Snapshot
{
	int64_t good_until;
	int status;
	char *text; /* owned; NULL: none */
	HdTask *waiting;
} Snapshot;

struct HdDesk
{
	const HdConfig *config;
	HdDb *db;
	bool stopping;
	int64_t logged_at;
	Snapshot health;
	Snapshot metrics; /* the database's part of them */
	HdTask *in_head;
	HdTask *in_tail;
	HdTask *in_out; /* its statement is under way */
};

static void send_next(HdDesk *desk);

static const char unreachable[] =
	"{\"status\":\"unhealthy\",\"checks\":{},\"error\":\"the database cannot be reached\"}";
static const char refused[] =
	"{\"status\":\"unhealthy\",\"checks\":{},\"error\":\"the database refused to tell\"}";
static const char going[] = "{\"status\":\"stopping\",\"checks\":{}}";

/* ---- answers ---- */

static void
finish(HdTask *task)
{
	task->next = NULL;
	task->done(task);
}

static void
answer_health(HdTask *task, int status, const char *text)
{
	hd_reply_set(&task->reply, status, strdup(text), HD_REPLY_JSON);
	finish(task);
}

/* The edge's own part, then the database's, if there is one. */
static void
answer_metrics(HdTask *task, const char *more)
{
	char *own = hd_metrics_text();
	char *text = own;
	size_t length = own != NULL ? strlen(own) : 0;

	if (own != NULL && more != NULL)
	{
		text = realloc(own, length + strlen(more) + 2);
		if (text == NULL)
			free(own);
		else
			memcpy(text + length, more, strlen(more) + 1);
	}
	hd_reply_set(&task->reply, 200, text, HD_REPLY_PROMETHEUS);
	finish(task);
}

static void
answer_snapshot(HdTask *task, const Snapshot *snapshot)
{
	if (task->kind == HD_TASK_METRICS)
		answer_metrics(task, snapshot->text);
	else if (snapshot->text != NULL)
		answer_health(task, snapshot->status, snapshot->text);
	else
		answer_health(task, 503, refused);
}

static void
answer_away(HdTask *task)
{
	if (task->kind == HD_TASK_METRICS)
		answer_metrics(task, NULL);
	else if (task->kind == HD_TASK_HEALTH)
		answer_health(task, 503, unreachable);
	else
	{
		hd_reply_error(&task->reply, 503, "the database cannot be reached");
		finish(task);
	}
}

/* Hands out one snapshot to all who waited for it; they may not ask again from within. */
static void
take_snapshot(Snapshot *snapshot, int status, const char *text, int64_t good_us)
{
	HdTask *waiting = snapshot->waiting;

	free(snapshot->text);
	snapshot->text = text != NULL ? strdup(text) : NULL;
	snapshot->status = status;
	snapshot->good_until = hd_clock_us() + good_us;
	snapshot->waiting = NULL;
	while (waiting != NULL)
	{
		HdTask *next = waiting->next;

		answer_snapshot(waiting, snapshot);
		waiting = next;
	}
}

static HdTask *
pop_in(HdDesk *desk)
{
	HdTask *task = desk->in_head;

	if (task != NULL)
		desk->in_head = task->next;
	if (desk->in_head == NULL)
		desk->in_tail = NULL;
	return task;
}

static void
send_all_away(HdDesk *desk)
{
	HdTask *task;

	while ((task = desk->health.waiting) != NULL)
	{
		desk->health.waiting = task->next;
		answer_away(task);
	}
	while ((task = desk->metrics.waiting) != NULL)
	{
		desk->metrics.waiting = task->next;
		answer_away(task);
	}
	while ((task = pop_in(desk)) != NULL)
		answer_away(task);
}

/* ---- what the database says ---- */

/* SQLSTATE of a refusal; logged once in a while, since strangers can provoke it. */
static const char *
note_refusal(HdDesk *desk, const PGresult *result, Statement statement)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (desk->logged_at == 0 || hd_clock_us() - desk->logged_at >= LOG_EVERY_US)
	{
		desk->logged_at = hd_clock_us();
		(void) hd_db_failure(desk->db, result, statements[statement].name);
	}
	return state != NULL ? state : "";
}

static const char *
text_of(const PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static void
health_told(void *context, const PGresult *result)
{
	HdDesk *desk = context;

	if (result == NULL)
	{
		send_all_away(desk);
		return;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
		text_of(result, 0) == NULL)
	{
		(void) note_refusal(desk, result, STATEMENT_HEALTH);
		take_snapshot(&desk->health, 503, NULL, SNAPSHOT_US);
	}
	else
	{
		bool good = strcmp(PQgetvalue(result, 0, 0), "healthy") == 0 ||
					strcmp(PQgetvalue(result, 0, 0), "degraded") == 0;

		take_snapshot(&desk->health, good ? 200 : 503, PQgetvalue(result, 0, 1), SNAPSHOT_US);
	}
	send_next(desk);
}

/* An extension without the function: no error, and nothing that changes within a second. */
static bool
is_missing(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, "42883") == 0;
}

static void
metrics_told(void *context, const PGresult *result)
{
	HdDesk *desk = context;

	if (result == NULL)
	{
		send_all_away(desk);
		return;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		take_snapshot(&desk->metrics, 200, text_of(result, 0), SNAPSHOT_US);
	else if (is_missing(result))
		take_snapshot(&desk->metrics, 200, NULL, MISSING_US);
	else
	{
		(void) note_refusal(desk, result, STATEMENT_METRICS);
		take_snapshot(&desk->metrics, 200, NULL, SNAPSHOT_US);
	}
	send_next(desk);
}

/* A sender that asks whose URL this is wants to hear what it said, and nothing else. */
static bool
is_challenge(const PGresult *result, long status)
{
	const char *reason = text_of(result, 3);

	return status == 200 && reason != NULL && strcmp(reason, "challenge") == 0 &&
		   text_of(result, 2) != NULL;
}

static void
read_receipt(const PGresult *result, HdReply *reply)
{
	const char *status_text = text_of(result, 1);
	long status = status_text != NULL ? strtol(status_text, NULL, 10) : 0;

	if (status < 200 || status > 599)
		hd_reply_error(reply, 500, "the database gave no status");
	else if (is_challenge(result, status))
		hd_reply_set(reply, 200, strdup(text_of(result, 2)), HD_REPLY_TEXT);
	else
		hd_reply_receipt(reply, (int) status, *PQgetvalue(result, 0, 0) == 't', text_of(result, 2),
						 text_of(result, 3));
}

static void
received(void *context, const PGresult *result)
{
	HdDesk *desk = context;
	HdTask *task = desk->in_out;

	desk->in_out = NULL;
	if (result == NULL)
	{
		answer_away(task);
		send_all_away(desk);
		return;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
		PQnfields(result) == 4)
		read_receipt(result, &task->reply);
	else if (strncmp(note_refusal(desk, result, STATEMENT_IN), "22", 2) == 0)
		hd_reply_error(&task->reply, 400, "the database cannot read this request");
	else
		hd_reply_error(&task->reply, 503, "the database cannot take this request now");
	finish(task);
	send_next(desk);
}

/* ---- asking ---- */

static int64_t
time_limit(const HdDesk *desk)
{
	return desk->config->listen_timeout * HD_US_PER_MS;
}

static void
send_in(HdDesk *desk, HdTask *task)
{
	const char *values[] = {task->source, task->headers, task->body != NULL ? task->body : ""};
	int lengths[] = {0, 0, (int) task->body_length};
	int formats[] = {0, 0, 1};
	HdDbValues arguments = {values, lengths, formats};

	desk->in_out = task;
	hd_db_send_values(desk->db, STATEMENT_IN, &arguments, time_limit(desk), received);
}

static void
send_next(HdDesk *desk)
{
	HdTask *task;

	if (!hd_db_ready(desk->db))
		return;
	if (desk->health.waiting != NULL)
		hd_db_send(desk->db, STATEMENT_HEALTH, NULL, time_limit(desk), health_told);
	else if (desk->metrics.waiting != NULL)
		hd_db_send(desk->db, STATEMENT_METRICS, NULL, time_limit(desk), metrics_told);
	else if ((task = pop_in(desk)) != NULL)
		send_in(desk, task);
}

static void
ask_snapshot(Snapshot *snapshot, HdTask *task)
{
	if (hd_clock_us() < snapshot->good_until)
		answer_snapshot(task, snapshot);
	else
	{
		task->next = snapshot->waiting;
		snapshot->waiting = task;
	}
}

void
hd_desk_ask(HdDesk *desk, HdTask *task)
{
	task->since = hd_clock_us();
	task->next = NULL;
	if (desk->stopping && task->kind == HD_TASK_HEALTH)
		answer_health(task, 503, going);
	else if (!hd_desk_ready(desk))
		answer_away(task);
	else if (task->kind == HD_TASK_HEALTH)
		ask_snapshot(&desk->health, task);
	else if (task->kind == HD_TASK_METRICS)
		ask_snapshot(&desk->metrics, task);
	else
	{
		if (desk->in_tail != NULL)
			desk->in_tail->next = task;
		else
			desk->in_head = task;
		desk->in_tail = task;
	}
	send_next(desk);
}

void
hd_desk_expire(HdDesk *desk, int64_t before)
{
	while (desk->in_head != NULL && desk->in_head->since < before)
	{
		HdTask *task = pop_in(desk);

		hd_reply_error(&task->reply, 503, "the database has no time for this request");
		finish(task);
	}
}

/* ---- for the owner ---- */

static void
ready(void *context)
{
	HdDesk *desk = context;

	/* Another server, perhaps: what the last one said does not hold for it. */
	desk->health.good_until = 0;
	desk->metrics.good_until = 0;
}

HdDesk *
hd_desk_create(HdLoop *loop, const HdConfig *config)
{
	HdDesk *desk = calloc(1, sizeof(*desk));
	HdDbOptions options = {.label = "listener",
						   .name = HD_DB_LISTENER,
						   .guest_database = config->listen_database[0] != '\0'
												 ? config->listen_database
												 : config->database,
						   .query_timeout_us = config->listen_timeout * HD_US_PER_MS,
						   .statements = statements,
						   .statement_count = HD_COUNT(statements)};

	if (desk == NULL)
		return NULL;
	desk->config = config;
	options.callbacks = (HdDbCallbacks){ready, NULL, desk};
	desk->db = hd_db_create(loop, config, &options);
	if (desk->db == NULL)
	{
		free(desk);
		return NULL;
	}
	return desk;
}

void
hd_desk_free(HdDesk *desk)
{
	if (desk == NULL)
		return;
	hd_db_free(desk->db);
	free(desk->health.text);
	free(desk->metrics.text);
	free(desk);
}

void
hd_desk_open(HdDesk *desk)
{
	hd_db_open(desk->db);
}

bool
hd_desk_ready(const HdDesk *desk)
{
	return hd_db_ready(desk->db) || hd_db_busy(desk->db);
}

void
hd_desk_stopping(HdDesk *desk)
{
	desk->stopping = true;
}

void
hd_desk_stop(HdDesk *desk)
{
	HdTask *out = desk->in_out;

	hd_db_close(desk->db);
	desk->in_out = NULL;
	if (out != NULL)
		answer_away(out);
	send_all_away(desk);
}
