/*-------------------------------------------------------------------------
 * heap.h
 *		Pairing heaps over elements of a shared array.
 *
 * Model: an element carries an HdHeapNode; links are indexes into the array,
 * -1 is none.  A heap is the index of its first element.  What the elements
 * are and which comes first is told by HdHeapOps, so that entries and lanes
 * share the code.  Inserting takes constant time; removing, amortised,
 * logarithmic time (Fredman, Sedgewick, Sleator and Tarjan, 1986).
 *
 * Locking: the caller's.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_HEAP_H
#define HD_JOBS_HEAP_H

#include "postgres.h"

typedef struct HdHeapNode
{
	int32 child; /* first of those that come after it */
	int32 next;	 /* next child of the same parent */
	int32 prev;	 /* the child before it, the parent of a first child; -1 at the top */
} HdHeapNode;

typedef struct HdHeapOps
{
	HdHeapNode *(*node)(int32 index);
	bool (*before)(int32 a, int32 b);
} HdHeapOps;

/*
 * hd_jobs_heap_insert / hd_jobs_heap_remove
 *		Put an element into the heap at *top; take one out, wherever it stands.
 */
extern void hd_jobs_heap_insert(const HdHeapOps *ops, int32 *top, int32 index);
extern void hd_jobs_heap_remove(const HdHeapOps *ops, int32 *top, int32 index);

#endif /* HD_JOBS_HEAP_H */
