/*-------------------------------------------------------------------------
 * rows.h
 *		Reading and writing the rows of clocks and of their log.
 *
 * Purpose: the statements behind chain.h, which says what they are for.  All
 * run between hd_spi_begin and hd_spi_end, in whose memory their results are.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_ROWS_H
#define HD_SLA_ROWS_H

#include "postgres.h"

#include "sla/chain.h"

/*
 * hd_sla_input_of
 *		The input that a text of the log names.
 * hd_sla_input_name
 *		The reverse.
 */
extern HdSlaInput hd_sla_input_of(const char *name);
extern const char *hd_sla_input_name(HdSlaInput input);

/*
 * hd_sla_row_terms
 *		Fill in what a version of its policy asks of a row's metric and priority;
 *		false when it has no such metric.
 */
extern bool hd_sla_row_terms(HdSlaRow *row, int32 version_id, int32 epoch);

/*
 * hd_sla_rows_lock
 *		Read and lock all rows of the chain whose last one is locked: returns how
 *		many, the last as given.
 */
extern int hd_sla_rows_lock(const HdSlaRow *last, HdSlaRow **rows);

/*
 * hd_sla_row_insert
 *		Insert a row, which gets its id, with the first line of its log; false when
 *		its cycle is there already.
 * hd_sla_row_advance
 *		Write what an input that came in order has changed, and record it; not for
 *		one that opens a clock again.
 * hd_sla_row_update
 *		Write what a clock has become.
 * hd_sla_row_delete
 *		Delete a clock that never was; its findings stay in the log of another.
 */
extern bool hd_sla_row_insert(HdSlaRow *row, const char *kind, Datum detail);
extern void hd_sla_row_advance(const HdSlaRow *row, HdSlaInput input, TimestampTz at, Datum detail);
extern void hd_sla_row_update(const HdSlaRow *row);
extern void hd_sla_row_delete(int64 id, int64 heir);

/*
 * hd_sla_row_input
 *		Record an input.
 * hd_sla_row_move_input
 *		Have it belong to another clock.
 */
extern void hd_sla_row_input(int64 clock, HdSlaInput input, TimestampTz at, Datum detail);
extern void hd_sla_row_move_input(int64 clock, int64 input, int64 to);

#endif /* HD_SLA_ROWS_H */
