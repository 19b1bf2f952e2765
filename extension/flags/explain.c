/*-------------------------------------------------------------------------
 * explain.c
 *		Why a flag decides what it decides: flag_explain.
 *
 * The explanation is the same evaluation with a trace: each node that is
 * evaluated leaves what it gave, within what its parent gave, and operators
 * add what they found out (an attribute read, a hash, a bucket).  So it
 * cannot differ from flag_evaluate.
 *
 * What decided is found from the root down: of an operator that chooses, the
 * part that it evaluated last; the first part that does not choose is it.
 *
 * Memory: the trace has its own below the run's, so that a rule meets the
 * bound of the run's where it meets it without a trace.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/compat.h"
#include "core/errors.h"
#include "flags/decide.h"
#include "flags/flags.h"
#include "flags/result.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_explain);

/* A trace stops growing here; the evaluation goes on. */
#define MAX_EVENTS 2000

/* What all values of a trace take that are more than a few bytes. */
#define MAX_SHOWN ((Size) 4 * 1024 * 1024)
#define FEW_BYTES 256

/* A node that was evaluated. */
typedef struct Event
{
	struct Event *parent;
	struct Event *first; /* child */
	struct Event *last;
	struct Event *next; /* sibling */
	const HdFlagsNode *node;
	HdValue result;
	bool threw;
	int nnotes;
	HdValuePair notes[8];
} Event;

/* A JSON object that grows. */
typedef struct Object
{
	HdValue value;
	int room;
} Object;

struct HdFlagsTrace
{
	MemoryContext memory;
	Event root;
	Event *current;
	int nevents;
	Size shown;	  /* of MAX_SHOWN */
	Object reads; /* attributes that operators read without asking var */
};

/* A value as it is shown: one list may stand in each of thousands of results. */
static HdValue
shown(HdFlagsTrace *trace, const HdValue *value)
{
	Size weight = hd_flags_weight(value, MAX_SHOWN);

	if (weight > FEW_BYTES && weight > MAX_SHOWN - trace->shown)
		return hd_flags_literal("(too large to be shown)");
	trace->shown += (weight > FEW_BYTES) ? weight : 0;
	return *value;
}

bool
hd_flags_eval_traced(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsTrace *trace = run->trace;
	Event *parent = trace->current;
	Event *event;
	bool done;

	if (node->op == NULL || trace->nevents++ >= MAX_EVENTS)
		return node->eval(run, node, result);
	event = MemoryContextAllocZero(trace->memory, sizeof(Event));
	event->parent = parent;
	event->node = node;
	if (parent->last != NULL)
		parent->last->next = event;
	else
		parent->first = event;
	parent->last = event;
	trace->current = event;
	done = node->eval(run, node, result);
	trace->current = parent;
	event->threw = !done;
	event->result = done ? shown(trace, result) : hd_flags_null();
	return done;
}

void
hd_flags_trace_note(HdFlagsRun *run, const HdFlagsNode *node, const char *name,
					const HdValue *value)
{
	Event *event = run->trace->current;

	/* the event of one that was cut off is not there */
	if (event->node != node || event->nnotes == lengthof(event->notes))
		return;
	event->notes[event->nnotes].name = hd_flags_string(name, (int) strlen(name));
	event->notes[event->nnotes++].value = shown(run->trace, value);
}

static void
add(Object *object, const char *name, HdValue value)
{
	HdValuePair *pairs = object->value.as.pairs;

	if (object->value.length == object->room)
	{
		object->room = Max(8, object->room * 2);
		pairs = palloc(sizeof(HdValuePair) * object->room);
		if (object->value.length > 0)
			memcpy(pairs, object->value.as.pairs, sizeof(HdValuePair) * object->value.length);
		object->value.as.pairs = pairs;
	}
	object->value.type = HD_VALUE_PAIRS;
	pairs[object->value.length].name = hd_flags_string(name, (int) strlen(name));
	pairs[object->value.length++].value = value;
}

void
hd_flags_trace_read(HdFlagsRun *run, const HdValue *name, const HdValue *value)
{
	HdFlagsTrace *trace = run->trace;
	HdValue known;
	MemoryContext saved;

	if (hd_flags_member(&trace->reads.value, name->as.string, name->length, &known))
		return;
	saved = MemoryContextSwitchTo(trace->memory);
	add(&trace->reads, pnstrdup(name->as.string, name->length), shown(trace, value));
	MemoryContextSwitchTo(saved);
}

void
hd_flags_trace_attribute(HdFlagsRun *run, const HdFlagsNode *node, StringInfo path,
						 const HdValue *value)
{
	HdValue name = hd_flags_string(path->data, path->len);

	if (run->trace->current->node == node)
	{
		name.as.string = MemoryContextStrdup(run->trace->memory, path->data);
		hd_flags_trace_note(run, node, "attribute", &name);
	}
	hd_flags_trace_read(run, &name, value);
}

static HdValue
string(const char *text)
{
	return (text == NULL) ? hd_flags_null() : hd_flags_string(text, (int) strlen(text));
}

static HdValue
describe(const Event *event)
{
	Object object = {.value.type = HD_VALUE_PAIRS};
	HdValue parts = {.type = HD_VALUE_LIST};
	int n = 0;

	check_stack_depth();
	add(&object, "operator", string(event->node->op->name));
	add(&object, event->threw ? "threw" : "result",
		event->threw ? hd_flags_bool(true) : event->result);
	for (int i = 0; i < event->nnotes; i++)
		add(&object, pnstrdup(event->notes[i].name.as.string, event->notes[i].name.length),
			event->notes[i].value);
	for (const Event *part = event->first; part != NULL; part = part->next)
		n++;
	parts.as.items = palloc(sizeof(HdValue) * (n + 1));
	for (const Event *part = event->first; part != NULL; part = part->next)
		parts.as.items[parts.length++] = describe(part);
	if (n > 0)
		add(&object, "parts", parts);
	return object.value;
}

static bool
chooses(const Event *event)
{
	static const char *const names[] = {"if", "?:", "and", "or", "??", "try", "!", "!!"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(event->node->op->name, names[i]) == 0)
			return true;
	return false;
}

static const Event *
deciding(const Event *event)
{
	while (event != NULL && chooses(event) && event->last != NULL)
		event = event->last;
	return event;
}

static void
add_rule(Object *object, const HdFlagsTrace *trace)
{
	Object attributes = trace->reads;
	const Event *decider;

	if (trace->root.first == NULL)
		return;
	decider = deciding(trace->root.first);
	add(object, "decided_by", describe(decider));
	attributes.value.type = HD_VALUE_PAIRS;
	add(object, "attributes", attributes.value);
	add(object, "rule", describe(trace->root.first));
	if (trace->nevents > MAX_EVENTS)
		add(object, "cut_at", hd_flags_number(MAX_EVENTS));
}

/* One sentence. */
static const char *
why(const HdFlag *flag, const HdFlagDecision *decision, const HdFlagsTrace *trace)
{
	const Event *decider = deciding(trace->root.first);

	if (decision->error != HD_FLAG_OK)
		return psprintf("the caller's default counts: %s", decision->message);
	switch (decision->reason)
	{
		case HD_FLAG_DISABLED:
			return "the flag is disabled: the caller's default counts";
		case HD_FLAG_STATIC:
			return "the flag has no targeting rule: its default variant counts for all";
		case HD_FLAG_OVERRIDE:
			return "hotdash.flag_overrides sets the variant for this session";
		case HD_FLAG_DEFAULT:
			return (decision->variant < 0)
					   ? "the rule names no variant, and the flag has no default variant: the "
						 "caller's default counts"
					   : "the rule names no variant: the flag's default variant counts";
		default:
			return (decider == NULL) ? "the rule names this variant for all"
									 : psprintf("the rule names this variant; %s decided",
												decider->node->op->name);
	}
}

static void
add_flag(Object *object, const HdFlag *flag)
{
	if (flag == NULL)
		return;
	add(object, "version", hd_flags_number(flag->version));
	add(object, "state", string(flag->enabled ? "ENABLED" : "DISABLED"));
	add(object, "bucketing",
		string(
			hd_flags_bucketings[flag->bucketing_given ? flag->bucketing
													  : (HdBucketing) hd_flags_setting_bucketing]));
	add(object, "dialect", string(flag->dialect == HD_FLAGS_STRICT ? "strict" : "js"));
	if (flag->facts.problem != NULL)
		add(object, "problem", string(flag->facts.problem));
}

/*
 * flag_explain(key, context)
 */
Datum
hd_flags_sql_explain(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlagHandle handle;
	HdFlagsTrace *trace;
	HdValue value;
	Object object = {.value.type = HD_VALUE_PAIRS};
	text *key;
	Jsonb *result;

	hd_require_arg(fcinfo, 0, "key");
	key = PG_GETARG_TEXT_PP(0);
	hd_flags_begin(&question, PG_ARGISNULL(1) ? NULL : PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(1)));
	trace = palloc0(sizeof(HdFlagsTrace));
	trace->memory = AllocSetContextCreate(CurrentMemoryContext, "hotdash flag explanation",
										  ALLOCSET_DEFAULT_SIZES);
	trace->current = &trace->root;
	question.run.counts = false;
	question.run.trace = trace;
	question.run.wants_metadata = true;
	hd_flags_find(VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key), &handle);
	hd_flags_answer(handle.flag, &question, &decision);
	hd_flags_value(handle.flag, &decision, HD_FLAGS_WANT_ANY, &value);
	question.run.trace = NULL;

	add(&object, "key", hd_flags_string(VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key)));
	add(&object, "why", string(why(handle.flag, &decision, trace)));
	add(&object, "value", value);
	add(&object, "variant", decision.name);
	add(&object, "reason", string(hd_flags_reason_name(decision.reason)));
	add(&object, "error_code", string(hd_flags_error_name(decision.error)));
	add(&object, "error_message", string(decision.message));
	add_flag(&object, handle.flag);
	if (handle.flag != NULL)
	{
		question.run.flag_key = handle.flag->key;
		add(&object, "context", hd_flags_context_whole(&question.run));
	}
	add_rule(&object, trace);
	MemoryContextSwitchTo(question.saved);
	result = hd_flags_to_jsonb(&object.value);
	PG_RETURN_JSONB_P(result);
}
