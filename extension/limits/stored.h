/*-------------------------------------------------------------------------
 * stored.h
 *		Limits by their names, as a session uses them.
 *
 * Model: a limit is a row of hotdash._limit.  A session compiles it at first
 * use and keeps it.  It is current while the book's number (book.h) is what
 * it was and no message about the table has come:
 *
 *	- the number goes up right after a change is committed, before COMMIT
 *	  returns, so the next call in any session reads anew, in the middle of a
 *	  statement too.  Whoever reads first puts the rule into the book, and the
 *	  others, new sessions included, take it from there;
 *	- messages of the relation cache tell this session's own changes, those of
 *	  savepoints that are undone included, and on a standby everybody's.
 *
 * Limits are not part of what a snapshot sees: what is committed counts, in
 * REPEATABLE READ as well, and what this transaction itself has done.  While
 * it has changed limits it reads the table and leaves the book alone, and so
 * does a standby, where nobody raises the number.  A transaction that has
 * changed limits cannot be prepared, since nobody could tell the book when it
 * is committed.
 *
 * Caveats: in parallel mode no new snapshot can be taken; there a limit is as
 * the statement's sees it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_STORED_H
#define HD_LIMITS_STORED_H

#include "postgres.h"

#include "limits/book.h"
#include "limits/calendar.h"
#include "limits/rule.h"

typedef struct HdLimit
{
	char name[HD_LIMIT_NAME_SIZE]; /* key of the session's table, padded with zeroes */
	int name_length;
	HdLimitRule rule;
	const pg_tz *zone;	  /* of a window */
	HdLimitWindow window; /* the one asked for last */
	HdLimitKey key;		  /* of its buckets, before what tells them apart */
	HdLimitEntry *entry;  /* NULL without preload */
	uint64 number;		  /* of the book, when the rule was read */
	uint64 messages;	  /* of this session, likewise; 0: not current */
} HdLimit;

/*
 * hd_limits_stored_init
 *		Module entry: callbacks of transactions.
 */
extern void hd_limits_stored_init(void);

/*
 * hd_limits_stored
 *		The limit of a name, current; raises 42704 when there is none.
 *
 * Good until the next call.
 */
extern HdLimit *hd_limits_stored(const char *name, int length);

/*
 * hd_limits_stored_window
 *		The window of a limit that an instant lies in.
 */
extern const HdLimitWindow *hd_limits_stored_window(HdLimit *limit, int64 now);

#endif /* HD_LIMITS_STORED_H */
