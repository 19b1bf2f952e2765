/*
 * metrics.c
 *	  The edge's own counters, and their text in Prometheus' format.
 *
 * A family is one name with its help; its samples lie next to each other in one array, and
 * a row of labels names each. Everything that lives in the database is not told here:
 * the database tells it itself.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

#define TEXT_FIRST_BYTES 8192

typedef struct Family
{
	const char *name;
	const char *type;
	const char *help;
	HdMetric first;
	size_t count;
	const char *const *labels; /* NULL: the one sample has none */
} Family;

typedef struct Histogram
{
	_Atomic int64_t buckets[10]; /* one more than there are bounds */
	_Atomic int64_t sum_us;
} Histogram;

/* Grows while it is written; once memory was short nothing more is added. */
typedef struct Text
{
	char *data;
	size_t used;
	size_t size;
	bool failed;
} Text;

static _Atomic int64_t values[HD_METRIC_COUNT];
static Histogram rounds[HD_LOOP_NAMES];

static const int64_t bounds_us[] = {100, 500, 1000, 2000, 5000, 10000, 20000, 50000, 200000};
static const char *const loop_labels[HD_LOOP_NAMES] = {"sender", "listener"};

static const char *const class_labels[] = {"class=\"2xx\"", "class=\"3xx\"", "class=\"4xx\"",
										   "class=\"5xx\""};
static const char *const connection_labels[] = {"connection=\"claim\"", "connection=\"report\"",
												"connection=\"listener\""};
/* From REMEMBERED to SLOW. */
static const char *const lookup_labels[] = {"result=\"remembered\"", "result=\"stale\"",
											"result=\"asked\"", "result=\"failed\"",
											"result=\"slow\""};
/* In the order of HdOutcome. */
static const char *const outcome_labels[] = {
	"outcome=\"http\"",		"outcome=\"dns\"",	   "outcome=\"connect\"", "outcome=\"tls\"",
	"outcome=\"timeout\"",	"outcome=\"reset\"",   "outcome=\"blocked\"", "outcome=\"proxy\"",
	"outcome=\"protocol\"", "outcome=\"invalid\"",
};
#define ROUTE_LABELS(route) \
	"route=\"" route "\",class=\"2xx\"", "route=\"" route "\",class=\"3xx\"", \
		"route=\"" route "\",class=\"4xx\"", "route=\"" route "\",class=\"5xx\""
static const char *const request_labels[] = {ROUTE_LABELS("health"), ROUTE_LABELS("metrics"),
											 ROUTE_LABELS("in"), ROUTE_LABELS("other")};

#define MANY(labels) HD_COUNT(labels), labels
#define ONE 1, NULL

static const Family families[] = {
	{"claimed_total", "counter", "Requests taken from the database.", HD_METRIC_CLAIMED, ONE},
	{"given_back_total", "counter", "Requests given back unsent.", HD_METRIC_GIVEN_BACK, ONE},
	{"in_flight", "gauge", "Requests being sent now.", HD_METRIC_IN_FLIGHT, ONE},
	{"in_flight_bytes", "gauge", "Memory that these and what is kept of their answers can take.",
	 HD_METRIC_IN_FLIGHT_BYTES, ONE},
	{"backlog", "gauge", "Results that the database has not confirmed.", HD_METRIC_BACKLOG, ONE},
	{"requests_total", "counter", "Requests that ended, by outcome.", HD_METRIC_OUTCOMES,
	 MANY(outcome_labels)},
	{"answers_total", "counter", "Answers of receivers, by class of their status.",
	 HD_METRIC_ANSWERS, MANY(class_labels)},
	{"resolver_names", "gauge", "Names that are remembered.", HD_METRIC_NAMES, ONE},
	{"resolver_lookups_total", "counter", "Lookups of names; failed and slow ones were asked, too.",
	 HD_METRIC_NAMES_REMEMBERED, MANY(lookup_labels)},
	{"database_up", "gauge", "Whether the connection to the database is ready.", HD_METRIC_DB_UP,
	 MANY(connection_labels)},
	{"database_connects_total", "counter", "Sessions that were set up.", HD_METRIC_DB_CONNECTS,
	 MANY(connection_labels)},
	{"database_lost_total", "counter", "Attempts to connect that failed and connections lost.",
	 HD_METRIC_DB_LOST, MANY(connection_labels)},
	{"listener_connections", "gauge", "Connections to the listener.",
	 HD_METRIC_LISTENER_CONNECTIONS, ONE},
	{"listener_body_bytes", "gauge", "Bytes reserved for bodies of requests to the listener.",
	 HD_METRIC_LISTENER_BODY_BYTES, ONE},
	{"listener_timeouts_total", "counter", "Connections cut because a request took too long.",
	 HD_METRIC_LISTENER_TIMEOUTS, ONE},
	{"listener_requests_total", "counter", "Requests to the listener, by class of the answer.",
	 HD_METRIC_LISTENER_REQUESTS, MANY(request_labels)},
};

_Static_assert(HD_COUNT(outcome_labels) == HD_OUTCOME_INVALID + 1, "a label for each outcome");
_Static_assert(HD_COUNT(connection_labels) == HD_DB_NAMES, "a label for each connection");
_Static_assert(HD_COUNT(bounds_us) + 1 == HD_COUNT(rounds[0].buckets), "a bucket above all");

/* ---- counting ---- */

void
hd_metrics_add(HdMetric metric, int64_t amount)
{
	atomic_fetch_add_explicit(&values[metric], amount, memory_order_relaxed);
}

void
hd_metrics_set(HdMetric metric, int64_t value)
{
	atomic_store_explicit(&values[metric], value, memory_order_relaxed);
}

int64_t
hd_metrics_get(HdMetric metric)
{
	return atomic_load_explicit(&values[metric], memory_order_relaxed);
}

void
hd_metrics_status(HdMetric first_class, int status)
{
	if (status >= 200 && status <= 599)
		hd_metrics_add(first_class + (unsigned) (status / 100 - 2), 1);
}

void
hd_metrics_round(HdLoopName loop, int64_t duration_us)
{
	Histogram *histogram = &rounds[loop];
	size_t i = 0;

	while (i < HD_COUNT(bounds_us) && duration_us > bounds_us[i])
		i++;
	atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_us, duration_us, memory_order_relaxed);
}

/* ---- telling ---- */

static bool
reserve(Text *text, size_t more)
{
	size_t size = text->size == 0 ? TEXT_FIRST_BYTES : text->size;
	char *data;

	if (text->failed || text->used + more < text->size)
		return !text->failed;
	while (size <= text->used + more)
		size *= 2;
	data = realloc(text->data, size);
	text->failed = data == NULL;
	if (text->failed)
		return false;
	text->data = data;
	text->size = size;
	return true;
}

static void append(Text *text, const char *format, ...) HD_PRINTF(2, 3);

static void
append(Text *text, const char *format, ...)
{
	enum
	{
		LINE_MOST = 512
	};
	va_list args;
	int length;

	if (!reserve(text, LINE_MOST))
		return;
	va_start(args, format);
	length = vsnprintf(text->data + text->used, LINE_MOST, format, args);
	va_end(args);
	if (length < 0 || length >= LINE_MOST)
		text->failed = true;
	else
		text->used += (size_t) length;
}

static void
append_head(Text *text, const char *name, const char *type, const char *help)
{
	append(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
append_family(Text *text, const Family *family)
{
	char name[96];

	snprintf(name, sizeof(name), "hotdash_edge_%s", family->name);
	append_head(text, name, family->type, family->help);
	for (size_t i = 0; i < family->count; i++)
	{
		int64_t value = hd_metrics_get(family->first + (unsigned) i);

		if (family->labels == NULL)
			append(text, "%s %" PRId64 "\n", name, value);
		else
			append(text, "%s{%s} %" PRId64 "\n", name, family->labels[i], value);
	}
}

static void
append_rounds(Text *text)
{
	static const char name[] = "hotdash_edge_loop_round_seconds";

	append_head(text, name, "histogram",
				"How long the rounds of an event loop took; nothing else runs in it meanwhile.");
	for (size_t loop = 0; loop < HD_LOOP_NAMES; loop++)
	{
		int64_t count = 0;

		for (size_t i = 0; i < HD_COUNT(rounds[loop].buckets); i++)
		{
			count += atomic_load_explicit(&rounds[loop].buckets[i], memory_order_relaxed);
			if (i < HD_COUNT(bounds_us))
				append(text, "%s_bucket{loop=\"%s\",le=\"%g\"} %" PRId64 "\n", name,
					   loop_labels[loop], (double) bounds_us[i] / HD_US_PER_S, count);
		}
		append(text, "%s_bucket{loop=\"%s\",le=\"+Inf\"} %" PRId64 "\n", name, loop_labels[loop],
			   count);
		append(text, "%s_sum{loop=\"%s\"} %.6f\n", name, loop_labels[loop],
			   (double) atomic_load_explicit(&rounds[loop].sum_us, memory_order_relaxed) /
				   HD_US_PER_S);
		append(text, "%s_count{loop=\"%s\"} %" PRId64 "\n", name, loop_labels[loop], count);
	}
}

static int64_t
resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	char line[128] = "";
	const char *second;

	if (file == NULL)
		return 0;
	second = fgets(line, sizeof(line), file) != NULL ? strchr(line, ' ') : NULL;
	fclose(file);
	return second != NULL ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

static double
seconds_of(const struct timeval *time)
{
	return (double) time->tv_sec + (double) time->tv_usec / HD_US_PER_S;
}

static void
append_process(Text *text)
{
	struct rusage usage;

	append_head(text, "process_resident_memory_bytes", "gauge", "Resident memory.");
	append(text, "process_resident_memory_bytes %" PRId64 "\n", resident_bytes());
	if (getrusage(RUSAGE_SELF, &usage) == 0)
	{
		append_head(text, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
		append(text, "process_cpu_seconds_total %.3f\n",
			   seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	}
	append_head(text, "hotdash_edge_build_info", "gauge", "Version of the edge; always 1.");
	append(text, "hotdash_edge_build_info{version=\"%s\",protocol=\"%d\"} 1\n", HD_EDGE_VERSION,
		   HD_EDGE_PROTOCOL);
}

char *
hd_metrics_text(void)
{
	Text text = {NULL, 0, 0, false};

	for (size_t i = 0; i < HD_COUNT(families); i++)
		append_family(&text, &families[i]);
	append_rounds(&text);
	append_process(&text);
	if (!text.failed)
		return text.data;
	free(text.data);
	return NULL;
}
