/*-------------------------------------------------------------------------
 * ladder.h
 *		The steps that a clock goes through, and which of them have actions.
 *
 * Purpose: many clocks share few schedules, so a scan reads each once.
 *
 * Model: a book, made for one scan, of the rows of _sla_target that its clocks
 * follow.  Versions of policies never change, so what is read once is right
 * for the whole scan.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_LADDER_H
#define HD_SLA_LADDER_H

#include "postgres.h"

#include "utils/hsearch.h"

typedef struct HdSlaLadder
{
	int nsteps;
	int16 *steps;	/* their numbers, in the order in which they are due */
	int64 *offsets; /* microseconds of business time from the due point to each */
	int32 *actions; /* how many each has */
} HdSlaLadder;

/*
 * hd_sla_ladders
 *		An empty book, in the current memory context.
 */
extern HTAB *hd_sla_ladders(void);

/*
 * hd_sla_ladder
 *		What clocks of a metric of a version go through, with that priority.  No
 *		steps where there is no such schedule.
 *
 * Between hd_spi_begin and hd_spi_end.
 */
extern const HdSlaLadder *hd_sla_ladder(HTAB *book, int32 version, text *metric, text *priority);

#endif /* HD_SLA_LADDER_H */
