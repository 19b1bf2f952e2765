/*-------------------------------------------------------------------------
 * decide.h
 *		A run prepared from SQL arguments and the session's settings.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_DECIDE_H
#define HD_FLAGS_DECIDE_H

#include "postgres.h"

#include "flags/cache.h"
#include "flags/flag.h"
#include "fmgr.h"

/* What one evaluation needs; lives on the caller's stack. */
typedef struct HdFlagsQuestion
{
	HdFlagsRun run;
	HdFlagsContext context;
	HdValue targeting_key;
	bool bad_context; /* the context given is no object */
	MemoryContext saved;
} HdFlagsQuestion;

/* A jsonb argument as it is, NULL where it is null. */
#define HD_FLAGS_JSON_ARG(n) \
	(PG_ARGISNULL(n) ? NULL : (struct varlena *) DatumGetPointer(PG_GETARG_DATUM(n)))

/*
 * hd_flags_text_arg
 *		A text argument.  As PG_GETARG_TEXT_PP, without a call where nothing is to
 *		be unpacked, as for each row of a statement.
 */
static inline text *
hd_flags_text_arg(Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	if (unlikely(VARATT_IS_1B_E(value) || VARATT_IS_4B_C(value)))
		value = pg_detoast_datum_packed(value);
	return (text *) value;
}

/*
 * hd_flags_begin, hd_flags_begin_for
 *		Prepare a run with a context, jsonb as the argument of an SQL function or
 *		NULL, or with a targeting key alone; and switch to the run's memory, which
 *		is emptied.
 * hd_flags_begin_unit
 *		With both; the context's own targeting key does not count.
 * hd_flags_end
 *		Back to the caller's memory.  What the run allocated stays until the next.
 */
extern void hd_flags_begin(HdFlagsQuestion *question, struct varlena *context);
extern void hd_flags_begin_for(HdFlagsQuestion *question, text *targeting_key);
extern void hd_flags_begin_unit(HdFlagsQuestion *question, text *targeting_key,
								struct varlena *context);
extern void hd_flags_end(HdFlagsQuestion *question);

/*
 * hd_flags_answer
 *		Decide a flag, which may be NULL, for a prepared run.
 */
extern void hd_flags_answer(HdFlag *flag, HdFlagsQuestion *question, HdFlagDecision *decision);

/*
 * hd_flags_ask_other
 *		For a world: what another flag, or NULL, decides in the context of a run.
 *		False: thrown, for a circle.
 */
extern bool hd_flags_ask_other(HdFlagsRun *run, HdFlag *flag, HdValue *value, HdValue *variant);

/*
 * hd_flags_call
 *		The flag that a function's first argument names, looked up once a statement
 *		(in fn_extra); NULL when there is none.
 */
extern HdFlag *hd_flags_call(FunctionCallInfo fcinfo);

#endif /* HD_FLAGS_DECIDE_H */
