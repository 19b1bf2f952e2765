/*
 * request.c
 *	  One claimed request, decoded from a row of edge_claim().
 *
 * The values are PostgreSQL's binary formats, so a body is copied once and never
 * escaped. Every length is checked against the bytes that are there: the server is
 * trusted, the wire and the next version of the server are not.
 *
 * libcurl's rules for header lines are applied here: "Name:" alone would remove a
 * header, so an empty value is written "Name;", and headers that libcurl adds by
 * itself are suppressed unless the claim has them.
 */
#include "request.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "header.h"

#define HEADERS_MOST 256

/* Past 1 MB of head libcurl has "no memory" for the request, after it counts as sent. */
#define HEADER_BYTES_MOST ((size_t) 512 * 1024)
#define TEXT_OID 25

/* Lines that stop libcurl from adding a header of its own; added unless the claim has it. */
static const char *const suppressed_names[] = {"Accept", "Content-Type"};
#define EXTRA_NODES (HD_COUNT(suppressed_names) + 1)

/* Walks a binary text[]: where the next element begins and how much is left. */
typedef struct ArrayReader
{
	const char *at;
	size_t left;
	uint32_t count;
} ArrayReader;

/* What a request's single allocation must hold. */
typedef struct Layout
{
	size_t url_length;
	size_t method_length;
	size_t header_bytes;
	size_t header_count;
} Layout;

/* ---- PostgreSQL's binary formats ---- */

static uint32_t
read_uint32(const char *data)
{
	unsigned char b[4];

	memcpy(b, data, sizeof(b));
	return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 | (uint32_t) b[2] << 8 | b[3];
}

static bool
read_int64(const HdField *field, int64_t *value)
{
	uint64_t bits;

	if (field->data == NULL || field->length != 8)
		return false;
	bits = (uint64_t) read_uint32(field->data) << 32 | read_uint32(field->data + 4);
	memcpy(value, &bits, sizeof(bits));
	return true;
}

static bool
read_positive_int32(const HdField *field, int64_t *value)
{
	if (field->data == NULL || field->length != 4)
		return false;
	*value = read_uint32(field->data);
	return *value <= INT32_MAX;
}

/* Opens an array of text with at most one dimension; NULL counts as empty. */
static bool
open_array(const HdField *field, ArrayReader *reader)
{
	uint32_t dimensions;

	*reader = (ArrayReader){NULL, 0, 0};
	if (field->data == NULL)
		return true;
	if (field->length < 12)
		return false;
	dimensions = read_uint32(field->data);
	if (dimensions == 0)
		return true;
	if (dimensions != 1 || field->length < 20 || read_uint32(field->data + 8) != TEXT_OID)
		return false;
	reader->count = read_uint32(field->data + 12);
	reader->at = field->data + 20;
	reader->left = field->length - 20;
	return reader->count <= HEADERS_MOST;
}

/* The next element; false when it is NULL or reaches past the end. */
static bool
next_element(ArrayReader *reader, HdField *element)
{
	uint32_t length;

	if (reader->left < 4)
		return false;
	length = read_uint32(reader->at);
	reader->at += 4;
	reader->left -= 4;
	if (length > reader->left)
		return false;
	*element = (HdField){reader->at, length};
	reader->at += length;
	reader->left -= length;
	return true;
}

/* ---- checks ---- */

static bool
is_plain_text(const HdField *field)
{
	return field->data != NULL && field->length > 0 &&
		   memchr(field->data, '\0', field->length) == NULL;
}

/* Checks everything that can be checked before memory is taken; NULL when all is well. */
static const char *
measure(const HdField fields[HD_COLUMN_COUNT], Layout *layout)
{
	ArrayReader reader;
	HdField line;

	*layout = (Layout){0};
	if (!is_plain_text(&fields[HD_COLUMN_URL]))
		return "the URL is missing";
	if (!is_plain_text(&fields[HD_COLUMN_METHOD]))
		return "the method is missing";
	if (!open_array(&fields[HD_COLUMN_HEADERS], &reader))
		return "the headers are not a list of at most 256 lines";

	size_t header_bytes = 0;

	for (uint32_t i = 0; i < reader.count; i++)
	{
		const char *problem;

		if (!next_element(&reader, &line))
			return "a header is NULL or cut off";
		problem = hd_header_problem(line.data, line.length);
		if (problem != NULL)
			return problem;
		header_bytes += line.length + 2;
	}
	if (header_bytes > HEADER_BYTES_MOST)
		return "the headers are longer than 512 kB";
	layout->url_length = fields[HD_COLUMN_URL].length;
	layout->method_length = fields[HD_COLUMN_METHOD].length;
	layout->header_count = reader.count;
	layout->header_bytes = header_bytes;
	for (size_t i = 0; i < HD_COUNT(suppressed_names); i++)
		layout->header_bytes += strlen(suppressed_names[i]) + 2;
	layout->header_bytes += sizeof("Expect:");
	return NULL;
}

/* ---- building ---- */

static char *
place_text(char **free_space, const char *data, size_t length)
{
	char *text = *free_space;

	memcpy(text, data, length);
	text[length] = '\0';
	*free_space += length + 1;
	return text;
}

static char *
place_header(char **free_space, const HdField *line)
{
	char *text = place_text(free_space, line->data, line->length);

	if (hd_header_value(line->data, line->length) == line->length)
	{
		/* Empty value, perhaps with blanks: "Name;" is how libcurl sends it. */
		char *colon = strchr(text, ':');

		colon[0] = ';';
		colon[1] = '\0';
	}
	return text;
}

static char *
place_removal(char **free_space, const char *name)
{
	char *text = place_text(free_space, name, strlen(name) + 1);

	text[strlen(name)] = ':';
	return text;
}

/* Chains the claim's lines and the suppressed ones; the space was measured. */
static void
place_headers(HdRequest *request, const HdField *field, struct curl_slist *nodes, char **free_space)
{
	bool present[HD_COUNT(suppressed_names)] = {false};
	size_t used = 0;
	ArrayReader reader;
	HdField line;

	if (open_array(field, &reader))
	{
		for (uint32_t i = 0; i < reader.count && next_element(&reader, &line); i++)
		{
			for (size_t s = 0; s < HD_COUNT(suppressed_names); s++)
				present[s] |= hd_header_is(line.data, line.length, suppressed_names[s]);
			nodes[used++].data = place_header(free_space, &line);
		}
	}
	for (size_t s = 0; s < HD_COUNT(suppressed_names); s++)
	{
		if (!present[s])
			nodes[used++].data = place_removal(free_space, suppressed_names[s]);
	}
	nodes[used++].data = place_removal(free_space, "Expect");
	for (size_t i = 0; i + 1 < used; i++)
		nodes[i].next = &nodes[i + 1];
	nodes[used - 1].next = NULL;
	request->headers = nodes;
}

/* ---- what few requests have ---- */

/* Copies a text to where a terminated one is wanted; NULL when memory is short. */
static char *
copy_text(const HdField *field)
{
	char *text = malloc(field->length + 1);

	if (text == NULL)
		return NULL;
	memcpy(text, field->data, field->length);
	text[field->length] = '\0';
	return text;
}

static void
free_secret(char *text, size_t length)
{
	if (text == NULL)
		return;
	explicit_bzero(text, length);
	free(text);
}

/* False when memory is short, which is no fault of the request's. */
static bool
take_proxy(HdRequest *request, const HdField *url_field, const HdField *login_field)
{
	bool has_login = login_field->data != NULL;
	char *url;
	char *login;
	bool done;

	if (url_field->data == NULL)
		return true;
	request->problem = "the proxy is malformed";
	if (!is_plain_text(url_field) || (has_login && !is_plain_text(login_field)))
		return true;
	url = copy_text(url_field);
	login = has_login ? copy_text(login_field) : NULL;
	request->proxy = calloc(1, sizeof(*request->proxy));
	done = url != NULL && request->proxy != NULL && (login != NULL || !has_login);
	if (done && hd_proxy_parse(url, request->proxy) == NULL &&
		request->proxy->kind != HD_PROXY_NONE && hd_proxy_set_login(request->proxy, login))
		request->problem = NULL;
	free(url);
	free_secret(login, login_field->length);
	return done;
}

/* The same. */
static bool
take_identity(HdRequest *request, const HdField *field)
{
	static const char mark[] = "-----BEGIN PRIVATE KEY-----";
	const char *key;

	if (field->data == NULL)
		return true;
	key = memmem(field->data, field->length, mark, sizeof(mark) - 1);
	if (key == NULL || key == field->data)
	{
		request->problem = "the client certificate is malformed";
		return true;
	}
	request->identity = malloc(field->length);
	if (request->identity == NULL)
		return false;
	memcpy(request->identity, field->data, field->length);
	request->certificate_length = (size_t) (key - field->data);
	request->key_length = field->length - request->certificate_length;
	return true;
}

void
hd_request_free(HdRequest *request)
{
	if (request == NULL)
		return;
	if (request->proxy != NULL)
		explicit_bzero(request->proxy, sizeof(*request->proxy));
	free(request->proxy);
	free_secret(request->identity, request->certificate_length + request->key_length);
	free(request);
}

HdRequest *
hd_request_decode(const HdField fields[HD_COLUMN_COUNT])
{
	int64_t id;
	int64_t token;
	Layout layout;
	const char *problem;
	HdRequest *request;
	char *free_space;
	size_t node_bytes;
	size_t bytes;
	int64_t flags = 0;
	int64_t timeout_ms = 0;
	int64_t lease_ms = 0;
	int64_t within_ms = 0;
	int64_t keep_bytes = 0;

	if (!read_int64(&fields[HD_COLUMN_ID], &id) || !read_int64(&fields[HD_COLUMN_TOKEN], &token))
		return NULL;
	problem = measure(fields, &layout);
	if (problem == NULL && (!read_positive_int32(&fields[HD_COLUMN_TIMEOUT_MS], &timeout_ms) ||
							!read_positive_int32(&fields[HD_COLUMN_LEASE_MS], &lease_ms) ||
							timeout_ms == 0 || lease_ms == 0))
		problem = "the timeout or the lease is not positive";
	if (problem == NULL && fields[HD_COLUMN_FLAGS].data != NULL &&
		!read_positive_int32(&fields[HD_COLUMN_FLAGS], &flags))
		problem = "the flags are out of range";
	if (problem == NULL && fields[HD_COLUMN_WITHIN_MS].data != NULL &&
		!read_positive_int32(&fields[HD_COLUMN_WITHIN_MS], &within_ms))
		problem = "the time to send it within is out of range";
	if (problem == NULL && fields[HD_COLUMN_KEEP_BYTES].data != NULL &&
		!read_positive_int32(&fields[HD_COLUMN_KEEP_BYTES], &keep_bytes))
		problem = "the bytes to keep are out of range";

	node_bytes = (layout.header_count + EXTRA_NODES) * sizeof(struct curl_slist);
	bytes = sizeof(*request);
	if (problem == NULL)
		bytes += node_bytes + layout.url_length + 1 + layout.method_length + 1 +
				 layout.header_bytes + fields[HD_COLUMN_BODY].length + 1;
	request = calloc(1, bytes);
	if (request == NULL)
		return NULL;
	request->bytes = bytes + fields[HD_COLUMN_CLIENT_CERT].length;
	request->id = id;
	request->token = token;
	request->problem = problem;
	if (problem != NULL)
		return request;

	struct curl_slist *nodes = (struct curl_slist *) (request + 1);

	free_space = (char *) request + sizeof(*request) + node_bytes;
	request->url = place_text(&free_space, fields[HD_COLUMN_URL].data, layout.url_length);
	request->method = place_text(&free_space, fields[HD_COLUMN_METHOD].data, layout.method_length);
	place_headers(request, &fields[HD_COLUMN_HEADERS], nodes, &free_space);
	if (fields[HD_COLUMN_BODY].data != NULL)
	{
		request->body_length = fields[HD_COLUMN_BODY].length;
		request->body = place_text(&free_space, fields[HD_COLUMN_BODY].data, request->body_length);
	}
	request->timeout_us = timeout_ms * HD_US_PER_MS;
	request->lease_us = lease_ms * HD_US_PER_MS;
	request->within_us = within_ms * HD_US_PER_MS;
	request->keep_bytes = (size_t) keep_bytes;
	request->flags = (uint32_t) flags;
	if (!take_proxy(request, &fields[HD_COLUMN_PROXY], &fields[HD_COLUMN_PROXY_LOGIN]) ||
		!take_identity(request, &fields[HD_COLUMN_CLIENT_CERT]))
	{
		hd_request_free(request);
		return NULL;
	}
	if (!hd_method_valid(request->method))
		request->problem = "the method is not one that may be sent";
	return request;
}
