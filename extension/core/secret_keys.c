/*-------------------------------------------------------------------------
 * secret_keys.c
 *		The keys that seal secrets, from a file.
 *
 * Model: secret_keys.h.  No message of this file shows a byte of a line.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/secret_keys.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_FILE 65536
#define MAX_PROBLEM 256

/* hotdash.secret_key_file: relative to the data directory; empty: secrets are stored plain. */
static char *key_file = NULL;

/* What this backend knows of the file. */
static HdSecretKey *keys = NULL;		/* newest first */
static char problem[MAX_PROBLEM];		/* of the last reading; empty: none */
static bool was_read = false;			/* at least once */
static TimestampTz read_for_reload = 0; /* the reload that the last reading followed */

void
hd_secret_keys_define(void)
{
	DefineCustomStringVariable("hotdash.secret_key_file",
							   "File with the keys that encrypt secrets at rest.",
							   "Relative to the data directory. Empty: secrets are not encrypted.",
							   &key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

static bool fail(const char *format, ...) pg_attribute_printf(1, 2);

/* Note why the file cannot be used; false. */
static bool
fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	return false;
}

/* The rules of ssl_key_file. */
static bool
check_file(int fd, off_t *size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail("could not stat the file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail("it is not a regular file");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return fail("it must belong to the server's user or to root");
	if ((st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) ||
		(st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0))
		return fail("group or world has access to it; it must have mode 0600, or 0640 if root "
					"owns it");
	if (st.st_size > MAX_FILE)
		return fail("it is larger than %d bytes", MAX_FILE);
	*size = st.st_size;
	return true;
}

/* Read the file into text, room for MAX_FILE + 1 bytes. */
static bool
read_file(char *text)
{
	int fd = OpenTransientFile(key_file, O_RDONLY | PG_BINARY);
	off_t size = 0;
	ssize_t got = -1;

	if (fd < 0)
		return fail("could not open the file: %s", strerror(errno));
	if (check_file(fd, &size))
	{
		/* not stdio, whose buffers nobody wipes */
		got = read(fd, text, size);
		if (got != size)
		{
			fail("could not read the file");
			got = -1;
		}
	}
	CloseTransientFile(fd);
	if (got < 0)
		return false;
	text[got] = '\0';
	return true;
}

static void
free_keys(HdSecretKey *list)
{
	while (list != NULL)
	{
		HdSecretKey *next = list->next;

		EVP_CIPHER_CTX_free(list->seal);
		EVP_CIPHER_CTX_free(list->open);
		pfree(list);
		list = next;
	}
}

static HdSecretKey *
find(HdSecretKey *list, const char *id, int length)
{
	while (list != NULL && (list->id_length != length || memcmp(list->id, id, length) != 0))
		list = list->next;
	return list;
}

/* NULL when libcrypto cannot. */
static HdSecretKey *
make_key(const char *id, int length, const uint8 *bytes)
{
	HdSecretKey *key = MemoryContextAllocZero(TopMemoryContext, sizeof(HdSecretKey));

	key->id_length = length;
	memcpy(key->id, id, length);
	key->seal = EVP_CIPHER_CTX_new();
	key->open = EVP_CIPHER_CTX_new();
	if (key->seal != NULL && key->open != NULL &&
		EVP_EncryptInit_ex(key->seal, EVP_aes_256_gcm(), NULL, bytes, NULL) == 1 &&
		EVP_DecryptInit_ex(key->open, EVP_aes_256_gcm(), NULL, bytes, NULL) == 1)
		return key;
	ERR_clear_error();
	free_keys(key);
	return NULL;
}

static bool
valid_id(const char *id, int length)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	return length >= 1 && length <= HD_SECRET_KEY_ID_MAX && strspn(id, allowed) == length;
}

/* One line, without its end, as a key at the end of the list. */
static bool
parse_line(char *line, int number, HdSecretKey **list)
{
	uint8 bytes[HD_SECRET_KEY_BYTES + 3];
	char *colon = strchr(line, ':');
	HdSecretKey *key = NULL;
	int length;

	if (line[strspn(line, " \t\r")] == '\0' || line[0] == '#')
		return true;
	if (colon == NULL || !valid_id(line, colon - line))
		return fail("line %d does not begin with the id of a key and a colon", number);
	if (find(*list, line, colon - line) != NULL)
		return fail("line %d repeats the id of a key", number);
	colon++;
	colon += strspn(colon, " \t");
	length = strcspn(colon, " \t\r");
	if (colon[length + strspn(colon + length, " \t\r")] == '\0' &&
		pg_b64_decode(colon, length, (void *) bytes, sizeof(bytes)) == HD_SECRET_KEY_BYTES)
		key = make_key(line, strchr(line, ':') - line, bytes);
	explicit_bzero(bytes, sizeof(bytes));
	if (key == NULL)
		return fail("line %d does not hold base64 of %d bytes", number, HD_SECRET_KEY_BYTES);
	while (*list != NULL)
		list = &(*list)->next;
	*list = key;
	return true;
}

static bool
parse_file(char *text, HdSecretKey **list)
{
	int number = 0;

	while (text != NULL)
	{
		char *line = text;

		text = strchr(text, '\n');
		if (text != NULL)
			*text++ = '\0';
		if (!parse_line(line, ++number, list))
			return false;
	}
	return *list != NULL || fail("it holds no key");
}

/* Keep what there is where the file cannot be used. */
static void
load(void)
{
	HdSecretKey *list = NULL;
	char *text;

	was_read = true;
	read_for_reload = PgReloadTime;
	problem[0] = '\0';
	if (key_file == NULL || key_file[0] == '\0')
	{
		free_keys(keys);
		keys = NULL;
		return;
	}

	text = palloc(MAX_FILE + 1);
	if (read_file(text) && parse_file(text, &list))
	{
		free_keys(keys);
		keys = list;
	}
	else
		free_keys(list);
	explicit_bzero(text, MAX_FILE + 1);
	pfree(text);
}

static void
refresh(void)
{
	if (!was_read || read_for_reload != PgReloadTime)
		load();
}

HdSecretKey *
hd_secret_keys_newest(void)
{
	refresh();
	if (problem[0] != '\0')
		load();
	if (problem[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the key file of secrets cannot be used"), errdetail("%s.", problem),
						errhint("It is named by the setting hotdash.secret_key_file.")));
	return keys;
}

HdSecretKey *
hd_secret_keys_find(const char *id, int length)
{
	refresh();
	return find(keys, id, length);
}

bool
hd_secret_keys_is_newest(const char *id, int length)
{
	refresh();
	return keys != NULL && keys->id_length == length && memcmp(keys->id, id, length) == 0;
}

const char *
hd_secret_keys_problem(void)
{
	load();
	return problem[0] != '\0' ? problem : NULL;
}
