/*
 * conninfo.c
 *	  Connection strings: what is built has a value for each keyword, and turning a list of hosts
 *	  loses none of them.
 */
#include "fuzz.h"

#include "conninfo.h"

const char *const fuzz_seeds[] = {"host=db1,db2,db3 port=5432 dbname='my db' user=a",
								  "postgresql://u:p@h1:1,h2:2/db?target_session_attrs=any",
								  "host=/run/postgresql password='it\\'s'",
								  "a,b,c",
								  ",",
								  NULL};
const char *const fuzz_words[] = {"host=", "hostaddr=",	  "port=", ",", "'",   "\\",
								  " = ",   "postgres://", "?",	   "&", "%20", "tcp_user_timeout=",
								  NULL};

static size_t
commas(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == ',';
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	HdConninfo conninfo;
	unsigned turn = size > 0 ? data[0] : 0;
	char *turned = hd_conninfo_rotate(text, turn);

	FUZZ_CHECK(turned != NULL && strlen(turned) == strlen(text) && commas(turned) == commas(text));
	free(turned);
	if (hd_conninfo_build(text, turn, &conninfo))
	{
		FUZZ_CHECK(hd_conninfo_valid(text));
		for (size_t i = 0; i < conninfo.count; i++)
			FUZZ_CHECK(conninfo.keywords[i] != NULL && conninfo.values[i] != NULL);
		FUZZ_CHECK(conninfo.keywords[conninfo.count] == NULL);
	}
	hd_conninfo_free(&conninfo);
	free(text);
	return 0;
}
