/*-------------------------------------------------------------------------
 * errors.h
 *		SQLSTATEs of hotdash's own, and the wording shared by all modules.
 *
 * Purpose: a standard SQLSTATE is used wherever one fits.  Class XD holds
 * the few conditions on which a client has to branch; PostgreSQL reserves
 * classes that begin with 0-4 and A-H for the standard.
 *-------------------------------------------------------------------------
 */
#ifndef HD_ERRORS_H
#define HD_ERRORS_H

#include "postgres.h"

/* A unique_key with if_exists => 'error' met a job that is there already. */
#define HD_ERRCODE_JOB_EXISTS MAKE_SQLSTATE('X', 'D', '1', '0', '1')

/* flag_require met a feature that is off. */
#define HD_ERRCODE_FLAG_OFF MAKE_SQLSTATE('X', 'D', '2', '0', '1')

/*
 * hd_require_arg
 *		Raise 22004 when a required argument is NULL.
 *
 * For functions that cannot be STRICT because other arguments may be NULL.
 */
#define hd_require_arg(fcinfo, n, argname) \
	do \
	{ \
		if ((fcinfo)->args[n].isnull) \
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), \
							errmsg("argument \"%s\" must not be null", argname))); \
	} while (0)

#endif /* HD_ERRORS_H */
