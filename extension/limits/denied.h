/*-------------------------------------------------------------------------
 * denied.h
 *		The log of refusals, in shared memory.
 *
 * Model: hotdash.limit_violations rows in a ring.  A row is of one key of one
 * limit and counts its refusals for a minute from the first; the next one
 * after that begins another row, in the place of the oldest.  A limit begins
 * HD_DENIED_ROWS_PER_SECOND rows a second at most; a refusal that finds no row
 * and may begin none is added to the `others` of its limit.  What a row had
 * counted when it was overwritten is added to the limit's `forgotten`.  So
 *
 *		refusals = in rows + others + forgotten
 *
 * for each limit, exactly, whatever runs at once: none is lost, none is counted
 * twice.
 *
 * Keys that are refused most: a refusal without a row is added to Space-Saving
 * counters (top.h) at once, and a row when it is overwritten; those that still
 * have rows are added by whoever reads.
 *
 * Locking.  A refusal that has a row takes no lock: it swaps the row's word
 * (generation and count; one of four, so that sessions do not fight for it)
 * for one more, which fails when the row has become another's, since that
 * raises the generation.  Rows are begun under the area's lock.  A set of
 * counters has a lock of its own, which refusals only try for: when it is
 * taken they are noted as unseen, which widens what is said of all keys of that
 * set.  No two of these locks are held at once, nor with another.
 *
 * Nothing here allocates, raises or writes to disk; it works on a standby, in
 * a read-only transaction and in one that is aborting.  Where rows are to be
 * kept, the tick copies them to a table (denied_keep.c).
 *
 * What a crash or a restart loses: all of it, and the limits' counts with it.
 *
 * Caveats: of limits for which the book (book.h) has no room, rows are kept, but
 * others and forgotten are those of all of them.  Without preload nothing is
 * noted.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_DENIED_H
#define HD_LIMITS_DENIED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "limits/stored.h"
#include "limits/top.h"

/* hotdash.limit_violations: rows of the cluster, and counters of keys, about as many. */
extern int hd_limits_setting_violations;

#define HD_DENIED_ROWS_PER_SECOND 16

/* A call that found no units. */
typedef struct HdDenial
{
	const HdLimit *limit;
	const HdLimitKey *key;
	const char *bytes; /* the key as it was given */
	int length;
	HdDeniedKind kind;
	int64 cost; /* above 0 */
	int64 now;	/* microseconds */
} HdDenial;

/* A row as it is read. */
typedef struct HdDeniedRow
{
	HdDeniedKey key;
	int64 id;  /* of all rows ever begun on this server: the later one has the higher */
	Oid role;  /* of who was refused first */
	int place; /* of its limit in the book */
	TimestampTz first_at;
	TimestampTz last_at;
	uint64 denials;
	uint64 units; /* asked for */
} HdDeniedRow;

/* What a limit has beside rows, for one kind. */
typedef struct HdDeniedSum
{
	uint64 others;
	uint64 others_units;
	uint64 forgotten;
	uint64 forgotten_units;
	TimestampTz last_at; /* of these; 0: none */
} HdDeniedSum;

/*
 * hd_limits_denied_register
 *		Ask for the shared memory.
 */
extern void hd_limits_denied_register(void);

/*
 * hd_limits_denied_keep_init
 *		Module entry: the copy in a table, its setting and its periodic work.
 */
extern void hd_limits_denied_keep_init(void);

/*
 * hd_limits_denied_note
 *		Note a refusal.
 */
extern void hd_limits_denied_note(const HdDenial *denial);

/*
 * hd_limits_denied_failed / hd_limits_denied_failed_at
 *		A call was decided by the setting for failures; when that was so last, to
 *		about a second, 0 for never.
 */
extern void hd_limits_denied_failed(int64 now);
extern TimestampTz hd_limits_denied_failed_at(void);

/*
 * hd_limits_denied_rows
 *		Copy the rows of this database and of an extension, at most
 *		hd_limits_setting_violations, in no order; returns how many.
 */
extern int hd_limits_denied_rows(Oid extension, HdDeniedRow *rows);

/*
 * hd_limits_denied_sum
 *		What the limit at a place of the book has beside rows.
 */
extern HdDeniedSum hd_limits_denied_sum(int place, HdDeniedKind kind);

/*
 * hd_limits_denied_tops / hd_limits_denied_top_of / hd_limits_denied_top
 *		How many sets of counters there are, which one is a key's, and a copy of one as
 *		of an instant, with how many refusals each period has not seen.
 */
extern int hd_limits_denied_tops(void);
extern int hd_limits_denied_top_of(const HdDeniedKey *key);
extern void hd_limits_denied_top(int n, int64 now, HdTop *top, uint64 *unseen);

#endif /* HD_LIMITS_DENIED_H */
