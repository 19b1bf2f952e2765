/*
 * resolver_test.c
 *	  How long an answer is used, what ends that, and who waits: on a clock that the test moves.
 */
#include "resolver.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "check.h"
#include "clock.h"
#include "metrics.h"
#include "names.h"

#define DEADLINE_S 60
#define TTL_MS 30000
#define NEGATIVE_TTL_MS 20000
#define FAILED_TTL_MS 5000

typedef struct Fixture
{
	HdLoop *loop;
	HdResolver *resolver;
	int ready[2]; /* a pipe with something to read: a loop with it makes a round at once */
} Fixture;

typedef struct Waiter
{
	HdLookup lookup;
	int called;
	HdResolution resolution;
} Waiter;

static void
look_on(void *context, int fd, uint32_t events)
{
	(void) context;
	(void) fd;
	(void) events;
}

static void
stop_loop(void *context)
{
	hd_loop_stop(context);
}

static Fixture
fixture(int64_t ttl_ms, int64_t negative_ttl_ms, size_t threads)
{
	HdResolverOptions options = {threads, ttl_ms * HD_US_PER_MS, negative_ttl_ms * HD_US_PER_MS};
	Fixture made = {.loop = hd_loop_create(HD_LOOP_SENDER)};

	if (made.loop == NULL || pipe(made.ready) != 0 || write(made.ready[1], "x", 1) != 1 ||
		!hd_loop_watch(made.loop, made.ready[0], EPOLLIN, look_on, NULL))
		abort();
	hd_loop_set_after(made.loop, stop_loop, made.loop);
	made.resolver = hd_resolver_create(made.loop, &options);
	if (made.resolver == NULL)
		abort();
	return made;
}

/* On time that has not been moved, since waiting for threads is. */
static void
dismantle(Fixture *made)
{
	names_moved_us = 0;
	hd_resolver_free(made->resolver);
	hd_loop_free(made->loop);
	close(made->ready[0]);
	close(made->ready[1]);
}

static void
make_round(Fixture *made)
{
	if (!hd_loop_run(made->loop))
		abort();
}

static void
answered(void *context, const HdResolution *resolution)
{
	Waiter *waiter = context;

	waiter->called++;
	waiter->resolution = *resolution;
}

/* Asks; true when it is answered from memory. */
static bool
ask(Fixture *made, const char *name, Waiter *waiter)
{
	const HdResolution *known;

	memset(waiter, 0, sizeof(*waiter));
	waiter->lookup.fn = answered;
	waiter->lookup.context = waiter;
	known = hd_resolver_lookup(made->resolver, name, &waiter->lookup);
	if (known != NULL)
		waiter->resolution = *known;
	return known != NULL;
}

static void
await(Fixture *made, Waiter *waiter)
{
	while (waiter->called == 0)
		make_round(made);
}

/* Asks and waits for the answer. */
static Waiter
look_up(Fixture *made, const char *name)
{
	Waiter waiter;

	if (!ask(made, name, &waiter))
		await(made, &waiter);
	return waiter;
}

static bool
says(const Waiter *waiter, HdAnswer answer, const char *text)
{
	return waiter->resolution.answer == answer &&
		   (text == NULL || strcmp(waiter->resolution.text, text) == 0);
}

/* Is it answered from memory, so? */
static bool
remembers(Fixture *made, const char *name, HdAnswer answer, const char *text)
{
	Waiter waiter;
	bool known = ask(made, name, &waiter);

	hd_resolver_cancel(&waiter.lookup);
	return known && says(&waiter, answer, text);
}

/* Is it answered so, while a question is out that will fail? Rounds until that answer was taken. */
static bool
outlives(Fixture *made, const char *name, const char *text)
{
	int64_t failed = hd_metrics_get(HD_METRIC_NAMES_FAILED);
	bool before = remembers(made, name, HD_ANSWER_ADDRESSES, text);

	while (hd_metrics_get(HD_METRIC_NAMES_FAILED) == failed)
		make_round(made);
	return before && remembers(made, name, HD_ANSWER_ADDRESSES, text);
}

/* Rounds until memory says so; the alarm is the deadline. */
static void
until_remembered(Fixture *made, const char *name, HdAnswer answer, const char *text)
{
	while (!remembers(made, name, answer, text))
		make_round(made);
}

static void
test_ages(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 4);
	Waiter first = {0};
	Waiter second = {0};

	names_good("a.test", "192.0.2.1");
	CHECK(!ask(&made, "a.test", &first) && !ask(&made, "a.test", &second), "two have to wait");
	await(&made, &first);
	CHECK(second.called == 1 && says(&second, HD_ANSWER_ADDRESSES, "192.0.2.1") &&
			  names_asked("a.test") == 1,
		  "for one lookup");

	names_good("a.test", "192.0.2.2");
	names_pass(TTL_MS - 100);
	CHECK(remembers(&made, "a.test", HD_ANSWER_ADDRESSES, "192.0.2.1"), "fresh: the old address");
	make_round(&made);
	CHECK(names_asked("a.test") == 1, "nobody was asked");
	names_pass(200);
	CHECK(remembers(&made, "a.test", HD_ANSWER_ADDRESSES, "192.0.2.1"), "stale: still the old one");
	until_remembered(&made, "a.test", HD_ANSWER_ADDRESSES, "192.0.2.2");
	CHECK(names_asked("a.test") == 2, "until one question has brought the new one");

	names_pass(2 * TTL_MS + 100);
	CHECK(!ask(&made, "a.test", &first), "beyond that one waits");
	await(&made, &first);
	dismantle(&made);
}

/* However long addresses are good, a stale one is used for a minute; for no time where they are never. */
static void
test_bounds(void)
{
	Fixture made = fixture(3600000, NEGATIVE_TTL_MS, 4);
	Waiter waiter;

	names_good("b.test", "192.0.2.1");
	(void) look_up(&made, "b.test");
	names_pass(3600000 + 59000);
	names_hang("b.test");
	CHECK(remembers(&made, "b.test", HD_ANSWER_ADDRESSES, NULL), "59 s after its time");
	names_pass(2000);
	CHECK(!ask(&made, "b.test", &waiter), "but not 61 s");
	hd_resolver_cancel(&waiter.lookup);
	names_release();
	dismantle(&made);

	made = fixture(0, 0, 4);
	names_good("c.test", "192.0.2.1");
	(void) look_up(&made, "c.test");
	CHECK(!ask(&made, "c.test", &waiter), "where nothing is to be remembered, nothing is");
	await(&made, &waiter);
	CHECK(names_asked("c.test") == 2, "each is a lookup");
	dismantle(&made);
}

static void
test_refusals(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 4);
	Waiter waiter;

	names_good("gone.test", "192.0.2.1");
	(void) look_up(&made, "gone.test");
	names_pass(TTL_MS + 100);
	names_bad("gone.test", EAI_NONAME, 0);
	(void) remembers(&made, "gone.test", HD_ANSWER_ADDRESSES, NULL);
	until_remembered(&made, "gone.test", HD_ANSWER_NONE, NULL);
	CHECK(names_asked("gone.test") == 2, "a name that is gone is believed to be, at once");
	names_good("gone.test", "192.0.2.2");
	names_pass(NEGATIVE_TTL_MS - 100);
	CHECK(remembers(&made, "gone.test", HD_ANSWER_NONE, NULL), "for its time");
	names_pass(200);
	CHECK(!ask(&made, "gone.test", &waiter), "and no longer: that it was gone is never stale");
	await(&made, &waiter);
	CHECK(says(&waiter, HD_ANSWER_ADDRESSES, "192.0.2.2"), "it is back");

	names_bad("new.test", EAI_AGAIN, 0);
	(void) look_up(&made, "new.test");
	names_pass(FAILED_TTL_MS - 100);
	CHECK(remembers(&made, "new.test", HD_ANSWER_FAILED, NULL),
		  "that nobody can tell is remembered");
	names_pass(200);
	CHECK(!ask(&made, "new.test", &waiter), "for 5 s");
	await(&made, &waiter);
	waiter = look_up(&made, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.0123"
							"456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.01234567"
							"89abcdef0123456789abcdef0123456789abcdef0123456789abcdef.0123456789ab"
							"cdef0123456789abcdef0123456789abcdef0123456789abcdef");
	CHECK(waiter.called == 0 && says(&waiter, HD_ANSWER_NONE, NULL), "a name too long is none");
	dismantle(&made);
}

/* A name server that begins to fail, or to hang, takes nothing away until the address is too old. */
static void
test_outage(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 4);
	Waiter waiter;

	names_good("d.test", "192.0.2.1");
	(void) look_up(&made, "d.test");
	names_pass(TTL_MS + 100);
	names_bad("d.test", EAI_AGAIN, 0);
	CHECK(outlives(&made, "d.test", "192.0.2.1"), "an address outlives \"try again\"");
	names_pass(FAILED_TTL_MS - 100);
	CHECK(remembers(&made, "d.test", HD_ANSWER_ADDRESSES, "192.0.2.1") &&
			  names_asked("d.test") == 2,
		  "nobody is asked again within 5 s");
	names_pass(200);
	CHECK(outlives(&made, "d.test", "192.0.2.1"), "then it outlives the next");
	names_pass(TTL_MS - FAILED_TTL_MS - 300);
	CHECK(outlives(&made, "d.test", "192.0.2.1"), "and the last");
	names_pass(400);
	CHECK(!remembers(&made, "d.test", HD_ANSWER_ADDRESSES, NULL), "but it ends when it is too old");
	waiter = look_up(&made, "d.test");
	CHECK(says(&waiter, HD_ANSWER_FAILED, NULL), "with what the name server says");

	names_good("e.test", "192.0.2.1");
	(void) look_up(&made, "e.test");
	names_pass(TTL_MS + 100);
	names_hang("e.test");
	for (int i = 0; i < 1000; i++)
	{
		if (!remembers(&made, "e.test", HD_ANSWER_ADDRESSES, "192.0.2.1"))
			break;
		names_pass(TTL_MS / 1000 - 1);
		if (i % 100 == 0)
			make_round(&made);
	}
	CHECK(remembers(&made, "e.test", HD_ANSWER_ADDRESSES, "192.0.2.1"),
		  "an address outlives a lookup that hangs");
	CHECK(names_asked("e.test") == 2, "of which there is one");
	names_pass(2000);
	CHECK(!ask(&made, "e.test", &waiter), "until it is too old");
	names_release();
	await(&made, &waiter);
	CHECK(says(&waiter, HD_ANSWER_FAILED, NULL) && names_asked("e.test") == 2,
		  "then one waits for that same lookup");
	dismantle(&made);
}

/* What we lack says nothing of a name. */
static void
test_shortage(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 4);
	Waiter waiter;

	names_bad("f.test", EAI_MEMORY, 0);
	waiter = look_up(&made, "f.test");
	CHECK(says(&waiter, HD_ANSWER_SHORTAGE, NULL), "a shortage is told");
	names_good("f.test", "192.0.2.1");
	CHECK(!ask(&made, "f.test", &waiter), "and not remembered");
	await(&made, &waiter);
	CHECK(says(&waiter, HD_ANSWER_ADDRESSES, "192.0.2.1"), "the next one is answered");
	names_pass(TTL_MS + 100);
	names_bad("f.test", EAI_NONAME, EMFILE);
	CHECK(outlives(&made, "f.test", "192.0.2.1"), "a shortage takes no address away");
	names_good("f.test", "192.0.2.2");
	until_remembered(&made, "f.test", HD_ANSWER_ADDRESSES, "192.0.2.2");
	dismantle(&made);
}

static void
test_cancel(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 4);
	Waiter gone = {0};
	Waiter stays = {0};

	names_hang("g.test");
	CHECK(!ask(&made, "g.test", &gone) && !ask(&made, "g.test", &stays), "two wait");
	hd_resolver_cancel(&gone.lookup);
	hd_resolver_cancel(&gone.lookup);
	names_release();
	await(&made, &stays);
	CHECK(gone.called == 0, "who has gone is not called");
	dismantle(&made);
}

/* Forty names that hang, and one that is asked for all the while. */
static void
test_crowd(void)
{
	Fixture made = fixture(TTL_MS, NEGATIVE_TTL_MS, 64);
	static Waiter crowd[40];
	char name[32];
	int served = 0;
	int64_t slow = hd_metrics_get(HD_METRIC_NAMES_SLOW);

	names_good("good.test", "192.0.2.1");
	(void) look_up(&made, "good.test");

	/* The first time nothing is known of them, the second time that they are slow. */
	for (int turn = 1; turn <= 2; turn++)
	{
		names_hanging_most = 0;
		for (size_t i = 0; i < HD_COUNT(crowd); i++)
		{
			snprintf(name, sizeof(name), "crowd-%zu.test", i);
			names_hang(name);
			if (ask(&made, name, &crowd[i]))
				abort();
		}
		while (names_now_hanging() < (turn == 1 ? 40 : 32))
			make_round(&made);
		for (int i = 0; i < 20; i++)
		{
			Waiter waiter;

			names_pass(2 * TTL_MS + 100);
			if (!ask(&made, "good.test", &waiter))
				await(&made, &waiter);
			served += says(&waiter, HD_ANSWER_ADDRESSES, NULL) && waiter.called == 1;
		}
		CHECK(served == 20 * turn, "turn %d: nobody else waits for forty that hang", turn);
		if (turn == 2)
		{
			Waiter waiter = look_up(&made, "stranger.test");

			CHECK(waiter.called == 1, "not even who was never asked for");
		}
		CHECK(names_hanging_most == (turn == 1 ? 40 : 32),
			  "they hold their share: %u of 64 threads", names_hanging_most);
		names_release();
		for (size_t i = 0; i < HD_COUNT(crowd); i++)
			await(&made, &crowd[i]);
		names_pass(TTL_MS);
	}
	CHECK(hd_metrics_get(HD_METRIC_NAMES_SLOW) > slow, "slow lookups are counted");
	dismantle(&made);
}

int
main(void)
{
	alarm(DEADLINE_S);
	test_ages();
	test_bounds();
	test_refusals();
	test_outage();
	test_shortage();
	test_cancel();
	test_crowd();
	return check_end();
}
