/*-------------------------------------------------------------------------
 * ics.c
 *		iCalendar text: its events, and what their names are.
 *
 * Model: the text is gone through twice, first to count what has to be kept.
 * Components lie within each other; properties count in an event alone, not in
 * an alarm within it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sla/ics.h"

#include "datatype/timestamp.h"
#include "sla/ics_rule.h"
#include "sla/ics_text.h"

#define DEPTH_MOST 8

typedef struct Reading
{
	HdSlaIcsFeed *feed;
	HdSlaIcsError *error;
	HdSlaIcsEvent *event; /* that the lines are of, or NULL */
	int depth;
	HdSlaIcsText open[DEPTH_MOST]; /* components, the outermost first */
	bool has_calendar;
} Reading;

typedef bool (*ReadProperty)(Reading *reading, const HdSlaIcsLine *line);

typedef struct Property
{
	const char *name;
	ReadProperty read;
} Property;

static bool
wrong(Reading *reading, int line, const char *reason)
{
	return hd_sla_ics_fail(reading->error, HD_SLA_ICS_WRONG, line, reason);
}

/*
 * Properties of an event
 */

static bool
read_uid(Reading *reading, const HdSlaIcsLine *line)
{
	reading->event->uid = line->value;
	return true;
}

/* The first, where there is one for each language. */
static bool
read_summary(Reading *reading, const HdSlaIcsLine *line)
{
	if (reading->event->summary.at == NULL)
		reading->event->summary = line->value;
	return true;
}

static bool
read_start(Reading *reading, const HdSlaIcsLine *line)
{
	if (reading->event->has_start)
		return wrong(reading, line->number, "The event has two DTSTART.");
	reading->event->has_start = true;
	return hd_sla_ics_time(line, line->value, &reading->event->start) ||
		   wrong(reading, line->number,
				 "DTSTART is a date, as 20261225, or a time, as 20261225T090000.");
}

static bool
read_end(Reading *reading, const HdSlaIcsLine *line)
{
	reading->event->has_end = true;
	return hd_sla_ics_time(line, line->value, &reading->event->end) ||
		   wrong(reading, line->number,
				 "DTEND is a date, as 20261225, or a time, as 20261225T090000.");
}

static bool
read_length(Reading *reading, const HdSlaIcsLine *line)
{
	reading->event->has_length = true;
	return hd_sla_ics_length(line->value, &reading->event->length) ||
		   wrong(reading, line->number, "DURATION is a length of time, as P1D.");
}

static bool
read_rule(Reading *reading, const HdSlaIcsLine *line)
{
	const char *reason;

	if (reading->event->repeats)
		return hd_sla_ics_fail(reading->error, HD_SLA_ICS_UNSUPPORTED, line->number,
							   "The event has two rules.");
	reading->event->repeats = true;
	reading->event->rule_line = line->number;
	reason = hd_sla_ics_rule_read(line->value, &reading->event->rule);
	return reason == NULL || wrong(reading, line->number, reason);
}

static bool
read_exclusion_rule(Reading *reading, const HdSlaIcsLine *line)
{
	return hd_sla_ics_fail(reading->error, HD_SLA_ICS_UNSUPPORTED, line->number,
						   "Rules of exceptions are not understood.");
}

static bool
read_listed(Reading *reading, const HdSlaIcsLine *line, bool is_exception)
{
	HdSlaIcsText rest = line->value;
	HdSlaIcsText kind;
	HdSlaIcsText part;

	if (hd_sla_ics_parameter(line, "VALUE", &kind) && hd_sla_ics_is(kind, "PERIOD"))
		return hd_sla_ics_fail(reading->error, HD_SLA_ICS_UNSUPPORTED, line->number,
							   "Periods are not understood.");
	while (hd_sla_ics_split(&rest, ',', &part))
	{
		HdSlaIcsListed *listed = &reading->feed->listed[reading->feed->nlisted];

		if (!hd_sla_ics_time(line, part, &listed->time))
			return wrong(reading, line->number,
						 "These are dates, as 20261225,20261226, or times, as 20261225T090000.");
		listed->is_exception = is_exception;
		reading->feed->nlisted++;
		reading->event->nlisted++;
	}
	return true;
}

static bool
read_exceptions(Reading *reading, const HdSlaIcsLine *line)
{
	return read_listed(reading, line, true);
}

static bool
read_additions(Reading *reading, const HdSlaIcsLine *line)
{
	return read_listed(reading, line, false);
}

static bool
read_replaced(Reading *reading, const HdSlaIcsLine *line)
{
	HdSlaIcsText range;

	if (hd_sla_ics_parameter(line, "RANGE", &range))
		return hd_sla_ics_fail(reading->error, HD_SLA_ICS_UNSUPPORTED, line->number,
							   "Changes of all later occurrences are not understood.");
	reading->event->replaces = true;
	return hd_sla_ics_time(line, line->value, &reading->event->replaced) ||
		   wrong(reading, line->number,
				 "RECURRENCE-ID is a date, as 20261225, or a time, as 20261225T090000.");
}

static bool
read_status(Reading *reading, const HdSlaIcsLine *line)
{
	reading->event->is_cancelled = hd_sla_ics_is(line->value, "CANCELLED");
	return true;
}

static bool
read_whole_mark(Reading *reading, const HdSlaIcsLine *line)
{
	reading->event->is_marked_whole = hd_sla_ics_is(line->value, "TRUE");
	return true;
}

static const Property properties[] = {
	{"UID", read_uid},
	{"SUMMARY", read_summary},
	{"DTSTART", read_start},
	{"DTEND", read_end},
	{"DURATION", read_length},
	{"RRULE", read_rule},
	{"EXRULE", read_exclusion_rule},
	{"EXDATE", read_exceptions},
	{"RDATE", read_additions},
	{"RECURRENCE-ID", read_replaced},
	{"STATUS", read_status},
	{"X-MICROSOFT-CDO-ALLDAYEVENT", read_whole_mark},
};

static bool
read_property(Reading *reading, const HdSlaIcsLine *line)
{
	for (int i = 0; i < lengthof(properties); i++)
	{
		if (hd_sla_ics_is(line->name, properties[i].name))
			return properties[i].read(reading, line);
	}
	return true;
}

/*
 * Events
 */

/* Midnight to midnight in a zone whose name only the sender knows: what is meant are dates. */
static void
make_whole(HdSlaIcsEvent *event)
{
	bool is_local =
		event->start.clock == HD_SLA_ICS_FLOATING || event->start.clock == HD_SLA_ICS_ZONED;

	if (!event->is_marked_whole || !is_local || event->start.second != 0 ||
		(event->has_end && (event->end.clock != event->start.clock || event->end.second != 0)) ||
		(event->has_length && event->length % SECS_PER_DAY != 0))
		return;
	event->start.clock = HD_SLA_ICS_DATE;
	event->end.clock = HD_SLA_ICS_DATE;
}

static bool
check_event(Reading *reading, HdSlaIcsEvent *event)
{
	if (!event->has_start)
		return event->is_cancelled || wrong(reading, event->line, "The event has no DTSTART.");
	if (event->has_end && event->has_length)
		return wrong(reading, event->line, "The event has both DTEND and DURATION.");
	make_whole(event);
	if (event->has_end &&
		(event->start.clock == HD_SLA_ICS_DATE) != (event->end.clock == HD_SLA_ICS_DATE))
		return wrong(reading, event->line,
					 "The event's DTSTART and DTEND are not both dates, or both times.");
	if (event->start.clock != HD_SLA_ICS_DATE)
		return true;
	if (event->has_end && event->end.date < event->start.date)
		return wrong(reading, event->line, "The event ends before it starts.");
	if (event->has_length && event->length % SECS_PER_DAY != 0)
		return wrong(reading, event->line, "The event's DURATION is not of whole days.");
	return true;
}

static bool
begin_component(Reading *reading, const HdSlaIcsLine *line)
{
	if (reading->depth == 0 && !hd_sla_ics_is(line->value, "VCALENDAR"))
		return wrong(reading, line->number, "The text begins with BEGIN:VCALENDAR.");
	if (reading->depth == DEPTH_MOST)
		return wrong(reading, line->number, "Components lie too deep within each other.");
	if (reading->depth == 1 && hd_sla_ics_is(line->value, "VEVENT"))
	{
		reading->event = &reading->feed->events[reading->feed->nevents++];
		memset(reading->event, 0, sizeof(*reading->event));
		reading->event->line = line->number;
		reading->event->listed = reading->feed->nlisted;
	}
	reading->open[reading->depth++] = line->value;
	reading->has_calendar = true;
	return true;
}

static bool
end_component(Reading *reading, const HdSlaIcsLine *line)
{
	HdSlaIcsText last;

	if (reading->depth == 0)
		return wrong(reading, line->number, "Nothing is open that could end here.");
	last = reading->open[--reading->depth];
	if (line->value.length != last.length ||
		pg_strncasecmp(line->value.at, last.at, last.length) != 0)
		return wrong(reading, line->number, "What ends here is not what began last.");
	if (reading->depth == 1 && reading->event != NULL)
	{
		HdSlaIcsEvent *event = reading->event;

		reading->event = NULL;
		return check_event(reading, event);
	}
	return true;
}

static bool
read_line(Reading *reading, const HdSlaIcsLine *line)
{
	if (hd_sla_ics_is(line->name, "BEGIN"))
		return begin_component(reading, line);
	if (hd_sla_ics_is(line->name, "END"))
		return end_component(reading, line);
	if (reading->depth == 0)
		return wrong(reading, line->number, "The text begins with BEGIN:VCALENDAR.");
	return reading->depth != 2 || reading->event == NULL || read_property(reading, line);
}

/*
 * The text
 */

static HdSlaIcsReader
start_reader(const char *text, int length, char *kept)
{
	HdSlaIcsReader reader = {text, text + length, 1, kept};

	/* a byte order mark */
	if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		reader.at += 3;
	return reader;
}

/* No more of them than this are there. */
static bool
count_all(HdSlaIcsReader reader, HdSlaIcsFeed *feed, HdSlaIcsError *error)
{
	HdSlaIcsLine line;
	HdSlaIcsText part;

	memset(feed, 0, sizeof(*feed));
	while (hd_sla_ics_next(&reader, &line, error))
	{
		if (hd_sla_ics_is(line.name, "BEGIN") && hd_sla_ics_is(line.value, "VEVENT"))
			feed->nevents++;
		if (hd_sla_ics_is(line.name, "EXDATE") || hd_sla_ics_is(line.name, "RDATE"))
		{
			while (hd_sla_ics_split(&line.value, ',', &part))
				feed->nlisted++;
		}
		if (feed->nevents > HD_SLA_ICS_EVENTS)
			return hd_sla_ics_fail(error, HD_SLA_ICS_TOO_MUCH, line.number,
								   "There are more than 10000 events.");
		if (feed->nlisted > HD_SLA_ICS_DAYS)
			return hd_sla_ics_fail(error, HD_SLA_ICS_TOO_MUCH, line.number,
								   "There are more than 50000 dates in lists.");
	}
	return error->reason == NULL;
}

bool
hd_sla_ics_read(const char *text, int length, HdSlaIcsFeed *feed, HdSlaIcsError *error)
{
	Reading reading = {.feed = feed, .error = error};
	HdSlaIcsReader reader;
	HdSlaIcsLine line;

	memset(error, 0, sizeof(*error));
	if (length > HD_SLA_ICS_BYTES)
		return hd_sla_ics_fail(error, HD_SLA_ICS_TOO_MUCH, 1, "The text has more than 4 MB.");
	reader = start_reader(text, length, palloc(Max(length, 1)));
	if (!count_all(reader, feed, error))
		return false;
	feed->events = palloc(Max(feed->nevents, 1) * sizeof(HdSlaIcsEvent));
	feed->listed = palloc(Max(feed->nlisted, 1) * sizeof(HdSlaIcsListed));
	feed->nevents = 0;
	feed->nlisted = 0;
	while (hd_sla_ics_next(&reader, &line, error))
	{
		if (!read_line(&reading, &line))
			return false;
	}
	if (!reading.has_calendar)
		return wrong(&reading, 1, "The text begins with BEGIN:VCALENDAR.");
	if (reading.depth > 0)
		return wrong(&reading, reader.line, "The text ends before what began has ended.");
	return true;
}

/*
 * Names
 */

/* What a character and perhaps the next stand for; how many they are. */
static int
unescape(HdSlaIcsText text, int at, char *c)
{
	*c = text.at[at];
	if (*c == '\\' && at + 1 < text.length)
	{
		*c = text.at[at + 1];
		if (*c == 'n' || *c == 'N')
			*c = ' ';
		return 2;
	}
	return 1;
}

int
hd_sla_ics_name(const HdSlaIcsEvent *event, char *name)
{
	int n = 0;
	int at = 0;

	while (at < event->summary.length && n < HD_SLA_ICS_NAME)
	{
		char c;

		at += unescape(event->summary, at, &c);
		if ((unsigned char) c < ' ' || c == 0x7f)
			c = ' ';
		if (c != ' ' || n > 0)
			name[n++] = c;
	}
	/* not within a character */
	if (at < event->summary.length && ((unsigned char) event->summary.at[at] & 0xC0) == 0x80)
	{
		while (n > 0 && ((unsigned char) name[n - 1] & 0xC0) == 0x80)
			n--;
		n = Max(n - 1, 0);
	}
	while (n > 0 && name[n - 1] == ' ')
		n--;
	return n;
}
