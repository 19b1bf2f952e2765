/*-------------------------------------------------------------------------
 * schema_check.c
 *		A value against a compiled JSON Schema: walking both.
 *
 * The rules themselves are in schema_rules.c, the model in schema_run.h.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_run.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

bool
hd_schema_run_fail(HdSchemaRun *run, const HdSchemaPart *part, const char *rule, const char *format,
				   ...)
{
	StringInfoData message;
	HdSchemaError error;

	if (!hd_schema_run_goes_on(run))
		return false;
	initStringInfo(&message);
	for (;;)
	{
		va_list arguments;
		int needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&message, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	error.path = hd_schema_path_text(&part->path);
	error.rule = rule;
	error.message = message.data;
	run->stopped = !run->report(run->arg, &error);
	return false;
}

static uint32
type_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return HD_SCHEMA_NULL;
		case jbvBool:
			return HD_SCHEMA_BOOLEAN;
		case jbvString:
			return HD_SCHEMA_STRING;
		case jbvNumeric:
			return HD_SCHEMA_NUMBER;
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? HD_SCHEMA_OBJECT
																 : HD_SCHEMA_ARRAY;
		default:
			elog(ERROR, "unexpected type of a jsonb value: %d", (int) value->type);
			return 0;
	}
}

void
hd_schema_part_finish(HdSchemaPart *part)
{
	part->type = type_of(&part->value);
	part->members =
		(part->value.type == jbvBinary) ? JsonContainerSize(part->value.val.binary.data) : 0;
}

void
hd_schema_walk_begin(HdSchemaWalk *walk, const HdSchemaPart *whole)
{
	JsonbValue ignored;

	walk->whole = whole;
	walk->index = -1;
	walk->iterator = JsonbIteratorInit(whole->value.val.binary.data);
	(void) JsonbIteratorNext(&walk->iterator, &ignored, true);
}

bool
hd_schema_walk_next(HdSchemaWalk *walk)
{
	HdSchemaPart *part = &walk->part;
	JsonbIteratorToken token = JsonbIteratorNext(&walk->iterator, &part->value, true);

	CHECK_FOR_INTERRUPTS();
	if (token != WJB_ELEM && token != WJB_KEY)
		return false;
	walk->index++;
	if (token == WJB_KEY)
	{
		walk->name.name = part->value.val.string.val;
		walk->name.length = part->value.val.string.len;
		part->path = hd_schema_path_name(&walk->whole->path, walk->name);
		(void) JsonbIteratorNext(&walk->iterator, &part->value, true);
	}
	else
		part->path = hd_schema_path_index(&walk->whole->path, (uint32) walk->index);
	hd_schema_part_finish(part);
	return true;
}

void
hd_schema_walk_end(HdSchemaWalk *walk)
{
	if (walk->iterator != NULL)
		pfree(walk->iterator);
	walk->iterator = NULL;
}

bool
hd_schema_run_member(HdSchemaRun *run, const HdSchemaNode *node, const HdSchemaPart *part,
					 const char *rule)
{
	if (node->never)
		return hd_schema_run_fail(run, part, rule, "must not be there");
	return hd_schema_run_node(run, node, part, NULL);
}

bool
hd_schema_run_fits(HdSchemaRun *run, const HdSchemaNode *node, const HdSchemaPart *part, bool *seen)
{
	bool *own = NULL;
	bool result;

	if (seen != NULL)
		own = palloc0(Max(part->members, 1));
	run->quiet++;
	result = hd_schema_run_node(run, node, part, own);
	run->quiet--;
	if (own == NULL)
		return result;
	for (uint32 i = 0; result && i < part->members; i++)
		seen[i] |= own[i];
	pfree(own);
	return result;
}

bool
hd_schema_run_node(HdSchemaRun *run, const HdSchemaNode *node, const HdSchemaPart *part, bool *seen)
{
	bool *own = seen;
	bool result = true;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->never)
		return hd_schema_run_fail(run, part, "false", "must not be there");
	if (node->collects && part->members > 0)
		own = palloc0(part->members);
	for (int i = 0; i < node->nrules && (result || hd_schema_run_goes_on(run)); i++)
	{
		const HdSchemaRuleCheck *rule = &hd_schema_rule_checks[node->rules[i].kind];

		if ((rule->types & part->type) != 0)
			result &= rule->check(run, &node->rules[i], part, own);
	}
	if (own == seen)
		return result;
	for (uint32 i = 0; seen != NULL && i < part->members; i++)
		seen[i] |= own[i];
	pfree(own);
	return result;
}

bool
hd_schema_check(const HdSchema *schema, Jsonb *value, HdSchemaReport report, void *arg)
{
	HdSchemaRun run = {.report = report, .arg = arg, .quiet = (report == NULL) ? 1 : 0};
	HdSchemaPart whole = {.value = {.type = jbvNull}};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash schema check", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool result;

	if (value != NULL)
		hd_schema_root_value(value, &whole.value);
	hd_schema_part_finish(&whole);
	result = hd_schema_run_node(&run, schema->root, &whole, NULL);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return result;
}
