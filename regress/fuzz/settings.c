/*
 * settings.c
 *	  A settings file: read or refused with one sentence, and never a leak.
 */
#include "fuzz.h"

#include "config.h"

const char *const fuzz_seeds[] =
	{"database = 'host=db1 dbname=shop'\nbatch = 64 # so many\n",
	 "connect_timeout = 10s\nmax_header_bytes=64kB\r\n# nothing\n\n",
	 "log_level = debug\nname = 'it''s'\nallow_private_from_database = on",
	 "max_in_flight = 99999999999999999999", NULL};
const char *const fuzz_words[] = {" = ",
								  "'",
								  "''",
								  "#",
								  "\n",
								  "batch",
								  "name",
								  "log_format",
								  "json",
								  "ms",
								  "min",
								  "kB",
								  "MB",
								  "off",
								  "listen",
								  "user_agent",
								  "9223372036854775807",
								  "-1",
								  "report_delay",
								  "0",
								  NULL};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char error[HD_CONFIG_ERROR] = "";
	HdConfig config;

	FUZZ_CHECK(hd_config_set_defaults(&config, error));
	if (!hd_config_parse(&config, text, "fuzz", error))
		FUZZ_CHECK(error[0] != '\0' && strlen(error) < sizeof(error));
	FUZZ_CHECK(config.batch >= 1 && config.batch <= 512 && config.max_in_flight <= 10000);
	hd_config_free(&config);
	free(text);
	return 0;
}
