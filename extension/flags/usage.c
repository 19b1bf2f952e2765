/*-------------------------------------------------------------------------
 * usage.c
 *		How often flags are used, summed up over all sessions.
 *
 * Model and locking: usage.h.  What a transaction takes out is remembered
 * until it ends, and added again if it rolls back.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/usage.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/shmem.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define WAYS 16
#define IDLE_US USECS_PER_DAY

/* Which flag and variant, of which database and extension. */
typedef struct UseName
{
	uint64 hash;
	Oid database;
	Oid extension;
	uint16 key_length; /* 0: slot is free */
	uint16 variant_length;
	char bytes[2 * HD_FLAGS_MAX_NAME + 2]; /* key, then variant */
} UseName;

typedef struct Slot
{
	UseName name;		   /* set's lock */
	TimestampTz first;	   /* set's lock; since it was last taken out */
	pg_atomic_uint64 last; /* added to with the lock shared */
	pg_atomic_uint64 uses; /* likewise */
} Slot;

typedef struct Set
{
	LWLock lock;
	Slot slots[WAYS];
} Set;

/* What a slot says, at one moment. */
typedef struct Use
{
	UseName name;
	TimestampTz first;
	TimestampTz last;
	uint64 uses;
} Use;

/* Taken out by this transaction; in its memory, the latest first. */
typedef struct Taken
{
	struct Taken *next;
	SubTransactionId by;
	Use use;
} Taken;

int hd_flags_setting_use_slots = 4096;
void (*hd_flags_usage_flush)(void) = NULL;

static Set *sets = NULL;
static Taken *taken = NULL;

PG_FUNCTION_INFO_V1(hd_flags_sql_use_live);
PG_FUNCTION_INFO_V1(hd_flags_sql_use_take);

/*
 * Shared memory
 */

static int
set_count(void)
{
	return (hd_flags_setting_use_slots + WAYS - 1) / WAYS;
}

static Size
area_size(void)
{
	return mul_size(set_count(), sizeof(Set));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	sets = base;
	if (!fresh)
		return;
	for (int i = 0; i < set_count(); i++)
	{
		LWLockInitialize(&sets[i].lock, lock->tranche);
		for (int way = 0; way < WAYS; way++)
		{
			pg_atomic_init_u64(&sets[i].slots[way].last, 0);
			pg_atomic_init_u64(&sets[i].slots[way].uses, 0);
		}
	}
}

static const HdShmemArea area = {"hotdash_flag_uses", area_size, area_init};

void
hd_flags_usage_register(void)
{
	hd_shmem_register(&area);
}

/*
 * Slots
 */

static Set *
set_of(const UseName *name)
{
	return &sets[(name->hash >> 32) % set_count()];
}

static bool
same_name(const UseName *a, const UseName *b)
{
	return a->hash == b->hash && a->database == b->database && a->extension == b->extension &&
		   a->key_length == b->key_length && a->variant_length == b->variant_length &&
		   memcmp(a->bytes, b->bytes, a->key_length + a->variant_length) == 0;
}

static Slot *
find(Set *set, const UseName *name)
{
	for (int way = 0; way < WAYS; way++)
	{
		if (same_name(&set->slots[way].name, name))
			return &set->slots[way];
	}
	return NULL;
}

/* Set's lock held exclusively.  A free one, or one that was idle for long, the idlest; NULL: none. */
static Slot *
find_room(Set *set, TimestampTz now)
{
	Slot *idlest = NULL;

	for (int way = 0; way < WAYS; way++)
	{
		Slot *slot = &set->slots[way];

		if (slot->name.key_length == 0)
			return slot;
		if (idlest == NULL || pg_atomic_read_u64(&slot->last) < pg_atomic_read_u64(&idlest->last))
			idlest = slot;
	}
	if ((TimestampTz) pg_atomic_read_u64(&idlest->last) + IDLE_US > now)
		return NULL;
	hd_counters_add(HD_COUNTER_FLAGS_USES_LOST, pg_atomic_read_u64(&idlest->uses));
	idlest->name.key_length = 0;
	return idlest;
}

/* Set's lock held, shared will do. */
static void
add_to(Slot *slot, uint64 n, TimestampTz at)
{
	uint64 last = pg_atomic_read_u64(&slot->last);

	pg_atomic_fetch_add_u64(&slot->uses, (int64) n);
	while (last < (uint64) at && !pg_atomic_compare_exchange_u64(&slot->last, &last, (uint64) at))
		;
}

static bool
add_use(const Use *use)
{
	Set *set = set_of(&use->name);
	Slot *slot;

	LWLockAcquire(&set->lock, LW_SHARED);
	slot = find(set, &use->name);
	if (slot != NULL)
	{
		add_to(slot, use->uses, use->last);
		LWLockRelease(&set->lock);
		return true;
	}
	LWLockRelease(&set->lock);

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	slot = find(set, &use->name);
	if (slot == NULL)
	{
		slot = find_room(set, use->last);
		if (slot == NULL)
		{
			LWLockRelease(&set->lock);
			return false;
		}
		slot->name = use->name;
		slot->first = use->first;
		pg_atomic_write_u64(&slot->last, 0);
		pg_atomic_write_u64(&slot->uses, 0);
	}
	add_to(slot, use->uses, use->last);
	LWLockRelease(&set->lock);
	return true;
}

bool
hd_flags_usage_add(Oid extension, const char *key, int key_length, const char *variant,
				   int variant_length, uint64 n)
{
	Use use;

	if (sets == NULL || n == 0 || key_length <= 0 || key_length > HD_FLAGS_MAX_NAME)
		return true;
	if (variant_length > HD_FLAGS_MAX_NAME)
		variant_length = pg_mbcliplen(variant, variant_length, HD_FLAGS_MAX_NAME);
	use.name.database = MyDatabaseId;
	use.name.extension = extension;
	use.name.key_length = (uint16) key_length;
	use.name.variant_length = (uint16) variant_length;
	memcpy(use.name.bytes, key, key_length);
	if (variant_length > 0)
		memcpy(use.name.bytes + key_length, variant, variant_length);
	use.name.hash =
		hash_bytes_extended((const unsigned char *) use.name.bytes, key_length + variant_length,
							((uint64) MyDatabaseId << 32) ^ extension);
	use.first = use.last = hd_clock_now();
	use.uses = n;
	return add_use(&use);
}

/*
 * What a transaction has taken out
 */

/* Those that the subtransaction took, or all, go back. */
static void
give_back(SubTransactionId by)
{
	while (taken != NULL && (by == InvalidSubTransactionId || taken->by == by))
	{
		if (!add_use(&taken->use))
			hd_counters_add(HD_COUNTER_FLAGS_USES_LOST, taken->use.uses);
		taken = taken->next;
	}
}

static void
at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		give_back(InvalidSubTransactionId);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		taken = NULL;
}

static void
at_end_of_part(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		give_back(own);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (Taken *t = taken; t != NULL && t->by == own; t = t->next)
			t->by = parent;
	}
}

static void
watch_end(void)
{
	static bool watched = false;

	if (watched)
		return;
	RegisterXactCallback(at_end, NULL);
	RegisterSubXactCallback(at_end_of_part, NULL);
	watched = true;
}

/*
 * For SQL
 */

static void
put_row(ReturnSetInfo *rsinfo, const Use *use)
{
	const UseName *name = &use->name;
	Datum values[5];
	bool nulls[5] = {0};

	values[0] = PointerGetDatum(cstring_to_text_with_len(name->bytes, name->key_length));
	values[1] = PointerGetDatum(
		cstring_to_text_with_len(name->bytes + name->key_length, name->variant_length));
	values[2] = Int64GetDatum((int64) use->uses);
	values[3] = TimestampTzGetDatum(use->first);
	values[4] = TimestampTzGetDatum(use->last);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* What a set has of this database's extension, at most WAYS; out: and no more. */
static int
read_set(Set *set, Oid extension, bool out, Use *uses)
{
	int n = 0;

	LWLockAcquire(&set->lock, out ? LW_EXCLUSIVE : LW_SHARED);
	for (int way = 0; way < WAYS; way++)
	{
		Slot *slot = &set->slots[way];

		if (slot->name.key_length == 0 || slot->name.database != MyDatabaseId ||
			slot->name.extension != extension)
			continue;
		uses[n].name = slot->name;
		uses[n].first = slot->first;
		uses[n].last = (TimestampTz) pg_atomic_read_u64(&slot->last);
		uses[n].uses = pg_atomic_read_u64(&slot->uses);
		if (out)
			slot->name.key_length = 0;
		n++;
	}
	LWLockRelease(&set->lock);
	return n;
}

/* Room for what a set may hold, before anything is taken out of it. */
static Taken *
make_room(void)
{
	Taken *room = MemoryContextAlloc(TopTransactionContext, WAYS * sizeof(Taken));

	watch_end();
	return room;
}

static void
remember(Taken *room, const Use *uses, int n)
{
	for (int i = 0; i < n; i++)
	{
		room[i].use = uses[i];
		room[i].by = GetCurrentSubTransactionId();
		room[i].next = taken;
		taken = &room[i];
	}
}

static void
return_uses(FunctionCallInfo fcinfo, bool out)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid extension = hd_spi_extension();
	Use *uses = palloc(WAYS * sizeof(Use));

	InitMaterializedSRF(fcinfo, 0);
	if (sets == NULL)
		return;
	if (hd_flags_usage_flush != NULL)
		hd_flags_usage_flush();
	for (int i = 0; i < set_count(); i++)
	{
		Taken *room = NULL;
		int n = read_set(&sets[i], extension, false, uses);

		if (n == 0)
			continue;
		if (out)
		{
			room = make_room();
			n = read_set(&sets[i], extension, true, uses);
			remember(room, uses, n);
		}
		for (int k = 0; k < n; k++)
			put_row(rsinfo, &uses[k]);
	}
}

/*
 * hd_flags_sql_use_live
 *		SQL: _flag_use_live() -> setof (key, variant, uses, first_used, last_used).
 */
Datum
hd_flags_sql_use_live(PG_FUNCTION_ARGS)
{
	return_uses(fcinfo, false);
	return (Datum) 0;
}

/*
 * hd_flags_sql_use_take
 *		SQL: _flag_use_take(), the same.
 */
Datum
hd_flags_sql_use_take(PG_FUNCTION_ARGS)
{
	return_uses(fcinfo, true);
	return (Datum) 0;
}
