/*-------------------------------------------------------------------------
 * arguments.c
 *		What the SQL functions of clocks take.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/arguments.h"

#include "core/clock.h"
#include "core/errors.h"
#include "core/settings.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Clocks of applications need not agree with ours to the second. */
#define AHEAD_US USECS_PER_MINUTE

#define MAX_ATTRIBUTES (64 * 1024)

const char *
hd_sla_name_arg(FunctionCallInfo fcinfo, int n, const char *what, int most, bool optional)
{
	const char *name;

	if (optional && PG_ARGISNULL(n))
		return NULL;
	hd_require_arg(fcinfo, n, what);
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (*name == '\0' || strlen(name) > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid %s of an SLA clock", what),
						errdetail("It has 1 to %d bytes.", most)));
	for (const char *c = name; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '\177')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid %s of an SLA clock", what),
							errdetail("It has no control characters.")));
	}
	return name;
}

TimestampTz
hd_sla_at_arg(FunctionCallInfo fcinfo, int n, bool may_be_ahead)
{
	TimestampTz now = hd_clock_now();
	TimestampTz at = PG_ARGISNULL(n) ? now : PG_GETARG_TIMESTAMPTZ(n);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("argument \"at\" must be finite")));
	if (!may_be_ahead && at > now + AHEAD_US)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"at\" is in the future: %s", timestamptz_to_str(at)),
						errhint("Only a clock's start may be planned.")));
	return at;
}

Datum
hd_sla_attributes_arg(FunctionCallInfo fcinfo, int n)
{
	Jsonb *attributes;

	if (PG_ARGISNULL(n))
		return (Datum) 0;
	attributes = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(attributes))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("attributes must be a JSON object")));
	if (VARSIZE(attributes) > MAX_ATTRIBUTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("attributes of an SLA clock must not be longer than 64 kB")));
	return JsonbPGetDatum(attributes);
}

const char *
hd_sla_tenant_arg(FunctionCallInfo fcinfo, int n)
{
	return hd_settings_tenant(PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n)));
}
