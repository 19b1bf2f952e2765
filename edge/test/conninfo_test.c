/*
 * conninfo_test.c
 *	  Connection strings: defaults that give way, and hosts that take turns.
 */
#include "conninfo.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static const char *
value_of(const HdConninfo *conninfo, const char *keyword)
{
	const char *value = "";

	for (size_t i = 0; i < conninfo->count; i++)
	{
		if (strcmp(conninfo->keywords[i], keyword) == 0)
			value = conninfo->values[i];
	}
	return value;
}

static bool
rotates(const char *list, unsigned turn, const char *expected)
{
	char *rotated = hd_conninfo_rotate(list, turn);
	bool same = rotated != NULL && strcmp(rotated, expected) == 0;

	free(rotated);
	return same;
}

static void
check_value(const char *text, unsigned turn, const char *keyword, const char *expected)
{
	HdConninfo conninfo;

	CHECK(hd_conninfo_build(text, turn, &conninfo) &&
			  strcmp(value_of(&conninfo, keyword), expected) == 0 &&
			  conninfo.keywords[conninfo.count] == NULL,
		  "%s, turn %u: %s is \"%s\"", text, turn, keyword, expected);
	hd_conninfo_free(&conninfo);
}

int
main(void)
{
	HdConninfo conninfo;

	CHECK(rotates("", 3, ""), "an empty list");
	CHECK(rotates("a", 7, "a"), "a list of one");
	CHECK(rotates("a,b,c", 0, "a,b,c"), "no turn");
	CHECK(rotates("a,b,c", 1, "b,c,a"), "one turn");
	CHECK(rotates("a,b,c", 5, "c,a,b"), "turns go round");
	CHECK(rotates("a,,c", 1, ",c,a"), "an empty entry keeps its place");
	CHECK(rotates("a,", 1, ",a"), "also at the end");

	check_value("host=a,b port=1,2 dbname=d", 0, "host", "a,b");
	check_value("host=a,b port=1,2 dbname=d", 1, "host", "b,a");
	check_value("host=a,b port=1,2 dbname=d", 1, "port", "2,1");
	check_value("postgresql://u@a:1,b:2/d", 1, "host", "b,a");
	check_value("host=a,b port=5432", 1, "port", "5432");
	check_value("", 0, "target_session_attrs", "read-write");
	check_value("target_session_attrs=any", 0, "target_session_attrs", "any");
	check_value("", 0, "tcp_user_timeout", "30000");
	check_value("tcp_user_timeout=5", 0, "tcp_user_timeout", "5");
	check_value("host=a", 0, "client_encoding", "UTF8");
	CHECK(setenv("PGTARGETSESSIONATTRS", "any", 1) == 0, "libpq's environment is set");
	check_value("host=a", 0, "target_session_attrs", "");

	CHECK(!hd_conninfo_valid("nonsense") && hd_conninfo_valid(""), "nonsense is told from nothing");
	CHECK(!hd_conninfo_build("nonsense=1", 0, &conninfo), "an unknown keyword is refused");
	hd_conninfo_free(&conninfo);
	return check_end();
}
