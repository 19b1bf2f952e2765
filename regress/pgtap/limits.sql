-- Rate limits: the buckets of one session, on a stopped clock. What is taken survives the rollback at the
-- end, so the keys are new in each run.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(77);

CREATE TEMPORARY TABLE run AS SELECT gen_random_uuid()::text AS id;

-- What a bucket grants of want at so many seconds, and after how many seconds one more fits.
CREATE FUNCTION pg_temp.take(at numeric, key text, count int, period interval, algorithm text, want int)
	RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer record;
	now CONSTANT timestamptz := '2040-01-01 00:00:00+00'::timestamptz + at * interval '1 second';
BEGIN
	PERFORM set_config('hotdash.now_override', now::text, true);
	SELECT * INTO answer FROM hotdash._limit_take((SELECT id FROM run) || key, count, period, algorithm, want);
	RETURN format('%s %s', answer.granted, extract(epoch FROM answer.next_at - now)::float8);
END
$$;

/*
 * GCRA
 */

SELECT is(pg_temp.take(0, 'api', 100, '1 min', 'gcra', 1), '1 0', '100 a minute: the first');
SELECT is(pg_temp.take(0, 'api', 100, '1 min', 'gcra', 98), '98 0', 'the next 98');
SELECT is(pg_temp.take(0, 'api', 100, '1 min', 'gcra', 2), '1 0.6', 'of two more, one');
SELECT is(pg_temp.take(0.599999, 'api', 100, '1 min', 'gcra', 1), '0 1e-06', 'a microsecond early');
SELECT is(pg_temp.take(0.6, 'api', 100, '1 min', 'gcra', 1), '1 0.6', 'and on time');
SELECT is(pg_temp.take(0.6, 'api', 100, '1 min', 'gcra', 0), '0 0.6', 'none wanted, none taken');
SELECT is(pg_temp.take(60.6, 'api', 100, '1 min', 'gcra', 200), '100 0.6', 'full after a minute');
SELECT is(pg_temp.take(60.6, 'other', 100, '1 min', 'gcra', 0), '0 0', 'another key is another bucket');
SELECT is(pg_temp.take(0, 'fast', 6000, '1 s', 'gcra', 9999), '6000 0.000167', '6,000 a second');

/*
 * The exact log
 */

SELECT is(pg_temp.take(0, 'auth', 5, '1 min', 'log', 2), '2 0', '5 a minute: two');
SELECT is(pg_temp.take(10, 'auth', 5, '1 min', 'log', 9), '3 50', 'three more, and the next when the first two go');
SELECT is(pg_temp.take(59.999999, 'auth', 5, '1 min', 'log', 1), '0 1e-06', 'a microsecond early');
SELECT is(pg_temp.take(60, 'auth', 5, '1 min', 'log', 9), '2 10', 'two at the minute');
SELECT is(pg_temp.take(69.999999, 'auth', 5, '1 min', 'log', 1), '0 1e-06', 'three from ten seconds later on');
SELECT is(pg_temp.take(70, 'auth', 5, '1 min', 'log', 9), '3 50', 'and here they are');
SELECT is((SELECT string_agg(left(pg_temp.take(i, 'single', 40, '100 s', 'log', 1), 1), '' ORDER BY i) FROM generate_series(0, 119) AS i),
	repeat('1', 40) || repeat('0', 60) || repeat('1', 20), 'one by one');

/*
 * All or nothing, as the reply of CL.THROTTLE: limited, remaining, reset, retry
 */

CREATE FUNCTION pg_temp.throttle(at numeric, key text, cost int, algorithm text DEFAULT 'gcra', count int DEFAULT 5)
	RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer record;
	now CONSTANT timestamptz := '2040-01-01 00:00:00+00'::timestamptz + at * interval '1 second';
BEGIN
	PERFORM set_config('hotdash.now_override', now::text, true);
	SELECT * INTO answer
	FROM hotdash._limit_take((SELECT id FROM run) || key, count, count * interval '1 s', algorithm, cost, whole => true);
	RETURN concat_ws(' ', CASE WHEN answer.granted = cost THEN 0 ELSE 1 END, answer.remaining,
		extract(epoch FROM answer.reset_at - now)::float8,
		CASE WHEN answer.retry_at = 'infinity' THEN 'never' ELSE extract(epoch FROM answer.retry_at - now)::float8::text END);
END
$$;

SELECT is(pg_temp.throttle(t, 'cell', q), answer, format('redis-cell: %s at %s s', q, t))
FROM (VALUES (0, 6, '1 5 0 never'), (0, 1, '0 4 1 0'), (0, 1, '0 3 2 0'), (0, 1, '0 2 3 0'), (0, 1, '0 1 4 0'),
	(0, 1, '0 0 5 0'), (0, 1, '1 0 5 1'), (3.0, 1, '0 2 3 0'), (3.1, 1, '0 1 3.9 0'), (4.0, 1, '0 1 4 0'),
	(8.0, 1, '0 4 1 0'), (9.5, 1, '0 4 1 0'), (9.5, 0, '0 4 1 0'), (9.5, 2, '0 2 3 0'), (9.5, 5, '1 2 3 3'),
	(15, 6, '1 5 0 never')) AS v (t, q, answer);
SELECT is(pg_temp.throttle(t, 'cell', q, 'log'), answer, format('the log: %s at %s s', q, t))
FROM (VALUES (20, 6, '1 5 0 never'), (20, 2, '0 3 5 0'), (21, 2, '0 1 5 0'), (22, 2, '1 1 4 3'), (22, 4, '1 1 4 4'),
	(22, 0, '0 1 4 0'), (25, 3, '0 0 5 0'), (25, 5, '1 0 5 5')) AS v (t, q, answer);

/*
 * Given back
 */

CREATE FUNCTION pg_temp.refund(at numeric, key text, count int, period interval, algorithm text, n int, taken numeric)
	RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	midnight CONSTANT timestamptz := '2040-01-01 00:00:00+00';
BEGIN
	PERFORM set_config('hotdash.now_override', (midnight + at * interval '1 second')::text, true);
	RETURN hotdash._limit_refund((SELECT id FROM run) || key, count, period, algorithm, n, midnight + taken * interval '1 second');
END
$$;

SELECT is(pg_temp.refund(0, 'back', 5, '1 min', 'gcra', 3, 0), 0::bigint, 'an unknown bucket takes nothing back');
SELECT is(pg_temp.take(0, 'back', 5, '1 min', 'gcra', 3), '3 0', 'three of five');
SELECT is(pg_temp.refund(0, 'back', 5, '1 min', 'gcra', 2, 0), 2::bigint, 'two of them back');
SELECT is(pg_temp.refund(0, 'back', 5, '1 min', 'gcra', 2, 0), 1::bigint, 'and one: never above full');
SELECT is(pg_temp.take(0, 'back', 5, '1 min', 'gcra', 9), '5 12', 'five are there');
SELECT is(pg_temp.take(0, 'home', 5, '1 min', 'log', 2) || pg_temp.take(10, 'home', 5, '1 min', 'log', 3), '2 03 50', 'a log: two, and three');
SELECT is(pg_temp.refund(20, 'home', 5, '1 min', 'log', 9, 10), 3::bigint, 'the three go back');
SELECT is(pg_temp.take(20, 'home', 5, '1 min', 'log', 9), '3 40', 'and can be taken');
SELECT is(pg_temp.refund(60, 'home', 5, '1 min', 'log', 2, 0), 0::bigint, 'what counts no longer does not go back');
SELECT is(pg_temp.take(60, 'home', 5, '1 min', 'log', 9), '2 20', 'so nothing comes of it');
SELECT is(pg_temp.take(0, 'strict', 2000, '1 min', NULL, 50), '50 0', 'a window too large for a log');
SELECT is(pg_temp.refund(0, 'strict', 2000, '1 min', NULL, 50, 0), 0::bigint, 'takes nothing back');

/*
 * Another policy for the same key
 */

SELECT is(pg_temp.take(0, 'change', 100, '1 min', 'gcra', 2), '2 0', 'two of 100 used');
SELECT is(pg_temp.take(0, 'change', 10, '1 min', 'gcra', 99), '8 6', 'are two of 10');
SELECT is(pg_temp.take(0, 'change', 200, '1 min', 'gcra', 999), '190 0.3', 'ten of 10 used are ten of 200');
SELECT is(pg_temp.take(0, 'change', 5, '1 min', 'gcra', 1), '0 12', 'and more than there is now are all');
SELECT is(pg_temp.take(0, 'change', 7, '1 min', 'log', 9), '2 60', 'five used of a log of seven');
SELECT is(pg_temp.take(30, 'change', 9, '1 min', 'log', 9), '2 30', 'a log with a greater count');
SELECT is(pg_temp.take(30, 'change', 10, '1 min', 'gcra', 9), '1 6', 'and nine are nine of a bucket of ten');

/*
 * Never more than count in any window
 */

SELECT is(pg_temp.take(0, 'small', 1000, '1 min', NULL, 2000), '1000 60', 'up to 1,000: a log');
SELECT is(pg_temp.take(0, 'large', 1001, '1 min', NULL, 2000), '40 0.062435', 'beyond: the part that fits at once');
SELECT is(pg_temp.take(59.999999, 'large', 1001, '1 min', NULL, 2000), '40 0.062435', 'and the rest flows');

SELECT is(pg_temp.take(0, 'grows', 900, '1 min', NULL, 2000), '900 60', 'a log, all of it taken');
SELECT is(pg_temp.take(0, 'grows', 1200, '1 min', NULL, 2000), '0 44.427084', 'and a bucket remembers them');
SELECT is(pg_temp.take(59.999999, 'grows', 1200, '1 min', NULL, 2000), '48 0.052084', 'but owes nothing for ever');

/*
 * Keys
 */

SELECT is(pg_temp.take(0, '', 3, '1 min', 'log', 9), '3 60', 'a key of its own: nothing added');
SELECT is(pg_temp.take(0, repeat('x', 10000000), 3, '1 min', 'log', 2), '2 0', 'a key of 10 MB');
SELECT is(pg_temp.take(0, repeat('x', 9999999) || 'y', 3, '1 min', 'log', 2), '2 0', 'another one');
SELECT is(pg_temp.take(0, repeat('x', 10000000), 3, '1 min', 'log', 2), '1 60', 'and the first again');

/*
 * What makes no sense
 */

SELECT throws_ok($$SELECT hotdash._limit_take('k', 0, '1 s', 'gcra', 1)$$, '22023', NULL, 'count 0');
SELECT throws_ok($$SELECT hotdash._limit_take('k', 1, '0 s', 'gcra', 1)$$, '22023', NULL, 'period 0');
SELECT throws_ok($$SELECT hotdash._limit_take('k', 1, '-1 s', NULL, 1)$$, '22023', NULL, 'a period below 0');
SELECT throws_ok($$SELECT hotdash._limit_take('k', 1, '1 s', 'gcra', -1)$$, '22023', NULL, 'want below 0');
SELECT throws_ok($$SELECT hotdash._limit_take('k', 1001, '1 s', 'log', 1)$$, '22023', NULL, 'a log of 1,001');
SELECT throws_ok($$SELECT hotdash._limit_take('k', 1, '1 s', 'leaky', 1)$$, '22023', NULL, 'an unknown algorithm');
SELECT throws_ok($$SELECT hotdash._limit_refund('k', 1, '1 s', 'gcra', -1, now())$$, '22023', NULL, 'less than nothing back');
SELECT throws_ok($$SELECT hotdash._limit_take(NULL, 1, '1 s', 'gcra', 1)$$, '22004', NULL, 'no key');

SELECT finish();
ROLLBACK;
