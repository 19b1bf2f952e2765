/*-------------------------------------------------------------------------
 * lease.c
 *		Leases while they run: renewing them, and looking at them.
 *
 * Model: a lease lives in the list and the ledger only.  Renewing is not
 * part of the caller's transaction: it holds at once, and stays when the
 * transaction rolls back.
 *
 * Locking: one pass under the list's lock per call.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/duration.h"
#include "core/errors.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "jobs/cancel.h"
#include "jobs/horizon.h"
#include "jobs/ledger.h"
#include "jobs/list.h"
#include "jobs/place.h"
#include "jobs/table.h"
#include "jobs/tx.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(hd_jobs_sql_renew);
PG_FUNCTION_INFO_V1(hd_jobs_sql_running);
PG_FUNCTION_INFO_V1(hd_jobs_sql_token_given);

static int32
my_database(void)
{
	return hd_jobs_list_database(MyDatabaseId, hd_spi_extension());
}

/* Whether a session that is bound to a tenant may see the entry. */
static bool
sees(const HdJobEntry *entry)
{
	const char *own = hd_settings_bound_tenant();

	return own == NULL || hd_jobs_lane(entry->lane)->tenant_hash ==
							  hd_jobs_place_tenant_hash(own, (int) strlen(own));
}

/*
 * Prolong a lease to *expires, if it is still the caller's.  That of a job
 * which is to be cancelled stays as it is: *expires gets its end.  Returns
 * what job_renew says.  Lock held.
 */
static const char *
renew(int32 db, int64 id, int64 token, TimestampTz *expires)
{
	int32 index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	HdLedgerSlot *slot;
	HdJobEntry *entry;

	if (index < 0)
		return "lost";
	entry = hd_jobs_entry(index);
	slot = hd_jobs_ledger_slot(index);
	if (!sees(entry) || entry->token != token ||
		(entry->state != HD_JOB_LEASED &&
		 !(entry->state == HD_JOB_CLAIMED && entry->owner == MyProcPid)))
		return "lost";
	if (hd_jobs_cancel_is_asked(index))
	{
		*expires = entry->lease_expires;
		return "cancelled";
	}
	if (slot->deadline <= hd_clock_now())
		return "lost";
	*expires = Min(*expires, slot->deadline);
	entry->lease_expires = slot->lease_expires = *expires;
	hd_jobs_ledger_seal(index);
	return "renewed";
}

/*
 * hd_jobs_sql_renew
 *		SQL: job_renew(ids, tokens, lease) -> setof (id, state, lease_expires).
 */
Datum
hd_jobs_sql_renew(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 lease_us = HD_JOB_DEFAULT_LEASE_US;
	Datum *ids;
	Datum *tokens;
	int nids;
	int ntokens;
	int32 db = -1;
	TimestampTz latest = 0;

	hd_require_arg(fcinfo, 0, "ids");
	hd_require_arg(fcinfo, 1, "tokens");
	hd_settings_require_preload("renewing leases");
	if (!PG_ARGISNULL(2))
		lease_us = hd_duration_us(PG_GETARG_INTERVAL_P(2), "lease", HD_JOB_MIN_LEASE_US);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, true, TYPALIGN_DOUBLE, &ids, NULL,
					  &nids);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT8OID, 8, true, TYPALIGN_DOUBLE, &tokens, NULL,
					  &ntokens);
	if (nids != ntokens)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("ids and tokens must have the same length")));

	InitMaterializedSRF(fcinfo, 0);
	(void) hd_spi_extension();
	for (int i = 0; i < nids; i++)
	{
		Datum values[3];
		bool nulls[3] = {false, false, false};
		TimestampTz expires = hd_clock_now() + lease_us;
		const char *state;

		LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
		db = my_database();
		state = renew(db, DatumGetInt64(ids[i]), DatumGetInt64(tokens[i]), &expires);
		LWLockRelease(hd_jobs_lock);
		values[0] = ids[i];
		values[1] = CStringGetTextDatum(state);
		values[2] = TimestampTzGetDatum(expires);
		nulls[2] = strcmp(state, "lost") == 0;
		latest = nulls[2] ? latest : Max(latest, expires);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	/* Where nothing is limited, no horizon was ever written, and none need be. */
	if (latest != 0 && hd_jobs_list->databases[db].covered_until != 0)
		hd_jobs_horizon_cover(db, latest);
	return (Datum) 0;
}

/* Whether the job is claimed under the token; *made: the token is one of this life of the list. */
static bool
is_current(int64 id, int64 token, bool *made)
{
	int32 db;
	int32 index;
	bool current;

	(void) hd_spi_extension();
	LWLockAcquire(hd_jobs_lock, LW_SHARED);
	db = my_database();
	index = (db >= 0) ? hd_jobs_list_find(db, id) : -1;
	current = index >= 0 && hd_jobs_entry(index)->token == token;
	*made = hd_jobs_list_made_token(token);
	LWLockRelease(hd_jobs_lock);
	return current;
}

/*
 * hd_jobs_sql_token_given
 *		SQL: _job_token_given(id, token) -> bool: whether the job may have been
 *		claimed under the token, now or before.
 *
 * Tokens are not remembered.  But an end that charges an attempt raises the
 * fence of a job that goes on, so a token with its fence is of the claim that
 * runs, of one that was given back, or of an earlier boot; and a job whose
 * fence was never raised had no other.  Of a job that has ended nothing is
 * known.  While another session ends the claim, true tokens may be denied.
 */
Datum
hd_jobs_sql_token_given(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	int64 token = PG_GETARG_INT64(1);
	HdJobTable table;
	ItemPointerData tid;
	bool given = true;
	bool made;
	int32 fence;

	if (token <= 0 || HD_JOB_TOKEN_BOOT(token) == 0)
		PG_RETURN_BOOL(false);
	if (!hd_settings_preloaded() || is_current(id, token, &made))
		PG_RETURN_BOOL(true);
	hd_jobs_table_open_reading(&table);
	if (hd_jobs_table_find(&table, id, &tid))
	{
		fence = DatumGetInt32(hd_jobs_table_column(&table, HD_JOB_COL_FENCE, NULL));
		if (HD_JOB_TOKEN_FENCE(token) == (uint16) fence)
			given = made || hd_jobs_tx_from_earlier_boot(token);
		else
			given = fence != 0;
	}
	hd_jobs_table_close(&table);
	PG_RETURN_BOOL(given);
}

/* One running job as the views see it. */
typedef struct Running
{
	int64 id;
	TimestampTz started;
	TimestampTz expires;
	int attempt;
	bool cancelled;
	char worker[NAMEDATALEN];
} Running;

/* Copy what runs in a database, so that rows are formed without the lock. */
static int
copy_running(int32 db, Running *running)
{
	int n = 0;

	for (int32 i = 0; i < hd_jobs_list->capacity; i++)
	{
		HdJobEntry *entry = hd_jobs_entry(i);
		HdLedgerSlot *slot = hd_jobs_ledger_slot(i);

		if (entry->state == HD_JOB_FREE || entry->token == 0 ||
			hd_jobs_entry_queue(entry)->db != db || !sees(entry) || slot->use == HD_LEDGER_FREE)
			continue;
		running[n].id = entry->id;
		running[n].started = slot->started;
		running[n].expires = entry->lease_expires;
		running[n].attempt = slot->attempt;
		running[n].cancelled = slot->cancelled;
		strlcpy(running[n].worker, slot->worker, NAMEDATALEN);
		n++;
	}
	return n;
}

/*
 * hd_jobs_sql_running
 *		SQL: _job_running() -> setof (id, attempt, started_at, lease_expires,
 *		worker, cancelled); empty without preload.
 */
Datum
hd_jobs_sql_running(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Running *running;
	int n;

	InitMaterializedSRF(fcinfo, 0);
	if (!hd_settings_preloaded())
		return (Datum) 0;
	running = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(Running) * (Size) hd_jobs_list->capacity);
	(void) hd_spi_extension();
	LWLockAcquire(hd_jobs_lock, LW_EXCLUSIVE);
	n = copy_running(my_database(), running);
	LWLockRelease(hd_jobs_lock);
	for (int i = 0; i < n; i++)
	{
		Datum values[6];
		bool nulls[6] = {false};

		values[0] = Int64GetDatum(running[i].id);
		values[1] = Int32GetDatum(running[i].attempt);
		values[2] = TimestampTzGetDatum(running[i].started);
		values[3] = TimestampTzGetDatum(running[i].expires);
		values[4] = CStringGetTextDatum(running[i].worker);
		values[5] = BoolGetDatum(running[i].cancelled);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	pfree(running);
	return (Datum) 0;
}
