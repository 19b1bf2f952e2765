/*-------------------------------------------------------------------------
 * egress.c
 *		What an endpoint says of the way to its receiver: a proxy, a client
 *		certificate.
 *
 * Model: both come as a text that holds a secret.  What may be shown is taken
 * out of it; the rest is sealed (core/secret.h) for the endpoint, and opened
 * only to be handed to the edge.  Errors about either hide the statement that
 * brought it from the log, and repeat nothing of it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "core/clock.h"
#include "core/compat.h"
#include "core/secret.h"
#include "core/secret_keys.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/certificate.h"
#include "webhooks/check.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_proxy_make);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_cert_make);
PG_FUNCTION_INFO_V1(hd_webhooks_sql_egress_open);

#define PLACE_MAX 48

/* Of user and password each: what SOCKS has room for. */
#define LOGIN_PART_MAX 255

/* A proxy's URL, taken apart. */
typedef struct Proxy
{
	const char *scheme;
	const char *authority; /* host and port, in the URL */
	int authority_length;
	HdSecret login; /* user:password, decoded; empty: none */
} Proxy;

/* The row that a sealed text belongs to, as no other has it; what is proxy or cert. */
static void
name_place(int64 endpoint, const char *what, char *place)
{
	snprintf(place, PLACE_MAX, "endpoint-%s/" INT64_FORMAT, what, endpoint);
}

static HD_NORETURN void
refuse(const char *what, const char *wrong)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("malformed option \"%s\": %s", what, wrong), errhidestmt(true),
					errhidecontext(true)));
}

/* ---- proxies ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode one half of the login and add it; false when it cannot be sent. */
static bool
add_login_part(HdSecret *login, const char *text, int length, bool is_user)
{
	int start = login->length;

	for (int i = 0; i < length; i++)
	{
		int c = (unsigned char) text[i];

		if (c == '%')
		{
			int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || (is_user && c == ':') ||
			login->length - start >= LOGIN_PART_MAX)
			return false;
		login->data[login->length++] = c;
	}
	return true;
}

static const char *
parse_login(const char *text, int length, HdSecret *login)
{
	const char *colon = memchr(text, ':', length);
	int user_length = colon != NULL ? colon - text : length;

	if (!add_login_part(login, text, user_length, true) || login->length == 0)
		return "its user is empty, too long or cannot be decoded";
	login->data[login->length++] = ':';
	if (colon != NULL && !add_login_part(login, colon + 1, length - user_length - 1, false))
		return "its password is too long or cannot be decoded";
	if (!pg_verify_mbstr(PG_UTF8, (const char *) login->data, login->length, true))
		return "its user or password is not UTF-8";
	return NULL;
}

static const char *
parse_proxy(const char *url, int length, Proxy *proxy)
{
	const char *end = url + length;
	const char *at = NULL;
	const char *authority;
	const char *bracket;
	const char *wrong = NULL;

	if (length >= 7 && pg_strncasecmp(url, "http://", 7) == 0)
		proxy->scheme = "http";
	else if (length >= 10 && pg_strncasecmp(url, "socks5h://", 10) == 0)
		proxy->scheme = "socks5h";
	else
		return "it does not begin with http:// or socks5h://";
	authority = url + strlen(proxy->scheme) + 3;
	if (end > authority && end[-1] == '/')
		end--;
	if (memchr(authority, '/', end - authority) != NULL ||
		memchr(authority, '?', end - authority) != NULL)
		return "it has a path";
	for (const char *c = authority; c < end; c++)
	{
		if (*c == '@')
			at = c;
	}
	if (at != NULL)
		wrong = parse_login(authority, at - authority, &proxy->login);
	if (wrong != NULL)
		return wrong;
	proxy->authority = at != NULL ? at + 1 : authority;
	proxy->authority_length = end - proxy->authority;
	wrong = hd_webhooks_bad_authority(proxy->authority, proxy->authority_length);
	if (wrong != NULL)
		return wrong;
	bracket = memchr(proxy->authority, ']', proxy->authority_length);
	if (bracket == NULL)
		bracket = proxy->authority;
	return memchr(bracket, ':', end - bracket) == NULL ? "it has no port" : NULL;
}

/*
 * hd_webhooks_sql_proxy_make
 *		SQL: _endpoint_proxy_make(endpoint, url) -> (proxy, login): what of a
 *		proxy's URL may be shown, and user:password sealed, NULL for none.
 */
Datum
hd_webhooks_sql_proxy_make(PG_FUNCTION_ARGS)
{
	text *url = PG_GETARG_TEXT_PP(1);
	char place[PLACE_MAX];
	Proxy proxy = {0};
	const char *wrong = parse_proxy(VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url), &proxy);
	TupleDesc desc;
	Datum values[2] = {0};
	bool nulls[2] = {false, proxy.login.length == 0};

	if (wrong != NULL)
	{
		hd_secret_wipe(&proxy.login);
		refuse("proxy", wrong);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	name_place(PG_GETARG_INT64(0), "proxy", place);
	values[0] = CStringGetTextDatum(
		psprintf("%s://%.*s", proxy.scheme, proxy.authority_length, proxy.authority));
	if (proxy.login.length > 0)
		values[1] = PointerGetDatum(hd_secret_seal(&proxy.login, place));
	hd_secret_wipe(&proxy.login);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- client certificates ---- */

static text *
hex_text(const uint8 *bytes, int length)
{
	text *result = palloc(VARHDRSZ + 2 * length);

	SET_VARSIZE(result, VARHDRSZ + 2 * length);
	(void) hex_encode((const char *) bytes, length, VARDATA(result));
	return result;
}

/*
 * hd_webhooks_sql_cert_make
 *		SQL: _endpoint_cert_make(endpoint, pem) -> (cert, subject, not_after,
 *		fingerprint): a client certificate and its key, sealed, and what of it
 *		may be shown.
 */
Datum
hd_webhooks_sql_cert_make(PG_FUNCTION_ARGS)
{
	text *pem = PG_GETARG_TEXT_PP(1);
	char place[PLACE_MAX];
	HdCertificate certificate;
	const char *wrong;
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* what raises, before the key is in the open */
	(void) hd_secret_keys_newest();
	wrong = hd_certificate_read(VARDATA_ANY(pem), VARSIZE_ANY_EXHDR(pem), &certificate);
	if (wrong == NULL && certificate.not_after <= hd_clock_now())
	{
		explicit_bzero(certificate.pem, certificate.pem_length);
		wrong = "its first certificate has expired";
	}
	if (wrong != NULL)
		refuse("client_cert", wrong);

	name_place(PG_GETARG_INT64(0), "cert", place);
	values[0] = PointerGetDatum(
		hd_secret_seal_long((uint8 *) certificate.pem, certificate.pem_length, place));
	explicit_bzero(certificate.pem, certificate.pem_length);
	values[1] = CStringGetTextDatum(certificate.subject);
	values[2] = TimestampTzGetDatum(certificate.not_after);
	values[3] = PointerGetDatum(hex_text(certificate.fingerprint, HD_CERTIFICATE_FINGERPRINT));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * hd_webhooks_sql_egress_open
 *		SQL: _endpoint_egress_open(endpoint, what, stored) -> text: what was
 *		sealed by one of the two above, NULL when it cannot be opened now.
 *
 * For edge_claim alone.  The text stands in the memory of the query until its
 * context is reset, and on the wire.
 */
Datum
hd_webhooks_sql_egress_open(PG_FUNCTION_ARGS)
{
	char *what = text_to_cstring(PG_GETARG_TEXT_PP(1));
	bytea *stored = PG_GETARG_BYTEA_PP(2);
	text *result = palloc(VARHDRSZ + VARSIZE_ANY_EXHDR(stored));
	char place[PLACE_MAX];
	int length;

	name_place(PG_GETARG_INT64(0), what, place);
	if (hd_secret_try_open_long(stored, place, (uint8 *) VARDATA(result), &length) !=
		HD_SECRET_OPENED)
		PG_RETURN_NULL();
	SET_VARSIZE(result, VARHDRSZ + length);
	PG_RETURN_TEXT_P(result);
}
