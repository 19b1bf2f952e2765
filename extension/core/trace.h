/*-------------------------------------------------------------------------
 * trace.h
 *		W3C Trace Context: parse and make traceparent values.
 *
 * Model: what is current is a setting, so that it ends with the transaction
 * when set locally, and a connection can carry one.
 *
 * Source: W3C Recommendation "Trace Context", sections 3.2.1 to 3.2.3 and
 * the random flag of level 2.
 *-------------------------------------------------------------------------
 */
#ifndef HD_TRACE_H
#define HD_TRACE_H

#include "postgres.h"

/* "00-" + 32 + "-" + 16 + "-" + 2 */
#define HD_TRACEPARENT_LENGTH 55
#define HD_TRACE_ID_AT 3
#define HD_TRACE_ID_LENGTH 32
#define HD_SPAN_ID_AT 36
#define HD_SPAN_ID_LENGTH 16
#define HD_TRACE_FLAGS_AT 53

/*
 * hd_trace_valid
 *		Whether text (length bytes) is a traceparent that may be continued.
 *
 * Version ff is invalid, version 00 must be exactly 55 bytes, a later
 * version may go on after a dash.
 */
extern bool hd_trace_valid(const char *text, int length);

/*
 * hd_trace_require_valid
 *		Raise 22023 unless text is one.
 */
extern void hd_trace_require_valid(const char *text);

/*
 * hd_trace_new
 *		Write a new root traceparent, sampled and random, into buf
 *		(HD_TRACEPARENT_LENGTH + 1 bytes).
 */
extern void hd_trace_new(char *buf);

/*
 * hd_trace_child
 *		Write a child of parent (a valid traceparent) into buf: same trace id,
 *		new parent id, known flags kept, unknown ones cleared.
 */
extern void hd_trace_child(const char *parent, char *buf);

/*
 * hd_trace_current
 *		The traceparent that trace_set gave this transaction (or the application
 *		by SET hotdash.traceparent); NULL when there is none.
 */
extern const char *hd_trace_current(void);

/*
 * hd_trace_set
 *		Make a traceparent the current one until the transaction ends; empty for
 *		none.  Raises 22023 for what is none.
 */
extern void hd_trace_set(const char *traceparent);

/*
 * hd_trace_sampled
 *		Whether spans of a trace (a valid traceparent) are to be kept.
 */
extern bool hd_trace_sampled(const char *traceparent);

/*
 * hd_trace_attempt
 *		Write the traceparent of an attempt into buf: the same whenever it is
 *		asked for, so that nothing need be remembered between sending a request
 *		and hearing what became of it.
 *
 * parent: a valid traceparent or NULL; then the trace is that of origin (length
 * bytes), the same for all attempts.  attempt: two numbers that no other
 * attempt has, the job's id and the claim's token.
 */
extern void hd_trace_attempt(const char *parent, const char *origin, int length,
							 const int64 *attempt, char *buf);

/*
 * hd_trace_define
 *		Define the setting.  Called once from _PG_init.
 */
extern void hd_trace_define(void);

#endif /* HD_TRACE_H */
