/*
 * request_test.c
 *	  Rows in PostgreSQL's binary format: well formed, cut short, and hostile.
 */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A text[] in the binary format, built by hand. */
typedef struct Array
{
	char bytes[512];
	size_t length;
} Array;

static void
put32(Array *array, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		array->bytes[array->length++] = (char) (value >> shift & 0xff);
}

static Array
array_of(const char *const *lines, uint32_t count)
{
	Array array = {.length = 0};

	put32(&array, count == 0 ? 0 : 1);
	put32(&array, 0);
	put32(&array, 25);
	if (count > 0)
	{
		put32(&array, count);
		put32(&array, 1);
	}
	for (uint32_t i = 0; i < count; i++)
	{
		size_t length = strlen(lines[i]);

		put32(&array, (uint32_t) length);
		memcpy(array.bytes + array.length, lines[i], length);
		array.length += length;
	}
	return array;
}

#define TEXT(literal) ((HdField){(literal), sizeof(literal) - 1})

static void
fill(HdField fields[HD_COLUMN_COUNT], const Array *headers)
{
	fields[HD_COLUMN_ID] = TEXT("\x00\x30\x00\x00\x00\x00\x00\x07");
	fields[HD_COLUMN_TOKEN] = TEXT("\x00\x00\x00\x00\x00\x00\x00\x09");
	fields[HD_COLUMN_URL] = TEXT("https://example.com/x");
	fields[HD_COLUMN_METHOD] = TEXT("POST");
	fields[HD_COLUMN_HEADERS] = (HdField){headers->bytes, headers->length};
	fields[HD_COLUMN_BODY] = TEXT("a\0b");
	fields[HD_COLUMN_TIMEOUT_MS] = TEXT("\x00\x00\x13\x88");
	fields[HD_COLUMN_LEASE_MS] = TEXT("\x00\x00\x3a\x98");
	fields[HD_COLUMN_FLAGS] = TEXT("\x00\x00\x00\x01");
	fields[HD_COLUMN_WITHIN_MS] = TEXT("\x00\x00\x00\x32");
	fields[HD_COLUMN_KEEP_BYTES] = TEXT("\x00\x00\x10\x00");
	fields[HD_COLUMN_PROXY] = (HdField){NULL, 0};
	fields[HD_COLUMN_PROXY_LOGIN] = (HdField){NULL, 0};
	fields[HD_COLUMN_CLIENT_CERT] = (HdField){NULL, 0};
}

static bool
has_line(const HdRequest *request, const char *line)
{
	const struct curl_slist *node = request->headers;

	while (node != NULL && strcmp(node->data, line) != 0)
		node = node->next;
	return node != NULL;
}

static void
test_good_row(void)
{
	static const char *const lines[] = {"content-type: text/plain", "X-Empty: ", "X: y"};
	Array headers = array_of(lines, 3);
	HdField fields[HD_COLUMN_COUNT];
	HdRequest *request;

	fill(fields, &headers);
	request = hd_request_decode(fields);
	CHECK(request != NULL && request->problem == NULL, "a good row is a request");
	if (request == NULL)
		return;
	CHECK(request->id == (INT64_C(3) << 52) + 7 && request->token == 9, "64-bit ids arrive whole");
	CHECK(strcmp(request->url, "https://example.com/x") == 0 &&
			  strcmp(request->method, "POST") == 0,
		  "URL and method");
	CHECK(request->body_length == 3 && memcmp(request->body, "a\0b", 3) == 0,
		  "a body keeps its zero byte");
	CHECK(request->timeout_us == 5000000 && request->lease_us == 15000000 && request->flags == 1,
		  "timeout, lease, flags");
	CHECK(request->within_us == 50000 && request->keep_bytes == 4096,
		  "the time to send it within, the bytes to keep");
	CHECK(has_line(request, "content-type: text/plain") && has_line(request, "X: y"), "headers");
	CHECK(has_line(request, "X-Empty;"), "an empty header is written libcurl's way");
	CHECK(has_line(request, "Expect:") && has_line(request, "Accept:"),
		  "libcurl's own headers are off");
	CHECK(!has_line(request, "Content-Type:"), "but not one that is given, in whatever case");
	hd_request_free(request);
}

static void
test_nulls(void)
{
	Array headers = array_of(NULL, 0);
	HdField fields[HD_COLUMN_COUNT];
	HdRequest *request;

	fill(fields, &headers);
	fields[HD_COLUMN_BODY] = (HdField){NULL, 0};
	fields[HD_COLUMN_HEADERS] = (HdField){NULL, 0};
	fields[HD_COLUMN_FLAGS] = (HdField){NULL, 0};
	fields[HD_COLUMN_WITHIN_MS] = (HdField){NULL, 0};
	fields[HD_COLUMN_KEEP_BYTES] = (HdField){NULL, 0};
	request = hd_request_decode(fields);
	CHECK(request != NULL && request->problem == NULL && request->body == NULL &&
			  request->flags == 0,
		  "body, headers and flags may be NULL");
	hd_request_free(request);

	fill(fields, &headers);
	fields[HD_COLUMN_BODY] = TEXT("");
	request = hd_request_decode(fields);
	CHECK(request != NULL && request->body != NULL && request->body_length == 0,
		  "an empty body is not a missing one");
	hd_request_free(request);

	fill(fields, &headers);
	fields[HD_COLUMN_ID] = (HdField){NULL, 0};
	CHECK(hd_request_decode(fields) == NULL, "without an id there is nothing to report about");
}

/* What few requests have. */
static void
test_way(void)
{
	static const char pem[] = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
							  "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
	size_t key = (size_t) (strstr(pem, "-----BEGIN PRIVATE") - pem);
	Array headers = array_of(NULL, 0);
	HdField fields[HD_COLUMN_COUNT];
	HdRequest *request;

	fill(fields, &headers);
	fields[HD_COLUMN_PROXY] = TEXT("socks5h://p:1080");
	fields[HD_COLUMN_PROXY_LOGIN] = TEXT("u:p%40");
	fields[HD_COLUMN_CLIENT_CERT] = TEXT(pem);
	request = hd_request_decode(fields);
	CHECK(request != NULL && request->problem == NULL && request->proxy != NULL &&
			  request->proxy->kind == HD_PROXY_SOCKS && request->proxy->port == 1080 &&
			  strcmp(request->proxy->login, "u:p%40") == 0,
		  "a proxy, its login as it is");
	CHECK(request != NULL && request->certificate_length == key &&
			  request->key_length == sizeof(pem) - 1 - key &&
			  memcmp(request->identity, pem, sizeof(pem) - 1) == 0,
		  "a certificate, and where its key begins");
	hd_request_free(request);
}

/* Spoils one column; the row must still have an id, and a problem. */
static void
test_spoilt(HdRequestColumn column, HdField value, const char *what)
{
	static const char *const lines[] = {"A: b"};
	Array headers = array_of(lines, 1);
	HdField fields[HD_COLUMN_COUNT];
	HdRequest *request;

	fill(fields, &headers);
	fields[column] = value;
	request = hd_request_decode(fields);
	CHECK(request != NULL && request->problem != NULL && request->token == 9, "%s: a problem",
		  what);
	hd_request_free(request);
}

static void
test_headers(void)
{
	static const char *const injected[] = {"A: b\r\nC: d"};
	static const char *const lines[] = {"A: b", "C: d"};
	Array bad = array_of(injected, 1);
	Array good = array_of(lines, 2);
	HdField fields[HD_COLUMN_COUNT];

	test_spoilt(HD_COLUMN_HEADERS, (HdField){bad.bytes, bad.length}, "a CR and LF in a header");

	/* One line after the array's 20 bytes and its own length. */
	Array large = array_of(lines, 1);
	size_t length = 600000;
	char *text = malloc(24 + length);

	if (text == NULL)
		return;
	memset(text, 'a', 24 + length);
	memcpy(text, large.bytes, 26);
	for (int i = 0; i < 4; i++)
		text[20 + i] = (char) (length >> (24 - 8 * i) & 0xff);
	test_spoilt(HD_COLUMN_HEADERS, (HdField){text, 24 + length}, "headers of 600 kB");
	free(text);

	/* Cut at every length, and with every byte of its lengths turned huge: never past the end. */
	fill(fields, &good);
	for (length = 0; length < good.length; length++)
	{
		char *copy = malloc(length + 1);
		HdRequest *request;

		if (copy == NULL)
			return;
		memcpy(copy, good.bytes, length);
		fields[HD_COLUMN_HEADERS] = (HdField){copy, length};
		request = hd_request_decode(fields);
		CHECK(request != NULL && request->problem != NULL, "headers cut after %zu bytes", length);
		hd_request_free(request);
		free(copy);
	}
	for (size_t at = 0; at < 24; at++)
	{
		Array spoilt = good;
		HdRequest *request;

		spoilt.bytes[at] = (char) 0xff;
		fields[HD_COLUMN_HEADERS] = (HdField){spoilt.bytes, spoilt.length};
		request = hd_request_decode(fields);
		CHECK(request != NULL && (request->problem != NULL || (at >= 4 && at < 8) || at >= 16),
			  "headers with byte %zu spoilt", at);
		hd_request_free(request);
	}
}

int
main(void)
{
	test_good_row();
	test_nulls();
	test_spoilt(HD_COLUMN_URL, TEXT(""), "an empty URL");
	test_spoilt(HD_COLUMN_URL, TEXT("http://a\0b/"), "a NUL in the URL");
	test_spoilt(HD_COLUMN_URL, (HdField){NULL, 0}, "no URL");
	test_spoilt(HD_COLUMN_METHOD, TEXT("GET /x HTTP/1.1"), "a method with blanks");
	test_spoilt(HD_COLUMN_METHOD, (HdField){NULL, 0}, "no method");
	test_spoilt(HD_COLUMN_TIMEOUT_MS, TEXT("\x00\x00\x00\x00"), "no time at all");
	test_spoilt(HD_COLUMN_TIMEOUT_MS, TEXT("\xff\xff\xff\xff"), "a negative timeout");
	test_spoilt(HD_COLUMN_LEASE_MS, TEXT("\x00\x00"), "a lease of two bytes");
	test_spoilt(HD_COLUMN_PROXY, TEXT("p:1"), "a proxy without a scheme");
	test_spoilt(HD_COLUMN_PROXY, TEXT(""), "an empty proxy");
	test_spoilt(HD_COLUMN_PROXY, TEXT("http://p\0:1"), "a NUL in a proxy");
	test_spoilt(HD_COLUMN_CLIENT_CERT, TEXT("-----BEGIN CERTIFICATE-----"), "no key");
	test_spoilt(HD_COLUMN_CLIENT_CERT, TEXT("-----BEGIN PRIVATE KEY-----"), "no certificate");
	test_spoilt(HD_COLUMN_CLIENT_CERT, TEXT(""), "an empty certificate");
	test_way();
	test_headers();
	return check_end();
}
