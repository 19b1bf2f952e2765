/*
 * peer.c
 *	  One connection to the listener, and the deadline that it has.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"

#define LATE_BODY "{\"error\":\"the request took too long to come\"}"
_Static_assert(sizeof(LATE_BODY) - 1 == 45, "the length that the answer announces");

static const char late_answer[] = "HTTP/1.1 408 Request Timeout\r\n"
								  "Content-Type: " HD_REPLY_JSON "\r\n"
								  "Content-Length: 45\r\n"
								  "Connection: close\r\n\r\n" LATE_BODY;

HdPeer *
hd_peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

HdPeer *
hd_peer_add(HdPeer **list, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	HdPeer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->fd = info != NULL ? info->connect_fd : -1;
	peer->since = hd_clock_us();
	peer->next = *list;
	if (*list != NULL)
		(*list)->previous = peer;
	*list = peer;
	hd_metrics_add(HD_METRIC_LISTENER_CONNECTIONS, 1);
	return peer;
}

void
hd_peer_remove(HdPeer **list, HdPeer *peer)
{
	if (peer->previous != NULL)
		peer->previous->next = peer->next;
	else
		*list = peer->next;
	if (peer->next != NULL)
		peer->next->previous = peer->previous;
	hd_metrics_add(HD_METRIC_LISTENER_CONNECTIONS, -1);
	free(peer);
}

/*
 * Nothing of an answer has been written while a request is still coming, so its end can be told
 * on the bare socket, which libmicrohttpd then finds closed.
 */
static void
cut(HdPeer *peer)
{
	HdRoute route = peer->call != NULL ? peer->call->route : HD_ROUTE_OTHER;
	bool coming = peer->begun && (peer->call == NULL || peer->call->task.reply.status == 0);

	peer->cut = true;
	hd_metrics_add(HD_METRIC_LISTENER_TIMEOUTS, 1);
	if (coming)
	{
		if (send(peer->fd, late_answer, sizeof(late_answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			hd_log(HD_LOG_DEBUG, "a late peer of the listener could not be told: %s",
				   strerror(errno));
		hd_metrics_status(HD_METRIC_LISTENER_REQUESTS + route * HD_STATUS_CLASSES, 408);
	}
	(void) shutdown(peer->fd, SHUT_RDWR);
}

void
hd_peer_cut_late(HdPeer *list, int64_t before)
{
	for (HdPeer *peer = list; peer != NULL; peer = peer->next)
	{
		bool waits = peer->call != NULL && peer->call->suspended;

		if (!waits && !peer->cut && peer->since < before)
			cut(peer);
	}
}
