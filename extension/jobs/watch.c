/*-------------------------------------------------------------------------
 * watch.c
 *		Telling other modules how jobs of their kinds end.
 *
 * Model: see watch.h.  Watches are registered when the library is loaded and
 * stay for the life of the process; there are few, so they stand in an array.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/watch.h"

#include "core/spi.h"
#include "jobs/jobs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MAX_WATCHES 4

/* So many deaths are told of at once. */
#define MAX_NOTED 1000

/* Deaths of one kind that were not told of yet. */
typedef struct HdJobDeaths
{
	const HdJobWatch *watch;
	int n;
	int64 ids[MAX_NOTED];
	struct HdJobDeaths *next;
} HdJobDeaths;

static const HdJobWatch *watches[MAX_WATCHES];
static int nwatches = 0;

void
hd_jobs_watch(const HdJobWatch *watch)
{
	if (nwatches == MAX_WATCHES)
		elog(ERROR, "too many kinds are watched");
	watches[nwatches++] = watch;
}

/* The watch of the kind of the job in the slot; NULL when there is none. */
static const HdJobWatch *
watch_of(HdJobTable *table)
{
	text *kind = DatumGetTextPP(hd_jobs_table_column(table, HD_JOB_COL_KIND, NULL));

	for (int i = 0; i < nwatches; i++)
		if (strlen(watches[i]->kind) == VARSIZE_ANY_EXHDR(kind) &&
			memcmp(watches[i]->kind, VARDATA_ANY(kind), VARSIZE_ANY_EXHDR(kind)) == 0)
			return watches[i];
	return NULL;
}

static void
tell(HdSpiPlan *plan, Datum *values, const char *nulls)
{
	HdSpi spi;

	hd_spi_begin(&spi);
	hd_spi_run_latest(plan, values, nulls);
	hd_spi_end(&spi);
}

static void
tell_deaths(HdJobDeaths *deaths)
{
	Datum values[1];

	if (deaths->n == 0)
		return;
	values[0] = hd_spi_ids(deaths->ids, deaths->n);
	deaths->n = 0;
	tell(deaths->watch->died, values, NULL);
}

static HdJobDeaths *
deaths_of(HdJobTable *table, const HdJobWatch *watch)
{
	HdJobDeaths *deaths = table->deaths;

	while (deaths != NULL && deaths->watch != watch)
		deaths = deaths->next;
	if (deaths != NULL)
		return deaths;
	deaths = MemoryContextAlloc(GetMemoryChunkContext(table->slot), sizeof(HdJobDeaths));
	deaths->watch = watch;
	deaths->n = 0;
	deaths->next = table->deaths;
	table->deaths = deaths;
	return deaths;
}

void
hd_jobs_watch_died(HdJobTable *table)
{
	const HdJobWatch *watch = watch_of(table);
	HdJobDeaths *deaths;

	if (watch == NULL || watch->died == NULL)
		return;
	deaths = deaths_of(table, watch);
	deaths->ids[deaths->n++] = DatumGetInt64(hd_jobs_table_column(table, HD_JOB_COL_ID, NULL));
	if (deaths->n == MAX_NOTED)
		tell_deaths(deaths);
}

void
hd_jobs_watch_lost(HdJobTable *table, const HdJobLostAttempt *lost)
{
	const HdJobWatch *watch = watch_of(table);
	Datum values[7];
	char nulls[8] = "       ";

	if (watch == NULL || watch->lost == NULL)
		return;
	values[0] = hd_jobs_table_column(table, HD_JOB_COL_ID, NULL);
	values[1] = Int64GetDatum(lost->token);
	values[2] = Int32GetDatum(lost->attempt);
	values[3] = TimestampTzGetDatum(lost->started);
	nulls[3] = (lost->started == DT_NOBEGIN) ? 'n' : ' ';
	values[4] = CStringGetTextDatum(lost->worker);
	values[5] = CStringGetTextDatum(lost->state);
	values[6] = CStringGetTextDatum(lost->error);
	tell(watch->lost, values, nulls);
}

void
hd_jobs_watch_settle(HdJobTable *table)
{
	for (HdJobDeaths *deaths = table->deaths; deaths != NULL; deaths = deaths->next)
		tell_deaths(deaths);
}
