/*
 * config.c
 *	  Where the edge's settings come from, and what they must be together.
 *
 * No message here repeats the value of `database` or `proxy`, which may hold a password.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "setting.h"

#define ENVIRONMENT_PREFIX "HOTDASH_EDGE_"
#define FILE_MAX_BYTES 65536
#define NAME_MOST 63

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
	if (!hd_setting_set_standards(config, error))
		return false;

	/* A longer one is cut, which gethostname() may call an error. */
	(void) gethostname(hostname, sizeof(hostname) - 1);
	if (!is_edge_name(hostname))
		snprintf(hostname, sizeof(hostname), "edge");
	return hd_setting_set(config, "name", hostname, error);
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
	return hd_setting_set(config, trim(line), value, error);
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
		if (!hd_setting_set(config, name, equals + 1, problem))
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
	else if (strcmp(name, "config") != 0 && !hd_setting_known(name, error))
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
		else if (config != NULL && !hd_setting_set(config, name, value, error))
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
	hd_setting_free_texts(config);
	explicit_bzero(&config->parsed_proxy, sizeof(config->parsed_proxy));
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
	hd_setting_print();
	printf("\nExit codes: 0 stopped when asked; 1 failure; 2 wrong setting; 3 other protocol;\n"
		   "4 stopped with work left to its lease.\n");
}
