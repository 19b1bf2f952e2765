/*-------------------------------------------------------------------------
 * result.c
 *		Decisions as rows: flag_evaluate, flag_evaluate_all, flag_evaluate_at.
 *
 * A result that depends on nothing but the variant and the reason is built
 * once and kept with the flag; the rows of a statement are copies of it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flags/result.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/spi.h"
#include "flags/decide.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(hd_flags_sql_evaluate);
PG_FUNCTION_INFO_V1(hd_flags_sql_evaluate_all);

HdFlagsWanted
hd_flags_wanted(struct varlena *value)
{
	Jsonb *json = (Jsonb *) pg_detoast_datum(value);
	JEntry entry;

	if (!JB_ROOT_IS_SCALAR(json))
		return JB_ROOT_IS_OBJECT(json) ? HD_FLAGS_WANT_OBJECT : HD_FLAGS_WANT_ARRAY;
	entry = json->root.children[0];
	if (JBE_ISBOOL(entry))
		return HD_FLAGS_WANT_BOOL;
	if (JBE_ISNUMERIC(entry))
		return HD_FLAGS_WANT_NUMBER;
	return JBE_ISSTRING(entry) ? HD_FLAGS_WANT_TEXT : HD_FLAGS_WANT_ANY;
}

static bool
fits(const HdValue *value, HdFlagsWanted wanted)
{
	switch (wanted)
	{
		case HD_FLAGS_WANT_BOOL:
			return value->type == HD_VALUE_BOOL;
		case HD_FLAGS_WANT_NUMBER:
			return value->type == HD_VALUE_NUMBER;
		case HD_FLAGS_WANT_TEXT:
			return value->type == HD_VALUE_STRING;
		case HD_FLAGS_WANT_OBJECT:
			return hd_flags_is_object(value);
		case HD_FLAGS_WANT_ARRAY:
			return hd_flags_is_array(value);
		default:
			return true;
	}
}

/* What an operator that is a whole flag has for the type asked for; *mismatch: for others alone. */
static HdValue
payload_value(const HdFlagsOutcome *outcome, HdFlagsWanted wanted, bool *mismatch)
{
	const HdFlagsPayload *payload = outcome->payload;
	HdValue value;

	*mismatch = false;
	if (wanted == HD_FLAGS_WANT_BOOL)
		return hd_flags_bool(outcome->on);
	if (payload == NULL)
		return hd_flags_null();
	value = (wanted == HD_FLAGS_WANT_TEXT)			? payload->text
			: (wanted == HD_FLAGS_WANT_NUMBER)		? payload->number
			: (wanted == HD_FLAGS_WANT_ANY)			? payload->any
			: (payload->json.type != HD_VALUE_NULL) ? payload->json
													: payload->any;
	*mismatch = value.type == HD_VALUE_NULL || !fits(&value, wanted);
	return value;
}

void
hd_flags_value(const HdFlag *flag, HdFlagDecision *decision, HdFlagsWanted wanted, HdValue *value)
{
	bool mismatch = false;

	*value = hd_flags_null();
	if (decision->error != HD_FLAG_OK)
		return;
	if (decision->variant >= 0)
	{
		*value = flag->variants[decision->variant].value;
		mismatch = value->type != HD_VALUE_NULL && !fits(value, wanted);
	}
	else if (decision->outcome != NULL)
		*value = payload_value(decision->outcome, wanted, &mismatch);
	if (!mismatch)
		return;
	*value = hd_flags_null();
	decision->variant = -1;
	decision->name = hd_flags_null();
	decision->reason = HD_FLAG_ERROR;
	decision->error = HD_FLAG_TYPE_MISMATCH;
	decision->message = "the value of the variant is of another type than the default";
}

static Datum
text_datum(const char *string, bool *isnull)
{
	*isnull = string == NULL;
	return (string == NULL) ? (Datum) 0 : CStringGetTextDatum(string);
}

static Jsonb *
metadata_of(const HdFlag *flag, const HdFlagDecision *decision)
{
	static const HdValue nothing = {.type = HD_VALUE_PAIRS};

	if (flag == NULL)
		return hd_flags_to_jsonb(&nothing);
	if (decision->outcome == NULL || decision->outcome->metadata.type == HD_VALUE_NULL)
		return flag->metadata;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(flag->metadata),
							JsonbPGetDatum(hd_flags_to_jsonb(&decision->outcome->metadata))));
}

void
hd_flags_result_row(const HdFlag *flag, HdFlagDecision *decision, struct varlena *otherwise,
					Datum *values, bool *nulls)
{
	HdValue value;

	hd_flags_value(flag, decision,
				   (otherwise == NULL) ? HD_FLAGS_WANT_ANY : hd_flags_wanted(otherwise), &value);
	nulls[0] = value.type == HD_VALUE_NULL && otherwise == NULL;
	values[0] = (value.type != HD_VALUE_NULL) ? JsonbPGetDatum(hd_flags_to_jsonb(&value))
											  : PointerGetDatum(otherwise);
	nulls[1] = decision->name.type != HD_VALUE_STRING;
	values[1] = nulls[1] ? (Datum) 0
						 : PointerGetDatum(cstring_to_text_with_len(decision->name.as.string,
																	decision->name.length));
	values[2] = text_datum(hd_flags_reason_name(decision->reason), &nulls[2]);
	values[3] = text_datum(hd_flags_error_name(decision->error), &nulls[3]);
	values[4] = text_datum(decision->message, &nulls[4]);
	nulls[5] = false;
	values[5] = JsonbPGetDatum(metadata_of(flag, decision));
}

Datum
hd_flags_form_result(FunctionCallInfo fcinfo, const HdFlag *flag, HdFlagDecision *decision,
					 struct varlena *otherwise)
{
	Datum values[HD_FLAGS_RESULT_COLUMNS];
	bool nulls[HD_FLAGS_RESULT_COLUMNS];
	TupleDesc row;

	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "flag_result is not a composite type");
	BlessTupleDesc(row);
	hd_flags_result_row(flag, decision, otherwise, values, nulls);
	return HeapTupleGetDatum(heap_form_tuple(row, values, nulls));
}

/* Where the ready result of a decision is kept; NULL when it depends on more than variant and reason. */
static HeapTupleHeader *
image_of(const HdFlag *flag, const HdFlagDecision *decision, struct varlena *otherwise)
{
	const HdFlagVariant *variant;

	if (decision->variant < 0 || decision->outcome != NULL || decision->reason >= HD_FLAGS_IMAGES)
		return NULL;
	variant = &flag->variants[decision->variant];
	if (variant->value.type == HD_VALUE_NULL ||
		(otherwise != NULL && !fits(&variant->value, hd_flags_wanted(otherwise))))
		return NULL;
	return unconstify(HeapTupleHeader *, &variant->images[decision->reason]);
}

/*
 * flag_evaluate(key, default_value, context)
 */
Datum
hd_flags_sql_evaluate(PG_FUNCTION_ARGS)
{
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlag *flag;
	HeapTupleHeader *image;
	HeapTupleHeader copy;
	Datum formed;

	hd_require_arg(fcinfo, 0, "key");
	hd_flags_begin(&question, HD_FLAGS_JSON_ARG(2));
	question.run.wants_metadata = true;
	flag = hd_flags_call(fcinfo);
	hd_flags_answer(flag, &question, &decision);
	hd_flags_end(&question);
	image = image_of(flag, &decision, HD_FLAGS_JSON_ARG(1));
	if (image == NULL)
		return hd_flags_form_result(fcinfo, flag, &decision, HD_FLAGS_JSON_ARG(1));
	if (*image == NULL)
	{
		formed = hd_flags_form_result(fcinfo, flag, &decision, HD_FLAGS_JSON_ARG(1));
		copy = DatumGetHeapTupleHeader(formed);
		*image = MemoryContextAlloc(flag->context, HeapTupleHeaderGetDatumLength(copy));
		memcpy(*image, copy, HeapTupleHeaderGetDatumLength(copy));
		return formed;
	}
	copy = palloc(HeapTupleHeaderGetDatumLength(*image));
	memcpy(copy, *image, HeapTupleHeaderGetDatumLength(*image));
	PG_RETURN_HEAPTUPLEHEADER(copy);
}

/* Keys of all flags that the active snapshot sees, in their order. */
static List *
all_keys(void)
{
	static HdSpiRelation table = {.name = "_flag"};
	static HdSpiRelation index = {.name = "_flag_pkey"};
	Relation rel = table_open(hd_spi_relation(&table), AccessShareLock);
	Relation idx = index_open(hd_spi_relation(&index), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData kind;
	HeapTuple tuple;
	List *keys = NIL;
	bool isnull;

	ScanKeyInit(&kind, 1, BTEqualStrategyNumber, F_CHAREQ, CharGetDatum('f'));
	scan = systable_beginscan_ordered(rel, idx, GetActiveSnapshot(), 1, &kind);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		keys = lappend(keys,
					   DatumGetTextPCopy(heap_getattr(tuple, 2, RelationGetDescr(rel), &isnull)));
	systable_endscan_ordered(scan);
	index_close(idx, AccessShareLock);
	table_close(rel, AccessShareLock);
	return keys;
}

/*
 * flag_evaluate_all(context)
 */
Datum
hd_flags_sql_evaluate_all(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HdFlagsQuestion question;
	HdFlagDecision decision;
	HdFlagHandle handle;
	Datum values[HD_FLAGS_RESULT_COLUMNS + 1];
	bool nulls[HD_FLAGS_RESULT_COLUMNS + 1] = {false};
	struct varlena *context = PG_ARGISNULL(0) ? NULL : PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach (cell, all_keys())
	{
		text *key = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		hd_flags_begin(&question, context);
		question.run.wants_metadata = true;
		hd_flags_find(VARDATA(key), (int) VARSIZE(key) - VARHDRSZ, &handle);
		hd_flags_answer(handle.flag, &question, &decision);
		values[0] = PointerGetDatum(key);
		hd_flags_result_row(handle.flag, &decision, NULL, values + 1, nulls + 1);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		hd_flags_end(&question);
	}
	return (Datum) 0;
}
