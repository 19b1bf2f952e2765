/*-------------------------------------------------------------------------
 * clock.h
 *		The one clock of hotdash.
 *
 * Purpose: no other file reads the system's time, so that a test can move
 * it.
 *-------------------------------------------------------------------------
 */
#ifndef HD_CLOCK_H
#define HD_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * hd_clock_now
 *		Time by which jobs become due, leases end and limits refill, in
 *		microseconds.  It runs on within a transaction.
 *
 * Follows hotdash.now_override (superusers, this session only), else the
 * real time plus hotdash.test_clock_offset where that setting exists.
 */
extern TimestampTz hd_clock_now(void);

/*
 * hd_clock_real
 *		Real time, which no setting moves: for timeouts of waits.
 */
extern TimestampTz hd_clock_real(void);

/*
 * hd_clock_statement
 *		The clock when the statement began, the same all through it and in its
 *		parallel workers: for functions that are STABLE.
 */
extern TimestampTz hd_clock_statement(void);

/*
 * hd_clock_overridden
 *		True when this session's clock is moved, so that what it sees as due
 *		must not reach hints that other sessions share.
 */
extern bool hd_clock_overridden(void);

/*
 * hd_clock_define
 *		Define the clock's settings.  Called once from _PG_init.
 */
extern void hd_clock_define(void);

#endif /* HD_CLOCK_H */
