/*-------------------------------------------------------------------------
 * options.h
 *		The options argument of job_enqueue and job_enqueue_many.
 *-------------------------------------------------------------------------
 */
#ifndef HD_JOBS_OPTIONS_H
#define HD_JOBS_OPTIONS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef struct HdJobOptions
{
	Datum backoff;	   /* jsonb, 0 when not given */
	Datum traceparent; /* text, 0 when not given */
	int timeout_ms;	   /* 0 when not given */
	bool expires;
	TimestampTz expires_at;
	bool approval; /* asked for; what follows may be missing all the same */
	Datum why;	   /* text, 0 when not given */
	Datum sources; /* jsonb, 0 when not given */
	bool confidence_given;
	float8 confidence;
	bool on_failure_given;
	int on_failure; /* HdJobOnFailure */
	int64 batch;	/* 0: none */
	char *flow;		/* of all jobs; NULL: none */
	char **flows;	/* of each job; NULL where not given */
	int nflows;
} HdJobOptions;

/*
 * hd_jobs_options_parse
 *		Read the options; json may be NULL.  Raises 22023 for an unknown key
 *		(listing the known ones) or a bad value.
 */
extern void hd_jobs_options_parse(Jsonb *json, HdJobOptions *options);

/*
 * hd_jobs_options_string
 *		An option's value, which must be a string (22023 otherwise), as a copy in
 *		the current memory context.
 */
extern char *hd_jobs_options_string(const char *key, const JsonbValue *value);

/*
 * hd_jobs_options_strings
 *		The same of an array of strings, *n of them.
 */
extern char **hd_jobs_options_strings(const char *key, const JsonbValue *value, int *n);

#endif /* HD_JOBS_OPTIONS_H */
