/*-------------------------------------------------------------------------
 * work.h
 *		SQL handlers, as the background worker runs them.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_WORK_H
#define HD_JOBS_WORK_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * hd_jobs_work_task
 *		Run waiting SQL handlers of this database for up to a second, each in a
 *		transaction of its own; returns when to be called again.  An HdWorkerTask.
 */
extern TimestampTz hd_jobs_work_task(void);

#endif /* HD_JOBS_WORK_H */
