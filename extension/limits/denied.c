/*-------------------------------------------------------------------------
 * denied.c
 *		The log of refusals, in shared memory.
 *
 * Model and locking: see denied.h.  A row is found by a table of places that
 * is only a hint: four places are looked at, the row's key decides, and a key
 * that is crowded out of it begins another row.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "limits/denied.h"

#include "common/hashfn.h"
#include "core/clock.h"
#include "core/shmem.h"
#include "core/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"

#define LINE 64 /* bytes that a processor fetches at once */
#define ROW_PARTS 4
#define TALLY_PARTS 8
#define HINT_WAYS 4
#define HINTS_PER_ROW 4
#define ROW_LASTS_US USECS_PER_MINUTE

/* A session may have read its clock so much earlier than the one that began the row. */
#define CLOCK_SLACK_US USECS_PER_SEC

/* A row's generation is odd while the row is rewritten. */
#define GENERATION(word) ((uint32) ((word) >> 32))
#define COUNT(word) ((uint32) (word))
#define WORD(generation, count) ((uint64) (generation) << 32 | (count))

/* Units beyond one for each refusal, which need more bits: they stop at the most there are. */
#define UNITS_BITS 48
#define UNITS_MOST ((UINT64CONST(1) << UNITS_BITS) - 1)
#define UNITS_GENERATION(word) ((uint16) ((word) >> UNITS_BITS))
#define UNITS_WORD(generation, units) ((uint64) (uint16) (generation) << UNITS_BITS | (units))

/* A cache line of a row, written by a quarter of the sessions. */
typedef struct Part
{
	pg_atomic_uint64 denials; /* WORD */
	pg_atomic_uint64 units;	  /* UNITS_WORD, beyond one each */
	pg_atomic_uint64 last_at;
	char unused[LINE - 3 * sizeof(pg_atomic_uint64)];
} Part;

/* All but parts is written under the lock, while the generations are odd. */
typedef struct Row
{
	Part parts[ROW_PARTS];
	int64 id;
	int64 first_at; /* 0: never used */
	Oid role;
	int place;
	HdDeniedKey key;
	char unused[LINE - (sizeof(HdDeniedKey) + 3 * sizeof(int64)) % LINE];
} Row;

/* What has no row, or lost it; a cache line for an eighth of the sessions. */
typedef struct TallyPart
{
	pg_atomic_uint64 others[HD_DENIED_KINDS];
	pg_atomic_uint64 units[HD_DENIED_KINDS];
	pg_atomic_uint64 last_at;
	char unused[LINE - (2 * HD_DENIED_KINDS + 1) * sizeof(pg_atomic_uint64)];
} TallyPart;

/* One for each place in the book. */
typedef struct Tally
{
	TallyPart parts[TALLY_PARTS];
	pg_atomic_uint64 forgotten[HD_DENIED_KINDS];
	pg_atomic_uint64 forgotten_units[HD_DENIED_KINDS];
	pg_atomic_uint64 forgotten_at;
	pg_atomic_uint64 begun; /* a second, and in the last byte the rows begun in it */
} Tally;

typedef struct TopSet
{
	LWLock lock;
	pg_atomic_uint64 unseen; /* in the hour of top */
	uint64 unseen_before;	 /* in the one before; lock */
	HdTop top;				 /* lock */
} TopSet;

/* Fixed after start but for what says otherwise. */
typedef struct Log
{
	pg_atomic_uint64 failed_at;
	int next;	   /* row to be begun; lock */
	int64 next_id; /* lock */
	int nrows;
	int ntallies;
	int ntops;
	uint32 hint_mask;
} Log;

int hd_limits_setting_violations = 1024;

static Log *denied = NULL;
static LWLock *log_lock = NULL;
static pg_atomic_uint32 *hints = NULL; /* row + 1; written under the lock */
static Row *rows = NULL;
static Tally *tallies = NULL;
static TopSet *tops = NULL;

static int
ntops(void)
{
	return (hd_limits_setting_violations + HD_TOP_WAYS - 1) / HD_TOP_WAYS;
}

static uint32
nhints(void)
{
	return pg_nextpower2_32((uint32) hd_limits_setting_violations * HINTS_PER_ROW);
}

static Size
area_size(void)
{
	Size size = CACHELINEALIGN(sizeof(Log)) + PG_CACHE_LINE_SIZE;

	size = add_size(size, mul_size(ntops(), sizeof(TopSet)));
	size = add_size(size, mul_size(hd_limits_book_places(), sizeof(Tally)));
	size = add_size(size, mul_size(hd_limits_setting_violations, sizeof(Row)));
	return add_size(size, mul_size(nhints(), sizeof(pg_atomic_uint32)));
}

StaticAssertDecl(sizeof(Row) % LINE == 0, "rows do not share lines");
StaticAssertDecl(sizeof(Tally) % LINE == 0, "nor do tallies");

/* Words that stand one after another. */
static void
init_words(pg_atomic_uint64 *words, int n)
{
	for (int i = 0; i < n; i++)
		pg_atomic_init_u64(&words[i], 0);
}

static void
area_make(LWLock *lock)
{
	/* so that ids go on after a restart, where the log begins anew */
	denied->next_id = hd_clock_real();
	denied->nrows = hd_limits_setting_violations;
	denied->ntallies = hd_limits_book_places();
	denied->ntops = ntops();
	denied->hint_mask = nhints() - 1;
	pg_atomic_init_u64(&denied->failed_at, 0);
	for (uint32 i = 0; i < nhints(); i++)
		pg_atomic_init_u32(&hints[i], 0);
	for (int i = 0; i < denied->ntops; i++)
	{
		LWLockInitialize(&tops[i].lock, lock->tranche);
		pg_atomic_init_u64(&tops[i].unseen, 0);
	}
	for (int i = 0; i < denied->nrows; i++)
	{
		for (int part = 0; part < ROW_PARTS; part++)
			init_words(&rows[i].parts[part].denials, 3);
	}
	for (int i = 0; i < denied->ntallies; i++)
	{
		for (int part = 0; part < TALLY_PARTS; part++)
			init_words(tallies[i].parts[part].others, 2 * HD_DENIED_KINDS + 1);
		init_words(tallies[i].forgotten, 2 * HD_DENIED_KINDS + 2);
	}
}

static void
area_init(void *base, LWLock *lock, bool fresh)
{
	denied = base;
	log_lock = lock;
	rows = (Row *) CACHELINEALIGN((char *) base + sizeof(Log));
	tallies = (Tally *) (rows + hd_limits_setting_violations);
	tops = (TopSet *) (tallies + hd_limits_book_places());
	hints = (pg_atomic_uint32 *) (tops + ntops());
	if (fresh)
		area_make(lock);
}

static const HdShmemArea area = {"hotdash_limit_denied", area_size, area_init};

void
hd_limits_denied_register(void)
{
	hd_shmem_register(&area);
}

static void
raise_to(pg_atomic_uint64 *word, int64 value)
{
	if ((int64) pg_atomic_read_u64(word) < value)
		pg_atomic_write_u64(word, (uint64) value);
}

static Tally *
tally_of(const HdDenial *denial)
{
	return &tallies[hd_limits_book_place(denial->limit->entry)];
}

/*
 * A refusal that has a row
 */

static bool
row_is_for(const Row *row, const HdDenial *denial)
{
	const HdDeniedKey *key = &row->key;
	int64 age = denial->now - row->first_at;

	return key->hash[0] == denial->key->hash[0] && key->hash[1] == denial->key->hash[1] &&
		   key->moved == denial->key->moved && key->kind == (uint8) denial->kind &&
		   age < ROW_LASTS_US && age > -CLOCK_SLACK_US;
}

/* The row may be another's by now: then it has counted the refusal, but not its units. */
static void
add_units(Part *part, uint32 generation, const HdDenial *denial)
{
	uint64 more = (uint64) denial->cost - 1;
	uint64 word = pg_atomic_read_u64(&part->units);
	uint64 units;

	do
	{
		if (UNITS_GENERATION(word) != (uint16) generation)
		{
			pg_atomic_fetch_add_u64(&tally_of(denial)->forgotten_units[denial->kind], more);
			return;
		}
		units = word & UNITS_MOST;
		units = (units > UNITS_MOST - more) ? UNITS_MOST : units + more;
	} while (!pg_atomic_compare_exchange_u64(&part->units, &word, UNITS_WORD(generation, units)));
}

static bool
note_in(Row *row, const HdDenial *denial)
{
	Part *part = &row->parts[(uint32) MyProcPid % ROW_PARTS];
	uint64 word = pg_atomic_read_u64(&part->denials);

	do
	{
		if (GENERATION(word) % 2 != 0 || COUNT(word) == PG_UINT32_MAX)
			return false;
		pg_read_barrier();
		if (!row_is_for(row, denial))
			return false;
	} while (!pg_atomic_compare_exchange_u64(&part->denials, &word, word + 1));

	if (denial->cost > 1)
		add_units(part, GENERATION(word), denial);
	raise_to(&part->last_at, denial->now);
	return true;
}

static uint32
hint_of(const uint64 *hash, int way)
{
	return (uint32) (hash[0] + (uint64) way) & denied->hint_mask;
}

static bool
note_in_row(const HdDenial *denial)
{
	for (int way = 0; way < HINT_WAYS; way++)
	{
		uint32 hint = pg_atomic_read_u32(&hints[hint_of(denial->key->hash, way)]);

		if (hint != 0 && note_in(&rows[hint - 1], denial))
			return true;
	}
	return false;
}

/*
 * A refusal that begins one
 */

/* Whether its limit may begin a row in this second; it is counted then. */
static bool
may_begin(Tally *tally, const HdDenial *denial)
{
	int64 now = denial->key->moved ? hd_clock_real() : denial->now;
	int64 second = now / USECS_PER_SEC;
	uint64 word = pg_atomic_read_u64(&tally->begun);
	uint64 next;

	do
	{
		int64 before = (int64) (word >> 8);

		/* one that read its clock a moment earlier opens no second of its own */
		if (second == before || second == before - 1)
		{
			if ((word & 0xFF) >= HD_DENIED_ROWS_PER_SECOND)
				return false;
			next = word + 1;
		}
		else
			next = (uint64) second << 8 | 1;
	} while (!pg_atomic_compare_exchange_u64(&tally->begun, &word, next));
	return true;
}

static void
make_key(HdDeniedKey *key, const HdDenial *denial)
{
	int kept = pg_mbcliplen(denial->bytes, denial->length, HD_DENIED_BYTES);

	memset(key, 0, sizeof(*key));
	key->hash[0] = denial->key->hash[0];
	key->hash[1] = denial->key->hash[1];
	key->moved = denial->key->moved;
	key->kind = (uint8) denial->kind;
	key->database = MyDatabaseId;
	key->extension = hd_spi_extension_missing_ok();
	key->cut = kept < denial->length;
	if (key->cut)
		key->whole = hash_bytes_extended((const unsigned char *) denial->bytes, denial->length, 0);
	key->length = (uint8) kept;
	memcpy(key->bytes, denial->bytes, kept);
	memcpy(key->limit, denial->limit->name, sizeof(key->limit));
}

static int64
last_of(const Row *row)
{
	int64 last = row->first_at;

	for (int i = 0; i < ROW_PARTS; i++)
	{
		int64 at = (int64) pg_atomic_read_u64((pg_atomic_uint64 *) &row->parts[i].last_at);

		last = Max(last, at);
	}
	return last;
}

static void
unhint(const Row *row)
{
	uint32 own = (uint32) (row - rows) + 1;

	for (int way = 0; way < HINT_WAYS; way++)
	{
		pg_atomic_uint32 *hint = &hints[hint_of(row->key.hash, way)];

		if (pg_atomic_read_u32(hint) == own)
			pg_atomic_write_u32(hint, 0);
	}
}

/* A free place, or that of an earlier row of the key, or of the oldest row. */
static void
hint_at(const Row *row)
{
	pg_atomic_uint32 *best = NULL;
	int64 oldest = PG_INT64_MAX;

	for (int way = 0; way < HINT_WAYS && oldest > PG_INT64_MIN; way++)
	{
		pg_atomic_uint32 *hint = &hints[hint_of(row->key.hash, way)];
		uint32 value = pg_atomic_read_u32(hint);
		int64 age = PG_INT64_MIN;

		if (value != 0 && !hd_limits_top_same(&rows[value - 1].key, &row->key))
			age = rows[value - 1].first_at;
		if (age < oldest)
		{
			oldest = age;
			best = hint;
		}
	}
	pg_atomic_write_u32(best, (uint32) (row - rows) + 1);
}

/* Close a row and take out what it has counted. */
static uint32
close_row(Row *row, HdDeniedRow *gone)
{
	uint32 generation = GENERATION(pg_atomic_read_u64(&row->parts[0].denials)) + 1;

	gone->key = row->key;
	gone->place = row->place;
	gone->denials = gone->units = 0;
	for (int i = 0; i < ROW_PARTS; i++)
		gone->denials += COUNT(pg_atomic_exchange_u64(&row->parts[i].denials, WORD(generation, 0)));
	for (int i = 0; i < ROW_PARTS; i++)
		gone->units +=
			pg_atomic_exchange_u64(&row->parts[i].units, UNITS_WORD(generation, 0)) & UNITS_MOST;
	gone->units += gone->denials;
	gone->last_at = last_of(row);
	return generation + 1;
}

static void
open_row(Row *row, uint32 generation, const HdDeniedKey *key, const HdDenial *denial)
{
	int own = (int) ((uint32) MyProcPid % ROW_PARTS);

	row->id = denied->next_id++;
	row->first_at = denial->now;
	row->role = GetOuterUserId();
	row->place = hd_limits_book_place(denial->limit->entry);
	row->key = *key;
	for (int i = 0; i < ROW_PARTS; i++)
	{
		pg_atomic_write_u64(&row->parts[i].last_at, 0);
		pg_atomic_write_u64(&row->parts[i].units,
							UNITS_WORD(generation, (i == own) ? (uint64) denial->cost - 1 : 0));
	}
	pg_write_barrier();
	for (int i = 0; i < ROW_PARTS; i++)
		pg_atomic_write_u64(&row->parts[i].denials, WORD(generation, (i == own) ? 1 : 0));
}

/* Begin a row, unless another session just did; gone is what it replaces, if that counted any. */
static void
begin_row(const HdDenial *denial, const HdDeniedKey *key, HdDeniedRow *gone)
{
	Row *row;
	uint32 generation;

	gone->denials = 0;
	LWLockAcquire(log_lock, LW_EXCLUSIVE);
	if (!note_in_row(denial))
	{
		row = &rows[denied->next];
		denied->next = (denied->next + 1) % denied->nrows;
		unhint(row);
		generation = close_row(row, gone);
		open_row(row, generation, key, denial);
		hint_at(row);
	}
	LWLockRelease(log_lock);
}

/*
 * The counters of keys
 */

static void
turn(TopSet *set, int64 at)
{
	int turned = hd_limits_top_turn(&set->top, at);

	if (turned > 0)
	{
		uint64 unseen = pg_atomic_exchange_u64(&set->unseen, 0);

		set->unseen_before = (turned == 1) ? unseen : 0;
	}
}

/* Wait for the set, or if it is taken, leave it at a note. */
static void
add_to_top(const HdDeniedKey *key, uint64 weight, int64 at, bool wait)
{
	TopSet *set = &tops[hd_limits_denied_top_of(key)];
	HdTopPeriod *period;

	if (wait)
		LWLockAcquire(&set->lock, LW_EXCLUSIVE);
	else if (!LWLockConditionalAcquire(&set->lock, LW_EXCLUSIVE))
	{
		pg_atomic_fetch_add_u64(&set->unseen, weight);
		return;
	}
	if (!key->moved)
		turn(set, at);
	period = key->moved ? &set->top.periods[0] : hd_limits_top_period(&set->top, at);
	if (period != NULL)
		hd_limits_top_add(period, key, weight, at);
	LWLockRelease(&set->lock);
}

static void
forget(const HdDeniedRow *gone)
{
	Tally *tally = &tallies[gone->place];

	pg_atomic_fetch_add_u64(&tally->forgotten[gone->key.kind], gone->denials);
	pg_atomic_fetch_add_u64(&tally->forgotten_units[gone->key.kind], gone->units);
	raise_to(&tally->forgotten_at, gone->last_at);
	add_to_top(&gone->key, gone->denials, gone->last_at, true);
}

static void
add_to_others(Tally *tally, const HdDenial *denial)
{
	TallyPart *part = &tally->parts[(uint32) MyProcPid % TALLY_PARTS];

	pg_atomic_fetch_add_u64(&part->others[denial->kind], 1);
	pg_atomic_fetch_add_u64(&part->units[denial->kind], (uint64) denial->cost);
	raise_to(&part->last_at, denial->now);
}

void
hd_limits_denied_note(const HdDenial *denial)
{
	Tally *tally;
	HdDeniedKey key;
	HdDeniedRow gone;

	if (denied == NULL || note_in_row(denial))
		return;
	tally = tally_of(denial);
	make_key(&key, denial);
	if (may_begin(tally, denial))
	{
		begin_row(denial, &key, &gone);
		if (gone.denials > 0)
			forget(&gone);
		return;
	}
	add_to_others(tally, denial);
	add_to_top(&key, 1, denial->now, false);
}

/* So many calls may fail at once that the word is written once a second. */
void
hd_limits_denied_failed(int64 now)
{
	if (denied != NULL && now >= (int64) pg_atomic_read_u64(&denied->failed_at) + USECS_PER_SEC)
		pg_atomic_write_u64(&denied->failed_at, (uint64) now);
}

TimestampTz
hd_limits_denied_failed_at(void)
{
	return (denied != NULL) ? (TimestampTz) pg_atomic_read_u64(&denied->failed_at) : 0;
}

/*
 * Reading
 */

static void
copy_row(Row *row, HdDeniedRow *copy)
{
	copy->key = row->key;
	copy->id = row->id;
	copy->role = row->role;
	copy->place = row->place;
	copy->first_at = row->first_at;
	copy->last_at = last_of(row);
	copy->denials = copy->units = 0;
	for (int i = 0; i < ROW_PARTS; i++)
	{
		copy->denials += COUNT(pg_atomic_read_u64(&row->parts[i].denials));
		copy->units += pg_atomic_read_u64(&row->parts[i].units) & UNITS_MOST;
	}
	copy->units += copy->denials;
}

int
hd_limits_denied_rows(Oid extension, HdDeniedRow *copies)
{
	int n = 0;

	if (denied == NULL)
		return 0;
	LWLockAcquire(log_lock, LW_SHARED);
	for (int i = 0; i < denied->nrows; i++)
	{
		const HdDeniedKey *key = &rows[i].key;

		if (rows[i].first_at != 0 && key->database == MyDatabaseId && key->extension == extension)
			copy_row(&rows[i], &copies[n++]);
	}
	LWLockRelease(log_lock);
	return n;
}

HdDeniedSum
hd_limits_denied_sum(int place, HdDeniedKind kind)
{
	HdDeniedSum sum = {0};
	Tally *tally = &tallies[place];

	sum.forgotten = pg_atomic_read_u64(&tally->forgotten[kind]);
	sum.forgotten_units = pg_atomic_read_u64(&tally->forgotten_units[kind]);
	if (sum.forgotten > 0)
		sum.last_at = (TimestampTz) pg_atomic_read_u64(&tally->forgotten_at);
	for (int i = 0; i < TALLY_PARTS; i++)
	{
		TallyPart *part = &tally->parts[i];
		uint64 others = pg_atomic_read_u64(&part->others[kind]);
		int64 last = (int64) pg_atomic_read_u64(&part->last_at);

		sum.others += others;
		sum.others_units += pg_atomic_read_u64(&part->units[kind]);
		if (others > 0)
			sum.last_at = Max(sum.last_at, last);
	}
	return sum;
}

int
hd_limits_denied_tops(void)
{
	return (denied != NULL) ? denied->ntops : 0;
}

int
hd_limits_denied_top_of(const HdDeniedKey *key)
{
	return (int) ((key->hash[0] >> 32) % (uint64) denied->ntops);
}

void
hd_limits_denied_top(int n, int64 now, HdTop *top, uint64 *unseen)
{
	TopSet *set = &tops[n];

	int turned;

	LWLockAcquire(&set->lock, LW_SHARED);
	*top = set->top;
	unseen[0] = pg_atomic_read_u64(&set->unseen);
	unseen[1] = set->unseen_before;
	LWLockRelease(&set->lock);
	turned = hd_limits_top_turn(top, now);
	if (turned > 0)
	{
		unseen[1] = (turned == 1) ? unseen[0] : 0;
		unseen[0] = 0;
	}
}
