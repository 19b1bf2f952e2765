/*
 * config.h
 *	  The edge's settings: one table, three sources.
 *
 * Default < file (--config) < environment (HOTDASH_EDGE_NAME) < flag (--name=value).
 * The table in setting.c makes --help, the parser and the checks, so that a setting
 * is added in one place.
 */
#ifndef HD_EDGE_CONFIG_H
#define HD_EDGE_CONFIG_H

#include "address.h"
#include "common.h"
#include "log.h"
#include "proxy.h"

/* Durations are kept in milliseconds, sizes in bytes. */
typedef struct HdConfig
{
	char *allow_addresses;
	HdNetworkList allowed_networks; /* allow_addresses, parsed */
	bool allow_private_from_database;
	int64_t backstop;
	int64_t batch;
	char *ca_file;
	int64_t connect_timeout;
	char *database;
	char *listen;						  /* empty: no listener */
	struct sockaddr_storage listen_place; /* listen, parsed */
	int64_t listen_connections;
	int64_t listen_connections_per_address;
	char *listen_database;
	int64_t listen_max_body;
	int64_t listen_max_header_bytes;
	int64_t listen_max_headers;
	int64_t listen_memory;
	int64_t listen_timeout;
	int log_format; /* HdLogFormat */
	int log_level;	/* HdLogLevel */
	int64_t max_connections;
	int64_t max_header_bytes;
	int64_t max_in_flight;
	int64_t max_in_flight_bytes;
	int64_t max_response_bytes;
	char *name;
	char *proxy;
	HdProxy parsed_proxy; /* proxy, parsed */
	char *proxy_bypass;
	bool proxy_resolves;
	int64_t query_timeout;
	int64_t report_batch;
	int64_t report_delay;
	int64_t resolver_negative_ttl;
	int64_t resolver_threads;
	int64_t resolver_ttl;
	int64_t shutdown_grace;
	char *user_agent;
} HdConfig;

/* What the command line asks for besides settings. */
typedef enum HdCommand
{
	HD_COMMAND_RUN,
	HD_COMMAND_CHECK,
	HD_COMMAND_HELP,
	HD_COMMAND_VERSION
} HdCommand;

#define HD_CONFIG_ERROR 512

/*
 * Fills config from all three sources; the caller releases it with hd_config_free(),
 * also after a failure. A failure leaves one sentence in error.
 */
bool hd_config_load(HdConfig *config, int argc, char **argv, HdCommand *command,
					char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;
void hd_config_free(HdConfig *config);

void hd_config_print_help(void);

/* ---- the pieces, for tests ---- */

bool hd_config_set_defaults(HdConfig *config, char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;
/* Reads "name = value" lines; `text` is changed while it is read. */
bool hd_config_parse(HdConfig *config, char *text, const char *source,
					 char error[HD_CONFIG_ERROR]) HD_MUSTCHECK;

#endif
