/*-------------------------------------------------------------------------
 * message.c
 *		Messages: their ids, and what may be published.
 *
 * Model: the id is the webhook-id header of every attempt, by which a
 * receiver drops what it has seen.  So it must never come twice, not even
 * after a restore to an earlier point or a failover that lost the latest
 * transactions, where any sequence would repeat itself: it is 48 bits of
 * time, 12 of node_id, and 68 random ones, written in 26 digits of base 32
 * that sort as the number does.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/settings.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/check.h"
#include "webhooks/seconds.h"
#include "webhooks/webhooks.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_new_message_id);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_check_event);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_event_patterns);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_clean_text);

#define ID_PREFIX "msg_"
#define ID_BYTES 16
#define ID_DIGITS 26 /* of 5 bits each, the first of 3 */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static void
fill_id(uint8 id[ID_BYTES])
{
	uint64 milliseconds = hd_clock_now() / 1000 + HD_WEBHOOKS_EPOCH_OFFSET * INT64CONST(1000);

	if (!pg_strong_random(id + 6, ID_BYTES - 6))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	for (int i = 0; i < 6; i++)
		id[i] = milliseconds >> (8 * (5 - i));
	id[6] = hd_setting_node_id >> 4;
	id[7] = (hd_setting_node_id & 0x0f) << 4 | (id[7] & 0x0f);
}

/*
 * hd_webhooks_sql_new_message_id
 *		SQL: _message_new_id() -> text.
 */
Datum
hd_webhooks_sql_new_message_id(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	char text_id[sizeof(ID_PREFIX) - 1 + ID_DIGITS];
	char *out = text_id + sizeof(ID_PREFIX) - 1;
	uint8 id[ID_BYTES];
	uint32 bits = 0;
	int have = 2; /* 128 bits are two short of 26 digits: begin with zeros */

	fill_id(id);
	memcpy(text_id, ID_PREFIX, sizeof(ID_PREFIX) - 1);
	for (int i = 0; i < ID_BYTES; i++)
	{
		bits = bits << 8 | id[i];
		for (have += 8; have >= 5; have -= 5)
			*out++ = digits[bits >> (have - 5) & 0x1f];
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text_id, sizeof(text_id)));
}

/*
 * hd_webhooks_sql_check_event
 *		SQL: _message_check(event_type, bytes): raises 22023 or 54000.
 */
Datum
hd_webhooks_sql_check_event(PG_FUNCTION_ARGS)
{
	text *type = PG_GETARG_TEXT_PP(0);
	int32 bytes = PG_GETARG_INT32(1);

	if (!hd_webhooks_event_type_valid(VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed event type"),
			 errdetail("An event type is 1 to %d letters, digits, dots, underscores and dashes.",
					   HD_WEBHOOKS_EVENT_TYPE_MAX)));
	if (bytes > hd_webhooks_max_payload * INT64CONST(1024))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("payload of %d bytes is larger than the limit of %d kB", bytes,
							   hd_webhooks_max_payload),
						errhint("The limit is the setting hotdash.webhook_max_payload.")));
	PG_RETURN_VOID();
}

/*
 * hd_webhooks_sql_event_patterns
 *		SQL: _event_patterns(event_type) -> text[]: every pattern that this type
 *		matches: itself, "*", and a prefix pattern for each dot in it.
 */
Datum
hd_webhooks_sql_event_patterns(PG_FUNCTION_ARGS)
{
	text *type = PG_GETARG_TEXT_PP(0);
	const char *start = VARDATA_ANY(type);
	int length = VARSIZE_ANY_EXHDR(type);
	Datum patterns[HD_WEBHOOKS_EVENT_TYPE_MAX + 2];
	int n = 0;

	if (!hd_webhooks_event_type_valid(start, length))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed event type")));
	patterns[n++] = PointerGetDatum(type);
	patterns[n++] = CStringGetTextDatum("*");
	for (int i = 1; i < length; i++)
	{
		if (start[i] == '.')
			patterns[n++] = CStringGetTextDatum(psprintf("%.*s.*", i, start));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(patterns, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * hd_webhooks_sql_clean_text
 *		SQL: _clean_text(bytes, up_to) -> text, and of a text, which has the
 *		same representation.
 *
 * Bytes from outside as text that can be stored and shown: control characters
 * become spaces, what is not UTF-8 becomes U+FFFD, at most up_to bytes stay.
 */
Datum
hd_webhooks_sql_clean_text(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	int limit = PG_GETARG_INT32(1);
	const unsigned char *in = (const unsigned char *) VARDATA_ANY(bytes);
	const unsigned char *end = in + VARSIZE_ANY_EXHDR(bytes);
	text *result = palloc(VARHDRSZ + Max(limit, 0));
	char *out = VARDATA(result);

	while (in < end)
	{
		int length = pg_utf_mblen(in);
		bool valid = end - in >= length && pg_utf8_islegal(in, length);
		bool control = valid && (*in < 0x20 || *in == 0x7f || (*in == 0xc2 && in[1] < 0xa0));
		const char *piece = valid ? (const char *) in : REPLACEMENT;
		int piece_length = valid ? length : (int) strlen(REPLACEMENT);

		if (control)
		{
			piece = " ";
			piece_length = 1;
		}
		if (out + piece_length > VARDATA(result) + limit)
			break;
		memcpy(out, piece, piece_length);
		out += piece_length;
		in += valid ? length : 1;
	}
	SET_VARSIZE(result, out - (char *) result);
	PG_RETURN_TEXT_P(result);
}
