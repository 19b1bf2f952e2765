/*
 * reply.h
 *	  What the listener answers: a status, a body, and the headers that belong to it.
 */
#ifndef HD_EDGE_REPLY_H
#define HD_EDGE_REPLY_H

#include "common.h"

/* Seconds after which to come back; what keeps us from answering mostly lasts that long. */
#define HD_REPLY_RETRY_S 5

typedef struct HdReply
{
	int status; /* 0: there is no answer yet */
	char *body; /* owned */
	const char *type;
	const char *allow; /* of a 405; else NULL */
} HdReply;

/*
 * {"error":"…"}; the text is a literal of ours that needs no escapes. Replaces what was
 * there. Without memory the body is left empty, the status stands.
 */
void hd_reply_error(HdReply *reply, int status, const char *text);

/* Takes body over: JSON, or what type says. NULL becomes a 503. */
void hd_reply_set(HdReply *reply, int status, char *body, const char *type);

/* What inbound_receive() said; message_id and reason may be NULL. */
void hd_reply_receipt(HdReply *reply, int status, bool accepted, const char *message_id,
					  const char *reason);

void hd_reply_free(HdReply *reply);

#define HD_REPLY_JSON "application/json"
#define HD_REPLY_TEXT "text/plain; charset=utf-8"
#define HD_REPLY_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

#endif
