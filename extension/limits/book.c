/*-------------------------------------------------------------------------
 * book.c
 *		The stored limits of the cluster in shared memory.
 *
 * Model and locking: see book.h.  Entries are found by probing from the place
 * that their hash names; the first one has no name and is for all others.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/book.h"

#include "common/hashfn.h"
#include "core/settings.h"
#include "core/shmem.h"
#include "core/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "utils/builtins.h"

#define SHARDS 8

/* A cache line of counts, written by an eighth of the sessions. */
typedef struct Shard
{
	pg_atomic_uint64 counts[HD_LIMIT_COUNTS];
	char unused[PG_CACHE_LINE_SIZE - HD_LIMIT_COUNTS * sizeof(pg_atomic_uint64)];
} Shard;

struct HdLimitEntry
{
	Shard shards[SHARDS];
	Oid database; /* InvalidOid: the entry is free */
	Oid extension;
	char name[HD_LIMIT_NAME_SIZE];
	uint64 number; /* the book's, when the rule was read; 0: it was not */
	HdLimitRule rule;
};

typedef struct Book
{
	pg_atomic_uint64 number;
	HdLimitEntry *entries;
} Book;

int hd_limits_setting_policies = 1024;

static Book *book = NULL;
static LWLock *book_lock = NULL;

PG_FUNCTION_INFO_V1(hd_limits_sql_counts);

static Size
area_size(void)
{
	return add_size(MAXALIGN(sizeof(Book)) + PG_CACHE_LINE_SIZE,
					mul_size((Size) hd_limits_setting_policies + 1, sizeof(HdLimitEntry)));
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	book = base;
	book_lock = lock;
	if (!fresh)
		return;
	book->entries = (HdLimitEntry *) CACHELINEALIGN((char *) base + sizeof(Book));
	pg_atomic_init_u64(&book->number, 1);
	for (int i = 0; i <= hd_limits_setting_policies; i++)
	{
		for (int shard = 0; shard < SHARDS; shard++)
		{
			for (int kind = 0; kind < HD_LIMIT_COUNTS; kind++)
				pg_atomic_init_u64(&book->entries[i].shards[shard].counts[kind], 0);
		}
	}
}

static const HdShmemArea area = {"hotdash_limit_book", area_size, area_init};

void
hd_limits_book_register(void)
{
	hd_shmem_register(&area);
}

uint64
hd_limits_book_number(void)
{
	return (book != NULL) ? pg_atomic_read_u64(&book->number) : 0;
}

void
hd_limits_book_changed(void)
{
	if (book != NULL)
		pg_atomic_fetch_add_u64(&book->number, 1);
}

/* The entry, or a free one where it would stand, or NULL when all are taken.  Under the lock. */
static HdLimitEntry *
probe(Oid extension, const char *name)
{
	uint32 hash = hash_combine(hash_bytes((const unsigned char *) name, (int) strlen(name)),
							   hash_combine(MyDatabaseId, extension));

	for (int i = 0; i < hd_limits_setting_policies; i++)
	{
		HdLimitEntry *entry =
			&book->entries[1 + (hash + (uint32) i) % (uint32) hd_limits_setting_policies];

		if (!OidIsValid(entry->database) ||
			(entry->database == MyDatabaseId && entry->extension == extension &&
			 strcmp(entry->name, name) == 0))
			return entry;
	}
	return NULL;
}

HdLimitEntry *
hd_limits_book_entry(Oid extension, const char *name)
{
	HdLimitEntry *entry;

	if (book == NULL)
		return NULL;
	LWLockAcquire(book_lock, LW_EXCLUSIVE);
	entry = probe(extension, name);
	if (entry != NULL && !OidIsValid(entry->database))
	{
		entry->extension = extension;
		strlcpy(entry->name, name, sizeof(entry->name));
		pg_write_barrier();
		entry->database = MyDatabaseId;
	}
	LWLockRelease(book_lock);
	return (entry != NULL) ? entry : book->entries;
}

bool
hd_limits_book_read(HdLimitEntry *entry, uint64 number, HdLimitRule *rule)
{
	bool found;

	if (entry == NULL || entry == book->entries)
		return false;
	LWLockAcquire(book_lock, LW_SHARED);
	found = entry->number == number;
	if (found)
		*rule = entry->rule;
	LWLockRelease(book_lock);
	return found;
}

void
hd_limits_book_publish(HdLimitEntry *entry, uint64 number, const HdLimitRule *rule)
{
	if (entry == NULL || entry == book->entries)
		return;
	LWLockAcquire(book_lock, LW_EXCLUSIVE);
	if (entry->number < number)
	{
		entry->number = number;
		entry->rule = *rule;
	}
	LWLockRelease(book_lock);
}

void
hd_limits_book_count(HdLimitEntry *entry, HdLimitCount kind)
{
	if (entry != NULL)
		pg_atomic_fetch_add_u64(&entry->shards[(uint32) MyProcPid % SHARDS].counts[kind], 1);
}

int
hd_limits_book_places(void)
{
	return hd_limits_setting_policies + 1;
}

int
hd_limits_book_place(const HdLimitEntry *entry)
{
	return (int) (entry - book->entries);
}

/* What an entry is of is written first, and never changes. */
const char *
hd_limits_book_name(int place, Oid extension)
{
	HdLimitEntry *entry = (book != NULL) ? &book->entries[place] : NULL;

	if (entry == NULL || entry->database != MyDatabaseId || entry->extension != extension)
		return NULL;
	pg_read_barrier();
	return entry->name;
}

/*
 * hd_limits_sql_counts
 *		SQL: _limit_counts() -> setof (name, allowed, denied, shadowed, near, failed) of this
 *		database; empty without preload, and for a session that is bound to a tenant, since
 *		limits count for all of them.
 */
Datum
hd_limits_sql_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid extension = hd_spi_extension();

	InitMaterializedSRF(fcinfo, 0);
	if (hd_settings_bound_tenant() != NULL)
		return (Datum) 0;
	for (int i = 0; book != NULL && i <= hd_limits_setting_policies; i++)
	{
		HdLimitEntry *entry = &book->entries[i];
		const char *name = hd_limits_book_name(i, extension);
		Datum values[1 + HD_LIMIT_COUNTS];
		bool nulls[1 + HD_LIMIT_COUNTS] = {false};

		if (name == NULL)
			continue;
		values[0] = CStringGetTextDatum(name);
		for (int kind = 0; kind < HD_LIMIT_COUNTS; kind++)
		{
			uint64 sum = 0;

			for (int shard = 0; shard < SHARDS; shard++)
				sum += pg_atomic_read_u64(&entry->shards[shard].counts[kind]);
			values[1 + kind] = Int64GetDatum((int64) sum);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
