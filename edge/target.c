/*
 * target.c
 *	  Where a URL leads: its host and port, as libcurl will see them. Pure but for memory.
 */
#include "target.h"

#include <ctype.h>
#include <string.h>

#include "address.h"

const char hd_target_no_memory[] = "out of memory";

static const char *
problem_of(CURLUcode code, const char *problem)
{
	if (code == CURLUE_OK)
		return NULL;
	return code == CURLUE_OUT_OF_MEMORY ? hd_target_no_memory : problem;
}

/*
 * Bytes above ASCII: which name they mean depends on the locale, and in a process that has
 * none libcurl answers them with "out of memory".
 */
static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char) *text < 0x80)
		text++;
	return *text == '\0';
}

/*
 * A name as name servers have them, or an address. libcurl decodes "%7f" and the like, and passes
 * most of what comes out; nothing of it is a name.
 */
static bool
is_host(const char *text)
{
	const char *others = text[0] == '[' ? "[]:." : "-._";

	while (*text != '\0' && (isalnum((unsigned char) *text) || strchr(others, *text) != NULL))
		text++;
	return *text == '\0';
}

static const char *
find_host(CURLU *parts, char **host)
{
	const char *problem =
		problem_of(curl_url_get(parts, CURLUPART_HOST, host, 0), "the URL has no valid host");

	if (problem == NULL && (*host)[0] == '\0')
		problem = "the URL has no host";
	if (problem == NULL && !is_ascii(*host))
		problem = "the URL's host is not in ASCII: write it in its xn-- form";
	if (problem == NULL && !is_host(*host))
		problem = "the URL's host is neither a name nor an address";
	return problem;
}

/*
 * A handle for each URL: in one that has been used, a relative URL would be read as relative to
 * the last, which may be another tenant's.
 */
const char *
hd_target_find(const char *url, HdTarget *target)
{
	CURLU *parts = curl_url();
	char *scheme = NULL;
	const char *problem;

	*target = (HdTarget){NULL, NULL};
	if (parts == NULL)
		return hd_target_no_memory;
	problem = problem_of(curl_url_set(parts, CURLUPART_URL, url, 0),
						 "the URL is malformed or neither http nor https");
	if (problem == NULL)
		problem =
			problem_of(curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0), "the URL has no scheme");
	if (problem == NULL && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		problem = "the URL is neither http nor https";
	if (problem == NULL)
		problem = find_host(parts, &target->host);
	if (problem == NULL)
		problem = problem_of(curl_url_get(parts, CURLUPART_PORT, &target->port, CURLU_DEFAULT_PORT),
							 "the URL has no valid port");
	curl_free(scheme);
	curl_url_cleanup(parts);
	return problem;
}

void
hd_target_free(HdTarget *target)
{
	curl_free(target->host);
	curl_free(target->port);
	*target = (HdTarget){NULL, NULL};
}

bool
hd_target_is_address(const HdTarget *target)
{
	struct sockaddr_storage address;

	return target->host[0] == '[' || hd_address_parse(target->host, &address);
}
