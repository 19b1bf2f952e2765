/*
 * desk.h
 *	  The listener's side of the database: a connection of its own, and who waits for it.
 *
 * Every task that is asked is done exactly once, perhaps before the call returns, with an
 * answer in its reply. All functions are for the listener's thread.
 */
#ifndef HD_EDGE_DESK_H
#define HD_EDGE_DESK_H

#include "config.h"
#include "loop.h"
#include "reply.h"

typedef struct HdDesk HdDesk;

typedef enum HdTaskKind
{
	HD_TASK_HEALTH,
	HD_TASK_METRICS,
	HD_TASK_IN
} HdTaskKind;

/* Embedded in its owner, who keeps all it points at until it is done. */
typedef struct HdTask
{
	struct HdTask *next; /* while it waits */
	HdTaskKind kind;
	int64_t since;
	const char *source;	 /* of HD_TASK_IN, like the rest */
	const char *headers; /* a JSON object */
	const char *body;
	size_t body_length;
	HdReply reply;
	void (*done)(struct HdTask *task);
} HdTask;

HdDesk *hd_desk_create(HdLoop *loop, const HdConfig *config) HD_MUSTCHECK;

/* Nobody may wait any more: see hd_desk_stop(). */
void hd_desk_free(HdDesk *desk);
void hd_desk_open(HdDesk *desk);

/* Is there a database to ask? */
bool hd_desk_ready(const HdDesk *desk);

void hd_desk_ask(HdDesk *desk, HdTask *task);

/* Sends away whoever has waited for his turn since before then. */
void hd_desk_expire(HdDesk *desk, int64_t before);

/* From now on the health is "stopping", whatever the database says. */
void hd_desk_stopping(HdDesk *desk);

/* Sends everybody away and closes the connection. */
void hd_desk_stop(HdDesk *desk);

#endif
