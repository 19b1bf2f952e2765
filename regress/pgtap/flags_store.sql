-- Flags as they are kept: versions, prerequisites, imports and exports, segments, exposures, stale flags, rights.

BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL hotdash.now_override = '2031-01-01 12:00:00+00';
SET LOCAL hotdash.flag_context = '';
SET LOCAL hotdash.environment = '';
SELECT plan(152);

CREATE FUNCTION pg_temp.at(later interval) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2031-01-01 12:00:00+00'::timestamptz + later)::text, true)
$$;
-- A flag with two variants, its default, and a rule where one is given.
CREATE FUNCTION pg_temp.flag(variant text, rule jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('state', 'ENABLED', 'variants', '{"on": true, "off": false}'::jsonb, 'defaultVariant', variant)
		|| CASE WHEN rule IS NULL THEN '{}' ELSE jsonb_build_object('targeting', rule) END
$$;
CREATE FUNCTION pg_temp.asks(VARIADIC keys text[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT pg_temp.flag('off', jsonb_build_object('and', jsonb_agg(jsonb_build_object('hd_flag', ARRAY[k])))) FROM unnest(keys) AS k
$$;
DELETE FROM hotdash._flag;
DELETE FROM hotdash._flag_history;
DELETE FROM hotdash._flag_version;
DELETE FROM hotdash._flag_counting;
DELETE FROM hotdash._flag_use;

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
	($$SELECT hotdash.flag_set(NULL, '{}')$$, '22004'),
	($$SELECT hotdash.flag_set('a', NULL)$$, '22004'),
	($$SELECT hotdash.flag_set('', pg_temp.flag('on'))$$, '22023'),
	($$SELECT hotdash.flag_set(repeat('k', 256), pg_temp.flag('on'))$$, '22023'),
	($$SELECT hotdash.flag_set(E'a\nb', pg_temp.flag('on'))$$, '22023'),
	($$SELECT hotdash.flag_set('a', '[]')$$, '22023'),
	($$SELECT hotdash.flag_set('a', 'null')$$, '22023'),
	($$SELECT hotdash.flag_set('a', pg_temp.flag('on'), ' ')$$, '22023'),
	($$SELECT hotdash.flag_set('a', pg_temp.flag('on') || jsonb_build_object('metadata', jsonb_build_object('x', repeat('x', 1100000))))$$, '54000'),
	($$SELECT hotdash.flag_delete('nobody')$$, '42704'),
	($$SELECT hotdash.flag_delete(NULL)$$, '22004'),
	($$SELECT hotdash.flag_rollback('nobody', 1)$$, '42704'),
	($$SELECT hotdash.flag_rollback('nobody', NULL)$$, '22004'),
	($$SELECT hotdash.flags_import(NULL)$$, '22004'),
	($$SELECT hotdash.flags_import('[]')$$, '22023'),
	($$SELECT hotdash.flags_import('{}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": 1}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {}, "flgas": {}}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": [{}]}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {"a": []}}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {}, "metadata": []}')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {}}', 'dog')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {}}', options => '[]')$$, '22023'),
	($$SELECT hotdash.flags_import('{"flags": {}}', options => '{"replace": 1}')$$, '22023'),
	($$SELECT hotdash.flags_export('dog')$$, '22023'),
	($$SELECT hotdash.segment_add(NULL, '{a}')$$, '22004'),
	($$SELECT hotdash.segment_add('a', NULL)$$, '22004'),
	($$SELECT hotdash.segment_add('', '{a}')$$, '22023'),
	($$SELECT hotdash.segment_add('a', '{b,NULL}')$$, '22004'),
	($$SELECT hotdash.segment_add('a', ARRAY[repeat('x', 1001)])$$, '54000'),
	($$SELECT hotdash.segment_remove('a', NULL)$$, '22004')
) AS t (call, code);
SELECT throws_like($$SELECT hotdash.flags_import('{"flags": {}}', 'dog')$$, '%"dog"%', 'a format that is not known is named');
SELECT is_empty('SELECT FROM hotdash._flag_history', 'what is refused leaves no version');

/*
 * Versions
 */

SELECT hotdash.flag_set('a', pg_temp.flag('off'), 'anna');
SELECT pg_temp.at('1 h') \g /dev/null
SELECT hotdash.flag_set('a', pg_temp.flag('on'));
SELECT pg_temp.at('2 h') \g /dev/null
SELECT hotdash.flag_set('a', pg_temp.flag('on'), 'berta');
SELECT is((SELECT ROW(state, default_variant, bucketing, dialect, needs, version, changed_at, changed_by)::text FROM hotdash.flags WHERE key = 'a'),
	ROW('ENABLED', 'on', 'flagd-v2', 'js', '{}'::text[], 2, '2031-01-01 13:00:00+00'::timestamptz, session_user)::text,
	'a flag is as it was set last; what changes nothing is no version');
SELECT set_eq($$SELECT version, changed_at, changed_by, changed_role::text, definition ->> 'defaultVariant', changes FROM hotdash.flag_history WHERE key = 'a'$$,
	$$VALUES (1, '2031-01-01 12:00:00+00'::timestamptz, 'anna', session_user::text, 'off', jsonb_build_array(jsonb_build_object('path', '', 'after', pg_temp.flag('off')))),
		(2, '2031-01-01 13:00:00+00', session_user, session_user, 'on', '[{"path": "/defaultVariant", "before": "off", "after": "on"}]')$$,
	'every version is there, with who, when, and what it changed');
SELECT hotdash.flag_delete('a', 'cleo');
SELECT is_empty($$SELECT FROM hotdash.flags WHERE key = 'a'$$, 'a deleted flag is gone');
SELECT is((hotdash.flag_evaluate('a', '7')).error_code, 'FLAG_NOT_FOUND', 'also for who asks');
SELECT is((SELECT ROW(version, definition, changed_by, changes = jsonb_build_array(jsonb_build_object('path', '', 'before', pg_temp.flag('on'))))::text
	FROM hotdash.flag_history WHERE key = 'a' ORDER BY version DESC LIMIT 1), ROW(3, NULL, 'cleo', true)::text, 'its deletion is a version');
SELECT throws_ok($$SELECT hotdash.flag_rollback('a', 3)$$, '22023', NULL, 'to which one cannot go back');
SELECT throws_ok($$SELECT hotdash.flag_rollback('a', 9)$$, '42704', NULL, 'nor to one that never was');
SELECT pg_temp.at('1 h') \g /dev/null
SELECT hotdash.flag_rollback('a', 1, 'dora');
SELECT is((SELECT ROW(version, default_variant, changed_at, changed_by)::text FROM hotdash.flags WHERE key = 'a'),
	ROW(4, 'off', '2031-01-01 14:00:00+00'::timestamptz, 'dora')::text, 'what was comes back as a new version, no earlier than the one before');
SELECT is((SELECT note FROM hotdash.flag_history WHERE key = 'a' AND version = 4), 'rollback to version 1', 'which says so');
SELECT is((hotdash.flag_evaluate_at('a', '2031-01-01 13:30:00+00', 'null')).variant, 'on', 'flags can be asked as of a time');

SAVEPOINT s;
SELECT hotdash.flag_set('a', pg_temp.flag('on'));
ROLLBACK TO s;
SELECT hotdash.flag_set('a', pg_temp.flag('on'));
SELECT set_eq($$SELECT version FROM hotdash.flag_history WHERE key = 'a'$$, ARRAY[1, 2, 3, 4, 5], 'a version that was rolled back leaves no gap');

SELECT is(hotdash._flag_diff(before::jsonb, after::jsonb), changes::jsonb, before || ' and ' || after) FROM (VALUES
	('{"a": 1}', '{"a": 1.0}', '[]'),
	('{"a": {"b": 1, "c": 2}}', '{"a": {"b": 1, "c": 3}, "d": null}', '[{"path": "/a/c", "before": 2, "after": 3}, {"path": "/d", "after": null}]'),
	('{"a/b~": 1}', '{}', '[{"path": "/a~1b~0", "before": 1}]'),
	('[1, [2, 3]]', '[1, [2, 4]]', '[{"path": "/1/1", "before": 3, "after": 4}]'),
	('[1]', '[1, 2]', '[{"path": "", "before": [1], "after": [1, 2]}]'),
	('{"a": []}', '{"a": {}}', '[{"path": "/a", "before": [], "after": {}}]')
) AS t (before, after, changes);
SELECT hotdash.flag_set('pit', pg_temp.flag('on') || jsonb_build_object('metadata', jsonb_build_object('x', (repeat('[', 1000) || i || repeat(']', 1000))::jsonb)))
FROM generate_series(1, 2) AS i;
SELECT is((SELECT changes #>> '{0,path}' FROM hotdash.flag_history WHERE key = 'pit' AND version = 2), '/metadata/x' || repeat('/0', 62),
	'what is deep within is told as a whole, and spoils the view for nobody');

-- The size counts that it has when it is asked, and not that of a column.
CREATE TEMPORARY TABLE squeezed AS SELECT pg_temp.flag('on') || jsonb_build_object('metadata', jsonb_build_object('x', repeat('x', 1100000))) AS definition;
SELECT cmp_ok((SELECT pg_column_size(definition) FROM squeezed), '<', 100000, 'a column may be small');
SELECT throws_ok($$SELECT hotdash.flag_set('a', definition) FROM squeezed$$, '54000', NULL, 'its definition is not');

/*
 * Prerequisites
 */

SELECT hotdash.flag_set('b', pg_temp.asks('c'));
SELECT is((SELECT needs FROM hotdash.flags WHERE key = 'b'), '{c}', 'a flag may ask one that is not there yet');
SELECT throws_ok($$SELECT hotdash.flag_set('b', pg_temp.asks('b'))$$, '22023', 'flag "b" would ask for itself', 'but not itself');
SELECT throws_ok($$SELECT hotdash.flag_set('c', pg_temp.asks('b'))$$, '22023', 'flag "b" would ask for itself', 'nor what asks it');
SELECT hotdash.flag_set('c', pg_temp.asks('a', 'd'));
SELECT throws_ok($$SELECT hotdash.flag_set('d', pg_temp.asks('a', 'b'))$$, '22023', NULL, 'nor by way of a third');
SELECT hotdash.flag_set('d', pg_temp.asks('a'));
SELECT throws_ok($$SELECT hotdash.flag_delete('c')$$, '2BP01', 'cannot delete flag "c" because other flags ask for it', 'a flag that is asked for cannot vanish');
SELECT is((SELECT count(*) FROM hotdash.flags WHERE key = 'c'), 1::bigint, 'and has not');
SELECT hotdash.flag_set('b', pg_temp.flag('on'));
SELECT lives_ok($$SELECT hotdash.flag_delete('c')$$, 'when none asks for it any more it can');
SELECT lives_ok(format($$SELECT hotdash.flag_set('deep%s', pg_temp.asks('deep%s'))$$, i, i + 1), 'a chain of ' || i) FROM generate_series(1, 2) AS i;
SELECT hotdash.flag_set('deep' || i, pg_temp.asks('deep' || i + 1)) FROM generate_series(3, 32) AS i;
SELECT throws_ok($$SELECT hotdash.flag_set('deep33', pg_temp.asks('deep34'))$$, '54000', NULL, 'a chain has an end');
SELECT throws_ok($$SELECT hotdash.flag_set('deep0', pg_temp.asks('deep1'))$$, '54000', NULL, 'from either side');
SELECT throws_ok($$SELECT hotdash.flag_set('deep33', pg_temp.asks('deep1'))$$, '22023', NULL, 'a long ring is a ring');

/*
 * Documents
 */

CREATE TEMPORARY TABLE doc AS SELECT jsonb_build_object(
	'flags', jsonb_build_object('x', pg_temp.flag('on', '{"if": [{"$ref": "staff"}, "on", "off"]}'), 'y', pg_temp.flag('off') || '{"metadata": {"description": "why", "n": 1}}'),
	'$evaluators', '{"staff": {"ends_with": [{"var": "email"}, "@example.com"]}}'::jsonb,
	'metadata', '{"flagSetId": "shop"}'::jsonb) AS doc;
SELECT is((SELECT hotdash.flags_import(doc) FROM doc), 2, 'an import says how many flags there were');
SELECT is((hotdash.flag_evaluate('x', 'false', '{"email": "a@example.com"}')).variant, 'on', 'and is there at once, evaluators and all');
SELECT is((hotdash.flag_evaluate('y', 'false')).metadata, '{"description": "why", "n": 1, "flagSetId": "shop"}', 'with the metadata of the set');
SELECT is((SELECT ROW(description, needs, refs, version)::text FROM hotdash.flags WHERE key = 'y'), ROW('why', '{}'::text[], '{}'::text[], 1)::text, 'the description is taken from there');
SELECT is((SELECT hotdash.flags_import(doc, 'flagd') FROM doc), 2, 'the same again');
SELECT is((SELECT count(*) FROM hotdash.flag_history WHERE version > 1 AND key IN ('x', 'y', 'staff', '')), 0::bigint, 'changes nothing and makes no version');
SELECT set_eq($$SELECT kind, key, note FROM hotdash.flag_history WHERE note IS NOT NULL AND key <> 'a'$$,
	$$VALUES ('flag', 'x', 'import of flagd'), ('flag', 'y', 'import of flagd'), ('evaluator', 'staff', 'import of flagd'), ('metadata', '', 'import of flagd')$$,
	'versions say where they came from');
SELECT ok(hotdash.flags_export() @> doc AND hotdash.flags_export() -> 'flags' ? 'a', 'an export has all of it, and the others') FROM doc;
SELECT throws_ok($$SELECT hotdash.flags_import('{"flags": {}}', options => '{"replcae": true}')$$, '22023', 'unrecognized option "replcae"', 'an option that is not known is named');
SELECT hotdash.flags_import(doc, options => '{"replace": true, "dry_run": true}') FROM doc;
SELECT is((SELECT count(*) FROM hotdash.flags WHERE key = 'a'), 1::bigint, 'a dry run changes nothing');
SELECT is((SELECT hotdash.flags_import(doc, options => '{"replace": true, "by": "erna"}') FROM doc), 2, 'with replace');
SELECT is(hotdash.flags_export('flagd'), doc, 'what is not in the document is gone, and the export is the document') FROM doc;
SELECT is((SELECT changed_by FROM hotdash.flag_history WHERE key = 'a' AND definition IS NULL ORDER BY version DESC LIMIT 1), 'erna', 'by whom it says');
SELECT is(hotdash.flags_import('{"$schema": "x", "flags": [{"key": "z", "state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}]}'), 1, 'flags may be an array');
SELECT is((SELECT definition ? 'key' FROM hotdash.flags WHERE key = 'z'), false, 'their keys are no part of them');
SELECT throws_ok($$SELECT hotdash.flags_import('{"flags": [{"key": "z", "state": "ENABLED"}, {"key": "z", "state": "DISABLED"}]}')$$, '22023', 'flag "z" is given twice', 'a key comes once');
SELECT lives_ok($$SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('odd', pg_temp.flag('on', '{"nonsense": []}'))))$$, 'a rule that cannot be read is let in');
SELECT is((hotdash.flag_evaluate('odd', 'false')).error_code, 'PARSE_ERROR', 'and fails alone');
SELECT throws_ok($$SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('odd2', pg_temp.flag('on', '{"nonsense": []}'))), options => '{"strict": true}')$$,
	'22023', NULL, 'strict: it is not');
SELECT throws_ok($$SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('r1', pg_temp.asks('r2'), 'r2', pg_temp.asks('r1'))))$$, '22023', NULL, 'a document with a ring is refused');
SELECT throws_ok($$SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('r1', pg_temp.flag('on', '{"if": [{"$ref": "r"}, "on", "off"]}')),
	'$evaluators', '{"r": {"$ref": "r3"}, "r3": {"hd_flag": ["r1"]}}'::jsonb))$$, '22023', 'flag "r1" would ask for itself', 'also by way of evaluators');
SELECT is_empty($$SELECT FROM hotdash._flag WHERE key ~ '^r'$$, 'all of a document or none of it');
SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('p', pg_temp.flag('on'), 'q', pg_temp.asks('p'))));
SELECT throws_ok($$SELECT hotdash.flags_import(jsonb_build_object('flags', jsonb_build_object('q', pg_temp.asks('p'))), options => '{"replace": true}')$$, '2BP01', NULL,
	'replacing deletes no flag that is still asked for');
SELECT lives_ok($$SELECT hotdash.flags_import('{"flags": {}}', options => '{"replace": true}')$$, 'but all of them, of course');
SELECT is(hotdash.flags_export(), '{"flags": {}}', 'then there is nothing');

/*
 * Segments
 */

SELECT pg_temp.at('0 s') \g /dev/null
SELECT hotdash.segment_add('beta', '{u1,u2,u2}');
SELECT hotdash.flag_set('seg', pg_temp.flag('off', '{"if": [{"hd_segment": ["beta"]}, "on", "off"]}'));
SELECT pg_temp.at('1 h') \g /dev/null
SELECT hotdash.segment_add('beta', '{u2,u3}');
SELECT hotdash.segment_remove('beta', '{u1,u9}');
SELECT is((SELECT ROW(members, changed_at)::text FROM hotdash.segments WHERE segment = 'beta'), ROW(2::bigint, '2031-01-01 13:00:00+00'::timestamptz)::text, 'members count once');
SELECT is(ARRAY(SELECT (hotdash.flag_evaluate('seg', 'null', jsonb_build_object('targetingKey', u))).variant FROM unnest('{u1,u2,u3,u9}'::text[]) AS u), '{off,on,on,off}', 'rules ask for them');
SELECT is(ARRAY(SELECT (hotdash.flag_evaluate_at('seg', '2031-01-01 12:30:00+00', 'null', jsonb_build_object('targetingKey', u))).variant FROM unnest('{u1,u2,u3,u9}'::text[]) AS u),
	'{on,on,off,off}', 'and as they were');
SELECT lives_ok($$SELECT hotdash.segment_remove('never', '{a}')$$, 'to remove from a segment that is not there does nothing');
SELECT is_empty($$SELECT FROM hotdash.segments WHERE segment = 'never'$$, 'and makes none');
SELECT hotdash.segment_add('empty', '{}');
SELECT is((SELECT members FROM hotdash.segments WHERE segment = 'empty'), 0::bigint, 'a segment may be empty');
SELECT hotdash.segment_remove('beta', '{u3}');
SELECT is((SELECT count(*) FROM hotdash._segment_past WHERE member = 'u3'), 0::bigint, 'who came and went at one moment never was there');
SELECT hotdash._segments_keep(100) \g /dev/null
SELECT is((SELECT ROW(count(*), sum(c.members))::text FROM hotdash._segment_change AS c JOIN hotdash._segment AS s ON s.id = c.segment_id WHERE s.name = 'beta'), ROW(1, 1)::text, 'the tick sums up');
SELECT is((SELECT members FROM hotdash.segments WHERE segment = 'beta'), 1::bigint, 'which the view does not show');
SELECT is((SELECT count(*) FROM hotdash._segment_past), 1::bigint, 'the past is kept');
SELECT pg_temp.at('366 days') \g /dev/null
SELECT hotdash._segments_keep(100) \g /dev/null
SELECT is((SELECT count(*) FROM hotdash._segment_past), 0::bigint, 'for hotdash.segment_history_retention');

/*
 * Exposures
 */

SELECT pg_temp.at('0 s') \g /dev/null
SELECT hotdash.flag_set('exp', pg_temp.flag('off', '{"if": [{"var": "v"}, {"var": "v"}, null]}'));
SELECT hotdash.flag_set('exp-off', pg_temp.flag('on') || '{"state": "DISABLED"}');
SELECT is(hotdash.flag_expose('exp', 'null', '{"targetingKey": "u1", "v": "on"}')::text,
	hotdash.flag_evaluate('exp', 'null', '{"targetingKey": "u1", "v": "on"}')::text, 'to expose answers as to evaluate');
SELECT pg_temp.at('1 h') \g /dev/null
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "u1", "v": "on"}') \g /dev/null
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "u1"}') \g /dev/null
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": 7}') \g /dev/null
SELECT set_eq($$SELECT key, unit, variant, exposed_at, version FROM hotdash.flag_exposures WHERE key = 'exp'$$,
	$$VALUES ('exp', 'u1', 'on', '2031-01-01 12:00:00+00'::timestamptz, 1), ('exp', 'u1', 'off', '2031-01-01 13:00:00+00', 1), ('exp', '7', 'off', '2031-01-01 13:00:00+00', 1)$$,
	'each unit and variant once, the first time');
SELECT is((result).value, '5'::jsonb, 'the answer does not need a unit: ' || coalesce((result).error_code, (result).reason))
FROM (VALUES (hotdash.flag_expose('none', '5', '{"targetingKey": "u2"}')), (hotdash.flag_expose('exp-off', '5', '{"targetingKey": "u2"}')),
	(hotdash.flag_expose('exp', '5', '{"targetingKey": "u2", "v": "bad"}'))) AS r (result);
SELECT is((hotdash.flag_expose('exp', 'null', context)).error_code, NULL, 'nor this: ' || coalesce(context::text, 'none'))
FROM (VALUES (NULL::jsonb), ('{}'), ('{"targetingKey": ""}'), ('{"targetingKey": null}'), ('{"targetingKey": true}'), ('{"targetingKey": ["u"]}')) AS c (context);
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE key LIKE 'exp%'), 3::bigint, 'nothing is recorded of a missing or disabled flag, of an error, of nobody');
SET LOCAL hotdash.flag_context = '{"targetingKey": "u5"}';
SELECT hotdash.flag_expose('exp', 'null') \g /dev/null
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "u6"}') \g /dev/null
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": null}') \g /dev/null
SET LOCAL hotdash.flag_context = '';
SELECT set_eq($$SELECT unit FROM hotdash.flag_exposures WHERE key = 'exp' AND unit ~ '^u[56]'$$, ARRAY['u5', 'u6'], 'the unit is that of the merged context');
SELECT hotdash.flag_expose('exp', 'null', jsonb_build_object('targetingKey', repeat('u', 5000))) \g /dev/null
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE unit = 'sha256:' || encode(sha256(convert_to(repeat('u', 5000), 'UTF8')), 'hex')), 1::bigint, 'a long unit is known by its hash');

-- Many at once: beyond the bound of locks they are late
SELECT count(*) FROM (SELECT hotdash.flag_expose('exp', 'null', jsonb_build_object('targetingKey', 'many' || i)) FROM generate_series(1, 300) AS i) AS x \g /dev/null
SELECT count(*) FROM (SELECT hotdash.flag_expose('exp', 'null', jsonb_build_object('targetingKey', 'many' || i)) FROM generate_series(1, 300) AS i) AS x \g /dev/null
SELECT ok(count(*) > 100, 'many are late') FROM hotdash._flag_exposure_late;
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE unit LIKE 'many%'), 300::bigint, 'and all are seen, once');
INSERT INTO hotdash._flag_exposure_late SELECT * FROM hotdash._flag_exposure_late UNION ALL SELECT * FROM hotdash._flag_exposure WHERE unit LIKE 'many%';
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE unit LIKE 'many%'), 300::bigint, 'also where some are there twice');
SELECT hotdash._exposures_settle(10000) \g /dev/null
SELECT is((SELECT count(*) FROM hotdash._flag_exposure_late), 0::bigint, 'the tick moves them');
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE unit LIKE 'many%'), 300::bigint, 'and they are the same');
SELECT pg_temp.at('89 days') \g /dev/null
SELECT hotdash._exposures_sweep(10000) \g /dev/null
SELECT ok(count(*) > 300, 'they are kept') FROM hotdash.flag_exposures;
SELECT pg_temp.at('91 days') \g /dev/null
SELECT ok(hotdash._exposures_sweep(10), 'the tick deletes some at a time');
SELECT ok(NOT hotdash._exposures_sweep(10000), 'and says when it is done');
SELECT is((SELECT count(*) FROM hotdash.flag_exposures WHERE key = 'exp'), 0::bigint, 'for hotdash.flag_exposure_retention');

/*
 * Stale flags. What sessions count is stood for by the table.
 */

SELECT pg_temp.at('0 s') \g /dev/null
SELECT hotdash.flag_set('used-' || n, pg_temp.flag('on')) FROM unnest('{never,long-ago,split,same,same-new,young,asked,default}'::text[]) AS n;
SELECT hotdash.flag_set('used-asking', pg_temp.asks('used-asked'));
INSERT INTO hotdash._flag_use (key, variant, uses, first_used, last_used)
SELECT 'used-' || n, v, uses, '2031-01-01 12:00:00+00'::timestamptz + first, '2031-01-01 12:00:00+00'::timestamptz + last
FROM (VALUES ('long-ago', 'on', 10, interval '1 h', interval '1 day'),
	('split', 'on', 10, '1 h', '39 days'), ('split', 'off', 10, '1 h', '38 days'),
	('same', 'on', 10, '1 h', '39 days'), ('same', 'off', 3, '1 h', '2 h'),
	('same-new', 'on', 10, '1 h', '39 days'), ('default', '', 10, '1 h', '39 days'),
	('asking', 'on', 10, '35 days', '39 days')) AS u (n, v, uses, first, last);
SELECT pg_temp.at('35 days') \g /dev/null
SELECT hotdash.flag_set('used-same-new', pg_temp.flag('on') || '{"metadata": {"x": 1}}');
SELECT hotdash.flag_set('used-young', pg_temp.flag('off'));
SELECT hotdash.flag_delete('used-young');
SELECT hotdash.flag_set('used-young', pg_temp.flag('off'));
SELECT pg_temp.at('40 days') \g /dev/null
DELETE FROM hotdash._flag_counting;
SELECT is_empty($$SELECT FROM hotdash.stale_flags WHERE key LIKE 'used-%'$$, 'nothing is said where nobody knows since when uses are counted');
INSERT INTO hotdash._flag_counting VALUES ('2031-01-20');
SELECT set_eq($$SELECT key, reason FROM hotdash.stale_flags WHERE key LIKE 'used-%'$$, $$VALUES ('used-long-ago', 'not_evaluated')$$, 'nor of the time before');
INSERT INTO hotdash._flag_counting VALUES ('2031-01-01');
SELECT set_eq($$SELECT key, reason, variant, uses, since FROM hotdash.stale_flags WHERE key LIKE 'used-%'$$,
	$$VALUES ('used-never', 'never_evaluated', NULL, 0::bigint, '2031-01-01 12:00:00+00'::timestamptz),
		('used-long-ago', 'not_evaluated', NULL, 10, '2031-01-02 12:00:00+00'),
		('used-same', 'same_answer', 'on', 13, '2031-01-01 14:00:00+00'),
		('used-default', 'same_answer', NULL, 10, '2031-01-01 13:00:00+00')$$,
	'stale: never asked, not for long, the same for all; not: split, changed since, new, asked by one that is used');
SET LOCAL hotdash.flag_stale_after = '60 d';
SELECT is_empty($$SELECT FROM hotdash.stale_flags WHERE key LIKE 'used-%'$$, 'after hotdash.flag_stale_after');
SET LOCAL hotdash.flag_stale_after = '30 d';
SELECT hotdash.flag_delete('used-long-ago');
SELECT hotdash._flag_use_keep(1000) \g /dev/null
SELECT is_empty($$SELECT FROM hotdash._flag_use WHERE key = 'used-long-ago'$$, 'uses of a flag go with it');

-- What this session counts
SELECT hotdash.flag_set('counted', pg_temp.flag('on', '{"if": [{"var": "pro"}, "off", null]}'));
SELECT count(hotdash.flag_enabled('counted', jsonb_build_object('pro', i > 3))) FROM generate_series(1, 5) AS i \g /dev/null
SELECT set_eq($$SELECT variant, uses FROM hotdash._flag_use_live() WHERE key = 'counted'$$, $$VALUES ('on', 3::bigint), ('off', 2)$$, 'uses are counted in memory');
SAVEPOINT s;
SELECT hotdash._flag_use_keep(1000) \g /dev/null
SELECT set_eq($$SELECT variant, uses FROM hotdash._flag_use WHERE key = 'counted'$$, $$VALUES ('on', 3::bigint), ('off', 2)$$, 'and written down by the tick');
SELECT is_empty($$SELECT FROM hotdash._flag_use_live() WHERE key = 'counted'$$, 'which takes them out');
ROLLBACK TO s;
SELECT set_eq($$SELECT variant, uses FROM hotdash._flag_use_live() WHERE key = 'counted'$$, $$VALUES ('on', 3::bigint), ('off', 2)$$, 'they come back when that is undone');
SELECT hotdash._flag_use_keep(1000) \g /dev/null
SELECT count(hotdash.flag_enabled('counted')) \g /dev/null
SELECT hotdash._flag_use_keep(1000) \g /dev/null
SELECT is((SELECT uses FROM hotdash._flag_use WHERE key = 'counted' AND variant = 'on'), 4::bigint, 'and add up');

/*
 * Rights and tenants
 */

CREATE ROLE hotdash_test_viewer;
CREATE ROLE hotdash_test_producer;
CREATE ROLE hotdash_test_operator;
CREATE ROLE hotdash_test_admin;
CREATE ROLE hotdash_test_edge;
SELECT hotdash.access_grant(('hotdash_test_' || l)::regrole, l) FROM unnest('{viewer,producer,operator,admin,edge}'::text[]) AS l;
SELECT pg_temp.at('0 s') \g /dev/null
-- Which levels may make each call; the rest gets 42501.
CREATE FUNCTION pg_temp.may(call text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		level text;
		able text[] := '{}';
	BEGIN
		FOREACH level IN ARRAY '{viewer,producer,operator,admin,edge}'::text[] LOOP
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
	('SELECT * FROM hotdash.flags', 'viewer operator admin'),
	('SELECT * FROM hotdash.flag_history', 'viewer operator admin'),
	('SELECT * FROM hotdash.flag_exposures', 'viewer operator admin'),
	('SELECT * FROM hotdash.stale_flags', 'viewer operator admin'),
	('SELECT * FROM hotdash.segments', 'viewer operator admin'),
	('SELECT hotdash.flags_export()', 'viewer operator admin'),
	($$SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "r"}')$$, 'producer operator admin'),
	($$SELECT hotdash.flag_set('right', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}')$$, 'operator admin'),
	($$SELECT hotdash.flag_rollback('exp', 1)$$, 'operator admin'),
	($$SELECT hotdash.segment_add('right', '{a}')$$, 'operator admin'),
	($$SELECT hotdash.segment_remove('beta', '{u2}')$$, 'operator admin'),
	($$SELECT hotdash.flag_delete('exp')$$, 'admin'),
	($$SELECT hotdash.flags_import('{"flags": {}}')$$, 'admin'),
	('SELECT * FROM hotdash._flag_version', ''),
	('SELECT * FROM hotdash._segment_member', ''),
	('SELECT hotdash._flag_use_take()', '')
) AS t (call, levels);
SET LOCAL ROLE hotdash_test_operator;
SELECT hotdash.flag_set('by-role', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}');
SELECT is((SELECT ROW(changed_by, changed_role)::text FROM hotdash.flag_history WHERE key = 'by-role'), ROW('hotdash_test_operator', 'hotdash_test_operator')::text, 'who changed it is the role that was set');
RESET ROLE;
SET LOCAL hotdash.tenant = 'acme';
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "t"}') \g /dev/null
SET LOCAL hotdash.tenant = 'globex';
SELECT hotdash.flag_expose('exp', 'null', '{"targetingKey": "t"}') \g /dev/null
SET LOCAL ROLE hotdash_test_viewer;
SELECT set_eq($$SELECT unit, tenant FROM hotdash.flag_exposures WHERE key = 'exp'$$, $$VALUES ('t', 'globex')$$, 'a session of a tenant sees the exposures of that tenant');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
