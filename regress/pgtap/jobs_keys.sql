-- Order keys and caps: arguments, lines, and dead jobs of a key. What holds up what shows between
-- transactions: regress/isolation/specs/jobs-keys.spec and jobs-caps.spec.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
BEGIN;
SELECT no_plan();

SELECT hotdash.queue_set('tap');
SELECT hotdash.job_kind_set('tap', queue => 'tap', max_attempts => 2), hotdash.job_kind_set('tap-wide', queue => 'tap', concurrency_per_key => 2),
	hotdash.job_kind_set('tap-few', queue => 'tap', concurrency => 1) \g /dev/null

SELECT throws_ok(call, state, NULL, format('%s: %s', state, call)) FROM (VALUES
	($$SELECT hotdash.job_kind_set('tap', concurrency => 0)$$, '22023'),
	($$SELECT hotdash.job_kind_set('tap', concurrency => -1)$$, '22023'),
	($$SELECT hotdash.job_kind_set('tap', concurrency_per_key => 0)$$, '22023'),
	($$SELECT hotdash.job_kind_set('tap', concurrency_per_key => -1)$$, '22023'),
	($$SELECT hotdash.queue_set('tap', concurrency => 0)$$, '22023'),
	($$SELECT hotdash.queue_set('tap', concurrency => -1)$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', order_key => '')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', order_key => repeat('x', 1025))$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', order_key => repeat('é', 513))$$, '22023'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1', '2']::jsonb[], order_keys => ARRAY['a'])$$, '2202E'),
	($$SELECT hotdash.job_enqueue('tap', unique_key => (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) AS i))$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', unique_key => 'k', tenant => (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) AS i))$$, '22023'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1']::jsonb[], unique_keys => ARRAY[repeat('x', 1025)])$$, '22023'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1']::jsonb[], order_keys => ARRAY['a', 'b'])$$, '2202E'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1']::jsonb[], order_keys => ARRAY[''])$$, '22023')) AS v (call, state);
SELECT lives_ok(format('SELECT hotdash.job_enqueue(%L, order_key => %L)', 'tap', repeat('x', 1024)), 'a key of 1024 bytes');
DELETE FROM hotdash._job WHERE queue = 'tap';

SELECT hotdash.job_enqueue_many('tap', ARRAY['"a"', '"b"', '"c"', '"d"']::jsonb[], order_keys => ARRAY['k', NULL, 'k', 'l']) \g /dev/null
SELECT results_eq($$SELECT trim(payload::text, '"') COLLATE "C", order_key COLLATE "C" FROM hotdash.jobs WHERE queue = 'tap' ORDER BY id$$,
	$$VALUES ('a' COLLATE "C", 'k' COLLATE "C"), ('b', NULL), ('c', 'k'), ('d', 'l')$$, 'order_keys go with the payloads; null is none');
SELECT is(count(DISTINCT line), 2::bigint, 'one key is one line') FROM hotdash._job WHERE queue = 'tap' AND order_key IS NOT NULL;
SELECT is(hotdash._job_line('tap', p::smallint, k, '', NULL, 'x', NULL), hotdash._job_line('tap', 0::smallint, 'a', '', NULL, 'x', NULL), 'whatever the priority and the kind')
FROM (VALUES (0, 'b'), (9, 'a'), (9, 'b')) AS v (p, k);
SELECT isnt(hotdash._job_line(q, 0::smallint, 'a', t, NULL, x, n), hotdash._job_line('tap', 0::smallint, 'a', '', NULL, 'x', NULL), 'not whatever ' || what)
FROM (VALUES ('other', '', 'x', NULL, 'the queue'), ('tap', 't', 'x', NULL, 'the tenant'), ('tap', '', 'y', NULL, 'the key'), ('tap', '', 'x', 2, 'the width')) AS v (q, t, x, n, what);

-- A dead job of a key comes back into its line
INSERT INTO hotdash._job_dead (id, enqueued_at, died_at, priority, attempt, max_attempts, reason, queue, kind, tenant, order_key)
	VALUES (4503599627370400, now(), now(), 5, 2, 2, 'attempts', 'tap', 'tap', '', 'k'), (4503599627370401, now(), now(), 5, 2, 2, 'attempts', 'tap', 'tap-wide', '', 'k');
SELECT is(hotdash.job_retry(4503599627370400), true, 'a dead job of a key is brought back');
SELECT is(hotdash.job_retry(4503599627370401), true, 'and one of a kind with a width');
SELECT is((SELECT line FROM hotdash._job WHERE id = 4503599627370400), (SELECT DISTINCT line FROM hotdash._job WHERE order_key = 'k' AND kind = 'tap'), 'into the line of its key');
SELECT is((SELECT line_at IS NULL FROM hotdash._job WHERE id = 4503599627370400), true, 'where ids alone count');
SELECT is((SELECT line_at IS NULL FROM hotdash._job WHERE id = 4503599627370401), false, 'or time');
SELECT is((SELECT count(*) FROM hotdash._job_memory()), 7::bigint, '_job_memory: seven parts');
SELECT is((SELECT count(*) FROM hotdash._job_memory() WHERE used < 0 OR used > slots OR running < 0), 0::bigint, 'within their bounds');

SELECT * FROM finish();
ROLLBACK;
