/*
 * conninfo.c
 *	  What a connection string leaves out, and which of its hosts is tried first.
 */
#include "conninfo.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

typedef struct Default
{
	const char *keyword;
	const char *value;
} Default;

/* A server that is gone without a word is noticed within half a minute, whether we write or wait. */
static const Default defaults[] = {
	{"target_session_attrs", "read-write"},
	{"keepalives_idle", "10"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "30000"},
	{"fallback_application_name", "hotdash-edge"},
	{"client_encoding", "UTF8"},
};

/* Lists that libpq walks in step, one entry a host. */
static const char *const host_keywords[] = {"host", "hostaddr", "port"};

static bool
is_host_keyword(const char *keyword)
{
	for (size_t i = 0; i < HD_COUNT(host_keywords); i++)
	{
		if (strcmp(keyword, host_keywords[i]) == 0)
			return true;
	}
	return false;
}

char *
hd_conninfo_rotate(const char *list, unsigned turn)
{
	size_t length = strlen(list);
	char *rotated = malloc(length + 2);
	size_t items = 1;
	const char *second = list;

	if (rotated == NULL)
		return NULL;
	for (const char *c = list; *c != '\0'; c++)
		items += *c == ',';
	for (size_t skip = turn % items; skip > 0; skip--)
		second = strchr(second, ',') + 1;

	/* "a,b,c" turned once is "b,c" then "," then "a". */
	memcpy(rotated, second, strlen(second) + 1);
	if (second != list)
	{
		size_t first_length = (size_t) (second - list) - 1;
		size_t used = strlen(second);

		rotated[used++] = ',';
		memcpy(rotated + used, list, first_length);
		rotated[used + first_length] = '\0';
	}
	return rotated;
}

static bool
append(HdConninfo *conninfo, const char *keyword, char *value)
{
	char *copy = strdup(keyword);

	if (copy == NULL || value == NULL)
	{
		free(copy);
		free(value);
		return false;
	}
	conninfo->keywords[conninfo->count] = copy;
	conninfo->values[conninfo->count] = value;
	conninfo->count++;
	return true;
}

/* The options that carry a value; PQconninfoParse() returns all that there are. */
static bool
append_given(HdConninfo *conninfo, const PQconninfoOption *options, unsigned turn)
{
	for (; options->keyword != NULL; options++)
	{
		if (options->val == NULL)
			continue;
		/* A single entry holds for every host and stays as it is under rotation. */
		if (!append(conninfo, options->keyword,
					is_host_keyword(options->keyword) ? hd_conninfo_rotate(options->val, turn)
													  : strdup(options->val)))
			return false;
	}
	return true;
}

static bool
is_given(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
	{
		if (strcmp(options->keyword, keyword) == 0)
			return options->val != NULL;
	}
	return false;
}

static bool
append_defaults(HdConninfo *conninfo, const PQconninfoOption *options)
{
	for (size_t i = 0; i < HD_COUNT(defaults); i++)
	{
		bool given = is_given(options, defaults[i].keyword);

		/* The one default that libpq's environment has a name for gives way to it. */
		if (strcmp(defaults[i].keyword, "target_session_attrs") == 0)
			given |= getenv("PGTARGETSESSIONATTRS") != NULL;
		if (!given && !append(conninfo, defaults[i].keyword, strdup(defaults[i].value)))
			return false;
	}
	return true;
}

bool
hd_conninfo_build(const char *text, unsigned turn, HdConninfo *conninfo)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);
	size_t room = HD_COUNT(defaults) + 1;
	bool done = false;

	*conninfo = (HdConninfo){NULL, NULL, 0};
	if (options == NULL)
		return false;
	for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
		room++;
	conninfo->keywords = calloc(room, sizeof(char *));
	conninfo->values = calloc(room, sizeof(char *));
	if (conninfo->keywords != NULL && conninfo->values != NULL)
		done = append_given(conninfo, options, turn) && append_defaults(conninfo, options);
	PQconninfoFree(options);
	return done;
}

void
hd_conninfo_free(HdConninfo *conninfo)
{
	for (size_t i = 0; i < conninfo->count; i++)
	{
		free(conninfo->keywords[i]);
		free(conninfo->values[i]);
	}
	free(conninfo->keywords);
	free(conninfo->values);
	*conninfo = (HdConninfo){NULL, NULL, 0};
}

bool
hd_conninfo_valid(const char *text)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);

	PQconninfoFree(options);
	return options != NULL;
}
