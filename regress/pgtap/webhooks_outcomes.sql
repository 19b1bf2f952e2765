-- What reports bring about for endpoints (breaker, refusals, days of failures), and what health() says of certificates
-- and of retention. Rolls back; needs no preload. What comes without a report is in regress/e2e/525_outcomes.pl.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

/*
 * The rules alone: opened, breaker (seconds until the probe), refusals, those of them unauthorized, failing since (seconds)
 */

CREATE FUNCTION pg_temp.after(h jsonb, news jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', a.opened, coalesce(extract(epoch FROM a.probe_at - timestamptz '2026-01-01Z')::int::text, '-'), a.rejected,
		a.unauthorized, coalesce(extract(epoch FROM timestamptz '2026-01-01Z' - a.failing_since)::int::text, '-'))
	FROM hotdash._endpoint_after(
		jsonb_populate_record(NULL::hotdash._endpoint_health,
			'{"endpoint_id":1,"failed_at":[],"opened":0,"unauthorized":0,"rejected":0,"refusals":0}' || h),
		jsonb_populate_record(NULL::hotdash._endpoint_news,
			'{"endpoint_id":1,"taken":0,"failures":0,"unauthorized":0,"rejected":0,"missing":false,"gone":false,"echo":false}' || news),
		'2026-01-01Z') AS a
$$;
CREATE FUNCTION pg_temp.open(probe_in interval, opened int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('opened', opened, 'probe_at', timestamptz '2026-01-01Z' + probe_in, 'failing_since', timestamptz '2026-01-01Z' - interval '40 s',
		'failed_at', to_jsonb(array_fill(timestamptz '2026-01-01Z' - interval '40 s', ARRAY[3])))
$$;
SELECT is(pg_temp.after(h, news), expected, what) FROM (VALUES
	('two failures', '{}'::jsonb, '{"failures":2}'::jsonb, '0 - 0 0 0'),
	('three open the breaker', '{}', '{"failures":3}', '1 30 0 0 0'),
	('one while it is open', pg_temp.open('5 s'), '{"failures":1,"failed_us":1000}', '1 5 0 0 40'),
	('three while it is open', pg_temp.open('5 s'), '{"failures":3,"failed_us":1000}', '1 5 0 0 40'),
	('the probe fails: open for twice as long', pg_temp.open('-1 s'), '{"failures":1,"failed_us":1000}', '2 60 0 0 40'),
	('one that was under way when it opened times out later', pg_temp.open('-1 s'), '{"failures":1,"failed_us":31000001}', '1 -1 0 0 40'),
	('three of those', pg_temp.open('-1 s'), '{"failures":3,"failed_us":31000001}', '1 -1 0 0 40'),
	('one that was sent as it opened', pg_temp.open('-1 s'), '{"failures":1,"failed_us":31000000}', '2 60 0 0 40'),
	('the same of the second time', pg_temp.open('-1 s', 2), '{"failures":1,"failed_us":61000001}', '2 -1 0 0 40'),
	('a success closes it', pg_temp.open('-1 s'), '{"taken":1}', '0 - 0 0 -'),
	('and failures after it begin anew', pg_temp.open('-1 s'), '{"taken":1,"failures":2}', '0 - 0 0 0'),
	('refusals open nothing', '{}', '{"rejected":3,"unauthorized":1}', '0 - 3 1 -'),
	('they add up', '{"rejected":8,"unauthorized":2}', '{"rejected":3,"unauthorized":1}', '0 - 11 3 -'),
	('until a success', '{"rejected":8,"unauthorized":2}', '{"taken":1,"rejected":1}', '0 - 1 0 -'),
	('404 begins the days of failures', '{}', '{"rejected":1,"missing":true}', '0 - 1 0 0'),
	('and does not begin them again', '{"failing_since":"2025-12-31T23:59:00Z"}', '{"rejected":1,"missing":true}', '0 - 1 0 60'),
	('another refusal does not', '{}', '{"rejected":1}', '0 - 1 0 -')
) AS v (what, h, news, expected);

/*
 * Who is told of dead deliveries
 */

SET LOCAL hotdash.tenant = 'tap-outcomes';
CREATE TEMPORARY TABLE listener AS SELECT events, hotdash.endpoint_create('http://a', events) AS id
FROM unnest(ARRAY['{*}', '{hotdash.*}', '{hotdash.delivery.*}', '{hotdash.delivery.dead}', '{hotdash.alert.*}', '{order.*}']::text[]) AS e, LATERAL (SELECT e::text[] AS events) AS x;
SELECT hotdash._event_operational('hotdash.delivery.dead', '{}', NULL, 'tap-outcomes', 0);
SELECT set_eq($$SELECT l.events::text FROM listener AS l JOIN hotdash.deliveries AS d ON d.endpoint_id = l.id$$,
	ARRAY['{hotdash.*}', '{hotdash.delivery.*}', '{hotdash.delivery.dead}'], 'who asks for it, and * does not');
SELECT ok(hotdash._event_echoes('hotdash.delivery.dead', NULL), 'its own death is not told');
SELECT ok(NOT hotdash._event_echoes('order.created', 'hotdash.delivery.dead'), 'that of others is');

/*
 * endpoint_update
 */

INSERT INTO hotdash._endpoint_health (endpoint_id, failed_at, failing_since, opened, probe_at, paused_until, unauthorized, rejected, pace, pace_at)
	SELECT id, ARRAY[now(), now(), now()], now(), 1, now() + '1 h', now() + '1 h', 3, 10, 5, now() FROM listener;
SELECT hotdash._endpoint_alert(id, 'warning', 'x', false), hotdash._endpoint_flow(ARRAY[id]) FROM listener WHERE events = '{order.*}';
SELECT hotdash.endpoint_update(id, '{"timeout":"3 s","url":"http://a"}') FROM listener WHERE events = '{order.*}';
SELECT is((SELECT breaker || ' ' || (paused_until IS NOT NULL) || ' ' || (paced_rate IS NOT NULL) FROM hotdash.endpoints JOIN listener USING (id) WHERE listener.events = '{order.*}'),
	'open true true', 'the same url: its health stays');
SELECT hotdash.endpoint_update(id, '{"url":"http://b"}') FROM listener WHERE events = '{order.*}';
SELECT is((SELECT breaker || ' ' || (paused_until IS NOT NULL) || ' ' || (paced_rate IS NOT NULL) || ' ' || (failing_since IS NOT NULL)
	FROM hotdash.endpoints JOIN listener USING (id) WHERE listener.events = '{order.*}'), 'closed false false false', 'another url: all is forgotten');
SELECT is((SELECT f.held_until FROM hotdash._job_flow AS f JOIN listener ON f.flow = 'endpoint:' || id WHERE events = '{order.*}'), NULL, 'and nothing held back');
SELECT is((SELECT a.state FROM hotdash.alerts AS a JOIN listener ON a.name = 'endpoint:' || listener.id WHERE events = '{order.*}'), 'cleared', 'the alert is over');
SELECT hotdash.endpoint_disable(id) FROM listener WHERE events = '{order.*}';
SELECT hotdash.endpoint_update(id, '{"url":"http://c"}') FROM listener WHERE events = '{order.*}';
SELECT is((SELECT string_agg(a.state || ' ' || a.severity, ', ' ORDER BY a.id) FROM hotdash.alerts AS a JOIN listener ON a.name = 'endpoint:' || listener.id WHERE events = '{order.*}'),
	'cleared warning, open info', 'but one that is disabled stays so');
SET LOCAL hotdash.tenant = '';

/*
 * health()
 */

CREATE FUNCTION pg_temp.health(name text, key text) RETURNS text LANGUAGE sql AS $$ SELECT hotdash.health() -> 'checks' -> name ->> key $$;
CREATE TEMPORARY TABLE cert AS SELECT name, hotdash.endpoint_create('http://a', tenant => tenant) AS id
FROM (VALUES ('over', 'tap-one'), ('soon', 'tap-one'), ('later', 'tap-one'), ('off', 'tap-one'), ('other', 'tap-two')) AS v (name, tenant);
SET LOCAL hotdash.tenant = 'tap-one';
SELECT is(pg_temp.health('certificates', 'status'), 'healthy', 'no client certificates');
SET LOCAL hotdash.tenant = '';
INSERT INTO hotdash._endpoint_option (endpoint_id, cert, cert_subject, cert_not_after)
	SELECT c.id, '\x00', 'CN=x', hotdash._now() + v.ends::interval FROM cert AS c
	JOIN (VALUES ('over', '-1 s'), ('soon', '13 days'), ('later', '15 days'), ('off', '-1 day'), ('other', '-2 days')) AS v (name, ends) USING (name);
SELECT hotdash.endpoint_disable(id) FROM cert WHERE name = 'off';
SELECT ok((SELECT pg_temp.health('certificates', 'expired_at_endpoints')::jsonb @> jsonb_agg(id::text) FROM cert WHERE name IN ('over', 'other')), 'certificates that expired, whoever''s');
SET LOCAL hotdash.tenant = 'tap-one';
SELECT is(pg_temp.health('certificates', 'status'), 'degraded', 'some expire or have expired');
SELECT is(pg_temp.health('certificates', 'expired_at_endpoints')::jsonb, (SELECT jsonb_agg(id::text) FROM cert WHERE name = 'over'), 'the one that has');
SELECT is(pg_temp.health('certificates', 'expire_soon_at_endpoints')::jsonb, (SELECT jsonb_agg(id::text) FROM cert WHERE name = 'soon'), 'the one that will within two weeks');
SELECT is(pg_temp.health('certificates', 'expired') || ' ' || pg_temp.health('certificates', 'expire_soon'), '1 1', 'how many; neither those of disabled endpoints nor of another tenant');
SET LOCAL hotdash.tenant = '';

INSERT INTO hotdash._part (family, part, days, opened_at, closed_at) VALUES
	('tap', 1, 7, hotdash._now() - interval '20 days', hotdash._now() - interval '8 days 1 second'),
	('tap', 2, 7, hotdash._now() - interval '20 days', hotdash._now() - interval '7 days 23 hours'),
	('tap', 3, 32767, hotdash._now() - interval '20 days', hotdash._now() - interval '20 days');
SELECT is(pg_temp.health('retention', 'status'), 'degraded', 'a part is overdue');
SELECT ok(pg_temp.health('retention', 'overdue')::jsonb @> '["tap 1"]', 'which one');
SELECT ok(NOT pg_temp.health('retention', 'overdue')::jsonb ?| '{tap 2,tap 3}', 'not one that is due since yesterday, nor one that is kept for good');
SET LOCAL hotdash.tenant = 'tap-one';
SELECT is(pg_temp.health('retention', 'overdue'), NULL, 'a tenant is not told which');

SELECT * FROM finish();
ROLLBACK;
