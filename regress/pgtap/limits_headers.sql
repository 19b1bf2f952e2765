-- What clients of HTTP are told of limits, on a stopped clock.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(67);

CREATE TEMPORARY TABLE run AS SELECT gen_random_uuid()::text AS id;

CREATE FUNCTION pg_temp.key(key text) RETURNS text LANGUAGE sql AS $$ SELECT id || key FROM run $$;

-- The clock stands so many seconds after the year begins.
CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2040-01-01 00:00:00+00'::timestamptz + seconds * interval '1 second')::text, true)
$$;

CREATE FUNCTION pg_temp.take(seconds numeric, name text, key text, n int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.at(seconds);
	RETURN hotdash.limit_allow(name, pg_temp.key(key), n);
END
$$;

-- Limit, Remaining, Reset, Retry-After
CREATE FUNCTION pg_temp.legacy(seconds numeric, name text, key text, style text DEFAULT 'legacy') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	headers jsonb;
BEGIN
	PERFORM pg_temp.at(seconds);
	headers := hotdash.limit_headers(name, pg_temp.key(key), style);
	RETURN concat_ws(' ', headers ->> 'X-RateLimit-Limit', headers ->> 'X-RateLimit-Remaining', headers ->> 'X-RateLimit-Reset',
		coalesce(headers ->> 'Retry-After', '-'));
END
$$;

CREATE FUNCTION pg_temp.ietf(seconds numeric, name text, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	headers jsonb;
BEGIN
	PERFORM pg_temp.at(seconds);
	headers := hotdash.limit_headers(name, pg_temp.key(key), 'ietf');
	RETURN concat_ws(' ', headers ->> 'RateLimit-Policy', headers ->> 'RateLimit', coalesce(headers ->> 'Retry-After', '-'));
END
$$;

/*
 * The presets
 */

SELECT is(pg_temp.legacy(0, 'api', 'a'), '100 100 0 -', 'api, full');
SELECT is(pg_temp.ietf(0, 'api', 'a'), '"api";q=100;w=60 "api";r=100 -', 'more than all never comes');
SELECT is(pg_temp.take(0, 'api', 'a', 1), true, 'one');
SELECT is(pg_temp.legacy(0, 'api', 'a'), '100 99 1 -', 'full again in 0.6 s');
SELECT is(pg_temp.ietf(0, 'api', 'a'), '"api";q=100;w=60 "api";r=99;t=1 -', 'as is the next');
SELECT is(pg_temp.take(0, 'api', 'a', 99), true, 'the rest');
SELECT is(pg_temp.legacy(0, 'api', 'a'), '100 0 60 1', 'nothing left');
SELECT is(pg_temp.ietf(0, 'api', 'a'), '"api";q=100;w=60 "api";r=0;t=1 1', 'the next in a second, not all');
SELECT is(pg_temp.legacy(0, 'api', 'a', 'legacy-epoch'), '100 0 2208988860 1', 'full at a time of Unix');
SELECT is(pg_temp.legacy(0.000001, 'api', 'a', 'legacy-epoch'), '100 0 2208988860 1', 'the same time a moment later');
SELECT is(pg_temp.legacy(0.6, 'api', 'a'), '100 1 60 -', 'one is back');
SELECT is(pg_temp.ietf(0.6, 'api', 'a'), '"api";q=100;w=60 "api";r=1;t=1 -', 'and not refused');
SELECT is(pg_temp.legacy(60, 'api', 'a', 'legacy-epoch'), '100 100 2208988860 -', 'full now');

SELECT is(pg_temp.take(0, 'auth', 'a', 2) AND pg_temp.take(10, 'auth', 'a', 1), true, 'auth: two, and one ten seconds later');
SELECT is(pg_temp.legacy(10, 'auth', 'a'), '5 2 60 -', 'full when the last counts no longer');
SELECT is(pg_temp.ietf(10, 'auth', 'a'), '"auth";q=5;w=60 "auth";r=2;t=50 -', 'more when the first do not');
SELECT is(pg_temp.take(10, 'auth', 'a', 2), true, 'all five');
SELECT is(pg_temp.ietf(10, 'auth', 'a'), '"auth";q=5;w=60 "auth";r=0;t=50 50', 'come back then');
SELECT is(pg_temp.ietf(59.000001, 'auth', 'a'), '"auth";q=5;w=60 "auth";r=0;t=1 1', 'a part of a second is one');
SELECT is(pg_temp.ietf(60, 'auth', 'a'), '"auth";q=5;w=60 "auth";r=2;t=10 -', 'and there they are');

/*
 * Whole seconds: never too early, and exact ones as they are
 */

SELECT hotdash.limit_set('two', 1, '2 s');
SELECT hotdash.limit_set('more', 1, '2.000001 s');
SELECT is(pg_temp.take(0, 'two', 'a', 1) AND pg_temp.take(0, 'more', 'a', 1), true, 'one of each');
SELECT is(pg_temp.legacy(0, 'two', 'a'), '1 0 2 2', '2 s are 2');
SELECT is(pg_temp.legacy(0, 'more', 'a'), '1 0 3 3', 'a microsecond more is 3');
SELECT is(pg_temp.legacy(0.000001, 'two', 'a'), '1 0 2 2', '1.999999 s are 2');
SELECT is(pg_temp.legacy(0.000001, 'more', 'a'), '1 0 2 2', 'as are two');
SELECT is(pg_temp.legacy(1.999999, 'two', 'a'), '1 0 1 1', 'a microsecond is 1');
SELECT is(pg_temp.legacy(2, 'two', 'a'), '1 1 0 -', 'and none is none');
SELECT is((SELECT count(*) FROM generate_series(0, 1999) AS i
	WHERE NOT pg_temp.legacy(3 + i * 0.001, 'seconds', 'a') LIKE '1 0 ' || ceil(2 - i * 0.001) || ' ' || ceil(2 - i * 0.001)), 0::bigint, 'at every millisecond')
FROM hotdash.limit_set('seconds', 1, '2 s'), pg_temp.take(3, 'seconds', 'a', 1);

/*
 * Policies
 */

SELECT hotdash.limit_set('burst', 100, '1 min', burst => 20);
SELECT hotdash.limit_set('half', 10, '0.5 s');
SELECT hotdash.limit_set('day', 3, '1 day', algorithm => 'window');
SELECT hotdash.limit_set('month', 3, '1 month', algorithm => 'window');
SELECT hotdash.limit_set('shadow', 1, '1 min', shadow => true);
SELECT is(pg_temp.ietf(0, 'burst', 'a'), '"burst";q=100;w=60;hotdash-burst=20 "burst";r=20 -', 'fewer at once than in a period');
SELECT is(pg_temp.legacy(0, 'burst', 'a'), '20 20 0 -', 'of which the older fields know what fits');
SELECT is(pg_temp.ietf(0, 'half', 'a'), '"half";q=10;w=1 "half";r=10 -', 'a window is a second at least');
SELECT is(pg_temp.take(3600, 'day', 'a', 1) AND pg_temp.take(3600, 'month', 'a', 3), true, 'windows');
SELECT is(pg_temp.ietf(3600, 'day', 'a'), '"day";q=3;w=86400 "day";r=2;t=82800 -', 'until the day ends');
SELECT is(pg_temp.ietf(3600, 'month', 'a'), '"month";q=3;w=2678400 "month";r=0;t=2674800 2674800', 'a month of 31 days');
SELECT is(pg_temp.ietf(31 * 86400, 'month', 'a'), '"month";q=3;w=2505600 "month";r=3 -', 'and one of 29');
SELECT is(pg_temp.take(0, 'shadow', 'a', 2), true, 'shadow mode');
SELECT is(pg_temp.take(0, 'shadow', 'a', 1), true, 'refuses nothing');
SELECT is(pg_temp.ietf(0, 'shadow', 'a'), '"shadow";q=1;w=60 "shadow";r=0;t=60 -', 'and says only what is left');

SELECT hotdash.limit_set('places', 3, NULL, algorithm => 'concurrency');
SELECT is(pg_temp.ietf(0, 'places', 'a'), '"places";q=3;qu="concurrent-requests" "places";r=3 -', 'places');
SELECT is(hotdash.limit_acquire('places', pg_temp.key('a')), true, 'one of them');
SELECT is(pg_temp.ietf(0, 'places', 'a'), '"places";q=3;qu="concurrent-requests" "places";r=2 -', 'leaves two');
SELECT is(pg_temp.legacy(0, 'places', 'a'), '3 2 -', 'until nobody knows when');
SELECT is(hotdash.limit_release('places', pg_temp.key('a')), true, 'given back');

/*
 * Names in structured fields (RFC 9651): strings of printable ASCII
 */

CREATE TEMPORARY TABLE field AS SELECT name, hotdash.limit_headers(name, 'k', 'ietf') AS headers
FROM unnest(ARRAY['a"b\c', 'Größe', '100 % of it', '', '日本語の名前がいくつもならぶ', '~ !']) AS name, LATERAL (SELECT hotdash.limit_set(name, 1, '1 s') WHERE name <> '') AS made;
SELECT is(headers ->> 'RateLimit', field, format('%L is %s', name, field))
FROM (VALUES ('a"b\c', '"a\"b\\c";r=1'), ('Größe', '"Gr%C3%B6%C3%9Fe";r=1'), ('100 % of it', '"100 %25 of it";r=1'), ('~ !', '"~ !";r=1')) AS v (name, field)
JOIN field USING (name);
SELECT is_empty(
	$$SELECT name, h.value FROM field, jsonb_each_text(headers) AS h
		WHERE h.value !~ '^"([ !#-[\]-~]|\\["\\])*"(;[a-z*][a-z0-9_.*-]*=([0-9]{1,15}|"[ !#-[\]-~]*"))*$'$$,
	'each is an item with parameters');
SELECT is((SELECT count(DISTINCT headers ->> 'RateLimit') FROM field), 5::bigint, 'and no two names are one');

/*
 * Nothing is taken, and all are strings
 */

SELECT is(count(DISTINCT hotdash.limit_headers('api', pg_temp.key('look'), style)), 1::bigint, 'style ' || style || ' takes nothing')
FROM unnest(ARRAY['legacy', 'legacy-epoch', 'ietf']) AS style, generate_series(1, 150) GROUP BY style;
SELECT is(hotdash.limit_headers('api', pg_temp.key('look'), NULL), hotdash.limit_headers('api', pg_temp.key('look')), 'NULL is legacy');
SELECT is((SELECT array_agg(DISTINCT jsonb_typeof(value)) FROM jsonb_each(hotdash.limit_headers('api', 'k'))), ARRAY['string'], 'strings');
SELECT throws_ok('SELECT hotdash.limit_headers(' || arguments || ')', state, NULL, arguments)
FROM (VALUES ($$'api', 'k', 'draft-6'$$, '22023'), ($$'no such limit', 'k'$$, '42704'), ($$NULL, 'k'$$, '22004'), ($$'api', NULL$$, '22004')) AS v (arguments, state);

/*
 * The error
 */

CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, message, detail, nullif(hint, ''));
END
$$;
CREATE FUNCTION pg_temp.enforce(name text, key text, cost int) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.error(format('SELECT hotdash.limit_enforce(%L, %L, %s)', name, pg_temp.key(key), cost))
$$;
SELECT pg_temp.at(100);
SELECT is(pg_temp.enforce('api', 'e', 98), NULL, 'what fits is taken');
SELECT is(pg_temp.enforce('api', 'e', 5), 'PT429 | rate limit "api" exceeded | 2 of 100 units are left, and 5 were asked for; all are there in 59 s. | Retry after 2 s.', 'what does not is an error');
SELECT is(pg_temp.enforce('api', 'e', 2), NULL, 'that takes nothing');
SELECT is(pg_temp.enforce('api', 'e', 101), 'PT429 | rate limit "api" exceeded | 0 of 100 units are left, and 101 were asked for; all are there in 60 s. | So many units never fit at once.', 'and what never fits');
SELECT is(pg_temp.enforce('shadow', 'a', 1), NULL, 'but not in shadow mode');

/*
 * Before a request of PostgREST, as docs/limits.md has it
 */

CREATE FUNCTION pg_temp.before_request() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	client CONSTANT text := hotdash.client_key(current_setting('request.headers', true)::jsonb ->> 'x-forwarded-for');
	allowed CONSTANT bool := hotdash.limit_allow('api', client);
	headers CONSTANT jsonb := hotdash.limit_headers('api', client, 'ietf');
BEGIN
	IF NOT allowed THEN
		RAISE SQLSTATE 'PGRST' USING
			MESSAGE = jsonb_build_object('code', 'PT429', 'message', 'Too many requests')::text,
			DETAIL = jsonb_build_object('status', 429, 'headers', headers)::text;
	END IF;
	PERFORM set_config('response.headers', (SELECT jsonb_agg(jsonb_build_object(key, value)) FROM jsonb_each(headers))::text, true);
END
$$;
SELECT set_config('request.headers', format('{"host": "localhost", "x-forwarded-for": "6.6.6.6, 2001:db8:%s::1"}', substr(id, 1, 4)), true) IS NOT NULL FROM run \g /dev/null
SELECT is(pg_temp.error('SELECT pg_temp.before_request()'), NULL, 'the first request');
SELECT is(current_setting('response.headers'), '[{"RateLimit": "\"api\";r=99;t=1"}, {"RateLimit-Policy": "\"api\";q=100;w=60"}]', 'is answered with headers');
SELECT is((SELECT count(pg_temp.error('SELECT pg_temp.before_request()')) FROM generate_series(1, 99)), 0::bigint, 'as are 99 more');
SELECT is(pg_temp.error('SELECT pg_temp.before_request()'),
	'PGRST | {"code": "PT429", "message": "Too many requests"} | {"status": 429, "headers": {"RateLimit": "\"api\";r=0;t=1", "Retry-After": "1", "RateLimit-Policy": "\"api\";q=100;w=60"}}', 'the next is refused, with them');

SELECT finish();
ROLLBACK;
