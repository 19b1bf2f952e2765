/*
 * edge.c
 *	  The edge as a whole: claims, transfers and reports, from start to orderly stop.
 *
 * Who does what:
 *	  claim.c	takes requests while hd_edge says that there is room
 *	  http.c	sends them and hands back results
 *	  report.c	tells the database
 * This file joins the three, renews leases of slow requests, and handles signals.
 *
 * Room: requests in flight and results that pile up unreported both count against
 * max_in_flight, and there is none at all while results cannot be reported. That bounds
 * memory when the database is away. What they take of memory counts against
 * max_in_flight_bytes; how much a claim will bring is not known before, so that is passed by
 * one claim at most, which the database keeps small.
 *
 * Stopping: SIGTERM or SIGINT stops claiming, gives back what has not been sent, lets
 * the rest finish and reports it. When shutdown_grace is over, or at a second signal,
 * what is left is left to its lease: the database then sends it again, under the same id.
 */
#include "edge.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "claim.h"
#include "clock.h"
#include "http.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "notify.h"
#include "report.h"

#define RENEW_SCAN_US HD_US_PER_S
#define SHORTAGE_PAUSE_US HD_US_PER_S

/* The service manager hears how it goes this often, or more often when it watches us. */
#define TELL_US (10 * HD_US_PER_S)

/* Descriptors besides receivers' connections: two to the database, files, the loop's own. */
#define OTHER_DESCRIPTORS 64

typedef struct HdEdge
{
	HdConfig *config;
	int argc;
	char **argv;
	HdLoop *loop;
	HdHttp *http;
	HdClaimer *claimer;
	HdReporter *reporter;
	HdListener *listener; /* NULL: none is configured */
	int signal_fd;
	HdTimer renew; /* armed while something is in flight */
	HdTimer grace;
	HdTimer teller;
	int64_t tell_us; /* between two words to the service manager */
	bool stopping;
	HdExit exit_code;
	uint64_t claimed;
	uint64_t ended;
	uint64_t given_back;
} HdEdge;

/* What a scan for leases that need renewing has found. */
typedef struct RenewScan
{
	HdTicket *tickets;
	size_t count;
	int64_t longest_us;
	int64_t now;
} RenewScan;

/* ---- the service manager ---- */

static void
tell(const char *text)
{
	if (!hd_notify(text))
		hd_log(HD_LOG_WARNING, "cannot tell the service manager: %s", strerror(errno));
}

/* From the sender's loop, so that a loop that hangs tells nothing and is ended. */
static void
tell_status(void *context)
{
	HdEdge *edge = context;
	char text[256];

	hd_timer_arm(&edge->teller, edge->tell_us);
	snprintf(text, sizeof(text),
			 "WATCHDOG=1\nSTATUS=%s: %zu in flight, %zu unreported, %" PRIu64 " ended",
			 edge->stopping						 ? "stopping"
			 : hd_reporter_ready(edge->reporter) ? "serving"
												 : "without its database",
			 hd_http_in_flight(edge->http), hd_reporter_backlog(edge->reporter), edge->ended);
	tell(text);
}

static void
begin_telling(HdEdge *edge)
{
	int64_t watchdog_us = hd_notify_watchdog_us();

	if (getenv("NOTIFY_SOCKET") == NULL)
		return;
	edge->tell_us = watchdog_us > 0 && watchdog_us / 3 < TELL_US ? watchdog_us / 3 : TELL_US;
	tell("READY=1");
	tell_status(edge);
}

/* ---- stopping ---- */

static void
stop_now(HdEdge *edge)
{
	size_t in_flight = hd_http_in_flight(edge->http);
	size_t unreported = hd_reporter_backlog(edge->reporter);

	if (in_flight > 0 || unreported > 0)
	{
		hd_log(HD_LOG_WARNING,
			   "stopping with %zu requests in flight and %zu results unreported: "
			   "they are left to their leases",
			   in_flight, unreported);
		if (edge->exit_code == HD_EXIT_OK)
			edge->exit_code = HD_EXIT_UNREPORTED;
	}
	hd_loop_stop(edge->loop);
}

static void
stop_when_done(HdEdge *edge)
{
	if (edge->stopping && hd_claimer_stopped(edge->claimer) && hd_http_in_flight(edge->http) == 0 &&
		hd_reporter_backlog(edge->reporter) == 0)
		stop_now(edge);
}

static void
grace_over(void *context)
{
	stop_now(context);
}

static void
begin_stop(HdEdge *edge)
{
	if (edge->stopping)
	{
		stop_now(edge);
		return;
	}
	edge->stopping = true;
	tell("STOPPING=1");
	hd_log(HD_LOG_INFO, "stopping: %zu requests in flight", hd_http_in_flight(edge->http));
	hd_timer_arm(&edge->grace, edge->config->shutdown_grace * HD_US_PER_MS);
	hd_listener_leave(edge->listener);
	hd_claimer_stop(edge->claimer);
	hd_http_release_unsent(edge->http);
	hd_reporter_hurry(edge->reporter);
	stop_when_done(edge);
}

static void
other_protocol(void *context)
{
	HdEdge *edge = context;

	edge->exit_code = HD_EXIT_PROTOCOL;
	stop_now(edge);
}

/* ---- requests and results ---- */

static size_t
room(void *context)
{
	const HdEdge *edge = context;
	size_t most = (size_t) edge->config->max_in_flight;
	size_t usual_backlog = (size_t) edge->config->report_batch * 2;
	size_t backlog = hd_reporter_backlog(edge->reporter);
	size_t taken = hd_http_in_flight(edge->http);

	if (edge->stopping || !hd_reporter_ready(edge->reporter))
		return 0;
	if (hd_http_bytes(edge->http) + hd_reporter_bytes(edge->reporter) >=
		(size_t) edge->config->max_in_flight_bytes)
		return 0;
	if (backlog > usual_backlog)
		taken += backlog - usual_backlog;
	return taken < most ? most - taken : 0;
}

static void
take_request(void *context, HdRequest *request)
{
	HdEdge *edge = context;

	edge->claimed++;
	hd_metrics_add(HD_METRIC_CLAIMED, 1);
	if (edge->stopping)
	{
		edge->given_back++;
		hd_metrics_add(HD_METRIC_GIVEN_BACK, 1);
		hd_reporter_release(edge->reporter, request->id, request->token);
		hd_request_free(request);
		return;
	}
	hd_http_start(edge->http, request);
	if (!hd_timer_armed(&edge->renew))
		hd_timer_arm(&edge->renew, RENEW_SCAN_US);
}

static void
request_ended(void *context, const HdRequest *request, HdResult *result)
{
	HdEdge *edge = context;

	if (result != NULL)
	{
		edge->ended++;
		hd_metrics_add(HD_METRIC_OUTCOMES + result->outcome, 1);
		hd_metrics_status(HD_METRIC_ANSWERS, result->status);
		hd_log(HD_LOG_DEBUG, "request %" PRId64 ": %s, status %d, %" PRId64 " us", result->id,
			   hd_outcome_name(result->outcome), result->status, result->total_us);
		hd_reporter_add(edge->reporter, result);
	}
	else
	{
		edge->given_back++;
		hd_metrics_add(HD_METRIC_GIVEN_BACK, 1);
		hd_reporter_release(edge->reporter, request->id, request->token);
		if (!edge->stopping && !request->late)
		{
			hd_log(HD_LOG_WARNING,
				   "request %" PRId64 " could not be sent from here and is given back",
				   request->id);
			hd_claimer_pause(edge->claimer, SHORTAGE_PAUSE_US);
		}
	}
	hd_claimer_kick(edge->claimer);
	stop_when_done(edge);
}

static void
reporter_changed(void *context)
{
	HdEdge *edge = context;

	hd_claimer_kick(edge->claimer);
	stop_when_done(edge);
}

static void
claimer_stopped(void *context)
{
	stop_when_done(context);
}

/* ---- leases ---- */

static void
scan_request(void *context, HdRequest *request)
{
	RenewScan *scan = context;

	if (scan->now - request->claimed_at < request->lease_us / 3 * 2)
		return;
	scan->tickets[scan->count++] = (HdTicket){request->id, request->token};
	if (request->lease_us > scan->longest_us)
		scan->longest_us = request->lease_us;
}

/* Renews leases of which two thirds have passed, well before they end. */
static void
renew_due(void *context)
{
	HdEdge *edge = context;
	RenewScan scan = {.now = hd_clock_us()};
	size_t in_flight = hd_http_in_flight(edge->http);

	if (in_flight == 0)
		return;
	hd_timer_arm(&edge->renew, RENEW_SCAN_US);
	scan.tickets = malloc(in_flight * sizeof(*scan.tickets));
	if (scan.tickets == NULL)
		return;
	hd_http_visit(edge->http, scan_request, &scan);
	if (scan.count > 0 &&
		hd_reporter_renew(edge->reporter, scan.tickets, scan.count, scan.longest_us))
		hd_log(HD_LOG_DEBUG, "renewing %zu leases", scan.count);
	free(scan.tickets);
}

/*
 * One renewal was answered. A request whose lease is gone may be another edge's by now:
 * it is dropped unless it has been sent, and then its result will count as late.
 */
static void
lease_renewed(void *context, int64_t id, bool renewed, int64_t renewed_at)
{
	HdEdge *edge = context;

	if (renewed)
		hd_http_renewed(edge->http, id, renewed_at);
	else if (!hd_http_drop_unsent(edge->http, id))
		hd_log(HD_LOG_WARNING, "the lease of request %" PRId64 " has ended while it is in flight",
			   id);
}

/* ---- signals ---- */

/* Of the settings only the log's may change without a restart. */
static void
reread_log_settings(HdEdge *edge)
{
	HdConfig fresh;
	HdCommand command;
	char error[HD_CONFIG_ERROR];

	if (hd_config_load(&fresh, edge->argc, edge->argv, &command, error))
	{
		hd_log_configure((HdLogLevel) fresh.log_level, (HdLogFormat) fresh.log_format);
		hd_log(HD_LOG_INFO, "log settings reread");
	}
	else
		hd_log(HD_LOG_ERROR, "settings not reread: %s", error);
	hd_config_free(&fresh);
}

static void
signalled(void *context, int fd, uint32_t events)
{
	HdEdge *edge = context;
	struct signalfd_siginfo info;

	(void) events;
	if (read(fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reread_log_settings(edge);
	else
		begin_stop(edge);
}

/* Blocks the signals before any thread starts and turns them into a descriptor. */
static bool
open_signals(HdEdge *edge)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return false;
	edge->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return edge->signal_fd >= 0 &&
		   hd_loop_watch(edge->loop, edge->signal_fd, EPOLLIN, signalled, edge);
}

/* ---- the whole ---- */

/* Each connection is a descriptor; the usual soft limit is too low for many. */
static void
raise_descriptor_limit(const HdConfig *config)
{
	rlim_t wanted =
		(rlim_t) (config->max_connections + config->listen_connections) + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		hd_log(HD_LOG_WARNING, "only %llu descriptors may be open, but max_connections wants %llu",
			   (unsigned long long) limit.rlim_cur, (unsigned long long) wanted);
}

static bool
set_up(HdEdge *edge)
{
	HdClaimerCallbacks claimer = {room, take_request, claimer_stopped, other_protocol, edge};
	HdReporterCallbacks reporter = {reporter_changed, lease_renewed, other_protocol, edge};

	edge->loop = hd_loop_create(HD_LOOP_SENDER);
	if (edge->loop == NULL || !open_signals(edge) ||
		!hd_timer_init(&edge->renew, edge->loop, renew_due, edge) ||
		!hd_timer_init(&edge->grace, edge->loop, grace_over, edge) ||
		!hd_timer_init(&edge->teller, edge->loop, tell_status, edge))
		return false;
	edge->http = hd_http_create(edge->loop, edge->config, request_ended, edge);
	if (edge->http == NULL)
		return false;
	edge->claimer = hd_claimer_create(edge->loop, edge->config, &claimer);
	edge->reporter = hd_reporter_create(edge->loop, edge->config, &reporter);
	if (edge->claimer == NULL || edge->reporter == NULL)
		return false;
	if (edge->config->listen[0] != '\0')
		edge->listener = hd_listener_create(edge->config);
	return edge->config->listen[0] == '\0' || edge->listener != NULL;
}

static void
tear_down(HdEdge *edge)
{
	hd_listener_free(edge->listener);
	hd_claimer_free(edge->claimer);
	hd_http_free(edge->http);
	hd_reporter_free(edge->reporter);
	hd_timer_free(&edge->renew);
	hd_timer_free(&edge->grace);
	hd_timer_free(&edge->teller);
	if (edge->signal_fd >= 0)
		close(edge->signal_fd);
	hd_loop_free(edge->loop);
}

static int64_t
microseconds(const struct timeval *time)
{
	return (int64_t) time->tv_sec * HD_US_PER_S + time->tv_usec;
}

static void
log_usage(const HdEdge *edge)
{
	struct rusage usage;
	int64_t cpu_us;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return;
	cpu_us = microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime);
	hd_log(HD_LOG_INFO,
		   "stopped: %" PRIu64 " claimed, %" PRIu64 " ended, %" PRIu64 " given back; "
		   "%" PRId64 " ms of CPU, %ld kB at most",
		   edge->claimed, edge->ended, edge->given_back, cpu_us / HD_US_PER_MS, usage.ru_maxrss);
}

HdExit
hd_edge_run(HdConfig *config, int argc, char **argv)
{
	HdEdge edge = {.config = config, .argc = argc, .argv = argv, .signal_fd = -1};

	raise_descriptor_limit(config);
	if (!set_up(&edge))
	{
		hd_log(HD_LOG_ERROR, "cannot start: %s", strerror(errno));
		edge.exit_code = HD_EXIT_FAILURE;
		goto out;
	}
	hd_log(HD_LOG_INFO, "hotdash-edge %s starts as \"%s\"", HD_EDGE_VERSION, config->name);
	hd_reporter_open(edge.reporter);
	hd_claimer_open(edge.claimer);
	begin_telling(&edge);
	if (!hd_loop_run(edge.loop))
		edge.exit_code = HD_EXIT_FAILURE;
	log_usage(&edge);
out:
	tear_down(&edge);
	return edge.exit_code;
}
