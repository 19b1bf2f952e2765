/*-------------------------------------------------------------------------
 * search.h
 *		Lines that memory has lost are found again.
 *
 * Purpose: where lanes or gates are all taken, rows wait in lines that memory
 * does not know.  Each such loss is counted; a search goes through the index
 * of the lines, one probe a line, and takes in those that have work now.
 *
 * Locking: hd_jobs_search_lost takes the list's lock for itself, for one line
 * at a time.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_SEARCH_H
#define HD_JOBS_SEARCH_H

#include "jobs/list.h"
#include "jobs/table.h"

/*
 * hd_jobs_search_wanted
 *		Whether lines were lost and it is time to look for them: not too often,
 *		if there is no room for what is found.  Caller holds the list's lock.
 */
extern bool hd_jobs_search_wanted(int32 db);

/*
 * hd_jobs_search_lost
 *		One part of a search, at most; returns how many lines it found that may
 *		have jobs for the caller.
 */
extern int hd_jobs_search_lost(HdJobTable *table, const HdJobQueues *wanted, TimestampTz now);

#endif /* HD_JOBS_SEARCH_H */
