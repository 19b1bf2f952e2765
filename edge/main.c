/*
 * main.c
 *	  Arguments in, exit code out.
 */
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "conninfo.h"
#include "edge.h"
#include "log.h"

static void
print_version(void)
{
	printf("hotdash-edge %s (protocol %d; %s; libpq %d; cJSON %s; libmicrohttpd %s)\n",
		   HD_EDGE_VERSION, HD_EDGE_PROTOCOL, curl_version(), PQlibVersion(), cJSON_Version(),
		   MHD_get_version());
}

static HdExit
run(HdConfig *config, int argc, char **argv)
{
	HdExit code;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		hd_log(HD_LOG_ERROR, "cannot start libcurl");
		return HD_EXIT_FAILURE;
	}
	code = hd_edge_run(config, argc, argv);
	curl_global_cleanup();
	return code;
}

static bool
are_conninfos_valid(const HdConfig *config)
{
	const char *wrong = !hd_conninfo_valid(config->database)		  ? "database"
						: !hd_conninfo_valid(config->listen_database) ? "listen_database"
																	  : NULL;

	if (wrong != NULL)
		hd_log(HD_LOG_ERROR, "%s: not a connection string that libpq understands", wrong);
	return wrong == NULL;
}

int
main(int argc, char **argv)
{
	HdConfig config;
	HdCommand command;
	char error[HD_CONFIG_ERROR];
	HdExit code = HD_EXIT_OK;

	if (!hd_config_load(&config, argc, argv, &command, error))
	{
		hd_log(HD_LOG_ERROR, "%s", error);
		code = HD_EXIT_CONFIG;
		goto out;
	}
	if (command == HD_COMMAND_HELP)
		hd_config_print_help();
	else if (command == HD_COMMAND_VERSION)
		print_version();
	else if (!are_conninfos_valid(&config))
		code = HD_EXIT_CONFIG;
	else if (command == HD_COMMAND_CHECK)
		printf("the settings are valid\n");
	else
	{
		hd_log_configure((HdLogLevel) config.log_level, (HdLogFormat) config.log_format);
		code = run(&config, argc, argv);
	}
	if (fflush(stdout) != 0)
		code = HD_EXIT_FAILURE;
out:
	hd_config_free(&config);
	return (int) code;
}
