/*-------------------------------------------------------------------------
 * heap.c
 *		Pairing heaps over elements of a shared array.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/heap.h"

/* Make the later of two tops a child of the other; either may be -1. */
static int32
merge(const HdHeapOps *ops, int32 a, int32 b)
{
	HdHeapNode *parent;
	HdHeapNode *child;

	if (a < 0)
		return b;
	if (b < 0)
		return a;
	if (ops->before(b, a))
	{
		int32 swap = a;

		a = b;
		b = swap;
	}
	parent = ops->node(a);
	child = ops->node(b);
	child->next = parent->child;
	child->prev = a;
	if (parent->child >= 0)
		ops->node(parent->child)->prev = b;
	parent->child = b;
	parent->next = parent->prev = -1;
	return a;
}

/* One heap of a chain of siblings: pair them from the left, then join the pairs. */
static int32
merge_siblings(const HdHeapOps *ops, int32 first)
{
	int32 pairs = -1;
	int32 top = -1;

	while (first >= 0)
	{
		int32 a = first;
		int32 b = ops->node(a)->next;
		int32 pair;

		first = (b >= 0) ? ops->node(b)->next : -1;
		pair = merge(ops, a, b);

		/* The chain of pairs, newest first, hangs on next until they are joined. */
		ops->node(pair)->next = pairs;
		pairs = pair;
	}
	while (pairs >= 0)
	{
		int32 rest = ops->node(pairs)->next;

		ops->node(pairs)->next = -1;
		top = merge(ops, top, pairs);
		pairs = rest;
	}
	if (top >= 0)
		ops->node(top)->next = ops->node(top)->prev = -1;
	return top;
}

void
hd_jobs_heap_insert(const HdHeapOps *ops, int32 *top, int32 index)
{
	HdHeapNode *node = ops->node(index);

	node->child = node->next = node->prev = -1;
	*top = merge(ops, *top, index);
}

void
hd_jobs_heap_remove(const HdHeapOps *ops, int32 *top, int32 index)
{
	HdHeapNode *node = ops->node(index);
	int32 below = merge_siblings(ops, node->child);

	if (*top == index)
		*top = below;
	else
	{
		HdHeapNode *prev = ops->node(node->prev);

		*((prev->child == index) ? &prev->child : &prev->next) = node->next;
		if (node->next >= 0)
			ops->node(node->next)->prev = node->prev;
		*top = merge(ops, *top, below);
	}
	node->child = node->next = node->prev = -1;
}
