-- The log of refusals, the keys that were refused most, and why one is refused; on a stopped clock. What was refused stays
-- noted after the rollback at the end, so the names of limits are new in each run.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(76);

CREATE TEMPORARY TABLE run AS SELECT 'tap ' || left(gen_random_uuid()::text, 8) AS id;
CREATE FUNCTION pg_temp.name(name text) RETURNS text LANGUAGE sql AS $$ SELECT id || name FROM run $$;

-- The clock stands so many seconds after the year begins.
CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2040-01-01 00:00:00+00'::timestamptz + seconds * interval '1 second')::text, true)
$$;

-- The rows of a limit, the oldest first: key, kind, first, last (seconds into the year), denials, units
CREATE FUNCTION pg_temp.rows(name text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s %s-%s %s %s', key, kind, extract(epoch FROM first_at - '2040-01-01 00:00:00+00')::float8,
		extract(epoch FROM last_at - '2040-01-01 00:00:00+00')::float8, denials, units)
	FROM hotdash.limit_violations AS v WHERE v.name = pg_temp.name(rows.name) ORDER BY first_at, key
$$;

CREATE FUNCTION pg_temp.stats(name text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', allowed, denied, shadowed, near, failed, logged, unlogged, overwritten)
	FROM hotdash.limit_stats AS s WHERE s.name = pg_temp.name(stats.name)
$$;

CREATE FUNCTION pg_temp.ask(name text, key text, cost int DEFAULT 1) RETURNS bool LANGUAGE sql AS $$
	SELECT hotdash.limit_allow(pg_temp.name(ask.name), key, cost)
$$;

SELECT pg_temp.at(0) \g /dev/null

/*
 * Rows
 */

SELECT hotdash.limit_set(pg_temp.name('a'), 3, '1 day') \g /dev/null
SELECT is(pg_temp.stats('a'), '0 0 0 0 0 0 0 0', 'nobody asked');
SELECT is((SELECT string_agg(pg_temp.ask('a', 'anna')::text, ' ') FROM generate_series(1, 3)), 'true true true', 'three are allowed');
SELECT is_empty($$SELECT pg_temp.rows('a')$$, 'and make no row');
SELECT ok(NOT pg_temp.ask('a', 'anna', 0), 'looking is no refusal');
SELECT is_empty($$SELECT pg_temp.rows('a')$$, 'and makes none');
SELECT is(pg_temp.stats('a'), '3 0 0 1 0 0 0 0', 'nor is it counted');
SELECT ok(NOT pg_temp.ask('a', 'anna'), 'the fourth is refused');
SELECT results_eq($$SELECT pg_temp.rows('a')$$, ARRAY['anna refused 0-0 1 1'], 'and noted');
SELECT pg_temp.at(59.999999) \g /dev/null
SELECT ok(NOT pg_temp.ask('a', 'anna', 2) AND NOT pg_temp.ask('a', 'anna', 2147483647), 'so is more');
SELECT results_eq($$SELECT pg_temp.rows('a')$$, ARRAY['anna refused 0-59.999999 3 2147483650'], 'in the same row for a minute');
SELECT pg_temp.at(60) \g /dev/null
SELECT ok(NOT pg_temp.ask('a', 'anna'), 'a minute on');
SELECT results_eq($$SELECT pg_temp.rows('a')$$, ARRAY['anna refused 0-59.999999 3 2147483650', 'anna refused 60-60 1 1'], 'another row');
SELECT pg_temp.at(30) \g /dev/null
SELECT ok(NOT pg_temp.ask('a', 'anna'), 'with the clock set back');
SELECT is((SELECT sum(denials) FROM hotdash.limit_violations WHERE name = pg_temp.name('a')), 5::numeric, 'none is lost');
SELECT is(pg_temp.stats('a'), '3 5 0 1 0 5 0 0', 'nor counted twice');
SELECT is((SELECT role FROM hotdash.limit_violations WHERE name = pg_temp.name('a') LIMIT 1), current_user::text, 'by this role');
SELECT is((SELECT last_denied_at FROM hotdash.limit_stats WHERE name = pg_temp.name('a')),
	'2040-01-01 00:01:00+00'::timestamptz, 'last at');
SAVEPOINT undone;
SELECT ok(NOT pg_temp.ask('a', 'bert', 9), 'another key, and more than fits at all');
ROLLBACK TO undone;
SELECT is((SELECT count(*) FROM hotdash.limit_violations WHERE name = pg_temp.name('a') AND key = 'bert' AND units = 9), 1::bigint,
	'rolled back, it stays noted');

-- Long keys: 92 bytes of whole characters
SELECT hotdash.limit_set(pg_temp.name('long'), 1, '1 day') \g /dev/null
CREATE TEMPORARY TABLE long AS SELECT * FROM (VALUES
	(1, repeat('x', 92)), (2, repeat('x', 92) || 'y'), (3, 'x' || repeat('ä', 46)), (4, repeat('x', 1000000))) AS v (n, key);
SELECT ok(bool_and(pg_temp.ask('long', key) AND NOT pg_temp.ask('long', key)), 'four long keys') FROM long;
SELECT results_eq($$SELECT v.key, v.key_hash FROM hotdash.limit_violations AS v WHERE v.name = pg_temp.name('long') ORDER BY v.key, v.key_hash$$,
	$$SELECT CASE n WHEN 3 THEN left(key, 46) ELSE left(key, 92) END, CASE WHEN n > 1 THEN hashtextextended(key, 0) END
		FROM long ORDER BY 1, 2$$, 'are cut to whole characters, and told apart by a hash');

-- Shadow mode, and back
SELECT hotdash.limit_set(pg_temp.name('s'), 1, '1 day', shadow => true) \g /dev/null
SELECT ok(pg_temp.ask('s', 'k') AND pg_temp.ask('s', 'k') AND pg_temp.ask('s', 'k'), 'in shadow mode all are allowed');
SELECT hotdash.limit_set(pg_temp.name('s'), 1, '1 day') \g /dev/null
SELECT ok(NOT pg_temp.ask('s', 'k'), 'and then refused');
SELECT results_eq($$SELECT r FROM pg_temp.rows('s') AS r ORDER BY r$$, ARRAY['k refused 30-30 1 1', 'k shadow 30-30 2 2'], 'what is refused is told from what would be');
SELECT is(pg_temp.stats('s'), '3 1 2 1 0 3 0 0', 'in the counts too');

-- All at once, many, and without a name
SELECT hotdash.limit_set(pg_temp.name('b'), 1, '1 day') \g /dev/null
SELECT ok(NOT hotdash.limit_take_all(ARRAY[pg_temp.name('a'), pg_temp.name('b')], 'anna'), 'all or none');
SELECT is(pg_temp.stats('b'), '0 0 0 0 0 0 0 0', 'the one that had room was not asked');
SELECT is(pg_temp.stats('a'), '3 7 0 1 0 7 0 0', 'the other refused');
SELECT is(hotdash.limit_take_many(pg_temp.name('b'), '{x,x,y,y}'), '{t,f,t,f}'::bool[], 'each of many');
SELECT results_eq($$SELECT r FROM pg_temp.rows('b') AS r$$, ARRAY['x refused 30-30 1 1', 'y refused 30-30 1 1'], 'is noted under its key');
SELECT is((SELECT allowed FROM hotdash.limit_take_with(pg_temp.name('with'), 1, '1 day')), true, 'a limit that nobody stored');
SELECT is((SELECT allowed FROM hotdash.limit_take_with(pg_temp.name('with'), 1, '1 day')), false, 'refuses');
SELECT is((SELECT count(*) FROM hotdash.limit_violations WHERE name = '' AND key = pg_temp.name('with')), 1::bigint, 'and is noted without a name');

-- More keys than rows may be begun
SELECT hotdash.limit_set(pg_temp.name('many'), 1, '1 day') \g /dev/null
SELECT is((SELECT count(*) FROM generate_series(1, 200) AS i WHERE NOT hotdash.limit_allow(pg_temp.name('many'), i::text, 2)), 200::bigint,
	'200 keys are refused at once');
SELECT cmp_ok((SELECT count(*) FROM hotdash.limit_violations WHERE name = pg_temp.name('many') AND key IS NOT NULL), '>=', 16::bigint, 'some have rows');
-- as many seconds as this may have taken, on a machine that does other things
SELECT cmp_ok((SELECT count(*) FROM hotdash.limit_violations WHERE name = pg_temp.name('many') AND key IS NOT NULL), '<', 200::bigint, 'not all of them');
SELECT is((SELECT sum(denials)::text || ' ' || sum(units) || ' ' || count(*) FILTER (WHERE key IS NULL)
	FROM hotdash.limit_violations WHERE name = pg_temp.name('many')), '200 400 1', 'the others are one row without a key');
SELECT is((SELECT logged + unlogged + overwritten FROM hotdash.limit_stats WHERE name = pg_temp.name('many')), 200::bigint, 'none is lost');

/*
 * Keys refused most
 */

SELECT hotdash.limit_set(pg_temp.name('top'), 1, '1 day') \g /dev/null
SELECT is((SELECT count(*) FILTER (WHERE NOT pg_temp.ask('top', 'k' || k)) FROM generate_series(1, 4) AS k, generate_series(1, k * 100 + 1) AS i),
	1000::bigint, 'four keys are refused 100, 200, 300 and 400 times');
SELECT results_eq($$SELECT key FROM hotdash.limit_top_denied WHERE name = pg_temp.name('top')$$, '{k4,k3,k2,k1}'::text[], 'in this order');
SELECT is_empty($$SELECT key, at_least, at_most FROM hotdash.limit_top_denied
	WHERE CASE WHEN name = pg_temp.name('top') THEN substr(key, 2)::int * 100 NOT BETWEEN at_least AND at_most END$$, 'and so often');
SELECT is((SELECT at_least FROM hotdash.limit_top_denied WHERE name = pg_temp.name('top') AND key = 'k4'), 400::bigint, 'exactly, while it has a row');

/*
 * Limits
 */

SELECT is((SELECT string_agg(concat_ws(' ', name, count, period, burst, algorithm, preset), ', ' ORDER BY name) FROM hotdash.limits WHERE name IN ('api', 'auth')),
	'api 100 00:01:00 100 gcra t, auth 5 00:01:00 5 log t', 'presets are limits');
SELECT is((SELECT count(*) FROM hotdash.limits AS l JOIN hotdash.limit_stats AS s USING (name)
	LEFT JOIN hotdash.limit_violations AS v USING (name) LEFT JOIN hotdash.limit_top_denied AS t USING (name) WHERE name = pg_temp.name('b')),
	4::bigint, 'the views can be joined');
SELECT hotdash.limit_set('api', 7, '1 month', algorithm => 'window') \g /dev/null
SELECT is((SELECT concat_ws(' ', count, period, burst, algorithm, time_zone, durability, shadow, options, preset, changed_at = '2040-01-01 00:00:30+00',
	changed_by = current_user) FROM hotdash.limits WHERE name = 'api'), '7 1 mon 7 window UTC snapshot f {} f t t', 'and what is defined goes before them');
SELECT hotdash.limit_delete('api') \g /dev/null
SELECT is((SELECT count FROM hotdash.limits WHERE name = 'api'), 100, 'deleted, the preset is in force');

/*
 * Why?
 */

SELECT is((SELECT jsonb_build_array(e -> 'allowed', e -> 'used', e -> 'remaining', e -> 'quota', e -> 'in_memory', e -> 'loaded', e -> 'next_after',
		e -> 'why') FROM hotdash.limit_explain(pg_temp.name('a'), 'nobody') AS e),
	'[true, 0, 3, 3, false, true, 0, "3 of 3 units are left."]', 'a key that nobody used');
SELECT is((SELECT e -> 'denials' FROM hotdash.limit_explain(pg_temp.name('a'), 'nobody') AS e), '{"count": 0, "last_at": null}', 'and that nobody refused');
SELECT is((SELECT jsonb_build_array(e -> 'allowed', e -> 'used', e -> 'in_memory', e -> 'next_after', e -> 'next_at', e -> 'reset_at', e -> 'why')
		FROM hotdash.limit_explain(pg_temp.name('b'), 'x') AS e),
	'[false, 1, true, 86400, "2040-01-02T00:00:30+00:00", "2040-01-02T00:00:30+00:00", "All 1 units are used; one more fits in 86400 s."]',
	'one that is refused');
SELECT is((SELECT e #>> '{denials,count}' FROM hotdash.limit_explain(pg_temp.name('b'), 'x') AS e), '1', 'so often');
SELECT is((SELECT e #>> '{denials,count}' FROM hotdash.limit_explain(pg_temp.name('long'), repeat('x', 1000000)) AS e), '1', 'also a long one');
SELECT is(pg_temp.stats('b'), '2 2 0 2 0 2 0 0', 'which takes nothing and counts nothing');
SELECT hotdash.limit_set(pg_temp.name('b'), 1, '1 day', shadow => true, options => '{"on_failure": "closed"}') \g /dev/null
SELECT is((SELECT jsonb_build_array(e -> 'allowed', e -> 'shadow', e -> 'on_failure') FROM hotdash.limit_explain(pg_temp.name('b'), 'x') AS e),
	'[true, true, "closed"]', 'in shadow mode it would be, and the limit''s own option is told');
SELECT matches((hotdash.limit_explain(pg_temp.name('b'), 'x')) ->> 'why', 'shadow mode', 'and why');
SELECT hotdash.limit_set(pg_temp.name('c'), 1, NULL, algorithm => 'concurrency') \g /dev/null
SELECT is((SELECT jsonb_build_array(e -> 'allowed', e -> 'remaining', e -> 'places_held', e -> 'next_after', e -> 'why') FROM hotdash.limit_explain(pg_temp.name('c'), 'x') AS e),
	'[true, 1, 0, null, "1 of 1 places are free."]', 'places that are free');
SELECT ok(hotdash.limit_acquire(pg_temp.name('c'), 'x') AND NOT hotdash.limit_acquire(pg_temp.name('c'), 'x'), 'one that is held is refused');
SELECT is((SELECT jsonb_build_array(e -> 'allowed', e -> 'remaining', e -> 'places_held', e #> '{denials,count}', e -> 'why') FROM hotdash.limit_explain(pg_temp.name('c'), 'x') AS e),
	'[false, 0, 1, 1, "All 1 places are held; view limit_places says by whom."]', 'which is told, and noted');
SELECT hotdash.limit_release(pg_temp.name('c'), 'x') \g /dev/null
SELECT throws_ok($$SELECT hotdash.limit_explain('no such limit', 'x')$$, '42704', NULL, 'no such limit');
SELECT throws_ok($$SELECT hotdash.limit_explain(NULL, 'x')$$, '22004', NULL, 'no name');
SELECT throws_ok($$SELECT hotdash.limit_explain('api', NULL)$$, '22004', NULL, 'no key');
SELECT throws_ok($$SELECT hotdash.limit_explain('api', '')$$, '22023', NULL, 'an empty key');

/*
 * Health
 */

SELECT is((SELECT h - 'evicted' - 'no_room' - 'coarse' - 'places_full' - 'failed' - 'duration_ms' FROM (SELECT hotdash.health() #> '{checks,limits}' AS h) AS s) - 'detail' - 'status',
	'{"loaded": true, "on_failure": "open"}', 'health tells what is answered without room');
SELECT ok(hotdash.health() #> '{checks,limits}' ?& '{evicted,no_room,coarse,places_full,failed}', 'and how often there was none');

/*
 * Rights and tenants
 */

CREATE ROLE hotdash_test_viewer;
CREATE ROLE hotdash_test_producer;
CREATE ROLE hotdash_test_worker;
CREATE ROLE hotdash_test_edge;
CREATE ROLE hotdash_test_operator;
CREATE ROLE hotdash_test_admin;
SELECT hotdash.access_grant(('hotdash_test_' || l)::regrole, l) FROM unnest('{viewer,producer,worker,edge,operator,admin}'::text[]) AS l \g /dev/null
-- Which levels may make each call; the rest gets 42501.
CREATE FUNCTION pg_temp.may(call text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		level text;
		able text[] := '{}';
	BEGIN
		FOREACH level IN ARRAY '{viewer,producer,worker,edge,operator,admin}'::text[] LOOP
			BEGIN
				EXECUTE format('SET LOCAL ROLE hotdash_test_%s', level);
				EXECUTE call;
				able := able || level;
				RAISE EXCEPTION USING ERRCODE = 'XD000';
			EXCEPTION WHEN insufficient_privilege OR SQLSTATE 'XD000' THEN
				NULL;
			END;
		END LOOP;
		RETURN array_to_string(able, ' ');
	END
$$;
SELECT is(pg_temp.may(call), levels, call) FROM (VALUES
	('SELECT * FROM hotdash.limits', 'viewer producer worker operator admin'),
	('SELECT * FROM hotdash.limit_stats', 'viewer operator admin'),
	('SELECT * FROM hotdash.limit_violations', 'operator admin'),
	('SELECT * FROM hotdash.limit_top_denied', 'operator admin'),
	('SELECT * FROM hotdash._limit_denied()', 'operator admin'),
	('SELECT * FROM hotdash._limit_denied_top()', 'operator admin'),
	($$SELECT hotdash.limit_explain('api', 'k')$$, 'operator admin'),
	('SELECT * FROM hotdash._limit_state()', '')) AS v (call, levels);
SET LOCAL hotdash.tenant = 'acme';
SELECT is_empty('SELECT * FROM hotdash.limit_violations', 'a session bound to a tenant sees no refusals');
SELECT is_empty('SELECT * FROM hotdash.limit_top_denied', 'no keys');
SELECT is_empty('SELECT * FROM hotdash.limit_stats WHERE allowed + denied > 0', 'no counts');
SELECT is((SELECT e -> 'denials' FROM hotdash.limit_explain(pg_temp.name('a'), 'anna') AS e), '{"count": 0, "last_at": null}', 'none in explanations');
SELECT ok(NOT hotdash.health() #> '{checks,limits}' ?| '{evicted,failed}', 'nor in health');

SELECT * FROM finish();
ROLLBACK;
