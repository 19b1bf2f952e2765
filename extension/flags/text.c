/*-------------------------------------------------------------------------
 * text.c
 *		Operators that make text: cat, substr.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "flags/logic.h"
#include "mb/pg_wchar.h"

/* A rule cannot make a longer text: one that doubles a text in a loop would not end. */
#define MAX_TEXT (1024 * 1024)

static bool
append(HdFlagsRun *run, StringInfo text, const HdValue *value)
{
	if (value->type == HD_VALUE_STRING && value->length > MAX_TEXT - text->len)
		return hd_flags_throw(run, "Text Too Long");
	if (!hd_flags_is_handy(value))
		return hd_flags_throw(run, "Text Too Long");
	if (!hd_flags_has_memory(run))
		return false;
	hd_flags_append_text(text, value);
	return text->len <= MAX_TEXT || hd_flags_throw(run, "Text Too Long");
}

static bool
eval_cat(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	HdFlagsArgs args;
	StringInfoData text;

	if (!hd_flags_args(run, node, &args))
		return false;
	initStringInfo(&text);
	for (int i = 0; i < args.n; i++)
		if (!append(run, &text, &args.values[i]))
			return false;
	*result = hd_flags_string(text.data, text.len);
	return true;
}

static int
to_position(const HdValue *value)
{
	double number = hd_flags_to_number(value);

	if (isnan(number))
		return 0;
	return (int) Max(-MAX_TEXT, Min(MAX_TEXT, trunc(number)));
}

/* Bytes of the first n characters. */
static int
bytes_of(const char *text, int length, int n)
{
	int bytes = 0;

	while (n-- > 0 && bytes < length)
		bytes += Min(pg_mblen(text + bytes), length - bytes);
	return bytes;
}

/* As JavaScript's substr, by characters; a negative length leaves that many off the end. */
static bool
eval_substr(HdFlagsRun *run, const HdFlagsNode *node, HdValue *result)
{
	StringInfoData text;
	HdValue arg;
	int characters;
	int begin;
	int count;
	int skipped;

	if (!hd_flags_arg(run, node, 0, &arg))
		return false;
	initStringInfo(&text);
	if (run->dialect == HD_FLAGS_JS && arg.type == HD_VALUE_NULL)
		arg = hd_flags_literal("null"); /* String(null) */
	if (!append(run, &text, &arg) || !hd_flags_arg(run, node, 1, &arg))
		return false;
	characters = pg_mbstrlen_with_len(text.data, text.len);
	begin = to_position(&arg);
	begin = (begin < 0) ? Max(characters + begin, 0) : Min(begin, characters);
	count = characters - begin;
	if (node->nargs > 2)
	{
		if (!hd_flags_arg(run, node, 2, &arg))
			return false;
		if (arg.type != HD_VALUE_NULL)
		{
			int asked = to_position(&arg);

			count = (asked < 0) ? Max(count + asked, 0) : Min(count, asked);
		}
	}
	skipped = bytes_of(text.data, text.len, begin);
	*result = hd_flags_string(text.data + skipped,
							  bytes_of(text.data + skipped, text.len - skipped, count));
	return true;
}

const HdFlagsOperator hd_flags_operators_text[] = {
	{.name = "cat", .eval = eval_cat},
	{.name = "substr", .eval = eval_substr},
	{.name = NULL},
};
