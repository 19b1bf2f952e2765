/*-------------------------------------------------------------------------
 * versions.h
 *		Calendars as they are stored: versions that may govern a part of time each.
 *
 * Model: a version whose definition has "from" governs the dates from there on;
 * those before stay as another version, which its row names, had them, and so
 * on.  Rows of hotdash._calendar_version never change.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_VERSIONS_H
#define HD_SLA_VERSIONS_H

#include "postgres.h"

#include "sla/timeline.h"
#include "utils/jsonb.h"

/* Most versions that govern a part of time each. */
#define HD_SLA_MAX_PIECES 100

/*
 * hd_sla_versions_load
 *		A version of a calendar, as the active snapshot sees it, in a context of
 *		its own below the current one.
 *
 * names: those of holidays are wanted.
 */
extern HdSlaCalendar *hd_sla_versions_load(int32 calendar, int32 version, bool names);

/*
 * hd_sla_versions_propose
 *		What a definition would make with a version to govern what is before its
 *		"from", 0: none.  22023 where it is none, or never opens.
 */
extern HdSlaCalendar *hd_sla_versions_propose(Jsonb *definition, int32 calendar, int32 before);

#endif /* HD_SLA_VERSIONS_H */
