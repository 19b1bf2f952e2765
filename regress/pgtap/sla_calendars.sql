-- Business time: answers that are known from elsewhere, in round numbers that can be checked by hand, and the rules for
-- amounts, ends of hours and what is refused.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL intervalstyle = 'postgres';
SELECT plan(236);

CREATE TEMPORARY TABLE zone_of (name text PRIMARY KEY, zone text, days text[], intervals text[], other jsonb);

-- Hours for the weekdays that are named, and what else a definition has.
CREATE FUNCTION pg_temp.calendar(name text, zone text, hours jsonb, other jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.calendar_set('tap-' || name, jsonb_build_object('time_zone', zone, 'hours', hours) || other)
$$;

CREATE FUNCTION pg_temp.hours(days text[], variadic intervals text[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(day, (SELECT jsonb_agg(jsonb_build_array(split_part(i, '-', 1), split_part(i, '-', 2)) ORDER BY place)
		FROM unnest(intervals) WITH ORDINALITY AS given (i, place)))
	FROM unnest(days) AS day
$$;

-- Local times of the calendar's zone where the text names no other.
CREATE FUNCTION pg_temp.at(calendar text, moment text) RETURNS timestamptz LANGUAGE sql AS $$
	SELECT CASE WHEN moment ~ '(Z|[+-]\d\d)$' THEN moment::timestamptz ELSE moment::timestamp AT TIME ZONE zone END
	FROM pg_temp.zone_of WHERE name = calendar
$$;

CREATE FUNCTION pg_temp.elapsed(calendar text, from_ts text, to_ts text) RETURNS text LANGUAGE sql AS $$
	SELECT hotdash.business_time_between('tap-' || calendar, pg_temp.at(calendar, from_ts), pg_temp.at(calendar, to_ts))::text
$$;

CREATE FUNCTION pg_temp.due(calendar text, from_ts text, amount text, at_close text DEFAULT 'close') RETURNS timestamptz LANGUAGE sql AS $$
	SELECT hotdash.business_time_add('tap-' || calendar, pg_temp.at(calendar, from_ts), amount::interval, at_close)
$$;

CREATE FUNCTION pg_temp.open(calendar text, moment text) RETURNS bool LANGUAGE sql AS $$
	SELECT hotdash.business_open('tap-' || calendar, pg_temp.at(calendar, moment))
$$;

INSERT INTO zone_of VALUES
	('always', 'UTC', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('office', 'UTC', '{mon,tue,wed,thu,fri}', '{09:00-17:00}', '{}'),
	('lunch', 'UTC', '{mon,tue,wed,thu,fri}', '{07:00-12:00,13:00-18:00}', '{}'),
	('monday', 'UTC', '{mon}', '{00:00-24:00}', '{}'),
	('saturday', 'UTC', '{sat}', '{00:00-24:00}', '{}'),
	('evening', 'UTC', '{mon,tue}', '{08:00-20:00}', '{}'),
	('long', 'UTC', '{mon,tue,wed,thu,fri}', '{08:00-20:00}', '{}'),
	('nine-six', 'UTC', '{mon,tue,wed,thu,fri}', '{09:00-18:00}', '{}'),
	('broken', 'UTC', '{mon,tue,wed,thu,fri}', '{09:00-17:00}', '{"breaks": {"2006-01-02": [["10:00", "11:30"], ["13:00", "14:00"]]}}'),
	('over', 'UTC', '{mon}', '{17:00-19:00,20:00-22:00}', '{"breaks": {"2006-01-02": [["18:00", "21:00"]]}}'),
	('shifted', 'UTC', '{mon,tue,wed,thu,fri}', '{09:00-17:00}', '{"shifts": {"2026-12-24": [["10:00", "12:00"], ["14:00", "17:00"]]}}'),
	('berlin', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '{08:00-13:00,14:00-18:00}',
		'{"holidays": ["2015-12-24", "2015-12-25", "2015-12-26", "2015-12-31", "2016-01-01", "2016-05-01"]}'),
	('berlin-always', 'Europe/Berlin', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('berlin-feasts', 'Europe/Berlin', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}',
		'{"holidays": ["2015-12-24", "2015-12-25", "2015-12-26", "2015-12-31", "2016-01-01", "2016-05-01"]}'),
	('berlin-day', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '{08:00-18:00}', '{}'),
	('berlin-november', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '{08:00-20:00}', '{"holidays": ["2016-11-01"]}'),
	('berlin-september', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '{09:00-17:00}', '{"holidays": ["2015-09-22"]}'),
	('sao-paulo', 'America/Sao_Paulo', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('tehran', 'Asia/Tehran', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('sydney', 'Australia/Sydney', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('new-york-always', 'America/New_York', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('lord-howe', 'Australia/Lord_Howe', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('troll', 'Antarctica/Troll', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('apia', 'Pacific/Apia', '{mon,tue,wed,thu,fri,sat,sun}', '{00:00-24:00}', '{}'),
	('apia-nights', 'Pacific/Apia', '{thu,fri,sat}', '{22:00-06:00}', '{}'),
	('paris', 'Europe/Paris', '{sun}', '{08:00-21:00}', '{}'),
	('paris-sunday', 'Europe/Paris', '{sun}', '{00:00-24:00}', '{}'),
	('new-york', 'America/New_York', '{mon,tue,wed,thu,fri}', '{09:00-17:00}', '{}'),
	('ny-0-2', 'America/New_York', '{sun}', '{00:00-02:00}', '{}'),
	('ny-1-130', 'America/New_York', '{sun}', '{01:00-01:30}', '{}'),
	('ny-130-3', 'America/New_York', '{sun}', '{01:30-03:00}', '{}'),
	('ny-2-3', 'America/New_York', '{sun}', '{02:00-03:00}', '{}'),
	('ny-gap', 'America/New_York', '{sun}', '{02:15-02:45,03:00-03:30}', '{}'),
	('nights', 'UTC', '{mon,tue,wed,thu,fri}', '{22:00-06:00}', '{"holidays": ["2026-12-25"], "breaks": {"2026-12-22": [["23:30", "00:30"], ["05:00", "06:00"]]}, "shifts": {"2026-12-17": []}}'),
	('to-midnight', 'UTC', '{mon}', '{09:00-00:00}', '{}'),
	('round', 'UTC', '{mon}', '{09:00-09:00}', '{}'),
	('midnight', 'UTC', '{mon}', '{00:00-00:00}', '{}'),
	('fine', 'UTC', '{mon}', '{09:00:00.000001-09:00:00.000004,09:00:01-09:00:02.5}', '{}');
SELECT pg_temp.calendar(name, zone, pg_temp.hours(days, VARIADIC intervals), other) FROM zone_of;

INSERT INTO zone_of VALUES ('week', 'UTC'), ('two-offices', 'UTC'), ('friday', 'UTC'), ('california', 'America/Los_Angeles');
SELECT pg_temp.calendar('week', 'UTC', pg_temp.hours('{mon,wed,fri}', '09:00-17:00') || pg_temp.hours('{tue,thu}', '10:00-16:00') || pg_temp.hours('{sat}', '11:00-14:30'));
SELECT pg_temp.calendar('two-offices', 'UTC', pg_temp.hours('{mon}', '09:00-17:00') || pg_temp.hours('{tue}', '09:00-20:00'));
SELECT pg_temp.calendar('friday', 'UTC', pg_temp.hours('{mon,fri}', '09:00-17:00') || pg_temp.hours('{sat}', '10:00-15:00'));
SELECT pg_temp.calendar('california', 'America/Los_Angeles', pg_temp.hours('{mon}', '09:00-17:00') || pg_temp.hours('{sun}', '02:30-03:15'));

SELECT hotdash.calendar_set('tap-closed', '{"time_zone": "UTC", "hours": {}, "when_empty": "wall_clock"}');
INSERT INTO zone_of VALUES ('closed', 'UTC');

/*
 * How much
 */

SELECT is(pg_temp.elapsed(calendar, from_ts, to_ts), wanted, format('%s from %s to %s: %s', calendar, from_ts, to_ts, what))
FROM (VALUES
	('week', '2006-01-01 00:00', '2006-01-08 00:00', '39:30:00', 'a week of unequal days'),
	('week', '2006-01-04 12:00', '2006-01-04 12:00', '00:00:00', 'nothing'),
	('week', '2006-01-08 00:00', '2006-01-01 00:00', '00:00:00', 'reversed'),
	('week', '2006-01-02 17:00', '2006-01-03 00:00', '00:00:00', 'closed all the time'),
	('week', '2006-01-02 16:59:59.999999', '2006-01-03 00:00', '00:00:00.000001', 'a microsecond of it open'),
	('week', '2006-01-04 15:58:30', '2006-01-04 16:00', '00:01:30', 'seconds'),
	('broken', '2006-01-02 00:00', '2006-01-03 00:00', '05:30:00', 'two breaks'),
	('broken', '2006-01-02 09:00', '2006-01-02 10:00', '01:00:00', 'before the first'),
	('broken', '2006-01-02 10:00', '2006-01-02 11:30', '00:00:00', 'the first'),
	('broken', '2006-01-02 11:30', '2006-01-02 13:00', '01:30:00', 'between them'),
	('broken', '2006-01-02 13:00', '2006-01-02 14:00', '00:00:00', 'the second'),
	('broken', '2006-01-02 14:00', '2006-01-02 17:00', '03:00:00', 'after it'),
	('broken', '2006-01-03 00:00', '2006-01-04 00:00', '08:00:00', 'no breaks on the next day'),
	('over', '2006-01-02 00:00', '2006-01-03 00:00', '02:00:00', 'a break over the end of one and the start of another'),
	('over', '2006-01-02 17:00', '2006-01-02 18:00', '01:00:00', 'what is left of the first'),
	('over', '2006-01-02 21:00', '2006-01-02 22:00', '01:00:00', 'what is left of the second'),
	('over', '2006-01-02 18:00', '2006-01-02 21:00', '00:00:00', 'and nothing else'),
	('over', '2006-01-09 00:00', '2006-01-10 00:00', '04:00:00', 'a week later'),
	('monday', '2014-04-06 12:00', '2016-04-06 12:00', '2520:00:00', '105 Mondays, never in days'),
	('lunch', '2026-11-18 11:59', '2026-11-18 13:01', '00:02:00', 'around noon'),
	('shifted', '2026-12-24 12:00', '2026-12-24 18:00', '03:00:00', 'the hours of a holiday'),
	('shifted', '2026-12-24 00:00', '2026-12-25 00:00', '05:00:00', 'all of them'),
	('shifted', '2026-12-23 00:00', '2026-12-24 00:00', '08:00:00', 'the day before'),
	('evening', '2026-11-16 20:50', '2026-11-17 08:10', '00:10:00', 'over night'),
	('nine-six', '2012-05-28 11:04:26+03', '2012-05-29 17:56:45+03', '14:56:45', '53,805 s'),
	('long', '2019-01-01 07:00', '2019-01-01 09:00', '01:00:00', 'opened at eight'),
	('long', '2019-01-01 07:00', '2019-01-08 07:00', '60:00:00', 'a week'),
	('berlin-feasts', '2015-12-23 08:10:15', '2015-12-28 17:10:14', '56:59:59', '205,199 s'),
	('berlin-always', '2015-02-17 12:00', '2015-05-18 12:00', '2159:00:00', 'spring'),
	('berlin-always', '2016-03-26 22:24:39', '2016-03-28 23:24:39', '48:00:00', 'spring, two days'),
	('sao-paulo', '2015-02-21 22:00', '2015-02-22 02:00', '05:00:00', 'autumn, at midnight'),
	('sao-paulo', '2015-10-17 22:00', '2015-10-18 04:00', '05:00:00', 'spring, a midnight that does not exist'),
	('tehran', '2015-09-21 12:00', '2015-09-22 04:00', '17:00:00', 'autumn'),
	('tehran', '2015-03-21 12:00', '2015-03-22 04:00', '15:00:00', 'spring'),
	('sydney', '2015-01-21 12:00', '2015-04-22 04:00', '2177:00:00', 'autumn in April'),
	('new-york-always', '2024-03-09 12:00', '2024-03-10 12:00', '23:00:00', 'noon to noon'),
	('new-york-always', '2024-11-02 12:00', '2024-11-03 12:00', '25:00:00', 'noon to noon'),
	('lord-howe', '2024-04-06 12:00', '2024-04-07 12:00', '24:30:00', 'half an hour'),
	('lord-howe', '2024-10-05 12:00', '2024-10-06 12:00', '23:30:00', 'half an hour'),
	('troll', '2024-03-30 12:00', '2024-03-31 12:00', '22:00:00', 'two hours'),
	('apia', '2011-12-29 12:00', '2011-12-31 12:00', '24:00:00', 'without 30 December'),
	('apia-nights', '2011-12-29 12:00', '2011-12-31 12:00', '08:00:00', 'a night into a day that is another, and none of the one that is not'),
	('apia-nights', '2011-12-31 12:00', '2012-01-01 12:00', '08:00:00', 'the next'),
	('paris', '2020-03-29 00:00', '2020-03-30 00:00', '13:00:00', 'spring, in the day'),
	('paris', '2020-10-25 00:00', '2020-10-26 00:00', '13:00:00', 'autumn, in the day'),
	('paris', '2002-10-27 06:00Z', '2021-10-30 00:00Z', '12896:00:00', 'of 992 Sundays'),
	('paris-sunday', '2020-10-25 00:00', '2020-10-26 00:00', '25:00:00', 'a day of 25 hours'),
	('paris-sunday', '2020-03-29 00:00', '2020-03-30 00:00', '23:00:00', 'a day of 23 hours'),
	('california', '2006-04-02 00:00', '2006-04-03 00:00', '00:00:00', 'from 03:30 to 03:15'),
	('california', '2006-04-09 00:00', '2006-04-10 00:00', '00:45:00', 'a week later'),
	('ny-0-2', '2024-11-03 00:00', '2024-11-04 00:00', '03:00:00', 'autumn'),
	('ny-1-130', '2024-11-03 00:00', '2024-11-04 00:00', '00:30:00', 'autumn, the first'),
	('ny-130-3', '2024-11-03 00:00', '2024-11-04 00:00', '02:30:00', 'autumn, from the first'),
	('ny-2-3', '2024-11-03 00:00', '2024-11-04 00:00', '01:00:00', 'autumn'),
	('ny-2-3', '2024-03-10 00:00', '2024-03-11 00:00', '00:00:00', 'spring, none of it exists'),
	('ny-130-3', '2024-03-10 00:00', '2024-03-11 00:00', '00:30:00', 'spring'),
	('ny-gap', '2024-03-10 00:00', '2024-03-11 00:00', '00:45:00', 'moved forward to 03:15-03:45, counted once'),
	('ny-gap', '2024-03-17 00:00', '2024-03-18 00:00', '01:00:00', 'a week later'),
	('nights', '2026-12-14 12:00', '2026-12-15 12:00', '08:00:00', 'a night'),
	('nights', '2026-12-15 00:00', '2026-12-15 06:00', '06:00:00', 'its second part'),
	('nights', '2026-12-17 00:00', '2026-12-18 12:00', '06:00:00', 'a date without shifts, into which the night before runs'),
	('nights', '2026-12-24 12:00', '2026-12-25 12:00', '08:00:00', 'a holiday, into which the night before runs'),
	('nights', '2026-12-25 12:00', '2026-12-28 12:00', '00:00:00', 'and from which none begins'),
	('nights', '2026-12-22 00:00', '2026-12-22 12:00', '06:00:00', 'breaks are those of what begins on their date'),
	('nights', '2026-12-22 12:00', '2026-12-23 12:00', '07:00:00', 'a break over midnight'),
	('nights', '2026-12-23 00:00', '2026-12-23 00:30', '00:00:00', 'the end of it'),
	('to-midnight', '2026-11-16 00:00', '2026-11-18 00:00', '15:00:00', 'until 00:00 is until midnight'),
	('round', '2026-11-16 00:00', '2026-11-18 00:00', '24:00:00', 'an end that is the start is that of the next day'),
	('midnight', '2026-11-16 00:00', '2026-11-18 00:00', '24:00:00', 'so is midnight'),
	('fine', '2026-11-16 00:00', '2026-11-17 00:00', '00:00:01.500003', 'microseconds'),
	('fine', '2026-11-16 09:00:00.000003', '2026-11-16 09:00:01.000001', '00:00:00.000002', 'a few of them'),
	('always', '1990-01-01 00:00', '2037-12-31 23:59:59.999999', '420767:59:59.999999', '47 years'),
	('office', '1990-01-01 00:00', '2038-01-01 00:00', '100192:00:00', '12,524 working days')
) AS given (calendar, from_ts, to_ts, wanted, what);

SELECT is(extract(day FROM hotdash.business_time_between('tap-always', '2000-01-01Z', '2020-01-01Z')), 0::numeric, 'no interval has days');
SELECT is(hotdash.business_time_between('tap-always', '2000-01-01Z', '2020-01-01Z'), '175320:00:00'::interval, 'however long');
SELECT is(pg_temp.elapsed('always', '2024-02-28 12:00', '2024-03-01 12:00'), '48:00:00', 'a leap day');

/*
 * When
 */

SELECT is(pg_temp.due(calendar, from_ts, amount, at_close), pg_temp.at(calendar, wanted), format('%s after %s, %s: %s', amount, from_ts, coalesce(at_close, 'NULL'), what))
FROM (VALUES
	('week', '2006-01-03 00:00', '0', 'open', '2006-01-03 10:00', 'the next opening'),
	('week', '2006-01-03 00:00', '0', 'close', '2006-01-03 00:00', 'as it is'),
	('week', '2006-01-03 11:30:00.5', '0', 'open', '2006-01-03 11:30:00.5', 'open already'),
	('week', '2006-01-03 10:00', '0', 'open', '2006-01-03 10:00', 'just opened'),
	('week', '2006-01-03 16:00', '0', 'open', '2006-01-04 09:00', 'just closed'),
	('week', '2006-01-03 16:00', '0', 'close', '2006-01-03 16:00', 'just closed, as it is'),
	('week', '2006-01-04 15:58:30', '90 s', 'close', '2006-01-04 16:00', 'in the middle'),
	('week', '2006-01-04 17:00', '-3 h', 'close', '2006-01-04 14:00', 'back'),
	('week', '2006-01-03 00:00', '-0.000001 s', 'close', '2006-01-02 16:59:59.999999', 'back over a night by a microsecond'),
	('week', '2006-01-04 17:00', '-8 h', 'close', '2006-01-04 09:00', 'back to the opening, not to the closing before'),
	('week', '2006-01-04 17:00', '-8 h', 'open', '2006-01-04 09:00', 'whatever the rule'),
	('week', '2006-01-04 17:00', '-08:00:00.000001', NULL, '2006-01-03 15:59:59.999999', 'a microsecond more'),
	('week', '2006-01-05 08:00', '-14 h', NULL, '2006-01-03 10:00', 'from a closed time over two days'),
	('week', '2006-01-08 00:00', '-39:30', NULL, '2006-01-02 09:00', 'back over a week'),
	('lunch', '2026-11-18 13:00', '-1 h', NULL, '2026-11-18 11:00', 'back over noon'),
	('office', '2024-01-19 16:59:42', '120 s', 'close', '2024-01-22 09:01:42', 'over a weekend'),
	('friday', '2026-11-13 15:00', '9 h', 'close', '2026-11-16 11:00', 'with a Saturday'),
	('berlin', '2015-12-22 16:24:49', '20 h', 'close', '2015-12-29 08:24:49', 'over Christmas'),
	('berlin', '2016-01-31 12:25:30', '45:25:30', 'close', '2016-02-08 08:25:30', 'from a Sunday'),
	('california', '2006-04-02 00:00', '0', 'open', '2006-04-03 09:00', 'Sunday''s hours are empty'),
	('new-york', '2024-03-08 16:50', '15 min', 'close', '2024-03-11 13:05Z', 'in summer time by then'),
	('new-york', '2024-03-08 16:45', '15 min', 'close', '2024-03-08 22:00Z', 'exactly at closing time'),
	('new-york', '2024-03-08 16:45', '15 min', NULL, '2024-03-08 22:00Z', 'the default'),
	('new-york', '2024-03-08 16:45', '15 min', 'open', '2024-03-11 13:00Z', 'the next opening'),
	('office', '2024-01-19 16:00', '2 h', 'close', '2024-01-22 10:00', 'Friday'),
	('office', '2024-01-17 07:00', '2 h', 'close', '2024-01-17 11:00', 'before opening'),
	('office', '2024-01-17 18:00', '2 h', 'close', '2024-01-18 11:00', 'after closing'),
	('office', '2024-01-20 10:00', '2 h', 'close', '2024-01-22 11:00', 'Saturday'),
	('office', '2024-01-15 16:00', '10 h', 'close', '2024-01-17 10:00', 'over a whole day'),
	('always', '2024-01-20 00:00', '24 h', 'close', '2024-01-21 00:00', 'always open'),
	('always', '2024-01-20 00:00', '1 day', 'open', '2024-01-21 00:00', 'a day counts 24 hours'),
	('always', '2024-01-20 00:00', '-1 day', 'close', '2024-01-19 00:00', 'and back'),
	('saturday', '2024-01-20 00:00', '24 h', 'close', '2024-01-21 00:00', 'open all day'),
	('saturday', '2024-01-20 00:00', '24 h', 'open', '2024-01-27 00:00', 'and only then'),
	('closed', '2024-01-20 10:00', '2 h', 'close', '2024-01-20 12:00', 'the wall clock, where that is asked for'),
	('two-offices', '2024-01-15 16:00', '12 h', 'close', '2024-01-16 20:00', 'unequal days'),
	('lunch', '2026-11-18 11:00', '1 h', 'close', '2026-11-18 12:00', 'to noon'),
	('lunch', '2026-11-18 11:00', '1 h', 'open', '2026-11-18 13:00', 'to after noon'),
	('berlin-day', '2013-03-21 09:30Z', '60 min', 'open', '2013-03-21 10:30Z', 'an hour'),
	('berlin-day', '2013-03-21 09:30Z', '120 min', 'open', '2013-03-21 11:30Z', 'two'),
	('berlin-day', '2013-03-21 09:30Z', '180 min', 'open', '2013-03-21 12:30Z', 'three'),
	('berlin-november', '2016-11-01 13:56:21Z', '120 min', 'open', '2016-11-02 09:00Z', 'from a holiday'),
	('berlin-november', '2016-11-01 13:56:21Z', '1200 min', 'open', '2016-11-03 15:00Z', 'from a holiday, two days'),
	('berlin-november', '2016-11-07 13:26:36Z', '1200 min', 'open', '2016-11-09 09:26:36Z', 'to the second'),
	('berlin-september', '2015-09-21 14:30Z', '120 min', 'open', '2015-09-23 08:30Z', 'over a holiday'),
	('berlin-september', '2015-09-21 14:30Z', '240 min', 'open', '2015-09-23 10:30Z', 'over a holiday'),
	('ny-130-3', '2024-11-03 00:00', '1 h', NULL, '2024-11-03 06:30Z', 'to the second half past one'),
	('ny-130-3', '2024-11-03 00:00', '30 min', NULL, '2024-11-03 06:00Z', 'to the change'),
	('ny-130-3', '2024-03-10 00:00', '30 min', NULL, '2024-03-10 07:00Z', 'to the change'),
	('ny-130-3', '2024-03-10 00:00', '30 min', 'open', '2024-03-17 01:30', 'which is the end'),
	('sao-paulo', '2015-10-17 22:00', '2 h', NULL, '2015-10-18 01:00', 'a midnight that does not exist'),
	('apia', '2011-12-29 23:00', '1 h', NULL, '2011-12-31 00:00', 'the end of 29 December'),
	('nights', '2026-12-24 23:00', '7 h', 'close', '2026-12-25 06:00', 'to the end of a night'),
	('nights', '2026-12-24 23:00', '7 h', 'open', '2026-12-28 22:00', 'over a holiday and a weekend'),
	('fine', '2026-11-16 00:00', '1.5 s', 'close', '2026-11-16 09:00:02.499997', 'microseconds'),
	('fine', '2026-11-16 00:00', '0.000003 s', 'close', '2026-11-16 09:00:00.000004', 'the end of the first'),
	('fine', '2026-11-16 00:00', '0.000003 s', 'open', '2026-11-16 09:00:01', 'the start of the second'),
	('fine', '2026-11-17 00:00', '-1.5 s', NULL, '2026-11-16 09:00:01', 'and back'),
	('office', '1990-01-01 00:00', '100192 h', 'close', '2037-12-31 17:00', '48 years'),
	('office', '2038-01-01 00:00', '-100192 h', 'close', '1990-01-01 09:00', 'and back')
) AS given (calendar, from_ts, amount, at_close, wanted, what);

-- From Tuesday 00:00 back by nothing is Monday 17:00 elsewhere. Here nothing changes nothing, and Monday 17:00 is the
-- first instant since which nothing has passed.
SELECT is(pg_temp.due('week', '2006-01-03 00:00', '-0 h'), '2006-01-03Z', 'nothing, written as less than that');
SELECT is(pg_temp.elapsed('week', '2006-01-02 17:00', '2006-01-03 00:00') || ' ' || pg_temp.elapsed('week', '2006-01-02 16:59:59.999999', '2006-01-03 00:00'),
	'00:00:00 00:00:00.000001', 'since Monday 17:00 nothing has passed');

/*
 * Open or not
 */

SELECT is(pg_temp.open(calendar, moment), wanted, format('%s at %s', calendar, moment))
FROM (VALUES
	('office', '2024-01-19 08:59:59.999999', false), ('office', '2024-01-19 09:00', true), ('office', '2024-01-19 16:59', true),
	('office', '2024-01-19 16:59:59.999999', true), ('office', '2024-01-19 17:00', false), ('office', '2024-01-20 12:00', false),
	('lunch', '2026-11-18 12:00', false), ('lunch', '2026-11-18 13:00', true),
	('broken', '2006-01-02 10:00', false), ('broken', '2006-01-02 11:30', true), ('broken', '2006-01-09 10:00', true),
	('shifted', '2026-12-24 09:00', false), ('shifted', '2026-12-24 14:00', true), ('shifted', '2026-12-24 12:00', false),
	('berlin', '2015-12-24 10:00', false), ('berlin', '2015-12-23 10:00', true), ('berlin', '2015-12-23 17:00Z', false), ('berlin', '2015-12-23 16:59Z', true),
	('nights', '2026-12-25 05:59:59', true), ('nights', '2026-12-25 06:00', false), ('nights', '2026-12-25 22:00', false),
	('ny-1-130', '2024-11-03 05:00Z', true), ('ny-1-130', '2024-11-03 06:00Z', false), ('ny-1-130', '2024-11-03 06:15Z', false),
	('ny-2-3', '2024-03-10 07:00Z', false), ('ny-gap', '2024-03-10 07:44:59Z', true), ('ny-gap', '2024-03-10 07:45Z', false),
	('midnight', '2026-11-16 00:00', true), ('midnight', '2026-11-17 00:00', false), ('round', '2026-11-17 08:59', true), ('round', '2026-11-17 09:00', false)
) AS given (calendar, moment, wanted);

/*
 * Business days: the same local time, on a date with open hours
 */

SELECT is(hotdash.business_days_add('tap-' || calendar, pg_temp.at(calendar, from_ts), days), pg_temp.at(calendar, wanted), format('%s days after %s: %s', days, from_ts, what))
FROM (VALUES
	('week', '2006-01-03 08:00', 2, '2006-01-05 08:00', 'the same time'),
	('week', '2006-01-03 18:00', 2, '2006-01-05 18:00', 'closed or not'),
	('week', '2006-01-03 18:00', 0, '2006-01-03 18:00', 'none'),
	('week', '2006-01-07 10:00', 1, '2006-01-09 10:00', 'no Sunday'),
	('week', '2006-01-08 10:00', 1, '2006-01-09 10:00', 'from a Sunday'),
	('week', '2006-01-09 10:00', -1, '2006-01-07 10:00', 'back'),
	('week', '2006-01-09 10:00', -6, '2006-01-02 10:00', 'back a week'),
	('office', '2024-01-19 23:59:59.999999', 1, '2024-01-22 23:59:59.999999', 'to the microsecond'),
	('office', '2024-01-19 12:00', 261, '2025-01-20 12:00', 'a year'),
	('berlin', '2015-12-23 10:00', 1, '2015-12-28 10:00', 'holidays'),
	('berlin', '2016-03-25 10:00', 1, '2016-03-28 08:00Z', 'the same local time after a change of the clock'),
	('new-york-always', '2024-03-09 02:30', 1, '2024-03-10 07:30Z', 'a local time that does not exist is moved forward'),
	('new-york-always', '2024-11-02 01:30', 1, '2024-11-03 05:30Z', 'the first of two'),
	('apia', '2011-12-29 10:00', 1, '2011-12-31 10:00', 'a date that is not there'),
	('apia', '2011-12-31 10:00', -1, '2011-12-29 10:00', 'nor on the way back')
) AS given (calendar, from_ts, days, wanted, what);

-- With the opening after it, what others mean by two days later
SELECT is(hotdash.business_time_add('tap-week', hotdash.business_days_add('tap-week', '2006-01-03 08:00Z', 2), '0', 'open'), '2006-01-05 10:00Z', 'two days after Tuesday 08:00');
SELECT is(hotdash.business_time_add('tap-week', hotdash.business_days_add('tap-week', '2006-01-03 18:00Z', 2), '0', 'open'), '2006-01-06 09:00Z', 'two days after Tuesday 18:00');

/*
 * What is refused
 */

SELECT throws_ok(format('SELECT hotdash.calendar_set(%L, %L)', 'tap-refused', definition), '22023', NULL, what)
FROM (VALUES
	('{"time_zone": "Mars/Olympus", "hours": {"mon": [["09:00", "17:00"]]}}', 'an unknown zone'),
	('{"time_zone": "", "hours": {"mon": [["09:00", "17:00"]]}}', 'no name of a zone'),
	('{"time_zone": "XYZ-3:30", "hours": {"mon": [["09:00", "17:00"]]}}', 'an offset as a zone'),
	('{"time_zone": 3, "hours": {"mon": [["09:00", "17:00"]]}}', 'a number as a zone'),
	('{"hours": {"mon": [["09:00", "17:00"]]}}', 'no zone'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "12:00"], ["11:59", "17:00"]]}}', 'overlapping intervals'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "12:00"], ["09:00", "12:00"]]}}', 'an interval twice'),
	('{"time_zone": "UTC", "hours": {"mon": [["22:00", "06:00"]], "tue": [["05:00", "09:00"]]}}', 'a night that overlaps with the next day'),
	('{"time_zone": "UTC", "hours": {"sun": [["22:00", "06:00"]], "mon": [["05:59", "09:00"]]}}', 'a night that overlaps with the next week'),
	('{"time_zone": "UTC", "hours": {"mon": [["17:00", "09:00"], ["18:00", "20:00"]]}}', 'a reversed interval, which is a night, that overlaps'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "24:01"]]}}', 'a time past 24:00'),
	('{"time_zone": "UTC", "hours": {"mon": [["24:30", "25:00"]]}}', 'two of them'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:60"]]}}', 'no minute'),
	('{"time_zone": "UTC", "hours": {"mon": [["9", "17"]]}}', 'no times'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00"]]}}', 'no end'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "12:00", "17:00"]]}}', 'three times'),
	('{"time_zone": "UTC", "hours": {"mon": ["09:00", "17:00"]}}', 'no list of intervals'),
	('{"time_zone": "UTC", "hours": {"mon": [[9, 17]]}}', 'numbers as times'),
	('{"time_zone": "UTC", "hours": {"monday": [["09:00", "17:00"]]}}', 'an unknown day'),
	('{"time_zone": "UTC", "hours": []}', 'hours that are a list'),
	('{"time_zone": "UTC", "hours": {}}', 'no hours'),
	('{"time_zone": "UTC"}', 'no hours at all'),
	('{"time_zone": "UTC", "hours": {"mon": [], "tue": []}}', 'empty days'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "holidays": ["2026-02-29"]}', 'a date that does not exist'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "holidays": ["tomorrow"]}', 'no date'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "holidays": {"2026-12-25": true}}', 'holidays that are no list'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "shifts": {"2026-13-01": [["09:00", "17:00"]]}}', 'a shift of a date that does not exist'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "shifts": {"2026-12-01": [["09:00", "17:00"], ["16:00", "18:00"]]}}', 'overlapping shifts'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "breaks": {"2026-12-01": [["09:00", "25:00"]]}}', 'a break past 24:00'),
	('{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}, "hollidays": []}', 'an unknown key'),
	('[]', 'no object'), ('null', 'nothing')
) AS given (definition, what);

SELECT throws_ok($$SELECT hotdash.calendar_set(NULL, '{}')$$, '22004', NULL, 'no name');
SELECT throws_ok($$SELECT hotdash.calendar_set('tap-refused', NULL)$$, '22004', NULL, 'no definition');
SELECT throws_ok($$SELECT hotdash.calendar_set('', '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}}')$$, '22023', NULL, 'an empty name');
SELECT throws_ok($$SELECT hotdash.business_open('tap-refused', '2026-01-01Z')$$, '42704', NULL, 'nothing of what was refused is there');

SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', '2026-01-01Z', '1 month')$$, '22023', NULL, 'a month is no amount');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', '2026-01-01Z', '-1 year')$$, '22023', NULL, 'nor is a year');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', '2026-01-01Z', '1 h', 'noon')$$, '22023', NULL, 'an unknown rule');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', '2026-01-01Z', '1 h', '')$$, '22023', NULL, 'an empty rule');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-none', '2026-01-01Z', '1 h')$$, '42704', NULL, 'add: an unknown calendar');
SELECT throws_ok($$SELECT hotdash.business_time_between('tap-none', '2026-01-01Z', '2026-01-02Z')$$, '42704', NULL, 'between: an unknown calendar');
SELECT throws_ok($$SELECT hotdash.business_days_add('tap-none', '2026-01-01Z', 1)$$, '42704', NULL, 'days: an unknown calendar');
SELECT throws_ok($$SELECT hotdash.business_time_between(NULL, '2026-01-01Z', '2026-01-02Z')$$, '22004', NULL, 'no calendar');
SELECT throws_ok($$SELECT hotdash.business_time_between('tap-office', NULL, '2026-01-02Z')$$, '22004', NULL, 'no start');
SELECT throws_ok($$SELECT hotdash.business_time_between('tap-office', '2026-01-02Z', NULL)$$, '22004', NULL, 'no end');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', NULL, '1 h')$$, '22004', NULL, 'add: no start');
SELECT throws_ok($$SELECT hotdash.business_time_add('tap-office', '2026-01-02Z', NULL)$$, '22004', NULL, 'no amount');
SELECT throws_ok($$SELECT hotdash.business_open('tap-office', NULL)$$, '22004', NULL, 'open: when?');
SELECT throws_ok($$SELECT hotdash.business_days_add('tap-office', '2026-01-02Z', NULL)$$, '22004', NULL, 'how many days?');

SELECT * FROM finish();
ROLLBACK;
