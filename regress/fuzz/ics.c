/*
 * ics.c
 *	  iCalendar text: what is read lies within the text and within its bounds, days are in the order of the rule, and
 *	  the same again the same.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fuzz.h"
#include "sla/ics.h"

#define EVENT(lines) \
	"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\n" lines "END:VEVENT\r\nEND:VCALENDAR\r\n"

const char *const fuzz_seeds[] = {
	EVENT(
		"DTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227\r\nSUMMARY:Chr\r\n istmas\\, both\\n\r\n"),
	EVENT(
		"DTSTART;VALUE=DATE:20001123\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=9\r\nEXDATE;VALUE=DATE:20011122,20021128\r\n"),
	EVENT(
		"DTSTART:20260101T000000Z\r\nDURATION:P1DT0H\r\nRRULE:FREQ=MONTHLY;BYDAY=MO,-1SU;BYSETPOS=-1;UNTIL=20300101T000000Z\r\n"),
	EVENT(
		"DTSTART;TZID=\"X:Y;Z\":20260101T000000\r\nDTEND;TZID=X:20260102T000000\r\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE\r\n"),
	"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:20200229\nRRULE:FREQ=YEARLY\nRDATE;VALUE=DATE:20210301\nEND:VEVENT\n"
	"BEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20240229\nSTATUS:CANCELLED\nBEGIN:VALARM\nTRIGGER:-PT1H\nEND:VALARM\n"
	"END:VEVENT\nBEGIN:VTIMEZONE\nTZID:x\nEND:VTIMEZONE\nEND:VCALENDAR\n",
	EVENT(
		"DTSTART;VALUE=DATE:19700105\nRRULE:FREQ=WEEKLY;INTERVAL=3;WKST=SU;BYDAY=MO,FR;BYMONTH=1,12\n"),
	EVENT(
		"DTSTART;VALUE=DATE:19991231\nRRULE:FREQ=DAILY;INTERVAL=40;BYMONTHDAY=-1,1\nSUMMARY:\xc3\xa4\xc3\xb6\n"),
	EVENT("DTSTART;VALUE=DATE:19991231\nRRULE:FREQ=YEARLY;BYYEARDAY=1,-1,200;INTERVAL=4\n"),
	NULL};
const char *const fuzz_words[] = {"BEGIN:VEVENT\n",
								  "END:VEVENT\n",
								  "RRULE:FREQ=YEARLY",
								  ";BYDAY=",
								  ";BYMONTH=",
								  ";BYMONTHDAY=",
								  ";BYSETPOS=",
								  ";BYYEARDAY=",
								  ";INTERVAL=",
								  ";COUNT=",
								  ";UNTIL=",
								  "EXDATE:",
								  "RDATE:",
								  "RECURRENCE-ID:",
								  "DTSTART:",
								  "DTEND:",
								  "DURATION:P1W",
								  ";VALUE=DATE",
								  ";TZID=x",
								  "20260101",
								  "T000000",
								  "Z",
								  "\r\n ",
								  "\n",
								  "MONTHLY",
								  "WEEKLY",
								  "DAILY",
								  "4TH",
								  "-1",
								  "53",
								  "366",
								  "99991231",
								  "\"",
								  ":",
								  ";",
								  ",",
								  NULL};

/* A zone is as far from Greenwich as its name is long; one without a name is unknown. */
static bool
instant_of(void *arg, const HdSlaIcsTime *time, int64 *instant)
{
	FUZZ_CHECK(time->second >= 0 && time->second < SECS_PER_DAY);
	FUZZ_CHECK(time->clock == HD_SLA_ICS_ZONED || time->zone.at == NULL);
	*instant = (int64) time->date * SECS_PER_DAY + time->second;
	if (time->clock == HD_SLA_ICS_ZONED)
		*instant -= time->zone.length * 3600;
	return time->clock != HD_SLA_ICS_ZONED || time->zone.length > 0;
}

static bool
midnight_of(void *arg, int64 instant, int32 *date)
{
	*date = instant / SECS_PER_DAY;
	return instant % SECS_PER_DAY == 0;
}

static void
check_event(const HdSlaIcsFeed *feed, const HdSlaIcsEvent *event)
{
	char name[HD_SLA_ICS_NAME];
	int length = hd_sla_ics_name(event, name);

	FUZZ_CHECK(length >= 0 && length <= HD_SLA_ICS_NAME && length <= event->summary.length);
	FUZZ_CHECK(length == 0 || (name[0] != ' ' && name[length - 1] != ' '));
	for (int i = 0; i < length; i++)
		FUZZ_CHECK((unsigned char) name[i] >= ' ' && name[i] != 0x7f);
	FUZZ_CHECK(event->listed >= 0 && event->listed + event->nlisted <= feed->nlisted);
	FUZZ_CHECK(event->has_start || event->is_cancelled);
	FUZZ_CHECK(!event->repeats || event->rule.interval > 0);
	FUZZ_CHECK(!event->repeats || !event->rule.has_until || event->rule.count == 0);
}

/* Days of an event come in spans; where one alone repeats without lists, spans begin later and later. */
static void
check_days(const HdSlaIcsFeed *feed, const HdSlaIcsDays *days)
{
	FUZZ_CHECK(days->n <= HD_SLA_ICS_DAYS && days->skipped <= feed->nevents);
	for (int i = 0; i < days->n; i++)
	{
		const HdSlaIcsEvent *event = &feed->events[days->days[i].event];

		FUZZ_CHECK(days->days[i].event >= (i > 0 ? days->days[i - 1].event : 0));
		FUZZ_CHECK(!event->is_cancelled && days->days[i].event < feed->nevents);
		FUZZ_CHECK(days->days[i].date >= HD_SLA_FIRST_DAY && days->days[i].date < HD_SLA_LAST_DAY);
		if (i > 0 && days->days[i].event == days->days[i - 1].event && event->nlisted == 0 &&
			!event->has_end && !event->has_length)
			FUZZ_CHECK(days->days[i].date > days->days[i - 1].date);
		if (event->start.clock == HD_SLA_ICS_DATE && event->nlisted == 0)
			FUZZ_CHECK(days->days[i].date >= event->start.date);
	}
}

static void
check_error(const HdSlaIcsError *error, int lines)
{
	FUZZ_CHECK(error->reason != NULL && error->line >= 1 && error->line <= lines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HdSlaIcsZones zones = {instant_of, midnight_of, NULL};
	HdSlaIcsFeed feed;
	HdSlaIcsError error;
	HdSlaIcsDays days;
	HdSlaIcsDays again;
	int lines = 2;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n' ? 1 : 0;
	if (!hd_sla_ics_read((const char *) data, (int) size, &feed, &error))
	{
		check_error(&error, lines);
		return 0;
	}
	for (int i = 0; i < feed.nevents; i++)
		check_event(&feed, &feed.events[i]);
	if (!hd_sla_ics_days(&feed, &zones, &days, &error))
	{
		check_error(&error, lines);
		return 0;
	}
	check_days(&feed, &days);
	FUZZ_CHECK(hd_sla_ics_days(&feed, &zones, &again, &error));
	FUZZ_CHECK(again.n == days.n && again.skipped == days.skipped && again.steps == days.steps);
	FUZZ_CHECK(days.n == 0 || memcmp(again.days, days.days, days.n * sizeof(HdSlaIcsDay)) == 0);
	return 0;
}
