/*
 * resolver.c
 *	  Host names to addresses, remembered for a while.
 *
 * Model: a table of names, of the loop's thread alone. What is not remembered is asked of the
 * pool, once for all who want it; they wait in the name's list. A name is
 *
 *	  unknown	nothing of it may be used; whoever asks waits
 *	  fresh		answered from memory, until fresh_until
 *	  stale		addresses alone: answered from memory, until stale_until, while the pool is asked
 *				again, so that no request waits for a name that goes on resolving
 *
 * and whether a question is out does not depend on which. Addresses are fresh for ttl_us and then
 * stale for as long again, at most a minute. What ends that earlier is an answer: other addresses,
 * or that the name does not exist any more, which is believed at once. That nobody could tell
 * is no such answer: the addresses stay until stale_until, and the pool is asked again in a
 * few seconds. A shortage of our own is remembered of no name.
 *
 * A stale address is judged like any other, when a connection to it is opened or used (transfer.c).
 *
 * A question stays in its lane when those who waited for it have gone: their deliveries are tried
 * again later, and would else lose their place in the queue each time.
 *
 * Bounds: the table drops answers that are out of date when it is full of them.
 */
#include "resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"

#define BUCKETS 1024
#define NAMES_BEFORE_SWEEP 4096

/* However long addresses are good, no longer than this beyond that. */
#define STALE_MOST_US (INT64_C(60) * HD_US_PER_S)

/* That nobody could tell says nothing about the name: remembered for less. */
#define FAILED_TTL_US (INT64_C(5) * HD_US_PER_S)

typedef struct HdName
{
	struct HdName *next; /* in its bucket */
	bool asked;			 /* a question is out */
	HdLane lane;		 /* of the next one */
	int64_t fresh_until;
	int64_t stale_until;
	HdLookup *waiting;
	HdResolution resolution;
	char name[HD_NAME_MAX + 1];
} HdName;

struct HdResolver
{
	HdLoop *loop;
	HdResolverOptions options;
	HdPool *pool;
	size_t name_count;
	HdName *buckets[BUCKETS];
	HdResolution scratch; /* an answer that is not kept */
};

/* ---- the table ---- */

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

static bool
is_fresh(const HdName *name, int64_t now)
{
	return now < name->fresh_until;
}

static bool
is_stale(const HdName *name, int64_t now)
{
	return !is_fresh(name, now) && now < name->stale_until;
}

/* Drops names that nothing is remembered of and nobody waits for. */
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

			if (name->asked || is_fresh(name, now) || is_stale(name, now))
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
	name->lane = HD_LANE_OPEN;
	name->next = resolver->buckets[bucket];
	resolver->buckets[bucket] = name;
	resolver->name_count++;
	hd_metrics_set(HD_METRIC_NAMES, (int64_t) resolver->name_count);
	return name;
}

/* ---- questions and answers ---- */

static bool
ask(HdResolver *resolver, HdName *name)
{
	if (name->asked)
		return true;
	name->asked = hd_pool_ask(resolver->pool, name->name, name->lane);
	if (name->asked)
		hd_metrics_add(HD_METRIC_NAMES_ASKED, 1);
	return name->asked;
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
choose_lane(HdName *name, const HdQuestion *question)
{
	if (question->took_us >= HD_RESOLVER_SLOW_US)
		name->lane = HD_LANE_SLOW;
	else if (question->resolution.answer == HD_ANSWER_ADDRESSES)
		name->lane = HD_LANE_PROVEN;
	else if (question->resolution.answer != HD_ANSWER_SHORTAGE)
		name->lane = HD_LANE_OPEN;
}

/* Takes over what the answer says of the name, and for how long. */
static void
remember(const HdResolver *resolver, HdName *name, const HdResolution *resolution)
{
	const HdResolverOptions *options = &resolver->options;
	int64_t now = hd_clock_us();
	int64_t failed_ttl_us = least(options->negative_ttl_us, FAILED_TTL_US);

	switch (resolution->answer)
	{
		case HD_ANSWER_ADDRESSES:
			name->resolution = *resolution;
			name->fresh_until = now + options->ttl_us;
			name->stale_until = name->fresh_until + least(options->ttl_us, STALE_MOST_US);
			break;
		case HD_ANSWER_NONE:
			name->resolution = *resolution;
			name->fresh_until = now + options->negative_ttl_us;
			name->stale_until = 0;
			break;
		case HD_ANSWER_FAILED:
			if (is_stale(name, now))
			{
				name->fresh_until = least(now + failed_ttl_us, name->stale_until);
				break;
			}
			name->resolution = *resolution;
			name->fresh_until = now + failed_ttl_us;
			name->stale_until = 0;
			break;
		case HD_ANSWER_SHORTAGE:
			break;
	}
}

static void
count_answer(const HdQuestion *question)
{
	if (question->resolution.answer != HD_ANSWER_ADDRESSES)
		hd_metrics_add(HD_METRIC_NAMES_FAILED, 1);
	if (question->took_us >= HD_RESOLVER_SLOW_US)
		hd_metrics_add(HD_METRIC_NAMES_SLOW, 1);
}

static void
accept_answer(HdResolver *resolver, const HdQuestion *question)
{
	HdName *name = find_name(resolver, question->name);

	count_answer(question);
	if (name == NULL)
		return;
	choose_lane(name, question);
	remember(resolver, name, &question->resolution);

	/* Whoever is called may look up another name: until all were, this one must not be swept. */
	while (name->waiting != NULL)
	{
		HdLookup *lookup = name->waiting;

		hd_resolver_cancel(lookup);
		lookup->fn(lookup->context, &question->resolution);
	}
	name->asked = false;
}

static void
answers_ready(void *context, int fd, uint32_t events)
{
	HdResolver *resolver = context;
	HdQuestion *answered = hd_pool_take(resolver->pool);

	(void) fd;
	(void) events;
	for (const HdQuestion *question = answered; question != NULL; question = question->next)
		accept_answer(resolver, question);
	hd_question_free_list(answered);
}

/* ---- for those who ask ---- */

HdResolver *
hd_resolver_create(HdLoop *loop, const HdResolverOptions *options)
{
	HdResolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return NULL;
	resolver->loop = loop;
	resolver->options = *options;
	resolver->pool = hd_pool_create(options->threads);
	if (resolver->pool == NULL ||
		!hd_loop_watch(loop, hd_pool_fd(resolver->pool), EPOLLIN, answers_ready, resolver))
	{
		hd_log(HD_LOG_ERROR, "cannot start the resolver: %s", strerror(errno));
		hd_resolver_free(resolver);
		return NULL;
	}
	return resolver;
}

void
hd_resolver_free(HdResolver *resolver)
{
	if (resolver == NULL)
		return;
	if (resolver->pool != NULL)
		hd_loop_forget(resolver->loop, hd_pool_fd(resolver->pool));
	hd_pool_free(resolver->pool);
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
not_kept(HdResolver *resolver, HdAnswer answer, const char *why)
{
	resolver->scratch.answer = answer;
	snprintf(resolver->scratch.text, sizeof(resolver->scratch.text), "%s", why);
	return &resolver->scratch;
}

static void
wait_for(HdName *name, HdLookup *lookup)
{
	lookup->name = name;
	lookup->previous = NULL;
	lookup->next = name->waiting;
	if (name->waiting != NULL)
		name->waiting->previous = lookup;
	name->waiting = lookup;
}

const HdResolution *
hd_resolver_lookup(HdResolver *resolver, const char *name, HdLookup *lookup)
{
	int64_t now = hd_clock_us();
	HdName *known;

	if (strlen(name) > HD_NAME_MAX)
		return not_kept(resolver, HD_ANSWER_NONE, "the name is too long");
	known = find_name(resolver, name);
	if (known != NULL && is_fresh(known, now))
	{
		hd_metrics_add(HD_METRIC_NAMES_REMEMBERED, 1);
		return &known->resolution;
	}
	if (known == NULL)
		known = add_name(resolver, name);
	if (known == NULL)
		return not_kept(resolver, HD_ANSWER_SHORTAGE, "out of memory");
	if (is_stale(known, now))
	{
		/* Without memory to ask, the next one will. */
		(void) ask(resolver, known);
		hd_metrics_add(HD_METRIC_NAMES_STALE, 1);
		return &known->resolution;
	}
	if (!ask(resolver, known))
		return not_kept(resolver, HD_ANSWER_SHORTAGE, "out of memory");
	wait_for(known, lookup);
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
