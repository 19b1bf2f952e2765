/*
 * claim.c
 *	  Takes requests from the database as fast as there is room for them, and no faster.
 *
 * Model: claim while claims come back full. A claim that comes back short means that the
 * database has, for now, nothing more: then edge_wait(), which returns at once when
 * something is ready after all, so nothing can fall between the two. When the wait ends
 * without news (the backstop), one claim is made all the same, so that a lost wake-up
 * costs a minute and not a delivery. An idle edge so does one claim and one wait a backstop.
 *
 * The claim reserves what it returns for a lease, counted here from the moment it was
 * sent, which is earlier than the server counts.
 */
#include "claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db.h"
#include "log.h"

/* A few free places wait this long for more, so that claims are not made one by one. */
#define GATHER_US (2 * HD_US_PER_MS)

/* After a wake-up that led to nothing, which another edge may have been faster to take. */
#define DRY_PAUSE_FIRST_US (1 * HD_US_PER_MS)
#define DRY_PAUSE_LONGEST_US (500 * HD_US_PER_MS)
#define DRY_FREE 2

typedef enum Statement
{
	STATEMENT_CLAIM,
	STATEMENT_WAIT
} Statement;

static const HdDbStatement statements[] = {
	[STATEMENT_CLAIM] =
		{"edge_claim",
		 "SELECT id, token, url, method, headers, body, timeout_ms, lease_ms, flags,"
		 " within_ms, keep_bytes, proxy, proxy_login, client_cert"
		 " FROM hotdash.edge_claim($1, $2)",
		 2, 1},
	[STATEMENT_WAIT] = {"edge_wait", "CALL hotdash.edge_wait($1, NULL)", 1, 1},
};

struct HdClaimer
{
	const HdConfig *config;
	HdClaimerCallbacks callbacks;
	HdDb *db;
	HdTimer pause;	/* nothing is sent while it is armed */
	HdTimer gather; /* kicks again when few places were free */
	bool caught_up; /* the last claim came back short: wait before the next */
	bool waiting;	/* edge_wait() is under way */
	bool stopping;
	bool stopped;
	unsigned dry; /* wake-ups in a row that led to nothing */
	bool woken;	  /* the claim under way follows a wake-up */
	size_t asked; /* by the claim under way */
	int64_t sent_at;
};

/* ---- stopping ---- */

static void
stopped(HdClaimer *claimer)
{
	if (claimer->stopped)
		return;
	claimer->stopped = true;
	hd_timer_disarm(&claimer->pause);
	hd_timer_disarm(&claimer->gather);
	hd_db_close(claimer->db);
	claimer->callbacks.on_stopped(claimer->callbacks.context);
}

/* ---- claiming ---- */

/* libpq frees a result as it is. */
static void
wipe_secrets(const PGresult *result, int row)
{
	static const HdRequestColumn secrets[] = {HD_COLUMN_PROXY_LOGIN, HD_COLUMN_CLIENT_CERT};

	for (size_t i = 0; i < HD_COUNT(secrets); i++)
	{
		int column = (int) secrets[i];

		if (PQgetisnull(result, row, column) == 0)
			explicit_bzero(PQgetvalue(result, row, column),
						   (size_t) PQgetlength(result, row, column));
	}
}

/* Decodes one row and gives it away; false when the row cannot even be named. */
static bool
take_row(HdClaimer *claimer, const PGresult *result, int row)
{
	HdField fields[HD_COLUMN_COUNT];
	HdRequest *request;

	for (int column = 0; column < HD_COLUMN_COUNT; column++)
	{
		bool null = PQgetisnull(result, row, column) != 0;

		fields[column].data = null ? NULL : PQgetvalue(result, row, column);
		fields[column].length = null ? 0 : (size_t) PQgetlength(result, row, column);
	}
	request = hd_request_decode(fields);
	wipe_secrets(result, row);
	if (request == NULL)
		return false;
	request->claimed_at = claimer->sent_at;
	request->received_at = hd_clock_us();
	claimer->callbacks.on_request(claimer->callbacks.context, request);
	return true;
}

static void
note_dry(HdClaimer *claimer, size_t rows)
{
	int64_t pause = DRY_PAUSE_FIRST_US;

	if (rows > 0 || !claimer->woken)
	{
		claimer->dry = 0;
		return;
	}
	claimer->dry++;
	if (claimer->dry <= DRY_FREE)
		return;
	for (unsigned i = DRY_FREE + 1; i < claimer->dry && pause < DRY_PAUSE_LONGEST_US; i++)
		pause *= 2;
	hd_timer_arm(&claimer->pause, pause);
}

static void
claimed(void *context, const PGresult *result)
{
	HdClaimer *claimer = context;
	int unreadable = 0;
	int rows;

	if (result == NULL)
		goto out; /* what was claimed, if anything, comes back with its lease */
	rows = PQntuples(result);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQnfields(result) != HD_COLUMN_COUNT)
	{
		(void) hd_db_failure(claimer->db, result, "claiming");
		hd_db_reconnect(claimer->db, "claims are refused");
		goto out;
	}
	claimer->caught_up = (size_t) rows < claimer->asked;
	note_dry(claimer, (size_t) rows);
	for (int row = 0; row < rows; row++)
		unreadable += take_row(claimer, result, row) ? 0 : 1;
	if (unreadable > 0)
		hd_log(HD_LOG_ERROR, "%d claimed requests could not be read and are left to their lease",
			   unreadable);
out:
	if (claimer->stopping)
		stopped(claimer);
	else
		hd_claimer_kick(claimer);
}

static void
send_claim(HdClaimer *claimer, size_t room)
{
	size_t most = (size_t) hd_db_hello(claimer->db)->max_batch;
	char up_to[24];
	const char *values[] = {claimer->config->name, up_to};

	if (most > (size_t) claimer->config->batch)
		most = (size_t) claimer->config->batch;
	claimer->asked = room < most ? room : most;
	claimer->sent_at = hd_clock_us();
	snprintf(up_to, sizeof(up_to), "%zu", claimer->asked);
	hd_db_send(claimer->db, STATEMENT_CLAIM, values, claimer->config->query_timeout * HD_US_PER_MS,
			   claimed);
}

/* ---- waiting ---- */

static void
waited(void *context, const PGresult *result)
{
	HdClaimer *claimer = context;

	claimer->waiting = false;
	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		(void) hd_db_failure(claimer->db, result, "waiting");
		hd_db_reconnect(claimer->db, "waits are refused");
		return;
	}
	claimer->caught_up = false;
	claimer->woken = PQntuples(result) == 1 && PQnfields(result) == 1 &&
					 PQgetlength(result, 0, 0) == 1 && *PQgetvalue(result, 0, 0) != 0;
	hd_claimer_kick(claimer);
}

static void
send_wait(HdClaimer *claimer)
{
	int64_t backstop = claimer->config->backstop * HD_US_PER_MS;
	char interval[32];
	const char *values[] = {interval};

	if (backstop == 0)
		backstop = hd_db_hello(claimer->db)->backstop_us;
	snprintf(interval, sizeof(interval), "%" PRId64 " ms", backstop / HD_US_PER_MS);
	claimer->waiting = true;
	hd_db_send(claimer->db, STATEMENT_WAIT, values,
			   backstop + claimer->config->query_timeout * HD_US_PER_MS, waited);
}

/* ---- for the owner ---- */

void
hd_claimer_kick(HdClaimer *claimer)
{
	size_t enough = (size_t) claimer->config->max_in_flight / 8 + 1;
	size_t room;

	if (claimer->stopping || !hd_db_ready(claimer->db) || hd_timer_armed(&claimer->pause))
		return;
	room = claimer->callbacks.room(claimer->callbacks.context);
	if (room == 0)
		return;
	if (claimer->caught_up)
	{
		send_wait(claimer);
		return;
	}
	if (enough > (size_t) claimer->config->batch)
		enough = (size_t) claimer->config->batch;
	if (room < enough && hd_clock_us() - claimer->sent_at < GATHER_US)
	{
		if (!hd_timer_armed(&claimer->gather))
			hd_timer_arm(&claimer->gather, GATHER_US);
		return;
	}
	send_claim(claimer, room);
}

static void
kick_later(void *context)
{
	hd_claimer_kick(context);
}

static void
other_protocol(void *context)
{
	const HdClaimer *claimer = context;

	claimer->callbacks.on_protocol(claimer->callbacks.context);
}

static void
ready(void *context)
{
	HdClaimer *claimer = context;

	claimer->caught_up = false;
	claimer->woken = false;
	hd_claimer_kick(claimer);
}

HdClaimer *
hd_claimer_create(HdLoop *loop, const HdConfig *config, const HdClaimerCallbacks *callbacks)
{
	HdClaimer *claimer = calloc(1, sizeof(*claimer));
	HdDbOptions options = {.label = "claim",
						   .name = HD_DB_CLAIM,
						   .statements = statements,
						   .statement_count = HD_COUNT(statements)};

	if (claimer == NULL)
		return NULL;
	claimer->config = config;
	claimer->callbacks = *callbacks;
	options.callbacks = (HdDbCallbacks){ready, other_protocol, claimer};
	claimer->db = hd_db_create(loop, config, &options);
	if (claimer->db == NULL || !hd_timer_init(&claimer->pause, loop, kick_later, claimer) ||
		!hd_timer_init(&claimer->gather, loop, kick_later, claimer))
	{
		hd_claimer_free(claimer);
		return NULL;
	}
	return claimer;
}

void
hd_claimer_free(HdClaimer *claimer)
{
	if (claimer == NULL)
		return;
	hd_db_free(claimer->db);
	hd_timer_free(&claimer->pause);
	hd_timer_free(&claimer->gather);
	free(claimer);
}

void
hd_claimer_open(HdClaimer *claimer)
{
	hd_db_open(claimer->db);
}

void
hd_claimer_pause(HdClaimer *claimer, int64_t pause_us)
{
	if (!claimer->stopping && !hd_timer_armed(&claimer->pause))
		hd_timer_arm(&claimer->pause, pause_us);
}

void
hd_claimer_stop(HdClaimer *claimer)
{
	if (claimer->stopping)
		return;
	claimer->stopping = true;
	/* A claim under way has reserved rows already: wait for it. A wait holds nothing. */
	if (claimer->waiting || !hd_db_busy(claimer->db))
		stopped(claimer);
}

bool
hd_claimer_stopped(const HdClaimer *claimer)
{
	return claimer->stopped;
}
