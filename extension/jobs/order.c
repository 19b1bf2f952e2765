/*-------------------------------------------------------------------------
 * order.c
 *		Entries of a line in their order.
 *
 * Model: see order.h.  In the queue an entry's node links neighbours, and
 * child is not used.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/order.h"

#include "jobs/heap.h"

static HdHeapNode *
node_of(int32 index)
{
	return &hd_jobs_entry(index)->node;
}

static bool
before_in_time(int32 a, int32 b)
{
	const HdJobEntry *x = hd_jobs_entry(a);
	const HdJobEntry *y = hd_jobs_entry(b);

	return hd_jobs_order_before(false, x->at, x->id, y->at, y->id);
}

static bool
before_in_id(int32 a, int32 b)
{
	return hd_jobs_entry(a)->id < hd_jobs_entry(b)->id;
}

static const HdHeapOps by_time = {node_of, before_in_time};
static const HdHeapOps by_id = {node_of, before_in_id};

bool
hd_jobs_order_before(bool strict, TimestampTz at, int64 id, TimestampTz other_at, int64 other_id)
{
	if (strict || at == other_at)
		return id < other_id;
	return at < other_at;
}

void
hd_jobs_order_init(HdJobOrder *order)
{
	order->head = order->tail = order->top = -1;
	order->count = 0;
}

void
hd_jobs_order_add(HdJobOrder *order, bool strict, int32 index)
{
	const HdHeapOps *ops = strict ? &by_id : &by_time;
	HdHeapNode *node = node_of(index);

	order->count++;
	hd_jobs_entry(index)->in_heap = order->tail >= 0 && ops->before(index, order->tail);
	if (hd_jobs_entry(index)->in_heap)
	{
		hd_jobs_heap_insert(ops, &order->top, index);
		return;
	}
	node->child = node->next = -1;
	node->prev = order->tail;
	*((order->tail >= 0) ? &node_of(order->tail)->next : &order->head) = index;
	order->tail = index;
}

void
hd_jobs_order_remove(HdJobOrder *order, bool strict, int32 index)
{
	HdHeapNode *node = node_of(index);

	order->count--;
	if (hd_jobs_entry(index)->in_heap)
	{
		hd_jobs_heap_remove(strict ? &by_id : &by_time, &order->top, index);
		return;
	}
	*((node->prev >= 0) ? &node_of(node->prev)->next : &order->head) = node->next;
	*((node->next >= 0) ? &node_of(node->next)->prev : &order->tail) = node->prev;
}

int32
hd_jobs_order_first(const HdJobOrder *order, bool strict)
{
	const HdHeapOps *ops = strict ? &by_id : &by_time;

	if (order->top < 0)
		return order->head;
	if (order->head < 0)
		return order->top;
	return ops->before(order->top, order->head) ? order->top : order->head;
}
