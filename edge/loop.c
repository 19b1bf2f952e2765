/*
 * loop.c
 *	  One thread's wait: descriptors by epoll, timers by one timerfd.
 *
 * Timers stand in a binary heap whose array is grown when a timer is initialised,
 * so arming never allocates. The timerfd is set again only when the earliest
 * deadline moves.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define EVENTS_A_ROUND 128

typedef struct Watch
{
	HdIoFn fn; /* NULL: this descriptor is not watched */
	void *context;
	uint32_t events;
	uint32_t generation; /* counts the watches this descriptor number has had */
} Watch;

struct HdLoop
{
	HdLoopName name;
	int epoll_fd;
	int timer_fd;
	bool stopping;
	Watch *watches; /* indexed by descriptor */
	size_t watch_count;
	HdTimer **heap; /* heap[1..armed] */
	size_t armed;
	size_t reserved; /* timers initialised, so the most that can be armed */
	size_t heap_size;
	int64_t timer_set_for; /* what timer_fd is set to; 0: off */
	HdLoopFn after;
	void *after_context;
};

/* ---- timers ---- */

static void
heap_put(HdLoop *loop, size_t place, HdTimer *timer)
{
	loop->heap[place] = timer;
	timer->place = place;
}

static void
heap_up(HdLoop *loop, HdTimer *timer, size_t place)
{
	while (place > 1 && loop->heap[place / 2]->due > timer->due)
	{
		heap_put(loop, place, loop->heap[place / 2]);
		place /= 2;
	}
	heap_put(loop, place, timer);
}

static void
heap_down(HdLoop *loop, HdTimer *timer, size_t place)
{
	for (;;)
	{
		size_t child = place * 2;

		if (child > loop->armed)
			break;
		if (child < loop->armed && loop->heap[child + 1]->due < loop->heap[child]->due)
			child++;
		if (loop->heap[child]->due >= timer->due)
			break;
		heap_put(loop, place, loop->heap[child]);
		place = child;
	}
	heap_put(loop, place, timer);
}

bool
hd_timer_init(HdTimer *timer, HdLoop *loop, HdLoopFn fn, void *context)
{
	if (loop->reserved + 2 > loop->heap_size)
	{
		size_t size = loop->heap_size == 0 ? 64 : loop->heap_size * 2;
		HdTimer **heap = realloc(loop->heap, size * sizeof(*heap));

		if (heap == NULL)
			return false;
		loop->heap = heap;
		loop->heap_size = size;
	}
	loop->reserved++;
	*timer = (HdTimer){.loop = loop, .fn = fn, .context = context};
	return true;
}

void
hd_timer_free(HdTimer *timer)
{
	if (timer->loop == NULL)
		return;
	hd_timer_disarm(timer);
	timer->loop->reserved--;
	timer->loop = NULL;
}

void
hd_timer_arm(HdTimer *timer, int64_t delay_us)
{
	HdLoop *loop = timer->loop;

	hd_timer_disarm(timer);
	timer->due = hd_clock_us() + (delay_us > 0 ? delay_us : 0);
	loop->armed++;
	heap_up(loop, timer, loop->armed);
}

void
hd_timer_disarm(HdTimer *timer)
{
	HdLoop *loop = timer->loop;
	size_t place = timer->place;

	if (place == 0)
		return;

	HdTimer *last = loop->heap[loop->armed--];

	timer->place = 0;
	if (last == timer)
		return;
	if (place > 1 && loop->heap[place / 2]->due > last->due)
		heap_up(loop, last, place);
	else
		heap_down(loop, last, place);
}

bool
hd_timer_armed(const HdTimer *timer)
{
	return timer->place != 0;
}

static void
run_due_timers(HdLoop *loop)
{
	int64_t now = hd_clock_us();

	/* A timer that arms itself for "now" gets its turn next round, or I/O would starve. */
	while (loop->armed > 0 && loop->heap[1]->due <= now)
	{
		HdTimer *timer = loop->heap[1];

		hd_timer_disarm(timer);
		timer->fn(timer->context);
	}
}

static bool
set_timer_fd(HdLoop *loop)
{
	int64_t due = loop->armed > 0 ? loop->heap[1]->due : 0;
	struct itimerspec when = {{0, 0}, {0, 0}};

	if (due == loop->timer_set_for)
		return true;
	when.it_value.tv_sec = due / HD_US_PER_S;
	when.it_value.tv_nsec = due % HD_US_PER_S * 1000;
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0)
	{
		hd_log(HD_LOG_ERROR, "cannot set a timer: %s", strerror(errno));
		return false;
	}
	loop->timer_set_for = due;
	return true;
}

static void
timer_fd_ready(void *context, int fd, uint32_t events)
{
	HdLoop *loop = context;
	uint64_t expirations;

	(void) events;
	/* Only empties the descriptor; which timers are due is asked of the clock. */
	if (read(fd, &expirations, sizeof(expirations)) == (ssize_t) sizeof(expirations))
		loop->timer_set_for = 0;
}

/* ---- descriptors ---- */

static bool
reserve_watch(HdLoop *loop, size_t fd)
{
	size_t count = loop->watch_count == 0 ? 64 : loop->watch_count;

	if (fd < loop->watch_count)
		return true;
	while (count <= fd)
		count *= 2;

	Watch *watches = realloc(loop->watches, count * sizeof(*watches));

	if (watches == NULL)
		return false;
	memset(watches + loop->watch_count, 0, (count - loop->watch_count) * sizeof(*watches));
	loop->watches = watches;
	loop->watch_count = count;
	return true;
}

bool
hd_loop_watch(HdLoop *loop, int fd, uint32_t events, HdIoFn fn, void *context)
{
	struct epoll_event event = {.events = events};
	Watch *watch;
	bool fresh;

	if (fd < 0 || !reserve_watch(loop, (size_t) fd))
		return false;
	watch = &loop->watches[fd];
	fresh = watch->fn == NULL;
	if (fresh)
		watch->generation++;
	watch->fn = fn;
	watch->context = context;
	if (!fresh && watch->events == events)
		return true;
	watch->events = events;
	event.data.u64 = (uint64_t) watch->generation << 32 | (uint32_t) fd;
	if (epoll_ctl(loop->epoll_fd, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) == 0)
		return true;

	/* Closed and reopened without a forget, or forgotten by the kernel: take the other verb. */
	if ((errno == EEXIST || errno == ENOENT) &&
		epoll_ctl(loop->epoll_fd, fresh ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0)
		return true;
	hd_log(HD_LOG_ERROR, "cannot watch descriptor %d: %s", fd, strerror(errno));
	watch->fn = NULL;
	return false;
}

void
hd_loop_forget(HdLoop *loop, int fd)
{
	if (fd < 0 || (size_t) fd >= loop->watch_count || loop->watches[fd].fn == NULL)
		return;
	loop->watches[fd].fn = NULL;
	/* Its owner may have closed it already; then the kernel has dropped it by itself. */
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL) != 0 && errno != EBADF &&
		errno != ENOENT)
		hd_log(HD_LOG_WARNING, "cannot unwatch descriptor %d: %s", fd, strerror(errno));
}

/* ---- the loop ---- */

HdLoop *
hd_loop_create(HdLoopName name)
{
	HdLoop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return NULL;
	loop->name = name;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 ||
		!hd_loop_watch(loop, loop->timer_fd, EPOLLIN, timer_fd_ready, loop))
	{
		hd_loop_free(loop);
		return NULL;
	}
	return loop;
}

void
hd_loop_free(HdLoop *loop)
{
	if (loop == NULL)
		return;
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop->watches);
	free(loop->heap);
	free(loop);
}

void
hd_loop_set_after(HdLoop *loop, HdLoopFn fn, void *context)
{
	loop->after = fn;
	loop->after_context = context;
}

void
hd_loop_stop(HdLoop *loop)
{
	loop->stopping = true;
}

static void
dispatch(HdLoop *loop, const struct epoll_event *event)
{
	size_t fd = (size_t) (event->data.u64 & UINT32_MAX);
	uint32_t generation = (uint32_t) (event->data.u64 >> 32);
	const Watch *watch = &loop->watches[fd];

	if (watch->fn != NULL && watch->generation == generation)
		watch->fn(watch->context, (int) fd, event->events);
}

bool
hd_loop_run(HdLoop *loop)
{
	struct epoll_event events[EVENTS_A_ROUND];

	while (!loop->stopping)
	{
		int64_t began;
		int count;

		if (!set_timer_fd(loop))
			return false;
		count = epoll_wait(loop->epoll_fd, events, EVENTS_A_ROUND, -1);
		if (count < 0 && errno != EINTR)
		{
			hd_log(HD_LOG_ERROR, "cannot wait for events: %s", strerror(errno));
			return false;
		}
		began = hd_clock_us();
		for (int i = 0; i < count && !loop->stopping; i++)
			dispatch(loop, &events[i]);
		run_due_timers(loop);
		if (loop->after != NULL)
			loop->after(loop->after_context);
		hd_metrics_round(loop->name, hd_clock_us() - began);
	}
	loop->stopping = false;
	return true;
}
