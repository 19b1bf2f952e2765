/*
 * loop_test.c
 *	  Timers fire in order and once; an event of a forgotten watch reaches nobody.
 */
#include "loop.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"

#define TIMERS 500

typedef struct Fixture
{
	HdLoop *loop;
	HdTimer timers[TIMERS];
	int64_t last_due;
	int fired;
	bool in_order;
	int pipes[2][2];
	int delivered;
} Fixture;

typedef struct Shot
{
	Fixture *fixture;
	HdTimer *timer;
} Shot;

static Shot shots[TIMERS];

static void
fire(void *context)
{
	Shot *shot = context;
	Fixture *fixture = shot->fixture;

	fixture->in_order &= shot->timer->due >= fixture->last_due;
	fixture->in_order &= hd_clock_us() >= shot->timer->due;
	fixture->last_due = shot->timer->due;
	if (++fixture->fired == TIMERS / 2)
		hd_loop_stop(fixture->loop);
}

/* Many timers in random order, each moved once, half of them taken back. */
static void
test_timers(Fixture *fixture)
{
	bool made = true;

	fixture->in_order = true;
	srandom(1);
	for (int i = 0; i < TIMERS; i++)
	{
		shots[i] = (Shot){fixture, &fixture->timers[i]};
		made &= hd_timer_init(&fixture->timers[i], fixture->loop, fire, &shots[i]);
		if (made)
			hd_timer_arm(&fixture->timers[i], random() % 50000);
	}
	CHECK(made, "%d timers", TIMERS);
	if (!made)
		return;
	for (int i = 0; i < TIMERS; i++)
	{
		hd_timer_arm(&fixture->timers[i], random() % 50000);
		if (i % 2 == 1)
			hd_timer_disarm(&fixture->timers[i]);
	}
	CHECK(hd_loop_run(fixture->loop), "the loop ran");
	CHECK(fixture->fired == TIMERS / 2, "every armed timer fired once, no other did");
	CHECK(fixture->in_order, "in order, and none early");
	for (int i = 0; i < TIMERS; i++)
		hd_timer_free(&fixture->timers[i]);
}

/* Whichever of two ready pipes comes first forgets the other, closes it and reuses its number. */
static void
pipe_ready(void *context, int ready, uint32_t events)
{
	Fixture *fixture = context;

	(void) ready;
	(void) events;
	if (++fixture->delivered > 1)
		return;
	for (int i = 0; i < 2; i++)
	{
		int fd = fixture->pipes[i][0];
		int fresh[2];

		hd_loop_forget(fixture->loop, fd);
		if (close(fd) != 0 || pipe(fresh) != 0 ||
			!hd_loop_watch(fixture->loop, fresh[0], EPOLLIN, pipe_ready, fixture))
			abort();
	}
	hd_timer_arm(&fixture->timers[0], 20 * HD_US_PER_MS);
}

static void
stop_loop(void *context)
{
	hd_loop_stop(((Fixture *) context)->loop);
}

static void
test_stale_events(void)
{
	Fixture fixture = {.loop = hd_loop_create(HD_LOOP_SENDER)};
	bool made = fixture.loop != NULL &&
				hd_timer_init(&fixture.timers[0], fixture.loop, stop_loop, &fixture);

	for (int i = 0; i < 2; i++)
		made = made && pipe(fixture.pipes[i]) == 0 && write(fixture.pipes[i][1], "x", 1) == 1 &&
			   hd_loop_watch(fixture.loop, fixture.pipes[i][0], EPOLLIN, pipe_ready, &fixture);
	CHECK(made && hd_loop_run(fixture.loop), "two pipes were ready in one round");
	CHECK(fixture.delivered == 1, "the event of the closed one reached nobody, nor its successor");
	hd_loop_free(fixture.loop);
}

int
main(void)
{
	static Fixture fixture;

	fixture.loop = hd_loop_create(HD_LOOP_SENDER);
	CHECK(fixture.loop != NULL, "a loop");
	if (fixture.loop != NULL)
		test_timers(&fixture);
	hd_loop_free(fixture.loop);
	test_stale_events();
	return check_end();
}
