/*-------------------------------------------------------------------------
 * request.c
 *		The header lines of one attempt.
 *
 * Purpose: everything that the edge sends besides the stored body, signed
 * here, so that no secret ever leaves the server.
 *
 * Model: a pure function.  The message id is the same on each attempt; the
 * time, the signature and the parent id of the trace are not.  While a
 * secret is being replaced there are several keys, and a signature by each.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "webhooks/seconds.h"
#include "webhooks/sign.h"

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

static Datum
signature_line(ArrayType *keys, HdBytes id, HdBytes seconds, HdBytes body)
{
	Datum *elements;
	int count;
	char *list;
	char *out;

	deconstruct_array(keys, BYTEAOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	out = list = palloc(count * (HD_WEBHOOKS_SIGNATURE_LENGTH + 1));
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			*out++ = ' ';
		hd_webhooks_sign(bytes_of(DatumGetByteaPP(elements[i])), id, seconds, body, out);
		out += HD_WEBHOOKS_SIGNATURE_LENGTH;
	}
	return line("webhook-signature", list, out - list);
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
 *		SQL: _webhook_header_lines(keys, message_id, at, body, content_type,
 *		traceparent, headers) -> text[].
 *
 * Only traceparent may be NULL, which leaves the line out.  headers is an object of names and texts, both
 * checked when the endpoint was set.
 */
Datum
hd_webhooks_sql_header_lines(PG_FUNCTION_ARGS)
{
	text *id = PG_GETARG_TEXT_PP(1);
	bytea *body = PG_GETARG_BYTEA_PP(3);
	text *content_type = PG_GETARG_TEXT_PP(4);
	char seconds[HD_WEBHOOKS_SECONDS_SIZE];
	Jsonb *headers = PG_GETARG_JSONB_P(6);
	Datum *lines = palloc((OWN_LINES + JB_ROOT_COUNT(headers)) * sizeof(Datum));
	int n = 0;

	hd_webhooks_format_seconds(hd_webhooks_unix_seconds(PG_GETARG_TIMESTAMPTZ(2)), seconds);

	lines[n++] = line("Content-Type", VARDATA_ANY(content_type), VARSIZE_ANY_EXHDR(content_type));
	lines[n++] = line("User-Agent", "hotdash/" HD_VERSION, strlen("hotdash/" HD_VERSION));
	lines[n++] = line("webhook-id", VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	lines[n++] = line("webhook-timestamp", seconds, strlen(seconds));
	lines[n++] = signature_line(PG_GETARG_ARRAYTYPE_P(0), bytes_of(id),
								(HdBytes){seconds, strlen(seconds)}, bytes_of(body));
	if (!PG_ARGISNULL(5))
	{
		text *trace = PG_GETARG_TEXT_PP(5);

		lines[n++] = line("traceparent", VARDATA_ANY(trace), VARSIZE_ANY_EXHDR(trace));
	}
	n += custom_lines(headers, lines + n);
	PG_RETURN_ARRAYTYPE_P(construct_array(lines, n, TEXTOID, -1, false, TYPALIGN_INT));
}
