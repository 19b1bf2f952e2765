/*-------------------------------------------------------------------------
 * headers.c
 *		Headers of a request that came in: an object of names and texts.
 *
 * Model: the keys of the object are walked as they lie in memory.  The
 * server's iterator copies each key and value into a struct, and allocates;
 * a lookup by key cannot tell that a name is there in another spelling too.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "webhooks/headers.h"

#include "core/compat.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(hd_webhooks_sql_header);

/* name is in lower case and as long; neither ends with a zero. */
static bool
same_name(const char *key, const char *name, uint32 length)
{
	for (uint32 i = 0; i < length; i++)
	{
		char c = key[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (c != name[i])
			return false;
	}
	return true;
}

static void
take_value(const JsonbContainer *object, int i, HdHeader *header)
{
	int n = JsonContainerSize(object);
	const char *base = (const char *) &object->children[n * 2];

	if (header->found || !JBE_ISSTRING(object->children[n + i]))
		header->spoiled = true;
	header->found = true;
	header->value.data = base + getJsonbOffset(object, n + i);
	header->value.length = getJsonbLength(object, n + i);
}

bool
hd_webhooks_find_headers(const Jsonb *headers, HdHeader *wanted, int n)
{
	const JsonbContainer *object = &headers->root;
	int count = JsonContainerSize(object);
	const char *base = (const char *) &object->children[count * 2];
	uint32 offset = 0;
	bool complete = true;

	for (int i = 0; i < count; i++)
	{
		const char *key = base + offset;
		uint32 start = offset;

		JBE_ADVANCE_OFFSET(offset, object->children[i]);
		for (int w = 0; w < n; w++)
		{
			if (wanted[w].name_length == offset - start &&
				same_name(key, wanted[w].name, offset - start))
				take_value(object, i, &wanted[w]);
		}
	}
	for (int w = 0; w < n; w++)
		complete &= wanted[w].found && !wanted[w].spoiled;
	return complete;
}

/*
 * hd_webhooks_sql_header
 *		SQL: _webhook_header(headers, name) -> text: NULL unless it is there
 *		exactly once, as a text.  name is in lower case.
 */
Datum
hd_webhooks_sql_header(PG_FUNCTION_ARGS)
{
	Jsonb *headers = PG_GETARG_JSONB_P(0);
	text *name = PG_GETARG_TEXT_PP(1);
	HdHeader header = {.name = VARDATA_ANY(name), .name_length = VARSIZE_ANY_EXHDR(name)};

	if (!JB_ROOT_IS_OBJECT(headers) || !hd_webhooks_find_headers(headers, &header, 1))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(header.value.data, header.value.length));
}
