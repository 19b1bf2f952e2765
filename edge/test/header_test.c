/*
 * header_test.c
 *	  Header lines and methods: what may be sent, and how what is received is cleaned.
 */
#include "header.h"

#include <string.h>

#include "check.h"

static const char *
problem(const char *line)
{
	return hd_header_problem(line, strlen(line));
}

static void
test_lines(void)
{
	static const char *const good[] = {"A: b",
									   "webhook-id: msg_1",
									   "X-Empty:",
									   "X-Blank: ",
									   "X-Tab: a\tb",
									   "X-Utf8: \xc3\xa9",
									   "!#$%&'*+-.^_`|~09: token",
									   "Host: other.example",
									   "X-Content-Length: 3",
									   "X: a:b;c,d"};
	static const char *const bad[] = {"",
									  ":",
									  ": v",
									  "no colon",
									  "Name : v",
									  " A: v",
									  "A: b\r\nC: d",
									  "A: b\nC: d",
									  "A: b\r",
									  "A\n: b",
									  "A: \x7f",
									  "A: \x01",
									  "\xc3\xa9: v",
									  "Content-Length: 3",
									  "content-length:3",
									  "Transfer-Encoding: chunked",
									  "Expect: 100-continue",
									  "Connection: close",
									  "TE: trailers",
									  "Upgrade: h2c"};

	for (size_t i = 0; i < HD_COUNT(good); i++)
		CHECK(problem(good[i]) == NULL, "good line %zu may be sent", i + 1);
	for (size_t i = 0; i < HD_COUNT(bad); i++)
		CHECK(problem(bad[i]) != NULL, "bad line %zu may not", i + 1);
	CHECK(hd_header_problem("A: b\0c", 6) != NULL, "a NUL in a value may not");
	CHECK(hd_header_problem("A\0: b", 5) != NULL, "a NUL in a name may not");
}

static void
test_methods(void)
{
	static const char *const good[] = {"GET",	 "POST",	"PUT",	"PATCH",
									   "DELETE", "OPTIONS", "HEAD", "M-SEARCH"};
	static const char *const bad[] = {"",		 "get",	  "POST ",		 "PO ST",
									  "CONNECT", "TRACE", "GET\r\nX: y", "ABCDEFGHIJKLMNOPQRSTU"};

	for (size_t i = 0; i < HD_COUNT(good); i++)
		CHECK(hd_method_valid(good[i]), "%s is a method", good[i]);
	for (size_t i = 0; i < HD_COUNT(bad); i++)
		CHECK(!hd_method_valid(bad[i]), "bad method %zu is none", i + 1);
}

static bool
cleans_to(const char *value, size_t size, const char *expected)
{
	char text[32];

	hd_header_clean(value, strlen(value), text, size);
	return strcmp(text, expected) == 0;
}

int
main(void)
{
	static const char line[] = "Retry-After: \t 120\r\n";

	test_lines();
	test_methods();
	CHECK(hd_header_is(line, sizeof(line) - 1, "retry-after"), "names are compared without case");
	CHECK(!hd_header_is("Retry-After", 11, "Retry-After"), "a name without colon is none");
	CHECK(hd_header_value(line, sizeof(line) - 1) == 15, "the value begins after the blanks");
	CHECK(hd_header_value("X:  ", 4) == 4, "an empty value begins at the end");
	CHECK(cleans_to(" 120 \r\n", 32, "120"), "blanks around a value go");
	CHECK(cleans_to("a\x01\xc3\xa9z", 32, "a???z"), "what is not ASCII is replaced");
	CHECK(cleans_to("abcdef", 4, "abc"), "a long value is cut");
	CHECK(cleans_to("", 32, ""), "nothing stays nothing");
	return check_end();
}
