-- Asking flags: values, reasons and error codes, contexts and settings, the past, audiences, explanations.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT * FROM no_plan();

SELECT hotdash.flag_set('tap-' || key, definition) FROM (VALUES
	('on', '{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on", "metadata": {"team": "shop"}}'::jsonb),
	('off', '{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}'),
	('disabled', '{"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"}'),
	('none', '{"variants": {"on": true}}'),
	('null', '{"variants": {"nothing": null}, "defaultVariant": "nothing"}'),
	('text', '{"variants": {"a": "apple", "b": "pear"}, "defaultVariant": "a",
		"targeting": {"if": [{"==": [{"var": "shop"}, "berlin"]}, "b", null]}}'),
	('number', '{"variants": {"few": 3, "half": 0.5}, "defaultVariant": "few"}'),
	('json', '{"variants": {"o": {"a": [1, 2]}, "l": [1]}, "defaultVariant": "o", "targeting": {"if": [{"var": "list"}, "l", "o"]}}'),
	('bool', '{"variants": {"true": "yes", "false": "no"}, "targeting": {">": [{"var": "age"}, 17]}}'),
	('unknown', '{"variants": {"on": true}, "defaultVariant": "on", "targeting": {"nonsense": []}}'),
	('lost', '{"variants": {"on": true}, "defaultVariant": "on", "targeting": {"cat": ["o", "ff"]}}'),
	('thrown', '{"variants": {"on": true}, "defaultVariant": "on", "targeting": {"throw": "no"}}'),
	('ref', '{"variants": {"on": true}, "defaultVariant": "on", "targeting": {"$ref": "tap-nowhere"}}'),
	('half', '{"variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": {"fractional": [["on", 50], ["off", 50]]}}'),
	('env', '{"variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": {"if": [{"hd_environment": ["dev", "test"]}, "on"]}}'),
	('parent', '{"variants": {"x": "deep"}, "defaultVariant": "x"}'),
	('child', '{"variants": {"on": true, "off": false}, "defaultVariant": "off",
		"targeting": {"if": [{"and": [{"==": [{"hd_flag": ["tap-parent"]}, "deep"]}, {"==": [{"hd_variant": ["tap-parent"]}, "x"]}]}, "on"]}}')
) AS f (key, definition);

--
-- Values, reasons, errors
--

CREATE TEMPORARY TABLE answer (key text, default_value jsonb, context jsonb, value jsonb, variant text, reason text, error_code text);
INSERT INTO answer VALUES
	('on', 'false', NULL, 'true', 'on', 'STATIC', NULL),
	('off', 'true', '{}', 'false', 'off', 'STATIC', NULL),
	('disabled', '"mine"', NULL, '"mine"', NULL, 'DISABLED', NULL),
	('none', '7', NULL, '7', NULL, 'DEFAULT', NULL),
	('null', '7', NULL, '7', 'nothing', 'STATIC', NULL),
	('text', '""', '{"shop": "berlin"}', '"pear"', 'b', 'TARGETING_MATCH', NULL),
	('text', '""', '{"shop": "paris"}', '"apple"', 'a', 'DEFAULT', NULL),
	('text', 'null', '{}', '"apple"', 'a', 'DEFAULT', NULL),
	('text', '1', '{}', '1', NULL, 'ERROR', 'TYPE_MISMATCH'),
	('number', '0', NULL, '3', 'few', 'STATIC', NULL),
	('json', '{}', '{}', '{"a": [1, 2]}', 'o', 'TARGETING_MATCH', NULL),
	('json', '[]', '{"list": 1}', '[1]', 'l', 'TARGETING_MATCH', NULL),
	('json', '{}', '{"list": 1}', '{}', NULL, 'ERROR', 'TYPE_MISMATCH'),
	('bool', '""', '{"age": 18}', '"yes"', 'true', 'TARGETING_MATCH', NULL),
	('bool', '""', '{"age": 17}', '"no"', 'false', 'TARGETING_MATCH', NULL),
	('unknown', 'false', '{}', 'false', NULL, 'ERROR', 'PARSE_ERROR'),
	('ref', 'false', '{}', 'false', NULL, 'ERROR', 'PARSE_ERROR'),
	('lost', 'false', '{}', 'false', NULL, 'ERROR', 'GENERAL'),
	('thrown', 'false', '{}', 'false', NULL, 'ERROR', 'GENERAL'),
	('on', 'false', '[1]', 'false', NULL, 'ERROR', 'INVALID_CONTEXT'),
	('on', 'false', 'null', 'true', 'on', 'STATIC', NULL),
	('missing', 'false', NULL, 'false', NULL, 'ERROR', 'FLAG_NOT_FOUND'),
	('child', 'false', NULL, 'true', 'on', 'TARGETING_MATCH', NULL);
SELECT is(ROW(r.value, r.variant, r.reason, r.error_code)::text, ROW(a.value, a.variant, a.reason, a.error_code)::text,
	format('%s, %s in %s', a.key, a.default_value, coalesce(a.context::text, 'no context')))
FROM answer AS a CROSS JOIN LATERAL hotdash.flag_evaluate('tap-' || a.key, a.default_value, a.context) AS r;
SELECT is((hotdash.flag_evaluate('tap-on', 'false')).metadata, '{"team": "shop"}', 'metadata');
SELECT is((hotdash.flag_evaluate('tap-off', 'false')).metadata, '{}', 'none');
SELECT isnt((hotdash.flag_evaluate('tap-unknown', 'false')).error_message, NULL, 'an error has a message');
SELECT is((hotdash.flag_evaluate('tap-missing', NULL)).value, NULL, 'no default');

SELECT is(hotdash.flag_enabled('tap-on'), true, 'on');
SELECT is(hotdash.flag_enabled('tap-off', NULL, true), false, 'off, whatever the default');
SELECT is(hotdash.flag_enabled('tap-disabled', NULL, true), true, 'disabled: the default');
SELECT is(hotdash.flag_enabled('tap-missing'), false, 'the default is false');
SELECT is(hotdash.flag_enabled('tap-number', NULL, true), true, 'no boolean: the default');
SELECT is(hotdash.flag_enabled_for('tap-half', 'user-1'), hotdash.flag_enabled('tap-half', '{"targetingKey": "user-1"}'), 'for a unit');
SELECT lives_ok($$ SELECT hotdash.flag_require('tap-on') $$, 'what is required is on');
SELECT throws_ok($$ SELECT hotdash.flag_require('tap-off') $$, 'XD201', 'feature "tap-off" is not enabled', 'or that is an error');
SELECT is(hotdash.flag_text('tap-text', 'd', '{"shop": "berlin"}'), 'pear', 'flag_text');
SELECT is(hotdash.flag_text('tap-number', 'd'), 'd', 'of a number');
SELECT is(hotdash.flag_number('tap-number', 9), 3::float8, 'flag_number');
SELECT is(hotdash.flag_json('tap-json', NULL), '{"a": [1, 2]}', 'flag_json');
SELECT throws_ok($$ SELECT hotdash.flag_enabled(NULL) $$, '22004', NULL, 'a key is needed');
SELECT is((SELECT array_agg(e.key || '=' || e.reason) FROM hotdash.flag_evaluate_all('{"shop": "berlin"}') AS e WHERE e.key IN ('tap-on', 'tap-text')),
	'{tap-on=STATIC,tap-text=TARGETING_MATCH}', 'all of them');

--
-- Contexts and settings
--

SET LOCAL hotdash.flag_context = '{"shop": "berlin", "age": 3}';
SELECT is(hotdash.flag_text('tap-text', '-'), 'pear', 'the session''s context counts');
SELECT is(hotdash.flag_text('tap-text', '-', '{"shop": "paris"}'), 'apple', 'below that of the call');
SELECT is(hotdash.flag_explain('tap-text', '{"shop": "paris"}') -> 'context' ->> 'age', '3', 'both are one');
SELECT throws_ok($$ SET hotdash.flag_context = '[1]' $$, '22023', NULL, 'it is an object');
SELECT is(hotdash.flag_enabled('tap-env'), false, 'no environment');
SET LOCAL hotdash.environment = 'test';
SELECT is(hotdash.flag_enabled('tap-env'), true, 'that of the session');
SELECT is(hotdash.flag_enabled('tap-env', '{"environment": "live"}'), false, 'that of the call before it');
RESET hotdash.flag_context;
SET LOCAL hotdash.flag_overrides = '{"tap-off": "on", "tap-on": "no such variant"}';
SELECT is((hotdash.flag_evaluate('tap-off', 'false')).reason, 'OVERRIDE', 'overridden');
SELECT is(hotdash.flag_enabled('tap-off'), true, 'and on');
SELECT is((hotdash.flag_evaluate('tap-on', 'false')).error_code, 'GENERAL', 'by a variant that is none');
RESET hotdash.flag_overrides;

--
-- Changes, and how it was
--

SELECT is(hotdash.flag_enabled('tap-off'), false, 'before');
SAVEPOINT change;
SELECT hotdash.flag_set('tap-off', '{"variants": {"on": true}, "defaultVariant": "on"}');
SELECT is(hotdash.flag_enabled('tap-off'), true, 'one''s own change');
ROLLBACK TO change;
SELECT is(hotdash.flag_enabled('tap-off'), false, 'undone');
SELECT is((hotdash.flag_evaluate_at('tap-on', now() - interval '1 day', 'null')).error_code, 'FLAG_NOT_FOUND', 'a day ago there was none');
SELECT is((hotdash.flag_evaluate_at('tap-child', hotdash._now() + interval '1 day', 'null')).value, 'true', 'later there will be, with what it asks');

--
-- Audiences
--

CREATE TEMPORARY TABLE tap_unit AS SELECT 'user-' || i AS id, CASE WHEN i % 4 = 0 THEN 'pro' ELSE 'free' END AS plan FROM generate_series(1, 1000) AS i;
SELECT is((SELECT jsonb_object_agg(a.variant, a.units) FROM hotdash.flag_audience(
		(SELECT definition || '{"key": "tap-half"}' FROM hotdash.flags WHERE key = 'tap-half'), 'tap_unit', 'id') AS a),
	(SELECT jsonb_object_agg(x.variant, x.n) FROM (SELECT (hotdash.flag_evaluate('tap-half', 'false', jsonb_build_object('targetingKey', id))).variant, count(*) AS n
		FROM tap_unit GROUP BY 1) AS x), 'an audience is who would get it');
SELECT results_eq($$ SELECT * FROM hotdash.flag_audience('{"variants": {"a": 1}, "targeting": {"if": [{"==": [{"var": "plan"}, "pro"]}, "a"]}}', 'tap_unit', 'id', '{"plan": "plan"}') $$,
	$$ VALUES ('a', 250::bigint), (NULL, 750) $$, 'by columns, and who gets the default');
SELECT throws_ok($$ SELECT hotdash.flag_audience('{}', 'tap_unit', 'id') $$, '22023', NULL, 'of a definition');
SELECT throws_ok($$ SELECT hotdash.flag_audience('{"variants": {"a": 1}}', 'tap_unit', 'nothing') $$, '42703', NULL, 'by a column that is there');
SELECT is(hotdash._flag_place('{"variants": {"a": 1}, "targeting": {"if": [{"var": "plan"}, "a"]}}', 'u', context), place, format('in a context of %s', context))
FROM (VALUES ('{"plan": 1}'::jsonb, 1), ('[1, 2, 3]', -1), ('"plan"', -1), ('7', -1), ('null', 0), (NULL, 0)) AS c (context, place);

--
-- Explanations
--

SELECT is(hotdash.flag_explain('tap-half', '{"targetingKey": "user-1"}') -> 'attributes', '{"targetingKey": "user-1"}', 'the attributes read');
SELECT ok(hotdash.flag_explain('tap-half', '{"targetingKey": "user-1"}') -> 'decided_by' ?& '{operator,hash,bucket,of}', 'hash and bucket');
SELECT is(hotdash.flag_explain('tap-text', '{"shop": "paris"}') #>> '{decided_by,operator}', '==', 'the condition, where the branch is a constant');
SELECT is(hotdash.flag_explain('tap-bool', '{"age": 20}') #>> '{decided_by,operator}', '>', 'the deciding operator');
SELECT is(hotdash.flag_explain(e.key, '{"shop": "berlin", "age": 20}') - '{why,rule,decided_by,attributes,context,version,state,bucketing,dialect,problem,cut_at}'::text[],
	jsonb_build_object('key', e.key, 'value', e.value, 'variant', e.variant, 'reason', e.reason, 'error_code', e.error_code, 'error_message', e.error_message),
	e.key || ' is explained as it is evaluated')
FROM hotdash.flag_evaluate_all('{"shop": "berlin", "age": 20}') AS e WHERE e.key LIKE 'tap-%';
SELECT is(hotdash.flag_explain('tap-missing') ->> 'why', 'the caller''s default counts: there is no such flag', 'why, of one that is missing');

--
-- Bounds: what no rule and no context can do, however hostile
--

-- Alone each of these is small; with what it refers to one doubles twenty times, the other is 150 deep.
SELECT is(hotdash.flags_import(jsonb_build_object(
	'$evaluators', (SELECT jsonb_object_agg('tap-twice-' || i, jsonb_build_object('and', jsonb_build_array(jsonb_build_object('$ref', 'tap-twice-' || i + 1), jsonb_build_object('$ref', 'tap-twice-' || i + 1)))
			|| CASE i WHEN 20 THEN '{"and": [true]}'::jsonb ELSE '{}' END) FROM generate_series(1, 20) AS i)
		|| (SELECT jsonb_object_agg('tap-down-' || i, jsonb_build_object('!', jsonb_build_array(CASE i WHEN 150 THEN 'true' ELSE jsonb_build_object('$ref', 'tap-down-' || i + 1) END))) FROM generate_series(1, 150) AS i),
	'flags', (SELECT jsonb_object_agg('tap-' || k, jsonb_build_object('variants', '{"on": true}'::jsonb, 'defaultVariant', 'on', 'targeting', jsonb_build_object('$ref', 'tap-' || k || '-1'))) FROM unnest('{twice,down}'::text[]) AS k))), 2, 'rules that grow by what they refer to');
SELECT is(ROW(r.value, r.error_code, r.error_message)::text, ROW('7'::jsonb, 'PARSE_ERROR', m)::text, 'give the default: ' || m)
FROM (VALUES ('twice', 'rule is too large'), ('down', 'rule is nested too deeply')) AS f (k, m) CROSS JOIN LATERAL hotdash.flag_evaluate('tap-' || k, '7') AS r;
SELECT is((SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'hotdash flag' AND parent <> 'hotdash flags'), 0::bigint, 'and leave nothing behind');

CREATE TEMPORARY TABLE hostile AS SELECT key, jsonb_build_object('bucketing', 'flagd-v3', 'variants', '{"on": 1, "off": 0}'::jsonb, 'defaultVariant', 'off', 'targeting', targeting) AS definition FROM (VALUES
	('tap-fat', '{"map": [{"var": "list"}, {"reduce": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "x"]}]}'::jsonb),
	('tap-nest', '{"reduce": [{"var": "list"}, [{"var": "accumulator"}], []]}'),
	('tap-place', '{"fractional": [{"reduce": [{"var": "list"}, {"preserve": 1}, 0]}, ["on", 1]]}'),
	('tap-in', '{"if": [{"in": [{"var": "part"}, {"var": "text"}]}, "on", "off"]}'),
	('tap-whole', '{"if": [{"==": [{"var": ""}, 1]}, "off", "on"]}'),
	('tap-double-text', '{"cat": [{"reduce": [{"var": "list"}, [{"var": "accumulator"}, {"var": "accumulator"}], "x"]}]}'),
	('tap-double-same', '{"if": [{"==": [1, {"reduce": [{"var": "list"}, [{"var": "accumulator"}, {"var": "accumulator"}], "x"]}]}, "off", "on"]}'),
	('tap-deep', '{"cat": [{"var": "list"}, "!"]}'),
	('tap-unit', '{"fractional": [{"reduce": [{"var": "list"}, {"var": ""}, 0]}, ["on", 1]]}')) AS f (key, targeting);
SELECT lives_ok('SELECT hotdash.flag_set(key, definition) FROM hostile', 'rules that take much');
SET LOCAL statement_timeout = '60s';
SELECT is(error_message, 'the rule threw Too Much Memory', 'memory has a bound') FROM hotdash.flag_evaluate('tap-fat', '7', jsonb_build_object('list', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) AS i)));
SELECT is(error_code, 'GENERAL', 'what is nested too deeply is an answer like others') FROM hotdash.flag_evaluate('tap-nest', '7', jsonb_build_object('list', (SELECT jsonb_agg(i) FROM generate_series(1, 90000) AS i)));
SELECT is(error_message, 'the rule threw Too Many Steps', 'elements have a bound') FROM hotdash.flag_evaluate('tap-place', '7', jsonb_build_object('list', (SELECT jsonb_agg(i) FROM generate_series(1, 100001) AS i)));
SELECT is(variant, 'off', 'a part is sought in a time that does not multiply') FROM hotdash.flag_evaluate('tap-in', 'null', jsonb_build_object('text', repeat('a', 4000000), 'part', repeat('a', 2000000) || 'b'));
SELECT is(variant, 'on', 'a context of many attributes is put together in a time that does not multiply')
FROM hotdash.flag_evaluate('tap-whole', 'null', (SELECT jsonb_object_agg('attribute ' || i, i) FROM generate_series(1, 300000) AS i));
-- A list of two lists that are the same list of two, and so on: what would take 2^40 characters.
CREATE TEMPORARY TABLE forty AS SELECT jsonb_build_object('list', jsonb_agg(i)) AS context FROM generate_series(1, 40) AS i;
SELECT results_eq($$SELECT key, e.variant, e.error_message FROM hostile, forty, hotdash.flag_evaluate(key, 'null', context) AS e WHERE key LIKE 'tap-double-%' ORDER BY key$$,
	$$VALUES ('tap-double-same', 'on', NULL), ('tap-double-text', NULL, 'the rule threw Text Too Long')$$, 'what doubles is no text');
SELECT throws_ok($$SELECT hotdash.jsonlogic('{"reduce": [{"var": "list"}, [{"var": "accumulator"}, {"var": "accumulator"}], "x"]}', context) FROM forty$$, '54000', NULL, 'and no JSON');
SELECT is(variant, 'off', 'a unit that is nested too deeply is none')
FROM hotdash.flag_evaluate('tap-unit', 'null', jsonb_build_object('list', (SELECT jsonb_agg(i) FROM generate_series(1, 90000) AS i)));
SELECT is(hotdash.flag_explain(key, context) ->> 'variant', (hotdash.flag_evaluate(key, 'null', context)).variant, key || ': its explanation agrees')
FROM hostile CROSS JOIN (SELECT context FROM forty UNION ALL SELECT jsonb_build_object('list', (SELECT jsonb_agg(i) FROM generate_series(1, 90000) AS i))) AS c ORDER BY key;
SELECT is(error_code, 'GENERAL', 'a context that is nested as deep as can be is read')
FROM generate_series(1000, 6000, 1000) AS deep CROSS JOIN LATERAL
	hotdash.flag_evaluate('tap-deep', 'null', jsonb_build_object('list', (repeat('[', deep) || repeat(']', deep))::jsonb));
RESET statement_timeout;

-- What is cut off a message is cut off between characters.
SELECT lives_ok($$SELECT hotdash.flag_set('tap-' || key, jsonb_build_object('variants', '{"on": true}'::jsonb, 'targeting', targeting)) FROM (VALUES
	('umlaut-operator', jsonb_build_object('x' || repeat('ä', 100), 1)), ('umlaut-answer', jsonb_build_object('cat', jsonb_build_array('x' || repeat('ä', 100)))),
	('umlaut-ref', jsonb_build_object('$ref', 'x' || repeat('ä', 100)))) AS f (key, targeting)$$, 'long names');
SELECT is(convert_from(convert_to(error_message, 'UTF8'), 'UTF8'), error_message, key || ': its message is a text') FROM hotdash.flag_evaluate_all() WHERE key LIKE 'tap-umlaut-%';
SELECT throws_like(format('SELECT hotdash.jsonlogic(%L, NULL)', jsonb_build_object('throw', 'x' || repeat('ä', 1000))), 'xää%ä', 'and so is what jsonlogic throws');

SELECT * FROM finish();
ROLLBACK;
