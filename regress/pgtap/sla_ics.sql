-- Holidays from iCalendar text: as feeds and exports have them, how events repeat, which days count, and what is refused.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SELECT plan(150);

CREATE FUNCTION pg_temp.fresh(zone text DEFAULT 'UTC', holidays jsonb DEFAULT '[]') RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.calendar_set('tap-ics', jsonb_build_object('time_zone', zone, 'hours', '{"mon": [["09:00", "17:00"]]}'::jsonb, 'holidays', holidays))
$$;

CREATE FUNCTION pg_temp.holidays() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(concat_ws(' ', coalesce(h ->> 'date', h #>> '{}'), h ->> 'name'), ', ' ORDER BY h ->> 'date', h #>> '{}'), '')
	FROM hotdash.calendars AS c, jsonb_array_elements(c.definition -> 'holidays') AS h WHERE c.name = 'tap-ics'
$$;

-- What an import into an empty calendar adds.
CREATE FUNCTION pg_temp.import(ics text, zone text DEFAULT 'UTC') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	added int;
BEGIN
	PERFORM pg_temp.fresh(zone);
	added := hotdash.calendar_import_ics('tap-ics', ics);
	RETURN concat_ws(': ', added, nullif(pg_temp.holidays(), ''));
END
$$;

-- An event of some lines, the first of which is the third of the text.
CREATE FUNCTION pg_temp.event(lines text) RETURNS text LANGUAGE sql AS $$
	SELECT E'BEGIN:VCALENDAR\nBEGIN:VEVENT\n' || lines || E'\nEND:VEVENT\nEND:VCALENDAR\n'
$$;

-- The dates alone, up to so many.
CREATE FUNCTION pg_temp.dates(lines text, most int DEFAULT 100, zone text DEFAULT 'UTC') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(to_char(day, 'YYYY-MM-DD'), ' ' ORDER BY day)
	FROM (SELECT DISTINCT day FROM hotdash._calendar_ics(pg_temp.event(lines), zone) ORDER BY day LIMIT most) AS d
$$;

/*
 * Feeds
 */

CREATE TEMPORARY TABLE feed (name text PRIMARY KEY, ics text);
INSERT INTO feed VALUES ('google', $ics$BEGIN:VCALENDAR
PRODID:-//Google Inc//Google Calendar 70.9054//EN
VERSION:2.0
CALSCALE:GREGORIAN
METHOD:PUBLISH
X-WR-CALNAME:Holidays in United States
X-WR-TIMEZONE:UTC
X-WR-CALDESC:Holidays and Observances in United States
BEGIN:VEVENT
DTSTART;VALUE=DATE:20260704
DTEND;VALUE=DATE:20260705
DTSTAMP:20260101T101112Z
UID:20260704_60o30dr560o30e1g60o30dr4ck@google.com
CLASS:PUBLIC
CREATED:20240517T105430Z
DESCRIPTION:Public holiday
LAST-MODIFIED:20240517T105430Z
SEQUENCE:0
STATUS:CONFIRMED
SUMMARY:Independence Day
TRANSP:TRANSPARENT
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20260703
DTEND;VALUE=DATE:20260704
DTSTAMP:20260101T101112Z
UID:20260703_60o30dr560o30e1g60o30dr4ck@google.com
CLASS:PUBLIC
DESCRIPTION:Public holiday\nTo hide observances\, go to Google Calendar Set
 tings > Holidays in United States
STATUS:CONFIRMED
SUMMARY:Day off for Independence Day
TRANSP:TRANSPARENT
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261126
DTEND;VALUE=DATE:20261127
DTSTAMP:20260101T101112Z
UID:20261126_60o30dr560o30e1g60o30dr4ck@google.com
STATUS:CONFIRMED
SUMMARY:Thanksgiving Day
TRANSP:TRANSPARENT
END:VEVENT
END:VCALENDAR
$ics$), ('apple', $ics$BEGIN:VCALENDAR
CALSCALE:GREGORIAN
X-WR-CALNAME;VALUE=TEXT:US Holidays
VERSION:2.0
METHOD:PUBLISH
PRODID:-//Apple Computer\, Inc//iCal 2.0//EN
BEGIN:VEVENT
LAST-MODIFIED:20240101T000000Z
UID:thanksgiving@example
DTSTAMP:20080101T000000Z
SUMMARY;LANGUAGE=en_US:Thanksgiving
SUMMARY;LANGUAGE=de_DE:Erntedank
DTSTART;VALUE=DATE:20241128
DTEND;VALUE=DATE:20241129
RRULE:FREQ=YEARLY;COUNT=3;INTERVAL=1;BYMONTH=11;BYDAY=4TH
CATEGORIES:Holidays
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-P1D
DTSTART;VALUE=DATE:19000101
DESCRIPTION:tomorrow
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:memorial@example
SUMMARY;LANGUAGE=en_US:Memorial Day
DTSTART;VALUE=DATE:20240527
RRULE:FREQ=YEARLY;UNTIL=20260601;BYMONTH=5;BYDAY=-1MO
EXDATE;VALUE=DATE:20250526
DURATION:P1D
END:VEVENT
BEGIN:VEVENT
UID:christmas@example
SUMMARY;LANGUAGE=en_US:Christmas Eve\; and Day
DTSTART;VALUE=DATE:20241224
DTEND;VALUE=DATE:20241226
RRULE:FREQ=YEARLY;COUNT=2
END:VEVENT
END:VCALENDAR
$ics$), ('outlook', $ics$BEGIN:VCALENDAR
PRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN
VERSION:2.0
METHOD:PUBLISH
X-CALSTART:20260101T000000
X-WR-RELCALID:{0000002E-4A87-4C39-8F6C-2B7A4E3D0C11}
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16011028T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010325T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
CLASS:PUBLIC
DTEND;TZID="W. Europe Standard Time":20260102T000000
DTSTAMP:20251120T101500Z
DTSTART;TZID="W. Europe Standard Time":20260101T000000
PRIORITY:5
SEQUENCE:0
SUMMARY;LANGUAGE=de:Neujahr
TRANSP:TRANSPARENT
UID:040000008200E00074C5B7101A82E008000000001
X-MICROSOFT-CDO-ALLDAYEVENT:TRUE
X-MICROSOFT-CDO-BUSYSTATUS:OOF
X-ALT-DESC;FMTTYPE=text/html:<html><body>a\nb: c\; "d</body></html>
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20260403
DTEND;VALUE=DATE:20260407
SUMMARY:Ostern (Karfreitag bis Ostermontag)
UID:040000008200E00074C5B7101A82E008000000002
X-MICROSOFT-CDO-ALLDAYEVENT:TRUE
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID="W. Europe Standard Time":20260108T090000
DTEND;TZID="W. Europe Standard Time":20260108T100000
RRULE:FREQ=WEEKLY;BYDAY=TH
SUMMARY:Jour fixe
UID:040000008200E00074C5B7101A82E008000000003
X-MICROSOFT-CDO-ALLDAYEVENT:FALSE
END:VEVENT
END:VCALENDAR
$ics$), ('offices', $ics$BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//ExcudoTech/NONSGML Office Holidays V6.0/EN
X-WR-CALNAME:France Holidays
X-PUBLISHED-TTL:PT48H
X-MS-OLK-FORCEINSPECTOROPEN:TRUE
BEGIN:VEVENT
CLASS:PUBLIC
UID:2026-05-01FR1@www.officeholidays.com
CREATED:20251101T080000Z
DESCRIPTION: A national holiday.\n\nInformation provided by www.office
 holidays.com
URL:https://www.officeholidays.com/holidays/france
DTSTART;VALUE=DATE:20260501
DTEND;VALUE=DATE:20260502
DTSTAMP:20080101T000000Z
LOCATION:France
PRIORITY:5
LAST-MODIFIED:20251101T080000Z
SEQUENCE:1
SUMMARY;LANGUAGE=en-us:France: Fête du Travail\, or La
 bour Day
TRANSP:OPAQUE
X-MICROSOFT-CDO-BUSYSTATUS:BUSY
X-MICROSOFT-CDO-IMPORTANCE:1
X-MICROSOFT-DISALLOW-COUNTER:FALSE
X-MS-OLK-ALLOWEXTERNCHECK:TRUE
X-MS-OLK-AUTOFILLLOCATION:FALSE
X-MICROSOFT-CDO-ALLDAYEVENT:TRUE
X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT:TRUE
X-MS-OLK-CONFTYPE:0
END:VEVENT
END:VCALENDAR
$ics$);

SELECT is(pg_temp.import(ics), '3: 2026-07-03 Day off for Independence Day, 2026-07-04 Independence Day, 2026-11-26 Thanksgiving Day', 'Google') FROM feed WHERE name = 'google';
SELECT is(pg_temp.import(ics, 'America/New_York'), '9: 2024-05-27 Memorial Day, 2024-11-28 Thanksgiving, 2024-12-24 Christmas Eve; and Day, '
	'2024-12-25 Christmas Eve; and Day, 2025-11-27 Thanksgiving, 2025-12-24 Christmas Eve; and Day, 2025-12-25 Christmas Eve; and Day, '
	'2026-05-25 Memorial Day, 2026-11-26 Thanksgiving', 'Apple') FROM feed WHERE name = 'apple';
SELECT is(pg_temp.import(ics, 'Europe/Berlin'), '5: 2026-01-01 Neujahr, 2026-04-03 Ostern (Karfreitag bis Ostermontag), 2026-04-04 Ostern (Karfreitag bis Ostermontag), '
	'2026-04-05 Ostern (Karfreitag bis Ostermontag), 2026-04-06 Ostern (Karfreitag bis Ostermontag)', 'Outlook') FROM feed WHERE name = 'outlook';
SELECT is(pg_temp.import(ics, 'Europe/Paris'), '1: 2026-05-01 France: Fête du Travail, or Labour Day', 'office holidays') FROM feed WHERE name = 'offices';
SELECT is(pg_temp.import(replace(ics, E'\n', E'\r\n')), pg_temp.import(ics), name || ': lines may end with CR LF') FROM feed ORDER BY name;
SELECT is(pg_temp.import(U&'\FEFF' || ics), pg_temp.import(ics), 'a byte order mark') FROM feed WHERE name = 'google';
SELECT is(pg_temp.import(rtrim(ics, E'\n')), pg_temp.import(ics), 'no end of the last line') FROM feed WHERE name = 'google';
SELECT is(pg_temp.import(replace(replace(ics, E'\n ', ''), E'\n', E'\n\n')), pg_temp.import(ics), 'empty lines') FROM feed WHERE name = 'google';
SELECT is(split_part(pg_temp.import(string_agg(ics, '' ORDER BY name)), ':', 1), '17', 'one after another, two dates of which are the same') FROM feed;
SELECT is(pg_temp.import(lower(ics)), '1: 2026-05-01 france: fête du travail, or labour day', 'names of any case') FROM feed WHERE name = 'offices';

/*
 * What is added to what is there
 */

SELECT pg_temp.fresh('UTC', '["2026-07-04", {"date": "2026-05-01", "name": "Mine"}, {"date": "11-26", "yearly": true, "name": "Every year"}]');
SELECT is(hotdash.calendar_import_ics('tap-ics', ics), 1, 'dates that are there are kept') FROM feed WHERE name = 'google';
SELECT is(pg_temp.holidays(), '11-26 Every year, 2026-05-01 Mine, 2026-07-03 Day off for Independence Day, 2026-07-04', 'as they are');
CREATE TEMPORARY TABLE before AS SELECT version FROM hotdash.calendars WHERE name = 'tap-ics';
SELECT is(hotdash.calendar_import_ics('tap-ics', ics), 0, 'imported twice nothing is added') FROM feed WHERE name = 'google';
SELECT is((SELECT version FROM hotdash.calendars WHERE name = 'tap-ics'), (SELECT version FROM before), 'and no version made');
SELECT is(hotdash.calendar_import_ics('tap-ics', ics), 0, 'a date that is there') FROM feed WHERE name = 'offices';
SELECT is(hotdash.calendar_import_ics('tap-ics', pg_temp.event(E'DTSTART;VALUE=DATE:20260601\nSUMMARY:a\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260601\nSUMMARY:b')), 1, 'a date twice is added once');
SELECT alike(pg_temp.holidays(), '%2026-06-01 a,%', 'with the first name');
SELECT is((SELECT definition - 'holidays' FROM hotdash.calendars WHERE name = 'tap-ics'), '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}}', 'all else is as it was');
SELECT hotdash.calendar_set('tap-ics', '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]], "fri": [["09:00", "17:00"]]}}');
SELECT is(hotdash.calendar_import_ics('tap-ics', ics), 1, 'a definition without holidays') FROM feed WHERE name = 'offices';
SELECT is(hotdash.business_time_add('tap-ics', '2026-05-01 08:00Z', '1 h'), '2026-05-04 10:00Z', 'counts at once');

/*
 * Names
 */

SELECT is(pg_temp.import(pg_temp.event(E'DTSTART;VALUE=DATE:20260601\n' || line)), wanted, what)
FROM (VALUES
	('X-NONE:1', '1: 2026-06-01', 'no name'), ('SUMMARY:', '1: 2026-06-01', 'an empty one'), ('SUMMARY: \n\N ', '1: 2026-06-01', 'one of blanks'),
	('SUMMARY:a\,b\;c\\d\ne\Nf\"g', '1: 2026-06-01 a,b;c\d e f"g', 'what is escaped'), (E'SUMMARY:a\tb\x01c', '1: 2026-06-01 a b c', 'control characters'),
	('SUMMARY:ends with \', '1: 2026-06-01 ends with \', 'an escape at the end'), (E'SUMMARY:fol\n ded \n\ttwice', '1: 2026-06-01 folded twice', 'folded'),
	('SUMMARY;ALTREP="http://x/a:b;c":named', '1: 2026-06-01 named', 'colons in quotes'), ('SUMMARY;LANGUAGE=de:Fronleichnam: frei', '1: 2026-06-01 Fronleichnam: frei', 'colons in the value'),
	('SUMMARY:' || repeat('x', 300), '1: 2026-06-01 ' || repeat('x', 255), 'cut at 255 bytes'), ('SUMMARY:' || repeat('ä', 200), '1: 2026-06-01 ' || repeat('ä', 127), 'not within a character'),
	('SUMMARY:' || repeat(U&'\+01F600', 64), '1: 2026-06-01 ' || repeat(U&'\+01F600', 63), 'nor within a long one')
) AS given (line, wanted, what);

/*
 * Which days
 */

SELECT is(pg_temp.dates(lines), wanted, what)
FROM (VALUES
	('DTSTART;VALUE=DATE:20260601', '2026-06-01', 'no end: one day'),
	(E'DTSTART;VALUE=DATE:20260601\nDTEND;VALUE=DATE:20260601', '2026-06-01', 'an end that is the start: one day'),
	(E'DTSTART;VALUE=DATE:20260227\nDTEND;VALUE=DATE:20260302', '2026-02-27 2026-02-28 2026-03-01', 'the end is not one of them'),
	(E'DTSTART;VALUE=DATE:20260601\nDURATION:P1W', '2026-06-01 2026-06-02 2026-06-03 2026-06-04 2026-06-05 2026-06-06 2026-06-07', 'a week'),
	(E'DTSTART;VALUE=DATE:20260601\nDURATION:PT48H', '2026-06-01 2026-06-02', 'days in hours'),
	('DTSTART:20260601', '2026-06-01', 'a date that does not say so'),
	('dtstart;value=date:20260601', '2026-06-01', 'in small letters'),
	(E'DTSTART;VALUE=DATE:20260601\nSTATUS:CANCELLED', NULL, 'cancelled'),
	(E'DTSTART;VALUE=DATE:20260601\nSTATUS:TENTATIVE', '2026-06-01', 'tentative'),
	('STATUS:CANCELLED', NULL, 'cancelled without a date'),
	('DTSTART;VALUE=DATE:17991231', NULL, 'before calendars begin'),
	('DTSTART;VALUE=DATE:24000101', NULL, 'after they end'),
	('DTSTART;VALUE=DATE:23991231', '2399-12-31', 'the last')
) AS given (lines, wanted, what);

SELECT is(pg_temp.dates(lines, 100, zone), wanted, what)
FROM (VALUES
	('Europe/Berlin', E'DTSTART:20260601T000000\nDTEND:20260602T000000', '2026-06-01', 'local midnight to midnight'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/Berlin:20260601T000000\nDTEND;TZID=Europe/Berlin:20260603T000000', '2026-06-01 2026-06-02', 'in the same zone'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/Paris:20260601T000000\nDTEND;TZID=Europe/Paris:20260602T000000', '2026-06-01', 'in one with the same time'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/London:20260601T000000\nDTEND;TZID=Europe/London:20260602T000000', NULL, 'in another'),
	('Europe/Berlin', E'DTSTART:20260531T220000Z\nDTEND:20260601T220000Z', '2026-06-01', 'midnight in UTC'),
	('Europe/Berlin', E'DTSTART:20260601T000000Z\nDTEND:20260602T000000Z', NULL, 'midnight of UTC'),
	('UTC', E'DTSTART:20260601T000000Z\nDTEND:20260602T000000Z', '2026-06-01', 'where it is one'),
	('Europe/Berlin', E'DTSTART:20260328T230000Z\nDTEND:20260329T220000Z', '2026-03-29', 'a day of 23 hours'),
	('Europe/Berlin', E'DTSTART:20260328T230000Z\nDURATION:PT23H', '2026-03-29', 'and its length'),
	('Europe/Berlin', E'DTSTART:20260328T230000Z\nDURATION:PT24H', NULL, 'not that of others'),
	('America/Sao_Paulo', E'DTSTART:20151018T030000Z\nDTEND:20151019T020000Z', '2015-10-18', 'a day whose midnight does not exist'),
	('Europe/Berlin', E'DTSTART:20260601T000000\nDTEND:20260601T120000', NULL, 'half a day'),
	('Europe/Berlin', E'DTSTART:20260601T080000\nDTEND:20260602T080000', NULL, 'from eight to eight'),
	('Europe/Berlin', E'DTSTART:20260601T000000', NULL, 'no end: no time'),
	('Europe/Berlin', E'DTSTART;TZID=Nowhere/Land:20260601T000000\nDTEND;TZID=Nowhere/Land:20260602T000000', NULL, 'in a zone that is unknown'),
	('Europe/Berlin', E'DTSTART;TZID=XYZ-2:20260601T000000\nDTEND;TZID=XYZ-2:20260602T000000', NULL, 'in what is the name of none'),
	('Europe/Berlin', E'DTSTART;TZID=Nowhere/Land:20260601T000000\nDTEND;TZID=Nowhere/Land:20260602T000000\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE', '2026-06-01', 'that is said to be a whole day'),
	('Europe/Berlin', E'DTSTART;TZID=Nowhere/Land:20260601T080000\nDTEND;TZID=Nowhere/Land:20260602T000000\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE', NULL, 'and is not'),
	('Europe/Berlin', E'DTSTART:20261224T230000Z\nDTEND:20261225T230000Z\nRRULE:FREQ=YEARLY;COUNT=3', '2026-12-25 2027-12-25 2028-12-25', 'repeated'),
	('Europe/Berlin', E'DTSTART:20260131T230000Z\nDTEND:20260201T230000Z\nRRULE:FREQ=MONTHLY;COUNT=8', '2026-02-01 2026-11-01 2027-01-01 2027-02-01', 'repeated in UTC, where midnight is another in summer'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/Berlin:20260101T000000\nDTEND;TZID=Europe/Berlin:20260102T000000\nRRULE:FREQ=MONTHLY;INTERVAL=3;UNTIL=20260630T220000Z', '2026-01-01 2026-04-01 2026-07-01', 'until an instant'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/Berlin:20260101T000000\nDTEND;TZID=Europe/Berlin:20260102T000000\nRRULE:FREQ=MONTHLY;INTERVAL=3;UNTIL=20260630T215959Z', '2026-01-01 2026-04-01', 'until the one before'),
	('Europe/Berlin', E'DTSTART;TZID=Europe/Berlin:20260101T000000\nDTEND;TZID=Europe/Berlin:20260102T000000\nRRULE:FREQ=MONTHLY;COUNT=3\nEXDATE:20260131T230000Z', '2026-01-01 2026-03-01', 'without an instant')
) AS given (zone, lines, wanted, what);

/*
 * How they repeat
 */

SELECT is(pg_temp.dates('DTSTART;VALUE=DATE:' || lines, 5), wanted, what)
FROM (VALUES
	(E'20241225\nRRULE:FREQ=YEARLY', '2024-12-25 2025-12-25 2026-12-25 2027-12-25 2028-12-25', 'every year'),
	(E'20241225\nRRULE:FREQ=YEARLY;INTERVAL=5;COUNT=3', '2024-12-25 2029-12-25 2034-12-25', 'every fifth'),
	(E'20241225\nRRULE:FREQ=YEARLY;UNTIL=20261225', '2024-12-25 2025-12-25 2026-12-25', 'until a date, which is one of them'),
	(E'20241225\nRRULE:FREQ=YEARLY;UNTIL=20261224T235959Z', '2024-12-25 2025-12-25', 'until a time of the day before'),
	(E'20240229\nRRULE:FREQ=YEARLY', '2024-02-29 2028-02-29 2032-02-29 2036-02-29 2040-02-29', 'a leap day'),
	(E'20241128\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH', '2024-11-28 2025-11-27 2026-11-26 2027-11-25 2028-11-23', 'the fourth Thursday'),
	(E'20240527\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO', '2024-05-27 2025-05-26 2026-05-25 2027-05-31 2028-05-29', 'the last Monday'),
	(E'20241105\nRRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8', '2024-11-05 2028-11-07 2032-11-02 2036-11-04 2040-11-06', 'the Tuesday after the first Monday'),
	(E'20240506\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYSETPOS=1', '2024-05-06 2025-05-05 2026-05-04 2027-05-03 2028-05-01', 'the first of the Mondays'),
	(E'20240101\nRRULE:FREQ=YEARLY;BYMONTH=1,7', '2024-01-01 2024-07-01 2025-01-01 2025-07-01 2026-01-01', 'in two months'),
	(E'20241231\nRRULE:FREQ=YEARLY;BYYEARDAY=-1,1', '2024-12-31 2025-01-01 2025-12-31 2026-01-01 2026-12-31', 'the last day of a year and the first'),
	(E'20240513\nRRULE:FREQ=YEARLY;BYDAY=20MO', '2024-05-13 2025-05-19 2026-05-18 2027-05-17 2028-05-15', 'the twentieth Monday of a year'),
	(E'20240131\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1', '2024-01-31 2024-02-29 2024-03-31 2024-04-30 2024-05-31', 'the ends of months'),
	(E'20240131\nRRULE:FREQ=MONTHLY', '2024-01-31 2024-03-31 2024-05-31 2024-07-31 2024-08-31', 'the 31st'),
	(E'20240126\nRRULE:FREQ=MONTHLY;BYDAY=-1FR', '2024-01-26 2024-02-23 2024-03-29 2024-04-26 2024-05-31', 'the last Fridays'),
	(E'20240101\nRRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,SU', '2024-01-01 2024-01-14 2024-01-15 2024-01-28 2024-01-29', 'every other week that begins on Sunday'),
	(E'20240101\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU', '2024-01-01 2024-01-07 2024-01-15 2024-01-21 2024-01-29', 'or on Monday'),
	(E'20240101\nRRULE:FREQ=DAILY;INTERVAL=100;COUNT=3', '2024-01-01 2024-04-10 2024-07-19', 'every hundredth day'),
	(E'20240101\nRRULE:FREQ=YEARLY;COUNT=3;', '2024-01-01 2025-01-01 2026-01-01', 'a semicolon too many'),
	(E'20240103\nRRULE:FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1;COUNT=3', '2024-01-03 2025-01-01 2026-01-01', 'the event''s own date is the first, whatever the rule'),
	(E'19000101\nRRULE:FREQ=YEARLY', '1900-01-01 1970-01-01 1971-01-01 1972-01-01 1973-01-01', 'from 1970 on'),
	(E'20971231\nRRULE:FREQ=YEARLY', '2097-12-31 2098-12-31 2099-12-31', 'up to 2099'),
	(E'19000101\nRRULE:FREQ=YEARLY;COUNT=72', '1900-01-01 1970-01-01 1971-01-01', 'what is before counts'),
	(E'20240101\nRDATE;VALUE=DATE:20240301,20240201\nRDATE;VALUE=DATE:20240101', '2024-01-01 2024-02-01 2024-03-01', 'dates beside it'),
	(E'20241225\nDTEND;VALUE=DATE:20241227\nRRULE:FREQ=YEARLY;COUNT=3\nEXDATE;VALUE=DATE:20251225,20301225', '2024-12-25 2024-12-26 2026-12-25 2026-12-26', 'without one that lasts two days'),
	(E'20241225\nRRULE:FREQ=YEARLY;COUNT=3\nEXDATE:20241225T000000', '2025-12-25 2026-12-25', 'without the first, which is told with a time'),
	(E'20241225\nUID:a\nRRULE:FREQ=YEARLY;COUNT=3\nEND:VEVENT\nBEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20251225\nDTSTART;VALUE=DATE:20251228', '2024-12-25 2025-12-28 2026-12-25', 'one that is moved'),
	(E'20241225\nUID:a\nRRULE:FREQ=YEARLY;COUNT=3\nEND:VEVENT\nBEGIN:VEVENT\nUID:a\nRECURRENCE-ID;VALUE=DATE:20251225\nDTSTART;VALUE=DATE:20251225\nSTATUS:CANCELLED', '2024-12-25 2026-12-25', 'one that is cancelled'),
	(E'20241225\nUID:a\nRRULE:FREQ=YEARLY;COUNT=3\nEND:VEVENT\nBEGIN:VEVENT\nUID:b\nRECURRENCE-ID;VALUE=DATE:20251225\nSTATUS:CANCELLED', '2024-12-25 2025-12-25 2026-12-25', 'one of another')
) AS given (lines, wanted, what);

/*
 * What is refused, with the line
 */

CREATE FUNCTION pg_temp.refusal(ics text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
BEGIN
	PERFORM hotdash.calendar_import_ics('tap-ics', ics);
	RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, coalesce(substring(message FROM '^iCalendar text cannot be imported, (line \d+)$'), message), CASE WHEN detail LIKE '%.' THEN 'with a reason' END);
END
$$;

SELECT is(pg_temp.refusal(ics), wanted || ' with a reason', what)
FROM (VALUES
	('', '22023 line 1', 'nothing'),
	('{"holidays": []}', '22023 line 1', 'what is none'),
	(E'<html>\n<body>404: not found</body></html>', '22023 line 1', 'a page instead'),
	(E'BEGIN:VCARD\nEND:VCARD\n', '22023 line 1', 'a card'),
	(E'VERSION:2.0\n', '22023 line 1', 'no begin'),
	(E'BEGIN:VCALENDAR\nVERSION:2.0\n', '22023 line 3', 'a text that breaks off'),
	(E'BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260601\nEND:VCALENDAR\n', '22023 line 4', 'an event that does not end'),
	(E'BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VCALENDAR\n', '22023 line 3', 'an end too many'),
	(E'BEGIN:VCALENDAR\nVERSION\nEND:VCALENDAR\n', '22023 line 2', 'a line without a colon'),
	(E'BEGIN:VCALENDAR\n:2.0\nEND:VCALENDAR\n', '22023 line 2', 'a line without a name'),
	(pg_temp.event('SUMMARY:x'), '22023 line 2', 'an event without a date'),
	(pg_temp.event(E'SUMMARY:x\nDTSTART;VALUE=DATE:20260230'), '22023 line 4', 'a date that does not exist'),
	(pg_temp.event(E'SUMMARY:x\n y\n z\nDTSTART:2026-02-03'), '22023 line 6', 'no date'),
	(pg_temp.event('DTSTART;VALUE=DATE:20260203T000000'), '22023 line 3', 'a time that says it were a date'),
	(pg_temp.event('DTSTART:20260203T250000'), '22023 line 3', 'no time'),
	(pg_temp.event(E'DTSTART:20260203\nDTSTART:20260203'), '22023 line 4', 'two starts'),
	(pg_temp.event(E'DTSTART:20260203\nDTEND:20260202'), '22023 line 2', 'an end before the start'),
	(pg_temp.event(E'DTSTART:20260203\nDTEND:20260204T000000'), '22023 line 2', 'an end that is a time'),
	(pg_temp.event(E'DTSTART:20260203\nDTEND:20260204\nDURATION:P1D'), '22023 line 2', 'an end and a length'),
	(pg_temp.event(E'DTSTART:20260203\nDURATION:PT5H'), '22023 line 2', 'a part of a day'),
	(pg_temp.event(E'DTSTART:20260203\nDURATION:-P1D'), '22023 line 4', 'a length below nothing'),
	(pg_temp.event(E'DTSTART:20260203\nDURATION:P99999999W'), '22023 line 4', 'a length beyond all'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;BYMONTH=13'), '22023 line 4', 'a month'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;BYDAY=4XX'), '22023 line 4', 'a weekday'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=WEEKLY;BYDAY=4TH'), '22023 line 4', 'the fourth Thursday of a week'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;COUNT=0'), '22023 line 4', 'no times'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;INTERVAL=-1'), '22023 line 4', 'backwards'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;COUNT=2;UNTIL=20300101'), '22023 line 4', 'two ends'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:BYMONTH=2'), '22023 line 4', 'how often?'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:'), '22023 line 4', 'an empty rule'),
	(pg_temp.event(E'DTSTART:20260203\nEXDATE:20260203,tomorrow'), '22023 line 4', 'an exception that is no date'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=HOURLY'), '0A000 line 4', 'every hour'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY;BYWEEKNO=20'), '0A000 line 4', 'weeks of a year'),
	(pg_temp.event(E'DTSTART:20260203\nRRULE:FREQ=YEARLY\nRRULE:FREQ=YEARLY'), '0A000 line 5', 'two rules'),
	(pg_temp.event(E'DTSTART:20260203\nEXRULE:FREQ=YEARLY'), '0A000 line 4', 'a rule of exceptions'),
	(pg_temp.event(E'DTSTART:20260203\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260203'), '0A000 line 4', 'all that follow'),
	(pg_temp.event(E'DTSTART:20260203\nRDATE;VALUE=PERIOD:20260203T000000Z/P1D'), '0A000 line 4', 'periods'),
	(pg_temp.event(E'DTSTART:20260203\nSUMMARY:' || repeat('x', 70000)), '54000 line 4', 'a line that is too long'),
	(E'BEGIN:VCALENDAR\n' || repeat(E'BEGIN:VEVENT\nDTSTART:20260203\nEND:VEVENT\n', 10001) || E'END:VCALENDAR\n', '54000 line 30002', 'too many events'),
	(E'BEGIN:VCALENDAR\n' || (SELECT string_agg(format(E'BEGIN:VEVENT\nDTSTART;TZID=No/Zone%s:20260203T000000\nDURATION:P1D\nEND:VEVENT\n', i), '') FROM generate_series(1, 21) AS i)
		|| E'END:VCALENDAR\n', '54000 iCalendar text cannot be imported', 'too many unknown zones'),
	(pg_temp.event(E'DTSTART:20260203\nDURATION:P50001D'), '54000 line 2', 'too many days'),
	(pg_temp.event(repeat(E'X:y\n', 1050000) || 'DTSTART:20260203'), '54000 line 1', 'too much text'),
	(E'BEGIN:VCALENDAR\n' || repeat(E'BEGIN:VEVENT\nDTSTART:19700101\nRRULE:FREQ=DAILY;BYDAY=MO;BYMONTHDAY=1;BYMONTH=2\nEND:VEVENT\n', 1500) || E'END:VCALENDAR\n', '54000 line 2106', 'too much to look for')
) AS given (ics, wanted, what);

SELECT pg_temp.fresh();
SELECT is(pg_temp.refusal(replace(ics, 'END:VCALENDAR', E'BEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR')), '22023 line 44 with a reason', 'one event that is wrong') FROM feed WHERE name = 'google';
SELECT is(pg_temp.holidays(), '', 'and none is taken');
SELECT throws_ok($$SELECT hotdash.calendar_import_ics('tap-none', '')$$, '42704', NULL, 'an unknown calendar');
SELECT throws_ok($$SELECT hotdash.calendar_import_ics(NULL, '')$$, '22004', NULL, 'no calendar');
SELECT throws_ok($$SELECT hotdash.calendar_import_ics('tap-ics', NULL)$$, '22004', NULL, 'no text');
SELECT is(pg_temp.import(pg_temp.event(E'DTSTART:20260203T080000Z\nRRULE:FREQ=HOURLY')), '0', 'a rule that does not matter, since it is of no days');
SELECT is(pg_temp.import(E'BEGIN:VCALENDAR\nEND:VCALENDAR\n'), '0', 'a calendar without events');

SELECT * FROM finish();
ROLLBACK;
