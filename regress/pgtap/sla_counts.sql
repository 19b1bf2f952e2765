-- The counts of SLA clocks: after whatever happens to a clock they are what a count of all clocks finds, and so are the
-- summary and reports of any window. Rolls back. The clock stands still where it is not moved.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SET LOCAL hotdash.now_override = '2030-03-11 15:07:30+00';

-- Policies that nobody else has: 'tap ny' with its days in New York, 'tap wall' without a calendar.
INSERT INTO hotdash._sla_policy (id, version_id, name) VALUES (-1, -1, 'tap wall'), (-2, -2, 'tap other');
INSERT INTO hotdash._sla_policy_version (id, policy, version, calendar, set_at, set_by, definition)
	SELECT i, i, 1, NULL, hotdash._now(), 'tap', '{}' FROM unnest(ARRAY[-1, -2]) AS i;

CREATE SEQUENCE pg_temp.tap_id;
CREATE FUNCTION pg_temp.start(at timestamptz, priority text DEFAULT 'low', tenant text DEFAULT '', metric text DEFAULT 'first_response')
	RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO hotdash._sla_clock (id, started_at, last_at, target, due_b, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state,
		metric, priority, tenant, subject)
	SELECT -n, at, at, 900000000, 0, -1, -1, 0, 1, 0, at > hotdash._now(), false, false, 'running', metric, priority, tenant, 'tap ' || n
	FROM nextval('pg_temp.tap_id') AS n RETURNING id
$$;
CREATE FUNCTION pg_temp.problems() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s', a), E'\n'), 'none') FROM hotdash._sla_counts_audit() AS a WHERE a.policy < 0
$$;
CREATE FUNCTION pg_temp.summary(policy text DEFAULT 'tap wall') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s: %s pending, %s paused, %s overdue, %s started, %s met, %s breached, %s %%, %s today', priority, pending,
		paused, overdue, started, met, breached, coalesce(adherence_pct::text, '-'), resolved_today), E'\n' ORDER BY priority), 'nothing')
	FROM hotdash.sla_summary AS s WHERE s.policy = summary.policy
$$;
-- What a report should say, from the clocks alone.
CREATE FUNCTION pg_temp.told(from_ts timestamptz, to_ts timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s %s %s %s %s', count(*) FILTER (WHERE started_at >= from_ts AND started_at < to_ts),
		count(*) FILTER (WHERE state = 'met' AND breached_at IS NULL AND closed_at >= from_ts AND closed_at < to_ts),
		count(*) FILTER (WHERE state = 'met' AND breached_at IS NOT NULL AND closed_at >= from_ts AND closed_at < to_ts),
		count(*) FILTER (WHERE breached_at >= from_ts AND breached_at < to_ts),
		count(*) FILTER (WHERE state = 'canceled' AND closed_at >= from_ts AND closed_at < to_ts),
		count(*) FILTER (WHERE started_at < to_ts AND (closed_at IS NULL OR closed_at >= to_ts)),
		count(*) FILTER (WHERE breached_at < to_ts AND (closed_at IS NULL OR closed_at >= to_ts)))
	FROM hotdash._sla_clock WHERE policy = -1
$$;
CREATE FUNCTION pg_temp.report(from_ts timestamptz, to_ts timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT format('%s %s %s %s %s %s %s', p -> 'started', p -> 'met', p -> 'met_late', p -> 'breached', p -> 'canceled', p -> 'pending',
		p -> 'overdue')
	FROM jsonb_array_elements(hotdash.sla_report(from_ts, to_ts) -> 'by_policy') AS p WHERE p ->> 'policy' = 'tap wall'), '0 0 0 0 0 0 0')
$$;

SELECT is(pg_temp.summary(), 'nothing', 'no clock, no line');

/*
 * What counts as what
 */

SELECT pg_temp.start('2030-03-11 14:50+00') AS a, pg_temp.start('2030-03-11 14:44:59.999999+00') AS b, pg_temp.start('2030-03-11 15:00+00', 'urgent') AS c \gset
SELECT is(pg_temp.summary(), E'low: 2 pending, 0 paused, 0 overdue, 2 started, 0 met, 0 breached, - %, 0 today\n'
	|| 'urgent: 1 pending, 0 paused, 0 overdue, 1 started, 0 met, 0 breached, - %, 0 today', 'started');
SELECT is(string_agg(bucket::time || ' ' || started, ', ' ORDER BY bucket), '14:30:00 1, 14:45:00 1, 15:00:00 1',
	'in the quarter of an hour in which they did') FROM hotdash._sla_counts_live() WHERE policy = -1;
UPDATE hotdash._sla_clock SET state = 'paused', due_b = NULL, remaining = 5 WHERE id = :a;
SELECT is(split_part(pg_temp.summary(), ',', 2), ' 1 paused', 'paused');
UPDATE hotdash._sla_clock SET state = 'paused' WHERE id = :a;
SELECT is(split_part(pg_temp.summary(), ',', 2), ' 1 paused', 'paused again changes nothing');
UPDATE hotdash._sla_clock SET state = 'met', closed_at = '2030-03-11 15:01+00' WHERE id = :a;
SELECT is(split_part(pg_temp.summary(), E'\n', 1), 'low: 1 pending, 0 paused, 0 overdue, 2 started, 1 met, 0 breached, 100.00 %, 1 today', 'met while it was paused');
UPDATE hotdash._sla_clock SET breached_at = '2030-03-11 14:59:59+00' WHERE id = :b;
SELECT is(split_part(pg_temp.summary(), E'\n', 1), 'low: 1 pending, 0 paused, 1 overdue, 2 started, 1 met, 1 breached, 50.00 %, 1 today', 'breached');
UPDATE hotdash._sla_clock SET state = 'met', closed_at = '2030-03-11 15:02+00' WHERE id = :b;
SELECT is(split_part(pg_temp.summary(), E'\n', 1), 'low: 0 pending, 0 paused, 0 overdue, 2 started, 1 met, 1 breached, 50.00 %, 2 today', 'met late: still one breach');
SELECT is(pg_temp.report('2030-03-11 14:45+00', '2030-03-11 15:00+00'), '1 0 0 1 0 2 1', 'a breach belongs to its due point');
SELECT is(pg_temp.report('2030-03-11 15:00+00', '2030-03-11 15:15+00'), '1 1 1 0 0 1 0', 'and what was met to when it was');
UPDATE hotdash._sla_clock SET state = 'canceled', closed_at = '2030-03-11 15:03+00' WHERE id = :c;
SELECT is(split_part(pg_temp.summary(), E'\n', 2), 'urgent: 0 pending, 0 paused, 0 overdue, 1 started, 0 met, 0 breached, - %, 0 today', 'canceled: neither met nor breached');
UPDATE hotdash._sla_clock SET breached_at = '2030-03-11 15:02+00' WHERE id = :c;
SELECT is(split_part(pg_temp.summary(), E'\n', 2), 'urgent: 0 pending, 0 paused, 0 overdue, 1 started, 0 met, 1 breached, 0.00 %, 0 today', 'canceled after its breach');
SELECT is(pg_temp.problems(), 'none', 'as a count says');

-- What turns out otherwise
UPDATE hotdash._sla_clock SET breached_at = NULL WHERE id = :b;
SELECT is(split_part(pg_temp.summary(), E'\n', 1), 'low: 0 pending, 0 paused, 0 overdue, 2 started, 2 met, 0 breached, 100.00 %, 2 today', 'a breach withdrawn');
UPDATE hotdash._sla_clock SET state = 'running', closed_at = NULL WHERE id = :a;
SELECT is(split_part(pg_temp.summary(), E'\n', 1), 'low: 1 pending, 0 paused, 0 overdue, 2 started, 1 met, 0 breached, 100.00 %, 1 today', 'opened again');
UPDATE hotdash._sla_clock SET priority = 'urgent' WHERE id = :b;
SELECT is(pg_temp.summary(), E'low: 1 pending, 0 paused, 0 overdue, 1 started, 0 met, 0 breached, - %, 0 today\n'
	|| 'urgent: 0 pending, 0 paused, 0 overdue, 2 started, 1 met, 1 breached, 50.00 %, 1 today', 'another priority takes all with it');
UPDATE hotdash._sla_clock SET policy = -2 WHERE id = :b;
SELECT is(pg_temp.summary('tap other'), 'urgent: 0 pending, 0 paused, 0 overdue, 1 started, 1 met, 0 breached, 100.00 %, 1 today', 'so does another policy');
UPDATE hotdash._sla_clock SET policy = -1, started_at = '2030-03-09 10:00+00', closed_at = '2030-03-10 23:59:59+00' WHERE id = :b;
SELECT is(pg_temp.report('2030-03-09 00:00+00', '2030-03-11 00:00+00'), '1 1 0 0 0 0 0', 'moved to another day');
SELECT is(split_part(pg_temp.summary(), E'\n', 2), 'urgent: 0 pending, 0 paused, 0 overdue, 2 started, 1 met, 1 breached, 50.00 %, 0 today', 'so it was not resolved today');
SELECT is(pg_temp.summary('tap other'), 'nothing', 'nothing is left where it was');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
DELETE FROM hotdash._sla_clock WHERE id = :b;
SELECT is(split_part(pg_temp.summary(), E'\n', 2), 'urgent: 0 pending, 0 paused, 0 overdue, 1 started, 0 met, 1 breached, 0.00 %, 0 today', 'deleted by hand: it never was');
SELECT is(hotdash._sla_adherence(199999, 1), 99.99, 'one breach in many is not 100 %');

/*
 * Whoever writes, and however
 */

SAVEPOINT s;
SELECT pg_temp.start('2030-03-11 15:05+00') FROM generate_series(1, 5) \g /dev/null
SELECT is(split_part(pg_temp.summary(), ',', 1), 'low: 6 pending', 'in a savepoint');
ROLLBACK TO s;
SELECT is(split_part(pg_temp.summary(), ',', 1), 'low: 1 pending', 'rolled back');
INSERT INTO hotdash._sla_clock SELECT * FROM hotdash._sla_clock WHERE policy = -1 ON CONFLICT DO NOTHING;
SELECT is(pg_temp.problems(), 'none', 'rows that were not inserted are not counted');
INSERT INTO hotdash._sla_clock SELECT * FROM hotdash._sla_clock WHERE policy = -1 ON CONFLICT (id) DO UPDATE SET priority = 'high';
SELECT is(pg_temp.problems(), 'none', 'ON CONFLICT DO UPDATE');
MERGE INTO hotdash._sla_clock AS c USING (SELECT id FROM hotdash._sla_clock WHERE policy = -1) AS s ON s.id = c.id
	WHEN MATCHED AND c.id = :a THEN UPDATE SET priority = 'low' WHEN MATCHED THEN DELETE;
SELECT is(pg_temp.problems(), 'none', 'MERGE');
WITH one AS (UPDATE hotdash._sla_clock SET state = 'paused' WHERE id = :a RETURNING *)
	INSERT INTO hotdash._sla_clock (id, started_at, last_at, target, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state, metric, priority,
		tenant, subject) SELECT -1000, started_at, last_at, target, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state, metric, 'high', tenant, 'tap cte'
	FROM one;
SELECT is(pg_temp.summary(), E'high: 1 pending, 1 paused, 0 overdue, 1 started, 0 met, 0 breached, - %, 0 today\n'
	|| 'low: 1 pending, 1 paused, 0 overdue, 1 started, 0 met, 0 breached, - %, 0 today', 'two writes in one statement');

-- A trigger of somebody else's writes clocks in the middle of a statement, and some of that comes back.
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		BEGIN
			PERFORM pg_temp.start('2030-03-11 15:06+00', 'meddled');
			PERFORM pg_temp.start('2030-03-11 15:06+00', NEW.priority);
			IF NEW.id % 2 = 0 THEN
				RAISE EXCEPTION 'back';
			END IF;
		EXCEPTION WHEN raise_exception THEN
		END;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_meddle AFTER INSERT ON hotdash._sla_clock FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle();
INSERT INTO hotdash._sla_clock (id, started_at, last_at, target, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state, metric, priority, tenant, subject)
	SELECT -2000 - i, '2030-03-11 15:00+00', '2030-03-11 15:00+00', 1, -1, -1, 0, 1, 0, false, false, false, 'running', 'first_response', 'p' || i % 3, '', 'tap m' || i
	FROM generate_series(1, 9) AS i;
DROP TRIGGER zz_meddle ON hotdash._sla_clock;
SELECT is(string_agg(split_part(l, ',', 1), ', ' ORDER BY l), 'high: 1 pending, low: 1 pending, meddled: 5 pending, p0: 5 pending, p1: 5 pending, p2: 4 pending',
	'a statement around others, of which some came back') FROM regexp_split_to_table(pg_temp.summary(), E'\n') AS l;
SELECT is(pg_temp.problems(), 'none', 'as a count says');

-- More places than are kept for a statement, names of all lengths
INSERT INTO hotdash._sla_clock (id, started_at, last_at, target, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state, metric, priority, tenant, subject)
	SELECT -10000 - i, '2030-01-01 00:00+00'::timestamptz + i % 20000 * interval '15 minutes', '2030-01-01', 1, -2, -2, 0, 1, 0, false, false, false, 'running', 'm', '',
		repeat('long', i % 3 * 300), 'tap l' || i FROM generate_series(1, 40000) AS i;
SELECT is(pg_temp.problems(), 'none', 'places beyond number');
DELETE FROM hotdash._sla_clock WHERE policy = -2;
SELECT is(pg_temp.summary('tap other'), 'nothing', 'and all of them taken back');
INSERT INTO hotdash._sla_clock (id, started_at, last_at, target, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state, metric, priority, tenant, subject)
	SELECT -3000, '-infinity', '-infinity', 1, -2, -2, 0, 1, 0, false, false, false, 'running', 'm', '', '', 'tap i';
UPDATE hotdash._sla_clock SET started_at = '1999-12-31 23:59:59.999999+00' WHERE id = -3000;
SELECT is(pg_temp.problems(), 'none', 'times before 2000, and none at all');

/*
 * Folding
 */

CREATE FUNCTION pg_temp.fold() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	WHILE hotdash._sla_counts_tick() LOOP NULL; END LOOP;
	RETURN (SELECT count(*) FROM hotdash._sla_delta);
END $$;
SELECT pg_temp.summary() AS before \gset
SELECT is(pg_temp.fold(), 0::bigint, 'all deltas are folded');
SELECT is(pg_temp.summary(), :'before', 'which changes nothing');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
UPDATE hotdash._sla_clock SET state = 'met', closed_at = '2030-03-11 15:06:59+00', remaining = 840000000 WHERE id = :a;
SELECT is(pg_temp.problems(), 'none', 'some folded, some not');
SELECT is(pg_temp.fold(), 0::bigint, 'folded into what is there');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
SAVEPOINT s;
SELECT isnt(hotdash._sla_fold('(0,0)', '(4294967295,0)'), NULL, 'a fold') FROM pg_temp.start('2030-03-11 15:05+00', 'fold');
ROLLBACK TO s;
SELECT is(pg_temp.problems(), 'none', 'which is rolled back');

/*
 * Reports
 */

DELETE FROM hotdash._sla_clock WHERE policy < 0;
SELECT setseed(0.5) \g /dev/null
INSERT INTO hotdash._sla_clock (id, started_at, last_at, closed_at, breached_at, target, remaining, policy, version_id, lane, cycle, next_step, ahead, paused, began_paused, state,
		metric, priority, tenant, subject)
	SELECT -20000 - i, s, s, CASE WHEN kind > 0 THEN s + c END, CASE WHEN random() < 0.4 THEN s + random() * c END, 900000000, (random() * 9e8)::bigint, -1, -1, 0, 1, 0,
		false, false, false, (ARRAY['running', 'met', 'met', 'canceled'])[1 + kind], (ARRAY['first_response', 'resolution'])[1 + i % 2],
		(ARRAY['low', 'urgent'])[1 + i / 2 % 2], 'tap ' || i % 3, 'tap r' || i
	FROM (SELECT i, '2030-03-08 00:00+00'::timestamptz + random() * interval '3 days' AS s, random() * interval '5 hours' AS c, floor(random() * 4)::int AS kind
		FROM generate_series(1, 2000) AS i) AS x;
SELECT is(pg_temp.problems(), 'none', 'two thousand clocks');
SELECT is_empty($$
	SELECT w.*, pg_temp.report(f, t), pg_temp.told(f, t)
	FROM (SELECT f, f + CASE WHEN i % 4 = 0 THEN random() * interval '20 minutes' ELSE random() * interval '2 days' END AS t
		FROM (SELECT i, '2030-03-08 00:00+00'::timestamptz + CASE WHEN i % 3 = 0 THEN i * interval '15 minutes' ELSE random() * interval '3 days' END AS f
			FROM generate_series(1, 18) AS i) AS x) AS w
	WHERE pg_temp.report(f, t) <> pg_temp.told(f, t)$$, 'any window, to the microsecond');
SELECT is(pg_temp.fold(), 0::bigint, 'folded');
SELECT is_empty($$
	SELECT w.*, pg_temp.report(f, t), pg_temp.told(f, t)
	FROM (SELECT f, f + random() * interval '1 day' AS t
		FROM (SELECT '2030-03-08 00:00+00'::timestamptz + random() * interval '3 days' AS f FROM generate_series(1, 9)) AS x) AS w
	WHERE pg_temp.report(f, t) <> pg_temp.told(f, t)$$, 'the same from what was folded');
SELECT started_at AS edge FROM hotdash._sla_clock WHERE id = -20001 \gset
SELECT is(pg_temp.report(:'edge', '2030-03-11 12:00+00'), pg_temp.told(:'edge', '2030-03-11 12:00+00'), 'what begins with a window is in it');
SELECT is(pg_temp.report('2030-03-08', :'edge'), pg_temp.told('2030-03-08', :'edge'), 'what begins with its end is not');

SELECT hotdash.sla_report('2030-03-08', '2030-03-11', 'tap 1') AS report \gset
SELECT is(:'report'::jsonb #>> '{totals,started}', (SELECT count(*)::text FROM hotdash._sla_clock WHERE tenant = 'tap 1'), 'a report of one tenant');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(:'report'::jsonb) AS k),
	'{by_day,by_metric,by_policy,by_priority,by_tenant,from,tenant,tenants,to,totals}', 'has these parts');
SELECT is((SELECT array_agg(p ->> 'priority' || ' ' || (p ->> 'started')) FROM jsonb_array_elements(:'report'::jsonb -> 'by_priority') AS p),
	(SELECT array_agg(priority || ' ' || n ORDER BY priority) FROM (SELECT priority, count(*) AS n FROM hotdash._sla_clock WHERE tenant = 'tap 1' GROUP BY 1) AS x),
	'by priority');
SELECT is((SELECT array_agg(p ->> 'day' || ' ' || (p ->> 'resolved')) FROM jsonb_array_elements(:'report'::jsonb -> 'by_day') AS p),
	(SELECT array_agg(d || ' ' || n ORDER BY d) FROM (SELECT closed_at::date AS d, count(*) AS n FROM hotdash._sla_clock
		WHERE tenant = 'tap 1' AND state = 'met' AND closed_at < '2030-03-11' GROUP BY 1) AS x), 'by day');
SELECT is((SELECT array_agg((p ->> 'metric', p ->> 'median_seconds', p ->> 'p90_seconds')::text) FROM jsonb_array_elements(:'report'::jsonb -> 'by_metric') AS p),
	(SELECT array_agg((metric, m::text, p::text)::text ORDER BY metric) FROM (SELECT metric,
		round(percentile_disc(0.5) WITHIN GROUP (ORDER BY target - remaining) / 1000000.0, 3) AS m,
		round(percentile_disc(0.9) WITHIN GROUP (ORDER BY target - remaining) / 1000000.0, 3) AS p
		FROM hotdash._sla_clock WHERE tenant = 'tap 1' AND state = 'met' AND closed_at < '2030-03-11' GROUP BY 1) AS x), 'and how long they took');
SELECT is((SELECT sum((p ->> 'breached')::int) FROM jsonb_array_elements(hotdash.sla_report('2030-03-08', '2030-03-11') -> 'by_tenant') AS p
	WHERE p ->> 'tenant' LIKE 'tap %'), (SELECT count(*) FROM hotdash._sla_clock WHERE breached_at < '2030-03-11' AND policy = -1), 'by tenant');
SELECT is(hotdash.sla_report('2001-01-01', '2001-01-02') #> '{totals,adherence_pct}', 'null', 'nothing decided, no adherence');

SELECT throws_ok($$SELECT hotdash.sla_report(NULL, '2030-03-11')$$, '22004', 'argument "from_ts" must not be null');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-11', NULL)$$, '22004', 'argument "to_ts" must not be null');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-11', '2030-03-10')$$, '22023', NULL, 'a window that is reversed');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-11', '2030-03-11')$$, '22023', NULL, 'or empty');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-11', 'infinity')$$, '22023', NULL, 'or endless');

-- Sections of reports
SELECT hotdash._sla_report_section('daily', '2030-03-10 09:00+00') AS section \gset
SELECT is(:'section'::jsonb -> 'data', hotdash.sla_report('2030-03-09 09:00+00', '2030-03-10 09:00+00'), 'a daily section');
SELECT matches(:'section'::jsonb ->> 'markdown', E'^## Service levels\n\n\\d+ clocks met, .*\n\n\\| Policy \\|.*\n\\| tap wall \\|.*\n\\| urgent \\|.*\n\\| Tenant \\|',
	'in Markdown');
SET LOCAL hotdash.now_override = '2030-03-20 00:00+00';
SELECT pg_temp.start('2030-03-19 00:00+00') \g /dev/null
SELECT is(hotdash._sla_report_section('daily', '2030-03-10 09:00+00'), :'section'::jsonb, 'of a period it is always the same');
SELECT is(hotdash._sla_report_section('weekly', '2030-03-10 09:00+00') #>> '{data,from}', '2030-03-03T09:00:00+00:00', 'a weekly one');
SELECT throws_ok($$SELECT hotdash._sla_report_section('hourly', '2030-03-10')$$, '22023', 'unknown kind of report: hourly');
SELECT is(hotdash._sla_markdown('X', '[{"x": "a|b\n\\<i>*", "resolved": 1}]', 'x') LIKE E'%\n| a\\\\|b \\\\\\\\\\\\<i\\\\>\\\\* | 1 |%', true, 'a name stays in its cell');

/*
 * Days of the calendar's zone, with the functions that everybody uses. On 10 March 2030 New York has 23 hours.
 */

SELECT hotdash.calendar_set('tap ny', '{"time_zone": "America/New_York", "hours": {"mon": [["09:00", "17:00"]], "sun": [["00:00", "24:00"]]}}') \g /dev/null
SELECT hotdash.sla_policy_set('tap ny', '{"calendar": "tap ny", "metrics": {"first_response": {"target": "15 minutes"}}}') \g /dev/null
SET LOCAL hotdash.now_override = '2030-03-11 03:30+00';
CREATE FUNCTION pg_temp.met(subject text, started timestamptz, met timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	clock bigint := hotdash.sla_start('tap ny', subject, 'first_response', at => started);
BEGIN
	PERFORM hotdash.sla_meet(clock, at => met);
	RETURN (SELECT state || breached FROM hotdash.sla_clocks WHERE id = clock);
END $$;
SELECT is(pg_temp.met('d1', '2030-03-10 04:50+00', '2030-03-10 04:59:59+00'), 'metfalse', 'met on Saturday in New York');
SELECT is(pg_temp.met('d2', '2030-03-10 04:50+00', '2030-03-10 05:00+00'), 'metfalse', 'met on Sunday');
SELECT is(pg_temp.met('d3', '2030-03-10 12:00+00', '2030-03-11 03:29+00'), 'mettrue', 'met late on Sunday');
SELECT is(pg_temp.summary('tap ny'), ': 0 pending, 0 paused, 0 overdue, 3 started, 2 met, 1 breached, 66.67 %, 2 today', 'resolved today, which is Sunday there');
SET LOCAL hotdash.now_override = '2030-03-11 04:00+00';
SELECT is(pg_temp.summary('tap ny'), ': 0 pending, 0 paused, 0 overdue, 3 started, 2 met, 1 breached, 66.67 %, 0 today', 'at midnight there a day begins');
SELECT is((SELECT array_agg(d ->> 'day' || ' ' || (d ->> 'resolved')) FROM jsonb_array_elements(hotdash.sla_report('2030-03-01', '2030-04-01', 'tap ny') -> 'by_day') AS d),
	NULL, 'of another tenant there is nothing');
SELECT hotdash.sla_start('tap ny', 'd4', 'first_response', at => '2030-03-11 03:00+00', tenant => 'tap ny') AS d4,
	hotdash.sla_start('tap ny', 'd5', 'first_response', at => '2030-03-11 03:50+00', tenant => 'tap ny') AS d5 \gset
SELECT hotdash.sla_meet(:d4, '2030-03-11 03:59:59.999999+00') \g /dev/null
SELECT hotdash.sla_pause(:d5, '2030-03-11 03:55+00') \g /dev/null
SELECT is((SELECT array_agg(d ->> 'day' || ' ' || (d ->> 'started') || ' ' || (d ->> 'resolved')) FROM jsonb_array_elements(hotdash.sla_report('2030-03-01', '2030-04-01', 'tap ny') -> 'by_day') AS d),
	'{2030-03-10 2 1}', 'days of the zone');
SELECT is((SELECT format('%s %s', pending, paused) FROM hotdash.sla_summary WHERE tenant = 'tap ny'), '1 1', 'paused');
SELECT hotdash.sla_resume(:d5, '2030-03-11 03:56+00') \g /dev/null
SELECT hotdash.sla_cancel(:d5) \g /dev/null
SELECT is((SELECT format('%s %s', pending, paused) FROM hotdash.sla_summary WHERE tenant = 'tap ny'), '0 0', 'canceled');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
SELECT is_empty('SELECT * FROM hotdash._sla_counts_audit()', 'everywhere');

/*
 * Retention
 */

SET LOCAL hotdash.now_override = '2030-03-11 15:07:30+00';
INSERT INTO hotdash._sla_event (clock, id, at, recorded_at, kind) SELECT id, 1, started_at, started_at, 'start' FROM hotdash._sla_clock WHERE policy = -1;
SELECT pg_temp.report('2030-03-08 10:00+00', '2030-03-09 17:15+00') AS report, pg_temp.summary() AS summary,
	(SELECT count(*) FROM hotdash._sla_clock WHERE policy = -1 AND closed_at >= '2030-03-09 17:00+00') AS later,
	(SELECT count(*) FROM hotdash._sla_clock WHERE policy = -1 AND closed_at IS NULL) AS open,
	(SELECT count(*) FROM hotdash._sla_clock WHERE policy = -1) AS rows \gset
SELECT set_config('hotdash.now_override', ('2030-03-09 17:00+00'::timestamptz + current_setting('hotdash.sla_retention')::interval)::text, true) \g /dev/null
SELECT is(pg_temp.fold(), 0::bigint, 'time goes by');
SELECT is((SELECT count(*) FROM hotdash._sla_clock WHERE policy = -1), (:later + :open)::bigint, 'clocks are deleted that were closed too long ago');
SELECT is((SELECT count(*) FROM hotdash._sla_event WHERE clock BETWEEN -30000 AND -1), (:later + :open)::bigint, 'with their events');
SET LOCAL hotdash.now_override = '2030-03-11 15:07:30+00';
SELECT is(pg_temp.summary(), :'summary', 'they stay counted');
SELECT is(pg_temp.report('2030-03-08 10:00+00', '2030-03-09 17:15+00'), :'report', 'in reports too');
SELECT is(pg_temp.problems(), 'none', 'the others are as a count says');
SELECT is(hotdash.sla_report('2030-03-08 10:07+00', '2030-03-10 10:07+00') ->> 'from', '2030-03-08T10:00:00+00:00', 'a window that cannot be exact any more begins with its quarter');
SELECT is(hotdash.sla_report('2030-03-08 10:07+00', '2030-03-10 10:07+00') ->> 'to', '2030-03-10T10:07:00+00:00', 'where it can, it ends where it was told');
SELECT is(hotdash.sla_report('2030-03-08 10:00+00', '2030-03-10 10:00+00') #>> '{by_metric,0,median_seconds}', NULL, 'and how long they took is not known');

/*
 * TRUNCATE, and triggers that were switched off
 */

SAVEPOINT s;
TRUNCATE hotdash._sla_clock;
SELECT is(pg_temp.problems(), 'none', 'TRUNCATE');
SELECT is(hotdash.sla_report('2000-01-01', '2040-01-01') #>> '{totals,started}', (:rows - :later - :open)::text, 'leaves what retention had deleted');
SELECT is(pg_temp.fold(), 0::bigint, 'and is folded');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
ROLLBACK TO s;
SELECT is(pg_temp.problems(), 'none', 'a TRUNCATE that is rolled back');
SET LOCAL session_replication_role = replica;
UPDATE hotdash._sla_clock SET priority = 'replica', state = 'paused', closed_at = NULL WHERE id % 3 = 0 AND policy = -1;
SET LOCAL session_replication_role = origin;
SELECT isnt(pg_temp.problems(), 'none', 'triggers that do not fire are missed');
SELECT cmp_ok(hotdash._sla_recount(), '>', 0::bigint, 'until all is counted anew');
SELECT is(pg_temp.problems(), 'none', 'as a count says');

/*
 * Who may see them
 */

CREATE ROLE tap_viewer;
CREATE ROLE tap_producer;
SELECT hotdash.access_grant('tap_viewer', 'viewer') \g /dev/null
SELECT hotdash.access_grant('tap_producer', 'producer') \g /dev/null
SET LOCAL ROLE tap_viewer;
SELECT lives_ok('SELECT count(*) FROM hotdash.sla_summary', 'a viewer reads the summary');
SELECT lives_ok($$SELECT hotdash.sla_report('2030-03-08', '2030-03-11')$$, 'and reports');
SELECT throws_ok('DELETE FROM hotdash._sla_tally', '42501', NULL, 'but changes nothing');
SET LOCAL ROLE tap_producer;
SELECT throws_ok('SELECT count(*) FROM hotdash.sla_summary', '42501', NULL, 'a producer does not');
RESET ROLE;
SET LOCAL hotdash.tenant = 'tap 1';
SET LOCAL ROLE tap_viewer;
SELECT is((SELECT array_agg(DISTINCT tenant) FROM hotdash.sla_summary), '{tap 1}', 'a tenant sees its own numbers alone');
SELECT is(hotdash.sla_report('2030-03-10', '2030-03-11') ->> 'tenant', 'tap 1', 'in reports too');
SELECT is((SELECT array_agg(t ->> 'tenant') FROM jsonb_array_elements(hotdash.sla_report('2030-03-10', '2030-03-11') -> 'by_tenant') AS t), '{tap 1}', 'and no other name');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-10', '2030-03-11', 'tap 2')$$, '42501', 'permission denied for another tenant');
SELECT throws_ok($$SELECT hotdash.sla_report('2030-03-10', '2030-03-11', '')$$, '42501', 'permission denied for another tenant');
RESET ROLE;
SELECT throws_ok('SELECT hotdash._sla_counted()', '39P01', NULL, 'the trigger is no function');

SELECT * FROM finish();
ROLLBACK;
