-- Rate limits by name: what is defined, and what is answered, on a stopped clock. What is taken survives the
-- rollback at the end, so the keys are new in each run.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(165);

CREATE TEMPORARY TABLE run AS SELECT gen_random_uuid()::text AS id;

-- The clock stands so many seconds after the year begins.
CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2040-01-01 00:00:00+00'::timestamptz + seconds * interval '1 second')::text, true)
$$;

CREATE FUNCTION pg_temp.key(key text) RETURNS text LANGUAGE sql AS $$ SELECT id || key FROM run $$;

-- As the reply of CL.THROTTLE, in whole seconds: limited, quota, remaining, retry, reset
CREATE FUNCTION pg_temp.throttle(seconds numeric, name text, key text, cost int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	PERFORM pg_temp.at(seconds);
	SELECT * INTO answer FROM hotdash.limit_take(name, pg_temp.key(key), cost);
	RETURN concat_ws(',', CASE WHEN answer.allowed THEN 0 ELSE 1 END, answer.quota, answer.remaining,
		CASE WHEN answer.allowed THEN -1 ELSE coalesce(ceil(answer.retry_after)::int, -1) END, ceil(answer.reset_after)::int);
END
$$;

/*
 * Known answers
 */

SELECT lives_ok($$SELECT hotdash.limit_set('cell', 5, '5 s')$$, 'five a second each');
SELECT is(pg_temp.throttle(t, 'cell', 'a', q), answer, format('throttled: %s at %s s', q, t))
FROM (VALUES (0, 6, '1,5,5,-1,0'), (0, 1, '0,5,4,-1,1'), (0, 1, '0,5,3,-1,2'), (0, 1, '0,5,2,-1,3'), (0, 1, '0,5,1,-1,4'),
	(0, 1, '0,5,0,-1,5'), (0, 1, '1,5,0,1,5'), (3.0, 1, '0,5,2,-1,3'), (3.1, 1, '0,5,1,-1,4'), (4.0, 1, '0,5,1,-1,4'),
	(8.0, 1, '0,5,4,-1,1'), (9.5, 1, '0,5,4,-1,1'), (9.5, 0, '0,5,4,-1,1'), (9.5, 2, '0,5,2,-1,3'), (9.5, 5, '1,5,2,3,3'),
	(15, 6, '1,5,5,-1,0')) AS v (t, q, answer);
SELECT lives_ok($$SELECT hotdash.limit_set('user123', 30, '1 min', burst => 16)$$, 'CL.THROTTLE user123 15 30 60');
SELECT is(pg_temp.throttle(0, 'user123', 'k'), '0,16,15,-1,2', 'fresh');
SELECT lives_ok($$SELECT hotdash.limit_set('one', 1, '2 s')$$, 'CL.THROTTLE k 0 1 2');
SELECT is(pg_temp.throttle(0, 'one', 'k'), '0,1,0,-1,2', 'the only one');
SELECT is(pg_temp.throttle(0, 'one', 'k'), '1,1,0,2,2', 'and no other');
SELECT lives_ok($$SELECT hotdash.limit_set('hour', 5, '1 h', burst => 6)$$, 'CL.THROTTLE k 5 5 3600');
SELECT is(pg_temp.throttle(0, 'hour', 'k'), '0,6,5,-1,720', 'fresh');

-- The presets
SELECT is(pg_temp.throttle(0, 'api', 'k'), '0,100,99,-1,1', 'api: the first of 100 a minute');
SELECT is((SELECT count(*) FROM generate_series(1, 99) WHERE hotdash.limit_allow('api', pg_temp.key('k'))), 99::bigint, 'and 99 more');
SELECT is(pg_temp.throttle(0, 'api', 'k', 0), '1,100,0,1,60', 'the 101st in 0.6 s');
SELECT is((SELECT retry_after FROM hotdash.limit_take('api', pg_temp.key('k'))), 0.6::float8, 'to the microsecond');
SELECT is(pg_temp.throttle(0.599999, 'api', 'k'), '1,100,0,1,60', 'not a microsecond before');
SELECT is(pg_temp.throttle(0.6, 'api', 'k'), '0,100,0,-1,60', 'and then at once');
SELECT is((SELECT string_agg(left(pg_temp.throttle(0, 'auth', 'k'), 1), '') FROM generate_series(1, 6)), '000001', 'auth: five of six');
SELECT is(pg_temp.throttle(0, 'auth', 'k'), '1,5,0,60,60', 'exactly five a minute');
SELECT is(pg_temp.throttle(59.999999, 'auth', 'k'), '1,5,0,1,1', 'a microsecond early');
SELECT is(pg_temp.throttle(60, 'auth', 'k'), '0,5,4,-1,60', 'on time');
SELECT lives_ok($$SELECT hotdash.limit_set('auth', 5, '1 min')$$, 'a preset of one''s own: auth as a bucket');
SELECT is((SELECT string_agg(left(pg_temp.throttle(0, 'auth', 'b'), 1), '') FROM generate_series(1, 6)), '000001', 'five of six');
SELECT is(pg_temp.throttle(0, 'auth', 'b'), '1,5,0,12,60', 'the next in 12 s');
SELECT is((SELECT string_agg(left(pg_temp.throttle(t, 'auth', 'b'), 1), '') FROM unnest(ARRAY[11.999, 11.999999, 12, 12, 24, 24, 36, 36, 48]) AS t),
	'110101010'::text, 'nine in a minute is what a bucket of five allows');
SELECT lives_ok($$SELECT hotdash.limit_delete('auth')$$, 'without it');
SELECT is(pg_temp.throttle(200, 'auth', 'c'), '0,5,4,-1,60', 'the preset is back');

-- High rates
SELECT lives_ok($$SELECT hotdash.limit_set('fast', 6000, '1 s', burst => 6001)$$, '6,000 a second');
SELECT pg_temp.at(0);
SELECT is((SELECT remaining FROM hotdash.limit_take('fast', pg_temp.key('k'))), 6000, 'the first');
SELECT is((SELECT count(*) FROM generate_series(1, 7000) WHERE hotdash.limit_allow('fast', pg_temp.key('k'))), 6000::bigint, '6,001 at once and no more');
SELECT is((SELECT retry_after FROM hotdash.limit_take('fast', pg_temp.key('k'))), 0.000167::float8, 'the next in a 6,000th of a second, rounded up');
SELECT lives_ok($$SELECT hotdash.limit_set('faster', 10000, '1 s', burst => 1)$$, '10,000 a second, one at a time');
SELECT is(pg_temp.throttle(0, 'faster', 'k'), '0,1,0,-1,1', 'is not forgotten');
SELECT is(pg_temp.throttle(0.0001, 'faster', 'k'), '0,1,0,-1,1', 'a ten thousandth of a second later');
SELECT is(pg_temp.throttle(0.000199, 'faster', 'k'), '1,1,0,1,1', 'not sooner');
SELECT lives_ok($$SELECT hotdash.limit_set('rare', 1, '1 day')$$, 'one a day');
SELECT throws_ok($$SELECT hotdash.limit_allow('rare', 'k', -200000000)$$, '22023', NULL, 'less than none');
SELECT is((SELECT allowed || ' ' || coalesce(retry_after::text, 'never') FROM hotdash.limit_take('rare', pg_temp.key('k'), 200000000)), 'false never', 'more than ever fits');

-- What others test their buckets with: the units taken, and what is left, or whether they were granted
SELECT lives_ok($$SELECT hotdash.limit_set('leaky', 10, '30 s'), hotdash.limit_set('burst3', 10, '1 s', burst => 3), hotdash.limit_set('upstash', 10, '1 h')$$, 'buckets of other libraries');
SELECT is((SELECT string_agg(split_part(pg_temp.throttle(t, 'leaky', 'k', q), ',', 3), ' ' ORDER BY n)
	FROM (VALUES (1, 0, 1), (2, 1, 1), (3, 2, 1), (4, 3.5, 0), (5, 6.5, 0), (6, 6.5, 9), (7, 6.5, 1), (8, 9.5, 0), (9, 69.5, 0), (10, 69.5, 10), (11, 98.5, 9), (12, 101.5, 1)) AS v (n, t, q)),
	'9 8 7 8 9 0 0 1 10 0 0 0', 'Gubernator''s leaky bucket');
SELECT is((SELECT string_agg(left(pg_temp.throttle(t, 'burst3', 'k', q), 1), '' ORDER BY n)
	FROM (VALUES (1, 0, 2), (2, 0, 2), (3, 0, 1), (4, 0, 1), (5, 0.1, 4), (6, 0.2, 1), (7, 0.3, 1), (8, 0.4, 1), (9, 0.4, 1), (10, 0.4, 1), (11, 0.4, 1), (12, 0.9, 3), (13, 0.9, 0)) AS v (n, t, q)),
	'0101100001101', 'Go''s limiter of three; but a look at an empty bucket is a no here');
SELECT is((SELECT string_agg(left(pg_temp.throttle(t, 'burst3', 'back'), 1), '' ORDER BY n)
	FROM (VALUES (1, 0.1), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0.1), (7, 0.1), (8, 0.1), (9, 0.2), (10, 0.2), (11, 0.2)) AS v (n, t)),
	'00111011011', 'a clock that goes back brings nothing: there the third is granted');
SELECT is(pg_temp.throttle(0, 'upstash', 'k', 8) || ' ' || pg_temp.throttle(0, 'upstash', 'k', 5) || ' ' || pg_temp.throttle(0, 'upstash', 'k', 2), '0,10,2,-1,2880 1,10,2,1080,2880 0,10,0,-1,3600', 'a refusal leaves two where two are left');

-- What was used is kept when the limit changes
SELECT lives_ok($$SELECT hotdash.limit_set('grow', 100, '1 min')$$, '100 a minute');
SELECT is(pg_temp.throttle(0, 'grow', 'down', 2) || ' ' || pg_temp.throttle(0, 'grow', 'up', 2), '0,100,98,-1,2 0,100,98,-1,2', 'two used');
SELECT lives_ok($$SELECT hotdash.limit_set('grow', 10, '1 min')$$, 'ten');
SELECT is(pg_temp.throttle(0, 'grow', 'down'), '0,10,7,-1,18', 'seven are left after the third');
SELECT lives_ok($$SELECT hotdash.limit_set('grow', 200, '1 min')$$, '200');
SELECT is(pg_temp.throttle(0, 'grow', 'up', 3), '0,200,195,-1,2', '195 after three more');
SELECT lives_ok($$SELECT hotdash.limit_set('grow', 6, '1 min', algorithm => 'log')$$, 'an exact log of six');
SELECT is(pg_temp.throttle(0, 'grow', 'up', 0), '0,6,1,-1,60', 'five are used');
SELECT lives_ok($$SELECT hotdash.limit_set('grow', 7, '1 day', algorithm => 'window')$$, 'seven a day');
SELECT is(pg_temp.throttle(0, 'grow', 'up', 0), '0,7,2,-1,86400', 'five are used');

/*
 * Windows
 */

-- The last second of the window that an instant lies in, in the zone's time.
CREATE FUNCTION pg_temp.window_of(name text, instant timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	after float8;
BEGIN
	PERFORM set_config('hotdash.now_override', instant::text, true);
	SELECT reset_after INTO after FROM hotdash.limit_take(name, pg_temp.key(gen_random_uuid()::text));
	RETURN instant + after * interval '1 s';
END
$$;

SET LOCAL timezone = 'UTC';
SELECT is(pg_temp.window_of(format('w %s', period), '2019-11-11 00:00:30'), ends, 'UTC: ' || period)
FROM (VALUES ('1 min', '2019-11-11 00:01'::timestamptz), ('1 h', '2019-11-11 01:00'), ('1 day', '2019-11-12'), ('7 days', '2019-11-18'),
	('1 month', '2019-12-01'), ('1 year', '2020-01-01'), ('3 months', '2020-01-01'), ('5 h', '2019-11-11 05:00'), ('1 s', '2019-11-11 00:00:31')) AS v (period, ends),
	LATERAL (SELECT hotdash.limit_set(format('w %s', period), 3, period::interval, algorithm => 'window')) AS set
WHERE set IS NOT NULL;
SELECT is(pg_temp.window_of('w 5 h', '2019-11-11 22:00'), '2019-11-12 00:00', 'what is left of a day is a window');
SELECT lives_ok($$SELECT hotdash.limit_set('berlin ' || p, 3, p::interval, algorithm => 'window', time_zone => 'Europe/Berlin') FROM unnest(ARRAY['1 h', '6 h', '1 day', '1 month']) AS p$$, 'windows of Berlin');
SELECT is(pg_temp.window_of(name, instant::timestamptz), ends::timestamptz, format('%s at %s', name, instant))
FROM (VALUES ('berlin 1 day', '2024-03-31 12:00Z', '2024-03-31 22:00Z'), ('berlin 1 day', '2024-10-27 12:00Z', '2024-10-27 23:00Z'),
	('berlin 1 month', '2024-03-31 22:30Z', '2024-04-30 22:00Z'), ('berlin 1 month', '2024-03-15 00:00Z', '2024-03-31 22:00Z'),
	('berlin 6 h', '2024-03-31 00:30Z', '2024-03-31 04:00Z'), ('berlin 6 h', '2024-10-27 00:30Z', '2024-10-27 05:00Z'),
	('berlin 1 h', '2024-10-27 00:30Z', '2024-10-27 01:00Z'), ('berlin 1 h', '2024-10-27 01:30Z', '2024-10-27 02:00Z'),
	('berlin 1 h', '2024-03-31 01:30Z', '2024-03-31 02:00Z')) AS v (name, instant, ends);
SELECT is(pg_temp.throttle(0, 'w 1 min', 'k', 2) || ' ' || pg_temp.throttle(59.999999, 'w 1 min', 'k', 2) || ' ' || pg_temp.throttle(60, 'w 1 min', 'k', 2),
	'0,3,1,-1,60 1,3,1,1,1 0,3,1,-1,60', 'what is used counts to the end of the window');
SELECT is(pg_temp.throttle(61, 'w 1 min', 'k', 4), '1,3,1,-1,59', 'more than ever fits');
SELECT is((SELECT hotdash.limit_refund('w 1 min', pg_temp.key('k'), 1) || ' ' || hotdash.limit_refund('w 1 min', pg_temp.key('k'), 5)), '1 1', 'given back, never above full');

/*
 * Given back, made full, looked at
 */

SELECT is(pg_temp.throttle(0, 'api', 'r', 50), '0,100,50,-1,30', 'fifty');
SELECT is(hotdash.limit_refund('api', pg_temp.key('r'), 20), 20, 'twenty back');
SELECT is(pg_temp.throttle(0, 'api', 'r', 0), '0,100,70,-1,18', 'seventy are left');
SELECT is(hotdash.limit_refund('api', pg_temp.key('r'), 99), 30, 'no more than was taken');
SELECT is(pg_temp.throttle(0, 'api', 'r', 0), '0,100,100,-1,0', 'full');
SELECT is(hotdash.limit_refund('api', pg_temp.key('never'), 1), 0, 'of a key that nobody knows');
SELECT is((SELECT string_agg(left(pg_temp.throttle(t, 'auth', 'r'), 1), '') FROM generate_series(0, 4) AS t), '00000', 'auth: one a second');
SELECT is(hotdash.limit_refund('auth', pg_temp.key('r'), 2), 2, 'the last two back');
SELECT is((SELECT string_agg(left(pg_temp.throttle(5, 'auth', 'r'), 1), '') FROM generate_series(0, 2) AS t), '001', 'two more');
SELECT is(pg_temp.throttle(5, 'auth', 'r', 0), '1,5,0,55,60', 'the first, of second 0, goes first');
SELECT lives_ok($$SELECT hotdash.limit_reset('auth', pg_temp.key('r')), hotdash.limit_reset('api', pg_temp.key('r')), hotdash.limit_reset('api', 'nobody')$$, 'made full');
SELECT is(pg_temp.throttle(5, 'auth', 'r', 0), '0,5,5,-1,0', 'full');
SELECT is((SELECT array_agg(hotdash.limit_allow('one', pg_temp.key('look'), 0)) FROM generate_series(1, 3)), '{t,t,t}', 'a look takes nothing');
SELECT is(hotdash.limit_allow('one', pg_temp.key('look'), 1) || ' ' || hotdash.limit_allow('one', pg_temp.key('look'), 0), 'true false', 'and says when nothing fits');

/*
 * Many keys, many limits
 */

SELECT is(hotdash.limit_take_many('one', ARRAY(SELECT pg_temp.key('many' || i % 5) FROM generate_series(1, 12) AS i)), '{t,t,t,t,t,f,f,f,f,f,f,f}', 'many keys');
SELECT is(hotdash.limit_take_many('one', '{}'), '{}', 'no keys');
SELECT is(cardinality(hotdash.limit_take_many('api', ARRAY(SELECT pg_temp.key('x' || i) FROM generate_series(1, 10000) AS i), 7)), 10000, '10,000 keys');
SELECT throws_ok($$SELECT hotdash.limit_take_many('one', ARRAY['a', NULL])$$, '22004', NULL, 'a null key');
SELECT throws_ok($$SELECT hotdash.limit_take_many('one', ARRAY['a', ''])$$, '22023', NULL, 'an empty one');
SELECT throws_ok($$SELECT hotdash.limit_take_many('one', '{{a},{b}}')$$, '2202E', NULL, 'a table of keys');

SELECT pg_temp.at(0);
SELECT is((SELECT string_agg(hotdash.limit_take_all('{cell,one,api}', pg_temp.key('all'))::text, ' ') FROM generate_series(1, 3)), 'true false false', 'all or none');
SELECT is((SELECT remaining FROM hotdash.limit_take('api', pg_temp.key('all'), 0)), 99, 'the others were not charged for a refusal');
SELECT is((SELECT remaining FROM hotdash.limit_take('cell', pg_temp.key('all'), 0)), 4, 'none of them');
SELECT is(hotdash.limit_take_all('{cell,api}', pg_temp.key('all'), 0) || ' ' || hotdash.limit_take_all('{cell,one}', pg_temp.key('all'), 0), 'true false', 'a look');
SELECT is(hotdash.limit_take_all('{auth,w 1 min,cell}', pg_temp.key('kinds'), 3) || ' ' || hotdash.limit_take_all('{auth,w 1 min,cell}', pg_temp.key('kinds'), 1), 'true false', 'of all algorithms');
SELECT throws_ok($$SELECT hotdash.limit_take_all('{api,one,api}', 'k')$$, '22023', NULL, 'one named twice');
SELECT throws_ok($$SELECT hotdash.limit_take_all('{}', 'k')$$, '22023', NULL, 'none named');
SELECT throws_ok($$SELECT hotdash.limit_take_all('{a,b,c,d,e,f,g,h,i}', 'k')$$, '22023', NULL, 'nine');

/*
 * Without a stored limit
 */

CREATE FUNCTION pg_temp.with_limit(seconds numeric, key text, VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	PERFORM pg_temp.at(seconds);
	EXECUTE format('SELECT * FROM hotdash.limit_take_with(pg_temp.key(%L), %s)', key, array_to_string(arguments, ', ')) INTO answer;
	RETURN concat_ws(',', answer.allowed, answer.quota, answer.remaining, answer.retry_after, answer.reset_after);
END
$$;
SELECT is(pg_temp.with_limit(0, 'w', '3', '''3 s''', 'cost => 2'), 't,3,1,0,2', 'three in three seconds');
SELECT is(pg_temp.with_limit(0.5, 'w', '3', '''3 s''', 'cost => 2'), 'f,3,1,0.5,1.5', 'half a second early');
SELECT is(pg_temp.with_limit(0.5, 'w', '30', '''30 s''', 'burst => 4'), 't,4,1,0,2.5', 'another limit, the same bucket');
SELECT is(pg_temp.with_limit(0, 'l', '2', '''10 s''', 'algorithm => ''log''', 'cost => 2'), 't,2,0,0,10', 'an exact log');
SELECT throws_ok($$SELECT hotdash.limit_take_with('k', 2, '10 s', algorithm => 'window')$$, '22023', NULL, 'no windows');

-- A limit that is named as other modules name theirs has nothing to do with them
SELECT hotdash.queue_set(left(id, 20), rate => 1, rate_period => '1 h') FROM run;
SELECT lives_ok($$SELECT hotdash.limit_set('queue', 1, '1 h', algorithm => 'log')$$, 'a limit named queue');
SELECT is((SELECT string_agg(hotdash.limit_allow('queue', left(id, 20))::text, ' ') FROM run), 'true', 'its key named as a queue');
SELECT hotdash.job_kind_set('k-' || left(id, 18), queue => left(id, 20)), hotdash.job_enqueue('k-' || left(id, 18)) FROM run;
SELECT is((SELECT count(*) FROM run, hotdash.job_claim(ARRAY[left(id, 20)])), 1::bigint, 'the queue''s own rate is untouched');

/*
 * Shadow
 */

-- counts outlive the rollback, so its name is new in each run
CREATE FUNCTION pg_temp.dark() RETURNS text LANGUAGE sql AS $$ SELECT 'dark ' || left(id, 8) FROM run $$;
SELECT lives_ok($$SELECT hotdash.limit_set(pg_temp.dark(), 1, '1 h', shadow => true)$$, 'one that refuses nothing as yet');
SELECT pg_temp.at(0);
SELECT is((SELECT string_agg(allowed::text || retry_after, ' ') FROM generate_series(1, 3) AS i, hotdash.limit_take(pg_temp.dark(), pg_temp.key(left('k' || i, 1)))), 'true0 true0 true0', 'allows');
SELECT is((SELECT (allowed, denied, shadowed)::text FROM hotdash._limit_counts() WHERE name = pg_temp.dark()), '(3,0,2)', 'and counts what it would refuse');
SELECT is(hotdash.limit_take_all(ARRAY[pg_temp.dark(), 'one'], pg_temp.key('dark')) || ' ' || hotdash.limit_take_all(ARRAY[pg_temp.dark(), 'api'], pg_temp.key('dark')), 'true true', 'it stops no others either');
SELECT lives_ok($$SELECT hotdash.limit_set(pg_temp.dark(), 1, '1 h')$$, 'in earnest');
SELECT is(hotdash.limit_allow(pg_temp.dark(), pg_temp.key('k')), false, 'it refuses');

/*
 * What is no limit, and no call
 */

SELECT throws_ok(format('SELECT hotdash.limit_set(%s)', arguments), state, NULL, 'limit_set: ' || arguments)
FROM (VALUES ($$'x', 0, '1 s'$$, '22023'), ($$'x', -1, '1 s'$$, '22023'), ($$'x', 1, '0 s'$$, '22023'), ($$'x', 1, '-1 s'$$, '22023'),
	($$'x', 1, '1 month'$$, '22023'), ($$'x', 1, '200 years'$$, '22023'), ($$'x', 1, '73000 days'$$, '22015'),
	($$'x', 1, '1 s', burst => 0$$, '22023'), ($$'x', 1, '100 days', burst => 2000000000$$, '22003'),
	($$'x', 1, '1 s', algorithm => 'leaky'$$, '22023'), ($$'x', 1001, '1 s', algorithm => 'log'$$, '22023'),
	($$'x', 5, '1 s', algorithm => 'log', burst => 3$$, '22023'), ($$'x', 5, '1 s', durability => 'maybe'$$, '22023'),
	($$'x', 5, '1 s', time_zone => 'UTC'$$, '22023'), ($$'x', 5, '1 day', algorithm => 'window', time_zone => 'Mars/Olympus'$$, '22023'),
	($$'x', 5, '1 month 3 days', algorithm => 'window'$$, '22023'), ($$'x', 5, '1 s', options => '[]'$$, '22023'),
	($$'x', 5, '1 s', options => '{"strict": 1}'$$, '22023'), ($$'x', 5, '1 s', options => '{"color": "red"}'$$, '22023'),
	($$'', 5, '1 s'$$, '22023'), ($$repeat('x', 64), 5, '1 s'$$, '22023'), ($$NULL, 5, '1 s'$$, '22004'), ($$'x', NULL, '1 s'$$, '22004'),
	($$'x', 5, NULL$$, '22004')) AS v (arguments, state);
SELECT throws_ok($$SELECT hotdash.limit_allow('nobody', 'k')$$, '42704', 'rate limit "nobody" does not exist', 'a limit that is not there');
SELECT throws_ok($$SELECT hotdash.limit_allow(repeat('n', 100), 'k')$$, '42704', NULL, 'one that cannot be');
SELECT throws_ok($$SELECT hotdash.limit_delete('api')$$, '42704', NULL, 'a preset cannot be deleted');
SELECT throws_ok(format('SELECT hotdash.limit_allow(%s)', arguments), state, NULL, 'limit_allow: ' || arguments)
FROM (VALUES ($$NULL, 'k'$$, '22004'), ($$'api', NULL$$, '22004'), ($$'api', ''$$, '22023'), ($$'api', 'k', -1$$, '22023')) AS v (arguments, state);
SELECT throws_ok($$SELECT hotdash.limit_refund('api', 'k', NULL)$$, '22004', NULL, 'nothing is given back by a null');
SELECT is((SELECT remaining FROM hotdash.limit_take('api', pg_temp.key('null'), NULL)), 99, 'a null cost is the default');
SELECT is(hotdash.limit_allow('one', repeat(pg_temp.key('long'), 300000)) || ' ' || hotdash.limit_allow('one', repeat(pg_temp.key('long'), 300000))
	|| ' ' || hotdash.limit_allow('one', repeat(pg_temp.key('long'), 300001)), 'true false true', 'a key of 12 MB is a key');

SELECT * FROM finish();
ROLLBACK;
