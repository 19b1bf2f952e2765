/*-------------------------------------------------------------------------
 * client_sql.c
 *		The SQL function that names clients.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "core/compat.h"
#include "fmgr.h"
#include "limits/client.h"
#include "utils/builtins.h"
#include "utils/inet.h"

PG_FUNCTION_INFO_V1(hd_limits_sql_client_key);

/* The address that this session is connected from. */
static void
read_own(char *key)
{
	LOCAL_FCINFO(fcinfo, 0);
	HdAddress address;
	Datum client;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	client = inet_client_addr(fcinfo);
	if (fcinfo->isnull)
	{
		strlcpy(key, "local", HD_CLIENT_KEY_SIZE);
		return;
	}
	hd_address_from_bytes(ip_addr(DatumGetInetPP(client)), ip_addrsize(DatumGetInetPP(client)),
						  &address);
	hd_limits_client_address(&address, key);
}

/* It never changes, and finding it out takes a microsecond. */
static const char *
own_key(void)
{
	static char key[HD_CLIENT_KEY_SIZE] = "";

	if (key[0] == '\0')
		read_own(key);
	return key;
}

/*
 * hd_limits_sql_client_key
 *		SQL: client_key(forwarded_for, trusted_hops) -> text.
 */
Datum
hd_limits_sql_client_key(PG_FUNCTION_ARGS)
{
	int32 hops = PG_ARGISNULL(1) ? 1 : PG_GETARG_INT32(1);
	char key[HD_CLIENT_KEY_SIZE] = "";

	if (hops < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("trusted_hops must not be negative"),
						errhint("It is the number of trusted proxies before this server; with 0 "
								"the header is not looked at.")));
	if (!PG_ARGISNULL(0) && hops > 0)
	{
		text *header = PG_GETARG_TEXT_PP(0);

		hd_limits_client_key(VARDATA_ANY(header), (int) VARSIZE_ANY_EXHDR(header), hops, key);
	}
	PG_RETURN_TEXT_P(cstring_to_text(key[0] != '\0' ? key : own_key()));
}
