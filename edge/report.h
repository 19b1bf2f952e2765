/*
 * report.h
 *	  Tells the database what became of requests: results, leases, and what goes back.
 *
 * Nothing here is lost while the process lives: what could not be told waits in memory
 * until the database is back. The bound is what was claimed before it went away.
 */
#ifndef HD_EDGE_REPORT_H
#define HD_EDGE_REPORT_H

#include "config.h"
#include "loop.h"
#include "result.h"

typedef struct HdReporter HdReporter;

/* A claimed request's name. */
typedef struct HdTicket
{
	int64_t id;
	int64_t token;
} HdTicket;

typedef struct HdReporterCallbacks
{
	HdLoopFn on_change; /* ready, or something was taken off the queues */
	/* A renewal was answered: counted from renewed_at, or the lease is gone. */
	void (*on_renewed)(void *context, int64_t id, bool renewed, int64_t renewed_at);
	HdLoopFn on_protocol; /* see HdDbCallbacks */
	void *context;
} HdReporterCallbacks;

HdReporter *hd_reporter_create(HdLoop *loop, const HdConfig *config,
							   const HdReporterCallbacks *callbacks) HD_MUSTCHECK;
void hd_reporter_free(HdReporter *reporter);
void hd_reporter_open(HdReporter *reporter);
bool hd_reporter_ready(const HdReporter *reporter);

/* Takes the result over. */
void hd_reporter_add(HdReporter *reporter, HdResult *result);

/* Gives back uncharged what was not sent. Without memory for it, its lease does. */
void hd_reporter_release(HdReporter *reporter, int64_t id, int64_t token);

/* Asks for a new lease of lease_us for these; refused (false) while another renewal is out. */
bool hd_reporter_renew(HdReporter *reporter, const HdTicket *tickets, size_t count,
					   int64_t lease_us) HD_MUSTCHECK;

/* From now on nothing waits for company. */
void hd_reporter_hurry(HdReporter *reporter);

/* Results and releases that the database has not confirmed. */
size_t hd_reporter_backlog(const HdReporter *reporter);

/* Memory of those results. */
size_t hd_reporter_bytes(const HdReporter *reporter);

#endif
