/*
 * names.h
 *	  A C library whose lookups answer as a test says, and a clock that it moves.
 *
 * Stands in for getaddrinfo(), freeaddrinfo() and clock_gettime() of the whole program. A name
 * without a rule does not exist. Rules are changed by the test's thread at any time; a lookup
 * that hangs goes on when its rule no longer says so.
 */
#ifndef HD_EDGE_TEST_NAMES_H
#define HD_EDGE_TEST_NAMES_H

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RULES 256
#define LOG_MOST 1024

typedef struct Rule
{
	char name[64];
	const char *address; /* NULL: the code is the answer */
	int code;
	int error; /* errno of that */
	bool hangs;
	unsigned asked;
} Rule;

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static Rule names_rules[RULES];
static unsigned names_hanging;		/* lookups that hang now */
static unsigned names_hanging_most; /* the most that ever did */
static char names_log[LOG_MOST];	/* the names in the order in which they were asked for */
static _Atomic int64_t names_moved_us;

int
clock_gettime(clockid_t id, struct timespec *time)
{
	int64_t moved = id == CLOCK_MONOTONIC ? names_moved_us : 0;
	long result = syscall(SYS_clock_gettime, id, time);

	time->tv_sec += moved / 1000000;
	time->tv_nsec += moved % 1000000 * 1000;
	time->tv_sec += time->tv_nsec / 1000000000;
	time->tv_nsec %= 1000000000;
	return (int) result;
}

static void
names_pass(int64_t ms)
{
	names_moved_us += ms * 1000;
}

/* The name's rule, made when there is none; with the mutex held. */
static Rule *
names_find(const char *name)
{
	for (size_t i = 0; i < RULES; i++)
	{
		Rule *rule = &names_rules[i];

		if (rule->name[0] == '\0')
		{
			snprintf(rule->name, sizeof(rule->name), "%s", name);
			rule->code = EAI_NONAME;
		}
		if (strcmp(rule->name, name) == 0)
			return rule;
	}
	abort();
}

/* From now on the name answers so. */
static void
names_set(const char *name, Rule rule)
{
	Rule *place;

	pthread_mutex_lock(&names_mutex);
	place = names_find(name);
	place->address = rule.address;
	place->code = rule.code;
	place->error = rule.error;
	place->hangs = rule.hangs;
	pthread_cond_broadcast(&names_changed);
	pthread_mutex_unlock(&names_mutex);
}

static void
names_good(const char *name, const char *address)
{
	names_set(name, (Rule){.address = address});
}

static void
names_bad(const char *name, int code, int error)
{
	names_set(name, (Rule){.code = code, .error = error});
}

static void
names_hang(const char *name)
{
	names_set(name, (Rule){.code = EAI_AGAIN, .hangs = true});
}

static unsigned
names_asked(const char *name)
{
	unsigned asked;

	pthread_mutex_lock(&names_mutex);
	asked = names_find(name)->asked;
	pthread_mutex_unlock(&names_mutex);
	return asked;
}

static unsigned
names_now_hanging(void)
{
	unsigned hanging;

	pthread_mutex_lock(&names_mutex);
	hanging = names_hanging;
	pthread_mutex_unlock(&names_mutex);
	return hanging;
}

/* Lets go what hangs, with the answer "try again". */
static void
names_release(void)
{
	pthread_mutex_lock(&names_mutex);
	for (size_t i = 0; i < RULES; i++)
		names_rules[i].hangs = false;
	pthread_cond_broadcast(&names_changed);
	pthread_mutex_unlock(&names_mutex);
}

static struct addrinfo *
names_address(const char *address)
{
	struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in6));
	bool is_ipv6 = strchr(address, ':') != NULL;

	if (info == NULL)
		abort();
	info->ai_addr = (struct sockaddr *) (info + 1);
	info->ai_family = is_ipv6 ? AF_INET6 : AF_INET;
	info->ai_addrlen = is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	info->ai_addr->sa_family = (sa_family_t) info->ai_family;
	if (inet_pton(info->ai_family, address,
				  is_ipv6 ? (void *) &((struct sockaddr_in6 *) info->ai_addr)->sin6_addr
						  : (void *) &((struct sockaddr_in *) info->ai_addr)->sin_addr) != 1)
		abort();
	return info;
}

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			struct addrinfo **list)
{
	Rule *rule;
	int code;
	int error;

	(void) service;
	(void) hints;
	pthread_mutex_lock(&names_mutex);
	snprintf(names_log + strlen(names_log), sizeof(names_log) - strlen(names_log), "%s ", node);
	rule = names_find(node);
	rule->asked++;
	if (rule->hangs && ++names_hanging > names_hanging_most)
		names_hanging_most = names_hanging;
	if (rule->hangs)
	{
		while (rule->hangs)
			pthread_cond_wait(&names_changed, &names_mutex);
		names_hanging--;
	}
	code = rule->address != NULL ? 0 : rule->code;
	error = rule->error;
	if (code == 0)
		*list = names_address(rule->address);
	pthread_mutex_unlock(&names_mutex);
	errno = error;
	return code;
}

void
freeaddrinfo(struct addrinfo *list)
{
	free(list);
}

#endif
