/*
 * http.c
 *	  Sends requests: the multi handle, its sockets and timer, and the transfers in flight.
 *
 * Model: one multi handle for the life of the process keeps connections, TLS sessions
 * and the trusted certificates. It is driven by events (multi_socket): libcurl names the
 * sockets and the one timer it waits for, the loop calls back.
 *
 * libcurl never queues here: a request is given to it when it may run at once, and none of
 * its own connection limits is set, because time in its queue would count against the
 * request's timeout. Names are resolved before libcurl sees the request (resolver.h).
 *
 * What has ended is collected once a round, after all events, by hd_loop_set_after's hook.
 */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "target.h"
#include "transfer.h"

/* Free transfers that are kept, each with its easy handle. */
#define FREE_TRANSFERS_MOST 1024

/*
 * Starting one, with a connection to open, takes up to 0.2 ms, and a claim brings a hundred at
 * once: they are spread over rounds, or one round would hold everything else up.
 */
#define STARTS_A_ROUND 32

struct HdHttp
{
	HdLoop *loop;
	const HdConfig *config;
	HdHttpEndFn on_end;
	void *context;
	CURLM *multi;
	HdResolver *resolver;
	HdTimer curl_timer;		/* the one timer that libcurl asks for */
	HdTransfer *in_flight;	/* doubly linked, newest first */
	HdTransfer *free_list;	/* singly linked */
	HdTransfer *turn_first; /* WAITING, oldest first */
	HdTransfer *turn_last;
	HdTimer starter; /* armed while somebody is WAITING */
	size_t started;	 /* in this round */
	size_t in_flight_count;
	size_t in_flight_bytes;
	size_t free_count;
	bool collecting; /* something may have ended since the last collection */
};

static void
note_in_flight(const HdHttp *http)
{
	hd_metrics_set(HD_METRIC_IN_FLIGHT, (int64_t) http->in_flight_count);
	hd_metrics_set(HD_METRIC_IN_FLIGHT_BYTES, (int64_t) http->in_flight_bytes);
}

/* ---- the end of a transfer ---- */

static void
unlink_transfer(HdHttp *http, HdTransfer *transfer)
{
	if (transfer->previous != NULL)
		transfer->previous->next = transfer->next;
	else
		http->in_flight = transfer->next;
	if (transfer->next != NULL)
		transfer->next->previous = transfer->previous;
	http->in_flight_count--;
	http->in_flight_bytes -= transfer->bytes;
	note_in_flight(http);
}

static void
leave_turn(HdHttp *http, HdTransfer *transfer)
{
	if (transfer->state != HD_TRANSFER_WAITING)
		return;
	if (transfer->turn_previous != NULL)
		transfer->turn_previous->turn_next = transfer->turn_next;
	else
		http->turn_first = transfer->turn_next;
	if (transfer->turn_next != NULL)
		transfer->turn_next->turn_previous = transfer->turn_previous;
	else
		http->turn_last = transfer->turn_previous;
}

/* Ends it for good and tells the owner; a NULL result means that it goes back uncharged. */
static void
finish(HdHttp *http, HdTransfer *transfer, HdResult *result)
{
	HdRequest *request = transfer->request;

	unlink_transfer(http, transfer);
	leave_turn(http, transfer);
	hd_resolver_cancel(&transfer->lookup);
	hd_timer_disarm(&transfer->deadline);
	transfer->request = NULL;
	hd_transfer_end(transfer);
	if (!transfer->spoilt && http->free_count < FREE_TRANSFERS_MOST)
	{
		transfer->next = http->free_list;
		http->free_list = transfer;
		http->free_count++;
	}
	else
		hd_transfer_free(transfer);
	http->on_end(http->context, request, result);
	hd_request_free(request);
}

static void
fail(HdHttp *http, HdTransfer *transfer, HdOutcome outcome, const char *error)
{
	finish(http, transfer, hd_transfer_failure(transfer, outcome, error));
}

static void
remove_from_multi(HdHttp *http, HdTransfer *transfer)
{
	CURLMcode code = curl_multi_remove_handle(http->multi, transfer->easy);

	if (code != CURLM_OK)
		hd_log(HD_LOG_ERROR, "cannot remove a transfer: %s", curl_multi_strerror(code));
}

/* Collects what has ended. A message is not touched after its handle is removed. */
static void
collect(void *context)
{
	HdHttp *http = context;
	const CURLMsg *message;
	int left;

	http->started = 0;
	if (!http->collecting)
		return;
	http->collecting = false;
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		HdTransfer *transfer = NULL;
		HdResult *result;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) != CURLE_OK ||
			transfer == NULL)
			abort();
		result = hd_transfer_result(transfer, code);
		remove_from_multi(http, transfer);
		finish(http, transfer, result);
	}
}

/* ---- libcurl's sockets and timer ---- */

static void
socket_action(HdHttp *http, curl_socket_t fd, int events)
{
	int running;
	CURLMcode code = curl_multi_socket_action(http->multi, fd, events, &running);

	if (code != CURLM_OK)
		hd_log(HD_LOG_ERROR, "libcurl: %s", curl_multi_strerror(code));
	http->collecting = true;
}

static void
socket_ready(void *context, int fd, uint32_t events)
{
	int action = 0;

	if ((events & (EPOLLIN | EPOLLHUP)) != 0)
		action |= CURL_CSELECT_IN;
	if ((events & EPOLLOUT) != 0)
		action |= CURL_CSELECT_OUT;
	if ((events & EPOLLERR) != 0)
		action |= CURL_CSELECT_ERR;
	socket_action(context, fd, action);
}

/*
 * A socket that is being connected is watched for being writable alone, so when libcurl wants
 * to read, the connection is there. What it would tell of that itself depends on its version.
 */
static void
note_connected(CURL *easy)
{
	HdTransfer *transfer = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) == CURLE_OK && transfer != NULL)
		transfer->connected = true;
}

/*
 * Always answers 0: to libcurl a failure here is the end of the whole multi handle, with all
 * its transfers. A socket that cannot be watched costs one of them its deadline.
 */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
	HdHttp *http = context;
	uint32_t events = 0;

	(void) unused;
	if (what == CURL_POLL_REMOVE)
	{
		hd_loop_forget(http->loop, fd);
		return 0;
	}
	if (what == CURL_POLL_IN)
		note_connected(easy);
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (!hd_loop_watch(http->loop, fd, events, socket_ready, http))
		hd_log(HD_LOG_ERROR, "a connection cannot be watched: its request will time out");
	return 0;
}

static void
curl_timer_due(void *context)
{
	HdHttp *http = context;

	socket_action(http, CURL_SOCKET_TIMEOUT, 0);
}

static int
set_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
	HdHttp *http = context;

	(void) multi;
	if (timeout_ms < 0)
		hd_timer_disarm(&http->curl_timer);
	else
		hd_timer_arm(&http->curl_timer, timeout_ms * HD_US_PER_MS);
	return 0;
}

/* ---- the start of a transfer ---- */

static HdTransfer *
take_transfer(HdHttp *http)
{
	HdTransfer *transfer = http->free_list;

	if (transfer != NULL)
	{
		http->free_list = transfer->next;
		http->free_count--;
	}
	else
		transfer = hd_transfer_create(http, http->config);
	return transfer;
}

static void
link_transfer(HdHttp *http, HdTransfer *transfer)
{
	transfer->previous = NULL;
	transfer->next = http->in_flight;
	if (http->in_flight != NULL)
		http->in_flight->previous = transfer;
	http->in_flight = transfer;
	http->in_flight_count++;
	transfer->bytes = hd_transfer_bytes(transfer);
	http->in_flight_bytes += transfer->bytes;
	note_in_flight(http);
}

/* Gives the transfer to libcurl. */
static void
start(HdHttp *http, HdTransfer *transfer)
{
	CURLcode code;

	if (hd_transfer_is_late(transfer))
	{
		transfer->request->late = true;
		finish(http, transfer, NULL);
		return;
	}
	code = hd_transfer_prepare(transfer);
	http->started++;
	/* The URL has been parsed and the rest is ours, so this says nothing about the request. */
	if (code != CURLE_OK || curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
	{
		transfer->spoilt = true;
		finish(http, transfer, NULL);
		return;
	}
	transfer->state = HD_TRANSFER_RUNNING;
}

static void
start_waiting(void *context)
{
	HdHttp *http = context;

	while (http->turn_first != NULL && http->started < STARTS_A_ROUND)
	{
		HdTransfer *transfer = http->turn_first;

		leave_turn(http, transfer);
		transfer->state = HD_TRANSFER_IDLE;
		start(http, transfer);
	}
	if (http->turn_first != NULL)
		hd_timer_arm(&http->starter, 0);
}

/* Starts the transfer in this round, or in one of the next. */
static void
run(HdHttp *http, HdTransfer *transfer)
{
	if (http->turn_first == NULL && http->started < STARTS_A_ROUND)
	{
		start(http, transfer);
		return;
	}
	transfer->state = HD_TRANSFER_WAITING;
	transfer->turn_next = NULL;
	transfer->turn_previous = http->turn_last;
	if (http->turn_last != NULL)
		http->turn_last->turn_next = transfer;
	else
		http->turn_first = transfer;
	http->turn_last = transfer;
	if (!hd_timer_armed(&http->starter))
		hd_timer_arm(&http->starter, 0);
}

/* Ends a request that cannot be sent: for its own fault, or for a shortage of ours. */
static void
refuse(HdHttp *http, HdTransfer *transfer, const char *problem)
{
	if (problem == hd_target_no_memory)
		finish(http, transfer, NULL);
	else
		fail(http, transfer, HD_OUTCOME_INVALID, problem);
}

/* Takes what a name resolved to; false when that ended the transfer. */
static bool
use_resolution(HdHttp *http, HdTransfer *transfer, const HdTarget *target,
			   const HdResolution *resolution)
{
	HdWayStep step = transfer->way.step;

	transfer->looked_up_at = hd_clock_us();
	if (resolution->answer == HD_ANSWER_SHORTAGE)
		finish(http, transfer, NULL);
	else if (resolution->answer != HD_ANSWER_ADDRESSES && step == HD_WAY_PROXY)
		fail(http, transfer, HD_OUTCOME_PROXY, "the proxy's name could not be looked up");
	else if (resolution->answer != HD_ANSWER_ADDRESSES)
		fail(http, transfer, HD_OUTCOME_DNS, resolution->text);
	else
		switch (hd_way_use(&transfer->way, target, resolution->text))
		{
			case HD_WAY_GO_ON:
				return true;
			case HD_WAY_BLOCKED:
				fail(http, transfer, HD_OUTCOME_BLOCKED, hd_transfer_blocked);
				return false;
			case HD_WAY_NO_MEMORY:
				finish(http, transfer, NULL);
				return false;
		}
	return false;
}

/* Looks up what is left to look up, then gives the transfer to libcurl. */
static void
proceed(HdHttp *http, HdTransfer *transfer, const HdTarget *target)
{
	const char *name;

	while ((name = hd_way_next(&transfer->way, target)) != NULL)
	{
		const HdResolution *known = hd_resolver_lookup(http->resolver, name, &transfer->lookup);

		if (known == NULL)
		{
			int64_t ends = transfer->request->received_at + transfer->request->timeout_us;

			transfer->state = HD_TRANSFER_RESOLVING;
			hd_timer_arm(&transfer->deadline, ends - hd_clock_us());
			return;
		}
		if (!use_resolution(http, transfer, target, known))
			return;
	}
	run(http, transfer);
}

static void
resolved(void *context, const HdResolution *resolution)
{
	HdTransfer *transfer = context;
	HdHttp *http = transfer->owner;
	HdTarget target;
	const char *problem = hd_target_find(transfer->request->url, &target);

	hd_timer_disarm(&transfer->deadline);
	if (problem != NULL)
		refuse(http, transfer, problem);
	else if (use_resolution(http, transfer, &target, resolution))
		proceed(http, transfer, &target);
	hd_target_free(&target);
}

static void
resolving_too_long(void *context)
{
	HdTransfer *transfer = context;

	fail(transfer->owner, transfer, HD_OUTCOME_TIMEOUT,
		 "the time was up while looking up the name");
}

void
hd_http_start(HdHttp *http, HdRequest *request)
{
	HdTransfer *transfer = take_transfer(http);
	HdTarget target = {NULL, NULL};
	const char *problem;

	if (transfer == NULL)
		goto failed;
	if (transfer->deadline.loop == NULL &&
		!hd_timer_init(&transfer->deadline, http->loop, resolving_too_long, transfer))
		goto failed;
	transfer->lookup.fn = resolved;
	transfer->lookup.context = transfer;
	if (!hd_transfer_begin(transfer, request))
		goto failed;
	link_transfer(http, transfer);

	problem = request->problem != NULL ? request->problem : hd_target_find(request->url, &target);
	/* A lease that ended on the way may be someone else's by now: sending would be a duplicate. */
	if (hd_clock_us() >= request->claimed_at + request->lease_us && request->problem == NULL)
		finish(http, transfer, NULL);
	else if (problem != NULL)
		refuse(http, transfer, problem);
	else if (!hd_way_plan(&transfer->way, http->config, request, target.host))
		fail(http, transfer, HD_OUTCOME_BLOCKED, hd_transfer_blocked);
	else
		proceed(http, transfer, &target);
	hd_target_free(&target);
	return;

failed:
	hd_log(HD_LOG_WARNING, "out of memory: a request is given back");
	if (transfer != NULL)
		hd_transfer_free(transfer);
	http->on_end(http->context, request, NULL);
	hd_request_free(request);
}

/* ---- the whole ---- */

static bool
set_up_multi(HdHttp *http)
{
	CURLM *multi = http->multi;

	return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_curl_timer) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) == CURLM_OK &&
		   /* Left alone it follows the number of handles and so evicts warm connections. */
		   curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) http->config->max_connections) ==
			   CURLM_OK;
}

HdHttp *
hd_http_create(HdLoop *loop, const HdConfig *config, HdHttpEndFn on_end, void *context)
{
	HdHttp *http = calloc(1, sizeof(*http));
	HdResolverOptions options = {.threads = (size_t) config->resolver_threads,
								 .ttl_us = config->resolver_ttl * HD_US_PER_MS,
								 .negative_ttl_us = config->resolver_negative_ttl * HD_US_PER_MS};

	if (http == NULL)
		return NULL;
	http->loop = loop;
	http->config = config;
	http->on_end = on_end;
	http->context = context;
	http->multi = curl_multi_init();
	http->resolver = hd_resolver_create(loop, &options);
	if (http->multi == NULL || http->resolver == NULL ||
		!hd_timer_init(&http->curl_timer, loop, curl_timer_due, http) ||
		!hd_timer_init(&http->starter, loop, start_waiting, http) || !set_up_multi(http))
	{
		hd_http_free(http);
		return NULL;
	}
	hd_loop_set_after(loop, collect, http);
	return http;
}

void
hd_http_free(HdHttp *http)
{
	if (http == NULL)
		return;
	hd_loop_set_after(http->loop, NULL, NULL);
	while (http->in_flight != NULL)
	{
		HdTransfer *transfer = http->in_flight;

		unlink_transfer(http, transfer);
		hd_resolver_cancel(&transfer->lookup);
		if (transfer->state == HD_TRANSFER_RUNNING)
			remove_from_multi(http, transfer);
		hd_transfer_free(transfer);
	}
	while (http->free_list != NULL)
	{
		HdTransfer *transfer = http->free_list;

		http->free_list = transfer->next;
		hd_transfer_free(transfer);
	}
	hd_resolver_free(http->resolver);
	if (http->multi != NULL && curl_multi_cleanup(http->multi) != CURLM_OK)
		hd_log(HD_LOG_WARNING, "cannot close the connections to receivers");
	hd_timer_free(&http->curl_timer);
	hd_timer_free(&http->starter);
	free(http);
}

size_t
hd_http_in_flight(const HdHttp *http)
{
	return http->in_flight_count;
}

size_t
hd_http_bytes(const HdHttp *http)
{
	return http->in_flight_bytes;
}

void
hd_http_visit(HdHttp *http, HdHttpVisitFn visit, void *context)
{
	for (const HdTransfer *transfer = http->in_flight; transfer != NULL; transfer = transfer->next)
		visit(context, transfer->request);
}

static void
abandon(HdHttp *http, HdTransfer *transfer)
{
	if (transfer->state == HD_TRANSFER_RUNNING)
		remove_from_multi(http, transfer);
	finish(http, transfer, NULL);
}

void
hd_http_release_unsent(HdHttp *http)
{
	HdTransfer *next;

	/* What has ended in this round is a result, not something to give back. */
	http->collecting = true;
	collect(http);
	for (HdTransfer *transfer = http->in_flight; transfer != NULL; transfer = next)
	{
		next = transfer->next;
		if (!transfer->sent)
			abandon(http, transfer);
	}
}

/* Renewals are rare, so a walk is good enough. */
static HdTransfer *
find_transfer(const HdHttp *http, int64_t id)
{
	HdTransfer *transfer = http->in_flight;

	while (transfer != NULL && transfer->request->id != id)
		transfer = transfer->next;
	return transfer;
}

bool
hd_http_drop_unsent(HdHttp *http, int64_t id)
{
	HdTransfer *transfer = find_transfer(http, id);

	if (transfer == NULL)
		return true;
	if (transfer->sent)
		return false;
	abandon(http, transfer);
	return true;
}

void
hd_http_renewed(HdHttp *http, int64_t id, int64_t renewed_at)
{
	HdTransfer *transfer = find_transfer(http, id);

	if (transfer != NULL)
		transfer->request->claimed_at = renewed_at;
}
