/*-------------------------------------------------------------------------
 * growthbook_url.h
 *		Web addresses in the parts that experiments are targeted by.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_GROWTHBOOK_URL_H
#define HD_FLAGS_GROWTHBOOK_URL_H

#include "postgres.h"

#include "flags/value.h"

typedef enum HdUrlVerdict
{
	HD_URL_FINE,
	HD_URL_INVALID, /* browsers refuse it too */
	HD_URL_FOREIGN	/* what browsers make of it is not known here */
} HdUrlVerdict;

/* Strings; host has the port with it where it is not the usual one. */
typedef struct HdUrl
{
	bool secure;
	HdValue host;
	HdValue path;
	HdValue query;	  /* without the question mark */
	HdValue fragment; /* without the hash sign */
	bool has_query;	  /* a question mark, at least */
	bool has_fragment;
} HdUrl;

/* A member of a query, decoded. */
typedef struct HdUrlMember
{
	HdValue name;
	HdValue value;
} HdUrlMember;

/*
 * hd_flags_url_parse
 *		An address, normalised as the URL standard says; one without a host gets
 *		the one given.
 * hd_flags_url_member
 *		The member of a query that begins at *at, which goes behind it.  False: no
 *		more; *verdict says whether one could not be decoded.
 */
extern HdUrlVerdict hd_flags_url_parse(const HdValue *text, const HdValue *host, HdUrl *url);
extern bool hd_flags_url_member(const HdValue *query, int *at, HdUrlMember *member,
								HdUrlVerdict *verdict);

#endif /* HD_FLAGS_GROWTHBOOK_URL_H */
