/*
 * notify_test.c
 *	  Datagrams to a service manager's socket, by path and by abstract name.
 */
#include "notify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

/* Binds a name ("@": abstract), sends a text to it, and compares what arrives. */
static bool
arrives(const char *name, const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char received[128] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	socklen_t length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
	bool same;

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	same = bind(fd, (const struct sockaddr *) &address, length) == 0 &&
		   setenv("NOTIFY_SOCKET", name, 1) == 0 && hd_notify(text) &&
		   recv(fd, received, sizeof(received) - 1, MSG_DONTWAIT) == (ssize_t) strlen(text) &&
		   strcmp(received, text) == 0;
	close(fd);
	return same;
}

static bool
is_refused(const char *name)
{
	return setenv("NOTIFY_SOCKET", name, 1) == 0 && !hd_notify("READY=1");
}

static int64_t
watchdog(const char *microseconds, const char *pid)
{
	if (setenv("WATCHDOG_USEC", microseconds, 1) != 0 ||
		(pid == NULL ? unsetenv("WATCHDOG_PID") : setenv("WATCHDOG_PID", pid, 1)) != 0)
		return -1;
	return hd_notify_watchdog_us();
}

int
main(void)
{
	char folder[] = "/tmp/hotdash-notify-XXXXXX";
	char path[64];
	char own[32];
	char abstract[64];
	char longest[sizeof(((struct sockaddr_un *) NULL)->sun_path) + 1];

	CHECK(unsetenv("NOTIFY_SOCKET") == 0 && hd_notify("READY=1"), "without a manager all is well");
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/notify", folder);
	snprintf(abstract, sizeof(abstract), "@hotdash-test-%d", (int) getpid());
	CHECK(arrives(path, "READY=1"), "a path");
	CHECK(unlink(path) == 0 && rmdir(folder) == 0, "its end");
	CHECK(is_refused(path), "nobody listens there any more");
	CHECK(arrives(abstract, "STOPPING=1\nSTATUS=bye"), "an abstract name");
	CHECK(is_refused("relative") && is_refused("@") && is_refused("/"), "what is no name");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	CHECK(is_refused(longest), "a name that is too long");

	snprintf(own, sizeof(own), "%d", (int) getpid());
	CHECK(watchdog("1500000", NULL) == 1500000, "a watchdog for anybody");
	CHECK(watchdog("1500000", own) == 1500000, "for us");
	CHECK(watchdog("1500000", "1") == 0, "for another process");
	CHECK(watchdog("soon", NULL) == 0 && watchdog("-1", NULL) == 0, "nonsense");
	return check_end();
}
