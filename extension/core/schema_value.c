/*-------------------------------------------------------------------------
 * schema_value.c
 *		Values and places, as compiling and checking a JSON Schema need them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/schema_tree.h"

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "core/compat.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define MAX_PATH 1024
#define MAX_CLIP 200

char *
hd_schema_clip(const char *string, int length)
{
	int kept = pg_mbcliplen(string, length, MAX_CLIP);
	char *result = palloc(kept + sizeof("..."));

	memcpy(result, string, kept);
	strlcpy(result + kept, (kept < length) ? "..." : "", sizeof("..."));
	return result;
}

char *
hd_schema_show(const JsonbValue *value)
{
	JsonbValue copy = *value;
	Jsonb *whole = JsonbValueToJsonb(&copy);
	char *text = JsonbToCString(NULL, &whole->root, (int) VARSIZE(whole));
	char *result = hd_schema_clip(text, (int) strlen(text));

	pfree(text);
	pfree(whole);
	return result;
}

/* In the order of their bits. */
static const char *const type_names[] = {"null",	"boolean", "string", "number",
										 "integer", "array",   "object"};

uint32
hd_schema_type_by_name(const HdSchemaName *name)
{
	for (int i = 0; i < lengthof(type_names); i++)
		if (strlen(type_names[i]) == (size_t) name->length &&
			memcmp(type_names[i], name->name, name->length) == 0)
			return (uint32) 1 << i;
	return 0;
}

char *
hd_schema_types_text(uint32 types)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < lengthof(type_names); i++)
		if ((types & ((uint32) 1 << i)) != 0)
			appendStringInfo(&text, "%s%s", (text.len > 0) ? " or " : "", type_names[i]);
	return text.data;
}

bool
hd_schema_integer(Numeric number)
{
	return DatumGetInt32(DirectFunctionCall1(numeric_min_scale, NumericGetDatum(number))) == 0;
}

static void
append_step(StringInfo text, const HdSchemaPath *step)
{
	appendStringInfoChar(text, '/');
	if (step->name == NULL)
		appendStringInfo(text, "%u", step->index);
	else
		for (const char *c = step->name; c < step->name + step->length && text->len <= MAX_PATH;
			 c++)
		{
			if (*c == '~' || *c == '/')
				appendStringInfoString(text, (*c == '~') ? "~0" : "~1");
			else
				appendStringInfoChar(text, *c);
		}
}

char *
hd_schema_path_text(const HdSchemaPath *path)
{
	const HdSchemaPath **steps;
	StringInfoData text;
	int depth = 0;

	for (const HdSchemaPath *p = path; p->parent != NULL; p = p->parent)
		depth++;
	steps = palloc(sizeof(HdSchemaPath *) * (depth + 1));
	for (int i = depth; i > 0; i--, path = path->parent)
		steps[i - 1] = path;

	initStringInfo(&text);
	for (int i = 0; i < depth && text.len <= MAX_PATH; i++)
		append_step(&text, steps[i]);
	pfree(steps);
	if (text.len > MAX_PATH)
	{
		text.len = pg_mbcliplen(text.data, text.len, MAX_PATH);
		text.data[text.len] = '\0';
		appendStringInfoString(&text, "...");
	}
	return text.data;
}

void
hd_schema_root_value(Jsonb *source, JsonbValue *value)
{
	if (JB_ROOT_IS_SCALAR(source))
	{
		(void) JsonbExtractScalar(&source->root, value);
		return;
	}
	value->type = jbvBinary;
	value->val.binary.data = &source->root;
	value->val.binary.len = (int) VARSIZE(source) - VARHDRSZ;
}

int
hd_schema_names_compare(const HdSchemaName *a, const HdSchemaName *b)
{
	if (a->length != b->length)
		return (a->length < b->length) ? -1 : 1;
	return memcmp(a->name, b->name, a->length);
}

bool
hd_schema_equal(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				   memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(a->val.numeric),
													NumericGetDatum(b->val.numeric)));
		case jbvBinary:
			return compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
		default:
			elog(ERROR, "unexpected type of a jsonb value: %d", (int) a->type);
			return false;
	}
}

static uint64
hash_seed(void)
{
	static uint64 seed = 0;

	/* 0 would mean "not seeded" to the server's functions. */
	while (seed == 0)
		seed = pg_prng_uint64(&pg_global_prng_state);
	return seed;
}

static uint64
hash_scalar(const JsonbValue *value)
{
	uint64 hash = 0;

	JsonbHashScalarValueExtended(value, &hash, hash_seed());
	return hash;
}

/*
 * Not jsonb's own hash: that one only turns and mixes bits, so whoever swaps
 * elements at the right distance gets the same whatever the seed.
 */
uint64
hd_schema_hash(const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue part;
	uint64 hash = hash_seed();

	if (value->type != jbvBinary)
		return hash_scalar(value);
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		hash = hash_combine64(hash, (uint64) token);
		if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
			hash = hash_combine64(hash, hash_scalar(&part));
	}
	return hash;
}

static int
compare_hashes(const void *a, const void *b)
{
	const HdSchemaConstant *x = a;
	const HdSchemaConstant *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

void
hd_schema_constants_sort(HdSchemaConstant *constants, int n)
{
	qsort(constants, n, sizeof(HdSchemaConstant), compare_hashes);
}
