/*-------------------------------------------------------------------------
 * schema.h
 *		JSON Schema: does a jsonb fit?
 *
 * Purpose: payloads of jobs and inbound messages are held against a schema,
 * draft 2020-12 as docs/operations.md describes it: what can be said within
 * one document, nothing is ever fetched.
 *
 * Model: a schema is compiled once into a tree (schema_tree.h) and checked
 * any number of times against values as they are stored, without making text
 * or copies of them.
 *
 * Caveats: the time of a check is bounded by nothing but the schema and the
 * value.  Every step can be interrupted, and recursion ends in 54001.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SCHEMA_H
#define HD_SCHEMA_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/palloc.h"

typedef struct HdSchema HdSchema;

/* One thing that is wrong with a value. */
typedef struct HdSchemaError
{
	const char *path;	 /* JSON pointer to the part that does not fit, "" for all of it */
	const char *rule;	 /* the keyword */
	const char *message; /* "must …": what the value is never shows */
} HdSchemaError;

/*
 * HdSchemaReport
 *		Told of each error while a value is checked; false: no more.
 *
 * The strings live as long as the call.
 */
typedef bool (*HdSchemaReport)(void *arg, const HdSchemaError *error);

/*
 * hd_schema_compile
 *		Compile a schema, into a memory context of its own below parent.
 *
 * Raises 22023 for one that is malformed or asks for what is not supported;
 * the message has the place.  Nothing stays behind in parent then.
 */
extern HdSchema *hd_schema_compile(const Jsonb *source, MemoryContext parent);

/*
 * hd_schema_free
 *		Free what hd_schema_compile made.
 */
extern void hd_schema_free(HdSchema *schema);

/*
 * hd_schema_check
 *		Whether a value fits.
 *
 * value NULL stands for JSON null.  report may be NULL; then the check ends
 * at the first error.
 */
extern bool hd_schema_check(const HdSchema *schema, Jsonb *value, HdSchemaReport report, void *arg);

#endif /* HD_SCHEMA_H */
