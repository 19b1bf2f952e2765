/*
 * call.c
 *	  One request to the listener: what it may look like, its body, its answer.
 *
 * Model: judged in two steps. With the headers there: route, method, how many they are,
 * how the body is framed. With the body there: its true size. A body is received as it is,
 * byte for byte, since signatures cover bytes; one that was compressed on the way is refused.
 *
 * Memory: bodies of all calls together stay within listen_memory, counted by what is
 * reserved for them. A body's buffer doubles as it comes, so a Content-Length alone
 * reserves nothing.
 *
 * Headers become one JSON object with names in lower case; a name that comes more than
 * once has its values joined by ", " (RFC 9110 §5.3), so that none can hide behind another.
 */
#include "call.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "utf8.h"

#define BODY_FIRST_BYTES 4096
#define IN_PREFIX "/in/"
#define HEADER_NAME_MOST 256

/* What the headers add up to. */
typedef struct Sum
{
	size_t count;
	size_t bytes;
	unsigned lengths;	/* Content-Length headers */
	unsigned encodings; /* Transfer-Encoding headers */
	bool compressed;
	bool unclean; /* a NUL in a name or value */
} Sum;

static const struct
{
	const char *path;
	HdRoute route;
	HdTaskKind kind;
} pages[] = {{"/health", HD_ROUTE_HEALTH, HD_TASK_HEALTH},
			 {"/metrics", HD_ROUTE_METRICS, HD_TASK_METRICS}};

/* ---- what it asks for ---- */

/* A source's name as the path has it: visible ASCII without "/". */
static bool
take_source(HdCall *call, const char *path)
{
	size_t length = strlen(path);

	if (length == 0 || length > HD_SOURCE_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!isgraph((unsigned char) path[i]) || (unsigned char) path[i] > 0x7e || path[i] == '/')
			return false;
	}
	memcpy(call->source, path, length + 1);
	return true;
}

static bool
find_route(HdCall *call, const char *url)
{
	for (size_t i = 0; i < HD_COUNT(pages); i++)
	{
		if (strcmp(url, pages[i].path) == 0)
		{
			call->route = pages[i].route;
			call->task.kind = pages[i].kind;
			return true;
		}
	}
	if (strncmp(url, IN_PREFIX, strlen(IN_PREFIX)) != 0 ||
		!take_source(call, url + strlen(IN_PREFIX)))
		return false;
	call->route = HD_ROUTE_IN;
	call->task.kind = HD_TASK_IN;
	return true;
}

static const char *
allowed_methods(const HdCall *call)
{
	return call->route == HD_ROUTE_IN ? "POST" : "GET, HEAD";
}

static bool
is_method_allowed(const HdCall *call, const char *method)
{
	if (call->route == HD_ROUTE_IN)
		return strcmp(method, "POST") == 0;
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* ---- its headers ---- */

static enum MHD_Result
add_up(void *context, enum MHD_ValueKind kind, const char *name, size_t name_length,
	   const char *value, size_t value_length)
{
	Sum *sum = context;

	(void) kind;
	sum->count++;
	sum->bytes += name_length + value_length + 4; /* ": " and the line's end */
	if (strlen(name) != name_length || (value != NULL && strlen(value) != value_length))
		sum->unclean = true;
	if (strcasecmp(name, "Content-Length") == 0)
		sum->lengths++;
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
		sum->encodings++;
	else if (strcasecmp(name, "Content-Encoding") == 0)
		sum->compressed |= value == NULL || strcasecmp(value, "identity") != 0;
	return MHD_YES;
}

/* The length that it announces; 0 when it does not. What is no number libmicrohttpd refuses. */
static unsigned long long
announced_length(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static void
judge(HdCall *call, const char *url, const char *method)
{
	HdReply *reply = &call->task.reply;
	Sum sum = {.bytes = strlen(url) + strlen(method) + sizeof("  HTTP/1.1\r\n")};

	(void) MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, add_up, &sum);
	if (sum.count > (size_t) call->config->listen_max_headers ||
		sum.bytes > (size_t) call->config->listen_max_header_bytes)
		hd_reply_error(reply, 431, "too many headers, or too large ones");
	else if (!find_route(call, url))
		hd_reply_error(reply, 404, "there is no such path");
	else if (!is_method_allowed(call, method))
	{
		hd_reply_error(reply, 405, "this path does not know the method");
		reply->allow = allowed_methods(call);
	}
	/* Two opinions of where the body ends are how one request is smuggled into another. */
	else if (sum.unclean || sum.lengths > 1 || sum.encodings > 1 ||
			 (sum.lengths > 0 && sum.encodings > 0))
		hd_reply_error(reply, 400, "the headers contradict each other");
	else if (call->route == HD_ROUTE_IN && sum.compressed)
		hd_reply_error(reply, 415, "the body must not be compressed");
	else if (announced_length(call->connection) >
			 (call->route == HD_ROUTE_IN ? (unsigned long long) call->config->listen_max_body : 0))
		hd_reply_error(reply, 413, "the body is too large");
}

static bool
add_header(cJSON *object, const char *name, const char *value)
{
	cJSON *known = cJSON_GetObjectItemCaseSensitive(object, name);
	char *joined;
	bool done;

	if (known == NULL)
		return cJSON_AddStringToObject(object, name, value) != NULL;
	if (asprintf(&joined, "%s, %s", known->valuestring, value) < 0)
		return false;
	done = cJSON_SetValuestring(known, joined) != NULL;
	free(joined);
	return done;
}

typedef struct Collection
{
	cJSON *object;
	bool failed;
} Collection;

static enum MHD_Result
collect(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Collection *collection = context;
	char lower[HEADER_NAME_MOST];
	size_t length = strlen(name);
	char *text;

	(void) kind;
	collection->failed = true;
	if (length == 0 || length >= sizeof(lower))
		return MHD_NO;
	for (size_t i = 0; i <= length; i++)
	{
		unsigned char c = (unsigned char) name[i];

		if (c >= 0x80)
			return MHD_NO;
		lower[i] = (char) tolower(c);
	}
	text = hd_utf8_from_header(value != NULL ? value : "");
	collection->failed = text == NULL || !add_header(collection->object, lower, text);
	free(text);
	return collection->failed ? MHD_NO : MHD_YES;
}

/* All headers as JSON; free() it. NULL when one of them cannot be told, or memory is short. */
static char *
headers_json(struct MHD_Connection *connection)
{
	Collection collection = {cJSON_CreateObject(), false};
	char *text = NULL;

	if (collection.object != NULL)
		(void) MHD_get_connection_values(connection, MHD_HEADER_KIND, collect, &collection);
	if (collection.object != NULL && !collection.failed)
		text = cJSON_PrintUnformatted(collection.object);
	cJSON_Delete(collection.object);
	return text;
}

/* ---- its body ---- */

static void
release_body(HdCall *call)
{
	hd_metrics_add(HD_METRIC_LISTENER_BODY_BYTES, -(int64_t) call->size);
	free(call->body);
	call->body = NULL;
	call->length = 0;
	call->size = 0;
}

/* Makes room for `more` bytes; false when the limit of all bodies, or memory, is reached. */
static bool
reserve_body(HdCall *call, size_t more)
{
	size_t size = call->size == 0 ? BODY_FIRST_BYTES : call->size;
	size_t most = (size_t) call->config->listen_max_body;
	int64_t others = hd_metrics_get(HD_METRIC_LISTENER_BODY_BYTES) - (int64_t) call->size;
	char *body;

	if (call->length + more <= call->size)
		return true;
	while (size < call->length + more)
		size *= 2;
	if (size > most)
		size = most;
	if (others + (int64_t) size > call->config->listen_memory)
		return false;
	body = realloc(call->body, size);
	if (body == NULL)
		return false;
	hd_metrics_add(HD_METRIC_LISTENER_BODY_BYTES, (int64_t) (size - call->size));
	call->body = body;
	call->size = size;
	return true;
}

bool
hd_call_receive(HdCall *call, const char *data, size_t length)
{
	size_t most = (size_t) call->config->listen_max_body;

	if (call->route != HD_ROUTE_IN || call->length + length > most)
		call->too_large = true;
	if (call->too_large || call->task.reply.status != 0)
	{
		/* An answer in mid-body is not to be had; a little more is read for its sake. */
		release_body(call);
		call->dropped += length;
		return call->dropped <= most;
	}
	if (!reserve_body(call, length))
	{
		hd_reply_error(&call->task.reply, 503, "too many bodies at once");
		release_body(call);
		return true;
	}
	memcpy(call->body + call->length, data, length);
	call->length += length;
	return true;
}

void
hd_call_complete(HdCall *call)
{
	HdTask *task = &call->task;

	if (call->too_large)
		hd_reply_error(&task->reply, 413, "the body is too large");
	if (task->reply.status != 0 || call->route != HD_ROUTE_IN)
		return;
	call->headers = headers_json(call->connection);
	if (call->headers == NULL)
		hd_reply_error(&task->reply, 400, "a header cannot be read");
	task->source = call->source;
	task->headers = call->headers;
	task->body = call->body;
	task->body_length = call->length;
}

/* ---- its life ---- */

HdCall *
hd_call_create(const HdConfig *config, struct MHD_Connection *connection, const char *url,
			   const char *method)
{
	HdCall *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->config = config;
	call->connection = connection;
	call->route = HD_ROUTE_OTHER;
	judge(call, url, method);
	return call;
}

void
hd_call_free(HdCall *call)
{
	if (call == NULL)
		return;
	release_body(call);
	free(call->headers);
	hd_reply_free(&call->task.reply);
	free(call);
}

static bool
add_response_headers(const HdReply *reply, struct MHD_Response *response)
{
	char seconds[12];

	snprintf(seconds, sizeof(seconds), "%d", HD_REPLY_RETRY_S);
	return MHD_add_response_header(response, "Content-Type",
								   reply->type != NULL ? reply->type : HD_REPLY_JSON) == MHD_YES &&
		   MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
		   (reply->allow == NULL ||
			MHD_add_response_header(response, "Allow", reply->allow) == MHD_YES) &&
		   (reply->status != 503 ||
			MHD_add_response_header(response, "Retry-After", seconds) == MHD_YES);
}

bool
hd_call_answer(HdCall *call)
{
	HdReply *reply = &call->task.reply;
	size_t length = reply->body != NULL ? strlen(reply->body) : 0;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(length, reply->body, MHD_RESPMEM_MUST_FREE);
	bool queued;

	if (response == NULL)
		return false;
	reply->body = NULL; /* the response's now */
	queued = add_response_headers(reply, response) &&
			 MHD_queue_response(call->connection, (unsigned) reply->status, response) == MHD_YES;
	MHD_destroy_response(response);
	if (!call->counted)
		hd_metrics_status(HD_METRIC_LISTENER_REQUESTS + call->route * HD_STATUS_CLASSES,
						  reply->status);
	call->counted = true;
	return queued;
}
