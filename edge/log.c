/*
 * log.c
 *	  Lines on stderr, as text or as one JSON object each.
 *
 * One write() a line, so that lines of several processes on one pipe do not mix.
 * The sender's loop and the listener's log; the resolver's threads hand their errors over.
 */
#include "log.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define LINE_MAX_BYTES 1024

/* Changed by the sender's thread on SIGHUP, read by both. */
static _Atomic HdLogLevel log_level = HD_LOG_INFO;
static _Atomic HdLogFormat log_format = HD_LOG_TEXT;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void
hd_log_configure(HdLogLevel level, HdLogFormat format)
{
	log_level = level;
	log_format = format;
}

/* A log that cannot be written must not stop deliveries, so a short write is let go. */
static void
write_line(const char *line, size_t length)
{
	ssize_t written = write(STDERR_FILENO, line, length);

	(void) written;
}

static void
write_text(HdLogLevel level, const char *when, const char *message)
{
	char line[LINE_MAX_BYTES + 64];
	int length = snprintf(line, sizeof(line), "%s %s: %s\n", when, level_names[level], message);

	if (length > 0)
		write_line(line, (size_t) length < sizeof(line) ? (size_t) length : sizeof(line) - 1);
}

static bool
write_json(HdLogLevel level, const char *when, const char *message)
{
	cJSON *object = cJSON_CreateObject();
	char *line = NULL;
	bool done = false;

	if (object == NULL || cJSON_AddStringToObject(object, "time", when) == NULL ||
		cJSON_AddStringToObject(object, "level", level_names[level]) == NULL ||
		cJSON_AddStringToObject(object, "message", message) == NULL)
		goto out;
	line = cJSON_PrintUnformatted(object);
	if (line == NULL)
		goto out;

	/* The terminator's place takes the newline, so that one write() carries the line. */
	size_t length = strlen(line);

	line[length] = '\n';
	write_line(line, length + 1);
	done = true;
out:
	free(line);
	cJSON_Delete(object);
	return done;
}

void
hd_log(HdLogLevel level, const char *format, ...)
{
	char message[LINE_MAX_BYTES];
	char when[HD_CLOCK_TEXT];
	va_list args;

	if (level < log_level)
		return;
	va_start(args, format);
	if (vsnprintf(message, sizeof(message), format, args) < 0)
		message[0] = '\0';
	va_end(args);

	/* Texts of servers and libraries must not be able to forge a line. */
	for (char *c = message; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	hd_clock_wall_text(when);
	if (log_format != HD_LOG_JSON || !write_json(level, when, message))
		write_text(level, when, message);
}
