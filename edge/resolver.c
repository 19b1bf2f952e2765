/*
 * resolver.c
 *	  Host names to addresses, on a few threads of our own, remembered for a while.
 *
 * Model: a table of names (loop thread only) and a Pool that threads and loop share.
 * A name not remembered becomes a Job, which the loop hands to the pool's queue; a
 * thread fills it in and puts it on the done list; an eventfd wakes the loop, which
 * copies the answer into the table and calls who waits. A Job belongs to whoever took
 * it off a list; threads touch nothing else of ours.
 *
 * Locking: Pool.mutex protects every field of Pool. The pool is counted: it is freed by
 * the last of the resolver and its threads to leave, so that getaddrinfo(), which
 * cannot be interrupted, never holds up the end of the process.
 *
 * Bounds: a job exists per name asked for, so no more than requests in flight; the table
 * drops answers that are out of date when it is full of them.
 */
#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"

#define BUCKETS 1024
#define NAMES_BEFORE_SWEEP 4096
#define ADDRESSES_MOST 16
#define THREAD_STACK_BYTES (256 * 1024)
#define LEAVE_WAIT_S 1

/* "try again" from a name server says nothing about the name: remembered for less. */
#define AGAIN_TTL_US (INT64_C(5) * HD_US_PER_S)

typedef struct Job
{
	struct Job *next;
	int64_t ttl_limit_us; /* 0: as configured */
	HdResolution answer;
	char name[HD_RESOLVER_NAME_MAX + 1];
} Job;

typedef struct Pool
{
	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	Job *queue_head;
	Job *queue_tail;
	Job *done;
	int wake_fd; /* eventfd; -1 once the resolver is gone */
	bool stopping;
	unsigned users; /* the resolver and each thread */
} Pool;

/* One name: being looked up (job_out) or answered until `expires`. */
typedef struct HdName
{
	struct HdName *next; /* in its bucket */
	bool job_out;
	int64_t expires;
	HdLookup *waiting;
	HdResolution answer;
	char name[HD_RESOLVER_NAME_MAX + 1];
} HdName;

struct HdResolver
{
	HdLoop *loop;
	HdResolverOptions options;
	Pool *pool;
	int wake_fd;
	pthread_t threads[HD_RESOLVER_THREADS_MOST];
	size_t thread_count;
	size_t name_count;
	HdName *buckets[BUCKETS];
	HdResolution scratch; /* an answer that is not kept */
};

/* ---- the threads' side ---- */

static void
pool_lock(Pool *pool)
{
	/* An error here means a corrupt mutex: there is nothing safe to go on with. */
	if (pthread_mutex_lock(&pool->mutex) != 0)
		abort();
}

static void
pool_unlock(Pool *pool)
{
	if (pthread_mutex_unlock(&pool->mutex) != 0)
		abort();
}

static void
free_jobs(Job *job)
{
	while (job != NULL)
	{
		Job *next = job->next;

		free(job);
		job = next;
	}
}

/* Gives up one use of the pool; called with the mutex held, which it releases. */
static void
pool_leave(Pool *pool)
{
	bool last = --pool->users == 0;

	pool_unlock(pool);
	if (!last)
		return;
	free_jobs(pool->queue_head);
	free_jobs(pool->done);
	pthread_cond_destroy(&pool->wanted);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

static void
format_addresses(const struct addrinfo *list, HdResolution *answer)
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
		length = snprintf(answer->text + used, sizeof(answer->text) - used, "%s%s%s%s",
						  count > 0 ? "," : "", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "");
		if (length < 0 || (size_t) length >= sizeof(answer->text) - used)
			break;
		used += (size_t) length;
		count++;
	}
	answer->text[used] = '\0';
	answer->found = count > 0;
	if (!answer->found)
		snprintf(answer->text, sizeof(answer->text), "the name has no address");
}

static void
resolve(Job *job)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int code = getaddrinfo(job->name, NULL, &hints, &list);

	if (code == 0)
	{
		format_addresses(list, &job->answer);
		freeaddrinfo(list);
		return;
	}
	job->answer.found = false;
	if (code != EAI_NONAME && code != EAI_NODATA)
		job->ttl_limit_us = AGAIN_TTL_US;
	snprintf(job->answer.text, sizeof(job->answer.text), "%s",
			 code == EAI_SYSTEM ? "the name could not be looked up" : gai_strerror(code));
}

static void *
thread_main(void *argument)
{
	Pool *pool = argument;

	pool_lock(pool);
	while (!pool->stopping)
	{
		Job *job = pool->queue_head;

		if (job == NULL)
		{
			if (pthread_cond_wait(&pool->wanted, &pool->mutex) != 0)
				abort();
			continue;
		}
		pool->queue_head = job->next;
		pool_unlock(pool);
		resolve(job);
		pool_lock(pool);
		job->next = pool->done;
		pool->done = job;
		/* An eventfd add of 1 blocks only at 2^64-2 unread wake-ups. */
		if (pool->wake_fd >= 0 && eventfd_write(pool->wake_fd, 1) != 0)
			abort();
	}
	pool_leave(pool);
	return NULL;
}

/* Threads start with every signal blocked: signals are the loop's, by signalfd. */
static bool
start_thread(Pool *pool, pthread_t *thread)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int code;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	sigfillset(&all);
	code = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	if (code == 0)
		code = pthread_sigmask(SIG_BLOCK, &all, &before);
	if (code == 0)
	{
		/* Counted before it runs: it may leave before pthread_create() returns. */
		pool_lock(pool);
		pool->users++;
		pool_unlock(pool);
		code = pthread_create(thread, &attributes, thread_main, pool);
		if (code != 0)
		{
			pool_lock(pool);
			pool_leave(pool);
		}
		if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
			abort();
	}
	pthread_attr_destroy(&attributes);
	return code == 0;
}

/* ---- the loop's side ---- */

static size_t
bucket_of(const char *name)
{
	uint32_t hash = 2166136261U;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * 16777619U;
	return hash % BUCKETS;
}

static HdName *
find_name(HdResolver *resolver, const char *text)
{
	HdName *name = resolver->buckets[bucket_of(text)];

	while (name != NULL && strcmp(name->name, text) != 0)
		name = name->next;
	return name;
}

/* Drops answers that are out of date and that nobody waits for. */
static void
sweep(HdResolver *resolver)
{
	int64_t now = hd_clock_us();

	for (size_t i = 0; i < BUCKETS; i++)
	{
		HdName **link = &resolver->buckets[i];

		while (*link != NULL)
		{
			HdName *name = *link;

			if (name->job_out || name->expires > now)
			{
				link = &name->next;
				continue;
			}
			*link = name->next;
			free(name);
			resolver->name_count--;
		}
	}
	hd_metrics_set(HD_METRIC_NAMES, (int64_t) resolver->name_count);
}

static HdName *
add_name(HdResolver *resolver, const char *text)
{
	HdName *name;
	size_t bucket = bucket_of(text);

	/* Sweeping at each doubling keeps its cost below one step a name. */
	if (resolver->name_count >= NAMES_BEFORE_SWEEP &&
		(resolver->name_count & (resolver->name_count - 1)) == 0)
		sweep(resolver);
	name = calloc(1, sizeof(*name));
	if (name == NULL)
		return NULL;
	snprintf(name->name, sizeof(name->name), "%s", text);
	name->next = resolver->buckets[bucket];
	resolver->buckets[bucket] = name;
	resolver->name_count++;
	hd_metrics_set(HD_METRIC_NAMES, (int64_t) resolver->name_count);
	return name;
}

static bool
send_job(HdResolver *resolver, HdName *name)
{
	Pool *pool = resolver->pool;
	Job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return false;
	memcpy(job->name, name->name, sizeof(job->name));
	name->job_out = true;
	hd_metrics_add(HD_METRIC_NAMES_ASKED, 1);

	pool_lock(pool);
	if (pool->queue_head == NULL)
		pool->queue_head = job;
	else
		pool->queue_tail->next = job;
	pool->queue_tail = job;
	if (pthread_cond_signal(&pool->wanted) != 0)
		abort();
	pool_unlock(pool);
	return true;
}

static void
accept_answer(HdResolver *resolver, const Job *job)
{
	HdName *name = find_name(resolver, job->name);
	int64_t ttl = job->answer.found ? resolver->options.ttl_us : resolver->options.negative_ttl_us;

	if (name == NULL)
		return;
	if (job->ttl_limit_us > 0 && ttl > job->ttl_limit_us)
		ttl = job->ttl_limit_us;
	name->answer = job->answer;
	name->expires = hd_clock_us() + ttl;
	if (!job->answer.found)
		hd_metrics_add(HD_METRIC_NAMES_FAILED, 1);

	/* Whoever is called may look up another name: until all were, this one must not be swept. */
	while (name->waiting != NULL)
	{
		HdLookup *lookup = name->waiting;

		hd_resolver_cancel(lookup);
		lookup->fn(lookup->context, &name->answer);
	}
	name->job_out = false;
}

static void
woken(void *context, int fd, uint32_t events)
{
	HdResolver *resolver = context;
	Job *jobs;
	eventfd_t count;

	(void) events;
	if (eventfd_read(fd, &count) != 0)
		return;
	pool_lock(resolver->pool);
	jobs = resolver->pool->done;
	resolver->pool->done = NULL;
	pool_unlock(resolver->pool);

	for (const Job *job = jobs; job != NULL; job = job->next)
		accept_answer(resolver, job);
	free_jobs(jobs);
}

static Pool *
create_pool(void)
{
	Pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return NULL;
	if (pthread_mutex_init(&pool->mutex, NULL) != 0)
	{
		free(pool);
		return NULL;
	}
	if (pthread_cond_init(&pool->wanted, NULL) != 0)
	{
		pthread_mutex_destroy(&pool->mutex);
		free(pool);
		return NULL;
	}
	pool->users = 1;
	pool->wake_fd = -1;
	return pool;
}

HdResolver *
hd_resolver_create(HdLoop *loop, const HdResolverOptions *options)
{
	HdResolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return NULL;
	resolver->loop = loop;
	resolver->options = *options;
	resolver->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	resolver->pool = create_pool();
	if (resolver->wake_fd < 0 || resolver->pool == NULL ||
		!hd_loop_watch(loop, resolver->wake_fd, EPOLLIN, woken, resolver))
		goto failed;
	resolver->pool->wake_fd = resolver->wake_fd;
	for (; resolver->thread_count < options->threads; resolver->thread_count++)
	{
		if (!start_thread(resolver->pool, &resolver->threads[resolver->thread_count]))
			goto failed;
	}
	return resolver;

failed:
	hd_log(HD_LOG_ERROR, "cannot start the resolver: %s", strerror(errno));
	hd_resolver_free(resolver);
	return NULL;
}

/*
 * Idle threads are waited for, which takes no time; one inside getaddrinfo() is left to end by
 * itself, since it may take half a minute.
 */
static void
leave_threads(HdResolver *resolver)
{
	struct timespec deadline;

	pool_lock(resolver->pool);
	resolver->pool->stopping = true;
	resolver->pool->wake_fd = -1;
	if (pthread_cond_broadcast(&resolver->pool->wanted) != 0)
		abort();
	pool_leave(resolver->pool);

	if (clock_gettime(CLOCK_MONOTONIC, &deadline) != 0)
		abort();
	deadline.tv_sec += LEAVE_WAIT_S;
	for (size_t i = 0; i < resolver->thread_count; i++)
	{
		if (pthread_clockjoin_np(resolver->threads[i], NULL, CLOCK_MONOTONIC, &deadline) != 0)
			pthread_detach(resolver->threads[i]);
	}
}

void
hd_resolver_free(HdResolver *resolver)
{
	if (resolver == NULL)
		return;
	if (resolver->pool != NULL)
		leave_threads(resolver);
	if (resolver->wake_fd >= 0)
	{
		hd_loop_forget(resolver->loop, resolver->wake_fd);
		close(resolver->wake_fd);
	}
	for (size_t i = 0; i < BUCKETS; i++)
	{
		while (resolver->buckets[i] != NULL)
		{
			HdName *name = resolver->buckets[i];

			resolver->buckets[i] = name->next;
			free(name);
		}
	}
	free(resolver);
}

static const HdResolution *
failed_answer(HdResolver *resolver, const char *why)
{
	resolver->scratch.found = false;
	snprintf(resolver->scratch.text, sizeof(resolver->scratch.text), "%s", why);
	return &resolver->scratch;
}

const HdResolution *
hd_resolver_lookup(HdResolver *resolver, const char *name, HdLookup *lookup)
{
	HdName *known;

	if (strlen(name) > HD_RESOLVER_NAME_MAX)
		return failed_answer(resolver, "the name is too long");
	known = find_name(resolver, name);
	if (known != NULL && !known->job_out && known->expires > hd_clock_us())
	{
		hd_metrics_add(HD_METRIC_NAMES_REMEMBERED, 1);
		return &known->answer;
	}
	if (known == NULL)
		known = add_name(resolver, name);
	if (known == NULL || (!known->job_out && !send_job(resolver, known)))
		return failed_answer(resolver, "out of memory");

	lookup->name = known;
	lookup->previous = NULL;
	lookup->next = known->waiting;
	if (known->waiting != NULL)
		known->waiting->previous = lookup;
	known->waiting = lookup;
	return NULL;
}

void
hd_resolver_cancel(HdLookup *lookup)
{
	if (lookup->name == NULL)
		return;
	if (lookup->previous != NULL)
		lookup->previous->next = lookup->next;
	else
		lookup->name->waiting = lookup->next;
	if (lookup->next != NULL)
		lookup->next->previous = lookup->previous;
	lookup->name = NULL;
}
