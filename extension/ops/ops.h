/*-------------------------------------------------------------------------
 * ops.h
 *		Operations: alerts and spans.
 *-------------------------------------------------------------------------
 */
#ifndef HD_OPS_H
#define HD_OPS_H

/*
 * hd_ops_init
 *		Module entry: settings, and the periodic work.
 */
extern void hd_ops_init(void);

#endif /* HD_OPS_H */
