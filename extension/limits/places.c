/*-------------------------------------------------------------------------
 * places.c
 *		Places of limits: how many hold one at a time.
 *
 * Model: see places.h.  A key of which places are held has a record, found by
 * its hash; its places are linked to it, oldest first, and to the session that
 * holds each.  What is not in use is in a list of its kind.  There are as many
 * records as places, so one is there whenever a place is.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/places.h"

#include "core/clock.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "limits/sql.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Bytes of a key that holders are shown with; what is longer ends with an ellipsis. */
#define SHOWN_KEY_SIZE 104
#define ELLIPSIS "\xE2\x80\xA6"

/* Places that are looked at under one lock by who lists them. */
#define BATCH 32

/* All fields of all of it: the area's lock. */
typedef struct PlaceKey
{
	dlist_node node; /* of those in its bucket, or of the free ones */
	dlist_head places;
	int held;
	uint64 hash[2];
	Oid database;
	Oid extension;
	char name[HD_LIMIT_NAME_SIZE];
	char key[SHOWN_KEY_SIZE];
} PlaceKey;

typedef struct Place
{
	dlist_node of_key; /* or of the free ones */
	dlist_node of_session;
	PlaceKey *key; /* NULL: it is free */
	Oid user;
	int pid;
	TimestampTz since;
} Place;

typedef struct Places
{
	dlist_head free_places;
	dlist_head free_keys;
	Place *places;
	dlist_head *buckets;  /* of keys, as many as places */
	dlist_head *sessions; /* by the number of the process */
} Places;

int hd_limits_setting_places = 4096;

static Places *shared = NULL;
static LWLock *places_lock = NULL;
static bool exit_registered = false;
static ProcessUtility_hook_type prev_utility = NULL;

PG_FUNCTION_INFO_V1(hd_limits_sql_acquire);
PG_FUNCTION_INFO_V1(hd_limits_sql_release);
PG_FUNCTION_INFO_V1(hd_limits_sql_places);

/*
 * Memory
 */

static Size
area_size(void)
{
	Size each = MAXALIGN(sizeof(Place)) + MAXALIGN(sizeof(PlaceKey)) + sizeof(dlist_head);
	Size size = add_size(MAXALIGN(sizeof(Places)), mul_size(each, hd_limits_setting_places));

	return add_size(size, mul_size(sizeof(dlist_head), MaxBackends));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	int n = hd_limits_setting_places;
	PlaceKey *keys;

	shared = base;
	places_lock = lock;
	if (!fresh)
		return;
	shared->places = (Place *) ((char *) base + MAXALIGN(sizeof(Places)));
	keys = (PlaceKey *) (shared->places + n);
	shared->buckets = (dlist_head *) (keys + n);
	shared->sessions = shared->buckets + n;
	dlist_init(&shared->free_places);
	dlist_init(&shared->free_keys);
	for (int i = 0; i < n; i++)
	{
		dlist_push_tail(&shared->free_places, &shared->places[i].of_key);
		dlist_push_tail(&shared->free_keys, &keys[i].node);
		dlist_init(&shared->buckets[i]);
	}
	for (int i = 0; i < MaxBackends; i++)
		dlist_init(&shared->sessions[i]);
}

static const HdShmemArea area = {"hotdash_limit_places", area_size, area_init};

StaticAssertDecl(sizeof(Place) == MAXALIGN(sizeof(Place)) &&
					 sizeof(PlaceKey) == MAXALIGN(sizeof(PlaceKey)),
				 "arrays follow one another");

/*
 * Keys and places.  Under the lock.
 */

static dlist_head *
bucket_of(const HdLimitKey *key)
{
	return &shared->buckets[key->hash[0] % (uint64) hd_limits_setting_places];
}

static dlist_head *
own_places(void)
{
	Assert(HD_MY_PROCNO >= 0 && HD_MY_PROCNO < MaxBackends);
	return &shared->sessions[HD_MY_PROCNO];
}

static PlaceKey *
find_key(const HdLimitKey *key)
{
	dlist_iter at;

	dlist_foreach (at, bucket_of(key))
	{
		PlaceKey *found = dlist_container(PlaceKey, node, at.cur);

		if (found->hash[0] == key->hash[0] && found->hash[1] == key->hash[1])
			return found;
	}
	return NULL;
}

static PlaceKey *
add_key(const HdLimitKey *key, const PlaceKey *description)
{
	PlaceKey *added = dlist_container(PlaceKey, node, dlist_pop_head_node(&shared->free_keys));

	*added = *description;
	added->hash[0] = key->hash[0];
	added->hash[1] = key->hash[1];
	added->held = 0;
	dlist_init(&added->places);
	dlist_push_head(bucket_of(key), &added->node);
	return added;
}

static void
add_place(PlaceKey *key, TimestampTz now)
{
	Place *place = dlist_container(Place, of_key, dlist_pop_head_node(&shared->free_places));

	place->key = key;
	place->user = GetSessionUserId();
	place->pid = MyProcPid;
	place->since = now;
	dlist_push_tail(&key->places, &place->of_key);
	dlist_push_head(own_places(), &place->of_session);
	key->held++;
}

static void
free_place(Place *place)
{
	PlaceKey *key = place->key;

	dlist_delete(&place->of_session);
	dlist_delete(&place->of_key);
	place->key = NULL;
	dlist_push_head(&shared->free_places, &place->of_key);
	if (--key->held > 0)
		return;
	dlist_delete(&key->node);
	dlist_push_head(&shared->free_keys, &key->node);
}

/* This session's place of a key, or the oldest of another session of its user. */
static Place *
find_place(PlaceKey *key)
{
	Oid user = GetSessionUserId();
	dlist_iter at;

	dlist_foreach (at, own_places())
	{
		Place *place = dlist_container(Place, of_session, at.cur);

		if (place->key == key)
			return place;
	}
	dlist_foreach (at, &key->places)
	{
		Place *place = dlist_container(Place, of_key, at.cur);

		if (place->user == user)
			return place;
	}
	return NULL;
}

/*
 * The end of a session, or its being reset
 */

static void
free_own(void)
{
	dlist_head *own;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	own = own_places();
	while (!dlist_is_empty(own))
		free_place(dlist_head_element(Place, of_session, own));
	LWLockRelease(places_lock);
}

static void
leave(int code, Datum arg)
{
	free_own();
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *completion)
{
	/* the tree may be gone afterwards */
	bool discards = IsA(pstmt->utilityStmt, DiscardStmt) &&
					castNode(DiscardStmt, pstmt->utilityStmt)->target == DISCARD_ALL;

	if (prev_utility != NULL)
		prev_utility(pstmt, query_string, read_only_tree, context, params, query_env, dest,
					 completion);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context, params, query_env,
								dest, completion);
	if (discards && exit_registered)
		free_own();
}

void
hd_limits_places_register(void)
{
	hd_shmem_register(&area);
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/*
 * Taking and giving back
 */

/* What is shown of a key, and of what limit it is. */
static void
describe(PlaceKey *description, const HdLimit *limit, HdLimitSubject subject)
{
	int length = subject.length;

	description->database = MyDatabaseId;
	description->extension = hd_spi_extension();
	memcpy(description->name, limit->name, HD_LIMIT_NAME_SIZE);
	if (length >= SHOWN_KEY_SIZE)
		length = pg_mbcliplen(subject.bytes, length, SHOWN_KEY_SIZE - (int) sizeof(ELLIPSIS));
	memcpy(description->key, subject.bytes, length);
	strlcpy(description->key + length, (length < subject.length) ? ELLIPSIS : "",
			SHOWN_KEY_SIZE - length);
}

/* Whether a place fits, and one if there is.  In shadow mode there is one though it does not fit. */
static bool
take_place(const HdLimit *limit, const HdLimitKey *hash, const PlaceKey *description,
		   TimestampTz now, HdLimitOutcome *outcome)
{
	int64 count = limit->rule.policy.count;
	PlaceKey *key;
	int64 held;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	key = find_key(hash);
	held = (key != NULL) ? key->held : 0;
	outcome->no_room = held < count && dlist_is_empty(&shared->free_places);
	if ((held < count || limit->rule.shadow) && !dlist_is_empty(&shared->free_places))
		add_place((key != NULL) ? key : add_key(hash, description), now);
	LWLockRelease(places_lock);
	outcome->remaining = Max(count - held - 1, 0);
	outcome->near = outcome->remaining * HD_LIMIT_NEAR_PARTS <= count;
	return held < count && !outcome->no_room;
}

bool
hd_limits_places_acquire(HdLimit *limit, HdLimitSubject subject, TimestampTz now)
{
	HdLimitOutcome outcome = {0};
	PlaceKey description;
	HdLimitKey hash = {{0, 0}, false};

	if (limit->entry == NULL)
	{
		outcome.no_room = true;
		return hd_limits_decide_place(limit, &hash, subject, &outcome, now);
	}
	if (!exit_registered)
	{
		/* Not before_shmem_exit: transaction and locks must have ended by then. */
		on_shmem_exit(leave, (Datum) 0);
		exit_registered = true;
	}
	hash = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	describe(&description, limit, subject);
	outcome.done = take_place(limit, &hash, &description, now, &outcome) ? 1 : 0;
	if (outcome.no_room)
		hd_counters_add(HD_COUNTER_LIMITS_PLACES_FULL, 1);
	return hd_limits_decide_place(limit, &hash, subject, &outcome, now);
}

bool
hd_limits_places_release(const char *name, HdLimitSubject subject)
{
	HdLimitKey limit = hd_limits_key_of_limit(HD_LIMIT_SPACE_STORED, name);
	HdLimitKey hash = hd_limits_key_add(&limit, subject.bytes, subject.length);
	Place *place = NULL;
	PlaceKey *key;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	key = find_key(&hash);
	if (key != NULL)
		place = find_place(key);
	if (place != NULL)
		free_place(place);
	LWLockRelease(places_lock);
	return place != NULL;
}

int
hd_limits_places_held(const HdLimit *limit, HdLimitSubject subject)
{
	HdLimitKey hash = hd_limits_key_add(&limit->key, subject.bytes, subject.length);
	PlaceKey *key;
	int held;

	LWLockAcquire(places_lock, LW_SHARED);
	key = find_key(&hash);
	held = (key != NULL) ? key->held : 0;
	LWLockRelease(places_lock);
	return held;
}

/*
 * hd_limits_sql_acquire
 *		SQL: limit_acquire(name, key) -> bool.
 */
Datum
hd_limits_sql_acquire(PG_FUNCTION_ARGS)
{
	HdLimit *limit = hd_limits_sql_limit(fcinfo, 0);

	PG_RETURN_BOOL(hd_limits_places_acquire(limit, hd_limits_sql_key(fcinfo, 1), hd_clock_now()));
}

/*
 * hd_limits_sql_release
 *		SQL: limit_release(name, key) -> bool.
 *
 * A limit may be gone while its places are held; only where there is nothing to
 * give back has it to be there.
 */
Datum
hd_limits_sql_release(PG_FUNCTION_ARGS)
{
	HdLimitSubject subject = hd_limits_sql_key(fcinfo, 1);
	bool released = false;

	hd_limits_sql_require(fcinfo, 0, "name");
	if (shared != NULL)
		released = hd_limits_places_release(text_to_cstring(PG_GETARG_TEXT_PP(0)), subject);
	if (!released)
		(void) hd_limits_sql_limit(fcinfo, 0);
	PG_RETURN_BOOL(released);
}

/*
 * Who holds them
 */

typedef struct Holder
{
	char name[HD_LIMIT_NAME_SIZE];
	char key[SHOWN_KEY_SIZE];
	int pid;
	TimestampTz since;
} Holder;

/* Of the places from first on, those that are held in this database. */
static int
copy_batch(int first, Oid extension, Holder *holders)
{
	int n = 0;

	LWLockAcquire(places_lock, LW_SHARED);
	for (int i = first; i < first + BATCH && i < hd_limits_setting_places; i++)
	{
		const Place *place = &shared->places[i];
		const PlaceKey *key = place->key;

		if (key == NULL || key->database != MyDatabaseId || key->extension != extension)
			continue;
		memcpy(holders[n].name, key->name, sizeof(key->name));
		memcpy(holders[n].key, key->key, sizeof(key->key));
		holders[n].pid = place->pid;
		holders[n].since = place->since;
		n++;
	}
	LWLockRelease(places_lock);
	return n;
}

/*
 * hd_limits_sql_places
 *		SQL: _limit_places() -> setof (name, key, pid, since) of this database; none without
 *		preload.
 */
Datum
hd_limits_sql_places(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid extension = hd_spi_extension();
	Holder holders[BATCH];

	InitMaterializedSRF(fcinfo, 0);
	for (int first = 0; shared != NULL && first < hd_limits_setting_places; first += BATCH)
	{
		int n = copy_batch(first, extension, holders);

		for (int i = 0; i < n; i++)
		{
			Datum values[4];
			bool nulls[4] = {false};

			values[0] = CStringGetTextDatum(holders[i].name);
			values[1] = CStringGetTextDatum(holders[i].key);
			values[2] = Int32GetDatum(holders[i].pid);
			values[3] = TimestampTzGetDatum(holders[i].since);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
