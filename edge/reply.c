/*
 * reply.c
 *	  What the listener answers: a status, a body, and the headers that belong to it.
 */
#include "reply.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
hd_reply_set(HdReply *reply, int status, char *body, const char *type)
{
	free(reply->body);
	reply->status = body != NULL ? status : 503;
	reply->body = body;
	reply->type = type;
	reply->allow = NULL;
}

void
hd_reply_error(HdReply *reply, int status, const char *text)
{
	size_t size = strlen(text) + sizeof("{\"error\":\"\"}\n");
	char *body = malloc(size);

	if (body != NULL)
		snprintf(body, size, "{\"error\":\"%s\"}\n", text);
	hd_reply_set(reply, status, body, HD_REPLY_JSON);
	reply->status = status;
}

static bool
add_text(cJSON *object, const char *key, const char *text)
{
	return text == NULL || cJSON_AddStringToObject(object, key, text) != NULL;
}

void
hd_reply_receipt(HdReply *reply, int status, bool accepted, const char *message_id,
				 const char *reason)
{
	cJSON *object = cJSON_CreateObject();
	char *body = NULL;

	if (object != NULL && cJSON_AddBoolToObject(object, "accepted", accepted) != NULL &&
		add_text(object, "message_id", message_id) && add_text(object, "reason", reason))
		body = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	if (body == NULL)
		hd_reply_error(reply, status, "out of memory");
	else
		hd_reply_set(reply, status, body, HD_REPLY_JSON);
}

void
hd_reply_free(HdReply *reply)
{
	free(reply->body);
	*reply = (HdReply){0};
}
