/*-------------------------------------------------------------------------
 * schema_compile.c
 *		A JSON Schema from jsonb into the tree of schema_tree.h.
 *
 * Model: one pass down the document; what a reference leads to is compiled
 * when it is met.  Each object of the document becomes one node, found again
 * by its address in the copy.  At the end circles are looked for that would
 * never leave a place of the value.
 *
 * Caveats: unknown keywords are ignored, as the standard says.  Those that
 * are known and would mean something else here are refused rather than
 * misread: $id below the root, $dynamicRef, other drafts.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_build.h"

#include "core/compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct NodeEntry
{
	JsonbContainer *object;
	HdSchemaNode *node;
} NodeEntry;

void
hd_schema_refuse(const HdSchemaPath *place, const char *format, ...)
{
	StringInfoData what;

	initStringInfo(&what);
	for (;;)
	{
		va_list arguments;
		int needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&what, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&what, needed);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid schema at \"%s\": %s", hd_schema_path_text(place), what.data)));
}

static HdSchemaNode *
boolean_node(bool anything)
{
	HdSchemaNode *node = palloc0(sizeof(HdSchemaNode));

	node->never = !anything;
	return node;
}

/* Take the rules over that the builder has. */
static void
finish_node(const HdSchemaBuilder *builder, HdSchemaNode *node)
{
	int n = 0;

	for (int kind = 0; kind < HD_SCHEMA_RULE_KINDS; kind++)
		n += builder->present[kind];
	node->rules = palloc(sizeof(HdSchemaRule) * Max(n, 1));
	for (int kind = 0; kind < HD_SCHEMA_RULE_KINDS; kind++)
		if (builder->present[kind])
			node->rules[node->nrules++] = builder->rules[kind];
	node->collects = builder->present[HD_SCHEMA_UNEVALUATED_ITEMS] ||
					 builder->present[HD_SCHEMA_UNEVALUATED_PROPERTIES];
}

HdSchemaNode *
hd_schema_build_node(HdSchemaCompiler *compiler, const JsonbValue *value, const HdSchemaPath *place)
{
	HdSchemaBuilder builder = {.compiler = compiler, .place = place};
	JsonbIterator *iterator;
	JsonbValue name;
	JsonbValue member;
	NodeEntry *entry;
	HdSchemaNode *node;
	bool found;

	check_stack_depth();
	if (value->type == jbvBool)
		return boolean_node(value->val.boolean);
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		hd_schema_refuse(place, "must be a schema, that is an object or a boolean");
	builder.object = value->val.binary.data;
	entry = hash_search(compiler->nodes, &builder.object, HASH_ENTER, &found);
	if (found)
		return entry->node;

	/* Known before it is filled: what it consists of may refer to it. */
	node = entry->node = palloc0(sizeof(HdSchemaNode));
	iterator = JsonbIteratorInit(builder.object);
	(void) JsonbIteratorNext(&iterator, &name, true);
	while (JsonbIteratorNext(&iterator, &name, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &member, true);
		hd_schema_build_keyword(&builder, &name, &member);
	}
	finish_node(&builder, node);
	return node;
}

/*
 * References
 */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return (c >= 'A' && c <= 'F') ? c - 'A' + 10 : -1;
}

/* One step of a pointer with its escapes undone: %xx first, then ~0 and ~1. */
static HdSchemaName
unescape_step(const char *step, int length, const HdSchemaPath *place)
{
	char *result = palloc(length + 1);
	char *plain = palloc(length + 1);
	HdSchemaName name = {result, 0};
	int n = 0;

	for (int i = 0; i < length; i++)
	{
		plain[n] = step[i];
		if (step[i] == '%')
		{
			if (i + 2 >= length || hex_digit(step[i + 1]) < 0 || hex_digit(step[i + 2]) < 0)
				hd_schema_refuse(place, "%% must be followed by two hexadecimal digits");
			plain[n] = (char) (hex_digit(step[i + 1]) * 16 + hex_digit(step[i + 2]));
			i += 2;
		}
		n++;
	}
	for (int i = 0; i < n; i++)
	{
		char c = plain[i];

		if (c == '~')
		{
			if (++i == n || (plain[i] != '0' && plain[i] != '1'))
				hd_schema_refuse(place, "~ must be followed by 0 or 1");
			c = (plain[i] == '0') ? '~' : '/';
		}
		result[name.length++] = c;
	}
	pfree(plain);
	return name;
}

/* The element that a step of a pointer means, -1 for none. */
static int64
element_number(HdSchemaName step, uint32 count)
{
	int64 number = 0;

	if (step.length == 0 || step.length > 9 || (step.name[0] == '0' && step.length > 1))
		return -1;
	for (int i = 0; i < step.length; i++)
	{
		if (step.name[i] < '0' || step.name[i] > '9')
			return -1;
		number = number * 10 + (step.name[i] - '0');
	}
	return (number < count) ? number : -1;
}

/* Go one step down; false when there is nothing. */
static bool
descend(JsonbValue *value, HdSchemaName step)
{
	JsonbContainer *container = value->val.binary.data;
	JsonbValue *element;
	int64 number;

	if (value->type != jbvBinary)
		return false;
	if (JsonContainerIsObject(container))
		return getKeyJsonValueFromContainer(container, step.name, step.length, value) != NULL;
	number = element_number(step, JsonContainerSize(container));
	if (number < 0)
		return false;
	element = getIthJsonbValueFromContainer(container, (uint32) number);
	*value = *element;
	pfree(element);
	return true;
}

HdSchemaNode *
hd_schema_build_reference(HdSchemaCompiler *compiler, const char *reference, int length,
						  const HdSchemaPath *place)
{
	const char *end = reference + length;
	HdSchemaPath *at = palloc0(sizeof(HdSchemaPath));
	JsonbValue value = compiler->document;

	if (length == 0 || reference[0] != '#' || (length > 1 && reference[1] != '/'))
		hd_schema_refuse(place, "only # and #/… are supported, references into the same document");
	for (const char *step = reference + 1; step < end;)
	{
		const char *slash = memchr(step + 1, '/', end - step - 1);
		HdSchemaPath *next = palloc(sizeof(HdSchemaPath));
		HdSchemaName name;

		CHECK_FOR_INTERRUPTS();
		if (slash == NULL)
			slash = end;
		name = unescape_step(step + 1, (int) (slash - step - 1), place);
		if (!descend(&value, name))
			hd_schema_refuse(place, "there is nothing at \"%s\"",
							 hd_schema_clip(reference, length));
		*next = hd_schema_path_name(at, name);
		at = next;
		step = slash;
	}
	return hd_schema_build_node(compiler, &value, at);
}

/*
 * Circles
 */

static void visit(HdSchemaNode *node);

static void
visit_all(const HdSchemaNodes *nodes)
{
	for (int i = 0; i < nodes->n; i++)
		visit(nodes->nodes[i]);
}

/* Follow the rules that look at the same value again. */
static void
visit_rule(const HdSchemaRule *rule)
{
	switch (rule->kind)
	{
		case HD_SCHEMA_REF:
		case HD_SCHEMA_NOT:
			visit(rule->as.node);
			break;
		case HD_SCHEMA_ALL_OF:
		case HD_SCHEMA_ANY_OF:
		case HD_SCHEMA_ONE_OF:
			visit_all(rule->as.nodes);
			break;
		case HD_SCHEMA_DEPENDENT_SCHEMAS:
			for (int i = 0; i < rule->as.members->n; i++)
				visit(rule->as.members->members[i].node);
			break;
		case HD_SCHEMA_IF:
			visit(rule->as.branch->condition);
			if (rule->as.branch->then != NULL)
				visit(rule->as.branch->then);
			if (rule->as.branch->otherwise != NULL)
				visit(rule->as.branch->otherwise);
			break;
		default:
			break;
	}
}

static void
visit(HdSchemaNode *node)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->visit == HD_SCHEMA_DONE)
		return;
	if (node->visit == HD_SCHEMA_UNDER_WAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid schema: a reference leads back to itself"),
						errdetail("Checking a value would never end: nothing on the way from the "
								  "reference back to it goes on to a part of the value.")));
	node->visit = HD_SCHEMA_UNDER_WAY;
	for (int i = 0; i < node->nrules; i++)
		visit_rule(&node->rules[i]);
	node->visit = HD_SCHEMA_DONE;
}

static void
refuse_circles(HTAB *nodes)
{
	HASH_SEQ_STATUS all;
	NodeEntry *entry;

	hash_seq_init(&all, nodes);
	while ((entry = hash_seq_search(&all)) != NULL)
		visit(entry->node);
}

HdSchema *
hd_schema_compile(const Jsonb *source, MemoryContext parent)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "hotdash schema", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	HASHCTL control = {.keysize = sizeof(JsonbContainer *),
					   .entrysize = sizeof(NodeEntry),
					   .hcxt = context};
	HdSchemaPath root = {0};
	HdSchemaCompiler compiler;
	HdSchema *schema = palloc(sizeof(HdSchema));

	schema->context = context;
	schema->document = palloc(VARSIZE(source));
	memcpy(schema->document, source, VARSIZE(source));
	hd_schema_root_value(schema->document, &compiler.document);
	compiler.nodes =
		hash_create("hotdash schema", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	schema->root = hd_schema_build_node(&compiler, &compiler.document, &root);
	refuse_circles(compiler.nodes);
	hash_destroy(compiler.nodes);

	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, parent);
	return schema;
}

void
hd_schema_free(HdSchema *schema)
{
	MemoryContextDelete(schema->context);
}
