/*-------------------------------------------------------------------------
 * trace.c
 *		W3C Trace Context: parse and make traceparent values.
 *
 * Model: pure functions over text, and one setting.  A traceparent that cannot be parsed
 * starts a new trace, as the recommendation demands.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/trace.h"

#include <inttypes.h>

#include "common/hashfn.h"
#include "core/compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define SAMPLED_FLAG 0x01
#define KNOWN_FLAGS 0x03 /* sampled, random */

PG_FUNCTION_INFO_V1(hd_trace_sql_new);
PG_FUNCTION_INFO_V1(hd_trace_sql_child);
PG_FUNCTION_INFO_V1(hd_trace_sql_current);
PG_FUNCTION_INFO_V1(hd_trace_sql_set);
PG_FUNCTION_INFO_V1(hd_trace_sql_check);
PG_FUNCTION_INFO_V1(hd_trace_sql_attempt);

static char *current = NULL;

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
		   hex_field(text + HD_TRACE_ID_AT, HD_TRACE_ID_LENGTH, false) &&
		   hex_field(text + HD_SPAN_ID_AT, HD_SPAN_ID_LENGTH, false) &&
		   hex_field(text + HD_TRACE_FLAGS_AT, 2, true);
}

void
hd_trace_require_valid(const char *text)
{
	if (!hd_trace_valid(text, (int) strlen(text)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid traceparent: \"%s\"", text)));
}

/* Random lower-case hex of length digits (even), never all zero. */
static void
random_hex(char *buf, int length)
{
	uint8 bytes[HD_TRACE_ID_LENGTH / 2];
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
	random_hex(buf + HD_TRACE_ID_AT, HD_TRACE_ID_LENGTH);
	buf[35] = '-';
	random_hex(buf + HD_SPAN_ID_AT, HD_SPAN_ID_LENGTH);
	memcpy(buf + 52, "-03", 4);
}

static int
flags_of(const char *traceparent)
{
	return hex_value(traceparent[HD_TRACE_FLAGS_AT]) * 16 +
		   hex_value(traceparent[HD_TRACE_FLAGS_AT + 1]);
}

bool
hd_trace_sampled(const char *traceparent)
{
	return (flags_of(traceparent) & SAMPLED_FLAG) != 0;
}

/* All but the parent id. */
static void
continue_trace(const char *parent, char *buf)
{
	memcpy(buf, "00-", 3);
	memcpy(buf + HD_TRACE_ID_AT, parent + HD_TRACE_ID_AT, HD_TRACE_ID_LENGTH);
	buf[35] = '-';
	snprintf(buf + 52, 4, "-%02x", flags_of(parent) & KNOWN_FLAGS);
}

void
hd_trace_child(const char *parent, char *buf)
{
	random_hex(buf + HD_SPAN_ID_AT, HD_SPAN_ID_LENGTH);
	continue_trace(parent, buf);
}

/* 16 digits of a number; zero, which is no valid id, becomes one. */
static void
hex_id(char *buf, uint64 id)
{
	snprintf(buf, HD_SPAN_ID_LENGTH + 1, "%016" PRIx64, Max(id, 1));
}

void
hd_trace_attempt(const char *parent, const char *origin, int length, const int64 *attempt,
				 char *buf)
{
	char id[HD_SPAN_ID_LENGTH + 1];
	const unsigned char *bytes = (const unsigned char *) origin;

	if (parent != NULL)
		continue_trace(parent, buf);
	else
	{
		memcpy(buf, "00-", 3);
		hex_id(buf + HD_TRACE_ID_AT, hash_bytes_extended(bytes, length, 1));
		hex_id(buf + HD_TRACE_ID_AT + HD_SPAN_ID_LENGTH, hash_bytes_extended(bytes, length, 2));
		buf[35] = '-';
		memcpy(buf + 52, "-03", 4);
	}
	hex_id(id, hash_bytes_extended((const unsigned char *) attempt, 2 * sizeof(int64), 3));
	memcpy(buf + HD_SPAN_ID_AT, id, HD_SPAN_ID_LENGTH);
}

static bool
check_current(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || hd_trace_valid(*newval, (int) strlen(*newval)))
		return true;
	GUC_check_errdetail("It is not a W3C traceparent.");
	return false;
}

void
hd_trace_define(void)
{
	DefineCustomStringVariable("hotdash.traceparent",
							   "Trace that jobs and messages of this session belong to.",
							   "trace_set sets it for one transaction; empty means none.", &current,
							   "", PGC_USERSET, 0, check_current, NULL, NULL);
}

const char *
hd_trace_current(void)
{
	return (current != NULL && current[0] != '\0') ? current : NULL;
}

void
hd_trace_set(const char *traceparent)
{
	(void) set_config_option("hotdash.traceparent", traceparent, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * hd_trace_sql_current
 *		SQL: trace_current() -> text, null when there is none.
 */
Datum
hd_trace_sql_current(PG_FUNCTION_ARGS)
{
	if (hd_trace_current() == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(hd_trace_current()));
}

/*
 * hd_trace_sql_set
 *		SQL: trace_set(traceparent text): for the rest of this transaction; null
 *		for none.
 */
Datum
hd_trace_sql_set(PG_FUNCTION_ARGS)
{
	hd_trace_set(PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/*
 * hd_trace_sql_check
 *		SQL: _trace_check(traceparent) -> text: the same, or 22023.
 */
Datum
hd_trace_sql_check(PG_FUNCTION_ARGS)
{
	hd_trace_require_valid(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_TEXT_P(PG_GETARG_TEXT_PP(0));
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

/*
 * hd_trace_sql_attempt
 *		SQL: _trace_attempt(traceparent, origin, id, token) -> text.
 *
 * traceparent may be NULL; one that is not valid counts as none.
 */
Datum
hd_trace_sql_attempt(PG_FUNCTION_ARGS)
{
	text *parent = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	text *origin;
	int64 attempt[2];
	char buf[HD_TRACEPARENT_LENGTH + 1];

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	if (parent != NULL && !hd_trace_valid(VARDATA_ANY(parent), VARSIZE_ANY_EXHDR(parent)))
		parent = NULL;
	origin = PG_GETARG_TEXT_PP(1);
	attempt[0] = PG_GETARG_INT64(2);
	attempt[1] = PG_GETARG_INT64(3);
	hd_trace_attempt(parent == NULL ? NULL : VARDATA_ANY(parent), VARDATA_ANY(origin),
					 VARSIZE_ANY_EXHDR(origin), attempt, buf);
	PG_RETURN_TEXT_P(cstring_to_text(buf));
}
