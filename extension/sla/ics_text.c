/*-------------------------------------------------------------------------
 * ics_text.c
 *		iCalendar's lines and values.
 *
 * Model: see ics_text.h.  A line that begins with a blank or a tab goes on with
 * the one before, even within a character.  Lines end with LF or CR LF.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/ics_text.h"

#include "datatype/timestamp.h"
#include "sla/dates.h"

bool
hd_sla_ics_fail(HdSlaIcsError *error, HdSlaIcsTrouble trouble, int line, const char *reason)
{
	error->trouble = trouble;
	error->line = line;
	error->reason = reason;
	return false;
}

/* Ten thousand years. */
#define LENGTH_MOST (INT64CONST(3652425) * SECS_PER_DAY)

/*
 * Lines
 */

static bool
goes_on(const HdSlaIcsReader *reader)
{
	return reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t');
}

/* Moves the rest of one line to where it is kept. */
static void
keep_line(HdSlaIcsReader *reader)
{
	const char *end = memchr(reader->at, '\n', reader->end - reader->at);
	const char *next = (end != NULL) ? end + 1 : reader->end;

	if (end == NULL)
		end = reader->end;
	if (end > reader->at && end[-1] == '\r')
		end--;
	memcpy(reader->kept, reader->at, end - reader->at);
	reader->kept += end - reader->at;
	reader->at = next;
	reader->line++;
}

/* Unfolds the next line; its number. */
static int
unfold(HdSlaIcsReader *reader, HdSlaIcsText *text)
{
	int number = reader->line;

	text->at = reader->kept;
	keep_line(reader);
	while (goes_on(reader))
	{
		reader->at++;
		keep_line(reader);
	}
	text->length = reader->kept - text->at;
	return number;
}

/* The first of some characters outside of quotes, or the end. */
static const char *
find_unquoted(HdSlaIcsText text, const char *characters)
{
	bool quoted = false;

	for (int i = 0; i < text.length; i++)
	{
		if (text.at[i] == '"')
			quoted = !quoted;
		else if (!quoted && strchr(characters, text.at[i]) != NULL && text.at[i] != '\0')
			return text.at + i;
	}
	return text.at + text.length;
}

/* NAME;PARAMETER=VALUE;…:VALUE */
static bool
divide(HdSlaIcsText text, HdSlaIcsLine *line)
{
	const char *end = text.at + text.length;
	const char *name_end = find_unquoted(text, ";:");
	HdSlaIcsText rest = {name_end, end - name_end};
	const char *colon = find_unquoted(rest, ":");

	line->name = (HdSlaIcsText){text.at, name_end - text.at};
	line->parameters = (HdSlaIcsText){name_end, colon - name_end};
	if (colon == end || line->name.length == 0)
		return false;
	line->value = (HdSlaIcsText){colon + 1, end - colon - 1};
	return true;
}

bool
hd_sla_ics_next(HdSlaIcsReader *reader, HdSlaIcsLine *line, HdSlaIcsError *error)
{
	while (reader->at < reader->end)
	{
		HdSlaIcsText text;

		line->number = unfold(reader, &text);
		if (text.length == 0)
			continue;
		if (text.length > HD_SLA_ICS_LINE)
			return hd_sla_ics_fail(error, HD_SLA_ICS_TOO_MUCH, line->number,
								   "The line has more than 65536 bytes.");
		if (!divide(text, line))
			return hd_sla_ics_fail(error, HD_SLA_ICS_WRONG, line->number,
								   "This is no line of a name, a colon and a value.");
		return true;
	}
	return false;
}

bool
hd_sla_ics_is(HdSlaIcsText text, const char *word)
{
	return text.length == (int) strlen(word) && pg_strncasecmp(text.at, word, text.length) == 0;
}

bool
hd_sla_ics_parameter(const HdSlaIcsLine *line, const char *name, HdSlaIcsText *value)
{
	HdSlaIcsText rest = line->parameters;

	while (rest.length > 0)
	{
		HdSlaIcsText part = {rest.at + 1, rest.length - 1};
		const char *end = find_unquoted(part, ";");
		const char *equals;

		part.length = end - part.at;
		rest = (HdSlaIcsText){end, rest.length - part.length - 1};
		equals = memchr(part.at, '=', part.length);
		if (equals == NULL || !hd_sla_ics_is((HdSlaIcsText){part.at, equals - part.at}, name))
			continue;
		*value = (HdSlaIcsText){equals + 1, end - equals - 1};
		if (value->length >= 2 && value->at[0] == '"' && value->at[value->length - 1] == '"')
			*value = (HdSlaIcsText){value->at + 1, value->length - 2};
		return true;
	}
	return false;
}

bool
hd_sla_ics_split(HdSlaIcsText *rest, char by, HdSlaIcsText *part)
{
	const char *end;

	if (rest->at == NULL)
		return false;
	end = memchr(rest->at, by, rest->length);
	if (end == NULL)
	{
		*part = *rest;
		rest->at = NULL;
		return true;
	}
	*part = (HdSlaIcsText){rest->at, end - rest->at};
	*rest = (HdSlaIcsText){end + 1, rest->length - part->length - 1};
	return true;
}

/*
 * Values
 */

static bool
parse_date(const char *text, int32 *date)
{
	return hd_sla_dates_day(hd_sla_dates_digits(text, 4), hd_sla_dates_digits(text + 4, 2),
							hd_sla_dates_digits(text + 6, 2), date);
}

/* A leap second is the one before it. */
static bool
parse_time(const char *text, int32 *second)
{
	int hours = hd_sla_dates_digits(text, 2);
	int minutes = hd_sla_dates_digits(text + 2, 2);
	int seconds = hd_sla_dates_digits(text + 4, 2);

	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 60)
		return false;
	*second = (hours * MINS_PER_HOUR + minutes) * SECS_PER_MINUTE + Min(seconds, 59);
	return true;
}

bool
hd_sla_ics_moment(HdSlaIcsText text, HdSlaIcsTime *time)
{
	memset(time, 0, sizeof(*time));
	if (text.length < 8 || !parse_date(text.at, &time->date))
		return false;
	time->clock = HD_SLA_ICS_DATE;
	if (text.length == 8)
		return true;
	if (text.length < 15 || text.at[8] != 'T' || !parse_time(text.at + 9, &time->second))
		return false;
	time->clock = (text.length == 15) ? HD_SLA_ICS_FLOATING : HD_SLA_ICS_UTC;
	return text.length == 15 || (text.length == 16 && text.at[15] == 'Z');
}

bool
hd_sla_ics_time(const HdSlaIcsLine *line, HdSlaIcsText text, HdSlaIcsTime *time)
{
	HdSlaIcsText value;

	if (!hd_sla_ics_moment(text, time))
		return false;
	if (hd_sla_ics_parameter(line, "VALUE", &value) && hd_sla_ics_is(value, "DATE") &&
		time->clock != HD_SLA_ICS_DATE)
		return false;
	if (time->clock == HD_SLA_ICS_FLOATING && hd_sla_ics_parameter(line, "TZID", &time->zone))
		time->clock = HD_SLA_ICS_ZONED;
	return true;
}

bool
hd_sla_ics_number(HdSlaIcsText text, int *number)
{
	bool negative = text.length > 0 && text.at[0] == '-';

	if (negative || (text.length > 0 && text.at[0] == '+'))
		text = (HdSlaIcsText){text.at + 1, text.length - 1};
	if (text.length < 1 || text.length > 6)
		return false;
	*number = hd_sla_dates_digits(text.at, text.length);
	if (*number < 0)
		return false;
	if (negative)
		*number = -*number;
	return true;
}

/* Seconds of a unit, before the T or behind it; 0: there is no such unit. */
static int
unit_of(char unit, bool is_time)
{
	switch (unit)
	{
		case 'W':
			return is_time ? 0 : HD_SLA_WEEKDAYS * SECS_PER_DAY;
		case 'D':
			return is_time ? 0 : SECS_PER_DAY;
		case 'H':
			return is_time ? SECS_PER_HOUR : 0;
		case 'M':
			return is_time ? SECS_PER_MINUTE : 0;
		case 'S':
			return is_time ? 1 : 0;
		default:
			return 0;
	}
}

bool
hd_sla_ics_length(HdSlaIcsText text, int64 *seconds)
{
	const char *at = text.at;
	const char *end = text.at + text.length;
	bool is_time = false;

	*seconds = 0;
	if (at < end && *at == '+')
		at++;
	if (at == end || *at++ != 'P' || at == end)
		return false;
	while (at < end)
	{
		const char *start;
		int number;
		int unit;

		if (*at == 'T' && !is_time)
		{
			is_time = true;
			at++;
		}
		for (start = at; at < end && *at >= '0' && *at <= '9';)
			at++;
		if (at == end || !hd_sla_ics_number((HdSlaIcsText){start, at - start}, &number))
			return false;
		unit = unit_of(*at++, is_time);
		if (unit == 0)
			return false;
		*seconds += (int64) number * unit;
		if (*seconds > LENGTH_MOST)
			return false;
	}
	return true;
}
