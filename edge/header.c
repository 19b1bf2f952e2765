/*
 * header.c
 *	  Rules for the method and the header lines of a request (RFC 9110 §5).
 */
#include "header.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 20

static const char *const framing_names[] = {
	"Connection", "Content-Length",	   "Expect",  "Keep-Alive", "Proxy-Connection", "TE",
	"Trailer",	  "Transfer-Encoding", "Upgrade",
};

static bool
is_token_char(unsigned char c)
{
	return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool
hd_method_valid(const char *method)
{
	size_t length = strlen(method);

	if (length == 0 || length > METHOD_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!isupper((unsigned char) method[i]) && method[i] != '-')
			return false;
	}
	return strcmp(method, "CONNECT") != 0 && strcmp(method, "TRACE") != 0;
}

bool
hd_header_is(const char *line, size_t length, const char *name)
{
	size_t name_length = strlen(name);

	return length > name_length && line[name_length] == ':' &&
		   strncasecmp(line, name, name_length) == 0;
}

size_t
hd_header_value(const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);
	size_t at = colon == NULL ? length : (size_t) (colon - line) + 1;

	while (at < length && (line[at] == ' ' || line[at] == '\t'))
		at++;
	return at;
}

const char *
hd_header_problem(const char *line, size_t length)
{
	size_t name_length = 0;

	while (name_length < length && is_token_char((unsigned char) line[name_length]))
		name_length++;
	if (name_length == 0 || name_length == length || line[name_length] != ':')
		return "a header is not of the form Name: value";
	for (size_t i = name_length + 1; i < length; i++)
	{
		unsigned char c = (unsigned char) line[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return "a header value contains a control character";
	}
	for (size_t i = 0; i < HD_COUNT(framing_names); i++)
	{
		if (hd_header_is(line, length, framing_names[i]))
			return "a header that frames the message is not the caller's to set";
	}
	return NULL;
}

void
hd_header_clean(const char *value, size_t length, char *text, size_t size)
{
	size_t used = 0;

	while (length > 0 && isspace((unsigned char) value[length - 1]))
		length--;
	while (length > 0 && isspace((unsigned char) *value))
	{
		value++;
		length--;
	}
	while (used < length && used + 1 < size)
	{
		unsigned char c = (unsigned char) value[used];

		text[used++] = c >= 0x20 && c < 0x7f ? (char) c : '?';
	}
	text[used] = '\0';
}
