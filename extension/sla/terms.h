/*-------------------------------------------------------------------------
 * terms.h
 *		What clocks are held to, as a session remembers it.
 *
 * Model: the rows of a version of a policy never change, and the number of a
 * version is never used again.  So what was once read of one stays true for
 * as long as the extension is installed, and nobody has to say when it ends.
 *
 * What a crash loses: nothing, the memory is the session's own.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_TERMS_H
#define HD_SLA_TERMS_H

#include "postgres.h"

#include "sla/clock.h"

typedef struct HdSlaVersion
{
	HdSlaTerms terms; /* but for the lane */
	bool at_open;	  /* a due point at closing time means the next opening */
} HdSlaVersion;

/*
 * hd_sla_version
 *		What a version of a policy asks of a metric and a priority; NULL when it
 *		has no such metric.
 *
 * Between hd_spi_begin and hd_spi_end.  The answer lasts until the transaction
 * ends.
 */
extern const HdSlaVersion *hd_sla_version(int32 version_id, const char *metric,
										  const char *priority);

#endif /* HD_SLA_TERMS_H */
