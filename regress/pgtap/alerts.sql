-- Alerts: raised once, escalated once, cleared once, told as webhooks; silences, levels, queues, tenants.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL hotdash.now_override = '2031-01-01 12:00:00+00';
SELECT plan(93);

-- On a live database there may be others.
DELETE FROM hotdash._endpoint;
DELETE FROM hotdash._alert;
DELETE FROM hotdash._alert_silence;
DELETE FROM hotdash._alert_signal;
UPDATE hotdash._queue SET alert_at = NULL, escalate_at = NULL;
CREATE TEMPORARY TABLE seen (id text);
CREATE FUNCTION pg_temp.at(later interval) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2031-01-01 12:00:00+00'::timestamptz + later)::text, true)
$$;
-- What was published since this was asked last.
CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE sql AS $$
	WITH new AS (
		INSERT INTO seen SELECT m.id FROM hotdash._message AS m
			WHERE m.event_type LIKE 'hotdash.%' AND m.id NOT IN (SELECT id FROM seen)
		RETURNING id)
	SELECT coalesce(string_agg(substr(m.event_type, 15) || ' ' || (convert_from(m.body, 'UTF8')::jsonb ->> 'name'), ', '
		ORDER BY (SELECT min(d.id) FROM hotdash._delivery AS d WHERE d.message_id = m.id)), '')
	FROM hotdash._message AS m JOIN new USING (id)
$$;
CREATE FUNCTION pg_temp.states(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(a.state || ' ' || a.severity, ', ' ORDER BY a.id) FROM hotdash.alerts AS a WHERE a.name = states.name
$$;
SELECT hotdash.endpoint_create('https://ops.example/hook', events => '{hotdash.alert.*}') AS ops \gset
SELECT pg_temp.told() \g /dev/null

/*
 * Arguments
 */

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
	($$SELECT hotdash.alert_raise(NULL, 'info', 'm')$$, '22004'),
	($$SELECT hotdash.alert_raise('a', NULL, 'm')$$, '22004'),
	($$SELECT hotdash.alert_raise('a', 'info', NULL)$$, '22004'),
	($$SELECT hotdash.alert_raise('', 'info', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise('a b', 'info', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise(E'a\n', 'info', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise(repeat('a', 129), 'info', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise('a', 'fatal', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise('a', 'INFO', 'm')$$, '22023'),
	($$SELECT hotdash.alert_raise('a', 'info', 'm', '[]')$$, '22023'),
	($$SELECT hotdash.alert_raise('a', 'info', 'm', jsonb_build_object('a', repeat('x', 20000)))$$, '54000'),
	($$SELECT hotdash.alert_clear(NULL)$$, '22004'),
	($$SELECT hotdash.alert_clear('a b')$$, '22023'),
	($$SELECT hotdash.alert_ack(NULL, 'anna')$$, '22004'),
	($$SELECT hotdash.alert_ack(1, NULL)$$, '22004'),
	($$SELECT hotdash.alert_ack(1, ' ')$$, '22023'),
	($$SELECT hotdash.alert_ack(-1, 'anna')$$, '42704'),
	($$SELECT hotdash.alert_silence(NULL, 'infinity', 'anna')$$, '22004'),
	($$SELECT hotdash.alert_silence('a', NULL, 'anna')$$, '22004'),
	($$SELECT hotdash.alert_silence('a', 'infinity', NULL)$$, '22004'),
	($$SELECT hotdash.event_publish('hotdash.alert.raised', '{}')$$, '22023'),
	($$SELECT hotdash.queue_set('tap-alerts', alert_at => 0)$$, '22023'),
	($$SELECT hotdash.queue_set('tap-alerts', escalate_at => 10)$$, '22023'),
	($$SELECT hotdash.queue_set('tap-alerts', alert_at => 10, escalate_at => 10)$$, '22023')
) AS t (call, code);
SELECT is((SELECT count(*) FROM hotdash.alerts), 0::bigint, 'none of which raised one');

/*
 * From a crossing to its end
 */

SELECT hotdash.alert_raise('disk', 'warning', E'90 %\n of it', '{"mount": "/"}');
SELECT is(pg_temp.told(), 'raised disk', 'a raise is told');
SELECT is((SELECT ROW(a.state, a.severity, a.message, a.fields, a.times_seen, a.tenant, a.rule)::text FROM hotdash.alerts AS a),
	ROW('open', 'warning', '90 %  of it', '{"mount": "/"}', 1, '', NULL)::text, 'and seen, without control characters');
SELECT is((SELECT convert_from(m.body, 'UTF8')::jsonb FROM hotdash._message AS m WHERE m.event_type = 'hotdash.alert.raised'),
	(SELECT jsonb_build_object('id', a.id::text, 'name', 'disk', 'tenant', '', 'severity', 'warning', 'message', '90 %  of it',
		'fields', a.fields, 'raised_at', a.raised_at, 'last_seen_at', a.last_seen_at, 'times_seen', 1) FROM hotdash.alerts AS a),
	'the event says all of it, the id as a string');
SELECT hotdash.alert_raise('disk', 'warning', '91 %') FROM generate_series(1, 100);
SELECT is((SELECT (times_seen, message)::text FROM hotdash.alerts), '(1,"90 %  of it")', 'a storm of raises leaves it as it is');
SELECT pg_temp.at('11 s') \g /dev/null
SELECT hotdash.alert_raise('disk', 'info', '92 %') FROM generate_series(1, 100);
SELECT is((SELECT ROW(times_seen, message, last_seen_at - raised_at, severity)::text FROM hotdash.alerts),
	'(2,"92 %",00:00:11,warning)', 'until ten seconds have passed; a lower severity lowers nothing');
SELECT is(pg_temp.told(), '', 'and is told no more');
SELECT hotdash.alert_ack(id, 'anna') FROM hotdash.alerts;
SELECT hotdash.alert_ack(id, 'bert') FROM hotdash.alerts;
SELECT is((SELECT ROW(state, acknowledged_by)::text FROM hotdash.alerts), '(acknowledged,anna)', 'the first to acknowledge it does');
SELECT is(pg_temp.told(), 'acknowledged disk', 'once');
SELECT hotdash.alert_raise('disk', 'critical', '99 %') FROM generate_series(1, 10);
SELECT is(pg_temp.told(), 'escalated disk', 'a higher severity is told at once, and once');
SELECT is((SELECT ROW(state, severity, message, escalated_at - raised_at)::text FROM hotdash.alerts), '(open,critical,"99 %",00:00:11)',
	'and has to be acknowledged anew');
SELECT hotdash.alert_clear('disk') FROM generate_series(1, 10);
SELECT is(pg_temp.told(), 'cleared disk', 'a clear is told once');
SELECT is(pg_temp.states('disk'), 'cleared critical', 'and ends it');
SELECT hotdash.alert_ack(id, 'anna') FROM hotdash.alerts;
SELECT is(pg_temp.told(), '', 'to acknowledge it then changes nothing');
SELECT hotdash.alert_raise('disk', 'info', 'again');
SELECT is(pg_temp.told(), 'raised disk', 'a raise after that is a new crossing');
SELECT is(pg_temp.states('disk'), 'cleared critical, open info', 'with an id of its own');
SELECT hotdash.alert_clear('disk');
SELECT hotdash.alert_clear('never');
SELECT is(pg_temp.told(), 'cleared disk', 'a name that is not raised has nothing to clear');

SAVEPOINT s;
SELECT hotdash.alert_raise('undone', 'info', 'm');
ROLLBACK TO s;
SELECT is(pg_temp.told(), '', 'what is rolled back is not told');
SELECT hotdash.alert_raise('undone', 'info', 'm');
SELECT is(pg_temp.told(), 'raised undone', 'and can be raised again');
SELECT hotdash.alert_clear('undone');
SELECT pg_temp.told() \g /dev/null

/*
 * Silence
 */

SELECT hotdash.alert_silence('noisy', '2031-01-01 13:00:00+00', 'anna');
SELECT hotdash.alert_raise('noisy', 'warning', 'm');
SELECT is((SELECT ROW(state, silenced_until, silenced_by)::text FROM hotdash.alerts WHERE name = 'noisy'),
	ROW('open', '2031-01-01 13:00:00+00'::timestamptz, 'anna')::text, 'a silenced alert is recorded');
SELECT hotdash.alert_raise('noisy', 'critical', 'm');
SELECT hotdash.alert_ack(id, 'anna') FROM hotdash.alerts WHERE name = 'noisy';
SELECT pg_temp.at('59 min') \g /dev/null
SELECT hotdash._alert_catch_up(100);
SELECT is(pg_temp.told(), '', 'and nothing of it is told');
SELECT pg_temp.at('61 min') \g /dev/null
SELECT hotdash._alert_catch_up(100);
SELECT hotdash._alert_catch_up(100);
SELECT is(pg_temp.told(), 'raised noisy', 'until the silence ends; then, as it is open still, once');
SELECT hotdash.alert_silence('noisy', '2031-01-01 14:00:00+00', 'anna');
SELECT hotdash.alert_clear('noisy');
SELECT is(pg_temp.told(), '', 'a clear is silenced too');
SELECT hotdash.alert_raise('noisy', 'info', 'm');
SELECT hotdash.alert_clear('noisy');
SELECT hotdash.alert_raise('noisy', 'info', 'm');
SELECT hotdash.alert_silence('noisy', '2031-01-01 15:00:00+00', 'anna');
SELECT pg_temp.at('121 min') \g /dev/null
SELECT hotdash._alert_catch_up(100);
SELECT is(pg_temp.told(), '', 'a silence can be prolonged');
SELECT hotdash.alert_silence('noisy', '2031-01-01 12:00:00+00', 'anna');
SELECT hotdash._alert_catch_up(100);
SELECT is(pg_temp.told(), 'cleared noisy, raised noisy', 'or ended: what is told is what receivers know and is no more, and what is now');
SELECT is(pg_temp.states('noisy'), 'cleared critical, cleared info, open info', 'not what came and went meanwhile');
SELECT hotdash._alert_sweep(100);
SELECT is((SELECT count(*) FROM hotdash._alert_silence), 0::bigint, 'silences that are over go');
SELECT hotdash.alert_clear('noisy');

/*
 * Signals that were left, since somebody else was at the alert
 */

SELECT pg_temp.told() \g /dev/null
INSERT INTO hotdash._alert_signal (id, at, quiet, tenant, name, verb, severity, message) VALUES
	(nextval('hotdash._alert_id'), hotdash._now(), false, '', 'left', 'raise', 1, 'one'),
	(nextval('hotdash._alert_id'), hotdash._now(), false, '', 'left', 'clear', NULL, NULL),
	(nextval('hotdash._alert_id'), hotdash._now(), false, '', 'left', 'raise', 2, 'two');
SELECT hotdash.alert_raise('left', 'warning', 'three');
SELECT is((SELECT count(*) FROM hotdash._alert_signal), 3::bigint, 'a raise that is there already is not left twice');
SELECT hotdash.alert_clear('left');
SELECT is(pg_temp.states('left'), 'cleared info, cleared warning', 'they are applied first, in order');
SELECT is(pg_temp.told(), 'raised left, cleared left, raised left, cleared left', 'and told');
SELECT is((SELECT count(*) FROM hotdash._alert_signal), 0::bigint, 'once');

/*
 * Levels
 */

CREATE FUNCTION pg_temp.level(value float8) RETURNS text LANGUAGE sql AS $$
	SELECT hotdash._alert_level('level', value, ROW(50, 40, 100, 80), 'm', '{}', 'tap');
	SELECT pg_temp.told();
$$;
SELECT is(pg_temp.level(value), told, format('%s: %s', value, told)) FROM (VALUES
	(49, ''), (50, 'raised level'), (49, ''), (40, ''), (99, ''), (100, 'escalated level'), (99, ''), (80, ''), (101, ''),
	(79, ''), (100, 'escalated level'), (39.9, 'cleared level'), (49, ''), (100, 'raised level'), (0, 'cleared level')
) AS t (value, told);

-- A walk at random, against a reckoning of its own.
CREATE FUNCTION pg_temp.walk(steps int) RETURNS TABLE (expected bigint, got bigint, crossings bool) LANGUAGE plpgsql AS $$
DECLARE
	value int := 45;
	state int := 0;
	events bigint := 0;
BEGIN
	PERFORM pg_temp.told();
	PERFORM setseed(0.4711);
	FOR i IN 1 .. steps LOOP
		value := greatest(0, value + (floor(random() * 41) - 20)::int - (value - 60) / 20);
		PERFORM hotdash._alert_level('walk', value, ROW(50, 40, 100, 80), 'm', '{}', 'tap');
		IF state = 2 AND value < 80 THEN state := 1; END IF;
		IF state < 2 AND value >= 100 THEN state := 2; events := events + 1;
		ELSIF state = 0 AND value >= 50 THEN state := 1; events := events + 1;
		ELSIF state > 0 AND value < 40 THEN state := 0; events := events + 1;
		END IF;
	END LOOP;
	RETURN QUERY SELECT events, array_length(string_to_array(pg_temp.told(), ','), 1)::bigint, events > 30;
END
$$;
SELECT is(w.got, w.expected, 'a random walk tells each crossing once') FROM pg_temp.walk(2000) AS w WHERE w.crossings;
SELECT hotdash._alert_clear('walk');

/*
 * Queues
 */

SELECT hotdash.queue_set('tap-alerts', alert_at => 5, escalate_at => 10);
SELECT hotdash.job_kind_set('tap-alerts', queue => 'tap-alerts');
CREATE FUNCTION pg_temp.ready(n int) RETURNS text LANGUAGE sql AS $$
	SELECT hotdash.job_cancel(id) FROM hotdash._job WHERE queue = 'tap-alerts';
	SELECT hotdash.job_enqueue('tap-alerts') FROM generate_series(1, n);
	SELECT hotdash._alert_queues();
	SELECT pg_temp.told();
$$;
SELECT pg_temp.told() \g /dev/null
SELECT is(pg_temp.ready(n), told, format('%s ready: %s', n, told)) FROM (VALUES
	(4, ''), (5, 'raised queue:tap-alerts'), (4, ''), (10, 'escalated queue:tap-alerts'), (3, 'cleared queue:tap-alerts')
) AS t (n, told);
SELECT pg_temp.ready(6) \g /dev/null
SELECT is((SELECT ROW(severity, message, fields, rule)::text FROM hotdash.alerts WHERE name = 'queue:tap-alerts' AND state = 'open'),
	ROW('warning', '6 jobs are ready in queue tap-alerts',
		'{"queue": "tap-alerts", "depth": 6, "alert_at": 5, "escalate_at": 10}'::jsonb, 'queue')::text, 'it says what it saw');
SELECT hotdash.queue_set('tap-alerts');
SELECT hotdash._alert_queues();
SELECT is(pg_temp.told(), 'cleared queue:tap-alerts', 'without a threshold there is no alert');

/*
 * No loops
 */

SELECT hotdash._alert_raise('endpoint:x', 'critical', 'm', about => :ops);
SELECT is(pg_temp.told(), '', 'an endpoint is not told about itself');
SELECT hotdash.endpoint_create('https://other.example/hook') AS other \gset
SELECT hotdash._alert_clear('endpoint:x');
SELECT is((SELECT array_agg(d.endpoint_id) FROM hotdash._delivery AS d JOIN hotdash._message AS m ON m.id = d.message_id
	WHERE m.event_type LIKE 'hotdash.%' AND d.endpoint_id = :other), ARRAY[:other]::bigint[], 'others are');
SELECT pg_temp.told() \g /dev/null
SELECT hotdash._alert_raise('endpoint:y', 'warning', 'm', about => :ops, quiet => true);
SELECT hotdash._alert_raise('endpoint:y', 'critical', 'm', about => :ops, quiet => true);
SELECT hotdash._alert_clear('endpoint:y', quiet => true);
SELECT is(pg_temp.told(), '', 'what delivering operational events led to is told to nobody');
SELECT is(pg_temp.states('endpoint:y'), 'cleared critical', 'and recorded');
SELECT hotdash._alert_raise('endpoint:y', 'warning', 'm', quiet => true);
SELECT hotdash._alert_raise('endpoint:y', 'critical', 'm');
SELECT is(pg_temp.told(), 'raised endpoint:y', 'a raise for another reason is told');

/*
 * Tenants and levels of access
 */

CREATE ROLE hotdash_test_producer;
CREATE ROLE hotdash_test_operator;
SELECT hotdash.access_grant('hotdash_test_producer', 'producer');
SELECT hotdash.access_grant('hotdash_test_operator', 'operator');
SELECT hotdash.endpoint_create('https://acme.example/hook', tenant => 'acme') AS acme \gset
SELECT hotdash.alert_raise('disk', 'warning', 'of all');
SELECT id AS of_all FROM hotdash.alerts WHERE name = 'disk' AND state = 'open' \gset
SELECT pg_temp.told() \g /dev/null
SET LOCAL hotdash.tenant = 'acme';
SET LOCAL ROLE hotdash_test_producer;
SELECT hotdash.alert_clear('disk');
SELECT hotdash.alert_raise('disk', 'critical', 'of acme');
SELECT throws_ok('SELECT * FROM hotdash.alerts', '42501', NULL, 'a producer raises and sees nothing');
SELECT throws_ok($$SELECT hotdash.alert_ack(1, 'me')$$, '42501', NULL, 'and acknowledges nothing');
SELECT throws_ok($$SELECT hotdash.alert_silence('disk', 'infinity', 'me')$$, '42501', NULL, 'nor silences');
SET LOCAL ROLE hotdash_test_operator;
SELECT is((SELECT string_agg(message, ',') FROM hotdash.alerts), 'of acme', 'a tenant sees its own alerts');
SELECT throws_ok(format($$SELECT hotdash.alert_ack(%s, 'me')$$, :of_all), '42704', NULL, 'and cannot tell that there are others');
SELECT hotdash.alert_silence('disk', 'infinity', 'me');
RESET ROLE;
RESET hotdash.tenant;
SELECT is((SELECT string_agg(DISTINCT d.endpoint_id::text, ',') FROM hotdash._delivery AS d WHERE d.tenant = 'acme'), :'acme',
	'they go to its endpoints');
SELECT is((SELECT string_agg(tenant || ' ' || state || coalesce(' ' || silenced_until, ''), ', ' ORDER BY tenant) FROM hotdash.alerts
	WHERE name = 'disk' AND state <> 'cleared'), ' open, acme open infinity', 'one of the same name is another');

/*
 * Old ones go
 */

SELECT pg_temp.at('91 days') \g /dev/null
SELECT hotdash.alert_raise('fresh', 'info', 'm');
SELECT hotdash.alert_clear('fresh');
SELECT ok(hotdash._alert_sweep(2), 'so many at a time');
SELECT ok(NOT hotdash._alert_sweep(1000), 'until all are gone');
SELECT is((SELECT string_agg(name || ' ' || state, ', ' ORDER BY name, tenant) FROM hotdash.alerts),
	'disk open, disk open, endpoint:y open, fresh cleared', 'cleared alerts are kept for hotdash.alert_retention, open ones for ever');

SELECT * FROM finish();
ROLLBACK;
