-- Spans: started, ended, within a trace; what is kept and what is not; tenants.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL hotdash.now_override = '2031-01-01 12:00:00+00';
SELECT plan(35);

CREATE FUNCTION pg_temp.at(later interval) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2031-01-01 12:00:00+00'::timestamptz + later)::text, true)
$$;

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
	($$SELECT hotdash.span_start(NULL)$$, '22004'),
	($$SELECT hotdash.span_start('')$$, '22023'),
	($$SELECT hotdash.span_start('a', '[]')$$, '22023'),
	($$SELECT hotdash.span_start('a', jsonb_build_object('a', repeat('x', 20000)))$$, '54000'),
	($$SELECT hotdash.span_end(NULL)$$, '22004'),
	($$SELECT hotdash.span_end('a')$$, '22023'),
	($$SELECT hotdash.span_end('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true, '1')$$, '22023'),
	($$SELECT hotdash._span_add('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', NULL, 'a', 'dog', now(), now(), true, NULL, '')$$, '22023'),
	($$SELECT hotdash._span_add('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', NULL, 'a', 'client', NULL, now(), true, NULL, '')$$, '22004')
) AS t (call, code);

/*
 * Parent and child
 */

SELECT hotdash.span_start('request', '{"route": "/orders"}') AS outer \gset
SELECT matches(:'outer'::text, '^00-[0-9a-f]{32}-[0-9a-f]{16}-03$', 'a span is named by its traceparent');
SELECT is(hotdash.trace_current(), :'outer', 'and is what happens from now on');
SELECT is((SELECT ROW(name, kind, parent_id, started_at, ended_at, duration, ok, attributes, tenant)::text FROM hotdash.spans
	WHERE span_id = substr(:'outer', 37, 16)),
	ROW('request', 'internal', NULL, '2031-01-01 12:00:00+00'::timestamptz, NULL, NULL, NULL, '{"route": "/orders"}', '')::text,
	'an open span is seen, without an end');
SELECT pg_temp.at('1 s') \g /dev/null
SELECT hotdash.span_start('query') AS inner \gset
SELECT is(left(:'inner', 36), left(:'outer', 36), 'a span within it is of the same trace');
SELECT hotdash.job_kind_set('tap-span');
SELECT hotdash.job_enqueue('tap-span') AS job \gset
SELECT is((SELECT traceparent FROM hotdash._job WHERE id = :job), :'inner', 'a job belongs to the innermost');
SELECT pg_temp.at('3 s') \g /dev/null
SELECT hotdash.span_end(:'inner', false, '{"rows": 2}');
SELECT is(hotdash.trace_current(), :'outer', 'at its end the outer one goes on');
SELECT pg_temp.at('4 s') \g /dev/null
SELECT hotdash.span_end(:'outer', attributes => '{"route": "/", "status": 200}');
SELECT is(hotdash.trace_current(), NULL, 'and at its end nothing does');
SELECT set_eq(
	format($$SELECT name, parent_id, duration, ok, attributes FROM hotdash.spans WHERE trace_id = %L$$, substr(:'outer', 4, 32)),
	format($$VALUES ('request', NULL, interval '4 s', true, '{"route": "/", "status": 200}'::jsonb),
		('query', %L, '2 s', false, '{"rows": 2}')$$, substr(:'outer', 37, 16)),
	'both are kept, with parent, duration, outcome and attributes');
SELECT hotdash.span_end(:'outer', false);
SELECT is((SELECT string_agg(ok::text, ',') FROM hotdash.spans WHERE span_id = substr(:'outer', 37, 16)), 'true', 'a span ends once');
SELECT is((SELECT count(*) FROM hotdash._span_open WHERE trace_id = substr(:'outer', 4, 32)), 0::bigint, 'and is open no more');

-- Ended out of order, and in another transaction
SELECT hotdash.span_start('a') AS a \gset
SELECT hotdash.span_start('b') AS b \gset
SELECT hotdash.span_end(:'a');
SELECT is(hotdash.trace_current(), :'b', 'the end of an outer span leaves the inner one');
SELECT hotdash.trace_set(NULL);
SELECT hotdash.span_end(:'b');
SELECT is(hotdash.trace_current(), NULL, 'one that is not current leaves what is');
SELECT pg_temp.at('1 s') \g /dev/null
SELECT hotdash.span_start('c') AS c \gset
SELECT pg_temp.at('0 s') \g /dev/null
SELECT hotdash.span_end(:'c');
SELECT is((SELECT duration FROM hotdash.spans WHERE span_id = substr(:'c', 37, 16)), interval '0', 'a clock that goes back makes no span negative');

SAVEPOINT s;
SELECT hotdash.span_start('undone') AS undone \gset
ROLLBACK TO s;
SELECT is(hotdash.trace_current(), NULL, 'what is rolled back is not current');
SELECT lives_ok(format('SELECT hotdash.span_end(%L)', :'undone'), 'its end does nothing');
SELECT is_empty(format('SELECT FROM hotdash.spans WHERE trace_id = %L', substr(:'undone', 4, 32)), 'nor is it kept');

-- A trace from outside
SELECT hotdash.trace_set('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
SELECT hotdash.span_end(hotdash.span_start(repeat('ü', 150)));
SELECT is((SELECT ROW(parent_id, name)::text FROM hotdash.spans WHERE trace_id = '0af7651916cd43dd8448eb211c80319c'),
	ROW('b7ad6b7169203331', repeat('ü', 100))::text, 'hangs below the caller''s span; a long name is cut between characters');
SELECT hotdash.trace_set('00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00');
SELECT hotdash.span_start('unseen') AS unseen \gset
SELECT is(left(:'unseen', 36) || right(:'unseen', 2), '00-0af7651916cd43dd8448eb211c80319d-00', 'a trace that is not sampled is passed on');
SELECT hotdash.span_end(:'unseen');
SELECT is_empty($$SELECT FROM hotdash.spans WHERE trace_id = '0af7651916cd43dd8448eb211c80319d'$$, 'and not kept');
SELECT hotdash.trace_set(NULL);

-- Of other modules
SELECT hotdash._span_add('00-0af7651916cd43dd8448eb211c80319e-b7ad6b7169203331-01', 'b7ad6b7169203330', 'attempt', 'client',
	'2031-01-01', '2031-01-01 00:00:05', NULL, '{"n": 1}', 'acme');
SELECT is((SELECT ROW(span_id, parent_id, name, kind, duration, ok, attributes, tenant)::text FROM hotdash.spans
	WHERE trace_id = '0af7651916cd43dd8448eb211c80319e'),
	ROW('b7ad6b7169203331', 'b7ad6b7169203330', 'attempt', 'client', interval '5 s', NULL, '{"n": 1}', 'acme')::text,
	'other modules write spans that have ended');

/*
 * Tenants
 */

CREATE ROLE hotdash_test_viewer;
CREATE ROLE hotdash_test_worker;
SELECT hotdash.access_grant('hotdash_test_viewer', 'viewer');
SELECT hotdash.access_grant('hotdash_test_worker', 'worker');
SELECT hotdash.span_start('of all') AS of_all \gset
SET LOCAL hotdash.tenant = 'acme';
SET LOCAL ROLE hotdash_test_worker;
SELECT hotdash.span_start('of acme') AS of_acme \gset
SELECT hotdash.span_end(:'of_all');
SELECT throws_ok('SELECT * FROM hotdash.spans', '42501', NULL, 'a worker writes spans and sees none');
SET LOCAL ROLE hotdash_test_viewer;
SELECT throws_ok($$SELECT hotdash.span_start('mine')$$, '42501', NULL, 'a viewer sees them and writes none');
SELECT set_eq($$SELECT name FROM hotdash.spans WHERE tenant IN ('', 'acme')$$, ARRAY['attempt', 'of acme'], 'those of its tenant');
RESET ROLE;
RESET hotdash.tenant;
SELECT is((SELECT ended_at FROM hotdash.spans WHERE span_id = substr(:'of_all', 37, 16)), NULL, 'a tenant cannot end another''s span');

/*
 * What never ends
 */

SELECT pg_temp.at('8 days') \g /dev/null
SELECT ok(hotdash._span_keep(), 'the tick looks after spans');
SELECT is_empty($$SELECT FROM hotdash._span_open WHERE name IN ('of all', 'of acme')$$, 'and forgets those that never ended');

SELECT * FROM finish();
ROLLBACK;
