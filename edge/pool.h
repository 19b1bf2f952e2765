/*
 * pool.h
 *	  The threads that look names up, and the lanes in which names wait for one.
 *
 * getaddrinfo() cannot be interrupted, and takes ten seconds or more where a name server does
 * not answer. So threads are started as they are needed, up to a limit, and a name waits in the
 * lane of what is known of it: each lane leaves some threads to those before it.
 *
 * All functions are for the loop's thread.
 */
#ifndef HD_EDGE_POOL_H
#define HD_EDGE_POOL_H

#include "common.h"

#define HD_POOL_THREADS_MOST 64
#define HD_NAME_MAX 255
#define HD_RESOLUTION_TEXT 1024

/* In the order in which they are served. */
typedef enum HdLane
{
	HD_LANE_PROVEN, /* the last lookup gave addresses, in good time; may have every thread */
	HD_LANE_OPEN,	/* there was none yet, or it failed in good time; leaves a quarter */
	HD_LANE_SLOW,	/* the last lookup took too long, whatever it gave; leaves half */
	HD_LANES
} HdLane;

typedef enum HdAnswer
{
	HD_ANSWER_ADDRESSES,
	HD_ANSWER_NONE,	   /* the name does not exist, or has no address that we could use */
	HD_ANSWER_FAILED,  /* nobody could tell */
	HD_ANSWER_SHORTAGE /* memory or descriptors of our own ran out: says nothing of the name */
} HdAnswer;

/* What a name resolved to: numeric addresses as CURLOPT_RESOLVE wants them, or why there are none. */
typedef struct HdResolution
{
	HdAnswer answer;
	char text[HD_RESOLUTION_TEXT]; /* "192.0.2.1,[2001:db8::1]", or an error */
} HdResolution;

/* Belongs to whoever took it off a list. */
typedef struct HdQuestion
{
	struct HdQuestion *next;
	HdLane lane;
	int64_t took_us; /* of a thread's time; not the wait for one */
	HdResolution resolution;
	char name[HD_NAME_MAX + 1];
} HdQuestion;

typedef struct HdPool HdPool;

/* Threads: 1 to HD_POOL_THREADS_MOST, of which the first is started here. */
HdPool *hd_pool_create(size_t threads_most) HD_MUSTCHECK;

/* Waits a second at most: a lookup that takes longer outlives the pool and cleans up itself. */
void hd_pool_free(HdPool *pool);

/* A descriptor that can be read when there is something to take. */
int hd_pool_fd(const HdPool *pool);

/* Has a name looked up; false when memory is short. */
bool hd_pool_ask(HdPool *pool, const char *name, HdLane lane) HD_MUSTCHECK;

/* The questions that have been answered, in no order, given away; NULL: none. */
HdQuestion *hd_pool_take(HdPool *pool) HD_MUSTCHECK;
void hd_question_free_list(HdQuestion *list);

#endif
