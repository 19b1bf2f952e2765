/*
 * clock.h
 *	  The edge's only clock: microseconds that never go backwards.
 *
 * Every timeout, lease and duration is computed from hd_clock_us(), so a step of
 * the system time moves none of them. Wall time is for log lines, and to tell when a
 * request was sent.
 */
#ifndef HD_EDGE_CLOCK_H
#define HD_EDGE_CLOCK_H

#include "common.h"

#define HD_US_PER_MS INT64_C(1000)
#define HD_US_PER_S INT64_C(1000000)

int64_t hd_clock_us(void);

/* Microseconds since 1970. */
int64_t hd_clock_wall_us(void);

/* Writes "YYYY-MM-DDTHH:MM:SS.mmmZ" (UTC) into text. */
#define HD_CLOCK_TEXT 32
void hd_clock_wall_text(char text[HD_CLOCK_TEXT]);

#endif
