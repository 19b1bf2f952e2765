/*-------------------------------------------------------------------------
 * sql.h
 *		Arguments of the SQL functions that ask limits.
 *
 * Model: each is checked where it is read.  A NULL raises 22004 where there is
 * no default, and what makes no sense 22023.  They are here so that each call of a limit can have them
 * inline.
 *-------------------------------------------------------------------------
 */
#ifndef HD_LIMITS_SQL_H
#define HD_LIMITS_SQL_H

#include "postgres.h"

#include "core/compat.h"
#include "fmgr.h"
#include "limits/decide.h"

/*
 * hd_limits_sql_require
 *		Raise unless an argument, known to users by its name, is there.
 */
static inline void
hd_limits_sql_require(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s of a rate limit must not be null", name)));
}

/*
 * hd_limits_sql_limit
 *		The limit of a name, as hd_limits_stored.
 */
static inline HdLimit *
hd_limits_sql_limit(FunctionCallInfo fcinfo, int argument)
{
	text *name;

	hd_limits_sql_require(fcinfo, argument, "name");
	name = PG_GETARG_TEXT_PP(argument);
	return hd_limits_stored(VARDATA_ANY(name), (int) VARSIZE_ANY_EXHDR(name));
}

/*
 * hd_limits_sql_require_rate
 *		Raise for a limit of which places are held and nothing is taken.
 */
static inline HdLimit *
hd_limits_sql_require_rate(HdLimit *limit)
{
	if (unlikely(limit->rule.policy.algorithm == HD_LIMIT_CONCURRENCY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing can be taken from limit \"%s\", which is one of concurrency",
						limit->name),
				 errhint("Its places are held by limit_acquire and limit_release.")));
	return limit;
}

/*
 * hd_limits_sql_rate
 *		Both in one.
 */
static inline HdLimit *
hd_limits_sql_rate(FunctionCallInfo fcinfo, int argument)
{
	return hd_limits_sql_require_rate(hd_limits_sql_limit(fcinfo, argument));
}

/*
 * hd_limits_sql_subject / hd_limits_sql_key
 *		What tells the buckets of a limit apart, as a text or an argument.
 */
static inline HdLimitSubject
hd_limits_sql_subject(text *key)
{
	HdLimitSubject subject = {VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key)};

	if (unlikely(subject.length == 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("key of a rate limit must not be empty"),
						errhint("For one bucket for all, use a key such as 'all'.")));
	return subject;
}

static inline HdLimitSubject
hd_limits_sql_key(FunctionCallInfo fcinfo, int argument)
{
	hd_limits_sql_require(fcinfo, argument, "key");
	return hd_limits_sql_subject(PG_GETARG_TEXT_PP(argument));
}

/*
 * hd_limits_sql_cost
 *		Units, none or more; NULL is one.
 */
static inline int32
hd_limits_sql_cost(FunctionCallInfo fcinfo, int argument)
{
	int32 cost = PG_ARGISNULL(argument) ? 1 : PG_GETARG_INT32(argument);

	if (unlikely(cost < 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cost of a rate limit must not be negative"),
						errhint("Units are given back by limit_refund.")));
	return cost;
}

#endif /* HD_LIMITS_SQL_H */
