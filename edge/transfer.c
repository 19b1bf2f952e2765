/*
 * transfer.c
 *	  One request on its way: an easy handle, its callbacks and what they saw.
 *
 * Rules that hold here:
 * - The address is judged twice: before a socket is opened for it, and before the request
 *	 is written, which also covers a connection that was open already.
 * - A status counts once its header block is complete. From then on nothing that the body
 *	 does, or fails to do, changes the outcome: a 2xx stays a success.
 * - `sent` turns true immediately before the first byte of the request may leave.
 * - Body bytes are read up to a limit so that the connection can be used again, but
 *	 only the first 1 kB is kept, or what the request says; they are never decompressed.
 */
#include "transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base64.h"
#include "clock.h"
#include "easy.h"
#include "header.h"

#define RECEIVE_BUFFER 1024L /* the least that there is; most answers are shorter */
#define UPLOAD_BUFFER 16384L

/* A pooled connection is renewed after this, so that a receiver's new address is noticed. */
#define CONNECTION_LIFETIME_S 300L

/* ---- callbacks of libcurl ---- */

static curl_socket_t
open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	HdTransfer *transfer = context;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN || !hd_way_permits(&transfer->way, &address->addr))
	{
		transfer->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0)
		transfer->opened_socket = true;
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		transfer->local_failure = true;
	/* cppcheck-suppress resourceLeak ; libcurl owns the socket from here on */
	return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

/* Called with the connection made or found, before the request is written to it. */
static int
before_request(void *context, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	HdTransfer *transfer = context;
	struct sockaddr_storage address;

	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	if (!hd_address_parse(remote_ip, &address) ||
		!hd_way_permits(&transfer->way, (const struct sockaddr *) &address))
	{
		transfer->refused_address = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->sent = true;
	return CURL_PREREQFUNC_OK;
}

/* A new header block begins: what an interim or earlier answer said does not count. */
static void
begin_headers(HdTransfer *transfer)
{
	transfer->status = 0;
	transfer->block_length = 0;
	transfer->retry_after[0] = '\0';
	transfer->http_date[0] = '\0';
}

/* A line of the header block goes with the answer, where that is kept. */
static void
keep_line(HdTransfer *transfer, const char *line, size_t length)
{
	size_t most = (size_t) transfer->config->max_header_bytes;

	if (transfer->request->keep_bytes == 0)
		return;
	if (transfer->block == NULL)
		transfer->block = malloc(most);
	if (transfer->block == NULL || length > most - transfer->block_length)
		return;
	memcpy(transfer->block + transfer->block_length, line, length);
	transfer->block_length += length;
}

static void
end_headers(HdTransfer *transfer)
{
	long status = 0;

	if (curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
		status >= 200 && status <= 999)
		transfer->status = (int) status;
}

static void
keep_header(const char *line, size_t length, char *text, size_t size)
{
	size_t at = hd_header_value(line, length);

	hd_header_clean(line + at, length - at, text, size);
}

static size_t
receive_header(char *line, size_t size, size_t count, void *context)
{
	HdTransfer *transfer = context;
	size_t length = size * count;

	transfer->header_bytes += length;
	if (transfer->header_bytes > (size_t) transfer->config->max_header_bytes)
	{
		/* Trailers come after the status and may not undo it. */
		transfer->too_many_headers = transfer->status == 0;
		transfer->truncated = true;
		return 0;
	}
	/* A trailer: no part of the answer's head, whatever it looks like. */
	if (transfer->status > 0)
		return length;
	if (length >= 5 && memcmp(line, "HTTP/", 5) == 0)
		begin_headers(transfer);
	else
		keep_line(transfer, line, length);
	if (length > 0 && (line[0] == '\r' || line[0] == '\n'))
		end_headers(transfer);
	else if (hd_header_is(line, length, "Retry-After"))
		keep_header(line, length, transfer->retry_after, sizeof(transfer->retry_after));
	else if (hd_header_is(line, length, "Date"))
		keep_header(line, length, transfer->http_date, sizeof(transfer->http_date));
	return length;
}

/* How much of the body is wanted. */
static size_t
wanted_bytes(const HdTransfer *transfer)
{
	size_t keep = transfer->request->keep_bytes;

	return keep > HD_RESULT_EXCERPT ? keep : HD_RESULT_EXCERPT;
}

/*
 * An answer is cut at max_response_bytes and the piece that passes it, so no more of it is
 * ever kept; as it is counted here, it is base64 already, as it will be until it is reported.
 */
size_t
hd_transfer_bytes(const HdTransfer *transfer)
{
	size_t body = wanted_bytes(transfer);
	size_t most = (size_t) transfer->config->max_response_bytes + (size_t) RECEIVE_BUFFER;
	size_t bytes = transfer->request->bytes;

	if (transfer->request->keep_bytes > 0)
		bytes += HD_BASE64_SIZE((size_t) transfer->config->max_header_bytes);
	return bytes + HD_BASE64_SIZE(body < most ? body : most);
}

/* Room for so many bytes in all, as far as they are wanted; what there is when memory is short. */
static void
make_room(HdTransfer *transfer, size_t length)
{
	size_t wanted = wanted_bytes(transfer);
	size_t size = transfer->excerpt_size > 0 ? transfer->excerpt_size : HD_RESULT_EXCERPT;
	unsigned char *grown;

	while (size < length && size < wanted)
		size *= 2;
	if (size > wanted)
		size = wanted;
	if (size <= transfer->excerpt_size)
		return;
	grown = realloc(transfer->excerpt, size);
	if (grown == NULL)
		return;
	transfer->excerpt = grown;
	transfer->excerpt_size = size;
}

static size_t
receive_body(char *data, size_t size, size_t count, void *context)
{
	HdTransfer *transfer = context;
	size_t length = size * count;
	size_t most = wanted_bytes(transfer);
	size_t room;

	make_room(transfer, transfer->excerpt_length + length);
	if (most > transfer->excerpt_size)
		most = transfer->excerpt_size;
	room = most - transfer->excerpt_length;
	if (room > 0)
	{
		size_t part = length < room ? length : room;

		memcpy(transfer->excerpt + transfer->excerpt_length, data, part);
		transfer->excerpt_length += part;
	}
	transfer->body_bytes += length;
	if (transfer->request->keep_bytes > 0 && transfer->body_bytes > transfer->excerpt_length)
		transfer->truncated = true;
	if (transfer->body_bytes > (size_t) transfer->config->max_response_bytes)
	{
		transfer->truncated = true;
		return CURL_WRITEFUNC_ERROR;
	}
	return length;
}

/* ---- options ---- */

/* What every request has: nothing automatic, nothing followed, nothing taken from the environment. */
static CURLcode
set_common(const HdTransfer *transfer)
{
	const HdConfig *config = transfer->config;
	CURL *easy = transfer->easy;
	CURLcode code = CURLE_OK;

	HD_EASY_SET(CURLOPT_NOSIGNAL, 1L);
	HD_EASY_SET(CURLOPT_PROTOCOLS_STR, "http,https");
	HD_EASY_SET(CURLOPT_FOLLOWLOCATION, 0L);
	HD_EASY_SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	HD_EASY_SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	HD_EASY_SET(CURLOPT_SSL_VERIFYPEER, 1L);
	HD_EASY_SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (config->ca_file[0] != '\0')
		HD_EASY_SET(CURLOPT_CAINFO, config->ca_file);
	HD_EASY_SET(CURLOPT_USERAGENT, config->user_agent);
	HD_EASY_SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	HD_EASY_SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	HD_EASY_SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFETIME_S);
	/* Should libcurl look a name up after all, do not wait for its thread. */
	HD_EASY_SET(CURLOPT_QUICK_EXIT, 1L);
	return code;
}

static CURLcode
set_callbacks(HdTransfer *transfer)
{
	CURL *easy = transfer->easy;
	CURLcode code = CURLE_OK;

	HD_EASY_SET(CURLOPT_PRIVATE, transfer);
	HD_EASY_SET(CURLOPT_ERRORBUFFER, transfer->error);
	HD_EASY_SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	HD_EASY_SET(CURLOPT_OPENSOCKETDATA, transfer);
	HD_EASY_SET(CURLOPT_PREREQFUNCTION, before_request);
	HD_EASY_SET(CURLOPT_PREREQDATA, transfer);
	HD_EASY_SET(CURLOPT_HEADERFUNCTION, receive_header);
	HD_EASY_SET(CURLOPT_HEADERDATA, transfer);
	HD_EASY_SET(CURLOPT_WRITEFUNCTION, receive_body);
	HD_EASY_SET(CURLOPT_WRITEDATA, transfer);
	return code;
}

/* The method decides what a missing body means: none at all, or one of no bytes. */
static CURLcode
set_method_and_body(const HdTransfer *transfer)
{
	const HdRequest *request = transfer->request;
	CURL *easy = transfer->easy;
	CURLcode code = CURLE_OK;
	bool expects_body = strcmp(request->method, "POST") == 0 ||
						strcmp(request->method, "PUT") == 0 ||
						strcmp(request->method, "PATCH") == 0;

	if (request->body != NULL || expects_body)
	{
		HD_EASY_SET(CURLOPT_POST, 1L);
		HD_EASY_SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
		HD_EASY_SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
	}
	else if (strcmp(request->method, "HEAD") == 0)
		HD_EASY_SET(CURLOPT_NOBODY, 1L);
	else
		HD_EASY_SET(CURLOPT_HTTPGET, 1L);
	HD_EASY_SET(CURLOPT_CUSTOMREQUEST, request->method);
	return code;
}

/*
 * libcurl refers to the key in the request's memory, and copies the certificates to know the
 * connections that were made with them: one is never lent to a request with others, or none.
 */
static CURLcode
set_identity(const HdRequest *request, CURL *easy)
{
	struct curl_blob certificates = {.data = request->identity,
									 .len = request->certificate_length,
									 .flags = CURL_BLOB_NOCOPY};
	struct curl_blob key = {.data = request->identity + request->certificate_length,
							.len = request->key_length,
							.flags = CURL_BLOB_NOCOPY};
	CURLcode code = CURLE_OK;

	HD_EASY_SET(CURLOPT_SSLCERTTYPE, "PEM");
	HD_EASY_SET(CURLOPT_SSLCERT_BLOB, &certificates);
	HD_EASY_SET(CURLOPT_SSLKEYTYPE, "PEM");
	HD_EASY_SET(CURLOPT_SSLKEY_BLOB, &key);
	return code;
}

bool
hd_transfer_is_late(const HdTransfer *transfer)
{
	const HdRequest *request = transfer->request;

	return request->within_us > 0 && hd_clock_us() > request->claimed_at + request->within_us;
}

CURLcode
hd_transfer_prepare(HdTransfer *transfer)
{
	const HdRequest *request = transfer->request;
	CURL *easy = transfer->easy;
	int64_t left_us = request->received_at + request->timeout_us - hd_clock_us();
	long left_ms = left_us > HD_US_PER_MS ? (long) (left_us / HD_US_PER_MS) : 1L;
	long connect_ms = (long) transfer->config->connect_timeout;
	CURLcode code = set_common(transfer);

	transfer->sent_at = hd_clock_wall_us();

	if (code == CURLE_OK)
		code = set_callbacks(transfer);
	if (code == CURLE_OK)
		code = set_method_and_body(transfer);
	HD_EASY_SET(CURLOPT_URL, request->url);
	HD_EASY_SET(CURLOPT_HTTPHEADER, request->headers);
	HD_EASY_SET(CURLOPT_TIMEOUT_MS, left_ms);
	HD_EASY_SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms < left_ms ? connect_ms : left_ms);
	if (code == CURLE_OK)
		code = hd_way_apply(&transfer->way, easy);
	if (code == CURLE_OK && request->identity != NULL)
		code = set_identity(request, easy);
	return code;
}

/* ---- life ---- */

HdTransfer *
hd_transfer_create(void *owner, const HdConfig *config)
{
	HdTransfer *transfer = calloc(1, sizeof(*transfer));

	if (transfer == NULL)
		return NULL;
	transfer->owner = owner;
	transfer->config = config;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	return transfer;
}

void
hd_transfer_free(HdTransfer *transfer)
{
	if (transfer == NULL)
		return;
	hd_transfer_end(transfer);
	hd_timer_free(&transfer->deadline);
	curl_easy_cleanup(transfer->easy);
	free(transfer->excerpt);
	free(transfer->block);
	free(transfer);
}

bool
hd_transfer_begin(HdTransfer *transfer, HdRequest *request)
{
	transfer->result = calloc(1, sizeof(*transfer->result));
	if (transfer->result == NULL)
		return false;
	transfer->result->id = request->id;
	transfer->result->token = request->token;
	transfer->request = request;
	transfer->looked_up_at = 0;
	transfer->refused_address = false;
	transfer->opened_socket = false;
	transfer->connected = false;
	transfer->local_failure = false;
	transfer->sent = false;
	transfer->too_many_headers = false;
	transfer->truncated = false;
	transfer->header_bytes = 0;
	transfer->body_bytes = 0;
	transfer->excerpt_length = 0;
	transfer->sent_at = 0;
	transfer->error[0] = '\0';
	begin_headers(transfer);
	return true;
}

void
hd_transfer_end(HdTransfer *transfer)
{
	/* The handle points into the request and at the list: reset it before they go. */
	curl_easy_reset(transfer->easy);
	hd_way_end(&transfer->way);
	hd_request_free(transfer->request);
	transfer->request = NULL;
	hd_result_free(transfer->result);
	transfer->result = NULL;
	if (transfer->excerpt_size > HD_RESULT_EXCERPT)
	{
		free(transfer->excerpt);
		transfer->excerpt = NULL;
		transfer->excerpt_size = 0;
	}
	free(transfer->block);
	transfer->block = NULL;
	transfer->state = HD_TRANSFER_IDLE;
}

/* ---- outcome ---- */

const char hd_transfer_blocked[] = "the address is not one that deliveries may reach";

static HdOutcome
outcome_of_code(CURLcode code, bool sent)
{
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return HD_OUTCOME_DNS;
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_PROXY:
			return HD_OUTCOME_PROXY;
		case CURLE_COULDNT_CONNECT:
		case CURLE_INTERFACE_FAILED:
			return HD_OUTCOME_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_CLIENTCERT:
		case CURLE_SSL_ENGINE_INITFAILED:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_SHUTDOWN_FAILED:
			return HD_OUTCOME_TLS;
		case CURLE_OPERATION_TIMEDOUT:
			return HD_OUTCOME_TIMEOUT;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
		case CURLE_SEND_FAIL_REWIND:
		case CURLE_OUT_OF_MEMORY: /* of a request that was sent: its answer was given up */
			return HD_OUTCOME_RESET;
		case CURLE_URL_MALFORMAT:
			return HD_OUTCOME_INVALID;
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* Also what libcurl says to an answer without a status line (HTTP/0.9). */
			return sent ? HD_OUTCOME_PROTOCOL : HD_OUTCOME_INVALID;
		default:
			return HD_OUTCOME_PROTOCOL;
	}
}

/* Could the proxy say that the receiver does not let itself be reached? */
static bool
is_receivers_fault(CURL *easy, CURLcode code, long connect_status)
{
	long detail = 0;

	if (code != CURLE_PROXY)
		return connect_status >= 502 && connect_status <= 504;
	return curl_easy_getinfo(easy, CURLINFO_PROXY_ERROR, &detail) == CURLE_OK &&
		   (detail == CURLPX_REPLY_GENERAL_SERVER_FAILURE ||
			detail == CURLPX_REPLY_NETWORK_UNREACHABLE || detail == CURLPX_REPLY_HOST_UNREACHABLE ||
			detail == CURLPX_REPLY_CONNECTION_REFUSED || detail == CURLPX_REPLY_TTL_EXPIRED);
}

/*
 * Before a byte of the request has left: whose fault it was. Once the proxy is connected, one
 * that does not answer is as likely waiting for the receiver, which is charged: what the proxy
 * is blamed for is put off without end.
 */
static HdOutcome
outcome_through_proxy(const HdTransfer *transfer, CURLcode code)
{
	HdOutcome outcome = outcome_of_code(code, false);
	long connect_status = 0;

	if (curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status) != CURLE_OK)
		return HD_OUTCOME_PROXY;
	if (outcome == HD_OUTCOME_TLS || (connect_status >= 200 && connect_status <= 299))
		return outcome;
	if (is_receivers_fault(transfer->easy, code, connect_status))
		return HD_OUTCOME_CONNECT;
	return outcome == HD_OUTCOME_TIMEOUT && transfer->connected ? outcome : HD_OUTCOME_PROXY;
}

/* After these libcurl may leave a handle half set up, which then fails every request. */
static bool
is_spoiling(CURLcode code)
{
	return code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT ||
		   code == CURLE_BAD_FUNCTION_ARGUMENT;
}

/* Did it end for a reason of our own, before a byte of the request left? */
static bool
is_local_failure(const HdTransfer *transfer, CURLcode code)
{
	if (transfer->sent)
		return false;
	return is_spoiling(code) || (transfer->local_failure && !transfer->opened_socket);
}

static HdOutcome
outcome_of(const HdTransfer *transfer, CURLcode code)
{
	bool through_proxy = transfer->way.proxy != NULL;

	/* In a tunnel this is the receiver's answer, outside of it the proxy's. */
	if (transfer->status == 407 && through_proxy && !hd_way_tunnels(&transfer->way))
		return HD_OUTCOME_PROXY;
	if (transfer->status > 0)
		return HD_OUTCOME_HTTP;
	/* One refused address among several does not matter when another could be tried. */
	if (transfer->refused_address && !transfer->sent &&
		(!transfer->opened_socket || code == CURLE_ABORTED_BY_CALLBACK))
		return HD_OUTCOME_BLOCKED;
	if (transfer->too_many_headers)
		return HD_OUTCOME_PROTOCOL;
	if (through_proxy && !transfer->sent)
		return outcome_through_proxy(transfer, code);
	return outcome_of_code(code, transfer->sent);
}

static void
write_error(const HdTransfer *transfer, CURLcode code, HdResult *result)
{
	const char *error = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);

	if (result->outcome == HD_OUTCOME_BLOCKED)
		error = transfer->way.proxy != NULL ? "the proxy's address is not one that may be reached"
											: hd_transfer_blocked;
	else if (transfer->header_bytes > (size_t) transfer->config->max_header_bytes)
		error = "the answer has more header bytes than max_header_bytes";
	else if (transfer->body_bytes > (size_t) transfer->config->max_response_bytes)
		error = "the answer's body was cut off at max_response_bytes";
	else if (code == CURLE_OK)
		error = transfer->truncated ? "the answer's body is longer than the request wanted" : "";
	hd_header_clean(error, strlen(error), result->error, sizeof(result->error));
}

static int64_t
time_info(CURL *easy, CURLINFO info)
{
	curl_off_t value = 0;

	return curl_easy_getinfo(easy, info, &value) == CURLE_OK && value > 0 ? value : 0;
}

/* Phases are durations; ttfb and total count from the row's arrival, the lookup included. */
static void
write_times(const HdTransfer *transfer, HdResult *result)
{
	int64_t received = transfer->request->received_at;
	int64_t total = time_info(transfer->easy, CURLINFO_TOTAL_TIME_T);
	int64_t name_lookup = time_info(transfer->easy, CURLINFO_NAMELOOKUP_TIME_T);
	int64_t connect = time_info(transfer->easy, CURLINFO_CONNECT_TIME_T);
	int64_t handshake = time_info(transfer->easy, CURLINFO_APPCONNECT_TIME_T);
	int64_t first_byte = time_info(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T);

	result->total_us = hd_clock_us() - received;
	if (transfer->looked_up_at > 0)
		result->dns_us = transfer->looked_up_at - received;
	if (!result->reused && connect > name_lookup)
		result->connect_us = connect - name_lookup;
	if (!result->reused && handshake > connect)
		result->tls_us = handshake - connect;
	if (first_byte > 0 && result->total_us > total - first_byte)
		result->ttfb_us = result->total_us - (total - first_byte);
}

static void
write_connection(const HdTransfer *transfer, HdResult *result)
{
	const char *remote_ip = NULL;
	long opened = 0;

	if (curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &remote_ip) == CURLE_OK &&
		remote_ip != NULL)
		snprintf(result->remote_ip, sizeof(result->remote_ip), "%s", remote_ip);
	if (curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &opened) == CURLE_OK)
		result->reused = transfer->sent && opened == 0;
}

/* Takes the prepared result out of the transfer. */
static HdResult *
take_result(HdTransfer *transfer, HdOutcome outcome)
{
	HdResult *result = transfer->result;

	transfer->result = NULL;
	result->outcome = outcome;
	result->sent = transfer->sent;
	result->sent_at = transfer->sent_at;
	return result;
}

HdResult *
hd_transfer_failure(HdTransfer *transfer, HdOutcome outcome, const char *error)
{
	HdResult *result = take_result(transfer, outcome);

	hd_header_clean(error, strlen(error), result->error, sizeof(result->error));
	result->total_us = hd_clock_us() - transfer->request->received_at;
	if (outcome == HD_OUTCOME_DNS)
		result->dns_us = result->total_us;
	return result;
}

/* Without memory for it the text is left out; the outcome is what counts. */
static char *
encoded(const unsigned char *bytes, size_t length)
{
	char *text = length > 0 ? malloc(HD_BASE64_SIZE(length)) : NULL;

	if (text != NULL)
		hd_base64_encode(bytes, length, text);
	return text;
}

HdResult *
hd_transfer_result(HdTransfer *transfer, CURLcode code)
{
	HdResult *result;

	transfer->spoilt = is_spoiling(code);
	if (is_local_failure(transfer, code))
		return NULL;
	result = take_result(transfer, outcome_of(transfer, code));
	result->status = transfer->status;
	result->truncated = transfer->truncated || (transfer->status > 0 && code != CURLE_OK);
	memcpy(result->retry_after, transfer->retry_after, sizeof(result->retry_after));
	memcpy(result->http_date, transfer->http_date, sizeof(result->http_date));
	write_error(transfer, code, result);
	write_connection(transfer, result);
	write_times(transfer, result);
	result->excerpt = encoded(transfer->excerpt, transfer->excerpt_length);
	if (transfer->status > 0)
		result->headers = encoded(transfer->block, transfer->block_length);
	return result;
}
