/*-------------------------------------------------------------------------
 * spans.h
 *		Spans: what happened when, within which trace.
 *
 * Model: in sql/ops_spans.sql.
 *-------------------------------------------------------------------------
 */
#ifndef HD_OPS_SPANS_H
#define HD_OPS_SPANS_H

#include "postgres.h"

/* hotdash.span_retention: how long spans are kept, in minutes. */
extern int hd_ops_setting_span_retention;

/*
 * hd_ops_spans_tick
 *		Make and drop parts, and forget spans that never ended; in the current
 *		transaction.  Its locks keep readers out until that ends: call it last.
 */
extern void hd_ops_spans_tick(void);

#endif /* HD_OPS_SPANS_H */
