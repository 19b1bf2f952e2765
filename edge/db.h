/*
 * db.h
 *	  One asynchronous connection to the database that comes back by itself.
 *
 * The owner hears that it is ready (greeted by edge_hello() and its statements prepared),
 * sends one statement at a time, and gets one answer for each. When the connection is
 * lost, the pending answer comes as a NULL result and reconnecting begins, with a
 * growing delay, on whichever host of the connection string takes writes.
 */
#ifndef HD_EDGE_DB_H
#define HD_EDGE_DB_H

#include <libpq-fe.h>

#include "common.h"
#include "config.h"
#include "loop.h"
#include "metrics.h"

typedef struct HdDb HdDb;

#define HD_DB_PARAMS_MOST 4

/* A statement to prepare; name and sql live as long as the connection. */
typedef struct HdDbStatement
{
	const char *name;
	const char *sql;
	int params;
	int binary; /* 1: its result comes in the binary format */
} HdDbStatement;

/* What edge_hello() said. */
typedef struct HdDbHello
{
	int64_t backstop_us;
	int64_t max_batch;
} HdDbHello;

/* result is NULL when the connection was lost; it is freed after the call. */
typedef void (*HdDbAnswerFn)(void *context, const PGresult *result);

typedef struct HdDbCallbacks
{
	HdLoopFn on_ready;	  /* a statement may be sent */
	HdLoopFn on_protocol; /* the database speaks another protocol: give up */
	void *context;
} HdDbCallbacks;

typedef struct HdDbOptions
{
	const char *label; /* in log lines: "claim", "report" or "listener" */
	HdDbName name;	   /* in the metrics */

	/*
	 * NULL: an edge's own session on config->database. Else a guest's, who greets nobody, prepares
	 * nothing and has no statement that takes longer than query_timeout_us.
	 */
	const char *guest_database;
	int64_t query_timeout_us; /* of setting up, and of a guest's statements */
	const HdDbStatement *statements;
	size_t statement_count;
	HdDbCallbacks callbacks;
} HdDbOptions;

HdDb *hd_db_create(HdLoop *loop, const HdConfig *config, const HdDbOptions *options) HD_MUSTCHECK;
void hd_db_free(HdDb *db);

/* Begins to connect; on_ready tells when it has. */
void hd_db_open(HdDb *db);

/* Closes for good, without calling anybody back. */
void hd_db_close(HdDb *db);

/*
 * Drops the connection and comes back with a fresh one: for an answer that says that
 * the session is of no more use. Not from within a pending statement.
 */
void hd_db_reconnect(HdDb *db, const char *why);

/* The same with values that are not all text: libpq's lengths and formats, one each. */
typedef struct HdDbValues
{
	const char *const *values;
	const int *lengths;
	const int *formats;
} HdDbValues;

void hd_db_send_values(HdDb *db, size_t index, const HdDbValues *values, int64_t deadline_us,
					   HdDbAnswerFn answer);

bool hd_db_ready(const HdDb *db);
bool hd_db_busy(const HdDb *db);
const HdDbHello *hd_db_hello(const HdDb *db);

/*
 * Sends prepared statement `index`; only when ready. The answer, or NULL for a lost
 * connection, always comes later, never from within the call.
 */
void hd_db_send(HdDb *db, size_t index, const char *const *values, int64_t deadline_us,
				HdDbAnswerFn answer);

/* SQLSTATE of a failed result, "" when the server sent none; logs the failure. */
const char *hd_db_failure(const HdDb *db, const PGresult *result, const char *doing);

#endif
