/*-------------------------------------------------------------------------
 * book.h
 *		The stored limits of the cluster in shared memory: their rules as
 *		compiled, and counts of what they decided.
 *
 * Model: an entry is of a database, of the extension in it, and of a name.
 * hotdash.limit_policies entries are there; none is ever given up, so that a
 * pointer to one stays good as long as the server.  Where there is no room
 * the one without a name takes the counts, and rules are read from the table.
 *
 * A rule in an entry is that of its row as long as the number of the book,
 * which is one higher with each transaction that has changed limits and
 * committed, is the same as when it was read.  See stored.h for who may
 * believe that.
 *
 * Locking: the area's lock, for making entries and for rules.  Counts are
 * atomics, eight of each kind, so that sessions do not fight for them.
 *
 * What a crash loses: all of it.  Rules are read again; counts start at zero.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_BOOK_H
#define HD_LIMITS_BOOK_H

#include "postgres.h"

#include "limits/rule.h"

/* hotdash.limit_policies */
extern int hd_limits_setting_policies;

/* What is counted, in calls. */
typedef enum HdLimitCount
{
	HD_LIMIT_ALLOWED,
	HD_LIMIT_DENIED,
	HD_LIMIT_SHADOWED, /* allowed, since the limit refuses nothing as yet */
	HD_LIMIT_NEAR,	   /* allowed, and at most a fifth was left */
	HD_LIMIT_FAILED,   /* decided by the setting for failures; also in one of the first two */
	HD_LIMIT_COUNTS
} HdLimitCount;

typedef struct HdLimitEntry HdLimitEntry;

/*
 * hd_limits_book_register
 *		Ask for the shared memory.
 */
extern void hd_limits_book_register(void);

/*
 * hd_limits_book_number / hd_limits_book_changed
 *		The book's number; one higher, after the commit of a change.
 */
extern uint64 hd_limits_book_number(void);
extern void hd_limits_book_changed(void);

/*
 * hd_limits_book_entry
 *		The entry of a name in this database, made if there is none.  NULL only
 *		without preload.
 */
extern HdLimitEntry *hd_limits_book_entry(Oid extension, const char *name);

/*
 * hd_limits_book_read / hd_limits_book_publish
 *		The entry's rule, if it was read from its row at this number; and the
 *		rule that was.
 */
extern bool hd_limits_book_read(HdLimitEntry *entry, uint64 number, HdLimitRule *rule);
extern void hd_limits_book_publish(HdLimitEntry *entry, uint64 number, const HdLimitRule *rule);

/*
 * hd_limits_book_count
 *		One more of a kind; entry may be NULL.
 */
extern void hd_limits_book_count(HdLimitEntry *entry, HdLimitCount kind);

/*
 * hd_limits_book_places / hd_limits_book_place
 *		How many entries there are, and the place of one among them; the first is
 *		that for all others.
 */
extern int hd_limits_book_places(void);
extern int hd_limits_book_place(const HdLimitEntry *entry);

/*
 * hd_limits_book_name
 *		Whose entry is at a place, NULL for none of this database and extension.
 */
extern const char *hd_limits_book_name(int place, Oid extension);

#endif /* HD_LIMITS_BOOK_H */
