/*-------------------------------------------------------------------------
 * duration.h
 *		Intervals that mean a length of time.
 *
 * Model: a day counts 24 hours; months and years have no fixed length and
 * are refused.
 *-------------------------------------------------------------------------
 */
#ifndef HD_DURATION_H
#define HD_DURATION_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * hd_duration_us
 *		Microseconds of an interval.
 *
 * what: the name for messages.  minimum: least value allowed, in
 * microseconds.  Raises 22023 for months and for less than the minimum, 22015
 * beyond a hundred years.
 */
extern int64 hd_duration_us(const Interval *interval, const char *what, int64 minimum);

/*
 * hd_duration_parse
 *		The same from text such as "1s" or "5 minutes".
 */
extern int64 hd_duration_parse(const char *text, const char *what, int64 minimum);

#endif /* HD_DURATION_H */
