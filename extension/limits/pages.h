/*-------------------------------------------------------------------------
 * pages.h
 *		Where buckets of durability 'wal' are written: pages of a table.
 *
 * Model: hotdash._limit_state has one row for each page of such a limit, made by
 * the transaction that defines it.  The row's bytes are cells of one size,
 * which hold images (image.h); a key's hash, salted for the limit, says in which
 * page its cell is.  Cells are changed in place and outside of transactions, as
 * sequences are, by generic WAL records; so they survive ROLLBACK, crashes and
 * promotion, are in base backups, and no other server needs this library to
 * replay them.
 *
 * A limit has twice as many cells as option "keys" asks for, so that pages do not
 * overflow before so many keys are in debt.  A cell that has drained is as
 * good as a free one.
 *
 * Locking: the table is locked only if nobody waits or holds out, and only for
 * the call, so that nobody waits for a transaction; cells are read and written
 * under their buffer's lock.  Buffers are locked in the order of their blocks,
 * and before sets of slots.
 *
 * What moves rows about is noticed: a new file (VACUUM FULL, TRUNCATE) by its
 * number, a new definition by that of the limit; and each row says which page
 * of what it is.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_PAGES_H
#define HD_LIMITS_PAGES_H

#include "postgres.h"

#include "limits/decide.h"
#include "limits/image.h"
#include "storage/buf.h"
#include "utils/relcache.h"

/* Runs that a cell has room for. */
#define HD_PAGE_MAX_RUNS (HD_LIMIT_WAL_MOST_RUNS + 1)

/* A key's page, and its cell. */
typedef struct HdPageCell
{
	Buffer buffer;
	int32 page;
	uint64 salt;
	uint16 offset; /* of the row */
	uint64 hash[2];
	Size at;	   /* bytes from the page's begin; 0: there is no cell */
	Size size;	   /* of a cell */
	HdImage image; /* what it holds; until 0: nothing, or what has drained */
	uint64 runs[HD_PAGE_MAX_RUNS];
} HdPageCell;

/*
 * hd_limits_pages_open / hd_limits_pages_close
 *		The table; NULL when it is locked by somebody or not there.
 */
extern Relation hd_limits_pages_open(void);
extern void hd_limits_pages_close(Relation rel);

/*
 * hd_limits_pages_pin
 *		Find and pin the page of a key; false when the limit has none.
 */
extern bool hd_limits_pages_pin(Relation rel, const HdLimit *limit, HdLimitSubject subject,
								HdPageCell *cell);

/*
 * hd_limits_pages_find
 *		Find the key's cell, or one that it can have; the buffer is locked.  False
 *		when there is none.
 */
extern bool hd_limits_pages_find(Relation rel, HdPageCell *cell, int64 now);

/*
 * hd_limits_pages_write
 *		Write an image, or nothing (NULL), into the cell that was found, the buffer
 *		still locked.
 */
extern void hd_limits_pages_write(Relation rel, HdPageCell *cell, const HdImage *image,
								  const uint64 *runs);

/*
 * hd_limits_pages_on_disk
 *		Read the cell once more, its buffer locked; false when it is no longer the
 *		key's, or not all of the page's log is on disk.
 */
extern bool hd_limits_pages_on_disk(HdPageCell *cell);

#endif /* HD_LIMITS_PAGES_H */
