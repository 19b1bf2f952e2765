/*-------------------------------------------------------------------------
 * definition.h
 *		Definitions of calendars: from JSON to rules.
 *
 * Purpose: the one reader of what calendar_set is given, for checks and for
 * compiling alike, so that what is stored can always be compiled.
 *
 * Model: docs/sla.md says what a definition may hold.  What it may not is
 * refused with 22023, with the place in the message, the reason in the detail
 * and what to write in the hint; what is too much, with 54000.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_DEFINITION_H
#define HD_SLA_DEFINITION_H

#include "postgres.h"

#include "sla/days.h"
#include "utils/jsonb.h"

/* Most bytes of a definition, and most dates in it: holidays, shifts and breaks. */
#define HD_SLA_MAX_DEFINITION (4 * 1024 * 1024)
#define HD_SLA_MAX_DATES 50000

/*
 * hd_sla_definition_read
 *		The rules of a definition, in the current memory context.
 *
 * names: those of holidays are wanted.
 */
extern HdSlaRules *hd_sla_definition_read(Jsonb *definition, bool names);

#endif /* HD_SLA_DEFINITION_H */
