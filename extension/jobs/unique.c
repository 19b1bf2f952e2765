/*-------------------------------------------------------------------------
 * unique.c
 *		Which job has a unique key: the rows of _job_unique.
 *
 * Model: see unique.h.
 *
 * Locking: two requests for one key meet at the primary key of _job_unique:
 * the later waits for the earlier transaction to end.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/unique.h"

#include "catalog/pg_type.h"
#include "core/spi.h"
#include "miscadmin.h"

static HdSpiPlan unique_insert = {
	.sql = "INSERT INTO hotdash._job_unique (kind, tenant, unique_key, id) VALUES ($1, $2, $3, $4) "
		   "ON CONFLICT DO NOTHING",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8OID},
};

static HdSpiPlan unique_find = {
	.sql = "SELECT id FROM hotdash._job_unique WHERE kind = $1 AND tenant = $2 AND unique_key = $3",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
};

static HdSpiPlan unique_lock = {
	.sql = "SELECT id FROM hotdash._job_unique WHERE kind = $1 AND tenant = $2 AND unique_key = $3 "
		   "FOR UPDATE",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
};

static HdSpiPlan unique_move = {
	.sql = "UPDATE hotdash._job_unique SET id = $4 "
		   "WHERE kind = $1 AND tenant = $2 AND unique_key = $3",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8OID},
};

static HdSpiPlan unique_delete = {
	.sql = "DELETE FROM hotdash._job_unique "
		   "WHERE kind = $1 AND tenant = $2 AND unique_key = $3 AND id = $4",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT8OID},
};

int64
hd_jobs_unique_acquire(HdJobUnique *key, bool lock)
{
	for (;;)
	{
		HdSpi spi;
		int64 there = 0;
		bool inserted;

		CHECK_FOR_INTERRUPTS();
		hd_spi_begin(&spi);
		hd_spi_run(&unique_insert, key->values, NULL, false, 0);
		inserted = SPI_processed > 0;
		if (!inserted)
		{
			hd_spi_run(lock ? &unique_lock : &unique_find, key->values, NULL, false, 1);
			if (SPI_processed > 0)
				there = DatumGetInt64(hd_spi_result(0, 1));
		}
		hd_spi_end(&spi);
		if (inserted || there != 0)
			return there;

		/* Ended between the two statements: the key is free now. */
	}
}

void
hd_jobs_unique_take_over(HdJobUnique *key)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run(&unique_move, key->values, NULL, false, 0);
	hd_spi_end(&spi);
}

void
hd_jobs_unique_free(HdJobTable *table)
{
	bool isnull;
	Datum values[4];
	HdSpi spi;

	values[2] = hd_jobs_table_column(table, HD_JOB_COL_UNIQUE_KEY, &isnull);
	if (isnull)
		return;
	values[0] = hd_jobs_table_column(table, HD_JOB_COL_KIND, NULL);
	values[1] = hd_jobs_table_column(table, HD_JOB_COL_TENANT, NULL);
	values[3] = hd_jobs_table_column(table, HD_JOB_COL_ID, NULL);
	hd_spi_begin(&spi);

	/* The job is in our hands, so its rows may be younger than the transaction's snapshot. */
	hd_spi_run_latest(&unique_delete, values, NULL);
	hd_spi_end(&spi);
}
