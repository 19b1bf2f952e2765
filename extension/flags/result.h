/*-------------------------------------------------------------------------
 * result.h
 *		Decisions as values of a type, and as rows of hotdash.flag_result.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_RESULT_H
#define HD_FLAGS_RESULT_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "flags/flag.h"
#include "fmgr.h"

/* The type of value that a caller asks for, as its default tells. */
typedef enum HdFlagsWanted
{
	HD_FLAGS_WANT_ANY, /* the default is null */
	HD_FLAGS_WANT_BOOL,
	HD_FLAGS_WANT_NUMBER,
	HD_FLAGS_WANT_TEXT,
	HD_FLAGS_WANT_OBJECT,
	HD_FLAGS_WANT_ARRAY
} HdFlagsWanted;

/*
 * hd_flags_wanted
 *		The type of a jsonb, as the argument of an SQL function.
 */
extern HdFlagsWanted hd_flags_wanted(struct varlena *value);

/*
 * hd_flags_value
 *		The value decided on; null where the caller's default counts.  A value of
 *		another type than the one wanted turns the decision into TYPE_MISMATCH.
 *		Valid as long as the flag, or until the next run.
 */
extern void hd_flags_value(const HdFlag *flag, HdFlagDecision *decision, HdFlagsWanted wanted,
						   HdValue *value);

/* Columns of hotdash.flag_result, from 0. */
#define HD_FLAGS_RESULT_COLUMNS 6

/*
 * hd_flags_result_row
 *		The columns of a decision, in the current context.
 *
 * otherwise: the caller's default, as jsonb, or NULL.
 */
extern void hd_flags_result_row(const HdFlag *flag, HdFlagDecision *decision,
								struct varlena *otherwise, Datum *values, bool *nulls);

/*
 * hd_flags_form_result
 *		The same as the result of an SQL function that returns flag_result.
 */
extern Datum hd_flags_form_result(FunctionCallInfo fcinfo, const HdFlag *flag,
								  HdFlagDecision *decision, struct varlena *otherwise);

#endif /* HD_FLAGS_RESULT_H */
