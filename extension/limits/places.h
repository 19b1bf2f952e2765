/*-------------------------------------------------------------------------
 * places.h
 *		Places of limits: how many hold one at a time.
 *
 * Model: a session takes a place of a limit for a key, if fewer than count
 * are held for that key, and has it until it is given back or the session
 * ends.  A session may hold several.  Places belong to no transaction, and
 * nobody waits for one.
 *
 * Behind a pooler of transactions, what was taken in one session is given back
 * in another.  So who holds none for the key gives back one of another session
 * of the same user, the oldest; count holds all the same.
 *
 * However a session ends, its transaction is over and its locks are released
 * before its places are free: what a place stands for has ended then.  DISCARD ALL,
 * with which poolers reset a session, frees them too.
 *
 * hotdash.limit_places can be held in the cluster.  Where there is no more
 * room, the setting for failures decides, and that is counted
 * (limits_places_full).  So is a limit in shadow mode, which grants a place
 * beyond count.
 *
 * Time and the clock matter to nothing here, so a session whose clock is
 * stopped shares places with all others.
 *
 * Locking: the area's lock, held for a few steps at a time; for as many as a
 * session holds places when it gives one back or ends.
 *
 * What a crash loses: all places, and with them all sessions that held them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_PLACES_H
#define HD_LIMITS_PLACES_H

#include "postgres.h"

#include "limits/decide.h"

/* hotdash.limit_places: places of the whole cluster. */
extern int hd_limits_setting_places;

/*
 * hd_limits_places_register
 *		Ask for the shared memory, and to be told of DISCARD ALL.
 */
extern void hd_limits_places_register(void);

/*
 * hd_limits_places_acquire
 *		Whether this session may go on: it has a place, or the limit lets it pass
 *		without one.
 */
extern bool hd_limits_places_acquire(HdLimit *limit, HdLimitSubject subject, TimestampTz now);

/*
 * hd_limits_places_release
 *		Give back a place of a limit; false when there was none to give back.
 */
extern bool hd_limits_places_release(const char *name, HdLimitSubject subject);

/*
 * hd_limits_places_held
 *		Places that are held of a limit for a key.
 */
extern int hd_limits_places_held(const HdLimit *limit, HdLimitSubject subject);

#endif /* HD_LIMITS_PLACES_H */
