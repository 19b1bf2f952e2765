/*-------------------------------------------------------------------------
 * check.c
 *		What an endpoint and an event may look like.
 *
 * Purpose: refuse, when it is set, whatever could not be sent or could be
 * sent in two ways: URLs, header lines, event types and patterns.
 *
 * Model: pure functions over bytes.  The URL grammar is RFC 3986 without
 * what a receiver has no use for (user information, fragment) and without
 * the odd spellings of IPv4 addresses, by which a filter is easily misled.
 * What a host name resolves to is checked by the edge, at each connection.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "core/compat.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "webhooks/check.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_check_url);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_check_header);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_check_pattern);

#define URL_MAX 2048
#define HOST_MAX 253
#define LABEL_MAX 63
#define HEADER_NAME_MAX 128
#define HEADER_VALUE_MAX 4096

/* Names that the sender itself decides; one that ends in a dash stands for all that begin so. */
static const char *const reserved_headers[] = {
	"connection",  "content-length", "content-type", "expect",
	"host",		   "keep-alive",	 "proxy-",		 "te",
	"traceparent", "tracestate",	 "trailer",		 "transfer-encoding",
	"upgrade",	   "user-agent",	 "webhook-",
};

static bool
all_digits(const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (!isdigit((unsigned char) text[i]))
			return false;
	}
	return length > 0;
}

/* Returns what is wrong with the characters, or NULL. */
static const char *
bad_characters(const char *url, int length)
{
	for (int i = 0; i < length; i++)
	{
		unsigned char c = url[i];

		if (c <= ' ' || c == 0x7f)
			return "it contains a space or a control character";
		if (c > 0x7f)
			return "it contains a character that must be percent-encoded";
		if (strchr("\"<>\\^`{|}", c) != NULL)
			return "it contains a character that is not allowed in a URL";
		if (c == '%' && (length - i < 3 || !isxdigit((unsigned char) url[i + 1]) ||
						 !isxdigit((unsigned char) url[i + 2])))
			return "it contains a percent sign that two hexadecimal digits do not follow";
		if (c == '#')
			return "it has a fragment, which is never sent";
	}
	return NULL;
}

/* Digits only, or 0x and hexadecimal digits: resolvers take it for part of an address. */
static bool
numeric_label(const char *label, int length)
{
	if (length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
	{
		for (int i = 2; i < length; i++)
		{
			if (!isxdigit((unsigned char) label[i]))
				return false;
		}
		return true;
	}
	return all_digits(label, length);
}

static const char *
bad_label(const char *label, int length)
{
	if (length == 0 || length > LABEL_MAX)
		return "a part of its host name is empty or too long";
	if (label[0] == '-' || label[length - 1] == '-')
		return "a part of its host name begins or ends with a dash";
	for (int i = 0; i < length; i++)
	{
		if (!isalnum((unsigned char) label[i]) && label[i] != '-' && label[i] != '_')
			return "its host name contains a character that is not allowed";
	}
	return NULL;
}

static const char *
bad_host_name(const char *host, int length)
{
	char buf[HOST_MAX + 1];
	const char *label = host;
	const char *end = host + length;
	struct in_addr address;

	if (length == 0)
		return "it has no host";
	if (length > HOST_MAX)
		return "its host name is too long";
	for (;;)
	{
		const char *dot = memchr(label, '.', end - label);
		const char *label_end = dot != NULL ? dot : end;
		const char *wrong = bad_label(label, label_end - label);

		if (wrong != NULL)
			return wrong;
		if (dot == NULL)
			break;
		label = dot + 1;
	}

	/* inet_pton knows the plain spelling only: four decimal numbers without leading zeros. */
	memcpy(buf, host, length);
	buf[length] = '\0';
	if (numeric_label(label, end - label) && inet_pton(AF_INET, buf, &address) != 1)
		return "its host is a number that is not a plain IPv4 address";
	return NULL;
}

static const char *
bad_host_literal(const char *host, int length)
{
	char buf[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (length >= (int) sizeof(buf))
		return "its host is not an IPv6 address";
	memcpy(buf, host, length);
	buf[length] = '\0';
	return inet_pton(AF_INET6, buf, &address) == 1 ? NULL : "its host is not an IPv6 address";
}

static const char *
bad_port(const char *port, int length)
{
	int number = 0;

	if (!all_digits(port, length) || length > 5)
		return "its port is not a number from 1 to 65535";
	for (int i = 0; i < length; i++)
		number = number * 10 + (port[i] - '0');
	return number >= 1 && number <= 65535 ? NULL : "its port is not a number from 1 to 65535";
}

const char *
hd_webhooks_bad_authority(const char *authority, int length)
{
	const char *end = authority + length;
	const char *host_end;
	const char *port;
	const char *wrong;

	if (memchr(authority, '@', length) != NULL)
		return "it contains user information; use a header instead";
	if (length > 0 && authority[0] == '[')
	{
		host_end = memchr(authority, ']', length);
		if (host_end == NULL)
			return "its host is not an IPv6 address";
		wrong = bad_host_literal(authority + 1, host_end - authority - 1);
		port = host_end + 1;
		if (wrong == NULL && port < end && *port != ':')
			return "something stands between its host and its path";
	}
	else
	{
		port = memchr(authority, ':', length);
		if (port == NULL)
			port = end;
		wrong = bad_host_name(authority, port - authority);
	}
	if (wrong == NULL && port < end)
		wrong = bad_port(port + 1, end - port - 1);
	return wrong;
}

const char *
hd_webhooks_bad_url(const char *url, int length)
{
	const char *authority;
	const char *wrong;
	int authority_length = 0;

	if (length > URL_MAX)
		return "it is longer than 2048 characters";
	wrong = bad_characters(url, length);
	if (wrong != NULL)
		return wrong;
	if (length >= 8 && pg_strncasecmp(url, "https://", 8) == 0)
		authority = url + 8;
	else if (length >= 7 && pg_strncasecmp(url, "http://", 7) == 0)
		authority = url + 7;
	else
		return "it does not begin with http:// or https://";
	while (authority + authority_length < url + length &&
		   strchr("/?", authority[authority_length]) == NULL)
		authority_length++;
	return hd_webhooks_bad_authority(authority, authority_length);
}

static bool
reserved_header(const char *name, int length)
{
	for (int i = 0; i < lengthof(reserved_headers); i++)
	{
		int reserved = strlen(reserved_headers[i]);
		bool prefix = reserved_headers[i][reserved - 1] == '-';

		if ((prefix ? length >= reserved : length == reserved) &&
			pg_strncasecmp(name, reserved_headers[i], reserved) == 0)
			return true;
	}
	return false;
}

const char *
hd_webhooks_bad_header_name(const char *name, int length)
{
	if (length == 0 || length > HEADER_NAME_MAX)
		return "its name is empty or longer than 128 characters";
	for (int i = 0; i < length; i++)
	{
		unsigned char c = name[i];

		if (!(c < 0x80 && isalnum(c)) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return "its name contains a character that is not allowed";
	}
	if (reserved_header(name, length))
		return "its name is reserved for the sender";
	return NULL;
}

const char *
hd_webhooks_bad_header_value(const char *value, int length)
{
	if (length == 0 || length > HEADER_VALUE_MAX)
		return "its value is empty or longer than 4096 characters";
	if (value[0] == ' ' || value[0] == '\t' || value[length - 1] == ' ' ||
		value[length - 1] == '\t')
		return "its value begins or ends with a space";
	for (int i = 0; i < length; i++)
	{
		unsigned char c = value[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return "its value contains a line end or another control character";
	}
	return NULL;
}

bool
hd_webhooks_event_type_valid(const char *type, int length)
{
	if (length == 0 || length > HD_WEBHOOKS_EVENT_TYPE_MAX)
		return false;
	for (int i = 0; i < length; i++)
	{
		unsigned char c = type[i];

		if (!(c < 0x80 && isalnum(c)) && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

/*
 * hd_webhooks_sql_check_url
 *		SQL: _webhook_check_url(url): raises 22023 with what is wrong.
 *
 * The URL itself stays out of the message: it may hold a secret.
 */
Datum
hd_webhooks_sql_check_url(PG_FUNCTION_ARGS)
{
	text *url = PG_GETARG_TEXT_PP(0);
	const char *wrong = hd_webhooks_bad_url(VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url));

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed URL: %s", wrong)));
	PG_RETURN_VOID();
}

/*
 * hd_webhooks_sql_check_header
 *		SQL: _webhook_check_header(name, value): raises 22023 with what is wrong.
 */
Datum
hd_webhooks_sql_check_header(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	text *value = PG_GETARG_TEXT_PP(1);
	const char *wrong = hd_webhooks_bad_header_name(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed header: %s", wrong)));
	wrong = hd_webhooks_bad_header_value(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (wrong != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("malformed header \"%s\": %s", text_to_cstring(name), wrong)));
	PG_RETURN_VOID();
}

/*
 * hd_webhooks_sql_check_pattern
 *		SQL: _webhook_check_pattern(pattern): an event type, "*", or a prefix
 *		of whole parts followed by ".*"; raises 22023.
 */
Datum
hd_webhooks_sql_check_pattern(PG_FUNCTION_ARGS)
{
	text *pattern = PG_GETARG_TEXT_PP(0);
	const char *start = VARDATA_ANY(pattern);
	int length = VARSIZE_ANY_EXHDR(pattern);
	bool all = length == 1 && start[0] == '*';

	if (length > 2 && start[length - 1] == '*' && start[length - 2] == '.')
		length -= 2;
	if (!all && !hd_webhooks_event_type_valid(start, length))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed event pattern"),
				 errdetail("A pattern is an event type, \"*\", or a prefix like \"order.*\".")));
	PG_RETURN_VOID();
}
