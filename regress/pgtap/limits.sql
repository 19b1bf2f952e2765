-- Rate limits: the buckets of one session, on a stopped clock. What is taken survives the rollback at the
-- end, so the keys are new in each run.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(40);

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
SELECT throws_ok($$SELECT hotdash._limit_take(NULL, 1, '1 s', 'gcra', 1)$$, '22004', NULL, 'no key');

SELECT finish();
ROLLBACK;
