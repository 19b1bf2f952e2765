/*-------------------------------------------------------------------------
 * trace.c
 *		W3C Trace Context: parse and make traceparent values.
 *
 * Model: pure functions over text.  A traceparent that cannot be parsed
 * starts a new trace, as the recommendation demands.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/trace.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define TRACE_ID_AT 3
#define TRACE_ID_LENGTH 32
#define PARENT_ID_AT 36
#define PARENT_ID_LENGTH 16
#define FLAGS_AT 53
#define KNOWN_FLAGS 0x03 /* sampled, random */

PG_FUNCTION_INFO_V1(hd_trace_sql_new);
PG_FUNCTION_INFO_V1(hd_trace_sql_child);

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Lower-case hex throughout, and not all zero where zero is forbidden. */
static bool
hex_field(const char *text, int length, bool zero_allowed)
{
	bool nonzero = false;

	for (int i = 0; i < length; i++)
	{
		int v = hex_value(text[i]);

		if (v < 0)
			return false;
		if (v > 0)
			nonzero = true;
	}
	return nonzero || zero_allowed;
}

bool
hd_trace_valid(const char *text, int length)
{
	if (length < HD_TRACEPARENT_LENGTH || !hex_field(text, 2, true))
		return false;
	if (text[0] == 'f' && text[1] == 'f')
		return false;
	if (text[0] == '0' && text[1] == '0')
	{
		if (length != HD_TRACEPARENT_LENGTH)
			return false;
	}
	else if (length > HD_TRACEPARENT_LENGTH && text[HD_TRACEPARENT_LENGTH] != '-')
		return false;
	return text[2] == '-' && text[35] == '-' && text[52] == '-' &&
		   hex_field(text + TRACE_ID_AT, TRACE_ID_LENGTH, false) &&
		   hex_field(text + PARENT_ID_AT, PARENT_ID_LENGTH, false) &&
		   hex_field(text + FLAGS_AT, 2, true);
}

/* Random lower-case hex of length digits (even), never all zero. */
static void
random_hex(char *buf, int length)
{
	uint8 bytes[TRACE_ID_LENGTH / 2];
	bool nonzero = false;

	while (!nonzero)
	{
		if (!pg_strong_random(bytes, length / 2))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		for (int i = 0; i < length / 2; i++)
			nonzero = nonzero || bytes[i] != 0;
	}
	for (int i = 0; i < length / 2; i++)
		snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
}

void
hd_trace_new(char *buf)
{
	memcpy(buf, "00-", 3);
	random_hex(buf + TRACE_ID_AT, TRACE_ID_LENGTH);
	buf[35] = '-';
	random_hex(buf + PARENT_ID_AT, PARENT_ID_LENGTH);
	memcpy(buf + 52, "-03", 4);
}

void
hd_trace_child(const char *parent, char *buf)
{
	int flags = hex_value(parent[FLAGS_AT]) * 16 + hex_value(parent[FLAGS_AT + 1]);

	memcpy(buf, "00-", 3);
	memcpy(buf + TRACE_ID_AT, parent + TRACE_ID_AT, TRACE_ID_LENGTH);
	buf[35] = '-';
	random_hex(buf + PARENT_ID_AT, PARENT_ID_LENGTH);
	snprintf(buf + 52, 4, "-%02x", flags & KNOWN_FLAGS);
}

/*
 * hd_trace_sql_new
 *		SQL: trace_new() -> text.
 */
Datum
hd_trace_sql_new(PG_FUNCTION_ARGS)
{
	char buf[HD_TRACEPARENT_LENGTH + 1];

	hd_trace_new(buf);
	PG_RETURN_TEXT_P(cstring_to_text(buf));
}

/*
 * hd_trace_sql_child
 *		SQL: trace_child(traceparent) -> text; a new trace where it is not valid.
 */
Datum
hd_trace_sql_child(PG_FUNCTION_ARGS)
{
	text *parent = PG_GETARG_TEXT_PP(0);
	char buf[HD_TRACEPARENT_LENGTH + 1];

	if (hd_trace_valid(VARDATA_ANY(parent), VARSIZE_ANY_EXHDR(parent)))
		hd_trace_child(VARDATA_ANY(parent), buf);
	else
		hd_trace_new(buf);
	PG_RETURN_TEXT_P(cstring_to_text(buf));
}
