/*
 * loop.h
 *	  One thread's wait: descriptors by epoll, timers by one timerfd.
 *
 * A watch is keyed by its descriptor. Forgetting a watch, or closing and reusing
 * its number, inside a callback is allowed: an event that epoll had already handed
 * out for the old watch is dropped (each watch has a generation).
 * Timers belong to their users; between hd_timer_init() and hd_timer_free() arming one cannot fail.
 */
#ifndef HD_EDGE_LOOP_H
#define HD_EDGE_LOOP_H

#include "common.h"
#include "metrics.h"

typedef struct HdLoop HdLoop;
typedef void (*HdIoFn)(void *context, int fd, uint32_t events);
typedef void (*HdLoopFn)(void *context);

typedef struct HdTimer
{
	HdLoop *loop;
	HdLoopFn fn;
	void *context;
	int64_t due;
	size_t place; /* 1-based position in the loop's heap; 0: not armed */
} HdTimer;

/* A loop belongs to one thread; its rounds are measured under its name. */
HdLoop *hd_loop_create(HdLoopName name) HD_MUSTCHECK;
void hd_loop_free(HdLoop *loop);

/* Starts or changes the watch of fd; events are EPOLLIN and EPOLLOUT. */
bool hd_loop_watch(HdLoop *loop, int fd, uint32_t events, HdIoFn fn, void *context) HD_MUSTCHECK;
void hd_loop_forget(HdLoop *loop, int fd);

/* Calls fn after each round of events: the place to do once what many events asked for. */
void hd_loop_set_after(HdLoop *loop, HdLoopFn fn, void *context);

/* Runs until hd_loop_stop(), after which it may be run again; false when waiting itself failed. */
bool hd_loop_run(HdLoop *loop) HD_MUSTCHECK;
void hd_loop_stop(HdLoop *loop);

bool hd_timer_init(HdTimer *timer, HdLoop *loop, HdLoopFn fn, void *context) HD_MUSTCHECK;
void hd_timer_free(HdTimer *timer);
/* Fires once, delay_us from now; arming again moves it. */
void hd_timer_arm(HdTimer *timer, int64_t delay_us);
void hd_timer_disarm(HdTimer *timer);
bool hd_timer_armed(const HdTimer *timer);

#endif
