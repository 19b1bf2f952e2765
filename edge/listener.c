/*
 * listener.c
 *	  The edge's own HTTP server: /health, /metrics and /in/<source>.
 *
 * Model: libmicrohttpd with its external epoll, driven by an event loop of the listener's
 * own, on a thread of its own. A request that needs the database is suspended until the
 * desk (desk.h) has its answer.
 *
 * Why a thread. The sender's loop must not stall for 20 ms, and three things here can
 * last longer: libpq looks up the name of a server with a blocking call, and a second connection
 * string means a second such name; a handshake with the database; and a flood of requests,
 * which in one loop would take turns with deliveries. Apart, the scheduler shares the
 * machine between them, and a fault of libmicrohttpd's stays the listener's. Why not libmicrohttpd's own
 * threads: the database connection, the queue for it and the deadlines would need locks then.
 *
 * Time: libmicrohttpd's timeout starts again with each byte, so it does not stop who sends
 * one a second. Here every connection has a deadline for its next request to be complete,
 * and for an answer to be taken; a sweep cuts those that are late (peer.h).
 *
 * Threads: everything in HdListener belongs to the listener's thread while that runs,
 * except `wanted`, which is atomic, and wake_fd.
 */
#include "listener.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "clock.h"
#include "desk.h"
#include "log.h"
#include "loop.h"
#include "peer.h"

#define SWEEP_US (100 * HD_US_PER_MS)
#define END_GRACE_US (2 * HD_US_PER_S)
#define LEAVE_WAIT_S 4
#define BACKLOG 128
#define THREAD_STACK_BYTES (512 * 1024)

/* Besides headers, which it keeps with a node each, libmicrohttpd's pool holds the answer's head. */
#define POOL_EXTRA_BYTES 16384

/* Refuse what only a lenient server would understand; the option was renamed. */
#if MHD_VERSION >= 0x00097701
#define STRICTNESS MHD_OPTION_CLIENT_DISCIPLINE_LVL
#else
#define STRICTNESS MHD_OPTION_STRICT_FOR_CLIENT
#endif

typedef enum Wanted
{
	WANTED_SERVE, /* next: LEAVE, END */
	WANTED_LEAVE, /* next: END */
	WANTED_END
} Wanted;

struct HdListener
{
	const HdConfig *config;
	HdLoop *loop;
	HdDesk *desk;
	struct MHD_Daemon *daemon;
	int listen_fd; /* the daemon's until it is quiesced */
	int wake_fd;
	_Atomic Wanted wanted;
	bool ending;
	HdTimer driver; /* libmicrohttpd's own timeout */
	HdTimer sweeper;
	HdTimer grace;
	HdPeer *peers;
	size_t calls; /* requests under way */
	pthread_t thread;
	bool started;
};

/* ---- the end ---- */

static void
drive(void *context)
{
	HdListener *listener = context;
	unsigned long long timeout_ms;

	if (MHD_run(listener->daemon) != MHD_YES)
		hd_log(HD_LOG_ERROR, "the listener cannot serve its connections");
	if (MHD_get_timeout(listener->daemon, &timeout_ms) == MHD_YES)
		hd_timer_arm(&listener->driver, (int64_t) timeout_ms * HD_US_PER_MS);
	else
		hd_timer_disarm(&listener->driver);
}

static void
end_now(void *context)
{
	const HdListener *listener = context;

	hd_loop_stop(listener->loop);
}

static void
begin_end(HdListener *listener)
{
	if (listener->ending)
		return;
	listener->ending = true;
	(void) MHD_quiesce_daemon(listener->daemon);
	if (listener->calls == 0)
		end_now(listener);
	else
		hd_timer_arm(&listener->grace, END_GRACE_US);
}

static void
woken(void *context, int fd, uint32_t events)
{
	HdListener *listener = context;
	eventfd_t count;

	(void) events;
	if (eventfd_read(fd, &count) != 0)
		return;
	if (atomic_load(&listener->wanted) >= WANTED_LEAVE)
		hd_desk_stopping(listener->desk);
	if (atomic_load(&listener->wanted) == WANTED_END)
		begin_end(listener);
}

/* ---- connections ---- */

static void
connection_changed(void *context, struct MHD_Connection *connection, void **socket_context,
				   enum MHD_ConnectionNotificationCode what)
{
	HdListener *listener = context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*socket_context = hd_peer_add(&listener->peers, connection);
	else if (*socket_context != NULL)
	{
		hd_peer_remove(&listener->peers, *socket_context);
		*socket_context = NULL;
	}
}

static void
sweep(void *context)
{
	HdListener *listener = context;
	int64_t before = hd_clock_us() - listener->config->listen_timeout * HD_US_PER_MS;

	hd_timer_arm(&listener->sweeper, SWEEP_US);
	hd_desk_expire(listener->desk, before);
	hd_peer_cut_late(listener->peers, before);
}

/* ---- requests ---- */

static void *
request_begins(void *context, const char *uri, struct MHD_Connection *connection)
{
	HdPeer *peer = hd_peer_of(connection);

	(void) context;
	(void) uri;
	if (peer != NULL)
		peer->begun = true;
	return NULL;
}

/* The desk has an answer: the handler is called again and gives it away. */
static void
task_done(HdTask *task)
{
	HdCall *call = (HdCall *) (void *) ((char *) task - offsetof(HdCall, task));
	HdListener *listener = call->owner;

	if (!call->suspended)
		return;
	call->suspended = false;
	/* Nobody has a deadline while he waits; his old one, which may have passed, ends here. */
	hd_peer_of(call->connection)->since = hd_clock_us();
	MHD_resume_connection(call->connection);
	/* Its own wake-up does not reach a loop outside; without this nothing moves until a byte comes. */
	hd_timer_arm(&listener->driver, 0);
}

static bool
answer(HdPeer *peer)
{
	/* The time to take the answer counts anew. */
	peer->since = hd_clock_us();
	return hd_call_answer(peer->call);
}

static bool
begin_call(HdListener *listener, struct MHD_Connection *connection, HdPeer *peer, const char *url,
		   const char *method)
{
	HdCall *call = hd_call_create(listener->config, connection, url, method);

	if (call == NULL)
		return false;
	peer->call = call;
	listener->calls++;
	call->owner = listener;
	call->task.done = task_done;
	/* No need to read a body that nobody can be given. */
	if (call->task.reply.status == 0 && call->route == HD_ROUTE_IN &&
		!hd_desk_ready(listener->desk))
		hd_reply_error(&call->task.reply, 503, "the database cannot be reached");
	return call->task.reply.status == 0 || answer(peer);
}

static bool
finish_call(HdListener *listener, HdPeer *peer)
{
	HdCall *call = peer->call;

	if (call->task.reply.status == 0)
		hd_call_complete(call);
	if (call->task.reply.status == 0)
		hd_desk_ask(listener->desk, &call->task);
	if (call->task.reply.status != 0)
		return answer(peer);
	call->suspended = true;
	MHD_suspend_connection(call->connection);
	return true;
}

/* Called with the headers there, then for each piece of the body, then at its end. */
static enum MHD_Result
handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *upload, size_t *upload_size, void **request)
{
	HdListener *listener = context;
	HdPeer *peer = hd_peer_of(connection);
	bool done;

	(void) version;
	if (peer == NULL)
		return MHD_NO;
	if (*request == NULL)
	{
		done = begin_call(listener, connection, peer, url, method);
		*request = peer->call;
	}
	else if (*upload_size > 0)
	{
		done = hd_call_receive(peer->call, upload, *upload_size);
		*upload_size = 0;
	}
	else
		done = finish_call(listener, peer);
	return done ? MHD_YES : MHD_NO;
}

static void
request_ends(void *context, struct MHD_Connection *connection, void **request,
			 enum MHD_RequestTerminationCode how)
{
	HdListener *listener = context;
	HdPeer *peer = hd_peer_of(connection);

	(void) how;
	if (peer != NULL)
	{
		peer->since = hd_clock_us();
		peer->begun = false;
		peer->call = NULL;
	}
	if (*request == NULL)
		return;
	hd_call_free(*request);
	*request = NULL;
	listener->calls--;
	if (listener->ending && listener->calls == 0)
		hd_timer_arm(&listener->grace, 0);
}

/* ---- starting ---- */

static void
daemon_ready(void *context, int fd, uint32_t events)
{
	(void) fd;
	(void) events;
	drive(context);
}

static void
log_place(const HdListener *listener)
{
	struct sockaddr_storage place = {0};
	socklen_t length = sizeof(place);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	if (getsockname(listener->listen_fd, (struct sockaddr *) &place, &length) == 0 &&
		getnameinfo((struct sockaddr *) &place, length, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		hd_log(HD_LOG_INFO, "listening on %s%s%s:%s", place.ss_family == AF_INET6 ? "[" : "", host,
			   place.ss_family == AF_INET6 ? "]" : "", port);
}

static bool
open_socket(HdListener *listener)
{
	const struct sockaddr_storage *place = &listener->config->listen_place;
	socklen_t length =
		place->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int on = 1;
	int fd = socket(place->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	listener->listen_fd = fd;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		(place->ss_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
		bind(fd, (const struct sockaddr *) place, length) != 0 || listen(fd, BACKLOG) != 0)
	{
		hd_log(HD_LOG_ERROR, "cannot listen on %s: %s", listener->config->listen, strerror(errno));
		return false;
	}
	return true;
}

static bool
start_daemon(HdListener *listener)
{
	const HdConfig *config = listener->config;
	size_t pool = (size_t) config->listen_max_header_bytes * 2 + POOL_EXTRA_BYTES;
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
	const union MHD_DaemonInfo *info;

	if (config->listen_place.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	listener->daemon =
		MHD_start_daemon(flags, 0, NULL, NULL, handle, listener, MHD_OPTION_LISTEN_SOCKET,
						 listener->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
						 (unsigned) config->listen_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
						 (unsigned) config->listen_connections_per_address,
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool, MHD_OPTION_CONNECTION_TIMEOUT,
						 0U, STRICTNESS, 1, MHD_OPTION_NOTIFY_CONNECTION, connection_changed,
						 listener, MHD_OPTION_NOTIFY_COMPLETED, request_ends, listener,
						 MHD_OPTION_URI_LOG_CALLBACK, request_begins, listener, MHD_OPTION_END);
	if (listener->daemon == NULL)
	{
		/* Closed or not, depending on what failed; the end of the process, which is next, sees to it. */
		listener->listen_fd = -1;
		return false;
	}
	info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return info != NULL &&
		   hd_loop_watch(listener->loop, info->epoll_fd, EPOLLIN, daemon_ready, listener);
}

static void *
thread_main(void *argument)
{
	HdListener *listener = argument;

	hd_desk_open(listener->desk);
	hd_timer_arm(&listener->sweeper, SWEEP_US);
	if (!hd_loop_run(listener->loop))
		hd_log(HD_LOG_ERROR, "the listener has stopped");
	return NULL;
}

/* Signals are the sender's. */
static bool
start_thread(HdListener *listener)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	if (pthread_sigmask(SIG_BLOCK, &all, &before) != 0)
		return false;
	if (pthread_attr_init(&attributes) == 0)
	{
		listener->started =
			pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES) == 0 &&
			pthread_create(&listener->thread, &attributes, thread_main, listener) == 0;
		pthread_attr_destroy(&attributes);
	}
	if (pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		abort();
	return listener->started;
}

static bool
set_up(HdListener *listener)
{
	listener->loop = hd_loop_create(HD_LOOP_LISTENER);
	if (listener->loop == NULL || listener->wake_fd < 0 || !open_socket(listener))
		return false;
	listener->desk = hd_desk_create(listener->loop, listener->config);
	return listener->desk != NULL &&
		   hd_timer_init(&listener->driver, listener->loop, drive, listener) &&
		   hd_timer_init(&listener->sweeper, listener->loop, sweep, listener) &&
		   hd_timer_init(&listener->grace, listener->loop, end_now, listener) &&
		   hd_loop_watch(listener->loop, listener->wake_fd, EPOLLIN, woken, listener) &&
		   start_daemon(listener);
}

HdListener *
hd_listener_create(const HdConfig *config)
{
	HdListener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		return NULL;
	listener->config = config;
	listener->listen_fd = -1;
	listener->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!set_up(listener) || !start_thread(listener))
	{
		hd_log(HD_LOG_ERROR, "the listener cannot start");
		hd_listener_free(listener);
		return NULL;
	}
	log_place(listener);
	return listener;
}

/* ---- for the owner ---- */

static void
want(HdListener *listener, Wanted wanted)
{
	atomic_store(&listener->wanted, wanted);
	/* An eventfd add of 1 blocks only at 2^64-2 unread wake-ups. */
	if (eventfd_write(listener->wake_fd, 1) != 0)
		abort();
}

void
hd_listener_leave(HdListener *listener)
{
	if (listener != NULL)
		want(listener, WANTED_LEAVE);
}

/* Waits for the thread; false when it is stuck, which only libpq's look-up of a name can do. */
static bool
join_thread(HdListener *listener)
{
	struct timespec deadline;

	want(listener, WANTED_END);
	if (clock_gettime(CLOCK_MONOTONIC, &deadline) != 0)
		abort();
	deadline.tv_sec += LEAVE_WAIT_S;
	return pthread_clockjoin_np(listener->thread, NULL, CLOCK_MONOTONIC, &deadline) == 0;
}

/*
 * Whoever still waits is sent away: a suspended connection must not outlive its daemon. The first
 * run resumes them, the second writes.
 */
static void
stop_daemon(HdListener *listener)
{
	/* Unless it is quiesced it closes the listening socket, and so would we. */
	if (!listener->ending)
		(void) MHD_quiesce_daemon(listener->daemon);
	hd_desk_stop(listener->desk);
	(void) MHD_run(listener->daemon);
	(void) MHD_run(listener->daemon);
	MHD_stop_daemon(listener->daemon);
}

void
hd_listener_free(HdListener *listener)
{
	if (listener == NULL)
		return;
	if (listener->started && !join_thread(listener))
	{
		/* The end of the process, which is next, takes what it holds. */
		pthread_detach(listener->thread);
		return;
	}
	if (listener->daemon != NULL)
		stop_daemon(listener);
	hd_desk_free(listener->desk);
	hd_timer_free(&listener->driver);
	hd_timer_free(&listener->sweeper);
	hd_timer_free(&listener->grace);
	if (listener->listen_fd >= 0)
		close(listener->listen_fd);
	if (listener->wake_fd >= 0)
		close(listener->wake_fd);
	hd_loop_free(listener->loop);
	free(listener);
}
