/*-------------------------------------------------------------------------
 * segments.h
 *		Segments: sets of units, of any size, in a table.
 *-------------------------------------------------------------------------
 */
#ifndef HD_FLAGS_SEGMENTS_H
#define HD_FLAGS_SEGMENTS_H

#include "postgres.h"

#include "flags/value.h"

/*
 * hd_flags_segment_has
 *		Whether a unit is in a segment, as the active snapshot sees it: one probe of
 *		the members' primary key.  Of a segment that does not exist, none is.
 */
extern bool hd_flags_segment_has(const HdValue *segment, const HdValue *unit);

#endif /* HD_FLAGS_SEGMENTS_H */
