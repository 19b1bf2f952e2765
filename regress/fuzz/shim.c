/*
 * shim.c
 *	  What the extension's parsers want of a server, without one.
 *
 * Memory comes from malloc, so that the sanitizer sees each block; it is freed once 64 others were asked for. Of an
 * error nothing is expected here: none of these parsers raises one for what it reads.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* ---- the calendar ---- */

const int day_tab[2][13] = {{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0},
							{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}};

#define DAYS_TO_1_MARCH_0 1721120 /* of the Julian count, in the proleptic Gregorian calendar */

/* Years begin in March here, so that a leap day is the last one. */
int
date2j(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int m = (month + 9) % 12;

	return DAYS_TO_1_MARCH_0 + 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}

void
j2date(int jd, int *year, int *month, int *day)
{
	int y = (int) ((jd - DAYS_TO_1_MARCH_0) / 365.2425) + 1;
	int m = 12;

	while (date2j(y, 1, 1) > jd)
		y--;
	while (date2j(y, m, 1) > jd)
		m--;
	*year = y;
	*month = m;
	*day = jd - date2j(y, m, 1) + 1;
}

/* ---- errors ---- */

bool
errstart(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	return 0;
}

int
errmsg(const char *fmt, ...)
{
	fprintf(stderr, "an error is raised: %s\n", fmt);
	return 0;
}

int
errmsg_internal(const char *fmt, ...)
{
	return errmsg("%s", fmt);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	abort();
}

/* ---- memory ---- */

static void *blocks[64];
static int oldest;

void *
palloc(Size size)
{
	void *block = malloc(size == 0 ? 1 : size);

	if (block == NULL)
		abort();
	free(blocks[oldest]);
	blocks[oldest] = block;
	oldest = (oldest + 1) % lengthof(blocks);
	return block;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

/* Left to palloc's own time, as a context's end would. */
void
pfree(void *pointer)
{
}

/* ---- resource owners: the crypto code of a client has none ---- */

ResourceOwner CurrentResourceOwner = NULL;

ResourceOwner
ResourceOwnerCreate(ResourceOwner parent, const char *name)
{
	return NULL;
}
