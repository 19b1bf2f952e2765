-- Places of limits, as one session sees them. What it holds survives the rollback at the end and is freed when the
-- session ends.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(77);

CREATE TEMPORARY TABLE run AS SELECT gen_random_uuid()::text AS id;

-- Names are the run's own, and so are the counts.
CREATE FUNCTION pg_temp.name(name text) RETURNS text LANGUAGE sql AS $$ SELECT left(name || '-' || id, 63) FROM run $$;

CREATE FUNCTION pg_temp.places(name text, count int, shadow bool DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.limit_set(pg_temp.name(name), count, NULL, algorithm => 'concurrency', shadow => shadow)
$$;

CREATE FUNCTION pg_temp.acquire(name text, key text) RETURNS bool LANGUAGE sql AS $$ SELECT hotdash.limit_acquire(pg_temp.name(name), key) $$;

CREATE FUNCTION pg_temp.release(name text, key text) RETURNS bool LANGUAGE sql AS $$ SELECT hotdash.limit_release(pg_temp.name(name), key) $$;

CREATE FUNCTION pg_temp.held(name text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM hotdash.limit_places AS p WHERE p.name = pg_temp.name(held.name) AND p.pid = pg_backend_pid()
$$;

/*
 * Definition
 */

SELECT lives_ok($$SELECT pg_temp.places('export', 3)$$, 'three places and no period');
SELECT results_eq(
	$$SELECT count, period, burst, algorithm, durability FROM hotdash._limit WHERE name = pg_temp.name('export')$$,
	$$VALUES (3, NULL::interval, NULL::int, 'concurrency', 'none')$$, 'and nothing else');
SELECT throws_ok(format('SELECT hotdash.limit_set(%L, 3, %s)', 'x', rest), state, NULL, what)
FROM (VALUES ($$'1 s', algorithm => 'concurrency'$$, '22023', 'a period'),
	($$NULL, algorithm => 'concurrency', burst => 4$$, '22023', 'a burst'),
	($$NULL, algorithm => 'concurrency', time_zone => 'UTC'$$, '22023', 'a time zone'),
	($$NULL, algorithm => 'concurrency', durability => 'snapshot'$$, '22023', 'a durability'),
	($$NULL, algorithm => 'concurrency', durability => 'wal'$$, '22023', 'or another one'),
	($$NULL, algorithm => 'log'$$, '22004', 'no period for a log'),
	($$NULL$$, '22004', 'or for a bucket')) AS v (rest, state, what);
SELECT throws_ok($$SELECT pg_temp.places('none', 0)$$, '22023', NULL, 'no places');
SELECT throws_ok($$SELECT hotdash.limit_take_with('k', 3, '1 s', algorithm => 'concurrency')$$, '22023', NULL, 'places that are not stored');
SELECT throws_ok(format('SELECT hotdash.%s', replace(call, 'N', quote_literal(pg_temp.name('export')))), '22023',
	format('nothing can be taken from limit "%s", which is one of concurrency', pg_temp.name('export')), call)
FROM unnest(ARRAY[$$limit_allow(N, 'k')$$, $$limit_take(N, 'k')$$, $$limit_take_many(N, '{k}')$$, $$limit_take_all(ARRAY['api', N], 'k')$$,
	$$limit_refund(N, 'k', 1)$$, $$limit_reset(N, 'k')$$, $$limit_enforce(N, 'k')$$]) AS call;

/*
 * Taking and giving back
 */

SELECT is((SELECT string_agg(pg_temp.acquire('export', 'a')::int::text, '') FROM generate_series(1, 5)), '11100', 'three of five');
SELECT is(pg_temp.acquire('export', 'b'), true, 'another key has places of its own');
SELECT is(pg_temp.held('export'), 4::bigint, 'four are held');
SELECT results_eq(
	$$SELECT DISTINCT key, pid, since BETWEEN now() - interval '1 hour' AND clock_timestamp() FROM hotdash.limit_places
		WHERE name = pg_temp.name('export') ORDER BY key$$,
	$$VALUES ('a', pg_backend_pid(), true), ('b', pg_backend_pid(), true)$$, 'by this session');
SELECT is(pg_temp.release('export', 'a'), true, 'one is given back');
SELECT is((SELECT string_agg(pg_temp.acquire('export', 'a')::int::text, '') FROM generate_series(1, 2)), '10', 'and taken again');
SELECT is((SELECT string_agg(pg_temp.release('export', 'a')::int::text, '') FROM generate_series(1, 5)), '11100', 'three of five given back');
SELECT is(pg_temp.release('export', 'b'), true, 'and that of the other key');
SELECT is(pg_temp.release('export', 'b'), false, 'once');
SELECT is(pg_temp.release('export', 'never'), false, 'none of a key that nobody knows');
SELECT is(pg_temp.held('export'), 0::bigint, 'nothing is held');

-- Of many keys at once
SELECT is((SELECT count(*) FROM generate_series(1, 200) AS i WHERE pg_temp.acquire('export', 'key ' || i % 100)), 200::bigint, 'two of each of 100 keys');
SELECT is((SELECT count(DISTINCT key) FROM hotdash.limit_places WHERE name = pg_temp.name('export')), 100::bigint, 'are shown by their keys');
SELECT is((SELECT count(*) FROM generate_series(1, 300) AS i WHERE pg_temp.release('export', 'key ' || i % 100)), 200::bigint, 'and two of each given back');

/*
 * What does not matter: transactions, the clock, the algorithm
 */

SAVEPOINT s;
SELECT is(pg_temp.acquire('export', 'c'), true, 'taken in a subtransaction');
ROLLBACK TO s;
SELECT is((SELECT string_agg(pg_temp.acquire('export', 'c')::int::text, '') FROM generate_series(1, 3)), '110', 'is held when that is undone');
SAVEPOINT s;
SELECT is(pg_temp.release('export', 'c'), true, 'and given back in another');
ROLLBACK TO s;
SELECT is((SELECT string_agg(pg_temp.acquire('export', 'c')::int::text, '') FROM generate_series(1, 2)), '10', 'is free when that is undone');
SET LOCAL hotdash.now_override = '2040-01-01 00:00:00+00';
SELECT is(pg_temp.acquire('export', 'c'), false, 'a stopped clock frees nothing');
SELECT is(pg_temp.release('export', 'c'), true, 'nor does it hide what is held');
SELECT is(pg_temp.acquire('export', 'c'), true, 'one was free then');
RESET hotdash.now_override;
SELECT is((SELECT string_agg(pg_temp.release('export', 'c')::int::text, '') FROM generate_series(1, 4)), '1110', 'all given back');
SAVEPOINT s;
SET LOCAL transaction_read_only = on;
SELECT is(pg_temp.acquire('export', 'd'), true, 'a transaction that only reads takes one');
SELECT is(pg_temp.release('export', 'd'), true, 'and gives it back');
ROLLBACK TO s;

SELECT hotdash.limit_set(pg_temp.name('rate'), 2, '1 h');
SELECT is((SELECT string_agg(pg_temp.acquire('rate', 'a')::int::text, '') FROM generate_series(1, 3)), '110', 'places of a limit that has a rate');
SELECT is((SELECT remaining FROM hotdash.limit_take(pg_temp.name('rate'), 'a', 0)), 2, 'cost none of its units');
SELECT is(hotdash.limit_allow(pg_temp.name('rate'), 'a', 2), true, 'and units');
SELECT is((SELECT string_agg(pg_temp.release('rate', 'a')::int::text, '') FROM generate_series(1, 3)), '110', 'no places');

/*
 * Another definition
 */

SELECT is((SELECT string_agg(pg_temp.acquire('export', 'e')::int::text, '') FROM generate_series(1, 4)), '1110', 'three');
SELECT pg_temp.places('export', 1);
SELECT is(pg_temp.acquire('export', 'e'), false, 'of one');
SELECT is(pg_temp.release('export', 'e'), true, 'one goes');
SELECT is(pg_temp.acquire('export', 'e'), false, 'and two are still more than one');
SELECT pg_temp.places('export', 4);
SELECT is((SELECT string_agg(pg_temp.acquire('export', 'e')::int::text, '') FROM generate_series(1, 3)), '110', 'four at once when there are four');
SELECT hotdash.limit_delete(pg_temp.name('export'));
SELECT throws_ok($$SELECT pg_temp.acquire('export', 'e')$$, '42704', NULL, 'a limit that is gone has no places');
SELECT is((SELECT string_agg(pg_temp.release('export', 'e')::int::text, '') FROM generate_series(1, 4)), '1111', 'but takes back those that are held');
SELECT throws_ok($$SELECT pg_temp.release('export', 'e')$$, '42704', NULL, 'and no more');

/*
 * Shadow mode and counts
 */

SELECT pg_temp.places('shadow', 5, true);
SELECT is((SELECT string_agg(pg_temp.acquire('shadow', 'a')::int::text, '') FROM generate_series(1, 8)), '11111111', 'shadow mode refuses nothing');
SELECT is(pg_temp.held('shadow'), 8::bigint, 'and they are held');
SELECT results_eq($$SELECT allowed, denied, shadowed, near, failed FROM hotdash._limit_counts() WHERE name = pg_temp.name('shadow')$$,
	$$VALUES (8::bigint, 0::bigint, 3::bigint, 2::bigint, 0::bigint)$$, 'five fitted, of which two were the last');
SELECT pg_temp.places('shadow', 5);
SELECT is(pg_temp.acquire('shadow', 'a'), false, 'without it, eight are more than five');
SELECT is((SELECT string_agg(pg_temp.release('shadow', 'a')::int::text, '') FROM generate_series(1, 4)), '1111', 'four go');
SELECT is((SELECT string_agg(pg_temp.acquire('shadow', 'a')::int::text, '') FROM generate_series(1, 2)), '10', 'and one fits');
SELECT results_eq($$SELECT allowed, denied FROM hotdash._limit_counts() WHERE name = pg_temp.name('shadow')$$,
	$$VALUES (9::bigint, 2::bigint)$$, 'which is counted');
SELECT is((SELECT string_agg(pg_temp.release('shadow', 'a')::int::text, '') FROM generate_series(1, 6)), '111110', 'all given back');

/*
 * Keys
 */

SELECT pg_temp.places('long', 1);
SELECT is(pg_temp.acquire('long', repeat('x', 10000000)), true, 'a key of 10 MB');
SELECT is(pg_temp.acquire('long', repeat('x', 9999999) || 'y'), true, 'another one');
SELECT is(pg_temp.acquire('long', repeat('x', 10000000)), false, 'and the first again');
SELECT is((SELECT array_agg(DISTINCT key) FROM hotdash.limit_places WHERE name = pg_temp.name('long')), ARRAY[repeat('x', 100) || '…'], 'are shown by their beginning');
SELECT is(pg_temp.acquire('long', 'x' || repeat('ä', 51)), true, 'a key of 103 bytes');
SELECT is(pg_temp.acquire('long', 'y' || repeat('ä', 52)), true, 'and one of 105');
SELECT set_eq($$SELECT key FROM hotdash.limit_places WHERE name = pg_temp.name('long') AND key ~ 'ä'$$,
	ARRAY['x' || repeat('ä', 51), 'y' || repeat('ä', 49) || '…'], 'of which one is cut, between characters');

SELECT throws_ok('SELECT hotdash.' || call, state, NULL, call)
FROM (VALUES ($$limit_acquire(NULL, 'k')$$, '22004'), ($$limit_acquire('api', NULL)$$, '22004'), ($$limit_acquire('api', '')$$, '22023'),
	($$limit_acquire('no such limit', 'k')$$, '42704'), ($$limit_release(NULL, 'k')$$, '22004'), ($$limit_release('api', NULL)$$, '22004'),
	($$limit_release('api', '')$$, '22023'), ($$limit_release('no such limit', 'k')$$, '42704')) AS v (call, state);

SELECT finish();
ROLLBACK;
