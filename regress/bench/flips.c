/*-------------------------------------------------------------------------
 * flips.c
 *		Sessions that change a flag and sessions that ask it: does anybody see an old value?
 *
 * usage: flips SESSIONS FLIPS READS
 *
 * Model: a thread a session.  The flag's value is a number that only grows:
 * who changes it holds the row of a table with the last one.  After COMMIT
 * has returned, the number is noted in memory that all threads see.  Before a
 * session sends a question it reads that note: the answer must not be below
 * it, since the statement starts after that COMMIT returned.  So the order is
 * the client's own, and no clock is in it.  One flip in four is rolled back,
 * and its value, -1, must never be seen.
 *
 * Every session flips FLIPS times and asks READS times between; a third of
 * them asks statement by statement, a third in transactions of ten
 * statements, a third in such that are read-only.  They ask with prepared
 * statements and by three functions in turn.  The fourth question is for the
 * row and the flag in one statement: what one transaction has changed, one
 * snapshot sees together, whatever began when.
 *
 * Prints questions, flips committed, answers that were too old, answers that
 * were never committed, statements that saw the row of one transaction and the
 * flag of another, and seconds.
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SESSIONS 256
#define QUESTIONS 4
#define STATEMENTS_A_TRANSACTION 10
#define UNDO_ONE_IN 4
#define TORN (-3)

static const char *const setup =
	"DROP TABLE IF EXISTS flips;"
	"CREATE TABLE flips (n bigint);"
	"INSERT INTO flips VALUES (0);"
	"CREATE OR REPLACE FUNCTION flip(undo bool) RETURNS bigint LANGUAGE plpgsql AS $$"
	" DECLARE"
	"	v bigint;"
	" BEGIN"
	"	UPDATE flips SET n = n + 1 RETURNING CASE WHEN undo THEN -1 ELSE n END INTO v;"
	"	PERFORM hotdash.flag_set('flips', jsonb_build_object('state', 'ENABLED', 'variants',"
	"		jsonb_build_object('v', v), 'defaultVariant', 'v', 'targeting',"
	"		'{\"if\": [{\"==\": [{\"var\": \"targetingKey\"}, \"u\"]}, \"v\"]}'::jsonb));"
	"	IF hotdash.flag_number('flips', -2) <> v THEN"
	"		RAISE 'my own change is not there';"
	"	END IF;"
	"	RETURN v;"
	" END $$;"
	"SELECT flip(false)";

static const char *const questions[QUESTIONS] = {
	"SELECT hotdash.flag_number('flips', -2)",
	"SELECT hotdash.flag_number('flips', -2, '{\"targetingKey\": \"u\"}')",
	"SELECT value FROM hotdash.flag_evaluate('flips', '-2', '{\"targetingKey\": \"u\"}')",
	"SELECT hotdash.flag_number('flips', -2), n FROM flips",
};

static const char *const begins[] = {NULL, "BEGIN", "BEGIN READ ONLY"};

typedef struct Session
{
	pthread_t thread;
	int number;
	long asked;
	long flips;
	long old;
	long never;
	long torn;
} Session;

static atomic_long committed = 1; /* the last one whose COMMIT has returned */
static long flips_each;
static long reads_each;

/* How to connect is in the environment. */
static PGconn *
connect_session(void)
{
	PGconn *conn = PQconnectdb("application_name=flips options='-c client_min_messages=error'");

	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	fprintf(stderr, "%s", PQerrorMessage(conn));
	exit(1);
}

/* What the statement answered, as a number, or TORN when it gave two that differ; any error ends the program. */
static long
finish(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	long answer = 0;

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(conn));
		exit(1);
	}
	if (status == PGRES_TUPLES_OK && PQntuples(result) > 0)
		answer = atol(PQgetvalue(result, 0, 0));
	if (status == PGRES_TUPLES_OK && PQnfields(result) > 1 &&
		atol(PQgetvalue(result, 0, 1)) != answer)
		answer = TORN;
	PQclear(result);
	return answer;
}

static long
run(PGconn *conn, const char *statement)
{
	return finish(conn, PQexec(conn, statement));
}

static void
prepare(PGconn *conn)
{
	char name[2] = "0";

	for (int i = 0; i < QUESTIONS; i++, name[0]++)
		(void) finish(conn, PQprepare(conn, name, questions[i], 0, NULL));
}

/* Others may have noted a later one meanwhile. */
static void
note(long number)
{
	long seen = atomic_load(&committed);

	while (seen < number && !atomic_compare_exchange_weak(&committed, &seen, number))
		continue;
}

static void
flip(PGconn *conn, Session *session, long n)
{
	if ((n + session->number) % UNDO_ONE_IN == 0)
	{
		(void) run(conn, "BEGIN");
		(void) run(conn, "SELECT flip(true)");
		(void) run(conn, "ROLLBACK");
		return;
	}
	note(run(conn, "SELECT flip(false)"));
	session->flips++;
}

static void
ask(PGconn *conn, Session *session)
{
	char name[2] = {(char) ('0' + session->asked % QUESTIONS), '\0'};
	long least = atomic_load(&committed);
	long answer = finish(conn, PQexecPrepared(conn, name, 0, NULL, NULL, NULL, 0));

	session->asked++;
	if (answer == TORN)
		session->torn++;
	else if (answer < 0)
		session->never++;
	else if (answer < least)
		session->old++;
}

static void
ask_many(PGconn *conn, Session *session)
{
	const char *begin = begins[session->number % 3];

	for (long i = 0; i < reads_each; i++)
	{
		if (begin != NULL && i % STATEMENTS_A_TRANSACTION == 0)
			(void) run(conn, begin);
		ask(conn, session);
		if (begin != NULL &&
			(i % STATEMENTS_A_TRANSACTION == STATEMENTS_A_TRANSACTION - 1 || i == reads_each - 1))
			(void) run(conn, "COMMIT");
	}
}

static void *
work(void *argument)
{
	Session *session = argument;
	PGconn *conn = connect_session();

	prepare(conn);
	for (long n = 0; n < flips_each; n++)
	{
		ask_many(conn, session);
		flip(conn, session, n);
	}
	PQfinish(conn);
	return NULL;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	static Session sessions[MAX_SESSIONS];
	Session all = {0};
	int n = argc == 4 ? atoi(argv[1]) : 0;
	PGconn *conn;
	double began;

	if (n < 1 || n > MAX_SESSIONS)
	{
		fprintf(stderr, "usage: flips SESSIONS FLIPS READS\n");
		return 2;
	}
	flips_each = atol(argv[2]);
	reads_each = atol(argv[3]);
	conn = connect_session();
	(void) run(conn, setup);
	began = now();
	for (int i = 0; i < n; i++)
	{
		sessions[i].number = i;
		if (pthread_create(&sessions[i].thread, NULL, work, &sessions[i]) != 0)
			return 1;
	}
	for (int i = 0; i < n; i++)
	{
		if (pthread_join(sessions[i].thread, NULL) != 0)
			return 1;
		all.asked += sessions[i].asked;
		all.flips += sessions[i].flips;
		all.old += sessions[i].old;
		all.never += sessions[i].never;
		all.torn += sessions[i].torn;
	}
	printf("%ld %ld %ld %ld %ld %.3f\n", all.asked, all.flips, all.old, all.never, all.torn,
		   now() - began);
	(void) run(conn, "DROP FUNCTION flip(bool); DROP TABLE flips; SELECT hotdash.flag_delete('flips')");
	PQfinish(conn);
	return 0;
}
