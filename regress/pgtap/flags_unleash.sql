-- Flags imported from Unleash: who is let in, by which constraint and strategy, with which variant; what deltas change;
-- what is refused. Rolls back; needs no preload. Positions and counts come from an implementation of MurmurHash3 of its
-- own; Unleash's client specification itself is run by regress/conformance/unleash.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL hotdash.now_override = '2026-03-04 12:00:00+00';
SELECT * FROM no_plan();

CREATE FUNCTION pg_temp.feature(name text, strategies text, more text DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('name', name, 'enabled', true, 'strategies', strategies::jsonb) || more::jsonb
$$;

CREATE FUNCTION pg_temp.load(VARIADIC features jsonb[]) RETURNS int LANGUAGE sql AS $$
	SELECT hotdash.flags_import(jsonb_build_object('version', 1, 'features', to_jsonb(features)), 'unleash')
$$;

-- whether a constraint holds, in a flag that has only this
CREATE FUNCTION pg_temp.holds(term text, context text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.load(pg_temp.feature('held', format('[{"name": "default", "constraints": [%s]}]', term)));
	RETURN hotdash.flag_enabled('held', context::jsonb);
END
$$;

CREATE FUNCTION pg_temp.why(document text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	PERFORM hotdash.flags_import(document::jsonb, 'unleash');
	RETURN 'imported';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(': ', SQLERRM, nullif(detail, ''));
END
$$;

/*
 * Constraints
 */

SELECT is(pg_temp.holds(format('{"contextName": "%s", "operator": "%s", %s}', c.name, c.operator, c.rest), c.context), c.holds,
	concat_ws(' ', c.operator, c.rest, c.context))
FROM (VALUES
	('plan', 'IN', '"values": ["pro", "max"]', '{"properties": {"plan": "max"}}', true),
	('plan', 'IN', '"values": ["pro", "max"]', '{"plan": "pro"}', true),
	('plan', 'IN', '"values": ["pro", "max"]', '{"plan": "free", "properties": {"plan": "max"}}', true),
	('userId', 'IN', '"values": ["7"]', '{"userId": "7", "properties": {"userId": "8"}}', true),
	('userId', 'IN', '"values": ["7"]', '{"properties": {"userId": "7"}}', true),
	('userId', 'IN', '"values": ["7"]', '{"targetingKey": "7"}', true),
	('userId', 'IN', '"values": ["7"]', '{"targetingKey": "7", "userId": "8"}', false),
	('userId', 'IN', '"values": ["7"]', '{"userId": 7}', true),
	('ratio', 'IN', '"values": ["0.25"]', '{"ratio": 0.250}', true),
	('vip', 'IN', '"values": ["true"]', '{"vip": true}', true),
	('plan', 'IN', '"values": ["[1]", "1", ""]', '{"plan": [1]}', false),
	('plan', 'IN', '"values": ["Pro"]', '{"plan": "pro"}', false),
	('plan', 'IN', '"values": ["Pro"], "caseInsensitive": true', '{"plan": "pro"}', false),
	('plan', 'IN', '"values": ["pro"], "inverted": true', '{}', true),
	('plan', 'IN', '"values": null', '{"plan": "pro"}', false),
	('plan', 'NOT_IN', '"values": ["pro"]', '{}', true),
	('plan', 'NOT_IN', '"values": ["pro"]', '{"plan": null}', true),
	('plan', 'NOT_IN', '"values": ["pro"]', '{"plan": "pro"}', false),
	('plan', 'NOT_IN', '"values": ["pro"], "inverted": true', '{}', false),
	('mail', 'STR_ENDS_WITH', '"values": ["@a.example", ".test"]', '{"mail": "kim@b.test"}', true),
	('mail', 'STR_ENDS_WITH', '"values": ["@a.example", ".test"]', '{"mail": "st"}', false),
	('mail', 'STR_STARTS_WITH', '"values": ["kim", "lee"]', '{"mail": "lee@b.test"}', true),
	('mail', 'STR_STARTS_WITH', '"values": ["kim", "lee"]', '{"mail": "Lee@b.test"}', false),
	('mail', 'STR_STARTS_WITH', '"values": ["kim"], "inverted": true', '{}', true),
	('town', 'STR_CONTAINS', '"values": ["ÖSTER"], "caseInsensitive": true', '{"town": "västerÖsterås"}', true),
	('town', 'STR_CONTAINS', '"values": ["ὈΔΌΣ"], "caseInsensitive": true', '{"town": "ἡ ὀδός"}', true),
	('town', 'STR_STARTS_WITH', '"values": ["Σ"], "caseInsensitive": true', '{"town": "σύρος"}', true),
	('town', 'STR_CONTAINS', '"values": ["İ"], "caseInsensitive": true', '{"town": "istanbul"}', false),
	('town', 'STR_CONTAINS', '"values": ["i"], "caseInsensitive": true', '{"town": "İZMİR"}', true),
	('town', 'STR_CONTAINS', '"values": [""]', '{"town": "x"}', true),
	('age', 'NUM_GTE', '"value": "18"', '{"age": 18}', true),
	('age', 'NUM_GT', '"value": "18"', '{"age": "18.000"}', false),
	('age', 'NUM_LT', '"value": "1e2"', '{"age": "-3"}', true),
	('age', 'NUM_LTE', '"value": 18', '{"age": "17.5"}', true),
	('age', 'NUM_EQ', '"value": "18"', '{"age": " 18"}', false),
	('age', 'NUM_EQ', '"value": "18"', '{"age": ""}', false),
	('age', 'NUM_EQ', '"value": "18"', '{"age": "0x12"}', false),
	('age', 'NUM_EQ', '"value": "18", "inverted": true', '{"age": "old"}', true),
	('age', 'NUM_EQ', '"value": "old"', '{"age": "old"}', false),
	('age', 'NUM_EQ', '"value": "old", "inverted": true', '{"age": "18"}', false),
	('currentTime', 'DATE_AFTER', '"value": "2026-03-04T11:59:59Z"', '{}', true),
	('currentTime', 'DATE_AFTER', '"value": "2026-03-04T12:00:00.000Z"', '{}', false),
	('currentTime', 'DATE_BEFORE', '"value": "2026-03-04T13:00:01+01:00"', '{}', true),
	('currentTime', 'DATE_AFTER', '"value": "2026-03-04T11:59:59Z"', '{"currentTime": "2026-03-04T11:59:58Z"}', false),
	('joined', 'DATE_BEFORE', '"value": "2026-01-01T00:00:00Z"', '{"joined": "2025-12-31T23:59:59.999Z"}', true),
	('joined', 'DATE_BEFORE', '"value": "2026-01-01T00:00:00Z"', '{}', false),
	('joined', 'DATE_BEFORE', '"value": "2026-01-01T00:00:00Z"', '{"joined": "yesterday"}', false),
	('joined', 'DATE_BEFORE', '"value": "soon", "inverted": true', '{"joined": "2025-12-31T23:59:59Z"}', false),
	('app', 'SEMVER_GT', '"value": "4.9.0"', '{"app": "4.10.0"}', true),
	('app', 'SEMVER_EQ', '"value": "4.9.0"', '{"app": "4.9.0+build.7"}', true),
	('app', 'SEMVER_LT', '"value": "4.9.0"', '{"app": "4.9.0-rc.1"}', true),
	('app', 'SEMVER_GTE', '"value": "4.9.0-rc.2"', '{"app": "4.9.0-rc.10"}', true),
	('app', 'SEMVER_LTE', '"value": "4.9.0"', '{"app": "4.9"}', false),
	('app', 'SEMVER_LTE', '"value": "4.9.0"', '{"app": "v4.0.0"}', false),
	('app', 'SEMVER_EQ', '"value": "4.9", "inverted": true', '{"app": "1.0.0"}', false),
	('code', 'REGEX', '"value": "^[a-f]{2}\\d+$"', '{"code": "be77"}', true),
	('code', 'REGEX', '"value": "^[a-f]{2}\\d+$"', '{"code": "xbe77"}', false),
	('code', 'REGEX', '"value": "^BE", "caseInsensitive": true', '{"code": "be77"}', true),
	('code', 'REGEX', '"value": "a.c"', '{"code": "a\nc"}', false),
	('code', 'REGEX', '"value": "\\bab\\b"', '{"code": "x ab."}', true),
	('code', 'REGEX', '"value": "^(ab", "inverted": true', '{"code": "x"}', false),
	('code', 'REGEX', '"value": "(?!x)y"', '{"code": "y"}', false),
	('code', 'REGEX', '"value": "x", "inverted": true', '{}', true),
	('remoteAddress', 'IN_CIDR', '"values": ["10.1.0.0/16", "fd00::/8", "?"]', '{"remoteAddress": "10.1.200.3"}', true),
	('remoteAddress', 'IN_CIDR', '"values": ["10.1.0.0/16", "fd00::/8", "?"]', '{"remoteAddress": "fd12:0:0::9"}', true),
	('remoteAddress', 'IN_CIDR', '"values": ["10.1.0.0/16", "fd00::/8", "?"]', '{"remoteAddress": "10.2.0.1"}', false),
	('remoteAddress', 'IN_CIDR', '"values": ["10.1.0.0/16"]', '{"remoteAddress": "here"}', false),
	('remoteAddress', 'IN_CIDR', '"values": ["10.1.0.0/16"], "inverted": true', '{}', true),
	('plan', 'RESEMBLES', '"values": ["pro"], "inverted": true', '{"plan": "pro"}', false)
	) AS c (name, operator, rest, context, holds);

SELECT ok(pg_temp.holds('{"contextName": "environment", "operator": "IN", "values": ["staging"]}', '{"environment": "staging"}'),
	'the environment is that of the context');
SET LOCAL hotdash.environment = 'staging';
SELECT ok(hotdash.flag_enabled('held'), 'and else that of the session');
RESET hotdash.environment;

/*
 * Strategies
 */

SELECT is(pg_temp.load(
	pg_temp.feature('bare', '[]'),
	pg_temp.feature('off', '[{"name": "default"}]', '{"enabled": false}'),
	pg_temp.feature('none', 'null'),
	pg_temp.feature('listed', '[{"name": "userWithId", "parameters": {"userIds": "ann, bob ,cy"}}]'),
	pg_temp.feature('unlisted', '[{"name": "userWithId"}]'),
	pg_temp.feature('foreign', '[{"name": "moonPhase", "parameters": {"full": "yes"}}]'),
	pg_temp.feature('second', '[{"name": "moonPhase"}, {"name": "userWithId", "parameters": {"userIds": "ann"}}]'),
	pg_temp.feature('office', '[{"name": "remoteAddress", "parameters": {"IPs": "192.0.2.1, 2001:db8::/32,nowhere"}}]'),
	pg_temp.feature('host', '[{"name": "applicationHostname", "parameters": {"hostNames": "Web-1, web-2"}}]'),
	pg_temp.feature('third', '[{"name": "flexibleRollout", "parameters": {"rollout": "30", "stickiness": "default", "groupId": "parcels"}}]'),
	pg_temp.feature('parcels', '[{"name": "flexibleRollout", "parameters": {"rollout": 30}}]'),
	pg_temp.feature('by-user', '[{"name": "gradualRolloutUserId", "parameters": {"percentage": "30", "groupId": "parcels"}}]'),
	pg_temp.feature('by-session', '[{"name": "gradualRolloutSessionId", "parameters": {"percentage": "50", "groupId": "parcels"}}]'),
	pg_temp.feature('by-shop', '[{"name": "flexibleRollout", "parameters": {"rollout": "40", "stickiness": "shop", "groupId": "größe"}}]'),
	pg_temp.feature('fraction', '[{"name": "flexibleRollout", "parameters": {"rollout": "39.9", "stickiness": "shop", "groupId": "größe"}}]'),
	pg_temp.feature('all', '[{"name": "flexibleRollout", "parameters": {"rollout": "100", "stickiness": "shop"}}]'),
	pg_temp.feature('broken', '[{"name": "flexibleRollout", "parameters": {"rollout": "many"}}]'),
	pg_temp.feature('dice', '[{"name": "flexibleRollout", "parameters": {"rollout": "50", "stickiness": "random"}}]'),
	pg_temp.feature('old-dice', '[{"name": "gradualRolloutRandom", "parameters": {"percentage": "50"}}]')), 19,
	'all features of a state are imported');

SELECT is(hotdash.flag_enabled(s.flag, s.context::jsonb), s.enabled, format('%s for %s', s.flag, s.context))
FROM (VALUES
	('bare', '{}', true), ('none', '{}', true), ('off', '{}', false), ('foreign', '{}', false), ('unlisted', '{"userId": "ann"}', false),
	('listed', '{"userId": "bob"}', true), ('listed', '{"userId": "dee"}', false), ('listed', '{}', false),
	('second', '{"userId": "ann"}', true), ('second', '{"userId": "bob"}', false),
	('office', '{"remoteAddress": "192.0.2.1"}', true), ('office', '{"remoteAddress": "2001:db8::5"}', true),
	('office', '{"remoteAddress": "192.0.2.2"}', false), ('office', '{}', false),
	('host', '{"hostname": "WEB-1"}', true), ('host', '{"hostname": "web-3"}', false), ('host', '{}', false),
	('third', '{"userId": "13"}', true), ('third', '{"userId": "46"}', false), ('third', '{"userId": "137"}', true),
	('third', '{"userId": 13}', true), ('third', '{"targetingKey": "13"}', true), ('third', '{"sessionId": "13"}', true),
	('third', '{"userId": "46", "sessionId": "13"}', false),
	('parcels', '{"userId": "13"}', true), ('parcels', '{"userId": "46"}', false),
	('by-user', '{"userId": "13"}', true), ('by-user', '{"userId": "46"}', false), ('by-user', '{"sessionId": "13"}', false),
	('by-session', '{"sessionId": "s-5"}', true), ('by-session', '{"sessionId": "s-6"}', false), ('by-session', '{"userId": "s-5"}', false),
	('by-shop', '{"shop": "日本😀"}', true), ('fraction', '{"shop": "日本😀"}', false), ('by-shop', '{}', false), ('all', '{"shop": "x"}', true), ('all', '{"userId": "x"}', false),
	('broken', '{"userId": "x"}', false)
	) AS s (flag, context, enabled);

SELECT is(hotdash.flag_enabled_for('third', '13'), true, 'a targeting key alone is the userId');
SELECT is(count(*) FILTER (WHERE hotdash.flag_enabled('third', jsonb_build_object('userId', n))), 2994::bigint,
	'30 of 100 places of a group') FROM generate_series(0, 9999) AS n;
SELECT is(count(*) FILTER (WHERE hotdash.flag_enabled('third', jsonb_build_object('userId', n))
		<> (hotdash.flag_bucket('unleash', 'parcels', n::text) < 0.3)), 0::bigint,
	'which are those of flag_bucket') FROM generate_series(0, 999) AS n;
SELECT is(count(DISTINCT hotdash.flag_enabled(f, jsonb_build_object('userId', n % 2))), 2::bigint, format('chance decides: %s', f))
	FROM unnest(ARRAY['dice', 'old-dice']) AS f, generate_series(1, 200) AS n GROUP BY f;
SELECT is(count(DISTINCT hotdash.flag_enabled('third', jsonb_build_object('shop', n % 2))), 2::bigint,
	'and where nobody is known') FROM generate_series(1, 200) AS n;

/*
 * Variants
 */

SELECT is(pg_temp.load(
	pg_temp.feature('tiles', '[]', '{"variants": [{"name": "red", "weight": 200, "payload": {"type": "string", "value": "#f00"}},
		{"name": "green", "weight": 300, "payload": {"type": "number", "value": "2.5"}}, {"name": "blue", "weight": 500}]}'),
	pg_temp.feature('chosen', '[]', '{"variants": [{"name": "a", "weight": 0, "overrides": [{"contextName": "plan", "values": ["pro"]}]},
		{"name": "b", "weight": 1, "payload": {"type": "json", "value": "{\"size\": [1, 2]}"}}, {"name": "c", "weight": 0}]}'),
	pg_temp.feature('weightless', '[]', '{"variants": [{"name": "a", "weight": 0}]}'),
	pg_temp.feature('dark', '[]', '{"enabled": false, "variants": [{"name": "a", "weight": 1}]}'),
	pg_temp.feature('plain', '[{"name": "default"}]'),
	pg_temp.feature('own', '[{"name": "userWithId", "parameters": {"userIds": "ann"},
			"variants": [{"name": "look", "weight": 1, "payload": {"type": "string", "value": "first"}}]},
		{"name": "flexibleRollout", "parameters": {"rollout": "100", "stickiness": "shop", "groupId": "shelf"},
			"variants": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
			"constraints": [{"contextName": "shop", "operator": "NOT_IN", "values": [""]}]}]',
		'{"variants": [{"name": "look", "weight": 1, "payload": {"type": "string", "value": "second"}}]}'),
	pg_temp.feature('fallen', '[{"name": "default", "variants": []}]', '{"variants": [{"name": "look", "weight": 1}]}'),
	pg_temp.feature('toss', '[]', '{"variants": [{"name": "heads", "weight": 1, "stickiness": "random"}, {"name": "tails", "weight": 1}]}')),
	8, 'variants are imported');

SELECT is((SELECT variant FROM hotdash.flag_evaluate(v.flag, 'null', v.context::jsonb)), v.variant, format('%s for %s: %s', v.flag, v.context, v.variant))
FROM (VALUES
	('tiles', '{"userId": "u0"}', 'blue'), ('tiles', '{"userId": "u1"}', 'green'), ('tiles', '{"userId": "u2"}', 'red'),
	('tiles', '{"sessionId": "u7"}', 'red'), ('chosen', '{"plan": "pro"}', 'a'), ('chosen', '{"plan": "free"}', 'b'),
	('weightless', '{}', 'disabled'), ('dark', '{}', 'disabled'), ('plain', '{}', 'disabled'), ('fallen', '{}', 'look'),
	('own', '{"userId": "ann"}', 'look'), ('own', '{"shop": "u3", "userId": "u4"}', 'b'), ('own', '{"shop": "u4"}', 'a')
	) AS v (flag, context, variant);

SELECT is((SELECT array_agg(format('%s %s', t.variant, t.n) ORDER BY t.variant) FROM (
		SELECT e.variant, count(*) AS n FROM generate_series(0, 2999) AS i
		CROSS JOIN LATERAL hotdash.flag_evaluate('tiles', 'null', jsonb_build_object('userId', 'u' || i)) AS e GROUP BY 1) AS t),
	ARRAY['blue 1435', 'green 952', 'red 613'], 'weights share out');
SELECT is(count(DISTINCT e.variant), 2::bigint, 'stickiness random is chance')
	FROM generate_series(1, 200) AS i CROSS JOIN LATERAL hotdash.flag_evaluate('toss', 'null', jsonb_build_object('userId', i % 2)) AS e;

SELECT ok(hotdash.flag_enabled('plain') AND hotdash.flag_enabled('weightless') AND hotdash.flag_enabled('tiles', '{"userId": "u2"}')
	AND NOT hotdash.flag_enabled('dark') AND NOT hotdash.flag_enabled('dark', NULL, true),
	'enabled is what Unleash''s isEnabled says, whatever the variant');
SELECT ok(hotdash.flag_enabled('not there', NULL, true) AND NOT hotdash.flag_enabled('not there'), 'a flag that is not there is the caller''s');

SELECT is((SELECT (e).value FROM (SELECT hotdash.flag_evaluate(p.flag, p.fallback::jsonb, p.context::jsonb) AS e) AS x), p.value::jsonb,
	format('%s asked with %s gives %s', p.flag, p.fallback, p.value))
FROM (VALUES
	('tiles', '{"userId": "u2"}', 'null', '{"type": "string", "value": "#f00"}'), ('tiles', '{"userId": "u2"}', '"#000"', '"#f00"'),
	('tiles', '{"userId": "u2"}', 'false', 'true'), ('tiles', '{"userId": "u2"}', '7', '7'),
	('tiles', '{"userId": "u1"}', '7', '2.5'), ('tiles', '{"userId": "u1"}', '""', '"2.5"'),
	('tiles', '{"userId": "u0"}', '"#000"', '"#000"'), ('tiles', '{"userId": "u0"}', 'null', 'null'), ('tiles', '{"userId": "u0"}', 'false', 'true'),
	('chosen', '{}', '{}', '{"size": [1, 2]}'), ('chosen', '{}', 'null', '{"type": "json", "value": "{\"size\": [1, 2]}"}'),
	('chosen', '{}', '""', '"{\"size\": [1, 2]}"'), ('chosen', '{}', '[]', '[]'),
	('own', '{"userId": "ann"}', '""', '"first"'), ('dark', '{}', 'true', 'false'), ('dark', '{}', '3', '3'), ('plain', '{}', 'false', 'true')
	) AS p (flag, context, fallback, value);
SELECT is(hotdash.flag_text('tiles', 'x', '{"userId": "u2"}'), '#f00', 'flag_text');
SELECT is(hotdash.flag_number('tiles', 1, '{"userId": "u1"}')::numeric, 2.5, 'flag_number');
SELECT is(hotdash.flag_json('chosen', '{}', '{}'), '{"size": [1, 2]}'::jsonb, 'flag_json');
SELECT is((SELECT format('%s %s', reason, error_code) FROM hotdash.flag_evaluate('tiles', '7', '{"userId": "u2"}')), 'ERROR TYPE_MISMATCH',
	'a payload that is no number');
SELECT is((SELECT format('%s %s', reason, metadata -> 'feature_enabled') FROM hotdash.flag_evaluate(r.flag, 'null', r.context::jsonb)), r.reason,
	format('%s: %s', r.flag, r.reason))
FROM (VALUES
	('bare', '{}', 'STATIC true'), ('off', '{}', 'STATIC false'), ('tiles', '{}', 'SPLIT true'), ('fallen', '{}', 'TARGETING_MATCH true'),
	('third', '{"userId": "13"}', 'SPLIT true'), ('third', '{"userId": "46"}', 'DEFAULT false'), ('listed', '{"userId": "bob"}', 'TARGETING_MATCH true')
	) AS r (flag, context, reason);

SELECT is(hotdash.flag_explain('own', '{"shop": "u4", "userId": "bob"}') -> 'attributes', '{"userId": "bob", "shop": "u4"}',
	'an explanation has what was read');
SELECT is(hotdash.flag_explain('third', '{"userId": "46"}') #> '{rule,bucket}', '31', 'and the place of the unit');
CREATE TEMPORARY TABLE person AS SELECT 'u' || n AS id FROM generate_series(0, 2999) AS n;
SELECT is((SELECT array_agg(format('%s %s', a.variant, a.units) ORDER BY a.variant)
		FROM hotdash.flag_audience((SELECT definition FROM hotdash.flags WHERE key = 'tiles'), 'person', 'id') AS a),
	ARRAY['blue 1435', 'green 952', 'red 613'], 'an audience is counted by variant');
SELECT is((SELECT array_agg(format('%s %s', a.variant, a.units) ORDER BY a.variant)
		FROM hotdash.flag_audience((SELECT definition FROM hotdash.flags WHERE key = 'by-user'), 'person', 'id') AS a),
	ARRAY['disabled 2121', 'enabled 879'], 'and without variants by who is in');

/*
 * Parents
 */

SELECT is(pg_temp.load(
	pg_temp.feature('p', '[{"name": "userWithId", "parameters": {"userIds": "ann,bob"}}]', '{"variants": [{"name": "x", "weight": 0,
		"overrides": [{"contextName": "userId", "values": ["ann"]}]}, {"name": "y", "weight": 1}]}'),
	pg_temp.feature('q', '[]', '{"enabled": false}'),
	pg_temp.feature('wants p', '[]', '{"dependencies": [{"feature": "p"}]}'),
	pg_temp.feature('wants x', '[]', '{"dependencies": [{"feature": "p", "variants": ["x", "z"]}]}'),
	pg_temp.feature('wants no p', '[]', '{"dependencies": [{"feature": "p", "enabled": false}]}'),
	pg_temp.feature('wants p not q', '[]', '{"dependencies": [{"feature": "p", "enabled": true, "variants": []}, {"feature": "q", "enabled": false}]}'),
	pg_temp.feature('wants bare', '[]', '{"dependencies": [{"feature": "bare", "variants": ["disabled"]}]}'),
	pg_temp.feature('wants nothing', '[]', '{"dependencies": [{"feature": "nothing", "enabled": false}]}'),
	pg_temp.feature('wants a child', '[]', '{"dependencies": [{"feature": "wants no p"}]}'),
	pg_temp.feature('wants no child', '[]', '{"dependencies": [{"feature": "wants no p", "enabled": false}]}'),
	pg_temp.feature('ring 1', '[]', '{"dependencies": [{"feature": "ring 2", "enabled": false}]}'),
	pg_temp.feature('ring 2', '[]', '{"dependencies": [{"feature": "ring 1"}]}'),
	pg_temp.feature('self', '[]', '{"dependencies": [{"feature": "self"}]}')), 13, 'flags that depend on each other are imported, round in circles too');

SELECT is(hotdash.flag_enabled(d.flag, format('{"userId": "%s"}', d.unit)::jsonb), d.enabled, format('%s for %s', d.flag, d.unit))
FROM (VALUES
	('wants p', 'ann', true), ('wants p', 'cy', false), ('wants x', 'ann', true), ('wants x', 'bob', false), ('wants x', 'cy', false),
	('wants no p', 'ann', false), ('wants no p', 'cy', true), ('wants p not q', 'bob', true), ('wants bare', 'cy', true), ('wants nothing', 'cy', false),
	('wants a child', 'cy', false), ('wants no child', 'ann', false), ('ring 1', 'ann', false), ('ring 2', 'ann', false), ('self', 'ann', false)
	) AS d (flag, unit, enabled);

SELECT lives_ok($$SELECT hotdash.flag_set('native', '{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
	"targeting": {"if": [{"hd_flag": ["wants p"]}, "on", "off"]}}'),
	hotdash.flag_set('by variant', '{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
	"targeting": {"if": [{"==": [{"hd_variant": ["p"]}, "x"]}, "on", "off"]}}')$$, 'a rule of one''s own may ask a flag from Unleash');
SELECT ok(hotdash.flag_enabled('native', '{"userId": "ann"}') AND NOT hotdash.flag_enabled('native', '{"userId": "cy"}'),
	'whose value to it is whether it is on');
SELECT ok(hotdash.flag_enabled('by variant', '{"userId": "ann"}') AND NOT hotdash.flag_enabled('by variant', '{"userId": "bob"}'),
	'and whose variant is the variant');
SELECT is(pg_temp.load(pg_temp.feature('wants native', '[]', '{"dependencies": [{"feature": "native"}]}')), 1, 'and the other way round');
SELECT ok(hotdash.flag_enabled('wants native', '{"userId": "ann"}') AND NOT hotdash.flag_enabled('wants native', '{"userId": "cy"}'),
	'a parent may be a flag of one''s own');

/*
 * Segments and deltas
 */

SELECT is(hotdash.flags_import('{"features": [
		{"name": "s1", "enabled": true, "strategies": [{"name": "default", "segments": [1]}]},
		{"name": "s12", "enabled": true, "strategies": [{"name": "default", "segments": [1, 2],
			"constraints": [{"contextName": "plan", "operator": "IN", "values": ["pro"]}]}]},
		{"name": "s3", "enabled": true, "strategies": [{"name": "default", "segments": [3]}, {"name": "userWithId", "parameters": {"userIds": "ann"}}]}],
	"segments": [{"id": 1, "constraints": [{"contextName": "shop", "operator": "IN", "values": ["a", "b"]}]},
		{"id": 2, "name": "late", "constraints": [{"contextName": "hour", "operator": "NUM_GT", "value": "20"}]}]}', 'unleash'), 3, 'segments are imported');
SELECT is((SELECT array_agg(hotdash.flag_enabled('s1', format('{"shop": "%s"}', x)::jsonb)) FROM unnest(ARRAY['a', 'b', 'c']) AS x),
	ARRAY[true, true, false], 'a segment counts');
SELECT ok(hotdash.flag_enabled('s12', '{"shop": "a", "hour": 21, "plan": "pro"}') AND NOT hotdash.flag_enabled('s12', '{"shop": "a", "hour": 20, "plan": "pro"}')
	AND NOT hotdash.flag_enabled('s12', '{"shop": "a", "hour": 21, "plan": "free"}'), 'segments and constraints count together');
SELECT ok(NOT hotdash.flag_enabled('s3', '{"userId": "bob"}') AND hotdash.flag_enabled('s3', '{"userId": "ann"}'),
	'a strategy whose segment is missing lets nobody in, another does');

SELECT is(hotdash.flags_import('{"events": [{"type": "segment-updated", "segment": {"id": 1, "constraints": [
	{"contextName": "shop", "operator": "IN", "values": ["c"]}]}}]}', 'unleash'), 2, 'a segment changed: so did two flags');
SELECT is((SELECT array_agg(hotdash.flag_enabled('s1', format('{"shop": "%s"}', x)::jsonb)) FROM unnest(ARRAY['a', 'b', 'c']) AS x),
	ARRAY[false, false, true], 'which follow it');
SELECT is(hotdash.flags_import('{"events": [
	{"type": "feature-updated", "feature": {"name": "s4", "enabled": true, "strategies": [{"name": "default", "segments": [2]}]}},
	{"type": "feature-updated", "feature": {"name": "s5", "enabled": true}},
	{"type": "feature-removed", "featureName": "s5", "project": "default"},
	{"type": "feature-removed", "featureName": "s3"}, {"type": "feature-removed", "featureName": "was never here"}]}', 'unleash'), 2, 'a delta');
SELECT ok(hotdash.flag_enabled('s4', '{"hour": 23}') AND NOT hotdash.flag_enabled('s4', '{"hour": 3}'), 'knows the segments that are here');
SELECT ok(NOT EXISTS (SELECT FROM hotdash.flags WHERE key IN ('s3', 's5')), 'and removes flags');
SELECT is(hotdash.flags_import('{"events": [{"type": "segment-removed", "segmentId": 2}]}', 'unleash'), 2, 'a segment removed');
SELECT ok(NOT hotdash.flag_enabled('s4', '{"hour": 23}'), 'is a segment missing');
SELECT is(hotdash.flags_import('{"events": [{"type": "feature-updated", "feature": {"name": "s6", "enabled": true}},
	{"type": "hydration", "features": [{"name": "s7", "enabled": true, "strategies": [{"name": "default", "segments": [1]}]}],
		"segments": [{"id": 1, "constraints": []}]},
	{"type": "feature-updated", "feature": {"name": "s8", "enabled": true, "strategies": [{"name": "default", "segments": [1]}]}}]}', 'unleash'), 2,
	'a hydration begins anew');
SELECT ok(hotdash.flag_enabled('s7') AND hotdash.flag_enabled('s8') AND NOT hotdash.flag_enabled('s6', NULL, false), 'with what came after it');
SELECT ok(NOT hotdash.flag_enabled('s1', '{"shop": "a"}'), 'flags that a state does not have keep what they had');

/*
 * In and out
 */

SELECT throws_ok($$SELECT hotdash.flags_import('{"features": []}', 'unleash', '{"replace": true}')$$, '2BP01', NULL,
	'a flag that a rule of one''s own asks for is not replaced away');
SELECT lives_ok($$SELECT hotdash.flag_delete('by variant'),
	hotdash.flag_set('native', '{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}')$$, 'when none does');
SELECT is(hotdash.flags_import('{"features": []}', 'unleash', '{"replace": true}'), 0, 'an empty state');
SELECT ok(EXISTS (SELECT FROM hotdash.flags WHERE key = 'native') AND NOT EXISTS (SELECT FROM hotdash.flags WHERE key = 'tiles'),
	'replaces what came from Unleash');
CREATE TEMPORARY TABLE document AS SELECT '{"version": 2, "features": [
	{"name": "alpha", "type": "release", "enabled": true, "project": "default", "stale": false, "impressionData": true, "description": "first",
		"createdAt": "2026-01-01T00:00:00.000Z", "strategies": [{"name": "default", "sortOrder": 1, "segments": [9], "parameters": {}}],
		"variants": [{"name": "v", "weight": 1000, "weightType": "fix", "payload": {"type": "json", "value": "{"}}]},
	{"name": "beta", "enabled": false, "dependencies": [{"feature": "alpha"}]}],
	"segments": [{"id": 4, "name": "unused", "constraints": []}, {"id": 9, "constraints": []}]}'::jsonb AS state;
SELECT is(hotdash.flags_import(state, 'unleash'), 2, 'a state') FROM document;
SELECT is(hotdash.flags_export('unleash'), state, 'comes out as it came in') FROM document;
SELECT is((SELECT metadata FROM hotdash.flag_evaluate('alpha', 'null')),
	'{"type": "release", "project": "default", "stale": false, "impressionData": true, "description": "first", "feature_enabled": true}',
	'what it tells is metadata, and whether it is on');
SELECT is((SELECT format('%s %s %s', bucketing, state, default_variant) FROM hotdash.flags WHERE key = 'alpha'), 'unleash ENABLED disabled',
	'the flag is a definition as others are');
SELECT is((SELECT version FROM hotdash.flags WHERE key = 'alpha'), 1, 'version 1');
SELECT is(hotdash.flags_import(state, 'unleash'), 2, 'the same again') FROM document;
SELECT is((SELECT version FROM hotdash.flags WHERE key = 'alpha'), 1, 'changes nothing');
SELECT is((SELECT count(*) FROM jsonb_each(hotdash.flags_export() -> 'flags')), 3::bigint, 'flagd''s format has all of them');
SELECT lives_ok($$SELECT hotdash.flags_import(hotdash.flags_export(), 'flagd', '{"replace": true}')$$, 'and takes them back');
SELECT is(hotdash.flags_export('unleash'), state, 'so that they go back to Unleash too') FROM document;
SET LOCAL hotdash.flag_overrides = '{"alpha": "disabled", "beta": "enabled"}';
SELECT ok(NOT hotdash.flag_enabled('alpha') AND hotdash.flag_enabled('beta'), 'overrides turn them off and on');
RESET hotdash.flag_overrides;

/*
 * What is refused
 */

SELECT is(pg_temp.why(r.document), r.why, r.why)
FROM (VALUES
	('[]', 'a document of Unleash must be a JSON object with features or with events'),
	('{"flags": {}}', 'a document of Unleash must be a JSON object with features or with events'),
	('{"features": {}}', 'features of Unleash must be an array of JSON objects with a "name"'),
	('{"features": [{"enabled": true}]}', 'features of Unleash must be an array of JSON objects with a "name"'),
	('{"features": [{"name": "f", "enabled": true}, {"name": "f", "enabled": false}]}', 'flag "f" is given twice, and not the same'),
	('{"features": [], "segments": [{"id": "1"}]}', 'segments of Unleash must be an array of JSON objects with a whole number "id"'),
	('{"events": [{"type": "feature-renamed"}]}',
		'unrecognized event "feature-renamed" of Unleash: Known are hydration, feature-updated, feature-removed, segment-updated, segment-removed.'),
	('{"events": [{"type": "feature-removed"}]}', 'an event feature-removed of Unleash has no "featureName"'),
	('{"features": [{"name": "f"}]}', 'flag "f" cannot be imported from Unleash: a feature has no "enabled"'),
	('{"features": [{"name": "f", "enabled": "yes"}]}', 'flag "f" cannot be imported from Unleash: "enabled" has to be true or false'),
	('{"features": [{"name": "f", "enabled": true, "strategies": {}}]}', 'flag "f" cannot be imported from Unleash: "strategies" has to be an array'),
	('{"features": [{"name": "f", "enabled": true, "strategies": [{}]}]}', 'flag "f" cannot be imported from Unleash: a strategy has no "name"'),
	('{"features": [{"name": "f", "enabled": true, "strategies": [{"name": "default", "constraints": [{"operator": "IN"}]}]}]}',
		'flag "f" cannot be imported from Unleash: a constraint has no "contextName"'),
	('{"features": [{"name": "f", "enabled": true, "strategies": [{"name": "default", "constraints": [{"contextName": "a", "operator": "IN", "values": [1]}]}]}]}',
		'flag "f" cannot be imported from Unleash: "values" and "variants" have to be strings'),
	('{"features": [{"name": "f", "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters": {"rollout": [50]}}]}]}',
		'flag "f" cannot be imported from Unleash: "rollout" has to be a number'),
	('{"features": [{"name": "f", "enabled": true, "variants": [{"name": "v", "weight": -1}]}]}',
		'flag "f" cannot be imported from Unleash: "weight" has to be a whole number from 0 to 1000000'),
	('{"features": [{"name": "f", "enabled": true, "variants": [{"name": "v", "weight": 1, "payload": {"type": "string"}}]}]}',
		'flag "f" cannot be imported from Unleash: a payload needs "type" and "value"'),
	('{"features": [{"name": "f", "enabled": true, "strategies": [{"name": "default", "constraints": [{"contextName": "a", "operator": "REGEX", "value": "\\p{Greek}"}]}]}]}',
		'flag "f" cannot be imported from Unleash: regular expression "\p{Greek}": classes of Unicode (\p) are not supported')
	) AS r (document, why);
SELECT is(hotdash.flags_export('unleash'), state, 'and nothing of it was imported') FROM document;
SELECT throws_ok($$SELECT hotdash.flags_import('{"features": []}', 'unleash', '{"lenient": true}')$$, '22023', 'unrecognized option "lenient"');

SELECT * FROM finish();
ROLLBACK;
