/*
 * db.c
 *	  One asynchronous connection to the database that comes back by itself.
 *
 * A session is set up in steps, one statement each: SETUP_SESSION, SETUP_HELLO, then one
 * PREPARE a statement. Prepared statements and the greeting belong to a session, so a
 * new session, perhaps with another server after a failover, starts at the first step.
 *
 * The delay between attempts grows until a statement of the owner has succeeded: a
 * server that lets us in and then refuses everything is not hammered.
 *
 * Caveat: libpq resolves the server's own name with a blocking call while it connects;
 * give hostaddr, or an address as host, where that name server may be slow.
 */
#include "db.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backoff.h"
#include "clock.h"
#include "conninfo.h"
#include "log.h"

#define RECONNECT_FIRST_US (100 * HD_US_PER_MS)
#define RECONNECT_LONGEST_US (10 * HD_US_PER_S)
#define CONNECT_DEADLINE_US (10 * HD_US_PER_S)
#define DEFAULT_BACKSTOP_US (60 * HD_US_PER_S)
#define DEFAULT_MAX_BATCH 512

/* The waiting backend asks this often whether we are still there, also after a SIGKILL. */
#define SETUP_SQL "SET client_connection_check_interval = '5s'"
#define GUEST_SETUP_SQL SETUP_SQL "; SET statement_timeout = %" PRId64
#define HELLO_SQL "SELECT hotdash.edge_hello($1, $2, $3)"

typedef enum DbState
{
	DB_CLOSED,	   /* next: CONNECTING */
	DB_CONNECTING, /* next: SETTING_UP, PAUSED */
	DB_SETTING_UP, /* next: READY, PAUSED, CLOSED */
	DB_READY,	   /* next: BUSY, PAUSED */
	DB_BUSY,	   /* a statement is under way; next: READY, PAUSED */
	DB_PAUSED	   /* waits to reconnect; next: CONNECTING */
} DbState;

typedef enum SetupStep
{
	SETUP_SESSION,
	SETUP_HELLO,
	SETUP_PREPARE /* and on: the index of the statement is added */
} SetupStep;

struct HdDb
{
	HdLoop *loop;
	const HdConfig *config;
	HdDbOptions options;
	DbState state;
	size_t step; /* of SETTING_UP */
	PGconn *conn;
	int watched_fd;	  /* -1: none */
	PGresult *result; /* the answer while it is being collected; owned */
	HdDbAnswerFn answer;
	HdDbHello hello;
	HdTimer retry;	  /* in PAUSED */
	HdTimer deadline; /* of connecting, setting up, or the statement */
	HdBackoff backoff;
	unsigned attempts;	  /* rotates the hosts */
	char last_error[256]; /* logged once, not at every attempt */
};

static void socket_ready(void *context, int fd, uint32_t events);

/* ---- losing the connection ---- */

static void
unwatch(HdDb *db)
{
	if (db->watched_fd >= 0)
		hd_loop_forget(db->loop, db->watched_fd);
	db->watched_fd = -1;
}

static void
disconnect(HdDb *db)
{
	unwatch(db);
	hd_timer_disarm(&db->deadline);
	PQclear(db->result);
	db->result = NULL;
	PQfinish(db->conn);
	db->conn = NULL;
	hd_metrics_set(HD_METRIC_DB_UP + db->options.name, 0);
}

/* Cuts a text of libpq to its first line: later ones repeat and explain. */
static void
first_line(const char *text, char *line, size_t size)
{
	snprintf(line, size, "%.*s", (int) strcspn(text, "\n"), text);
}

/* Ends the session, plans the next one and tells whoever waits for an answer. */
static void
lost(HdDb *db, const char *why)
{
	HdDbAnswerFn answer = db->state == DB_BUSY ? db->answer : NULL;
	int64_t delay = hd_backoff_next(&db->backoff);
	char line[sizeof(db->last_error)];

	first_line(why, line, sizeof(line));
	hd_log(strcmp(line, db->last_error) == 0 ? HD_LOG_DEBUG : HD_LOG_WARNING,
		   "%s connection: %s; trying again in %lld ms", db->options.label, line,
		   (long long) (delay / HD_US_PER_MS));
	memcpy(db->last_error, line, sizeof(line));
	disconnect(db);
	db->state = DB_PAUSED;
	hd_metrics_add(HD_METRIC_DB_LOST + db->options.name, 1);
	db->answer = NULL;
	hd_timer_arm(&db->retry, delay);
	if (answer != NULL)
		answer(db->options.callbacks.context, NULL);
}

static void
deadline_passed(void *context)
{
	HdDb *db = context;

	lost(db, db->state == DB_CONNECTING ? "connecting took too long"
										: "the database did not answer in time");
}

/* ---- watching ---- */

static bool
watch(HdDb *db, uint32_t events)
{
	int fd = PQsocket(db->conn);

	/* While connecting libpq may go on to another host, whose new socket may have the same number. */
	if (fd != db->watched_fd || db->state == DB_CONNECTING)
		unwatch(db);
	if (!hd_loop_watch(db->loop, fd, events, socket_ready, db))
		return false;
	db->watched_fd = fd;
	return true;
}

/* Sends what libpq holds back; watches for room when the socket is full. */
static bool
flush(HdDb *db)
{
	int pending = PQflush(db->conn);

	return pending >= 0 && watch(db, pending > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- setting a session up ---- */

static bool
is_guest(const HdDb *db)
{
	return db->options.guest_database != NULL;
}

static size_t
setup_steps(const HdDb *db)
{
	return is_guest(db) ? SETUP_HELLO : SETUP_PREPARE + db->options.statement_count;
}

static bool
send_guest_setup(HdDb *db)
{
	char sql[sizeof(GUEST_SETUP_SQL) + 24];

	snprintf(sql, sizeof(sql), GUEST_SETUP_SQL, db->options.query_timeout_us / HD_US_PER_MS);
	return PQsendQuery(db->conn, sql) == 1;
}

static bool
send_setup(HdDb *db)
{
	char protocol[16];
	const char *hello[] = {protocol, db->config->name, HD_EDGE_VERSION};
	const HdDbStatement *statement;

	if (is_guest(db))
		return send_guest_setup(db);
	if (db->step == SETUP_SESSION)
		return PQsendQuery(db->conn, SETUP_SQL) == 1;
	if (db->step == SETUP_HELLO)
	{
		snprintf(protocol, sizeof(protocol), "%d", HD_EDGE_PROTOCOL);
		return PQsendQueryParams(db->conn, HELLO_SQL, 3, NULL, hello, NULL, NULL, 0) == 1;
	}
	statement = &db->options.statements[db->step - SETUP_PREPARE];
	return PQsendPrepare(db->conn, statement->name, statement->sql, statement->params, NULL) == 1;
}

static void
next_step(HdDb *db)
{
	if (db->step >= setup_steps(db))
	{
		hd_timer_disarm(&db->deadline);
		db->state = DB_READY;
		db->last_error[0] = '\0';
		hd_metrics_set(HD_METRIC_DB_UP + db->options.name, 1);
		hd_metrics_add(HD_METRIC_DB_CONNECTS + db->options.name, 1);
		hd_log(HD_LOG_INFO, "%s connection: ready on server process %d", db->options.label,
			   PQbackendPID(db->conn));
		db->options.callbacks.on_ready(db->options.callbacks.context);
		return;
	}
	if (!send_setup(db) || !flush(db))
		lost(db, PQerrorMessage(db->conn));
}

static int64_t
hello_number(const cJSON *hello, const char *key, int64_t otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(hello, key);

	return cJSON_IsNumber(item) && item->valuedouble >= 1 && item->valuedouble <= 1e9
			   ? (int64_t) item->valuedouble
			   : otherwise;
}

/* Reads edge_hello()'s answer; false when it names another protocol or is not one at all. */
static bool
read_hello(HdDb *db, const PGresult *result)
{
	cJSON *hello;
	bool same;

	if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQgetisnull(result, 0, 0))
		return false;
	hello = cJSON_ParseWithLength(PQgetvalue(result, 0, 0), (size_t) PQgetlength(result, 0, 0));
	same = hello_number(hello, "protocol", 0) == HD_EDGE_PROTOCOL;
	db->hello.backstop_us =
		hello_number(hello, "backstop_ms", DEFAULT_BACKSTOP_US / HD_US_PER_MS) * HD_US_PER_MS;
	db->hello.max_batch = hello_number(hello, "max_batch", DEFAULT_MAX_BATCH);
	cJSON_Delete(hello);
	return same;
}

const char *
hd_db_failure(const HdDb *db, const PGresult *result, const char *doing)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	hd_log(HD_LOG_ERROR, "%s connection: %s failed: %s (SQLSTATE %s)%s%s", db->options.label, doing,
		   message != NULL ? message : "no message", state != NULL ? state : "none",
		   hint != NULL ? " hint: " : "", hint != NULL ? hint : "");
	return state != NULL ? state : "";
}

static void
refuse_protocol(HdDb *db)
{
	hd_log(HD_LOG_ERROR,
		   "the database does not speak edge protocol %d, which hotdash-edge %s needs; "
		   "install the edge that belongs to the extension's version",
		   HD_EDGE_PROTOCOL, HD_EDGE_VERSION);
	hd_db_close(db);
	db->options.callbacks.on_protocol(db->options.callbacks.context);
}

static void
setup_answered(HdDb *db, const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
	{
		const char *state = hd_db_failure(db, result, "setting up");

		if (db->step == SETUP_HELLO && strcmp(state, "0A000") == 0)
			refuse_protocol(db);
		else
			lost(db, "the session could not be set up");
		return;
	}
	if (db->step == SETUP_HELLO && !read_hello(db, result))
	{
		refuse_protocol(db);
		return;
	}
	db->step++;
	next_step(db);
}

/* ---- answers ---- */

static void
answered(HdDb *db)
{
	PGresult *result = db->result;
	HdDbAnswerFn answer = db->answer;
	ExecStatusType status = PQresultStatus(result);

	db->result = NULL;
	if (db->state == DB_SETTING_UP)
		setup_answered(db, result);
	else if (db->state == DB_BUSY)
	{
		hd_timer_disarm(&db->deadline);
		if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
			hd_backoff_reset(&db->backoff);
		db->state = DB_READY;
		db->answer = NULL;
		answer(db->options.callbacks.context, result);
	}
	PQclear(result);
}

/* Takes what has arrived. A statement has ended when PQgetResult() returns NULL. */
static void
receive(HdDb *db)
{
	if (PQconsumeInput(db->conn) == 0)
	{
		lost(db, PQerrorMessage(db->conn));
		return;
	}
	while (db->conn != NULL && !PQisBusy(db->conn))
	{
		PGresult *result = PQgetResult(db->conn);

		if (result != NULL)
		{
			PQclear(db->result);
			db->result = result;
		}
		else if (db->result != NULL)
			answered(db);
		else
			break;
	}
	/* A server that shuts down says so and closes without being asked anything. */
	if (db->conn != NULL && PQstatus(db->conn) == CONNECTION_BAD)
		lost(db, PQerrorMessage(db->conn));
}

/* ---- connecting ---- */

static void
connecting(HdDb *db)
{
	PostgresPollingStatusType status = PQconnectPoll(db->conn);

	if (status == PGRES_POLLING_FAILED)
		lost(db, PQerrorMessage(db->conn));
	else if (status != PGRES_POLLING_OK)
	{
		if (!watch(db, status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT))
			lost(db, "cannot watch the connection");
	}
	else if (PQsetnonblocking(db->conn, 1) != 0 || !watch(db, EPOLLIN))
		lost(db, "cannot use the connection without blocking");
	else
	{
		db->state = DB_SETTING_UP;
		db->step = SETUP_SESSION;
		hd_timer_arm(&db->deadline, db->options.query_timeout_us);
		next_step(db);
	}
}

/* Notices may quote data, and stderr is where libpq would put them. */
static void
ignore_notice(void *context, const PGresult *result)
{
	(void) context;
	(void) result;
}

static void
start_connecting(void *context)
{
	HdDb *db = context;
	const char *database = is_guest(db) ? db->options.guest_database : db->config->database;
	HdConninfo conninfo;

	db->state = DB_CONNECTING;
	if (!hd_conninfo_build(database, db->attempts++, &conninfo))
	{
		hd_conninfo_free(&conninfo);
		lost(db, "out of memory");
		return;
	}
	db->conn = PQconnectStartParams((const char *const *) conninfo.keywords,
									(const char *const *) conninfo.values, 0);
	hd_conninfo_free(&conninfo);
	if (db->conn == NULL || PQstatus(db->conn) == CONNECTION_BAD)
	{
		lost(db, db->conn == NULL ? "out of memory" : PQerrorMessage(db->conn));
		return;
	}
	PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
	hd_timer_arm(&db->deadline, CONNECT_DEADLINE_US);
	if (!watch(db, EPOLLOUT))
		lost(db, "cannot watch the connection");
}

static void
socket_ready(void *context, int fd, uint32_t events)
{
	HdDb *db = context;

	(void) fd;
	if (db->state == DB_CONNECTING)
	{
		connecting(db);
		return;
	}
	if ((events & EPOLLOUT) != 0 && !flush(db))
	{
		lost(db, PQerrorMessage(db->conn));
		return;
	}
	receive(db);
}

/* ---- for the owner ---- */

HdDb *
hd_db_create(HdLoop *loop, const HdConfig *config, const HdDbOptions *options)
{
	HdDb *db = calloc(1, sizeof(*db));

	if (db == NULL)
		return NULL;
	db->loop = loop;
	db->config = config;
	db->options = *options;
	if (!is_guest(db))
		db->options.query_timeout_us = config->query_timeout * HD_US_PER_MS;
	db->watched_fd = -1;
	hd_backoff_init(&db->backoff, RECONNECT_FIRST_US, RECONNECT_LONGEST_US,
					(uint64_t) hd_clock_us() ^ (uint64_t) getpid() << 32);
	if (!hd_timer_init(&db->retry, loop, start_connecting, db) ||
		!hd_timer_init(&db->deadline, loop, deadline_passed, db))
	{
		hd_db_free(db);
		return NULL;
	}
	return db;
}

void
hd_db_free(HdDb *db)
{
	if (db == NULL)
		return;
	hd_db_close(db);
	hd_timer_free(&db->retry);
	hd_timer_free(&db->deadline);
	free(db);
}

void
hd_db_open(HdDb *db)
{
	hd_timer_arm(&db->retry, 0);
}

void
hd_db_close(HdDb *db)
{
	if (db->deadline.loop != NULL)
		disconnect(db);
	if (db->retry.loop != NULL)
		hd_timer_disarm(&db->retry);
	db->state = DB_CLOSED;
	db->answer = NULL;
}

void
hd_db_reconnect(HdDb *db, const char *why)
{
	if (db->state == DB_READY)
		lost(db, why);
}

bool
hd_db_ready(const HdDb *db)
{
	return db->state == DB_READY;
}

bool
hd_db_busy(const HdDb *db)
{
	return db->state == DB_BUSY;
}

const HdDbHello *
hd_db_hello(const HdDb *db)
{
	return &db->hello;
}

static bool
send_statement(HdDb *db, const HdDbStatement *statement, const HdDbValues *values)
{
	if (is_guest(db))
		return PQsendQueryParams(db->conn, statement->sql, statement->params, NULL, values->values,
								 values->lengths, values->formats, statement->binary) == 1;
	return PQsendQueryPrepared(db->conn, statement->name, statement->params, values->values,
							   values->lengths, values->formats, statement->binary) == 1;
}

void
hd_db_send_values(HdDb *db, size_t index, const HdDbValues *values, int64_t deadline_us,
				  HdDbAnswerFn answer)
{
	bool sent = send_statement(db, &db->options.statements[index], values) && flush(db);

	db->state = DB_BUSY;
	db->answer = answer;
	/* Losing it at once would answer from within this call; the next round is soon enough. */
	hd_timer_arm(&db->deadline, sent ? deadline_us : 0);
}

void
hd_db_send(HdDb *db, size_t index, const char *const *values, int64_t deadline_us,
		   HdDbAnswerFn answer)
{
	HdDbValues text = {values, NULL, NULL};

	hd_db_send_values(db, index, &text, deadline_us, answer);
}
