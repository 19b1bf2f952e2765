/*-------------------------------------------------------------------------
 * worker.c
 *		Workers whose sessions are terminated at random, and a log of who ran what when.
 *
 * usage: worker QUEUE WORKERS MILLISECONDS PREFIX
 *
 * Model: each worker claims one job after the other, bound to its session,
 * and completes a job only when it has claimed the next, so that it has up
 * to two at a time.  It ends when the queue has no rows left.  The parent
 * terminates the session of one of them every so many milliseconds, on
 * average.  All write events to PREFIX.N, one a line: nanoseconds of the
 * monotonic clock, which all processors share, kind of event, process id of
 * the session, job, key.
 *
 *		0	the session is going to be terminated; written before that is asked for
 *		1	a job ends; written before the completion is sent
 *		2	a session begins
 *		3	a job starts; written after the claim has committed
 *
 * So between 3 and 1 or 0 the job does hold its place, and whoever finds more
 * such intervals open at one time than a cap allows has found a violation.
 *
 * Prints jobs completed, completions that were refused, sessions that were
 * terminated, and seconds.
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS 64

typedef enum Event
{
	EVENT_TERMINATE,
	EVENT_END,
	EVENT_CONNECT,
	EVENT_START
} Event;

typedef struct Job
{
	char id[24]; /* empty: none */
	char token[24];
	char key[64];
} Job;

/* Shared by all; each worker writes its own element. */
typedef struct Shared
{
	volatile int session[MAX_WORKERS]; /* process id of its backend, 0 while it has none */
	volatile long completed[MAX_WORKERS];
	volatile long refused[MAX_WORKERS];
} Shared;

static Shared *shared;
static const char *queue;
static FILE *events;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
write_event(Event event, int session, const Job *job)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	fprintf(events, "%lld%09ld %d %d %s %s\n", (long long) ts.tv_sec, ts.tv_nsec, (int) event,
			session, job ? job->id : "-", job ? job->key : "-");
}

static void
open_events(const char *prefix, int number)
{
	char name[1024];

	snprintf(name, sizeof(name), "%s.%d", prefix, number);
	events = fopen(name, "w");
	if (events == NULL)
	{
		perror(name);
		_exit(1);
	}
}

/* What a server says to an idle session before it ends it. */
static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

/* How to connect is in the environment. */
static PGconn *
connect_session(void)
{
	PGconn *conn = PQconnectdb("application_name=bench");

	PQsetNoticeProcessor(conn, ignore_notice, NULL);
	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	fprintf(stderr, "%s", PQerrorMessage(conn));
	_exit(1);
}

/* The result, or NULL when the session is gone; any other error ends the program. */
static PGresult *
run(PGconn *conn, const char *statement, int n, const char *const *values)
{
	PGresult *result = PQexecParams(conn, statement, n, NULL, values, NULL, NULL, 0);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	if (PQstatus(conn) != CONNECTION_BAD && (state == NULL || strcmp(state, "57P01") != 0))
	{
		fprintf(stderr, "%s", PQerrorMessage(conn));
		_exit(1);
	}
	PQclear(result);
	return NULL;
}

/* False when the session is gone; without a job, job->id is empty. */
static int
claim(PGconn *conn, Job *job)
{
	PGresult *result = run(
		conn,
		"SELECT id, token, payload ->> 'key' FROM hotdash.job_claim(ARRAY[$1], 1, lease => '30 s', session_bound => true)",
		1, &queue);

	job->id[0] = '\0';
	if (result == NULL)
		return 0;
	if (PQntuples(result) == 1)
	{
		snprintf(job->id, sizeof(job->id), "%s", PQgetvalue(result, 0, 0));
		snprintf(job->token, sizeof(job->token), "%s", PQgetvalue(result, 0, 1));
		snprintf(job->key, sizeof(job->key), "%s", PQgetvalue(result, 0, 2));
		write_event(EVENT_START, PQbackendPID(conn), job);
	}
	PQclear(result);
	return 1;
}

static int
complete(PGconn *conn, int number, Job *job)
{
	const char *values[2] = {job->id, job->token};
	PGresult *result;

	if (job->id[0] == '\0')
		return 1;
	write_event(EVENT_END, PQbackendPID(conn), job);
	result = run(conn, "SELECT hotdash.job_complete($1, $2)", 2, values);
	if (result == NULL)
		return 0;
	if (PQgetvalue(result, 0, 0)[0] == 't')
		shared->completed[number]++;
	else
		shared->refused[number]++;
	PQclear(result);
	return 1;
}

/* 1: there is nothing left at all; 0: there may be; -1: the session is gone. */
static int
is_drained(PGconn *conn)
{
	PGresult *result =
		run(conn, "SELECT NOT EXISTS (SELECT FROM hotdash._job WHERE queue = $1)", 1, &queue);
	int drained;

	if (result == NULL)
		return -1;
	drained = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	if (drained)
		return 1;
	result = run(conn, "CALL hotdash.job_wait(ARRAY[$1], '100 ms')", 1, &queue);
	if (result == NULL)
		return -1;
	PQclear(result);
	return 0;
}

/* Work until the queue is drained (true) or the session is gone. */
static int
work(PGconn *conn, int number)
{
	Job held = {.id = ""};
	Job next;

	for (;;)
	{
		if (!claim(conn, &next) || !complete(conn, number, &held))
			return 0;
		held = next;
		if (held.id[0] == '\0')
		{
			int drained = is_drained(conn);

			if (drained != 0)
				return drained > 0;
		}
	}
}

static void
worker(int number)
{
	int drained = 0;

	while (!drained)
	{
		PGconn *conn = connect_session();

		write_event(EVENT_CONNECT, PQbackendPID(conn), NULL);
		shared->session[number] = PQbackendPID(conn);
		drained = work(conn, number);
		shared->session[number] = 0;
		PQfinish(conn);
	}
	fclose(events);
	_exit(0);
}

static long
terminate_at_random(int workers, int milliseconds)
{
	PGconn *conn = connect_session();
	long terminated = 0;

	srand(1);
	while (waitpid(-1, NULL, WNOHANG) == 0)
	{
		int session;
		char text[16];
		const char *values[1] = {text};
		PGresult *result;

		usleep((useconds_t) (milliseconds * (500 + rand() % 1000)));
		session = shared->session[rand() % workers];
		if (session == 0)
			continue;
		snprintf(text, sizeof(text), "%d", session);
		write_event(EVENT_TERMINATE, session, NULL);
		result = run(conn, "SELECT pg_terminate_backend($1)", 1, values);
		if (result != NULL && PQgetvalue(result, 0, 0)[0] == 't')
			terminated++;
		PQclear(result);
	}
	PQfinish(conn);
	return terminated;
}

int
main(int argc, char **argv)
{
	int workers = (argc == 5) ? atoi(argv[2]) : 0;
	double started;
	long terminated;
	long completed = 0;
	long refused = 0;
	int status;
	int failed = 0;

	if (workers < 1 || workers > MAX_WORKERS)
	{
		fprintf(stderr, "usage: worker QUEUE WORKERS MILLISECONDS PREFIX\n");
		return 1;
	}
	queue = argv[1];
	shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
	{
		perror("mmap");
		return 1;
	}
	started = now();
	for (int i = 0; i < workers; i++)
	{
		if (fork() == 0)
		{
			open_events(argv[4], i);
			worker(i);
		}
	}
	open_events(argv[4], workers);
	terminated = terminate_at_random(workers, atoi(argv[3]));
	while (waitpid(-1, &status, 0) > 0)
		failed |= status;
	fclose(events);
	for (int i = 0; i < workers; i++)
	{
		completed += shared->completed[i];
		refused += shared->refused[i];
	}
	printf("%ld %ld %ld %.3f\n", completed, refused, terminated, now() - started);
	return failed != 0;
}
