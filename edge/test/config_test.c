/*
 * config_test.c
 *	  Settings: values, units, the file's grammar, the order of sources, and what is refused.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "setting.h"

static char error[HD_CONFIG_ERROR];

static bool
parse(HdConfig *config, const char *text)
{
	char *copy = strdup(text);
	bool done = copy != NULL && hd_config_parse(config, copy, "file", error);

	free(copy);
	return done;
}

static void
test_values(HdConfig *config)
{
	CHECK(config->max_in_flight == 1024 && config->connect_timeout == 10000, "defaults are set");
	CHECK(config->max_in_flight_bytes == 192 * 1048576, "so is that of bytes");
	CHECK(config->name[0] != '\0', "the name is the host's");
	CHECK(hd_setting_set(config, "query_timeout", "2min", error) && config->query_timeout == 120000,
		  "minutes");
	CHECK(hd_setting_set(config, "query_timeout", "1500", error) && config->query_timeout == 1500,
		  "a bare duration is in milliseconds");
	CHECK(hd_setting_set(config, "max_response_bytes", "1MB", error) &&
			  config->max_response_bytes == 1048576,
		  "megabytes");
	CHECK(hd_setting_set(config, "allow_private_from_database", "TRUE", error) &&
			  config->allow_private_from_database,
		  "booleans have several words");
	CHECK(hd_setting_set(config, "log_format", "json", error) && config->log_format == HD_LOG_JSON,
		  "choices follow the enum");
}

static void
test_refusals(HdConfig *config)
{
	static const struct
	{
		const char *name;
		const char *value;
		const char *says;
	} cases[] = {
		{"max_inflight", "1", "closest is \"max_in_flight\""},
		{"max_in_flight", "0", "outside 1..10000"},
		{"max_in_flight", "10001", "outside 1..10000"},
		{"max_in_flight", "-1", "not a number"},
		{"max_in_flight", "", "not a number"},
		{"max_in_flight", "99999999999999999999", "not a number"},
		{"max_in_flight", "10kB", "unknown unit"},
		{"max_in_flight_bytes", "1kB", "outside 1048576..17179869184"},
		{"query_timeout", "5 parsecs", "unknown unit"},
		{"query_timeout", "2147483647h", "outside"},
		{"log_level", "loud", "debug info warning error"},
		{"allow_private_from_database", "maybe", "neither on nor off"},
	};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
		CHECK(!hd_setting_set(config, cases[i].name, cases[i].value, error) &&
				  strstr(error, cases[i].says) != NULL,
			  "%s = \"%s\" is refused: %s", cases[i].name, cases[i].value, cases[i].says);
}

static void
test_file(HdConfig *config)
{
	CHECK(parse(config, "# comment\n\n  batch = 7  # seven\r\nname='it''s' # quoted\n") &&
			  config->batch == 7 && strcmp(config->name, "it's") == 0,
		  "comments, blanks, quotes");
	CHECK(parse(config, "database = host=x password=a#b\n") &&
			  strcmp(config->database, "host=x password=a#b") == 0,
		  "a # inside a word is no comment, a second = is part of the value");
	CHECK(parse(config, "user_agent =\n") && config->user_agent[0] == '\0', "an empty value");
	CHECK(!parse(config, "batch = 1\nbatch\n") && strstr(error, "line 2") != NULL,
		  "a line without = is named");
	CHECK(!parse(config, "name = 'open\n") && strstr(error, "quoted") != NULL, "an open quote");
	CHECK(!parse(config, "name = 'a' b\n"), "text after the closing quote");
	CHECK(!parse(config, "'\n") && !parse(config, "=\n"), "nonsense is refused");
}

static void
test_sources(void)
{
	char path[] = "/tmp/hotdash_edge_test_XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "batch = 1\nmax_in_flight = 1\nreport_batch = 1\n";
	char program[] = "edge";
	char config_flag[] = "--config";
	char batch_flag[] = "--batch=3";
	char *arguments[] = {program, config_flag, path, batch_flag, NULL};
	HdCommand command;
	HdConfig config;

	CHECK(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t) sizeof(text) - 1 &&
			  close(fd) == 0 && setenv("HOTDASH_EDGE_BATCH", "2", 1) == 0 &&
			  setenv("HOTDASH_EDGE_MAX_IN_FLIGHT", "2", 1) == 0,
		  "a file and an environment");
	CHECK(hd_config_load(&config, 4, arguments, &command, error) && config.batch == 3 &&
			  config.max_in_flight == 2 && config.report_batch == 1 && command == HD_COMMAND_RUN,
		  "flags win over the environment, which wins over the file");
	hd_config_free(&config);
	CHECK(setenv("HOTDASH_EDGE_BACH", "2", 1) == 0 &&
			  !hd_config_load(&config, 4, arguments, &command, error) &&
			  strstr(error, "\"batch\"") != NULL,
		  "an unknown setting in the environment is refused");
	hd_config_free(&config);
	(void) unsetenv("HOTDASH_EDGE_BACH");
	CHECK(unlink(path) == 0 && !hd_config_load(&config, 4, arguments, &command, error),
		  "a missing file is refused");
	hd_config_free(&config);
}

static void
test_flags(void)
{
	static const struct
	{
		const char *flag;
		const char *value; /* NULL: none */
		bool good;
	} cases[] = {
		{"--max-in-flight", "9", true},
		{"--max_in_flight=9", NULL, true},
		{"--batch", NULL, false},
		{"batch=3", NULL, false},
		{"--", NULL, false},
		{"--=3", NULL, false},
		{"-x", NULL, false},
		{"--allow-addresses=10/8", NULL, false},
		{"--user-agent=a\nb", NULL, false},
		{"--ca-file=/nowhere", NULL, false},
		{"--name=", NULL, false},
		{"--name=two words", NULL, false},
		{"--listen=8090", NULL, true},
		{"--listen=[::1]:8090", NULL, true},
		{"--listen=localhost:8090", NULL, false},
		{"--listen=0.0.0.0", NULL, false},
		{"--listen-max-body=2MB", NULL, true},
		{"--listen-max-body=17MB", NULL, false},
		{"--listen-memory=512kB", NULL, false},
		{"--proxy=http://u:p@[::1]:3128", NULL, true},
		{"--proxy=https://p:1", NULL, false},
		{"--proxy=p:3128", NULL, false},
		{"--proxy-resolves=maybe", NULL, false},
	};

	for (size_t i = 0; i < HD_COUNT(cases); i++)
	{
		char program[] = "edge";
		char *flag = strdup(cases[i].flag);
		char *value = cases[i].value == NULL ? NULL : strdup(cases[i].value);
		char *arguments[] = {program, flag, value, NULL};
		HdCommand command;
		HdConfig config;

		CHECK(hd_config_load(&config, value == NULL ? 2 : 3, arguments, &command, error) ==
				  cases[i].good,
			  "flag %zu is %s", i + 1, cases[i].good ? "taken" : "refused");
		hd_config_free(&config);
		free(flag);
		free(value);
	}
}

int
main(void)
{
	HdConfig config;

	CHECK(hd_config_set_defaults(&config, error), "every default is a valid value");
	test_values(&config);
	test_refusals(&config);
	test_file(&config);
	hd_config_free(&config);
	test_sources();
	(void) unsetenv("HOTDASH_EDGE_BATCH");
	(void) unsetenv("HOTDASH_EDGE_MAX_IN_FLIGHT");
	test_flags();
	return check_end();
}
