/*-------------------------------------------------------------------------
 * receiver.c
 *		The benchmark's HTTP receiver: answers 204 to everything and counts.
 *
 * Purpose: to cost so little that the benchmark measures the sender.  One
 * thread on libmicrohttpd's epoll loop; signatures are checked by the demo's
 * receiver, not here.
 *
 * Prints the port it chose on 127.0.0.1 and serves until it is killed; GET
 * answers with the number of POSTs so far.
 *-------------------------------------------------------------------------
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long posts = 0;
static int body_follows;

static enum MHD_Result
respond(struct MHD_Connection *connection, unsigned int status, char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_queue_response(connection, status, response);

	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *data, size_t *size, void **state)
{
	char count[32];

	(void) arg;
	(void) url;
	(void) version;
	(void) data;
	if (*state == NULL)
	{
		*state = &body_follows;
		return MHD_YES;
	}
	if (*size > 0)
	{
		*size = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0)
	{
		posts++;
		return respond(connection, MHD_HTTP_NO_CONTENT, "");
	}
	snprintf(count, sizeof(count), "%lu\n", posts);
	return respond(connection, MHD_HTTP_OK, count);
}

int
main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct MHD_Daemon *daemon;
	const union MHD_DaemonInfo *info;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
							  handle, NULL, MHD_OPTION_SOCK_ADDR, &address,
							  MHD_OPTION_CONNECTION_LIMIT, 4096u, MHD_OPTION_END);
	if (daemon == NULL)
	{
		fprintf(stderr, "the receiver could not start\n");
		return EXIT_FAILURE;
	}
	info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	printf("%u\n", (unsigned int) info->port);
	fflush(stdout);
	for (;;)
		pause();
}
