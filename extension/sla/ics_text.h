/*-------------------------------------------------------------------------
 * ics_text.h
 *		iCalendar's lines and values.
 *
 * Model: a line is a name, parameters and a value.  Names are of any case.
 *-------------------------------------------------------------------------
 */
#ifndef HD_SLA_ICS_TEXT_H
#define HD_SLA_ICS_TEXT_H

#include "postgres.h"

#include "sla/ics.h"

typedef struct HdSlaIcsReader
{
	const char *at; /* of the text that is left */
	const char *end;
	int line;	/* its number */
	char *kept; /* where the next line goes to; as large as the text */
} HdSlaIcsReader;

typedef struct HdSlaIcsLine
{
	int number; /* of the first of the lines it was folded into */
	HdSlaIcsText name;
	HdSlaIcsText parameters;
	HdSlaIcsText value;
} HdSlaIcsLine;

/*
 * hd_sla_ics_fail
 *		Notes an error; false.
 */
extern bool hd_sla_ics_fail(HdSlaIcsError *error, HdSlaIcsTrouble trouble, int line,
							const char *reason);

/*
 * hd_sla_ics_next
 *		The next line that is not empty, unfolded and kept; false at the end, or
 *		with an error, which has a reason then.
 */
extern bool hd_sla_ics_next(HdSlaIcsReader *reader, HdSlaIcsLine *line, HdSlaIcsError *error);

/*
 * hd_sla_ics_is
 *		Whether a text is a word, in any case.
 */
extern bool hd_sla_ics_is(HdSlaIcsText text, const char *word);

/*
 * hd_sla_ics_parameter
 *		The value of a line's parameter, without quotes; false when it has none.
 */
extern bool hd_sla_ics_parameter(const HdSlaIcsLine *line, const char *name, HdSlaIcsText *value);

/*
 * hd_sla_ics_split
 *		The part of a text before a character, which is taken off with it; false
 *		when nothing is left.  rest: at is NULL after the last.
 */
extern bool hd_sla_ics_split(HdSlaIcsText *rest, char by, HdSlaIcsText *part);

/*
 * hd_sla_ics_time
 *		A date or a time, 20261225, 20261225T090000 or 20261225T090000Z, with the
 *		line's parameters.
 * hd_sla_ics_moment
 *		The same without parameters.
 * hd_sla_ics_length
 *		A length of time, as P1D, P1W, PT24H; not negative.
 * hd_sla_ics_number
 *		A whole number with up to six digits and perhaps a sign.
 */
extern bool hd_sla_ics_time(const HdSlaIcsLine *line, HdSlaIcsText text, HdSlaIcsTime *time);
extern bool hd_sla_ics_moment(HdSlaIcsText text, HdSlaIcsTime *time);
extern bool hd_sla_ics_length(HdSlaIcsText text, int64 *seconds);
extern bool hd_sla_ics_number(HdSlaIcsText text, int *number);

#endif /* HD_SLA_ICS_TEXT_H */
