/*
 * notify.c
 *	  Tells the service manager how the edge is: sd_notify's protocol, by hand.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The address that the variable names; 0 when that is none. */
static socklen_t
socket_address(const char *name, struct sockaddr_un *address)
{
	size_t length = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof(address->sun_path))
		return 0;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, length);
	/* An abstract name has no terminator: it would be one more byte of it. */
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	else
		length++;
	return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
}

bool
hd_notify(const char *text)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	ssize_t sent;
	int fd;

	if (name == NULL)
		return true;
	length = socket_address(name, &address);
	if (length == 0)
	{
		errno = EINVAL;
		return false;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *) &address, length);
	close(fd);
	return sent == (ssize_t) strlen(text);
}

int64_t
hd_notify_watchdog_us(void)
{
	const char *timeout = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	long long microseconds;
	char *end;

	if (timeout == NULL || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	microseconds = strtoll(timeout, &end, 10);
	return *end == '\0' && microseconds > 0 ? microseconds : 0;
}
