/*-------------------------------------------------------------------------
 * diskfull.c
 *		A disk that is full on demand, for a server that is started with this
 *		library in LD_PRELOAD.
 *
 * Model: HOTDASH_FULL names a file.  While it exists, each of its lines is the
 * absolute path of a folder or file in which nothing can grow any more: what
 * would write or allocate beyond the end of a regular file below it fails with
 * ENOSPC, as the kernel says it.  Writes to space that a file has go through,
 * as on a full disk.  The file is read at every call, so a test fills and
 * empties the disk under a running server.
 *
 * Caveats: what a program writes through stdio does not pass here.  Files
 * grow by ftruncate as they do on a full disk, since a hole needs no space;
 * a hole that is written to later is not seen as growth.  Creating an empty
 * file succeeds.  For machines with 64 bits of offset in the plain calls.
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_LIST 4096

/* The lines of the list; false when the disk has room everywhere. */
static bool
read_list(char *list)
{
	const char *name = getenv("HOTDASH_FULL");
	int fd = (name != NULL) ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, list, MAX_LIST - 1);
	close(fd);
	list[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Whether a path is one of the lines, or below one. */
static bool
is_listed(char *list, const char *path)
{
	char *rest = list;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		size_t length = strlen(line);

		if (length > 0 && strncmp(path, line, length) == 0 &&
			(path[length] == '/' || path[length] == '\0'))
			return true;
	}
	return false;
}

static bool
file_path(int fd, char *path)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return true;
}

/* Whether there is no room for a file to reach that far; an end of -1 is behind length more bytes. */
static bool
is_full(int fd, off_t end, size_t length)
{
	int saved = errno;
	char list[MAX_LIST];
	char path[PATH_MAX];
	struct stat st;
	bool full = false;

	if (read_list(list) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && file_path(fd, path) &&
		is_listed(list, path))
	{
		if (end < 0)
			end = lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR) +
				  (off_t) length;
		full = end > st.st_size;
	}
	errno = saved;
	return full;
}

static size_t
total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The function of that name in the library behind this one. */
static void *
next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		abort();
	return function;
}

ssize_t
write(int fd, const void *data, size_t length)
{
	static ssize_t (*real)(int, const void *, size_t);

	if (real == NULL)
		real = next("write");
	if (is_full(fd, -1, length))
	{
		errno = ENOSPC;
		return -1;
	}
	return real(fd, data, length);
}

ssize_t
pwrite(int fd, const void *data, size_t length, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (real == NULL)
		real = next("pwrite");
	if (is_full(fd, offset + (off_t) length, 0))
	{
		errno = ENOSPC;
		return -1;
	}
	return real(fd, data, length, offset);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);

	if (real == NULL)
		real = next("pwritev");
	if (is_full(fd, offset + (off_t) total(iov, n), 0))
	{
		errno = ENOSPC;
		return -1;
	}
	return real(fd, iov, n, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	static int (*real)(int, off_t, off_t);

	if (real == NULL)
		real = next("posix_fallocate");
	return is_full(fd, offset + length, 0) ? ENOSPC : real(fd, offset, length);
}
