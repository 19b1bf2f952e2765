/*-------------------------------------------------------------------------
 * noop.c
 *		Functions that do nothing, or one thing: what a decision costs is counted
 *		from here.
 *
 * Those that do nothing take whatever arguments they are declared with and
 * look at none.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>
#include <time.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(noop_true);
PG_FUNCTION_INFO_V1(noop_null);
PG_FUNCTION_INFO_V1(noop_touch);
PG_FUNCTION_INFO_V1(noop_latencies);

Datum
noop_true(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}

Datum
noop_null(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}

/*
 * noop_touch(megabytes int, key text) -> bool
 *		Change one word in so much shared memory, at a place that the key's hash
 *		names: what memory alone costs whoever keeps something for each key there.
 */
Datum
noop_touch(PG_FUNCTION_ARGS)
{
	static uint64 *memory = NULL;
	static uint64 words = 0;
	text *key = PG_GETARG_TEXT_PP(1);
	uint64 hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(key),
									  (int) VARSIZE_ANY_EXHDR(key), 0);

	if (memory == NULL)
	{
		words = (uint64) PG_GETARG_INT32(0) * 1024 * 1024 / sizeof(uint64);
		memory = mmap(NULL, words * sizeof(uint64), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			elog(ERROR, "no memory: %m");
	}
	PG_RETURN_BOOL(__sync_fetch_and_add(&memory[hash % words], 1) < PG_UINT64_MAX);
}

static int
compare(const void *a, const void *b)
{
	uint32 x = *(const uint32 *) a;
	uint32 y = *(const uint32 *) b;

	return (x > y) - (x < y);
}

/*
 * noop_latencies(function regprocedure, name text, first int, n int) -> int[]
 *		Call a function (text, text, int) with n IPv6 addresses that are all
 *		different, the first-th on, and time each call.  Nanoseconds: median, 99th
 *		percentile, largest, mean.  What reading the clock twice takes is in them.
 */
Datum
noop_latencies(PG_FUNCTION_ARGS)
{
	int32 first = PG_GETARG_INT32(2);
	int32 n = PG_GETARG_INT32(3);
	uint32 *took = palloc_extended(sizeof(uint32) * n, MCXT_ALLOC_HUGE);
	union
	{
		text header;
		char bytes[VARHDRSZ + 48];
	} key;
	uint64 sum = 0;
	Datum result[4];
	FmgrInfo function;

	fmgr_info(PG_GETARG_OID(0), &function);
	for (int32 i = 0; i < n; i++)
	{
		uint64 hash = hash_bytes_uint32_extended((uint32) (first + i), 0);
		struct timespec from;
		struct timespec to;

		SET_VARSIZE(&key.header,
					VARHDRSZ + sprintf(VARDATA(&key.header), "2001:db8:%x:%x:%x:%x:%x::/64",
									   (unsigned) (first + i) >> 16, (unsigned) (first + i) & 0xffff,
									   (unsigned) (hash >> 48), (unsigned) (hash >> 32) & 0xffff,
									   (unsigned) (hash >> 16) & 0xffff));
		clock_gettime(CLOCK_MONOTONIC, &from);
		(void) FunctionCall3(&function, PG_GETARG_DATUM(1), PointerGetDatum(&key.header),
							 Int32GetDatum(1));
		clock_gettime(CLOCK_MONOTONIC, &to);
		took[i] = (uint32) ((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec);
		sum += took[i];
	}
	qsort(took, n, sizeof(uint32), compare);
	result[0] = Int32GetDatum((int32) took[n / 2]);
	result[1] = Int32GetDatum((int32) took[(int64) n * 99 / 100]);
	result[2] = Int32GetDatum((int32) took[n - 1]);
	result[3] = Int32GetDatum((int32) (sum / n));
	PG_RETURN_ARRAYTYPE_P(construct_array(result, 4, INT4OID, 4, true, TYPALIGN_INT));
}
