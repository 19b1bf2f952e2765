/*-------------------------------------------------------------------------
 * denied_sql.c
 *		What SQL reads of refusals.
 *
 * Model: denied.h has the log.  A session that is bound to a tenant reads
 * nothing of it, since limits are for all of them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/clock.h"
#include "core/settings.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "limits/book.h"
#include "limits/decide.h"
#include "limits/denied.h"
#include "limits/places.h"
#include "limits/sql.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hd_limits_sql_denied);
PG_FUNCTION_INFO_V1(hd_limits_sql_denied_sums);
PG_FUNCTION_INFO_V1(hd_limits_sql_denied_top);
PG_FUNCTION_INFO_V1(hd_limits_sql_state);
PG_FUNCTION_INFO_V1(hd_limits_sql_look);

static const char *const kinds[HD_DENIED_KINDS] = {"refused", "shadow", "no_room"};

/* This database's rows; whoever may see none gets none. */
static HdDeniedRow *
read_rows(int *n)
{
	Size size = mul_size(sizeof(HdDeniedRow), hd_limits_setting_violations);
	HdDeniedRow *rows = palloc_extended(size, MCXT_ALLOC_HUGE);

	*n = 0;
	if (hd_settings_bound_tenant() == NULL)
		*n = hd_limits_denied_rows(hd_spi_extension(), rows);
	return rows;
}

/* (name, key, key_hash, kind) */
static void
put_key(const HdDeniedKey *key, Datum *values, bool *nulls)
{
	values[0] = CStringGetTextDatum(key->limit);
	values[1] = PointerGetDatum(cstring_to_text_with_len(key->bytes, key->length));
	values[2] = Int64GetDatum((int64) key->whole);
	nulls[2] = !key->cut;
	values[3] = CStringGetTextDatum(kinds[key->kind]);
}

static void
put_time(TimestampTz at, int column, Datum *values, bool *nulls)
{
	values[column] = TimestampTzGetDatum(at);
	nulls[column] = at == 0;
}

/*
 * hd_limits_sql_denied
 *		SQL: _limit_denied() -> setof (name, key, key_hash, kind, id, moved, role, first_at,
 *		last_at, denials, units).
 */
Datum
hd_limits_sql_denied(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HdDeniedRow *rows;
	int n;

	InitMaterializedSRF(fcinfo, 0);
	rows = read_rows(&n);
	for (int i = 0; i < n; i++)
	{
		Datum values[11];
		bool nulls[11] = {false};

		put_key(&rows[i].key, values, nulls);
		values[4] = Int64GetDatum(rows[i].id);
		values[5] = BoolGetDatum(rows[i].key.moved);
		values[6] = ObjectIdGetDatum(rows[i].role);
		put_time(rows[i].first_at, 7, values, nulls);
		put_time(rows[i].last_at, 8, values, nulls);
		values[9] = Int64GetDatum((int64) rows[i].denials);
		values[10] = Int64GetDatum((int64) rows[i].units);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* What the rows of a limit come to, for one kind. */
typedef struct Kept
{
	uint64 denials;
	TimestampTz last_at;
} Kept;

static Kept *
sum_rows(void)
{
	Size size = mul_size(sizeof(Kept) * HD_DENIED_KINDS, hd_limits_book_places());
	Kept *kept = palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	HdDeniedRow *rows;
	int n;

	rows = read_rows(&n);
	for (int i = 0; i < n; i++)
	{
		Kept *of = &kept[rows[i].place * HD_DENIED_KINDS + rows[i].key.kind];

		of->denials += rows[i].denials;
		of->last_at = Max(of->last_at, rows[i].last_at);
	}
	return kept;
}

/*
 * hd_limits_sql_denied_sums
 *		SQL: _limit_denied_sums() -> setof (name, kind, kept, others, others_units, forgotten,
 *		forgotten_units, last_at): for each limit that refused, and no keys.
 */
Datum
hd_limits_sql_denied_sums(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid extension = hd_spi_extension();
	Kept *kept;

	InitMaterializedSRF(fcinfo, 0);
	if (!hd_settings_preloaded() || hd_settings_bound_tenant() != NULL)
		return (Datum) 0;
	kept = sum_rows();
	for (int i = 0; i < hd_limits_book_places() * HD_DENIED_KINDS; i++)
	{
		HdDeniedKind kind = (HdDeniedKind) (i % HD_DENIED_KINDS);
		const char *name = hd_limits_book_name(i / HD_DENIED_KINDS, extension);
		bool nulls[8] = {false};
		Datum values[8];
		HdDeniedSum sum;

		if (name == NULL)
			continue;
		sum = hd_limits_denied_sum(i / HD_DENIED_KINDS, kind);
		if (kept[i].denials + sum.others + sum.forgotten == 0)
			continue;
		values[0] = CStringGetTextDatum(name);
		values[1] = CStringGetTextDatum(kinds[kind]);
		values[2] = Int64GetDatum((int64) kept[i].denials);
		values[3] = Int64GetDatum((int64) sum.others);
		values[4] = Int64GetDatum((int64) sum.others_units);
		values[5] = Int64GetDatum((int64) sum.forgotten);
		values[6] = Int64GetDatum((int64) sum.forgotten_units);
		put_time(Max(kept[i].last_at, sum.last_at), 7, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Keys that were refused most
 */

/* What identifies a key, padded with zeroes. */
typedef struct RankId
{
	uint64 hash[2];
	uint64 kind;
	uint64 moved;
} RankId;

typedef struct Rank
{
	RankId id;
	HdDeniedKey key;
	uint64 least;
	uint64 most;
	TimestampTz last_at;
	bool counted[HD_TOP_PERIODS]; /* has a counter of that period */
} Rank;

/* Of one set of counters: what a key without one may have. */
typedef struct Floor
{
	uint64 keys[HD_TOP_PERIODS]; /* a key without a counter */
	uint64 all;					 /* any key: what was not seen */
} Floor;

static Rank *
rank_of(HTAB *ranks, const HdDeniedKey *key)
{
	RankId id = {{key->hash[0], key->hash[1]}, key->kind, key->moved};
	bool found;
	Rank *rank = hash_search(ranks, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) rank + sizeof(RankId), 0, sizeof(Rank) - sizeof(RankId));
		rank->key = *key;
	}
	return rank;
}

static void
rank_counters(HTAB *ranks, const HdTop *top, Oid extension)
{
	for (int i = 0; i < HD_TOP_PERIODS * HD_TOP_WAYS; i++)
	{
		const HdTopPeriod *period = &top->periods[i / HD_TOP_WAYS];
		int way = i % HD_TOP_WAYS;
		const HdDeniedKey *key = &period->keys[way];
		Rank *rank;

		if (period->counts[way] == 0 || key->database != MyDatabaseId ||
			key->extension != extension)
			continue;
		rank = rank_of(ranks, key);
		rank->least += period->counts[way] - period->errors[way];
		rank->most += period->counts[way];
		rank->last_at = Max(rank->last_at, period->last[way]);
		rank->counted[i / HD_TOP_WAYS] = true;
	}
}

static Floor *
rank_tops(HTAB *ranks, TimestampTz now)
{
	Floor *floors = palloc(sizeof(Floor) * Max(hd_limits_denied_tops(), 1));
	HdTop *top = palloc(sizeof(HdTop));

	for (int i = 0; i < hd_limits_denied_tops(); i++)
	{
		uint64 unseen[HD_TOP_PERIODS];

		hd_limits_denied_top(i, now, top, unseen);
		rank_counters(ranks, top, hd_spi_extension());
		floors[i].all = 0;
		for (int period = 0; period < HD_TOP_PERIODS; period++)
		{
			floors[i].keys[period] = hd_limits_top_floor(&top->periods[period]);
			floors[i].all += unseen[period];
		}
	}
	return floors;
}

/* Rows of the two hours that the counters are of. */
static void
rank_rows(HTAB *ranks, TimestampTz now)
{
	HdDeniedRow *rows;
	int n;

	rows = read_rows(&n);
	for (int i = 0; i < n; i++)
	{
		Rank *rank;

		if (!rows[i].key.moved && rows[i].last_at / USECS_PER_HOUR < now / USECS_PER_HOUR - 1)
			continue;
		rank = rank_of(ranks, &rows[i].key);
		rank->least += rows[i].denials;
		rank->most += rows[i].denials;
		rank->last_at = Max(rank->last_at, rows[i].last_at);
	}
}

/*
 * hd_limits_sql_denied_top
 *		SQL: _limit_denied_top() -> setof (name, key, key_hash, kind, at_least, at_most, last_at).
 */
Datum
hd_limits_sql_denied_top(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASHCTL control = {.keysize = sizeof(RankId), .entrysize = sizeof(Rank)};
	/* a session whose clock is moved does not decide what is long ago */
	TimestampTz now = hd_clock_overridden() ? 0 : hd_clock_now();
	HASH_SEQ_STATUS scan;
	Floor *floors;
	HTAB *ranks;
	Rank *rank;

	InitMaterializedSRF(fcinfo, 0);
	if (hd_settings_bound_tenant() != NULL)
		return (Datum) 0;
	control.hcxt = CurrentMemoryContext;
	ranks =
		hash_create("hotdash refused keys", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	floors = rank_tops(ranks, now);
	rank_rows(ranks, now);
	hash_seq_init(&scan, ranks);
	while ((rank = hash_seq_search(&scan)) != NULL)
	{
		Floor *floor = &floors[hd_limits_denied_top_of(&rank->key)];
		bool nulls[7] = {false};
		Datum values[7];

		rank->most += floor->all;
		for (int period = 0; period < HD_TOP_PERIODS; period++)
			rank->most += rank->counted[period] ? 0 : floor->keys[period];
		put_key(&rank->key, values, nulls);
		values[4] = Int64GetDatum((int64) rank->least);
		values[5] = Int64GetDatum((int64) rank->most);
		put_time(rank->last_at, 6, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	hash_destroy(ranks);
	return (Datum) 0;
}

static Datum
row_of(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc type;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls));
}

/*
 * hd_limits_sql_state
 *		SQL: _limit_state() -> (loaded, failed_at).
 */
Datum
hd_limits_sql_state(PG_FUNCTION_ARGS)
{
	Datum values[2];
	bool nulls[2] = {false};

	values[0] = BoolGetDatum(hd_settings_preloaded());
	put_time(hd_limits_denied_failed_at(), 1, values, nulls);
	return row_of(fcinfo, values, nulls);
}

/* (held, allowed, quota, remaining, next_after, reset_after): of a bucket */
static void
look_at_bucket(HdLimit *limit, HdLimitSubject subject, Datum *values)
{
	bool held;
	HdLimitVerdict verdict = hd_limits_decide_look(limit, subject, hd_clock_now(), &held);

	values[0] = BoolGetDatum(held);
	values[1] = BoolGetDatum(verdict.allowed);
	values[2] = Int32GetDatum(verdict.quota);
	values[3] = Int32GetDatum((int32) verdict.remaining);
	values[4] = Float8GetDatum((double) verdict.next_after / USECS_PER_SEC);
	values[5] = Float8GetDatum((double) verdict.reset_after / USECS_PER_SEC);
}

/* The same of places, of which no time brings one back. */
static void
look_at_places(const HdLimit *limit, int places, Datum *values, bool *nulls)
{
	int count = limit->rule.policy.count;

	values[0] = BoolGetDatum(places > 0);
	values[1] = BoolGetDatum(places < count || limit->rule.shadow);
	values[2] = Int32GetDatum(count);
	values[3] = Int32GetDatum(Max(count - places, 0));
	nulls[4] = nulls[5] = true;
}

/*
 * hd_limits_sql_look
 *		SQL: _limit_look(name, key) -> (held, allowed, quota, remaining, next_after, reset_after,
 *		places), times in seconds.
 */
Datum
hd_limits_sql_look(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_limit(fcinfo, 0);
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	int places = (limit->entry != NULL) ? hd_limits_places_held(limit, subject) : 0;
	bool nulls[7] = {false};
	Datum values[7];

	if (limit->rule.policy.algorithm == HD_LIMIT_CONCURRENCY)
		look_at_places(limit, places, values, nulls);
	else
		look_at_bucket(limit, subject, values);
	values[6] = Int32GetDatum(places);
	return row_of(fcinfo, values, nulls);
}
