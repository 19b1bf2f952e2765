/*-------------------------------------------------------------------------
 * instant.h
 *		Instants as flags write them: ISO 8601, or seconds since 1970.
 *
 * Pure C: nothing here allocates, raises or asks the server, its time zone and
 * its DateStyle; so a rule means the same in every session.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_INSTANT_H
#define HD_FLAGS_INSTANT_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * hd_flags_instant_parse
 *		Read YYYY-MM-DD, alone or followed by T (or a space) and HH:MM, :SS and a
 *		fraction if they are there, and Z or an offset (+HH, +HHMM, +HH:MM).
 *
 * Without an offset it is UTC; a date alone is its midnight.  Digits of the
 * fraction beyond microseconds are dropped.  Years 0001 to 9999.
 */
extern bool hd_flags_instant_parse(const char *text, int length, TimestampTz *instant);

/*
 * hd_flags_instant_from_epoch
 *		Seconds since 1970 as an instant; false beyond the years above.
 */
extern bool hd_flags_instant_from_epoch(double seconds, TimestampTz *instant);

#endif /* HD_FLAGS_INSTANT_H */
