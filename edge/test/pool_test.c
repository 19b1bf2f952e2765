/*
 * pool_test.c
 *	  The lanes: which names wait for which, however many hang; and what the C library's answers mean.
 */
#include "pool.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "clock.h"
#include "names.h"

#define DEADLINE_S 60

static void
must_ask(HdPool *pool, const char *name, HdLane lane)
{
	if (!hd_pool_ask(pool, name, lane))
		abort();
}

/* Takes answers until there were so many. */
static HdQuestion *
take(HdPool *pool, size_t count)
{
	HdQuestion *all = NULL;

	while (count > 0)
	{
		struct pollfd ready = {.fd = hd_pool_fd(pool), .events = POLLIN};
		HdQuestion *some;

		if (poll(&ready, 1, -1) < 0)
			abort();
		some = hd_pool_take(pool);
		while (some != NULL)
		{
			HdQuestion *question = some;

			some = some->next;
			question->next = all;
			all = question;
			count--;
		}
	}
	return all;
}

static void
until_hanging(unsigned count)
{
	while (names_now_hanging() != count)
		sched_yield();
}

/* Looks one name up; true when the answer is this one. */
static bool
answers(HdPool *pool, const char *name, HdAnswer answer, const char *text)
{
	HdQuestion *question;
	bool same;

	must_ask(pool, name, HD_LANE_PROVEN);
	question = take(pool, 1);
	same = strcmp(question->name, name) == 0 && question->resolution.answer == answer &&
		   (text == NULL || strcmp(question->resolution.text, text) == 0);
	hd_question_free_list(question);
	return same;
}

static void
test_answers(void)
{
	HdPool *pool = hd_pool_create(1);

	names_good("four.test", "192.0.2.1");
	names_good("six.test", "2001:db8::1");
	names_bad("nodata.test", EAI_NODATA, 0);
	names_bad("again.test", EAI_AGAIN, 0);
	names_bad("fail.test", EAI_FAIL, 0);
	names_bad("system.test", EAI_SYSTEM, EPERM);
	names_bad("memory.test", EAI_MEMORY, 0);
	names_bad("files.test", EAI_NONAME, EMFILE);
	names_bad("table.test", EAI_SYSTEM, ENFILE);
	names_bad("space.test", EAI_AGAIN, ENOMEM);
	CHECK(pool != NULL, "a pool of one thread");
	if (pool == NULL)
		return;
	CHECK(answers(pool, "four.test", HD_ANSWER_ADDRESSES, "192.0.2.1"), "an IPv4 address");
	CHECK(answers(pool, "six.test", HD_ANSWER_ADDRESSES, "[2001:db8::1]"), "an IPv6 address");
	CHECK(answers(pool, "none.test", HD_ANSWER_NONE, NULL), "no such name");
	CHECK(answers(pool, "nodata.test", HD_ANSWER_NONE, NULL), "a name without addresses");
	CHECK(answers(pool, "again.test", HD_ANSWER_FAILED, NULL), "a name server that is silent");
	CHECK(answers(pool, "fail.test", HD_ANSWER_FAILED, NULL), "one that refuses");
	CHECK(answers(pool, "system.test", HD_ANSWER_FAILED, "the name could not be looked up"),
		  "an error of the system");
	CHECK(answers(pool, "memory.test", HD_ANSWER_SHORTAGE, NULL), "no memory is our own fault");
	CHECK(answers(pool, "files.test", HD_ANSWER_SHORTAGE, NULL),
		  "so are no descriptors, though it says that there is no such name");
	CHECK(answers(pool, "table.test", HD_ANSWER_SHORTAGE, NULL), "nor those of the system");
	CHECK(answers(pool, "space.test", HD_ANSWER_SHORTAGE, NULL), "nor memory of the kernel");
	hd_pool_free(pool);
}

/* One thread: who came last in the first lane goes first. */
static void
test_order(void)
{
	HdPool *pool = hd_pool_create(1);

	if (pool == NULL)
		abort();
	names_hang("hang.test");
	must_ask(pool, "hang.test", HD_LANE_SLOW);
	until_hanging(1);
	names_log[0] = '\0';
	must_ask(pool, "s1", HD_LANE_SLOW);
	must_ask(pool, "o1", HD_LANE_OPEN);
	must_ask(pool, "o2", HD_LANE_OPEN);
	must_ask(pool, "p1", HD_LANE_PROVEN);
	must_ask(pool, "p2", HD_LANE_PROVEN);
	names_release();
	hd_question_free_list(take(pool, 6));
	CHECK(strcmp(names_log, "p1 p2 o1 o2 s1 ") == 0, "by lane, then in turn: %s", names_log);
	hd_pool_free(pool);
}

/* Of eight threads, with a crowd of names that hang in each lane. */
static void
test_shares(void)
{
	HdPool *pool = hd_pool_create(8);
	char name[32];
	int served = 0;

	if (pool == NULL)
		abort();
	names_good("good.test", "192.0.2.1");
	names_hanging_most = 0;
	for (int i = 0; i < 50; i++)
	{
		snprintf(name, sizeof(name), "slow-%d", i);
		names_hang(name);
		must_ask(pool, name, HD_LANE_SLOW);
	}
	until_hanging(4);
	must_ask(pool, "good.test", HD_LANE_OPEN);
	hd_question_free_list(take(pool, 1));
	CHECK(names_now_hanging() == 4,
		  "fifty slow names hold half of the threads, and a new one none of these");

	for (int i = 0; i < 50; i++)
	{
		snprintf(name, sizeof(name), "new-%d", i);
		names_hang(name);
		must_ask(pool, name, HD_LANE_OPEN);
	}
	until_hanging(6);
	for (int i = 0; i < 100; i++)
	{
		must_ask(pool, "good.test", HD_LANE_PROVEN);
		hd_question_free_list(take(pool, 1));
		served++;
	}
	CHECK(served == 100, "beside fifty new ones that hang, too, a proven one is served at once");
	CHECK(names_hanging_most == 6, "those never held more than three quarters: %u",
		  names_hanging_most);

	names_hang("turned-1");
	names_hang("turned-2");
	must_ask(pool, "turned-1", HD_LANE_PROVEN);
	must_ask(pool, "turned-2", HD_LANE_PROVEN);
	until_hanging(8);
	CHECK(names_hanging_most == 8, "a proven name may have any thread");
	names_release();
	hd_question_free_list(take(pool, 102));
	CHECK(names_now_hanging() == 0, "in the end all are answered");
	CHECK(names_asked("good.test") == 101 && names_asked("slow-49") == 1, "each of them once");
	hd_pool_free(pool);
}

/* What counts as slow is the lookup, and not the wait for a thread. */
static void
test_time(void)
{
	HdPool *pool = hd_pool_create(1);
	HdQuestion *all;

	if (pool == NULL)
		abort();
	names_hang("late.test");
	must_ask(pool, "late.test", HD_LANE_OPEN);
	must_ask(pool, "good.test", HD_LANE_OPEN);
	until_hanging(1);
	names_pass(3000);
	names_release();
	all = take(pool, 2);
	for (const HdQuestion *question = all; question != NULL; question = question->next)
	{
		bool is_late = strcmp(question->name, "late.test") == 0;

		CHECK(is_late == (question->took_us >= 3 * HD_US_PER_S), "the time of %s is its own",
			  question->name);
	}
	hd_question_free_list(all);
	names_pass(-3000);
	hd_pool_free(pool);
}

/* Nobody waits for what hangs when the pool goes. */
static void
test_end(void)
{
	HdPool *pool = hd_pool_create(4);
	int64_t began;

	if (pool == NULL)
		abort();
	names_hang("last.test");
	must_ask(pool, "last.test", HD_LANE_OPEN);
	must_ask(pool, "unread.test", HD_LANE_OPEN);
	until_hanging(1);
	began = hd_clock_us();
	hd_pool_free(pool);
	CHECK(hd_clock_us() - began < 10 * HD_US_PER_S && names_now_hanging() == 1,
		  "the pool goes while a lookup hangs");
	names_release();
	until_hanging(0);
}

int
main(void)
{
	alarm(DEADLINE_S);
	test_answers();
	test_order();
	test_shares();
	test_time();
	test_end();
	return check_end();
}
