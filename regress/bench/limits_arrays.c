/*
 * limits_arrays.c
 *	  Clients that ask limit_take_many with arrays of keys.
 *
 * limits_arrays CLIENTS SECONDS KEYS-AN-ARRAY KEYS
 *
 * Each client is a process with a connection of its own (the environment says where) and a prepared statement; it
 * writes an array of random keys, waits for the answers and goes on. Prints the decisions of all of them in a second.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_KEY 16

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
check(PGconn *connection, PGresult *result, ExecStatusType wanted)
{
	if (PQresultStatus(result) == wanted)
		return;
	fprintf(stderr, "limits_arrays: %s", PQerrorMessage(connection));
	exit(1);
}

/* {1,2,...} */
static void
write_array(char *to, int size, long keys, unsigned *seed)
{
	char before = '{';

	for (int i = 0; i < size; i++)
	{
		to += sprintf(to, "%c%ld", before, 1 + ((long) rand_r(seed) * 32768 + rand_r(seed)) % keys);
		before = ',';
	}
	strcpy(to, "}");
}

/* Asks until the time is over; returns how many decisions there were. */
static long
ask(int number, double until, int size, long keys)
{
	PGconn *connection = PQconnectdb("");
	char *array = malloc((size_t) size * LONGEST_KEY + 2);
	const char *values[1] = {array};
	unsigned seed = (unsigned) number;
	long decisions = 0;

	if (PQstatus(connection) != CONNECTION_OK || array == NULL)
	{
		fprintf(stderr, "limits_arrays: %s", PQerrorMessage(connection));
		exit(1);
	}
	PQclear(PQprepare(connection, "ask", "SELECT hotdash.limit_take_many('bench', $1)", 0, NULL));
	while (now() < until)
	{
		PGresult *result;

		write_array(array, size, keys, &seed);
		result = PQexecPrepared(connection, "ask", 1, values, NULL, NULL, 0);
		check(connection, result, PGRES_TUPLES_OK);
		decisions += size;
		PQclear(result);
	}
	PQfinish(connection);
	free(array);
	return decisions;
}

int
main(int argc, char **argv)
{
	int clients = (argc == 5) ? atoi(argv[1]) : 0;
	double seconds = (argc == 5) ? atof(argv[2]) : 0;
	double began = now();
	long sum = 0;
	int ends[2];

	if (clients <= 0 || pipe(ends) != 0)
		return 1;
	for (int i = 0; i < clients; i++)
	{
		if (fork() == 0)
		{
			long decisions = ask(i + 1, began + seconds, atoi(argv[3]), atol(argv[4]));

			return write(ends[1], &decisions, sizeof(decisions)) != sizeof(decisions);
		}
	}
	for (int i = 0; i < clients; i++)
	{
		long decisions;
		int status;

		if (wait(&status) < 0 || status != 0 ||
			read(ends[0], &decisions, sizeof(decisions)) != sizeof(decisions))
			return 1;
		sum += decisions;
	}
	printf("%.0f\n", (double) sum / (now() - began));
	return 0;
}
