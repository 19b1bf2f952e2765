/*-------------------------------------------------------------------------
 * growthbook_url.c
 *		Web addresses, normalised as the URL standard of the WHATWG says.
 *
 * Model: of http and https, and of addresses without a scheme, all that is
 * common: ports, points in paths, encoding of what is not plain.  Names and
 * passwords, hosts beyond plain ASCII, other forms of IP addresses,
 * backslashes and line ends are left to browsers: such an address is foreign,
 * and who asked must say so rather than guess.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/growthbook_url.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define MOST_PORT 65535

/* What is encoded besides controls, space and what is beyond ASCII. */
#define PATH_ENCODED "\"#<>?`{}"
#define QUERY_ENCODED "\"#<>'"
#define FRAGMENT_ENCODED "\"<>`"

static bool
starts_with(const char *at, const char *end, const char *prefix)
{
	int length = strlen(prefix);

	return end - at >= length && pg_strncasecmp(at, prefix, length) == 0;
}

static const char *
find_any(const char *at, const char *end, const char *characters)
{
	while (at < end && strchr(characters, *at) == NULL)
		at++;
	return at;
}

static void
append_encoded(StringInfo out, const char *at, const char *end, const char *encoded)
{
	unsigned char byte;

	for (; at < end; at++)
	{
		byte = (unsigned char) *at;
		if (byte <= ' ' || byte >= 0x7F || strchr(encoded, byte) != NULL)
			appendStringInfo(out, "%%%02X", byte);
		else
			appendStringInfoChar(out, *at);
	}
}

static HdValue
encode(const char *at, const char *end, const char *encoded)
{
	StringInfoData out;

	initStringInfo(&out);
	append_encoded(&out, at, end, encoded);
	return hd_flags_string(out.data, out.len);
}

/* How many points a segment of a path is made of, also encoded ones; 0: of something else. */
static int
points(const char *at, const char *end)
{
	int count = 0;

	while (at < end)
	{
		if (*at != '.' && !starts_with(at, end, "%2e"))
			return 0;
		at += *at == '.' ? 1 : 3;
		count++;
	}
	return count <= 2 ? count : 0;
}

/* A path, which begins with a slash, with its points worked out. */
static HdValue
normalise_path(const char *at, const char *end)
{
	StringInfoData out;
	const char *next;
	int count;

	initStringInfo(&out);
	while (at < end)
	{
		next = find_any(++at, end, "/");
		count = points(at, next);
		if (count == 2)
		{
			while (out.len > 0 && out.data[--out.len] != '/')
				;
			out.data[out.len] = '\0';
		}
		if (count == 0 || next == end)
			appendStringInfoChar(&out, '/');
		if (count == 0)
			append_encoded(&out, at, next, PATH_ENCODED);
		at = next;
	}
	return hd_flags_string(out.data, out.len);
}

/* Four numbers to 255 as everyone writes them. */
static bool
is_plain_address(const char *at, const char *end)
{
	int numbers = 0;
	int value;
	const char *first;

	for (;;)
	{
		value = 0;
		for (first = at; at < end && *at >= '0' && *at <= '9' && at - first < 3; at++)
			value = value * 10 + *at - '0';
		if (at == first || value > 255 || (*first == '0' && at - first > 1))
			return false;
		numbers++;
		if (at == end)
			return numbers == 4;
		if (*at++ != '.')
			return false;
	}
}

/* Whether the standard would read the host as a number: by its last label. */
static bool
ends_in_number(const char *at, const char *end)
{
	const char *label;

	if (end > at && end[-1] == '.')
		end--;
	for (label = end; label > at && label[-1] != '.'; label--)
		;
	return label < end && *label >= '0' && *label <= '9' &&
		   (starts_with(label, end, "0x") || find_any(label, end,
													  "abcdefghijklmnopqrstuvwxyz"
													  "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == end);
}

static HdUrlVerdict
parse_name(const char *at, const char *end, StringInfo out)
{
	if (at == end)
		return HD_URL_INVALID;
	for (const char *c = at; c < end; c++)
	{
		if (strchr(" <>^|", *c) != NULL)
			return HD_URL_INVALID;
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			  *c == '.' || *c == '-' || *c == '_'))
			return HD_URL_FOREIGN;
		appendStringInfoChar(out, pg_ascii_tolower((unsigned char) *c));
	}
	if (strstr(out->data, "xn--") != NULL ||
		(ends_in_number(at, end) && !is_plain_address(at, end)))
		return HD_URL_FOREIGN;
	return HD_URL_FINE;
}

static HdUrlVerdict
parse_port(const char *at, const char *end, int usual, StringInfo out)
{
	int port = 0;

	if (at == end)
		return HD_URL_FINE;
	for (; at < end; at++)
	{
		if (*at < '0' || *at > '9')
			return HD_URL_INVALID;
		port = port * 10 + *at - '0';
		if (port > MOST_PORT)
			return HD_URL_INVALID;
	}
	if (port != usual)
		appendStringInfo(out, ":%d", port);
	return HD_URL_FINE;
}

static HdUrlVerdict
parse_host(const char *at, const char *end, HdUrl *url)
{
	const char *colon = find_any(at, end, ":");
	StringInfoData out;
	HdUrlVerdict verdict;

	if (find_any(at, end, "@[]%") < end)
		return HD_URL_FOREIGN;
	initStringInfo(&out);
	verdict = parse_name(at, colon, &out);
	if (verdict == HD_URL_FINE && colon < end)
		verdict = parse_port(colon + 1, end, url->secure ? 443 : 80, &out);
	url->host = hd_flags_string(out.data, out.len);
	return verdict;
}

/* Whether something before the first slash looks like a scheme. */
static bool
has_scheme(const char *at, const char *end)
{
	const char *colon = find_any(at, end, ":/?#");

	return colon > at && colon < end && *colon == ':';
}

HdUrlVerdict
hd_flags_url_parse(const HdValue *text, const HdValue *host, HdUrl *url)
{
	const char *at = text->as.string;
	const char *end = at + text->length;
	const char *next;
	char *path;
	HdUrlVerdict verdict = HD_URL_FINE;

	while (at < end && (unsigned char) *at <= ' ')
		at++;
	while (end > at && (unsigned char) end[-1] <= ' ')
		end--;
	if (find_any(at, end, "\t\r\n\\") < end || starts_with(at, end, "//"))
		return HD_URL_FOREIGN;
	url->secure = !starts_with(at, end, "http:");
	url->host = *host;
	if (starts_with(at, end, "http://") || starts_with(at, end, "https://"))
	{
		at += url->secure ? 8 : 7;
		next = find_any(at, end, "/?#");
		if (next == at && at < end && *at == '/')
			return HD_URL_FOREIGN;
		verdict = parse_host(at, next, url);
		at = next;
	}
	else if (has_scheme(at, end))
		return HD_URL_FOREIGN;
	next = find_any(at, end, "?#");
	if (find_any(at, next, "^") < next)
		return HD_URL_FOREIGN;
	/* a path without a slash in front begins at the root too */
	path = psprintf("%s%.*s", at < next && *at == '/' ? "" : "/", (int) (next - at), at);
	url->path = normalise_path(path, path + strlen(path));
	at = next;
	next = find_any(at, end, "#");
	url->has_query = at < next;
	url->has_fragment = next < end;
	url->query = encode(at + (at < next), next, QUERY_ENCODED);
	url->fragment = encode(next + (next < end), end, FRAGMENT_ENCODED);
	return verdict;
}

/* %41 and + as what they stand for. */
static HdValue
decode(const char *at, const char *end)
{
	StringInfoData out;
	char digits[3] = {0};

	initStringInfo(&out);
	for (; at < end; at++)
	{
		if (*at == '%' && end - at > 2 && isxdigit((unsigned char) at[1]) &&
			isxdigit((unsigned char) at[2]))
		{
			memcpy(digits, at + 1, 2);
			appendStringInfoChar(&out, (char) strtol(digits, NULL, 16));
			at += 2;
		}
		else
			appendStringInfoChar(&out, *at == '+' ? ' ' : *at);
	}
	return hd_flags_string(out.data, out.len);
}

bool
hd_flags_url_member(const HdValue *query, int *at, HdUrlMember *member, HdUrlVerdict *verdict)
{
	const char *begin = query->as.string + *at;
	const char *end = query->as.string + query->length;
	const char *next;
	const char *sign;

	*verdict = HD_URL_FINE;
	while (begin < end && *begin == '&')
		begin++;
	if (begin == end)
		return false;
	next = find_any(begin, end, "&");
	sign = find_any(begin, next, "=");
	member->name = decode(begin, sign);
	member->value = decode(sign + (sign < next), next);
	*at = (int) (next - query->as.string);
	if (!pg_verify_mbstr(PG_UTF8, member->name.as.string, member->name.length, true) ||
		!pg_verify_mbstr(PG_UTF8, member->value.as.string, member->value.length, true))
	{
		*verdict = HD_URL_FOREIGN;
		return false;
	}
	return true;
}
