/*-------------------------------------------------------------------------
 * decide.c
 *		From SQL arguments and settings to a decision.
 *
 * Memory: all that a run allocates is in one context, emptied before the next
 * run, so that nothing grows however many rows a statement has.  Runs do not
 * nest: a flag that asks another does so within the same run.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/decide.h"

#include "flags/flags.h"
#include "flags/segments.h"
#include "flags/uses.h"
#include "utils/memutils.h"

/* The key that a call asked for last, and its flag. */
typedef struct Call
{
	HdFlagHandle handle;
	int length;
	int room;
	char *key;
} Call;

static MemoryContext run_memory = NULL;

/* A context from a row has a short header as a rule; it is copied here to be aligned. */
static union
{
	char bytes[VARATT_SHORT_MAX + VARHDRSZ];
	int64 aligner;
} aligned;

/* What another flag gave, as long as the run lives; that flag may go. */
static HdValue
keep(const HdValue *value)
{
	if (value->type == HD_VALUE_STRING)
		return hd_flags_string(pnstrdup(value->as.string, value->length), value->length);
	return (value->type >= HD_VALUE_LIST) ? hd_flags_from_jsonb(hd_flags_to_jsonb(value)) : *value;
}

static void
count_use(HdFlag *flag, const HdFlagDecision *decision)
{
	int variant = decision->variant;

	if (variant < 0 && decision->name.type == HD_VALUE_STRING)
		variant = hd_flags_variant(flag, decision->name.as.string, decision->name.length);
	hd_flags_uses_add(flag, variant);
}

bool
hd_flags_ask_other(HdFlagsRun *run, HdFlag *flag, HdValue *value, HdValue *variant)
{
	HdFlagsRun inner = *run;
	HdFlagDecision decision;

	if (flag == NULL)
		return true;
	inner.asker = run;
	inner.depth++;
	inner.wants_metadata = false;
	if (!hd_flags_has_memory(run))
		return false;
	hd_flags_decide(flag, &inner, &decision);
	run->at = inner.at;
	run->steps = inner.steps;
	if (run->counts)
		count_use(flag, &decision);
	if (inner.circular)
	{
		run->circular = true;
		return hd_flags_throw(run, "Cyclic Prerequisite");
	}
	if (decision.variant >= 0)
		*value = keep(&flag->variants[decision.variant].value);
	else if (decision.outcome != NULL)
		*value = hd_flags_bool(decision.outcome->on);
	*variant = keep(&decision.name);
	return true;
}

static bool
ask_flag(HdFlagsRun *run, const HdValue *key, HdValue *value, HdValue *variant)
{
	HdFlagHandle handle;

	hd_flags_find(key->as.string, key->length, &handle);
	return hd_flags_ask_other(run, handle.flag, value, variant);
}

static bool
ask_segment(HdFlagsRun *run, const HdValue *segment, const HdValue *unit, bool *within)
{
	*within = hd_flags_segment_has(segment, unit);
	return true;
}

static const HdFlagsWorld present = {.flag = ask_flag, .segment = ask_segment};

static void
begin(HdFlagsQuestion *question)
{
	if (run_memory == NULL)
		run_memory =
			AllocSetContextCreate(TopMemoryContext, "hotdash flag run", ALLOCSET_DEFAULT_SIZES);
	if (!run_memory->isReset || run_memory->firstchild != NULL)
		MemoryContextReset(run_memory);
	if (unlikely(hd_flags_given_up))
		hd_flags_flag_sweep();
	question->saved = MemoryContextSwitchTo(run_memory);
	question->bad_context = false;
	question->context.given = NULL;
	question->context.targeting_key = NULL;
	question->context.session = unlikely(hd_flags_context_set) ? hd_flags_setting_context() : NULL;
	question->context.environment = hd_flags_environment;
	question->run.context = &question->context;
	question->run.world = &present;
	question->run.at = 0;
	question->run.whole.type = HD_VALUE_NULL;
	question->run.steps = 0;
	question->run.most_memory = HD_FLAGS_MAX_MEMORY;
	question->run.depth = 0;
	question->run.trace = NULL;
	question->run.asker = NULL;
	question->run.counts = true;
	question->run.wants_metadata = false;
}

static Jsonb *
align(struct varlena *datum)
{
	if (VARATT_IS_4B_U(datum))
		return (Jsonb *) datum;
	/* a pointer to what is kept elsewhere has a short header too */
	if (VARATT_IS_EXTERNAL(datum) || !VARATT_IS_SHORT(datum))
		return (Jsonb *) pg_detoast_datum(datum);
	memcpy(aligned.bytes + VARHDRSZ, VARDATA_SHORT(datum), VARSIZE_SHORT(datum) - VARHDRSZ_SHORT);
	SET_VARSIZE(aligned.bytes, VARSIZE_SHORT(datum) - VARHDRSZ_SHORT + VARHDRSZ);
	return (Jsonb *) aligned.bytes;
}

void
hd_flags_begin(HdFlagsQuestion *question, struct varlena *context)
{
	Jsonb *given;

	begin(question);
	if (context == NULL)
		return;
	given = align(context);
	question->run.most_memory += VARSIZE(given);
	if (JB_ROOT_IS_OBJECT(given))
		question->context.given = &given->root;
	else
		question->bad_context = !JB_ROOT_IS_SCALAR(given) || !JBE_ISNULL(given->root.children[0]);
}

void
hd_flags_begin_for(HdFlagsQuestion *question, text *targeting_key)
{
	begin(question);
	question->targeting_key =
		hd_flags_string(VARDATA_ANY(targeting_key), (int) VARSIZE_ANY_EXHDR(targeting_key));
	question->context.targeting_key = &question->targeting_key;
}

void
hd_flags_begin_unit(HdFlagsQuestion *question, text *targeting_key, struct varlena *context)
{
	hd_flags_begin(question, context);
	question->targeting_key =
		hd_flags_string(VARDATA_ANY(targeting_key), (int) VARSIZE_ANY_EXHDR(targeting_key));
	question->context.targeting_key = &question->targeting_key;
}

void
hd_flags_end(HdFlagsQuestion *question)
{
	MemoryContextSwitchTo(question->saved);
}

void
hd_flags_answer(HdFlag *flag, HdFlagsQuestion *question, HdFlagDecision *decision)
{
	if (likely(flag != NULL && !question->bad_context))
	{
		hd_flags_decide(flag, &question->run, decision);
		if (question->run.counts)
			count_use(flag, decision);
		return;
	}
	decision->variant = -1;
	decision->name = hd_flags_null();
	decision->outcome = NULL;
	decision->reason = HD_FLAG_ERROR;
	decision->error = (flag == NULL) ? HD_FLAG_NOT_FOUND : HD_FLAG_INVALID_CONTEXT;
	decision->message =
		(flag == NULL) ? "there is no such flag" : "the context is not a JSON object";
}

static Call *
remember(FunctionCallInfo fcinfo, Call *call, const char *key, int length)
{
	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Call));
		fcinfo->flinfo->fn_extra = call;
	}
	if (call->room < length || call->key == NULL)
	{
		if (call->key != NULL)
			pfree(call->key);
		call->key = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, length + 1);
		call->room = length;
	}
	memcpy(call->key, key, length);
	call->length = length;
	hd_flags_find(key, length, &call->handle);
	return call;
}

HdFlag *
hd_flags_call(FunctionCallInfo fcinfo)
{
	Call *call = fcinfo->flinfo->fn_extra;
	text *key = hd_flags_text_arg(PG_GETARG_DATUM(0));
	int length = (int) VARSIZE_ANY_EXHDR(key);

	if (unlikely(call == NULL || call->length != length ||
				 memcmp(call->key, VARDATA_ANY(key), length) != 0 ||
				 !hd_flags_handle_valid(&call->handle)))
		call = remember(fcinfo, call, VARDATA_ANY(key), length);
	return call->handle.flag;
}
