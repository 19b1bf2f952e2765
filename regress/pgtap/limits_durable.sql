-- Rate limits of durability wal: what they can be, their pages, and that they answer as others do. What is taken
-- survives the rollback at the end, but the limits do not, nor do their pages.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(45);

CREATE TEMPORARY TABLE run AS SELECT gen_random_uuid()::text AS id;
CREATE FUNCTION pg_temp.key(key text) RETURNS text LANGUAGE sql AS $$ SELECT id || key FROM run $$;
CREATE FUNCTION pg_temp.pages(limit_name text) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM hotdash._limit_state WHERE name = limit_name $$;

/*
 * What is no such limit
 */

SELECT throws_ok(format('SELECT hotdash.limit_set(%s)', arguments), '22023', NULL, 'limit_set: ' || arguments)
FROM (VALUES ($$'w', 5, '1 s', durability => 'WAL'$$), ($$'w', 5, '1 s', durability => ''$$),
	($$'w', 21, '1 s', algorithm => 'log', durability => 'wal'$$), ($$'w', 5, '1 s', options => '{"keys": 10}'$$),
	($$'w', 5, '1 s', durability => 'none', options => '{"keys": 10}'$$),
	($$'w', 5, '1 s', durability => 'wal', options => '{"keys": 0}'$$), ($$'w', 5, '1 s', durability => 'wal', options => '{"keys": -1}'$$),
	($$'w', 5, '1 s', durability => 'wal', options => '{"keys": 1.5}'$$), ($$'w', 5, '1 s', durability => 'wal', options => '{"keys": 100001}'$$),
	($$'w', 5, '1 s', durability => 'wal', options => '{"keys": 1e300}'$$), ($$'w', 5, '1 s', durability => 'wal', options => '{"keys": "10"}'$$),
	($$'w', 5, '1 s', durability => 'wal', options => '{"keys": null}'$$)) AS v (arguments);
SELECT is(pg_temp.pages('w'), 0::bigint, 'and it has no pages');

/*
 * Pages
 */

SELECT lives_ok($$SELECT hotdash.limit_set('w', 5, '1 h', durability => 'wal')$$, 'a bucket');
SELECT cmp_ok(pg_temp.pages('w'), '>', 50::bigint, 'has pages');
SELECT is((SELECT count(DISTINCT (ctid::text::point)[0]) FROM hotdash._limit_state WHERE name = 'w'), pg_temp.pages('w'), 'each row on one of its own');
SELECT is((SELECT count(DISTINCT page) FILTER (WHERE page < pg_temp.pages('w')) FROM hotdash._limit_state WHERE name = 'w'), pg_temp.pages('w'), 'in their order');
CREATE TEMPORARY TABLE before AS SELECT ctid::text AS at FROM hotdash._limit_state WHERE name = 'w';
SELECT lives_ok($$SELECT hotdash.limit_set('w', 7, '1 day', algorithm => 'window', durability => 'wal')$$, 'another that is as large');
SELECT set_eq($$SELECT ctid::text AS at FROM hotdash._limit_state WHERE name = 'w'$$, 'SELECT at FROM before', 'keeps them');
SELECT lives_ok($$SELECT hotdash.limit_set('w', 5, '1 h', durability => 'wal', options => '{"keys": 1000}')$$, 'fewer keys');
SELECT cmp_ok(pg_temp.pages('w'), '<', 20::bigint, 'need fewer');
SELECT lives_ok($$SELECT hotdash.limit_set('w', 5, '1 h', algorithm => 'log', durability => 'wal', options => '{"keys": 1000}')$$, 'a log');
SELECT cmp_ok(pg_temp.pages('w'), '>', 30::bigint, 'needs more');
SELECT lives_ok($$SELECT hotdash.limit_set('w', 5, '1 h')$$, 'without wal');
SELECT is(pg_temp.pages('w'), 0::bigint, 'there are none');
SELECT lives_ok($$SELECT hotdash.limit_set('api', 5, '1 h', durability => 'wal')$$, 'in place of a preset');
SELECT lives_ok($$SELECT hotdash.limit_delete('api')$$, 'which comes back');
SELECT is(pg_temp.pages('api'), 0::bigint, 'without pages');

/*
 * Answers
 */

SELECT lives_ok($$SELECT hotdash.limit_set('b', 5, '1 h', durability => 'wal'), hotdash.limit_set('l', 5, '1 h', algorithm => 'log', durability => 'wal'),
	hotdash.limit_set('d', 5, '1 day', algorithm => 'window', durability => 'wal')$$, 'one of each');
SELECT is((SELECT string_agg((hotdash.limit_take(name, pg_temp.key('a'), cost)).remaining::text, ' ' ORDER BY i)
	FROM (VALUES (1, 0), (2, 2), (3, 0), (4, 4), (5, 3), (6, 1)) AS v (i, cost)), '5 3 3 3 0 0', name || ': takes what fits')
FROM unnest('{b,l,d}'::text[]) AS name;
SELECT is(hotdash.limit_refund(name, pg_temp.key('a'), 2), 2, name || ': gives back') FROM unnest('{b,l,d}'::text[]) AS name;
SELECT is((SELECT string_agg(hotdash.limit_allow(name, pg_temp.key('a'), least(i, 1))::text, ' ') FROM generate_series(1, 3) AS i), 'true true false', name || ': and takes it again')
FROM unnest('{b,l,d}'::text[]) AS name;
SELECT is((hotdash.limit_take(name, pg_temp.key('a'), 6)).retry_after, NULL, name || ': what can never fit') FROM unnest('{b,l,d}'::text[]) AS name;
SELECT is(hotdash.limit_take_many('b', ARRAY[pg_temp.key('m'), pg_temp.key('n'), pg_temp.key('m')], 3), '{t,t,f}', 'of many keys');
SELECT is(hotdash.limit_take_all('{b,l,d,auth}', pg_temp.key('x'), 3) || ' ' || hotdash.limit_take_all('{b,l,d,auth}', pg_temp.key('x'), 3), 'true false', 'of all or of none');
SELECT lives_ok($$SELECT hotdash.limit_reset(name, pg_temp.key('x')) FROM unnest('{b,l,d}'::text[]) AS name$$, 'reset');
SELECT is((SELECT string_agg((hotdash.limit_take(name, pg_temp.key('x'), 0)).remaining::text, ' ') FROM unnest('{b,l,d}'::text[]) AS name), '5 5 5', 'makes them full');

SELECT * FROM finish();
ROLLBACK;
