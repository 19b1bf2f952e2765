/*-------------------------------------------------------------------------
 * receiver.c
 *		The receiver of the webhook benchmarks and tests: behaves as the path says, and logs.
 *
 * Purpose: to cost so little that the sender is what is measured, and to be the
 * witness: when each request began to arrive, by the receiver's clock.
 *
 * Usage: receiver [LOG [SEED [PORT]]].  Prints the port on 127.0.0.1, which it
 * chooses unless it is given one, and serves until SIGTERM; then it writes LOG, a line for each request in COPY's text format:
 *
 *		webhook-id, path, key, n, status, begun, ended, not_before, form
 *
 * begun is when the first byte was there, ended when the answer was about to be
 * written or the peer gave up, in microseconds since 1970; status is 0 where none
 * was sent; key and n are numbers of the body, {"n": 1, "key": 2}; not_before and
 * form belong to /retry-after/.  What is still under way at SIGTERM is logged, too.
 *
 *		/ok						204; ?delay=MS before it, and up to spread=MS more
 *		/status/503?p=0.2		so, one time in five; otherwise 204
 *		/retry-after/429?cap=4	that status and a random Retry-After, half the time
 *		/limit?rate=50&burst=9	429 without Retry-After beyond a bucket of that many a second
 *		/hang					never answers; ?after=900 such requests that it does answer
 *		/drip					a 200 whose body comes at a byte a second
 *		/reset					reads the request and resets the connection
 *		/count					how many requests there were, this path aside
 *
 * What follows the name of a path, as in /ok/17, tells endpoints apart in the log.
 *
 * Model: one thread, epoll, a request at a time on a connection.  It reads what
 * the edge sends (a Content-Length, no pipelining), and no more than the first
 * 8 kB of it counts.  What has to wait is in a list by the time it is due.
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S INT64_C(1000000)
#define FOREVER INT64_MAX
#define EVENTS_A_ROUND 64
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Entry
{
	char id[40];
	char path[40];
	int64_t key; /* -1: the body has none */
	int64_t n;
	int64_t begun;
	int64_t ended;
	int64_t not_before;
	int status;
	int form; /* index of forms */
} Entry;

typedef struct Visit
{
	int fd;
	char input[8192]; /* the request, as far as it fits */
	size_t used;
	int64_t body_left; /* -1: the header is not complete */
	Entry entry;
	char answer[512]; /* what is written when the time has come */
	bool drips;
	int64_t due;
	struct Visit *previous; /* those under way, in no order */
	struct Visit *next;
	struct Visit *later; /* those that wait, by due */
} Visit;

static Entry *entries = NULL;
static size_t entry_count = 0;
static size_t entry_room = 0;
static uint64_t requests = 0;
static Visit *visits = NULL;
static Visit *waiting = NULL;
static int64_t now;
static volatile sig_atomic_t stopping = 0;

static int64_t
clock_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * US_PER_S + time.tv_nsec / 1000;
}

static void
die(const char *what)
{
	fprintf(stderr, "receiver: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* ---- the log ---- */

static void
keep(const Entry *entry)
{
	if (entry_count == entry_room)
	{
		entry_room = entry_room == 0 ? 1024 : entry_room * 2;
		entries = realloc(entries, entry_room * sizeof(*entries));
		if (entries == NULL)
			die("log");
	}
	entries[entry_count++] = *entry;
}

/* In forms[], in the order of which Retry-After is drawn. */
enum
{
	SECONDS = 1,
	FIXDATE,
	RFC850,
	ASCTIME,
	FIXDATE_ALONE,
	RFC850_ALONE,
	ASCTIME_ALONE,
	PAST,
	GARBAGE,
	HUGE,
	FORMS
};

static const char *const forms[FORMS] = {
	"-",	   "seconds",		"fixdate",		"rfc850",
	"asctime", "fixdate alone", "rfc850 alone", "asctime alone",
	"past",	   "garbage",		"huge",
};

static void
write_log(const char *name)
{
	FILE *file = fopen(name, "w");

	if (file == NULL)
		die(name);
	for (size_t i = 0; i < entry_count; i++)
	{
		const Entry *entry = &entries[i];

		fprintf(file,
				"%s\t%s\t%" PRId64 "\t%" PRId64 "\t%d\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%s\n",
				entry->id, entry->path, entry->key, entry->n, entry->status, entry->begun,
				entry->ended, entry->not_before, forms[entry->form]);
	}
	if (fclose(file) != 0)
		die(name);
}

/* ---- visits ---- */

static void
wait_until(Visit *visit, int64_t due)
{
	Visit **place = &waiting;

	while (*place != NULL && (*place)->due <= due)
		place = &(*place)->later;
	visit->due = due;
	visit->later = *place;
	*place = visit;
}

static void
wait_no_more(Visit *visit)
{
	Visit **place = &waiting;

	while (*place != NULL && *place != visit)
		place = &(*place)->later;
	if (*place != NULL)
		*place = visit->later;
}

/* Ready for the next request on the connection. */
static void
rewind_visit(Visit *visit)
{
	visit->used = 0;
	visit->body_left = -1;
	visit->drips = false;
	memset(&visit->entry, 0, sizeof(visit->entry));
}

static void
end_visit(Visit *visit)
{
	if (visit->entry.path[0] != '\0')
	{
		visit->entry.ended = now;
		keep(&visit->entry);
	}
	wait_no_more(visit);
	if (visit->previous != NULL)
		visit->previous->next = visit->next;
	else
		visits = visit->next;
	if (visit->next != NULL)
		visit->next->previous = visit->previous;
	close(visit->fd);
	free(visit);
}

/* Answers are shorter than any socket's buffer; a peer that takes none is gone. */
static bool
send_all(Visit *visit, const char *bytes, size_t length)
{
	return write(visit->fd, bytes, length) == (ssize_t) length;
}

/* The time has come: the answer, or the next byte of one that drips. */
static void
proceed(Visit *visit)
{
	if (visit->drips)
	{
		if (send_all(visit, "x", 1))
			wait_until(visit, now + US_PER_S);
		else
			end_visit(visit);
		return;
	}
	visit->entry.ended = clock_us();
	if (!send_all(visit, visit->answer, strlen(visit->answer)))
	{
		end_visit(visit);
		return;
	}
	if (visit->entry.path[0] != '\0')
		keep(&visit->entry);
	rewind_visit(visit);
}

static void
respond(Visit *visit, int status, const char *headers)
{
	visit->entry.status = status;
	snprintf(visit->answer, sizeof(visit->answer), "HTTP/1.1 %d Answer\r\n%s%s\r\n", status,
			 status == 204 ? "" : "Content-Length: 0\r\n", headers);
}

/* ---- behaviours ---- */

/* The value of a parameter of the path's query. */
static double
parameter(const char *target, const char *name, double otherwise)
{
	const char *at = strchr(target, '?');
	size_t length = strlen(name);

	while (at != NULL)
	{
		at++;
		if (strncmp(at, name, length) == 0 && at[length] == '=')
			return strtod(at + length + 1, NULL);
		at = strchr(at, '&');
	}
	return otherwise;
}

static void
respond_in_time(Visit *visit, const char *target)
{
	double delay = parameter(target, "delay", 0) + parameter(target, "spread", 0) * drand48();

	if (delay > 0)
		wait_until(visit, now + (int64_t) (delay * 1000));
	else
		proceed(visit);
}

static void
be_ok(Visit *visit, const char *target)
{
	respond(visit, 204, "");
	respond_in_time(visit, target);
}

static void
be_status(Visit *visit, const char *target)
{
	int status = atoi(target + strlen("/status/"));

	respond(visit, drand48() < parameter(target, "p", 1) ? status : 204, "");
	respond_in_time(visit, target);
}

/* One bucket for all of them. */
static void
be_limited(Visit *visit, const char *target)
{
	static double left = -1;
	static int64_t at;
	double rate = parameter(target, "rate", 50);
	double burst = parameter(target, "burst", rate);

	left = left < 0 ? burst : left + rate * (double) (now - at) / US_PER_S;
	if (left > burst)
		left = burst;
	at = now;
	if (left >= 1)
	{
		left -= 1;
		respond(visit, 204, "");
	}
	else
		respond(visit, 429, "");
	respond_in_time(visit, target);
}

static void
be_hung(Visit *visit, const char *target)
{
	static double answered = 0;

	if (answered >= parameter(target, "after", 0))
	{
		wait_until(visit, FOREVER);
		return;
	}
	answered++;
	be_ok(visit, target);
}

static void
be_dripping(Visit *visit, const char *target)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";

	(void) target;
	visit->entry.status = 200;
	visit->drips = true;
	if (send_all(visit, head, strlen(head)))
		wait_until(visit, now + US_PER_S);
	else
		end_visit(visit);
}

static void
be_reset(Visit *visit, const char *target)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	(void) target;
	setsockopt(visit->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	end_visit(visit);
}

static void
http_date(char *text, size_t size, int form, int64_t seconds)
{
	static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
										  "%a %b %e %H:%M:%S %Y"};
	time_t time = (time_t) seconds;
	struct tm parts;

	gmtime_r(&time, &parts);
	strftime(text, size, formats[form], &parts);
}

/*
 * A random Retry-After, and with half of the dates a Date by a clock that may be hours
 * wrong.  Returns the earliest time, by the clock that is right, that honours it: cap
 * is the longest that the sender waits whatever is asked.
 */
static int64_t
draw_retry_after(int form, char *headers, size_t size, int64_t cap)
{
	static const char *const garbage[] = {
		"",
		"soon",
		"-3",
		"1.5",
		"5 seconds",
		"0x10",
		"1e3",
		"5, 5",
		"Sun, 06 Nov 2094",
		"Sun, 31 Feb 2094 08:49:37 GMT",
		"Sun, 06 Nov 2094 25:49:37 GMT",
		"2094-11-06T08:49:37Z",
	};
	static const char *const huge[] = {"99999999999999999999999", "2147483648", "86400000",
									   "Fri, 31 Dec 9999 23:59:59 GMT"};
	int64_t more = (int64_t) (drand48() * (double) (cap / US_PER_S + 2));
	int64_t at = clock_us();
	int64_t skew = 0;
	int64_t until = at;
	char date[64];
	char own[64];

	if (form >= FIXDATE && form <= ASCTIME)
		skew = ((int64_t) (drand48() * 11) - 5) * 3600 * US_PER_S;
	http_date(own, sizeof(own), 0, (at + skew) / US_PER_S);
	switch (form)
	{
		case SECONDS:
			snprintf(headers, size, "Retry-After: %" PRId64 "\r\n", more);
			until = at + more * US_PER_S;
			break;
		case GARBAGE:
			snprintf(headers, size, "Retry-After: %s\r\n", garbage[lrand48() % LENGTH(garbage)]);
			break;
		case HUGE:
			snprintf(headers, size, "Retry-After: %s\r\n", huge[lrand48() % LENGTH(huge)]);
			until = at + cap;
			break;
		default:
			if (form == PAST)
				more = -1 - more * 1000;
			until = ((at + skew) / US_PER_S + more) * US_PER_S - skew;
			http_date(date, sizeof(date), form == PAST ? 0 : (form - FIXDATE) % 3,
					  (until + skew) / US_PER_S);
			snprintf(headers, size, "Retry-After: %s\r\n", date);
			if (form <= ASCTIME)
				snprintf(headers, size, "Retry-After: %s\r\nDate: %s\r\n", date, own);
	}
	if (until < at)
		return at;
	return until < at + cap ? until : at + cap;
}

static void
be_retry_after(Visit *visit, const char *target)
{
	int status = atoi(target + strlen("/retry-after/"));
	int64_t cap = (int64_t) parameter(target, "cap", 4) * US_PER_S;
	char headers[256];

	if (drand48() < 0.5)
	{
		visit->entry.form = 1 + (int) (lrand48() % (FORMS - 1));
		visit->entry.not_before =
			draw_retry_after(visit->entry.form, headers, sizeof(headers), cap);
		respond(visit, status, headers);
	}
	else
		respond(visit, 204, "");
	respond_in_time(visit, target);
}

static void
be_count(Visit *visit, const char *target)
{
	(void) target;
	requests--;
	visit->entry.path[0] = '\0';
	snprintf(visit->answer, sizeof(visit->answer),
			 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 21\r\n\r\n%20" PRIu64 "\n",
			 requests);
	proceed(visit);
}

static const struct
{
	const char *path;
	void (*behave)(Visit *visit, const char *target);
} behaviours[] = {
	{"/ok", be_ok},			{"/status/", be_status}, {"/retry-after/", be_retry_after},
	{"/limit", be_limited}, {"/hang", be_hung},		 {"/drip", be_dripping},
	{"/reset", be_reset},	{"/count", be_count},
};

/* ---- requests ---- */

static int64_t
number_in(const char *body, const char *name)
{
	const char *at = strstr(body, name);

	return at != NULL ? strtoll(at + strlen(name), NULL, 10) : -1;
}

/* A request is complete: input is the header, target lies in it, body in what follows. */
static void
behave(Visit *visit, const char *body)
{
	char *target = strchr(visit->input, ' ');
	char *id = strcasestr(visit->input, "\r\nwebhook-id:");

	requests++;
	visit->entry.key = number_in(body, "\"key\": ");
	visit->entry.n = number_in(body, "\"n\": ");
	if (id != NULL)
		sscanf(id + strlen("\r\nwebhook-id:"), " %39[^\r\t]", visit->entry.id);
	if (target == NULL || sscanf(target, " %39[^? \t]", visit->entry.path) != 1)
	{
		end_visit(visit);
		return;
	}
	target++;
	target[strcspn(target, " ")] = '\0';
	for (size_t i = 0; i < LENGTH(behaviours); i++)
	{
		if (strncmp(target, behaviours[i].path, strlen(behaviours[i].path)) == 0)
		{
			behaviours[i].behave(visit, target);
			return;
		}
	}
	respond(visit, 404, "");
	proceed(visit);
}

/* Finds the end of the header, and how much of the body is yet to come. */
static bool
read_header(Visit *visit)
{
	char *end = strstr(visit->input, "\r\n\r\n");
	char *length;

	if (end == NULL)
		return false;
	end[2] = '\0';
	length = strcasestr(visit->input, "\r\nContent-Length:");
	visit->body_left =
		length != NULL ? strtoll(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
	visit->body_left -= visit->input + visit->used - (end + 4);
	return true;
}

static void
receive(Visit *visit)
{
	char beyond[65536];
	bool fits = visit->used < sizeof(visit->input) - 1;
	ssize_t got =
		fits ? read(visit->fd, visit->input + visit->used, sizeof(visit->input) - 1 - visit->used)
			 : read(visit->fd, beyond, sizeof(beyond));

	if (got <= 0)
	{
		if (got == 0 || errno != EAGAIN)
			end_visit(visit);
		return;
	}
	if (visit->entry.path[0] != '\0')
		return; /* more than the one request: it is not answered yet */
	if (visit->used == 0)
		visit->entry.begun = now;
	if (fits)
	{
		visit->used += (size_t) got;
		visit->input[visit->used] = '\0';
	}
	if (visit->body_left >= 0)
		visit->body_left -= got;
	else if (!read_header(visit))
	{
		if (visit->used == sizeof(visit->input) - 1)
			end_visit(visit);
		return;
	}
	if (visit->body_left <= 0)
		behave(visit, visit->input + strlen(visit->input) + 2);
}

/* ---- the loop ---- */

static void
welcome(int listener, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN};
	int yes = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Visit *visit = calloc(1, sizeof(*visit));

		if (visit == NULL)
			die("memory");
		visit->fd = fd;
		rewind_visit(visit);
		visit->next = visits;
		if (visits != NULL)
			visits->previous = visit;
		visits = visit;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		event.data.ptr = visit;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
			die("epoll");
	}
}

static int
open_listener(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((uint16_t) strtoul(port, NULL, 10))};
	socklen_t length = sizeof(address);
	struct rlimit limit;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(fd, 4096) != 0 || getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int
milliseconds_left(void)
{
	int64_t left;

	if (waiting == NULL || waiting->due == FOREVER)
		return -1;
	left = waiting->due - clock_us();
	return left > 0 ? (int) ((left + 999) / 1000) : 0;
}

static void
serve(int listener)
{
	struct epoll_event events[EVENTS_A_ROUND] = {{.events = EPOLLIN}};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]) != 0)
		die("epoll");
	while (!stopping)
	{
		int count = epoll_wait(epoll, events, EVENTS_A_ROUND, milliseconds_left());

		if (count < 0 && errno != EINTR)
			die("epoll");
		now = clock_us();
		for (int i = 0; i < count; i++)
		{
			if (events[i].data.ptr == NULL)
				welcome(listener, epoll);
			else
				receive(events[i].data.ptr);
		}
		now = clock_us();
		while (waiting != NULL && waiting->due <= now)
		{
			Visit *visit = waiting;

			waiting = visit->later;
			proceed(visit);
		}
	}
}

static void
stop(int signal)
{
	(void) signal;
	stopping = 1;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = stop};

	srand48(argc > 2 ? atol(argv[2]) : 1);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	serve(open_listener(argc > 3 ? argv[3] : "0"));
	while (visits != NULL)
		end_visit(visits);
	if (argc > 1)
		write_log(argv[1]);
	return EXIT_SUCCESS;
}
