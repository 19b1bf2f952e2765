/*
 * setting.c
 *	  The table of the edge's settings, and how the value of one is read.
 *
 * No message here repeats the value of a text, which may hold a password.
 */
#include "setting.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum SettingType
{
	TYPE_BOOL,
	TYPE_CHOICE,
	TYPE_DURATION,
	TYPE_INT,
	TYPE_SIZE,
	TYPE_TEXT
} SettingType;

typedef struct Unit
{
	const char *name;
	int64_t factor;
} Unit;

/* How a number of some type is written. */
typedef struct Scale
{
	const char *base;  /* the base unit, as it follows a number in a message */
	const char *known; /* the units, as a message lists them */
	Unit units[6];	   /* up to one without a name */
} Scale;

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t offset;				/* of the field in HdConfig */
	const char *standard;		/* the default, as one would write it */
	int64_t least, most;		/* of a number, in its base unit */
	const char *const *choices; /* of TYPE_CHOICE, NULL-terminated, in enum order */
	const char *description;
} Setting;

static const char *const type_names[] = {"on/off", "one of", "duration", "integer", "size", "text"};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};

static const Scale scales[] = {
	[TYPE_DURATION] = {" ms",
					   "ms, s, min, h",
					   {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}}},
	[TYPE_INT] = {"", "none", {{"", 1}}},
	[TYPE_SIZE] = {" bytes", "B, kB, MB", {{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1048576}}},
};

#define BOOL(name, standard, text) \
	{ \
#name, TYPE_BOOL, offsetof(HdConfig, name), standard, 0, 1, NULL, text \
	}
#define CHOICE(name, standard, choices, text) \
	{ \
#name, TYPE_CHOICE, offsetof(HdConfig, name), standard, 0, 0, choices, text \
	}
#define NUMBER(name, type, standard, least, most, text) \
	{ \
#name, type, offsetof(HdConfig, name), standard, least, most, NULL, text \
	}
#define TEXT(name, standard, text) \
	{ \
#name, TYPE_TEXT, offsetof(HdConfig, name), standard, 0, 0, NULL, text \
	}

/* clang-format off */
/* Alphabetical; docs/edge.md repeats it with a paragraph each. */
static const Setting settings[] = {
	TEXT(allow_addresses, "", "networks (CIDR, comma separated) that deliveries may reach although they are not public"),
	BOOL(allow_private_from_database, "off", "obey the database when it allows private addresses for a request"),
	NUMBER(backstop, TYPE_DURATION, "0", 0, 3600000, "longest wait before looking again without being woken; 0: what the database says"),
	NUMBER(batch, TYPE_INT, "128", 1, 512, "most requests taken by one claim"),
	TEXT(ca_file, "", "PEM file of trusted authorities instead of the system's"),
	NUMBER(connect_timeout, TYPE_DURATION, "10s", 100, 600000, "longest time to connect to a receiver, TLS included"),
	TEXT(database, "", "libpq connection string or URI; what it leaves out comes from libpq's own environment"),
	TEXT(listen, "", "[address:]port that serves /health, /metrics and /in/; a port alone is on the loopback"),
	NUMBER(listen_connections, TYPE_INT, "128", 1, 4096, "most connections to the listener"),
	NUMBER(listen_connections_per_address, TYPE_INT, "64", 1, 4096, "most of them from one address"),
	TEXT(listen_database, "", "the listener's own connection string; default: that of database"),
	NUMBER(listen_max_body, TYPE_SIZE, "1MB", 1024, 16777216, "largest body of a request to the listener"),
	NUMBER(listen_max_header_bytes, TYPE_SIZE, "16kB", 1024, 262144, "most header bytes of such a request, its first line included"),
	NUMBER(listen_max_headers, TYPE_INT, "64", 4, 256, "most headers of such a request"),
	NUMBER(listen_memory, TYPE_SIZE, "16MB", 1048576, 1073741824, "most memory for all their bodies together"),
	NUMBER(listen_timeout, TYPE_DURATION, "10s", 100, 60000, "longest time for such a request to arrive, and for its answer"),
	CHOICE(log_format, "text", log_formats, "shape of a log line"),
	CHOICE(log_level, "info", log_levels, "least level that is logged; reread on SIGHUP"),
	NUMBER(max_connections, TYPE_INT, "1024", 1, 100000, "most receiver connections kept, idle ones included; never below max_in_flight"),
	NUMBER(max_header_bytes, TYPE_SIZE, "64kB", 1024, 1048576, "most response header bytes accepted, interim responses included"),
	NUMBER(max_in_flight, TYPE_INT, "1024", 1, 10000, "most requests in flight at once"),
	NUMBER(max_in_flight_bytes, TYPE_SIZE, "192MB", 1048576, 17179869184, "most bytes of those requests, and of their answers that are kept until they are reported"),
	NUMBER(max_response_bytes, TYPE_SIZE, "64kB", 1024, 104857600, "response body bytes read before the connection is cut; the status counts all the same"),
	TEXT(name, "", "name of this edge in the database; default: the host's name"),
	TEXT(proxy, "", "http:// or socks5h:// proxy of requests that bring none of their own"),
	TEXT(proxy_bypass, "", "hosts, .domains and networks (comma separated) that are reached without that proxy"),
	BOOL(proxy_resolves, "off", "leave names to proxies, which then have to keep requests out of private networks"),
	NUMBER(query_timeout, TYPE_DURATION, "30s", 1000, 600000, "longest wait for the database to answer before reconnecting"),
	NUMBER(report_batch, TYPE_INT, "256", 1, 512, "most results in one report"),
	NUMBER(report_delay, TYPE_DURATION, "5ms", 0, 1000, "how long a result waits for others to be reported with"),
	NUMBER(resolver_negative_ttl, TYPE_DURATION, "30s", 0, 30000, "how long a name that does not exist is remembered"),
	NUMBER(resolver_threads, TYPE_INT, "32", 1, 64, "most threads that look names up"),
	NUMBER(resolver_ttl, TYPE_DURATION, "30s", 0, 3600000, "how long a name's addresses are used without asking again"),
	NUMBER(shutdown_grace, TYPE_DURATION, "30s", 0, 600000, "how long SIGTERM lets requests in flight finish"),
	TEXT(user_agent, "hotdash-edge/" HD_EDGE_VERSION, "User-Agent of requests that name none"),
};
/* clang-format on */

/* ---- values ---- */

static void *
field_of(HdConfig *config, const Setting *setting)
{
	return (char *) config + setting->offset;
}

/* Edits between two names: how the closest setting is found. */
static size_t
edit_distance(const char *a, const char *b)
{
	enum
	{
		MOST = 64
	};
	size_t row[MOST + 1];
	size_t length_b = strlen(b);

	if (strlen(a) > MOST || length_b > MOST)
		return SIZE_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++)
	{
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length_b; j++)
		{
			size_t above = row[j];
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[length_b];
}

static const Setting *
find_setting(const char *name, char error[HD_CONFIG_ERROR])
{
	const Setting *closest = &settings[0];
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		if (strcmp(name, settings[i].name) == 0)
			return &settings[i];
	}
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		size_t distance = edit_distance(name, settings[i].name);

		if (distance < least)
		{
			least = distance;
			closest = &settings[i];
		}
	}
	snprintf(error, HD_CONFIG_ERROR, "unknown setting \"%.64s\"; the closest is \"%s\"", name,
			 closest->name);
	return NULL;
}

static bool
parse_number(const Setting *setting, const char *value, int64_t *number,
			 char error[HD_CONFIG_ERROR])
{
	const Scale *scale = &scales[setting->type];
	long long parsed;
	char *end;

	errno = 0;
	parsed = strtoll(value, &end, 10);
	if (errno != 0 || end == value || parsed < 0 || parsed > INT_MAX)
	{
		snprintf(error, HD_CONFIG_ERROR, "%s: \"%.64s\" is not a number in range", setting->name,
				 value);
		return false;
	}
	while (*end == ' ')
		end++;
	for (const Unit *unit = scale->units; unit->name != NULL; unit++)
	{
		int64_t scaled = parsed * unit->factor;

		if (strcmp(end, unit->name) != 0)
			continue;
		if (scaled >= setting->least && scaled <= setting->most)
		{
			*number = scaled;
			return true;
		}
		snprintf(error, HD_CONFIG_ERROR, "%s: %.64s is outside %lld..%lld%s", setting->name, value,
				 (long long) setting->least, (long long) setting->most, scale->base);
		return false;
	}
	snprintf(error, HD_CONFIG_ERROR, "%s: unknown unit \"%.16s\"; known are %s", setting->name, end,
			 scale->known);
	return false;
}

static bool
parse_bool(const Setting *setting, const char *value, bool *result, char error[HD_CONFIG_ERROR])
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};

	for (size_t i = 0; i < HD_COUNT(words); i++)
	{
		if (strcasecmp(value, words[i]) == 0)
		{
			*result = i % 2 == 1;
			return true;
		}
	}
	snprintf(error, HD_CONFIG_ERROR, "%s: \"%.64s\" is neither on nor off", setting->name, value);
	return false;
}

static bool
parse_choice(const Setting *setting, const char *value, int *result, char error[HD_CONFIG_ERROR])
{
	int length = snprintf(error, HD_CONFIG_ERROR, "%s: \"%.64s\" is none of", setting->name, value);

	for (int i = 0; setting->choices[i] != NULL; i++)
	{
		if (strcmp(value, setting->choices[i]) == 0)
		{
			*result = i;
			return true;
		}
		if (length > 0 && length < HD_CONFIG_ERROR)
			length += snprintf(error + length, HD_CONFIG_ERROR - (size_t) length, " %s",
							   setting->choices[i]);
	}
	return false;
}

static bool
parse_text(const Setting *setting, const char *value, char **field, char error[HD_CONFIG_ERROR])
{
	char *copy = strdup(value);

	if (copy == NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "%s: out of memory", setting->name);
		return false;
	}
	free(*field);
	*field = copy;
	return true;
}

/* ---- for config.c ---- */

bool
hd_setting_set(HdConfig *config, const char *name, const char *value, char error[HD_CONFIG_ERROR])
{
	const Setting *setting = find_setting(name, error);

	if (setting == NULL)
		return false;
	switch (setting->type)
	{
		case TYPE_BOOL:
			return parse_bool(setting, value, field_of(config, setting), error);
		case TYPE_CHOICE:
			return parse_choice(setting, value, field_of(config, setting), error);
		case TYPE_TEXT:
			return parse_text(setting, value, field_of(config, setting), error);
		case TYPE_DURATION:
		case TYPE_INT:
		case TYPE_SIZE:
			break;
	}
	return parse_number(setting, value, field_of(config, setting), error);
}

bool
hd_setting_known(const char *name, char error[HD_CONFIG_ERROR])
{
	return find_setting(name, error) != NULL;
}

bool
hd_setting_set_standards(HdConfig *config, char error[HD_CONFIG_ERROR])
{
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		if (!hd_setting_set(config, settings[i].name, settings[i].standard, error))
			return false;
	}
	return true;
}

void
hd_setting_free_texts(HdConfig *config)
{
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		char **field = field_of(config, &settings[i]);

		if (settings[i].type != TYPE_TEXT)
			continue;
		/* Connection strings and proxies may hold passwords. */
		if (*field != NULL)
			explicit_bzero(*field, strlen(*field));
		free(*field);
		*field = NULL;
	}
}

void
hd_setting_print(void)
{
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		const Setting *setting = &settings[i];

		printf("  %s (%s", setting->name, type_names[setting->type]);
		for (int c = 0; setting->choices != NULL && setting->choices[c] != NULL; c++)
			printf(" %s", setting->choices[c]);
		printf("; default %s)\n      %s\n",
			   setting->standard[0] == '\0' ? "none" : setting->standard, setting->description);
	}
}
