/*-------------------------------------------------------------------------
 * scan.h
 *		Rows of hotdash._job that wait: along their line, or by their time.
 *
 * Purpose: a look at the table, straight through the index.  Keyed jobs need
 * one for nearly each claim, and a query's start costs ten times the scan.
 *
 * Locking: AccessShareLock on the index; the table is the caller's handle.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_SCAN_H
#define HD_JOBS_SCAN_H

#include "jobs/list.h"
#include "jobs/place.h"
#include "jobs/table.h"

/* A row that was found. */
typedef struct HdJobFound
{
	int64 id;
	TimestampTz at;
	TimestampTz line_at; /* its place in the line; at where ids alone count */
	ItemPointerData tid;
	bool scheduled; /* its time decides, not only its place in line */
	int64 line;		/* 0: it is in none */
	HdJobPlace place;
	char queue[NAMEDATALEN]; /* place.queue points here: never copy the struct */
	char kind[NAMEDATALEN];
} HdJobFound;

/*
 * hd_jobs_scan_line
 *		Rows of a line behind a cursor, at most n of them, in order.  Returns how
 *		many.  Unless the line is strict, the first row that is scheduled beyond
 *		until ends it; a row that was due when it was enqueued counts as due even
 *		if the clock went back since.
 */
extern int hd_jobs_scan_line(HdJobTable *table, int64 line, bool strict, const HdJobBacklog *from,
							 TimestampTz until, HdJobFound *found, int n);

/*
 * hd_jobs_scan_due
 *		Scheduled rows behind a cursor, at most n of them, in order.
 */
extern int hd_jobs_scan_due(HdJobTable *table, const HdJobBacklog *from, HdJobFound *found, int n);

/*
 * hd_jobs_scan_times
 *		Call visit for each row with a time that counts (shelf, no hold) after from,
 *		up to until, in order, while it says so.
 */
typedef bool (*HdJobVisit)(TimestampTz at, int64 id, const char *queue, void *arg);

extern void hd_jobs_scan_times(HdJobTable *table, Snapshot snapshot, TimestampTz from,
							   TimestampTz until, HdJobVisit visit, void *arg);

/*
 * hd_jobs_scan_next_line
 *		The first row of the line with the least number above line; false when
 *		there is none.
 */
extern bool hd_jobs_scan_next_line(HdJobTable *table, int64 line, HdJobFound *found);

/*
 * hd_jobs_scan_row
 *		What the row in the table's slot is; returns found's place.
 */
extern const HdJobPlace *hd_jobs_scan_row(HdJobTable *table, HdJobFound *found);

#endif /* HD_JOBS_SCAN_H */
