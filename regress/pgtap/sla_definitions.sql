-- Definitions of calendars: what is no definition is refused with the place, the reason and a hint, and changes nothing;
-- what is stored is what was given.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SELECT plan(112);

-- SQLSTATE, place, detail of what a definition is refused with, or nothing.
CREATE FUNCTION pg_temp.refusal(definition jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	PERFORM hotdash.calendar_set('tap-refused', definition);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
	RETURN concat_ws(' ', state, coalesce(substring(message FROM '"(.*)"$'), message) || ':', detail, CASE WHEN hint = '' THEN '(no hint)' END);
END
$$;

CREATE FUNCTION pg_temp.with_part(part jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]]}}'::jsonb || part
$$;

CREATE FUNCTION pg_temp.with_monday(intervals text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT pg_temp.with_part(jsonb_build_object('hours', jsonb_build_object('mon', intervals::jsonb)))
$$;

/*
 * What is refused
 */

SELECT is(pg_temp.refusal(d), r, what) FROM (VALUES
	('no object', '[]'::jsonb, '22023 invalid definition of a calendar: It is an object.'),
	('a scalar', '1', '22023 invalid definition of a calendar: It is an object.'),
	('null', 'null', '22023 invalid definition of a calendar: It is an object.'),
	('nothing', '{}', '22023 invalid definition of a calendar: It has no time_zone.'),
	('no zone', '{"hours": {"mon": [["09:00", "17:00"]]}}', '22023 invalid definition of a calendar: It has no time_zone.'),
	('an unknown zone', pg_temp.with_part('{"time_zone": "Europe/Atlantis"}'), '22023 time_zone: There is no time zone "Europe/Atlantis".'),
	('a rule instead of a zone', pg_temp.with_part('{"time_zone": "Europe/Berlin1"}'), '22023 time_zone: There is no time zone "Europe/Berlin1".'),
	('another', pg_temp.with_part('{"time_zone": "CET-1CEST"}'), '22023 time_zone: There is no time zone "CET-1CEST".'),
	('a zone with leap seconds or none', pg_temp.with_part('{"time_zone": "right/UTC"}'), '22023 time_zone: There is no time zone "right/UTC".'),
	('no name of a zone', pg_temp.with_part('{"time_zone": 1}'), '22023 time_zone: It is the name of a time zone.'),
	('an empty one', pg_temp.with_part('{"time_zone": ""}'), '22023 time_zone: There is no time zone "".'),
	('an unknown key', pg_temp.with_part('{"hour": {}}'), '22023 hour: A calendar has no such key.'),
	('hours that are no object', pg_temp.with_part('{"hours": []}'), '22023 hours: Hours are an object with a list of intervals for each weekday.'),
	('an unknown day', pg_temp.with_part('{"hours": {"monday": []}}'), '22023 hours.monday: There is no such day.'),
	('a day in capitals', pg_temp.with_part('{"hours": {"Mon": []}}'), '22023 hours.Mon: There is no such day.'),
	('no list', pg_temp.with_monday('"09:00"'), '22023 hours.mon: This is no list of intervals.'),
	('no lists in it', pg_temp.with_monday('["09:00", "17:00"]'), '22023 hours.mon[0]: An interval has a start and an end.'),
	('a third', pg_temp.with_monday('[["09:00", "17:00", "18:00"]]'), '22023 hours.mon[0]: An interval has a start and an end.'),
	('no end', pg_temp.with_monday('[["09:00", "12:00"], ["13:00"]]'), '22023 hours.mon[1]: An interval has a start and an end.'),
	('no string', pg_temp.with_monday('[[9, "17:00"]]'), '22023 hours.mon[0][0]: This is no time of a day.'),
	('one digit', pg_temp.with_monday('[["9:00", "17:00"]]'), '22023 hours.mon[0][0]: This is no time of a day.'),
	('sixty minutes', pg_temp.with_monday('[["09:00", "16:60"]]'), '22023 hours.mon[0][1]: This is no time of a day.'),
	('sixty seconds', pg_temp.with_monday('[["09:00", "16:59:60"]]'), '22023 hours.mon[0][1]: This is no time of a day.'),
	('a point and nothing', pg_temp.with_monday('[["09:00", "16:59:59."]]'), '22023 hours.mon[0][1]: This is no time of a day.'),
	('seven digits', pg_temp.with_monday('[["09:00", "16:59:59.1234567"]]'), '22023 hours.mon[0][1]: This is no time of a day.'),
	('a sign', pg_temp.with_monday('[["-9:00", "17:00"]]'), '22023 hours.mon[0][0]: This is no time of a day.'),
	('something behind', pg_temp.with_monday('[["09:00pm", "17:00"]]'), '22023 hours.mon[0][0]: This is no time of a day.'),
	('past the end of the day', pg_temp.with_monday('[["09:00", "24:01"]]'), '22023 hours.mon[0][1]: A day ends at 24:00.'),
	('by a microsecond', pg_temp.with_monday('[["09:00", "24:00:00.000001"]]'), '22023 hours.mon[0][1]: A day ends at 24:00.'),
	('and far', pg_temp.with_monday('[["09:00", "99:00"]]'), '22023 hours.mon[0][1]: A day ends at 24:00.'),
	('a start at 24:00', pg_temp.with_monday('[["24:00", "01:00"]]'), '22023 hours.mon[0][0]: No interval starts at the end of a day.'),
	('an overlap', pg_temp.with_monday('[["09:00", "12:00"], ["11:59:59.999999", "17:00"]]'), '22023 hours.mon[1]: It overlaps with interval [0] of the list.'),
	('in another order', pg_temp.with_monday('[["11:00", "17:00"], ["09:00", "12:00"]]'), '22023 hours.mon[0]: It overlaps with interval [1] of the list.'),
	('twice the same', pg_temp.with_monday('[["09:00", "12:00"], ["09:00", "12:00"]]'), '22023 hours.mon[1]: It overlaps with interval [0] of the list.'),
	('a night before the evening', pg_temp.with_monday('[["20:00", "02:00"], ["23:00", "24:00"]]'), '22023 hours.mon[1]: It overlaps with interval [0] of the list.'),
	('a night into the next morning', pg_temp.with_part('{"hours": {"mon": [["22:00", "06:00"]], "tue": [["05:59", "12:00"]]}}'), '22023 hours.mon: Its last interval runs into the hours of tue.'),
	('from Sunday to Monday', pg_temp.with_part('{"hours": {"mon": [["00:00", "12:00"]], "sun": [["22:00", "00:01"]]}}'), '22023 hours.sun: Its last interval runs into the hours of mon.'),
	('holidays that are no list', pg_temp.with_part('{"holidays": {}}'), '22023 holidays: Holidays are a list.'),
	('a number as a date', pg_temp.with_part('{"holidays": [20261225]}'), '22023 holidays[0]: A holiday is a date, or an object that has one.'),
	('another way to write it', pg_temp.with_part('{"holidays": ["2026-12-24", "25.12.2026"]}'), '22023 holidays[1]: There is no such date.'),
	('one that does not exist', pg_temp.with_part('{"holidays": ["2026-02-29"]}'), '22023 holidays[0]: There is no such date.'),
	('a month too many', pg_temp.with_part('{"holidays": ["2026-13-01"]}'), '22023 holidays[0]: There is no such date.'),
	('no day', pg_temp.with_part('{"holidays": ["2026-12-00"]}'), '22023 holidays[0]: There is no such date.'),
	('before calendars', pg_temp.with_part('{"holidays": ["1799-12-31"]}'), '22023 holidays[0]: There is no such date.'),
	('and after', pg_temp.with_part('{"holidays": ["2400-01-01"]}'), '22023 holidays[0]: There is no such date.'),
	('a holiday twice', pg_temp.with_part('{"holidays": ["2026-12-25", "2026-01-01", {"date": "2026-12-25", "name": "Christmas"}]}'), '22023 holidays[2]: The list has this date already.'),
	('a yearly one twice', pg_temp.with_part('{"holidays": [{"date": "12-25", "yearly": true}, {"date": "12-25", "yearly": true}]}'), '22023 holidays[1]: The list has this day already.'),
	('a yearly one with its year', pg_temp.with_part('{"holidays": [{"date": "2026-12-25", "yearly": true}]}'), '22023 holidays[0]: There is no such day of a year.'),
	('a yearly one that never comes', pg_temp.with_part('{"holidays": [{"date": "02-30", "yearly": true}]}'), '22023 holidays[0]: There is no such day of a year.'),
	('a day without its year', pg_temp.with_part('{"holidays": [{"date": "12-25"}]}'), '22023 holidays[0]: There is no such date.'),
	('no date', pg_temp.with_part('{"holidays": [{"name": "Christmas"}]}'), '22023 holidays[0]: A holiday is a date, or an object that has one.'),
	('an unknown key of a holiday', pg_temp.with_part('{"holidays": [{"date": "2026-12-25", "half": true}]}'), '22023 holidays[0].half: A holiday has no such key.'),
	('yearly, perhaps', pg_temp.with_part('{"holidays": [{"date": "12-25", "yearly": "yes"}]}'), '22023 holidays[0].yearly: It is true or false. (no hint)'),
	('a name that is none', pg_temp.with_part('{"holidays": [{"date": "2026-12-25", "name": 7}]}'), '22023 holidays[0].name: A name is a string of 1 to 255 bytes. (no hint)'),
	('shifts that are no object', pg_temp.with_part('{"shifts": []}'), '22023 shifts: It is an object with a list of intervals for each date.'),
	('a shift of no date', pg_temp.with_part('{"shifts": {"christmas": []}}'), '22023 shifts.christmas: There is no such date.'),
	('a shift that overlaps', pg_temp.with_part('{"shifts": {"2026-12-24": [["09:00", "12:00"], ["10:00", "11:00"]]}}'), '22023 shifts.2026-12-24[1]: It overlaps with interval [0] of the list.'),
	('a break without an end', pg_temp.with_part('{"breaks": {"2026-12-24": [["09:00"]]}}'), '22023 breaks.2026-12-24[0]: An interval has a start and an end.'),
	('a break of no date', pg_temp.with_part('{"breaks": {"2026-11-31": [["09:00", "10:00"]]}}'), '22023 breaks.2026-11-31: There is no such date.'),
	('breaks that overlap', pg_temp.with_part('{"breaks": {"2026-12-24": [["09:00", "10:00"], ["09:30", "09:40"]]}}'), '22023 breaks.2026-12-24[1]: It overlaps with interval [0] of the list.'),
	('from when', pg_temp.with_part('{"from": "tomorrow"}'), '22023 from: There is no such date.'),
	('from a number', pg_temp.with_part('{"from": 2026}'), '22023 from: It is a date.'),
	('empty how', pg_temp.with_part('{"when_empty": "closed"}'), '22023 when_empty: What a calendar without open time may be is "wall_clock".'),
	('no open time', '{"time_zone": "UTC"}', '22023 invalid definition of a calendar: It has no open time.'),
	('none in hours', '{"time_zone": "UTC", "hours": {"mon": []}}', '22023 invalid definition of a calendar: It has no open time.'),
	('none but on a holiday', '{"time_zone": "UTC", "shifts": {"2026-12-24": [["09:00", "12:00"]]}, "holidays": ["2026-12-24"]}', '22023 invalid definition of a calendar: It has no open time.'),
	('none but on a date that was skipped', '{"time_zone": "Pacific/Apia", "shifts": {"2011-12-30": [["09:00", "12:00"]]}}', '22023 invalid definition of a calendar: It has no open time.'),
	('none but in a gap', '{"time_zone": "America/New_York", "shifts": {"2024-03-10": [["02:00", "03:00"]]}}', '22023 invalid definition of a calendar: It has no open time.'),
	('none that a break leaves', '{"time_zone": "UTC", "shifts": {"2026-12-24": [["09:00", "12:00"]]}, "breaks": {"2026-12-24": [["08:00", "12:00"]]}}', '22023 invalid definition of a calendar: It has no open time.')
) AS v (what, d, r);

SELECT is(pg_temp.refusal(pg_temp.with_part(jsonb_build_object('holidays', (SELECT jsonb_agg((date '1900-01-01' + i)::text) FROM generate_series(1, 50001) AS i)))),
	'54000 definition of a calendar is too large: It has more than 50000 holidays, shifts and breaks. (no hint)', 'too many dates');
SELECT is(pg_temp.refusal(pg_temp.with_part(jsonb_build_object('holidays', (SELECT jsonb_agg(jsonb_build_object('date', (date '1900-01-01' + i)::text, 'name', repeat('n', 255))) FROM generate_series(1, 20000) AS i)))),
	'54000 definition of a calendar is too large: It has more than 4 MB. (no hint)', 'too many bytes');
SELECT is(pg_temp.refusal(pg_temp.with_part(jsonb_build_object('hours', jsonb_build_object('tue',
	(SELECT jsonb_agg(jsonb_build_array(to_char(time '00:00' + i * interval '20 min', 'HH24:MI'), to_char(time '00:10' + i * interval '20 min', 'HH24:MI'))) FROM generate_series(0, 48) AS i))))),
	'22023 hours.tue: A date has at most 48 intervals. (no hint)', 'too many intervals');
SELECT is(pg_temp.refusal((repeat('[', 2000) || repeat(']', 2000))::jsonb), '22023 invalid definition of a calendar: It is an object.', 'deep');
SELECT is(pg_temp.refusal(pg_temp.with_part(jsonb_build_object('hours', (repeat('[', 2000) || repeat(']', 2000))::jsonb))),
	'22023 hours: Hours are an object with a list of intervals for each weekday.', 'and deep within');
SELECT is_empty($$SELECT FROM hotdash.calendars WHERE name = 'tap-refused'$$, 'what was refused is not there');

SELECT throws_ok($$SELECT hotdash.calendar_set(NULL, '{}')$$, '22004', 'argument "name" must not be null', 'no name');
SELECT throws_ok($$SELECT hotdash.calendar_set('c', NULL)$$, '22004', 'argument "definition" must not be null', 'no definition');
SELECT throws_ok(format('SELECT hotdash.calendar_set(%L, %L)', n, pg_temp.with_part('{}')), '22023', 'invalid name of a calendar', 'a name that is none')
FROM (VALUES (''), (repeat('n', 64)), (E'a\tb')) AS v (n);

/*
 * What is taken, as it is given
 */

SELECT is(pg_temp.refusal('{"time_zone": "UTC", "when_empty": "wall_clock"}'), NULL, 'always open when that is asked for');
SELECT is(hotdash.business_time_between('tap-refused', '2026-01-01Z', '2027-01-01Z'), interval '8760 hours', 'it is the wall clock');
CREATE TEMPORARY TABLE given AS SELECT '{"time_zone": "europe/berlin",
	"hours": {"mon": [["13:00", "17:00:00.5"], ["09:00", "12:00"]], "sat": [["22:00", "00:00"]], "sun": [["00:00", "24:00"]], "tue": []},
	"holidays": ["2026-12-26", {"date": "2026-12-25", "name": "Christmas"}, {"date": "01-01", "yearly": true, "name": "New Year"}, {"date": "02-29", "yearly": true}],
	"shifts": {"2026-12-24": [["09:00", "12:00"]], "2026-12-28": []}, "breaks": {"2026-12-21": [["12:00", "14:00"]]}}'::jsonb AS definition;
SELECT lives_ok('SELECT hotdash.calendar_set(''tap-given'', definition) FROM given', 'all that a definition may say');
SELECT is(c.definition, g.definition, 'it is stored as it was given') FROM hotdash.calendars AS c, given AS g WHERE c.name = 'tap-given';
SELECT is((SELECT string_agg(concat_ws(' ', d.day, d.rule, d.note, to_char(d.opens AT TIME ZONE 'Europe/Berlin', 'HH24:MI'), to_char(d.closes AT TIME ZONE 'Europe/Berlin', 'HH24:MI:SS.MS')), ', ' ORDER BY d.day, d.opens)
		FROM hotdash._calendar AS c, hotdash._business_days(c.id, c.version, '2026-12-20 23:00Z', '2027-01-02 23:00Z') AS d WHERE c.name = 'tap-given'),
	'2026-12-21 hours mon 09:00 12:00:00.000, 2026-12-21 break 12:00 14:00:00.000, 2026-12-21 hours mon 14:00 17:00:00.500, '
	'2026-12-22 closed tue, 2026-12-23 closed wed, 2026-12-24 shift 09:00 12:00:00.000, 2026-12-25 holiday Christmas, 2026-12-26 holiday, '
	'2026-12-27 hours sun 00:00 00:00:00.000, 2026-12-28 shift, 2026-12-29 closed tue, 2026-12-30 closed wed, 2026-12-31 closed thu, '
	'2027-01-01 holiday New Year, 2027-01-02 hours sat 22:00 00:00:00.000', 'and told day by day');
SELECT is((SELECT sum(d.closes - d.opens) FROM hotdash._calendar AS c, hotdash._business_days(c.id, c.version, '2026-12-20 23:00Z', '2027-01-02 23:00Z') AS d
		WHERE c.name = 'tap-given' AND d.rule <> 'break'),
	hotdash.business_time_between('tap-given', '2026-12-20 23:00Z', '2027-01-02 23:00Z'), 'whose sum is the time between');
SELECT is(pg_temp.refusal(pg_temp.with_monday('[["10:00", "10:00"]]')), NULL, 'an interval that ends when it starts');
SELECT is(hotdash.business_time_between('tap-refused', '2026-01-01Z', '2026-01-08Z'), interval '24 hours', 'runs into the next day');
SELECT is(pg_temp.refusal(pg_temp.with_part(jsonb_build_object('holidays', (SELECT jsonb_agg((date '1900-01-01' + i * 2)::text) FROM generate_series(1, 20000) AS i)))), NULL, '20000 holidays');

/*
 * Versions
 */

SELECT is((SELECT array_agg(v.version ORDER BY v.version) FROM hotdash._calendar_version AS v JOIN hotdash._calendar AS c ON c.id = v.calendar WHERE c.name = 'tap-given'),
	'{1}', 'one version');
SELECT is((SELECT version FROM hotdash.calendars WHERE name = 'tap-refused'), 3, 'three of another');
SELECT lives_ok('SELECT hotdash.calendar_delete(''tap-given'')', 'a calendar is deleted');
SELECT throws_ok($$SELECT hotdash.business_open('tap-given', now())$$, '42704', 'calendar "tap-given" does not exist', 'and is not there');
SELECT throws_ok($$SELECT hotdash.calendar_delete('tap-given')$$, '42704', 'calendar "tap-given" does not exist', 'nor to be deleted again');

/*
 * Epochs: kept by versions that are open at the same times up to an hour from now
 */

SET LOCAL hotdash.now_override = '2026-06-01 12:00:00+00';	-- a Monday
CREATE FUNCTION pg_temp.epoch_after(part jsonb) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hotdash.calendar_set('tap-epoch', '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]], "tue": [["09:00", "17:00"]]}}'::jsonb || part);
	RETURN (SELECT c.epoch FROM hotdash._calendar AS c WHERE c.name = 'tap-epoch');
END
$$;
CREATE TEMPORARY TABLE made AS SELECT pg_temp.epoch_after('{}') AS epoch;
CREATE TEMPORARY TABLE first AS SELECT epoch, hotdash._business_at(epoch * 2, '2026-06-01 12:00Z') AS b FROM made;
SELECT is(pg_temp.epoch_after(part) = epoch, same, what) FROM first, (VALUES
	('said in another way', '{"hours": {"mon": [["12:00", "17:00"], ["09:00", "12:00"]], "tue": [["09:00", "17:00"]]}}'::jsonb, true),
	('a holiday tomorrow', '{"holidays": ["2026-06-02"]}', true),
	('a holiday that was closed', '{"holidays": ["2026-05-31", "1999-12-31"]}', true),
	('the zone of the same time', '{"time_zone": "Etc/UTC"}', true),
	('from tomorrow on', '{"time_zone": "Asia/Tokyo", "from": "2026-06-03"}', true),
	('and from another day', '{"time_zone": "Asia/Tokyo", "from": "2026-06-10"}', true),
	('today, but later', '{"shifts": {"2026-06-01": [["09:00", "13:00"]]}}', true),
	('as it was', '{}', true),
	('within the hour', '{"shifts": {"2026-06-01": [["09:00", "12:59:59.999999"]]}}', false)
) AS v (what, part, same);
SELECT is(hotdash._business_at(epoch * 2, '2026-06-01 12:00Z'), b, 'points of the first epoch mean what they meant') FROM first;
TRUNCATE made;
INSERT INTO made SELECT pg_temp.epoch_after('{}');
INSERT INTO made SELECT pg_temp.epoch_after('{"holidays": ["1850-01-07"]}');
SELECT is((SELECT count(DISTINCT epoch) FROM made), 2::bigint, 'long ago is past too');
SELECT is(hotdash._business_at(m.epoch * 2, '2026-06-01 12:00Z'), b, 'but all count from 2000') FROM first AS f, made AS m;
SELECT is(array_agg(DISTINCT e.calendar) = ARRAY[min(c.id)], true, 'each epoch is of one calendar')
FROM hotdash._calendar AS c JOIN hotdash._calendar_version AS v ON v.calendar = c.id JOIN hotdash._calendar_epoch AS e ON e.id = v.epoch WHERE c.name = 'tap-epoch';

-- Parts of time.
SELECT hotdash.calendar_set('tap-parts', '{"time_zone": "UTC", "hours": {"mon": [["09:00", "10:00"]]}, "from": "2020-01-01"}') \g /dev/null
SELECT is(hotdash.business_time_between('tap-parts', '2018-12-31Z', '2019-01-07Z'), interval '1 hour', 'the first version governs all time');
SELECT hotdash.calendar_set('tap-parts', '{"time_zone": "UTC", "hours": {"mon": [["22:00", "02:00"]]}, "from": "2026-01-05"}') \g /dev/null
SELECT hotdash.calendar_set('tap-parts', '{"time_zone": "UTC", "hours": {"tue": [["00:00", "05:00"]]}, "from": "2026-01-13"}') \g /dev/null
SELECT is(hotdash.business_time_between('tap-parts', f::timestamptz, t::timestamptz), i::interval, what) FROM (VALUES
	('2025-12-29Z', '2026-01-05Z', '1 hour', 'before the first part'),
	('2026-01-05Z', '2026-01-12Z', '4 hours', 'in it'),
	('2026-01-12Z', '2026-01-19Z', '7 hours', 'its last night runs into the next part, and counts once')
) AS v (f, t, i, what);

SELECT * FROM finish();
ROLLBACK;
