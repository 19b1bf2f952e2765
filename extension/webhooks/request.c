/*-------------------------------------------------------------------------
 * request.c
 *		The header lines of one attempt.
 *
 * Purpose: everything that the edge sends besides the stored body, signed
 * here, so that no secret ever leaves the server.
 *
 * Model: the message id is the same on each attempt; the time, the signature
 * and the parent id of the trace are not.  While a secret is being
 * replaced there are several keys, and a signature by each.  A key is opened
 * here, signs, and is wiped.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "webhooks/keys.h"
#include "webhooks/seconds.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_header_lines);

/* Of the sender: Content-Type, User-Agent, the three of the signature, traceparent. */
#define OWN_LINES 6

static HdBytes
bytes_of(struct varlena *value)
{
	return (HdBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

static Datum
line(const char *name, const char *value, int length)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s: ", name);
	appendBinaryStringInfo(&buf, value, length);
	return PointerGetDatum(cstring_to_text_with_len(buf.data, buf.len));
}

/* By all keys, or (Datum) 0 when one of them cannot be opened. */
static Datum
signature_line(int64 endpoint, ArrayType *keys, const HdBytes *signed_parts)
{
	Datum *elements;
	int count;
	char *list;
	char *out;

	deconstruct_array(keys, BYTEAOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	out = list = palloc(count * (HD_WEBHOOKS_SIGNATURE_MAX + 1));
	for (int i = 0; i < count; i++)
	{
		int length = hd_webhooks_key_sign(endpoint, DatumGetByteaPP(elements[i]), signed_parts[0],
										  signed_parts[1], signed_parts[2], out);

		if (length < 0)
			return (Datum) 0;
		out += length;
		*out++ = ' ';
	}
	return line("webhook-signature", list, out - list - 1);
}

/* Returns how many. */
static int
custom_lines(Jsonb *headers, Datum *lines)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue v;
	char *name = NULL;
	int n = 0;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE && v.type == jbvString)
			lines[n++] = line(name, v.val.string.val, v.val.string.len);
	}
	return n;
}

/*
 * hd_webhooks_sql_header_lines
 *		SQL: _webhook_header_lines(endpoint, keys, message_id, at, body,
 *		content_type, traceparent, headers) -> text[], NULL when a key cannot be
 *		opened.
 *
 * Only traceparent may be NULL; there is at least one key.  headers is an
 * object of names and texts, both checked when the endpoint was set.
 */
Datum
hd_webhooks_sql_header_lines(PG_FUNCTION_ARGS)
{
	static const char *const required[] = {"endpoint", "keys",		   "message_id", "at",
										   "body",	   "content_type", NULL,		 "headers"};
	char seconds[HD_WEBHOOKS_SECONDS_SIZE];
	text *id;
	bytea *body;
	text *content_type;
	Jsonb *headers;
	Datum *lines;
	Datum signature;
	int n = 0;

	for (int i = 0; i < lengthof(required); i++)
	{
		if (required[i] != NULL)
			hd_require_arg(fcinfo, i, required[i]);
	}
	id = PG_GETARG_TEXT_PP(2);
	body = PG_GETARG_BYTEA_PP(4);
	content_type = PG_GETARG_TEXT_PP(5);
	headers = PG_GETARG_JSONB_P(7);
	lines = palloc((OWN_LINES + JB_ROOT_COUNT(headers)) * sizeof(Datum));
	hd_webhooks_format_seconds(hd_webhooks_unix_seconds(PG_GETARG_TIMESTAMPTZ(3)), seconds);
	signature = signature_line(PG_GETARG_INT64(0), PG_GETARG_ARRAYTYPE_P(1),
							   (HdBytes[]){bytes_of(id), (HdBytes){seconds, strlen(seconds)},
										   bytes_of(body)});
	if (signature == (Datum) 0)
		PG_RETURN_NULL();

	lines[n++] = line("Content-Type", VARDATA_ANY(content_type), VARSIZE_ANY_EXHDR(content_type));
	lines[n++] = line("User-Agent", "hotdash/" HD_VERSION, strlen("hotdash/" HD_VERSION));
	lines[n++] = line("webhook-id", VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	lines[n++] = line("webhook-timestamp", seconds, strlen(seconds));
	lines[n++] = signature;
	if (!PG_ARGISNULL(6))
	{
		text *trace = PG_GETARG_TEXT_PP(6);

		lines[n++] = line("traceparent", VARDATA_ANY(trace), VARSIZE_ANY_EXHDR(trace));
	}
	n += custom_lines(headers, lines + n);
	PG_RETURN_ARRAYTYPE_P(construct_array(lines, n, TEXTOID, -1, false, TYPALIGN_INT));
}
