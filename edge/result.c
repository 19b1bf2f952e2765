/*
 * result.c
 *	  What became of one request, and the JSON that reports it.
 *
 * Ids and tokens are strings: they pass 2^53. Keys are constants that cJSON refers to
 * and never copies or frees. Every text in a result has been reduced to ASCII, or is
 * base64, by the one who stored it, so the JSON is valid UTF-8 whatever a receiver sent.
 */
#include "result.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const outcome_names[] = {"http",	 "dns",		"connect", "tls",	   "timeout",
											"reset", "blocked", "proxy",   "protocol", "invalid"};

/* Bytes of a result without an excerpt, and of one that has it: a guess for the buffer. */
#define JSON_GUESS 470

void
hd_result_free(HdResult *result)
{
	if (result == NULL)
		return;
	free(result->excerpt);
	free(result->headers);
	free(result);
}

static size_t
kept_bytes(const HdResult *result)
{
	return (result->excerpt != NULL ? strlen(result->excerpt) : 0) +
		   (result->headers != NULL ? strlen(result->headers) : 0);
}

size_t
hd_result_bytes(const HdResult *result)
{
	return sizeof(*result) + kept_bytes(result);
}

const char *
hd_outcome_name(HdOutcome outcome)
{
	return outcome_names[outcome];
}

/* Adds an item under a constant key; an item that could not be made is an error. */
static bool
add(cJSON *object, const char *key, cJSON *item)
{
	if (item == NULL)
		return false;
	if (cJSON_AddItemToObjectCS(object, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool
add_id(cJSON *object, const char *key, int64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, id);
	return add(object, key, cJSON_CreateString(text));
}

static bool
add_text(cJSON *object, const char *key, const char *text)
{
	if (text == NULL || *text == '\0')
		return add(object, key, cJSON_CreateNull());
	return add(object, key, cJSON_CreateStringReference(text));
}

/* Durations are int in SQL; beyond 35 minutes the exact figure tells nothing. */
static bool
add_duration(cJSON *object, const char *key, int64_t duration_us)
{
	return add(object, key,
			   cJSON_CreateNumber(duration_us < INT32_MAX ? (double) duration_us : INT32_MAX));
}

/* Microseconds since 1970 pass 2^53 in the year 2255. */
static bool
add_time(cJSON *object, const char *key, int64_t time_us)
{
	return add(object, key,
			   time_us > 0 ? cJSON_CreateNumber((double) time_us) : cJSON_CreateNull());
}

static bool
fill(cJSON *object, const HdResult *result)
{
	return add_id(object, "id", result->id) && add_id(object, "token", result->token) &&
		   add(object, "status",
			   result->status > 0 ? cJSON_CreateNumber(result->status) : cJSON_CreateNull()) &&
		   add_text(object, "class", outcome_names[result->outcome]) &&
		   add_text(object, "error", result->error) &&
		   add_text(object, "retry_after", result->retry_after) &&
		   add_text(object, "excerpt", result->excerpt) &&
		   add(object, "truncated", cJSON_CreateBool(result->truncated)) &&
		   add_text(object, "remote_ip", result->remote_ip) &&
		   add(object, "reused", cJSON_CreateBool(result->reused)) &&
		   add(object, "sent", cJSON_CreateBool(result->sent)) &&
		   add_duration(object, "dns_us", result->dns_us) &&
		   add_duration(object, "connect_us", result->connect_us) &&
		   add_duration(object, "tls_us", result->tls_us) &&
		   add_duration(object, "ttfb_us", result->ttfb_us) &&
		   add_duration(object, "total_us", result->total_us) &&
		   add_text(object, "http_date", result->http_date) &&
		   add_text(object, "headers", result->headers) &&
		   add_time(object, "sent_at", result->sent_at);
}

size_t
hd_result_list_fit(const HdResult *list, size_t count, size_t bytes)
{
	size_t used = 0;
	size_t fit = 0;

	for (; fit < count && list != NULL; fit++, list = list->next)
	{
		used += kept_bytes(list);
		if (used > bytes && fit > 0)
			break;
	}
	return fit;
}

char *
hd_result_list_json(const HdResult *list, size_t count)
{
	cJSON *array = cJSON_CreateArray();
	char *text = NULL;

	if (array == NULL)
		return NULL;
	for (size_t i = 0; i < count && list != NULL; i++, list = list->next)
	{
		cJSON *object = cJSON_CreateObject();

		if (object == NULL || !cJSON_AddItemToArray(array, object))
		{
			cJSON_Delete(object);
			goto out;
		}
		if (!fill(object, list))
			goto out;
	}
	text = cJSON_PrintBuffered(array, (int) (count * JSON_GUESS + 16), false);
out:
	cJSON_Delete(array);
	return text;
}
