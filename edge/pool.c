/*
 * pool.c
 *	  The threads that look names up, and the lanes in which names wait for one.
 *
 * Model: a question waits in its lane's queue, is held by one thread, then stands in the list of
 * those done; an eventfd tells the loop. Threads touch nothing else of ours. A thread that was
 * started stays: it is idle, or it holds a question.
 *
 * Lanes: shares are nested. Of n threads, those that hold names of lane SLOW and OPEN together
 * are never more than OPEN's share, those of lane SLOW alone never more than SLOW's. So names
 * that are known to be slow, however many, leave half of the threads to all others; and names
 * of which nothing is known, all of which may hang, leave a quarter to those that are asked again
 * and again because deliveries succeed. Only names that were fast until now and all begin to
 * hang at once can take every thread, each of them once: resolver.c bridges that time.
 *
 * Locking: Shared.mutex protects every field of Shared, which is counted: it is freed by the last
 * of the pool and its threads to leave, so that getaddrinfo(), which cannot be interrupted, never
 * holds up the end of the process.
 *
 * Bounds: a question exists for each name asked for (the resolver asks once for all who wait), so
 * no more than there are requests in flight and names that are refreshed.
 */
#include "pool.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define ADDRESSES_MOST 16
#define THREAD_STACK_BYTES (256 * 1024)
#define LEAVE_WAIT_S 1

typedef struct Queue
{
	HdQuestion *head;
	HdQuestion *tail;
	size_t count;
} Queue;

typedef struct Shared
{
	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	Queue queues[HD_LANES];
	size_t shares[HD_LANES]; /* most threads for this lane and those after it */
	size_t held[HD_LANES];	 /* threads that look a name of the lane up */
	size_t idle;			 /* threads that wait for a question, or are about to */
	HdQuestion *done;
	int wake_fd; /* eventfd; -1 once the pool is gone */
	bool stopping;
	unsigned users; /* the pool and each thread */
} Shared;

struct HdPool
{
	Shared *shared;
	int wake_fd;
	size_t threads_most;
	size_t thread_count;
	bool warned; /* that a thread could not be started */
	pthread_t threads[HD_POOL_THREADS_MOST];
};

static void
lock(Shared *shared)
{
	/* An error here means a corrupt mutex: there is nothing safe to go on with. */
	if (pthread_mutex_lock(&shared->mutex) != 0)
		abort();
}

static void
unlock(Shared *shared)
{
	if (pthread_mutex_unlock(&shared->mutex) != 0)
		abort();
}

void
hd_question_free_list(HdQuestion *list)
{
	while (list != NULL)
	{
		HdQuestion *next = list->next;

		free(list);
		list = next;
	}
}

/* Gives up one use; called with the mutex held, which it releases. */
static void
leave(Shared *shared)
{
	bool last = --shared->users == 0;

	unlock(shared);
	if (!last)
		return;
	for (size_t lane = 0; lane < HD_LANES; lane++)
		hd_question_free_list(shared->queues[lane].head);
	hd_question_free_list(shared->done);
	pthread_cond_destroy(&shared->wanted);
	pthread_mutex_destroy(&shared->mutex);
	free(shared);
}

/* ---- lanes; with the mutex held ---- */

static void
push(Queue *queue, HdQuestion *question)
{
	if (queue->head == NULL)
		queue->head = question;
	else
		queue->tail->next = question;
	queue->tail = question;
	queue->count++;
}

static HdQuestion *
pop(Queue *queue)
{
	HdQuestion *question = queue->head;

	queue->head = question->next;
	question->next = NULL;
	queue->count--;
	return question;
}

/* The question for a thread that has none; NULL: none, or what waits must leave threads free. */
static HdQuestion *
take_question(Shared *shared)
{
	size_t held = 0;

	for (size_t lane = 0; lane < HD_LANES; lane++)
		held += shared->held[lane];
	for (size_t lane = 0; lane < HD_LANES; lane++)
	{
		if (held >= shared->shares[lane])
			return NULL;
		if (shared->queues[lane].head != NULL)
		{
			shared->held[lane]++;
			return pop(&shared->queues[lane]);
		}
		held -= shared->held[lane];
	}
	return NULL;
}

/* How many threads without a question would find one. */
static size_t
threads_wanted(const Shared *shared)
{
	size_t held = 0;
	size_t wanted = 0;

	for (size_t lane = HD_LANES; lane-- > 0;)
	{
		size_t room;

		held += shared->held[lane];
		wanted += shared->queues[lane].count;
		room = shared->shares[lane] > held ? shared->shares[lane] - held : 0;
		if (wanted > room)
			wanted = room;
	}
	return wanted;
}

/* ---- the threads' side ---- */

static void
format_addresses(const struct addrinfo *list, HdResolution *resolution)
{
	size_t used = 0;
	unsigned count = 0;

	for (; list != NULL && count < ADDRESSES_MOST; list = list->ai_next)
	{
		char host[NI_MAXHOST];
		bool is_ipv6 = list->ai_family == AF_INET6;
		int length;

		if ((!is_ipv6 && list->ai_family != AF_INET) ||
			getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof(host), NULL, 0,
						NI_NUMERICHOST) != 0)
			continue;
		/* A scoped address ("fe80::1%eth0") can only be link-local, which is never allowed. */
		if (strchr(host, '%') != NULL)
			continue;
		length = snprintf(resolution->text + used, sizeof(resolution->text) - used, "%s%s%s%s",
						  count > 0 ? "," : "", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "");
		if (length < 0 || (size_t) length >= sizeof(resolution->text) - used)
			break;
		used += (size_t) length;
		count++;
	}
	resolution->text[used] = '\0';
	resolution->answer = count > 0 ? HD_ANSWER_ADDRESSES : HD_ANSWER_NONE;
	if (count == 0)
		snprintf(resolution->text, sizeof(resolution->text), "the name has no address");
}

/* Without a descriptor for its files and sockets the C library may say that there is no such name. */
static HdAnswer
answer_of(int code, int error)
{
	if (code == EAI_MEMORY || error == EMFILE || error == ENFILE || error == ENOMEM)
		return HD_ANSWER_SHORTAGE;
	return code == EAI_NONAME || code == EAI_NODATA ? HD_ANSWER_NONE : HD_ANSWER_FAILED;
}

static void
look_up(HdQuestion *question)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	HdResolution *resolution = &question->resolution;
	int64_t began = hd_clock_us();
	int code;

	errno = 0;
	code = getaddrinfo(question->name, NULL, &hints, &list);
	if (code == 0)
	{
		format_addresses(list, resolution);
		freeaddrinfo(list);
	}
	else
	{
		resolution->answer = answer_of(code, errno);
		snprintf(resolution->text, sizeof(resolution->text), "%s",
				 code == EAI_SYSTEM ? "the name could not be looked up" : gai_strerror(code));
	}
	question->took_us = hd_clock_us() - began;
}

static void *
thread_main(void *argument)
{
	Shared *shared = argument;

	lock(shared);
	shared->idle--; /* whoever started us counted us */
	while (!shared->stopping)
	{
		HdQuestion *question = take_question(shared);

		if (question == NULL)
		{
			shared->idle++;
			if (pthread_cond_wait(&shared->wanted, &shared->mutex) != 0)
				abort();
			shared->idle--;
			continue;
		}
		unlock(shared);
		look_up(question);
		lock(shared);
		shared->held[question->lane]--;
		question->next = shared->done;
		shared->done = question;
		/* An eventfd add of 1 blocks only at 2^64-2 unread wake-ups. */
		if (shared->wake_fd >= 0 && eventfd_write(shared->wake_fd, 1) != 0)
			abort();
	}
	leave(shared);
	return NULL;
}

/* ---- the loop's side ---- */

/* Threads start with every signal blocked: signals are the loop's, by signalfd. */
static int
create_thread(Shared *shared, pthread_t *thread)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int code = pthread_attr_init(&attributes);

	if (code != 0)
		return code;
	sigfillset(&all);
	code = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	if (code == 0)
		code = pthread_sigmask(SIG_BLOCK, &all, &before);
	if (code == 0)
	{
		code = pthread_create(thread, &attributes, thread_main, shared);
		if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
			abort();
	}
	pthread_attr_destroy(&attributes);
	return code;
}

static bool
start_thread(HdPool *pool)
{
	Shared *shared = pool->shared;
	int code;

	/* Counted before it runs: it may leave before pthread_create() returns. */
	lock(shared);
	shared->users++;
	shared->idle++;
	unlock(shared);
	code = create_thread(shared, &pool->threads[pool->thread_count]);
	if (code == 0)
	{
		pool->thread_count++;
		return true;
	}
	lock(shared);
	shared->idle--;
	leave(shared);
	if (!pool->warned)
		hd_log(HD_LOG_WARNING, "only %zu threads look names up, no other can be started: %s",
			   pool->thread_count, strerror(code));
	pool->warned = true;
	return false;
}

bool
hd_pool_ask(HdPool *pool, const char *name, HdLane lane)
{
	Shared *shared = pool->shared;
	HdQuestion *question = calloc(1, sizeof(*question));
	bool another;

	if (question == NULL)
		return false;
	snprintf(question->name, sizeof(question->name), "%s", name);
	question->lane = lane;

	lock(shared);
	push(&shared->queues[lane], question);
	another = threads_wanted(shared) > shared->idle;
	if (pthread_cond_signal(&shared->wanted) != 0)
		abort();
	unlock(shared);

	/* Where none can be started, it waits for one that there is. */
	if (another && pool->thread_count < pool->threads_most)
		(void) start_thread(pool);
	return true;
}

HdQuestion *
hd_pool_take(HdPool *pool)
{
	HdQuestion *done;
	eventfd_t count;

	if (eventfd_read(pool->wake_fd, &count) != 0)
		return NULL;
	lock(pool->shared);
	done = pool->shared->done;
	pool->shared->done = NULL;
	unlock(pool->shared);
	return done;
}

int
hd_pool_fd(const HdPool *pool)
{
	return pool->wake_fd;
}

static Shared *
create_shared(size_t threads, int wake_fd)
{
	Shared *shared = calloc(1, sizeof(*shared));

	if (shared == NULL)
		return NULL;
	if (pthread_mutex_init(&shared->mutex, NULL) != 0)
	{
		free(shared);
		return NULL;
	}
	if (pthread_cond_init(&shared->wanted, NULL) != 0)
	{
		pthread_mutex_destroy(&shared->mutex);
		free(shared);
		return NULL;
	}
	shared->shares[HD_LANE_PROVEN] = threads;
	shared->shares[HD_LANE_OPEN] = threads - threads / 4;
	shared->shares[HD_LANE_SLOW] = threads - threads / 2;
	shared->users = 1;
	shared->wake_fd = wake_fd;
	return shared;
}

HdPool *
hd_pool_create(size_t threads_most)
{
	HdPool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return NULL;
	pool->threads_most = threads_most;
	pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake_fd >= 0)
		pool->shared = create_shared(threads_most, pool->wake_fd);
	if (pool->shared == NULL || !start_thread(pool))
	{
		hd_pool_free(pool);
		return NULL;
	}
	return pool;
}

/*
 * Idle threads are waited for, which takes no time; one inside getaddrinfo() is left to end by
 * itself, since it may take half a minute.
 */
static void
leave_threads(HdPool *pool)
{
	struct timespec deadline;

	lock(pool->shared);
	pool->shared->stopping = true;
	pool->shared->wake_fd = -1;
	if (pthread_cond_broadcast(&pool->shared->wanted) != 0)
		abort();
	leave(pool->shared);

	if (clock_gettime(CLOCK_MONOTONIC, &deadline) != 0)
		abort();
	deadline.tv_sec += LEAVE_WAIT_S;
	for (size_t i = 0; i < pool->thread_count; i++)
	{
		if (pthread_clockjoin_np(pool->threads[i], NULL, CLOCK_MONOTONIC, &deadline) != 0)
			pthread_detach(pool->threads[i]);
	}
}

void
hd_pool_free(HdPool *pool)
{
	if (pool == NULL)
		return;
	if (pool->shared != NULL)
		leave_threads(pool);
	if (pool->wake_fd >= 0)
		close(pool->wake_fd);
	free(pool);
}
