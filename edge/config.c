/*
 * config.c
 *	  The edge's settings: one table, three sources.
 *
 * No message here repeats the value of `database` or `proxy`, which may hold a password.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ENVIRONMENT_PREFIX "HOTDASH_EDGE_"
#define FILE_MAX_BYTES 65536
#define NAME_MOST 63

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

static const Unit duration_units[] = {{"", 1},
									  {"ms", 1},
									  {"s", 1000},
									  {"min", 60000},
									  {"h", 3600000}};
static const Unit size_units[] = {{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1048576}};
static const Unit no_units[] = {{"", 1}};

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
	NUMBER(max_response_bytes, TYPE_SIZE, "64kB", 1024, 104857600, "response body bytes read before the connection is cut; the status counts all the same"),
	TEXT(name, "", "name of this edge in the database; default: the host's name"),
	TEXT(proxy, "", "http:// or socks5h:// proxy of requests that bring none of their own"),
	TEXT(proxy_bypass, "", "hosts, .domains and networks (comma separated) that are reached without that proxy"),
	BOOL(proxy_resolves, "off", "leave names to proxies, which then have to keep requests out of private networks"),
	NUMBER(query_timeout, TYPE_DURATION, "30s", 1000, 600000, "longest wait for the database to answer before reconnecting"),
	NUMBER(report_batch, TYPE_INT, "256", 1, 512, "most results in one report"),
	NUMBER(report_delay, TYPE_DURATION, "5ms", 0, 1000, "how long a result waits for others to be reported with"),
	NUMBER(resolver_negative_ttl, TYPE_DURATION, "30s", 0, 30000, "how long a failed name lookup is remembered"),
	NUMBER(resolver_threads, TYPE_INT, "4", 1, 16, "threads that look names up"),
	NUMBER(resolver_ttl, TYPE_DURATION, "30s", 0, 3600000, "how long a name's addresses are remembered"),
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
	const Unit *units = setting->type == TYPE_DURATION ? duration_units
						: setting->type == TYPE_SIZE   ? size_units
													   : no_units;
	size_t unit_count = setting->type == TYPE_DURATION ? HD_COUNT(duration_units)
						: setting->type == TYPE_SIZE   ? HD_COUNT(size_units)
													   : HD_COUNT(no_units);
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
	for (size_t i = 0; i < unit_count; i++)
	{
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (parsed * units[i].factor >= setting->least && parsed * units[i].factor <= setting->most)
		{
			*number = parsed * units[i].factor;
			return true;
		}
		snprintf(error, HD_CONFIG_ERROR, "%s: %.64s is outside %lld..%lld%s", setting->name, value,
				 (long long) setting->least, (long long) setting->most,
				 setting->type == TYPE_DURATION ? " ms"
				 : setting->type == TYPE_SIZE	? " bytes"
												: "");
		return false;
	}
	snprintf(error, HD_CONFIG_ERROR, "%s: unknown unit \"%.16s\"; known are%s", setting->name, end,
			 setting->type == TYPE_DURATION ? " ms, s, min, h"
			 : setting->type == TYPE_SIZE	? " B, kB, MB"
											: " none");
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

bool
hd_config_set(HdConfig *config, const char *name, const char *value, char error[HD_CONFIG_ERROR])
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

/* The database's rule for the name of an edge. */
static bool
is_edge_name(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++)
	{
		if (!isgraph((unsigned char) name[i]) || (unsigned char) name[i] > 0x7e)
			return false;
	}
	return length >= 1 && length <= NAME_MOST;
}

bool
hd_config_set_defaults(HdConfig *config, char error[HD_CONFIG_ERROR])
{
	char hostname[NAME_MOST + 1] = "";

	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		if (!hd_config_set(config, settings[i].name, settings[i].standard, error))
			return false;
	}

	/* A longer one is cut, which gethostname() may call an error. */
	(void) gethostname(hostname, sizeof(hostname) - 1);
	if (!is_edge_name(hostname))
		snprintf(hostname, sizeof(hostname), "edge");
	return hd_config_set(config, "name", hostname, error);
}

/* ---- the file ---- */

static char *
trim(char *text)
{
	char *end;

	while (isspace((unsigned char) *text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char) end[-1]))
		end--;
	*end = '\0';
	return text;
}

/*
 * Takes the value out of what follows the "=": either 'quoted', where '' stands for
 * one quote, or plain up to a comment. NULL when something follows the closing quote.
 */
static char *
unquote(char *value)
{
	char *from;
	char *to;

	if (*value != '\'')
	{
		/* A "#" inside a word belongs to the value, as in a password or a URL. */
		for (from = value; *from != '\0'; from++)
		{
			if (*from == '#' && (from == value || isspace((unsigned char) from[-1])))
			{
				*from = '\0';
				break;
			}
		}
		return trim(value);
	}
	to = value;
	for (from = value + 1; *from != '\0'; from++)
	{
		if (*from == '\'' && *++from != '\'')
		{
			from = trim(from);
			*to = '\0';
			return *from == '\0' || *from == '#' ? value : NULL;
		}
		*to++ = *from;
	}
	return NULL;
}

static bool
parse_line(HdConfig *config, char *line, char error[HD_CONFIG_ERROR])
{
	char *equals;
	char *value;

	line = trim(line);
	if (*line == '\0' || *line == '#')
		return true;
	equals = strchr(line, '=');
	if (equals == NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "expected: name = value");
		return false;
	}
	*equals = '\0';
	value = unquote(trim(equals + 1));
	if (value == NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "the quoted value does not end where the line does");
		return false;
	}
	return hd_config_set(config, trim(line), value, error);
}

bool
hd_config_parse(HdConfig *config, char *text, const char *source, char error[HD_CONFIG_ERROR])
{
	unsigned number = 0;
	char *next;

	for (char *line = text; line != NULL; line = next)
	{
		char problem[HD_CONFIG_ERROR];

		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		number++;
		if (!parse_line(config, line, problem))
		{
			snprintf(error, HD_CONFIG_ERROR, "%.128s line %u: %.360s", source, number, problem);
			return false;
		}
	}
	return true;
}

static bool
read_file(HdConfig *config, const char *path, char error[HD_CONFIG_ERROR])
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_MAX_BYTES + 1);
	bool done = false;
	size_t length;

	if (file == NULL || text == NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "cannot open \"%.300s\": %s", path, strerror(errno));
		goto out;
	}
	length = fread(text, 1, FILE_MAX_BYTES + 1, file);
	if (ferror(file))
	{
		snprintf(error, HD_CONFIG_ERROR, "cannot read \"%.300s\": %s", path, strerror(errno));
		goto out;
	}
	if (length > FILE_MAX_BYTES || memchr(text, '\0', length) != NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "\"%.300s\" is not a settings file", path);
		goto out;
	}
	text[length] = '\0';
	done = hd_config_parse(config, text, path, error);
out:
	free(text);
	if (file != NULL && fclose(file) != 0 && done)
	{
		snprintf(error, HD_CONFIG_ERROR, "cannot close \"%.300s\": %s", path, strerror(errno));
		done = false;
	}
	return done;
}

/* ---- environment and flags ---- */

extern char **environ;

static bool
read_environment(HdConfig *config, char error[HD_CONFIG_ERROR])
{
	size_t prefix_length = strlen(ENVIRONMENT_PREFIX);

	for (char **entry = environ; *entry != NULL; entry++)
	{
		const char *equals = strchr(*entry, '=');
		char name[64];
		char problem[HD_CONFIG_ERROR];
		size_t length;

		if (equals == NULL || strncmp(*entry, ENVIRONMENT_PREFIX, prefix_length) != 0)
			continue;
		length = (size_t) (equals - *entry) - prefix_length;
		if (length >= sizeof(name))
			length = sizeof(name) - 1;
		for (size_t i = 0; i < length; i++)
			name[i] = (char) tolower((unsigned char) (*entry)[prefix_length + i]);
		name[length] = '\0';
		if (strcmp(name, "config") == 0)
			continue;
		if (!hd_config_set(config, name, equals + 1, problem))
		{
			snprintf(error, HD_CONFIG_ERROR, "environment: %.480s", problem);
			return false;
		}
	}
	return true;
}

/*
 * Splits "--some-name=value" or "--some-name" "value" at argv[*at]; *at moves past a
 * separate value. Dashes and underscores in the name mean the same.
 */
static bool
split_flag(int argc, char **argv, int *at, char name[64], const char **value,
		   char error[HD_CONFIG_ERROR])
{
	const char *flag = argv[*at];
	size_t length = strcspn(flag, "=");

	if (strncmp(flag, "--", 2) != 0 || length <= 2 || length - 2 >= 64)
	{
		snprintf(error, HD_CONFIG_ERROR, "unexpected argument \"%.64s\"; see --help", flag);
		return false;
	}
	for (size_t i = 2; i < length; i++)
		name[i - 2] = flag[i] == '-' ? '_' : flag[i];
	name[length - 2] = '\0';
	if (flag[length] == '=')
		*value = flag + length + 1;
	else if (strcmp(name, "config") != 0 && find_setting(name, error) == NULL)
		return false;
	else if (*at + 1 < argc)
		*value = argv[++*at];
	else
	{
		snprintf(error, HD_CONFIG_ERROR, "--%s needs a value", name);
		return false;
	}
	return true;
}

static bool
is_command(const char *argument, HdCommand *command)
{
	static const struct
	{
		const char *flag;
		HdCommand command;
	} commands[] = {{"--help", HD_COMMAND_HELP},
					{"-h", HD_COMMAND_HELP},
					{"--version", HD_COMMAND_VERSION},
					{"--check-config", HD_COMMAND_CHECK}};

	for (size_t i = 0; i < HD_COUNT(commands); i++)
	{
		if (strcmp(argument, commands[i].flag) == 0)
		{
			*command = commands[i].command;
			return true;
		}
	}
	return false;
}

/* One walk over the arguments: sets flags when config is given, else only finds --config. */
static bool
read_flags(HdConfig *config, int argc, char **argv, const char **path, char error[HD_CONFIG_ERROR])
{
	for (int at = 1; at < argc; at++)
	{
		HdCommand ignored;
		const char *value;
		char name[64];

		if (is_command(argv[at], &ignored))
			continue;
		if (!split_flag(argc, argv, &at, name, &value, error))
			return false;
		if (strcmp(name, "config") == 0)
			*path = value;
		else if (config != NULL && !hd_config_set(config, name, value, error))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

static bool
check_listener(HdConfig *config, char error[HD_CONFIG_ERROR])
{
	if (config->listen[0] != '\0' && !hd_address_parse_place(config->listen, &config->listen_place))
	{
		snprintf(error, HD_CONFIG_ERROR,
				 "listen: \"%.64s\" is not like 8090, 127.0.0.1:8090 or [::1]:8090",
				 config->listen);
		return false;
	}
	if (config->listen_memory < config->listen_max_body)
	{
		snprintf(error, HD_CONFIG_ERROR, "listen_memory must not be less than listen_max_body");
		return false;
	}
	return true;
}

static bool
check_together(HdConfig *config, char error[HD_CONFIG_ERROR])
{
	const char *wrong = hd_proxy_parse(config->proxy, &config->parsed_proxy);

	if (wrong != NULL)
	{
		snprintf(error, HD_CONFIG_ERROR, "proxy: %s", wrong);
		return false;
	}
	hd_network_list_free(&config->allowed_networks);
	if (!hd_network_list_parse(config->allow_addresses, &config->allowed_networks, &wrong))
	{
		snprintf(error, HD_CONFIG_ERROR,
				 "allow_addresses: \"%.*s\" is not a network like 10.0.0.0/8",
				 (int) (wrong == NULL ? 0 : strcspn(wrong, ", \t")), wrong == NULL ? "" : wrong);
		return false;
	}
	if (!check_listener(config, error))
		return false;
	if (!is_edge_name(config->name))
	{
		snprintf(error, HD_CONFIG_ERROR,
				 "name: must be 1 to %d printable ASCII characters without blanks", NAME_MOST);
		return false;
	}
	for (const char *c = config->user_agent; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
		{
			snprintf(error, HD_CONFIG_ERROR, "user_agent: contains a control character");
			return false;
		}
	}
	if (config->ca_file[0] != '\0' && access(config->ca_file, R_OK) != 0)
	{
		snprintf(error, HD_CONFIG_ERROR, "ca_file: cannot read \"%.300s\": %s", config->ca_file,
				 strerror(errno));
		return false;
	}
	if (config->max_connections < config->max_in_flight)
		config->max_connections = config->max_in_flight;
	return true;
}

bool
hd_config_load(HdConfig *config, int argc, char **argv, HdCommand *command,
			   char error[HD_CONFIG_ERROR])
{
	const char *path = getenv(ENVIRONMENT_PREFIX "CONFIG");

	*command = HD_COMMAND_RUN;
	if (!hd_config_set_defaults(config, error))
		return false;

	/* --help and --version answer even where a setting is wrong. */
	for (int at = 1; at < argc; at++)
	{
		if (is_command(argv[at], command) && *command != HD_COMMAND_CHECK)
			return true;
	}
	return read_flags(NULL, argc, argv, &path, error) &&
		   (path == NULL || read_file(config, path, error)) && read_environment(config, error) &&
		   read_flags(config, argc, argv, &path, error) && check_together(config, error);
}

void
hd_config_free(HdConfig *config)
{
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		char **field = field_of(config, &settings[i]);

		if (settings[i].type != TYPE_TEXT)
			continue;
		free(*field);
		*field = NULL;
	}
	hd_network_list_free(&config->allowed_networks);
}

void
hd_config_print_help(void)
{
	printf("hotdash-edge sends what hotdash's database wants sent over HTTP.\n\n"
		   "Usage: hotdash-edge [--config FILE] [--SETTING VALUE]...\n"
		   "       hotdash-edge --check-config | --help | --version\n\n"
		   "Settings come from the file, then the environment (" ENVIRONMENT_PREFIX
		   "NAME), then flags.\n\n");
	for (size_t i = 0; i < HD_COUNT(settings); i++)
	{
		const Setting *setting = &settings[i];

		printf("  %s (%s", setting->name, type_names[setting->type]);
		for (int c = 0; setting->choices != NULL && setting->choices[c] != NULL; c++)
			printf(" %s", setting->choices[c]);
		printf("; default %s)\n      %s\n",
			   setting->standard[0] == '\0' ? "none" : setting->standard, setting->description);
	}
	printf("\nExit codes: 0 stopped when asked; 1 failure; 2 wrong setting; 3 other protocol;\n"
		   "4 stopped with work left to its lease.\n");
}
