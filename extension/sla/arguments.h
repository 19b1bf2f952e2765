/*-------------------------------------------------------------------------
 * arguments.h
 *		What the SQL functions of clocks take.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_ARGUMENTS_H
#define HD_SLA_ARGUMENTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"

/* Longest names of policies, metrics and priorities, of events, and of subjects, in bytes. */
#define HD_SLA_MAX_NAME 63
#define HD_SLA_MAX_EVENT 100
#define HD_SLA_MAX_SUBJECT 200

/*
 * hd_sla_name_arg
 *		A name that is not empty, not too long and has no control characters, or
 *		22023; NULL where it may be left out and is, else 22004.
 */
extern const char *hd_sla_name_arg(FunctionCallInfo fcinfo, int n, const char *what, int most,
								   bool optional);

/*
 * hd_sla_at_arg
 *		When something happened: now where it is not said; 22023 when it is more
 *		than a minute ahead and may not be.
 */
extern TimestampTz hd_sla_at_arg(FunctionCallInfo fcinfo, int n, bool may_be_ahead);

/*
 * hd_sla_attributes_arg
 *		An object as jsonb, 0 for none; 22023 for other JSON, 54000 beyond 64 kB.
 */
extern Datum hd_sla_attributes_arg(FunctionCallInfo fcinfo, int n);

/*
 * hd_sla_tenant_arg
 *		The tenant that is meant; 42501 for one that this session may not name.
 */
extern const char *hd_sla_tenant_arg(FunctionCallInfo fcinfo, int n);

#endif /* HD_SLA_ARGUMENTS_H */
