-- Schedules: cron expressions, what is refused, changes of the clock, and what a tick makes of times that
-- have come. Rolls back; needs preload. The clock stands still and is moved by hand.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();
SET LOCAL TimeZone = 'UTC';
SET LOCAL hotdash.now_override = '2030-01-01 00:00:30+00';

SELECT hotdash.queue_set('tap') \g /dev/null
SELECT hotdash.queue_set('tap2') \g /dev/null
SELECT hotdash.job_kind_set('tap', queue => 'tap') \g /dev/null
SELECT hotdash.job_kind_set('doomed', queue => 'tap') \g /dev/null

-- Two queries give the same rows in the same order, whatever their collations.
CREATE FUNCTION pg_temp.rows_are(have text, want text, description text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	have_rows text;
	want_rows text;
BEGIN
	EXECUTE format('SELECT string_agg(q::text, chr(10)) FROM (%s) AS q', have) INTO have_rows;
	EXECUTE format('SELECT string_agg(q::text, chr(10)) FROM (%s) AS q', want) INTO want_rows;
	RETURN is(have_rows, want_rows, description);
END
$$;

/*
 * Expressions: the next times, in UTC
 */

CREATE FUNCTION pg_temp.times(cron text, after text, n int, zone text DEFAULT 'UTC') RETURNS text
	LANGUAGE sql STABLE AS $$
	SELECT string_agg(to_char(at AT TIME ZONE zone, 'YYYY-MM-DD HH24:MI:SS'), ', ' ORDER BY at)
	FROM hotdash._cron_next(cron, zone, after::timestamp AT TIME ZONE zone, n) AS at
$$;

SELECT is(pg_temp.times(cron, after, n), want, format('%s after %s', cron, after)) FROM (VALUES
	('* * * * *', '2030-01-01 00:00:00', 2, '2030-01-01 00:01:00, 2030-01-01 00:02:00'),
	('* * * * *', '2030-01-01 00:00:59.999999', 1, '2030-01-01 00:01:00'),
	('* * * * * *', '2030-01-01 00:00:00.5', 2, '2030-01-01 00:00:01, 2030-01-01 00:00:02'),
	('*/20 * * * * *', '2030-01-01 00:00:00', 3, '2030-01-01 00:00:20, 2030-01-01 00:00:40, 2030-01-01 00:01:00'),
	('30 15 10 * * *', '2030-01-01 00:00:00', 1, '2030-01-01 10:15:30'),
	('0 9 * * 1-5', '2030-01-04 09:00:00', 1, '2030-01-07 09:00:00'),
	('0 9 * * mon-FRI', '2030-01-04 09:00:00', 1, '2030-01-07 09:00:00'),
	('0 9 * * 7', '2030-01-01 00:00:00', 1, '2030-01-06 09:00:00'),
	('0 9 * * 0', '2030-01-01 00:00:00', 1, '2030-01-06 09:00:00'),
	('0 9 * * sat-sun', '2030-01-01 00:00:00', 3, '2030-01-05 09:00:00, 2030-01-06 09:00:00, 2030-01-12 09:00:00'),
	('0 9 * * 5-7', '2030-01-05 12:00:00', 2, '2030-01-06 09:00:00, 2030-01-11 09:00:00'),
	('0 0 1 jan,JUL *', '2030-01-01 00:00:00', 2, '2030-07-01 00:00:00, 2031-01-01 00:00:00'),
	('10-50/20,5 3 * * *', '2030-01-01 00:00:00', 5, '2030-01-01 03:05:00, 2030-01-01 03:10:00, 2030-01-01 03:30:00, 2030-01-01 03:50:00, 2030-01-02 03:05:00'),
	('40/10 3 * * *', '2030-01-01 00:00:00', 3, '2030-01-01 03:40:00, 2030-01-01 03:50:00, 2030-01-02 03:40:00'),
	('0 0 L * *', '2030-01-31 00:00:00', 3, '2030-02-28 00:00:00, 2030-03-31 00:00:00, 2030-04-30 00:00:00'),
	('0 0 L 2 *', '2031-03-01 00:00:00', 2, '2032-02-29 00:00:00, 2033-02-28 00:00:00'),
	('0 0 15,L 1 *', '2030-01-01 00:00:00', 2, '2030-01-15 00:00:00, 2030-01-31 00:00:00'),
	-- either of the two days where both are named; both where one begins with an asterisk
	('0 0 13 * 5', '2030-09-01 00:00:00', 4, '2030-09-06 00:00:00, 2030-09-13 00:00:00, 2030-09-20 00:00:00, 2030-09-27 00:00:00'),
	('0 0 13 * *', '2030-09-01 00:00:00', 2, '2030-09-13 00:00:00, 2030-10-13 00:00:00'),
	('0 0 13 * ?', '2030-09-01 00:00:00', 1, '2030-09-13 00:00:00'),
	('0 0 ? * 5', '2030-09-01 00:00:00', 1, '2030-09-06 00:00:00'),
	('0 0 */2 * 1', '2030-09-01 00:00:00', 3, '2030-09-09 00:00:00, 2030-09-23 00:00:00, 2030-10-07 00:00:00'),
	-- rare ones
	('0 0 29 2 *', '2096-03-01 00:00:00', 2, '2104-02-29 00:00:00, 2108-02-29 00:00:00'),
	('0 0 29 2 */7', '2032-03-01 00:00:00', 1, '2060-02-29 00:00:00'),
	('0 0 31 * *', '2030-01-31 00:00:00', 3, '2030-03-31 00:00:00, 2030-05-31 00:00:00, 2030-07-31 00:00:00'),
	('0 0 30 2 1', '2030-01-31 00:00:00', 1, '2030-02-04 00:00:00'),
	-- words
	('@hourly', '2030-01-01 00:00:00', 1, '2030-01-01 01:00:00'),
	('@daily', '2030-01-01 00:00:00', 1, '2030-01-02 00:00:00'),
	('@midnight', '2030-01-01 00:00:00', 1, '2030-01-02 00:00:00'),
	('@Weekly', '2030-01-01 00:00:00', 1, '2030-01-06 00:00:00'),
	('@monthly', '2030-01-01 00:00:00', 1, '2030-02-01 00:00:00'),
	('@yearly', '2030-01-01 00:00:00', 1, '2031-01-01 00:00:00'),
	('@annually', '2030-01-01 00:00:00', 1, '2031-01-01 00:00:00'),
	(E'\t 0  9\t*  * * ', '2030-01-01 00:00:00', 1, '2030-01-01 09:00:00'),
	-- before 1970, and far away
	('0 0 1 1 *', '1899-06-01 00:00:00', 1, '1900-01-01 00:00:00'),
	('0 0 1 1 *', '9998-06-01 00:00:00', 2, '9999-01-01 00:00:00, 10000-01-01 00:00:00')
) AS v (cron, after, n, want);

SELECT is((SELECT hotdash._cron_next('* * * * *', 'UTC', 'infinity', 1)), NULL, 'nothing comes after infinity');
SELECT is((SELECT hotdash._cron_next('0 0 1 1 *', 'UTC', '294276-06-01', 1)), NULL, 'nothing comes after the last timestamp');

-- What is refused: SQLSTATE and where the fault lies
CREATE FUNCTION pg_temp.fault(cron text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	PERFORM hotdash._cron_next(cron, 'UTC', 'epoch', 1);
	RETURN 'accepted';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN CASE WHEN hint = '' THEN 'no hint: ' ELSE '' END || detail;
END
$$;

SELECT is(pg_temp.fault(cron), want, format('refused: %L', cron)) FROM (VALUES
	('', 'It has 0 fields instead of 5 or 6.'),
	('   ', 'It has 0 fields instead of 5 or 6.'),
	('* * * *', 'It has 4 fields instead of 5 or 6.'),
	('0 0 9 * * 1 2030', 'It has 7 fields instead of 5 or 6.'),
	('@reboot', 'The word is not known.'),
	('@', 'The word is not known.'),
	('60 * * * *', 'Field 1 (minute), at character 1: 60 is not between 0 and 59.'),
	('60 * * * * *', 'Field 1 (second), at character 1: 60 is not between 0 and 59.'),
	('* 24 * * *', 'Field 2 (hour), at character 3: 24 is not between 0 and 23.'),
	('* * 0 * *', 'Field 3 (day of month), at character 5: 0 is not between 1 and 31.'),
	('* * 32 * *', 'Field 3 (day of month), at character 5: 32 is not between 1 and 31.'),
	('* * * 13 *', 'Field 4 (month), at character 7: 13 is not between 1 and 12.'),
	('* * * 0 *', 'Field 4 (month), at character 7: 0 is not between 1 and 12.'),
	('* * * * 8', 'Field 5 (day of week), at character 9: 8 is not between 0 and 7.'),
	('* * * * * 8', 'Field 6 (day of week), at character 11: 8 is not between 0 and 7.'),
	('* * * * mond', 'Field 5 (day of week), at character 9: "mond" is not known here.'),
	('* * * mon *', 'Field 4 (month), at character 7: "mon" is not known here.'),
	('* jan * * *', 'Field 2 (hour), at character 3: "jan" is not known here.'),
	('5-1 * * * *', 'Field 1 (minute), at character 1: the range runs backwards.'),
	('1- * * * *', 'Field 1 (minute), at character 3: a value is missing.'),
	('1, * * * *', 'Field 1 (minute), at character 3: a value is missing.'),
	(',1 * * * *', 'Field 1 (minute), at character 1: a value is missing.'),
	('*/0 * * * *', 'Field 1 (minute), at character 3: the step must be at least 1.'),
	('*/ * * * *', 'Field 1 (minute), at character 3: the step is missing.'),
	('*/90 * * * *', 'Field 1 (minute), at character 3: a step of 90 is more than all values of the minute.'),
	('-1 * * * *', 'Field 1 (minute), at character 1: "-" is not expected here.'),
	('1.5 * * * *', 'Field 1 (minute), at character 2: "." is not expected here.'),
	('*5 * * * *', 'Field 1 (minute), at character 2: "5" is not expected here.'),
	('99999999999999999999 * * * *', 'Field 1 (minute), at character 1: the number is too long.'),
	('? * * * *', 'Field 1 (minute), at character 1: "?" is not expected here.'),
	('* * * L *', 'Field 4 (month), at character 7: "L" is not known here.'),
	('* * L-3 * *', 'Field 3 (day of month), at character 6: "-" is not expected here.'),
	('* * * * 5L', 'Field 5 (day of week), at character 10: "L" is not expected here.'),
	('* * * * 5#2', 'Field 5 (day of week), at character 10: "#" is not expected here.'),
	('* é * * *', 'Field 2 (hour), at character 3: "é" is not expected here.'),
	('* * * * é é', 'Field 5 (month), at character 9: "é" is not expected here.'),
	('0 0 30 2 *', 'None of its months has one of its days, so it would never come.'),
	('0 0 31 2,4,6,9,11 *', 'None of its months has one of its days, so it would never come.'),
	('0 0 30,31 feb ?', 'None of its months has one of its days, so it would never come.')
) AS v (cron, want);

-- Noise is refused by 22023 and nothing else; what happens to be an expression has a next time.
CREATE FUNCTION pg_temp.noise(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	pieces text[] := string_to_array('* * * * 0 1 5 7 12 29 31 */2 */9 1-5 20-25/3 10/2 1,3,4 jan mon-fri L ? 60 5-1 */ - , 1-- *5 é @daily 99999', ' ');
	text text;
	accepted int := 0;
BEGIN
	PERFORM setseed(0.5);
	FOR i IN 1 .. n LOOP
		SELECT string_agg(pieces[1 + floor(random() * cardinality(pieces))::int], CASE WHEN random() < 0.01 THEN '' ELSE ' ' END)
			INTO text FROM generate_series(1, 5 + i % 3) WHERE i > 0;
		BEGIN
			IF (SELECT count(*) <> 1 FROM hotdash._cron_next(text, 'Europe/Berlin', '2030-01-01', 1)) THEN
				RAISE EXCEPTION 'no time for %', text;
			END IF;
			accepted := accepted + 1;
		EXCEPTION WHEN invalid_parameter_value THEN
		END;
	END LOOP;
	RETURN accepted;
END
$$;
SELECT cmp_ok(pg_temp.noise(5000), '>', 20, 'noise is refused or has a next time');

SELECT throws_ok($$SELECT hotdash._cron_next(repeat('*,', 200) || '* * * * *', 'UTC', 'epoch', 1)$$, '22023', NULL, 'refused: too long');
SELECT throws_ok($$SELECT hotdash._cron_next('* * * * *', 'UTC', 'epoch', -1)$$, '22023', NULL, 'a number of times below 0');

SELECT throws_ok(format('SELECT hotdash._cron_next(%L, %L, %L, 1)', '* * * * *', zone, 'epoch'), '22023', NULL,
	format('no time zone: %L', zone))
FROM unnest(ARRAY['', ' ', 'Mars/Olympus', 'UTC+2', 'GMT+5', '+02:00', '../UTC', '<X>-1', 'CET-1CEST',
	repeat('x', 300), 'Europe/Berlin ']) AS zone;
SELECT lives_ok(format('SELECT hotdash._cron_next(%L, %L, %L, 1)', '* * * * *', zone, 'epoch'),
	format('a time zone: %L', zone))
FROM unnest(ARRAY['UTC', 'utc', 'europe/berlin', 'Etc/GMT-14', 'EST5EDT', 'Asia/Kathmandu']) AS zone;

/*
 * Changes of the clock: known answers, with the offset that tells the two hours of autumn apart
 */

CREATE FUNCTION pg_temp.instants(cron text, zone text, after text, n int) RETURNS text
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('TimeZone', zone, true);
	RETURN (SELECT string_agg(at::text, ', ' ORDER BY at) FROM hotdash._cron_next(cron, zone, after::timestamptz, n) AS at);
END
$$;

SELECT is(pg_temp.instants(cron, zone, after, n), want, format('%s %s after %s', zone, cron, after)) FROM (VALUES
	-- spring: 02:00 becomes 03:00
	('Europe/Berlin', '30 2 * * *', '2026-03-28 12:00', 2, '2026-03-29 03:30:00+02, 2026-03-30 02:30:00+02'),
	('Europe/Berlin', '0 2,3 * * *', '2026-03-28 12:00', 3, '2026-03-29 03:00:00+02, 2026-03-30 02:00:00+02, 2026-03-30 03:00:00+02'),
	('Europe/Berlin', '30 1-3 * * *', '2026-03-28 12:00', 3, '2026-03-29 01:30:00+01, 2026-03-29 03:30:00+02, 2026-03-30 01:30:00+02'),
	('Europe/Berlin', '30 * * * *', '2026-03-29 00:00', 3, '2026-03-29 00:30:00+01, 2026-03-29 01:30:00+01, 2026-03-29 03:30:00+02'),
	('Europe/Berlin', '0 */2 * * *', '2026-03-28 23:00', 3, '2026-03-29 00:00:00+01, 2026-03-29 04:00:00+02, 2026-03-29 06:00:00+02'),
	('Europe/Berlin', '59 59 1 * * *', '2026-03-28 12:00', 1, '2026-03-29 01:59:59+01'),
	('Europe/Berlin', '30 2 29 3 *', '2026-01-01 00:00', 2, '2026-03-29 03:30:00+02, 2027-03-29 02:30:00+02'),
	-- autumn: 03:00 becomes 02:00
	('Europe/Berlin', '30 2 * * *', '2026-10-24 12:00', 2, '2026-10-25 02:30:00+02, 2026-10-26 02:30:00+01'),
	('Europe/Berlin', '0 3 * * *', '2026-10-24 12:00', 2, '2026-10-25 03:00:00+01, 2026-10-26 03:00:00+01'),
	('Europe/Berlin', '30 2 * * *', '2026-10-25 02:30+02', 1, '2026-10-26 02:30:00+01'),
	('Europe/Berlin', '30 2 * * *', '2026-10-25 02:10+01', 1, '2026-10-26 02:30:00+01'),
	('Europe/Berlin', '30 * * * *', '2026-10-25 01:45', 3, '2026-10-25 02:30:00+02, 2026-10-25 02:30:00+01, 2026-10-25 03:30:00+01'),
	('Europe/Berlin', '*/30 2 * * *', '2026-10-24 12:00', 3, '2026-10-25 02:00:00+02, 2026-10-25 02:30:00+02, 2026-10-26 02:00:00+01'),
	('Europe/Berlin', '0 */2 * * *', '2026-10-25 01:00', 3, '2026-10-25 02:00:00+02, 2026-10-25 02:00:00+01, 2026-10-25 04:00:00+01'),
	('America/New_York', '30 2 * * *', '2026-03-07 12:00', 2, '2026-03-08 03:30:00-04, 2026-03-09 02:30:00-04'),
	('America/New_York', '30 1 * * *', '2026-10-31 12:00', 2, '2026-11-01 01:30:00-04, 2026-11-02 01:30:00-05'),
	('America/New_York', '30 1 1 11 *', '2026-10-31 12:00', 2, '2026-11-01 01:30:00-04, 2027-11-01 01:30:00-04'),
	-- half an hour, at 02:00 both ways
	('Australia/Lord_Howe', '10,40 2 * * *', '2026-10-04 00:00', 2, '2026-10-04 02:40:00+11, 2026-10-05 02:10:00+11'),
	('Australia/Lord_Howe', '45 1 * * *', '2026-04-04 12:00', 2, '2026-04-05 01:45:00+11, 2026-04-06 01:45:00+10:30'),
	('Australia/Lord_Howe', '45 * * * *', '2026-04-05 01:00+11', 3, '2026-04-05 01:45:00+11, 2026-04-05 01:45:00+10:30, 2026-04-05 02:45:00+10:30'),
	-- no change at all, and a quarter of an hour once, at midnight
	('Asia/Kathmandu', '30 2 * * *', '2026-03-28 12:00', 2, '2026-03-29 02:30:00+05:45, 2026-03-30 02:30:00+05:45'),
	('Asia/Kathmandu', '5 0 1 1 *', '1985-06-01 00:00', 1, '1986-01-01 00:20:00+05:45'),
	-- a change at midnight
	('America/Sao_Paulo', '0 0 * * *', '2018-11-03 12:00', 2, '2018-11-04 01:00:00-02, 2018-11-05 00:00:00-02'),
	('America/Sao_Paulo', '30 23 * * *', '2018-02-17 12:00', 2, '2018-02-17 23:30:00-02, 2018-02-18 23:30:00-03'),
	-- a day that was left out: its jobs are done on the next, whatever that day is
	('Pacific/Apia', '0 9 * * *', '2011-12-28 12:00', 3, '2011-12-29 09:00:00-10, 2011-12-31 09:00:00+14, 2012-01-01 09:00:00+14'),
	('Pacific/Apia', '0 9 * * fri', '2011-12-24 00:00', 2, '2011-12-31 09:00:00+14, 2012-01-06 09:00:00+14'),
	('Pacific/Apia', '0 9 30 12 *', '2011-12-24 00:00', 2, '2011-12-31 09:00:00+14, 2012-12-30 09:00:00+14'),
	('Pacific/Apia', '0 * 30 12 *', '2011-12-24 00:00', 1, '2012-12-30 00:00:00+14')
) AS v (zone, cron, after, n, want);
SET LOCAL TimeZone = 'UTC';

/*
 * The same by another road: every minute of days around a change, read off PostgreSQL's own conversions.
 * A named hour: each local time once, the first time it is shown, or as PostgreSQL reads it where it is
 * skipped. Any hour: each minute that shows a time that fits.
 */

CREATE FUNCTION pg_temp.by_looking(zone text, since timestamp, until timestamp, hours int[], minutes int[], any_hour bool)
	RETURNS TABLE (at timestamptz) LANGUAGE sql STABLE AS $$
	WITH shown AS (
		SELECT t, t AT TIME ZONE zone AS l
		FROM generate_series(since AT TIME ZONE 'UTC' - interval '2 days', until AT TIME ZONE 'UTC' + interval '2 days', '1 minute') AS t
	), named AS (
		SELECT l FROM generate_series(since - interval '2 days', until + interval '2 days', '1 minute') AS l
	), fires AS (
		SELECT t FROM shown WHERE any_hour AND extract(hour FROM l) = ANY (hours) AND extract(minute FROM l) = ANY (minutes)
		UNION
		SELECT coalesce((SELECT min(s.t) FROM shown AS s WHERE s.l = n.l), n.l AT TIME ZONE zone)
		FROM named AS n
		WHERE NOT any_hour AND extract(hour FROM n.l) = ANY (hours) AND extract(minute FROM n.l) = ANY (minutes)
	)
	SELECT DISTINCT t FROM fires WHERE t > since AT TIME ZONE 'UTC' AND t <= until AT TIME ZONE 'UTC'
$$;

SELECT set_eq(
	format('SELECT at FROM hotdash._cron_next(%L, %L, %L, 10000) AS at WHERE at <= %L', e.cron, z.zone, z.since || 'Z', z.until || 'Z'),
	format('SELECT at FROM pg_temp.by_looking(%L, %L, %L, %L, %L, %L)', z.zone, z.since, z.until, e.hours, e.minutes, e.any_hour),
	format('%s around %s: %s as PostgreSQL reads it', z.zone, z.since, e.cron))
FROM (VALUES
	('Europe/Berlin', '2026-03-28', '2026-03-30'), ('Europe/Berlin', '2026-10-24', '2026-10-26'),
	('America/New_York', '2026-11-01', '2026-11-02'), ('Australia/Lord_Howe', '2026-04-04', '2026-04-06'),
	('Australia/Lord_Howe', '2026-10-03', '2026-10-05'), ('America/Sao_Paulo', '2018-11-03', '2018-11-05'),
	('America/Sao_Paulo', '2018-02-17', '2018-02-19'), ('Asia/Kathmandu', '1985-12-31', '1986-01-02'),
	('Antarctica/Troll', '2026-03-28', '2026-03-30'), ('Pacific/Apia', '2011-12-29', '2012-01-01'),
	('Pacific/Kwajalein', '1993-08-20', '1993-08-23'), ('Asia/Manila', '1990-05-20', '1990-05-22')
) AS z (zone, since, until), (VALUES
	('*/20 0-3 * * *', ARRAY[0, 1, 2, 3], ARRAY[0, 20, 40], false),
	('7,37 * * * *', ARRAY(SELECT generate_series(0, 23)), ARRAY[7, 37], true),
	('0,45 1,2,22,23 * * *', ARRAY[1, 2, 22, 23], ARRAY[0, 45], false)
) AS e (cron, hours, minutes, any_hour);

-- Whatever the expression and the moment, the next time is later, fits its own successor, and none is
-- left out: from any moment between two times the same second follows.
SELECT is_empty($$
	SELECT e.cron, z.zone, a.after FROM unnest(ARRAY['*/7 * * * * *', '13 */3 * * *', '0 4 L * *', '30 2 */3 * 0']) AS e (cron),
		unnest(ARRAY['Europe/Berlin', 'Australia/Lord_Howe', 'Pacific/Apia']) AS z (zone),
		generate_series('2011-12-01'::timestamptz, '2012-05-01', '37 hours 13 minutes 5 seconds') AS a (after),
		LATERAL (SELECT min(n) AS first, max(n) AS second FROM hotdash._cron_next(e.cron, z.zone, a.after, 2) AS n) AS two
	WHERE two.first <= a.after OR two.second <= two.first
		OR (SELECT hotdash._cron_next(e.cron, z.zone, two.first - interval '1 microsecond', 1)) <> two.first
		OR (SELECT hotdash._cron_next(e.cron, z.zone, two.first + (two.second - two.first) / 2, 1)) <> two.second$$,
	'times are in order and complete');

/*
 * Bad input to schedule_set: one clear error each, nothing written
 */

SELECT throws_ok(call, state, NULL, format('%s: %s', state, call)) FROM (VALUES
	($$SELECT hotdash.schedule_set(NULL, '* * * * *', 'tap')$$, '22004'),
	($$SELECT hotdash.schedule_set('s', NULL, 'tap')$$, '22004'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', NULL)$$, '22004'),
	($$SELECT hotdash.schedule_set('', '* * * * *', 'tap')$$, '22023'),
	($$SELECT hotdash.schedule_set(repeat('s', 201), '* * * * *', 'tap')$$, '22023'),
	($$SELECT hotdash.schedule_set(E'a\nb', '* * * * *', 'tap')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', 'never', 'tap')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '0 0 30 2 *', 'tap')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'unknown')$$, '42704'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', time_zone => 'Mars')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', missed => 'some')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', overlap => 'wait')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', '[1]')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', '"text"')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', '{"scheduled_for": 1}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', jsonb_build_object('a', repeat('x', 2000000)))$$, '54000'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '[]')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '1')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"unknown": 1}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"queue": "unknown"}')$$, '42704'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"queue": 1}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"priority": 10}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"priority": -1}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"priority": 1.5}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"priority": "1"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"max_attempts": 0}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"max_missed": 0}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"max_missed": 1e99}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"paused": "yes"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"tags": "a"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"tags": [1]}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"tags": {"a": "b"}}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"tags": [["a"]]}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"grace": "1 month"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"grace": "-1 s"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"grace": 5}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"expires_in": "0 s"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"timeout": "0 s"}')$$, '22023'),
	($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"backoff": {"type": "never"}}')$$, '22023'),
	($$SELECT hotdash.schedule_delete(NULL)$$, '22004'),
	($$SELECT hotdash.schedule_delete('unknown')$$, '42704')
) AS v (call, state);
SELECT is_empty('SELECT name FROM hotdash.schedules', 'nothing of them was written');

CREATE FUNCTION pg_temp.hint_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE call;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
END
$$;
SELECT is(pg_temp.hint_of($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', options => '{"unknown": 1}')$$),
	'Known options are backoff, expires_in, grace, max_attempts, max_missed, order_key, paused, priority, queue, tags, tenant, timeout.',
	'an unknown option is told which are known');
SELECT is(pg_temp.hint_of($$SELECT hotdash.schedule_set('s', '* * * * *', 'tap', missed => 'some')$$),
	'Use one, skip or all.', 'so is an unknown word');

/*
 * Setting
 */

CREATE FUNCTION pg_temp.tick_at(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('hotdash.now_override', at::text, true);
	CALL hotdash._tick();
END
$$;
-- What a schedule enqueued, by planned time
CREATE FUNCTION pg_temp.runs(schedule text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(substr(payload ->> 'scheduled_for', 12, 8), ' ' ORDER BY id), '')
	FROM hotdash._job WHERE tags @> ARRAY['schedule:' || schedule]
$$;

SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap') \g /dev/null
SELECT pg_temp.rows_are($$SELECT name, cron, time_zone, kind, payload, missed, overlap, next_at, last_at, last_job_id, last_error, paused, tenant
		FROM hotdash.schedules$$,
	$$VALUES ('plain', '*/10 * * * *', 'UTC', 'tap', NULL::jsonb, 'one', 'allow', '2030-01-01 00:10+00'::timestamptz, NULL::timestamptz, NULL::bigint, NULL, false, '')$$,
	'the defaults: UTC, one, allow');
SELECT pg_temp.tick_at('2030-01-01 00:09:59.999999+00') \g /dev/null
SELECT is(pg_temp.runs('plain'), '', 'nothing before its time');
SELECT pg_temp.tick_at('2030-01-01 00:10:00+00') \g /dev/null
SELECT is(pg_temp.runs('plain'), '00:10:00', 'a job at its time');
SELECT pg_temp.tick_at('2030-01-01 00:10:00.5+00') \g /dev/null
SELECT is(pg_temp.runs('plain'), '00:10:00', 'and not again');
SELECT pg_temp.rows_are($$SELECT next_at, last_at, last_job_id, skipped_at, last_error FROM hotdash.schedules$$,
	$$SELECT '2030-01-01 00:20+00'::timestamptz, '2030-01-01 00:10+00'::timestamptz, max(id), NULL::timestamptz, NULL FROM hotdash._job$$,
	'the view says when, which job, and when next');
SELECT pg_temp.rows_are($$SELECT kind, queue, priority, max_attempts, run_at, tenant, payload, tags FROM hotdash.jobs$$,
	$$VALUES ('tap', 'tap', 5, 5, '2030-01-01 00:10+00'::timestamptz, '', '{"scheduled_for": "2030-01-01T00:10:00Z"}'::jsonb, ARRAY['schedule:plain'])$$,
	'the job knows which run it is');

-- The clock is set back an hour
SELECT pg_temp.tick_at('2029-12-31 23:10:00+00') \g /dev/null
SELECT pg_temp.tick_at('2030-01-01 00:10:00+00') \g /dev/null
SELECT is(pg_temp.runs('plain'), '00:10:00', 'a clock that is set back repeats nothing');
SELECT set_config('hotdash.now_override', '2029-12-31 23:10:00+00', true) \g /dev/null
SELECT hotdash.schedule_set('plain', '*/5 * * * *', 'tap') \g /dev/null
SELECT is(next_at, '2030-01-01 00:15+00', 'nor does another expression then') FROM hotdash.schedules;
SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap') \g /dev/null

-- Stated again while a time is due
SELECT set_config('hotdash.now_override', '2030-01-01 00:25:00+00', true) \g /dev/null
SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap', '{"a": 1}') \g /dev/null
SELECT is(next_at, '2030-01-01 00:20+00', 'stated again, it keeps what is due') FROM hotdash.schedules;
SELECT pg_temp.tick_at('2030-01-01 00:25:00+00') \g /dev/null
SELECT is((SELECT payload FROM hotdash._job ORDER BY id DESC LIMIT 1), '{"a": 1, "scheduled_for": "2030-01-01T00:20:00Z"}', 'with the new payload');
SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap', time_zone => 'asia/kathmandu') \g /dev/null
SELECT pg_temp.rows_are('SELECT time_zone, next_at FROM hotdash.schedules', $$VALUES ('Asia/Kathmandu', '2030-01-01 00:35+00'::timestamptz)$$,
	'another zone begins anew, under its proper name');

-- Paused
SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap', options => '{"paused": true}') \g /dev/null
SELECT pg_temp.rows_are('SELECT paused, next_at FROM hotdash.schedules', $$VALUES (true, NULL::timestamptz)$$, 'paused: no next time');
SELECT pg_temp.tick_at('2030-01-01 05:00:00+00') \g /dev/null
SELECT hotdash.schedule_set('plain', '*/10 * * * *', 'tap', options => '{"paused": false}') \g /dev/null
SELECT pg_temp.tick_at('2030-01-01 05:00:00+00') \g /dev/null
SELECT is(pg_temp.runs('plain'), '00:10:00 00:20:00', 'what a pause left out was not missed');
SELECT hotdash.schedule_delete('plain') \g /dev/null
SELECT is_empty('SELECT FROM hotdash.schedules', 'deleted');
SELECT is(pg_temp.runs('plain'), '00:10:00 00:20:00', 'its jobs stay');

/*
 * Missed runs
 */

SELECT set_config('hotdash.now_override', '2030-01-02 00:00:30+00', true) \g /dev/null
SELECT hotdash.schedule_set('one', '0 * * * *', 'tap', missed => 'one') \g /dev/null
SELECT hotdash.schedule_set('skip', '0 * * * *', 'tap', missed => 'skip') \g /dev/null
SELECT hotdash.schedule_set('graced', '0 * * * *', 'tap', missed => 'skip', options => '{"grace": "45 minutes"}') \g /dev/null
SELECT hotdash.schedule_set('all', '0 * * * *', 'tap', missed => 'all') \g /dev/null
SELECT hotdash.schedule_set('bound', '0 * * * *', 'tap', missed => 'all', options => '{"max_missed": 2}') \g /dev/null
SELECT hotdash.schedule_set('alone', '0 * * * *', 'tap', missed => 'all', overlap => 'skip') \g /dev/null
SELECT pg_temp.tick_at('2030-01-02 04:30:00+00') \g /dev/null
SELECT is(pg_temp.runs(name), want, format('four hours down: %s', name)) FROM (VALUES
	('one', '04:00:00'), ('skip', ''), ('graced', '04:00:00'), ('all', '01:00:00 02:00:00 03:00:00 04:00:00'),
	('bound', '03:00:00 04:00:00'), ('alone', '04:00:00')) AS v (name, want);
SELECT pg_temp.rows_are('SELECT name, skipped_at, next_at FROM hotdash.schedules ORDER BY name',
	$$VALUES ('all', NULL::timestamptz, '2030-01-02 05:00+00'::timestamptz), ('alone', '2030-01-02 03:00+00', '2030-01-02 05:00+00'),
		('bound', '2030-01-02 02:00+00', '2030-01-02 05:00+00'), ('graced', '2030-01-02 03:00+00', '2030-01-02 05:00+00'),
		('one', '2030-01-02 03:00+00', '2030-01-02 05:00+00'), ('skip', '2030-01-02 04:00+00', '2030-01-02 05:00+00')$$,
	'what was passed over is on record');
SELECT pg_temp.tick_at('2030-01-02 05:02:00+00') \g /dev/null
SELECT is(pg_temp.runs('skip'), '05:00:00', 'what comes within the grace is not late');
SELECT is(pg_temp.runs('alone'), '04:00:00', 'overlap skip: not beside the last run');
SELECT is(skipped_at, '2030-01-02 05:00+00', 'which is on record') FROM hotdash.schedules WHERE name = 'alone';
SELECT hotdash.job_cancel(last_job_id) FROM hotdash.schedules WHERE name = 'alone' \g /dev/null
SELECT pg_temp.tick_at('2030-01-02 06:00:00+00') \g /dev/null
SELECT is(pg_temp.runs('alone'), '06:00:00', 'but after its end');
SELECT is(pg_temp.runs('all'), '01:00:00 02:00:00 03:00:00 04:00:00 05:00:00 06:00:00', 'no time twice, none left out');

-- A year down, a second at a time
SELECT hotdash.schedule_set('second', '* * * * * *', 'tap', missed => 'all', options => '{"max_missed": 3}') \g /dev/null
SELECT hotdash.schedule_set('latest', '* * * * * *', 'tap') \g /dev/null
SELECT pg_temp.tick_at('2031-01-02 06:00:00.7+00') \g /dev/null
SELECT is(pg_temp.runs('second') || ', ' || pg_temp.runs('latest'), '05:59:58 05:59:59 06:00:00, 06:00:00', 'a year of seconds is bounded too');
SELECT hotdash.schedule_delete(name) FROM hotdash.schedules \g /dev/null

/*
 * Options of the jobs
 */

SELECT hotdash.schedule_set('full', '0 7 * * *', 'tap', '{"shop": 1}', time_zone => 'Europe/Berlin', options => '{"queue": "tap2",
	"priority": 2, "max_attempts": 7, "tenant": "t1", "timeout": "5 s", "expires_in": "1 hour", "tags": ["x", "y"],
	"backoff": {"type": "fixed", "base": "3 s"}}') \g /dev/null
SELECT pg_temp.tick_at('2031-01-03 06:00:01+00') \g /dev/null
SELECT pg_temp.rows_are($$SELECT queue, priority, max_attempts, tenant, timeout_ms, expires_at, tags, backoff, payload FROM hotdash._job WHERE tenant = 't1'$$,
	$$VALUES ('tap2' COLLATE "C", 2::smallint, 7::smallint, 't1' COLLATE "C", 5000, '2031-01-03 07:00:00+00'::timestamptz, ARRAY['x', 'y', 'schedule:full'],
		'{"type": "fixed", "base": "3 s"}'::jsonb, '{"shop": 1, "scheduled_for": "2031-01-03T06:00:00Z"}'::jsonb)$$,
	'each option arrives at the job');

/*
 * A failure keeps nobody else
 */

SELECT hotdash.schedule_set('doomed', '0 * * * *', 'doomed') \g /dev/null
SELECT hotdash.schedule_set('zone', '0 * * * *', 'tap') \g /dev/null
SELECT hotdash.schedule_set('well', '0 * * * *', 'tap') \g /dev/null
DELETE FROM hotdash._kind WHERE kind = 'doomed';
UPDATE hotdash._schedule SET time_zone = 'Gone/Away' WHERE name = 'zone';
SELECT pg_temp.tick_at('2031-01-03 07:00:00+00') \g /dev/null
SELECT pg_temp.rows_are($$SELECT name, next_at, last_at, failed_at, last_error FROM hotdash.schedules WHERE tenant = '' ORDER BY name$$,
	$$VALUES ('doomed', '2031-01-03 08:00+00'::timestamptz, NULL::timestamptz, '2031-01-03 07:00+00'::timestamptz, '42704: job kind "doomed" does not exist'),
		('well', '2031-01-03 08:00+00', '2031-01-03 07:00+00', NULL, NULL),
		('zone', '2031-01-03 08:00+00', NULL, '2031-01-03 07:00+00', '22023: unknown time zone: "Gone/Away"')$$,
	'what fails says so and waits for its next time; the others go on');
SELECT is((hotdash.health() #> '{checks,schedules}') - 'duration_ms', '{"status": "degraded", "failed": 2, "overdue": 0}', 'health() counts them');
SELECT set_config('hotdash.now_override', '2031-01-03 08:02:01+00', true) \g /dev/null
SELECT is(hotdash.health() #>> '{checks,schedules,overdue}', '3', 'and those that nobody fires');
SELECT hotdash.job_kind_set('doomed', queue => 'tap') \g /dev/null
SELECT pg_temp.tick_at('2031-01-03 08:00:00+00') \g /dev/null
SELECT pg_temp.rows_are($$SELECT last_at, last_error FROM hotdash.schedules WHERE name = 'doomed'$$, $$VALUES ('2031-01-03 08:00+00'::timestamptz, NULL)$$,
	'once it goes well the error is gone');
SELECT hotdash.schedule_delete(name) FROM hotdash.schedules \g /dev/null

/*
 * Tenants
 */

SET LOCAL hotdash.tenant = 'a';
SELECT hotdash.schedule_set('same', '0 * * * *', 'tap') \g /dev/null
SELECT throws_ok($$SELECT hotdash.schedule_set('same', '0 * * * *', 'tap', options => '{"tenant": "b"}')$$, '42501', NULL, 'no schedule for another tenant');
SET LOCAL hotdash.tenant = 'b';
SELECT throws_ok($$SELECT hotdash.schedule_delete('same')$$, '42704', NULL, 'that of another tenant does not exist');
SELECT hotdash.schedule_set('same', '30 * * * *', 'tap') \g /dev/null
CALL hotdash._tick();
SET LOCAL hotdash.tenant = '';
SELECT pg_temp.rows_are('SELECT tenant, cron FROM hotdash.schedules ORDER BY tenant', $$VALUES ('a', '0 * * * *'), ('b', '30 * * * *')$$, 'a name belongs to a tenant');
SELECT throws_ok($$SELECT hotdash.schedule_delete('same')$$, '21000', NULL, 'a name that several have has to be told apart');
SET LOCAL hotdash.tenant = 'b';
SELECT pg_temp.tick_at('2031-01-03 09:30:00+00') \g /dev/null
SELECT is((SELECT string_agg(tenant, ',') FROM hotdash._job WHERE tags @> ARRAY['schedule:same']), 'b', 'a session of one tenant fires for that tenant');
SELECT hotdash.schedule_delete('same') \g /dev/null
SET LOCAL hotdash.tenant = '';
SELECT pg_temp.tick_at('2031-01-03 09:30:00+00') \g /dev/null
SELECT is((SELECT string_agg(tenant, ',' ORDER BY id) FROM hotdash._job WHERE tags @> ARRAY['schedule:same']), 'b,a', 'another for all');
SELECT lives_ok($$SELECT hotdash.schedule_delete('same')$$, 'the only one left can be deleted by its name');

/*
 * Rights
 */

CREATE ROLE tap_viewer;
CREATE ROLE tap_operator;
CREATE ROLE tap_producer;
CREATE ROLE tap_worker;
SELECT hotdash.access_grant('tap_viewer', 'viewer') \g /dev/null
SELECT hotdash.access_grant('tap_operator', 'operator') \g /dev/null
SELECT hotdash.access_grant('tap_producer', 'producer') \g /dev/null
SELECT hotdash.access_grant('tap_worker', 'worker') \g /dev/null
SET LOCAL ROLE tap_operator;
SELECT lives_ok($$SELECT hotdash.schedule_set('mine', '* * * * *', 'tap')$$, 'an operator may set one');
SELECT is((SELECT name FROM hotdash.schedules), 'mine', 'and see it');
RESET ROLE;
SET LOCAL ROLE tap_viewer;
SELECT is((SELECT name FROM hotdash.schedules), 'mine', 'a viewer may see it');
SELECT throws_ok($$SELECT hotdash.schedule_set('mine', '* * * * *', 'tap')$$, '42501', NULL, 'and not set it');
SELECT throws_ok($$SELECT hotdash.schedule_delete('mine')$$, '42501', NULL, 'nor delete it');
RESET ROLE;
SET LOCAL ROLE tap_producer;
SELECT throws_ok($$SELECT hotdash.schedule_set('mine', '* * * * *', 'tap')$$, '42501', NULL, 'a producer may not set it');
SELECT throws_ok($$SELECT * FROM hotdash.schedules$$, '42501', NULL, 'nor see it');
RESET ROLE;

SELECT set_config('hotdash.now_override', '2031-01-03 10:00:00+00', true) \g /dev/null
SET LOCAL ROLE tap_worker;
CALL hotdash._tick();
SELECT throws_ok($$SELECT * FROM hotdash.schedules$$, '42501', NULL, 'a worker may not see it');
RESET ROLE;
SELECT is(pg_temp.runs('mine'), '10:00:00', 'but its tick fires it');

SELECT * FROM finish();
ROLLBACK;
