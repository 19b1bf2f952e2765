/*
 * metrics.h
 *	  The edge's own counters, and their text in Prometheus' format.
 *
 * Counted by whichever thread does the work, read by the listener's: relaxed atomics,
 * so that counting costs the sender nothing that could be measured. Each value is right;
 * two values read together may be an instant apart.
 */
#ifndef HD_EDGE_METRICS_H
#define HD_EDGE_METRICS_H

#include "common.h"
#include "result.h"

/* The connections to the database, in the order of their metrics. */
typedef enum HdDbName
{
	HD_DB_CLAIM,
	HD_DB_REPORT,
	HD_DB_LISTENER,
	HD_DB_NAMES
} HdDbName;

/* What the listener was asked for, and the class of what it answered. */
typedef enum HdRoute
{
	HD_ROUTE_HEALTH,
	HD_ROUTE_METRICS,
	HD_ROUTE_IN,
	HD_ROUTE_OTHER,
	HD_ROUTES
} HdRoute;

#define HD_STATUS_CLASSES 4 /* 2xx to 5xx */

/* Where a name stands for several, their place is added: HD_METRIC_OUTCOMES + HD_OUTCOME_DNS. */
typedef enum HdMetric
{
	HD_METRIC_CLAIMED,
	HD_METRIC_GIVEN_BACK,
	HD_METRIC_IN_FLIGHT,
	HD_METRIC_IN_FLIGHT_BYTES,
	HD_METRIC_BACKLOG,
	HD_METRIC_OUTCOMES,
	HD_METRIC_ANSWERS = HD_METRIC_OUTCOMES + HD_OUTCOME_INVALID + 1,
	HD_METRIC_NAMES = HD_METRIC_ANSWERS + HD_STATUS_CLASSES,
	HD_METRIC_NAMES_REMEMBERED,
	HD_METRIC_NAMES_STALE,
	HD_METRIC_NAMES_ASKED,
	HD_METRIC_NAMES_FAILED,
	HD_METRIC_NAMES_SLOW,
	HD_METRIC_DB_UP,
	HD_METRIC_DB_CONNECTS = HD_METRIC_DB_UP + HD_DB_NAMES,
	HD_METRIC_DB_LOST = HD_METRIC_DB_CONNECTS + HD_DB_NAMES,
	HD_METRIC_LISTENER_CONNECTIONS = HD_METRIC_DB_LOST + HD_DB_NAMES,
	HD_METRIC_LISTENER_BODY_BYTES,
	HD_METRIC_LISTENER_TIMEOUTS,
	HD_METRIC_LISTENER_REQUESTS,
	HD_METRIC_COUNT = HD_METRIC_LISTENER_REQUESTS + HD_ROUTES * HD_STATUS_CLASSES
} HdMetric;

/* How long the rounds of a loop take: what comes in while one runs waits for its end. */
typedef enum HdLoopName
{
	HD_LOOP_SENDER,
	HD_LOOP_LISTENER,
	HD_LOOP_NAMES
} HdLoopName;

void hd_metrics_add(HdMetric metric, int64_t amount);
void hd_metrics_set(HdMetric metric, int64_t value);
int64_t hd_metrics_get(HdMetric metric);
void hd_metrics_round(HdLoopName loop, int64_t duration_us);

/* Counts an answer under its class; what is no HTTP status is not counted. */
void hd_metrics_status(HdMetric first_class, int status);

/* All of it as text; free() it. NULL when memory is short. */
char *hd_metrics_text(void) HD_MUSTCHECK;

#endif
