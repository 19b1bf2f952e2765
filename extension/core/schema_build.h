/*-------------------------------------------------------------------------
 * schema_build.h
 *		Compiling a JSON Schema: what schema_compile.c, which walks the document,
 *		and schema_keywords.c, which reads the keywords, need of each other.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SCHEMA_BUILD_H
#define HD_SCHEMA_BUILD_H

#include "postgres.h"

#include "core/compat.h"
#include "core/schema_tree.h"
#include "utils/hsearch.h"

typedef struct HdSchemaCompiler
{
	JsonbValue document;
	HTAB *nodes; /* those made so far, by the object in the document */
} HdSchemaCompiler;

/* A node while its keywords are read. */
typedef struct HdSchemaBuilder
{
	HdSchemaCompiler *compiler;
	JsonbContainer *object;
	const HdSchemaPath *place;
	HdSchemaRule rules[HD_SCHEMA_RULE_KINDS];
	bool present[HD_SCHEMA_RULE_KINDS];
} HdSchemaBuilder;

/*
 * hd_schema_build_node
 *		The node of a part of the document that must be a schema.
 */
extern HdSchemaNode *hd_schema_build_node(HdSchemaCompiler *compiler, const JsonbValue *value,
										  const HdSchemaPath *place);

/*
 * hd_schema_build_reference
 *		The node that a reference, which stands at place, leads to.
 */
extern HdSchemaNode *hd_schema_build_reference(HdSchemaCompiler *compiler, const char *reference,
											   int length, const HdSchemaPath *place);

/*
 * hd_schema_build_keyword
 *		Read one keyword into the builder's rules; nothing if it is unknown.
 */
extern void hd_schema_build_keyword(HdSchemaBuilder *builder, const JsonbValue *name,
									const JsonbValue *value);

/*
 * hd_schema_refuse
 *		Raise 22023: the schema is wrong at a place.
 */
HD_NORETURN extern void hd_schema_refuse(const HdSchemaPath *place, const char *format, ...)
	pg_attribute_printf(2, 3);

#endif /* HD_SCHEMA_BUILD_H */
